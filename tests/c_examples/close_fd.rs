//! `close_fd`, against scripted servers.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Output,
    thread,
};

use crate::{
    client::{FEATURES, PATIENCE, TAG, message},
    programs::{VARIANTS, Variant, command},
};

/// Runs `close_fd` against a server that does `script`.
fn run(variant: Variant, script: impl FnOnce(TcpStream) + Send + 'static) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let server = thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        script(tcp);
    });
    let output = command("close_fd", variant).args(["127.0.0.1", &port]).output().unwrap();
    server.join().unwrap();
    output
}

fn read_until(tcp: &mut TcpStream, end: &str) {
    let mut got = Vec::new();
    while !got.ends_with(end.as_bytes()) {
        let mut byte = [0];
        assert_eq!(tcp.read(&mut byte).unwrap(), 1, "EOF after {}", String::from_utf8_lossy(&got));
        got.push(byte[0]);
    }
}

fn assert_output(output: &Output, code: i32, stdout: &[String]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().collect::<Vec<_>>(), stdout, "{stderr}");
    assert_eq!(output.status.code(), Some(code), "{stderr}");
}

const HEADER: &str = "<?xml version='1.0'?>\n<stream:stream xmlns='jabber:client' id='1' version='1.0' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

#[test]
fn what_is_in_flight_is_printed_in_order() {
    for variant in VARIANTS {
        let output = run(variant, |mut tcp| {
            read_until(&mut tcp, "streams'>");
            // The header in two pieces, and something behind it that nobody has handled yet.
            let (start, rest) = HEADER.split_at(40);
            tcp.write_all(start.as_bytes()).unwrap();
            tcp.write_all(format!("{rest}{FEATURES}{}", message("residual")).as_bytes()).unwrap();
            read_until(&mut tcp, TAG);
            let late: String = (0..200).map(message).collect();
            tcp.write_all(format!("{late}{TAG}").as_bytes()).unwrap();
            assert_eq!(tcp.read_to_end(&mut Vec::new()).unwrap(), 0, "nothing follows the closing tag");
        });
        let mut lines = vec![format!("late: {FEATURES}"), format!("late: {}", message("residual"))];
        lines.extend((0..200).map(|n| format!("late: {}", message(n))));
        lines.push("clean, 202 late stanzas".to_owned());
        assert_output(&output, 0, &lines);
    }
}

#[test]
fn a_mute_server_is_left_without_an_error() {
    let output = run(Variant::Shared, |mut tcp| {
        tcp.write_all(HEADER.as_bytes()).unwrap();
        let mut got = String::new();
        tcp.read_to_string(&mut got).expect("EOF, not a reset");
        assert!(got.ends_with(TAG) && !got.contains("error"), "{got}");
    });
    assert_output(&output, 1, &["timed-out, 0 late stanzas".to_owned()]);
}

#[test]
fn a_server_that_hangs_up_is_not_called_clean() {
    let output = run(Variant::Static, |mut tcp| {
        tcp.write_all(HEADER.as_bytes()).unwrap();
        read_until(&mut tcp, TAG);
    });
    assert_output(&output, 1, &["peer-eof, 0 late stanzas".to_owned()]);
}

#[test]
fn what_is_no_server_gets_one_clear_line() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let refused = command("close_fd", Variant::Static).args(["127.0.0.1", &port]).output().unwrap();
    let nothing = command("close_fd", Variant::Static).output().unwrap();
    let other = run(Variant::Static, |mut tcp| tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap());
    for output in [refused, nothing, other] {
        assert_output(&output, 2, &[]);
        assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
    }
}
