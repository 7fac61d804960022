//! Servers whose part a test plays.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    FOREVER, assert_ended,
    client::{PATIENCE, TAG},
    daemon::COMPONENT,
    each_variant,
    programs::{Server, Variant},
    start,
};

const LIMIT: u32 = 2;

/// A component that has logged in, and the socket at the other end.
fn connect(variant: Variant, limit_seconds: u32) -> (Server, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let component = start(variant, listener.local_addr().unwrap().port(), limit_seconds);
    let (mut tcp, _) = listener.accept().unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(read_until(&mut tcp, "streams'>").contains(&format!(" to='{COMPONENT}' ")));
    let header = "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
                  xmlns='jabber:component:accept' from='comp.localhost' id='1'>";
    tcp.write_all(header.as_bytes()).unwrap();
    // SHA-1 of "1secret".
    let handshake = "<handshake>bc2f114099d16656d37e45fd9e8744cb9386d462</handshake>";
    assert_eq!(read_until(&mut tcp, "</handshake>"), handshake);
    tcp.write_all(b"<handshake/>").unwrap();
    component.wait_for("the login", |line| line == "logged in");
    (component, tcp)
}

/// Reads byte by byte: what follows is left.
fn read_until(tcp: &mut TcpStream, end: &str) -> String {
    let mut all = String::new();
    while !all.ends_with(end) {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} instead of {end}, after {all}"));
        all.push(byte[0].into());
    }
    all
}

fn read_to_end(tcp: &mut TcpStream) -> String {
    let mut all = String::new();
    tcp.read_to_string(&mut all).expect("EOF, and no reset");
    all
}

fn iq(id: &str) -> String {
    format!("<iq type='get' id='{id}' from='a@b/&lt;' to='{COMPONENT}'><ping xmlns='urn:xmpp:ping'/></iq>")
}

fn result(id: &str) -> String {
    format!("<iq type='result' id='{id}' from='{COMPONENT}' to='a@b/&lt;'/>")
}

#[test]
fn the_component_closes_and_handles_what_comes_behind_its_tag() {
    each_variant(|variant| {
        let (component, mut tcp) = connect(variant, FOREVER);
        component.send_sigterm();
        assert_eq!(read_until(&mut tcp, TAG), TAG);
        tcp.write_all(format!("{}<message id='late'/>{TAG}", iq("late")).as_bytes()).unwrap();
        assert_eq!(read_to_end(&mut tcp), "");
        drop(tcp);
        assert_ended(&component.finish(), "ended: clean, 0 answered, 1 unanswered, 1 messages");
    });
}

#[test]
fn the_server_closes_first_and_gets_its_answers() {
    each_variant(|variant| {
        let (component, mut tcp) = connect(variant, FOREVER);
        tcp.write_all(format!("{}{}{TAG}", iq("1"), iq("2")).as_bytes()).unwrap();
        assert_eq!(read_to_end(&mut tcp), format!("{}{}{TAG}", result("1"), result("2")));
        drop(tcp);
        assert_ended(&component.finish(), "ended: clean, 2 answered, 0 unanswered, 0 messages");
    });
}

#[test]
fn a_stream_error_of_the_server_is_answered_and_named() {
    each_variant(|variant| {
        let (component, mut tcp) = connect(variant, FOREVER);
        let error = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        tcp.write_all(format!("{error}{TAG}").as_bytes()).unwrap();
        assert_eq!(read_to_end(&mut tcp), TAG);
        drop(tcp);
        let lines = component.finish();
        assert!(lines.iter().any(|line| line.contains("conflict")), "{lines:#?}");
        assert_ended(&lines, "ended: clean, 0 answered, 0 unanswered, 0 messages");
    });
}

/// What the server does when it has been asked to close; it keeps its socket, or not.
type After = fn(TcpStream) -> Option<TcpStream>;

/// Whatever the server does, the process ends within its limit, and says by its exit status that something may be lost.
fn ends_within_its_limit(outcomes: &[&str], before: fn(&mut TcpStream), after: After) {
    each_variant(|variant| {
        let (component, mut tcp) = connect(variant, LIMIT);
        before(&mut tcp);
        let start = Instant::now();
        component.send_sigterm();
        let _kept = after(tcp);
        let lines = component.finish_with(1);
        // Much more than the limit, because the machine may be busy.
        assert!(start.elapsed() < Duration::from_secs(2 * u64::from(LIMIT) + 10), "{:?}", start.elapsed());
        let last = lines.last().unwrap();
        assert!(outcomes.iter().any(|outcome| last.starts_with(&format!("ended: {outcome}, "))), "{last}");
    });
}

#[test]
fn a_server_that_never_answers_the_tag_is_left_at_the_limit() {
    ends_within_its_limit(
        &["timed-out"],
        |_| (),
        |mut tcp| {
            assert_eq!(read_to_end(&mut tcp), TAG);
            Some(tcp)
        },
    );
}

#[test]
fn a_server_that_trickles_is_left_at_the_limit() {
    ends_within_its_limit(
        &["timed-out"],
        |_| (),
        |mut tcp| {
            assert_eq!(read_until(&mut tcp, TAG), TAG);
            let mut bytes = iq("never").into_bytes().into_iter().cycle();
            while tcp.write_all(&[bytes.next().unwrap()]).is_ok() {
                thread::sleep(Duration::from_millis(10));
            }
            None
        },
    );
}

#[test]
fn a_server_that_never_reads_is_left_at_the_limit() {
    ends_within_its_limit(
        // The kernel may have room for the little that was left to send. Then only the peer's answer does not come.
        &["stalled", "timed-out"],
        |tcp| {
            // Until nothing moves any more: the component does not read from a server that does not read.
            tcp.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
            let flood = iq("1").repeat(1000);
            let (most, mut sent) = (64 << 20, 0);
            while sent < most {
                match tcp.write(&flood.as_bytes()[sent % flood.len()..]) {
                    Ok(n) => sent += n,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(sent < most, "{sent} bytes were taken, and are held in memory");
        },
        Some,
    );
}

#[test]
fn a_server_that_resets_is_no_clean_end() {
    ends_within_its_limit(
        &["reset"],
        |_| (),
        |mut tcp| {
            assert_eq!(read_until(&mut tcp, TAG), TAG);
            socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
            None
        },
    );
}

#[test]
fn a_server_that_only_ends_tcp_is_no_clean_end() {
    ends_within_its_limit(
        &["peer-eof"],
        |_| (),
        |mut tcp| {
            assert_eq!(read_until(&mut tcp, TAG), TAG);
            tcp.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_to_end(&mut tcp), "");
            Some(tcp)
        },
    );
}
