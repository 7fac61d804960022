//! `poll_server`: many clients in one thread.

#[path = "../support/program.rs"]
mod program;

use std::{
    io::{ErrorKind, Write},
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
};

use program::Program;
use socket2::{Domain, Socket, Type};

use super::{
    HEADER, TAG, example, lines,
    peer::{self, Peer},
};

fn start(idle: &str) -> Program {
    let mut command = Command::new(example::build("poll_server"));
    command.args(["127.0.0.1:0", idle]);
    Program::listening("poll_server", command)
}

/// A client that has opened its stream.
fn connect(server: &Program) -> Peer {
    // Before connecting: a window that shrinks afterwards makes TCP crawl.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    socket.set_send_buffer_size(64 * 1024).unwrap();
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], server.port)).into()).unwrap();
    let tcp = TcpStream::from(socket);
    tcp.set_read_timeout(Some(peer::PATIENCE)).unwrap();
    tcp.set_write_timeout(Some(peer::PATIENCE)).unwrap();
    let mut client = Peer { tcp, got: Vec::new() };
    client.send(HEADER).read_until("<stream:features/>");
    client
}

#[test]
fn a_client_that_is_silent_is_closed_by_handshake() {
    let server = start("0.3");
    let mut silent = connect(&server);
    silent.read_tag().send("<presence/>").send(TAG).expect_eof();
    assert_eq!(server.wait_for("the late stanza", |line| line.starts_with("late")), "late: <presence/>");
    server.wait_for("the report", |line| line.starts_with("clean: "));
    server.stop();
    assert!(lines("poll_server") <= 150);
}

#[test]
fn a_client_that_does_not_read_gets_all_answers_later_and_a_shutdown_closes_its_stream() {
    let server = start("60");
    let (mut slow, mut other) = (connect(&server), connect(&server));
    // Until no buffer between the two has room: the server cannot write, and has stopped reading.
    let stanza = format!("<message>{}</message>", "x".repeat(1000));
    let all = stanza.repeat(10_000);
    slow.tcp.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while sent < all.len() {
        match slow.tcp.write(&all.as_bytes()[sent..]) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        other.send("<iq/>").read_until("<iq/>"); // it is served all the same
    }
    assert!(sent < all.len(), "nothing was blocked");
    slow.tcp.set_nonblocking(false).unwrap();
    let (mut tcp, rest) = (slow.tcp.try_clone().unwrap(), all.as_bytes()[sent..].to_vec());
    let writes = thread::spawn(move || {
        tcp.write_all(&rest).unwrap();
        tcp.write_all(b"<iq id='last'/>").unwrap();
    });
    slow.got.clear();
    slow.read_until("<iq id='last'/>");
    assert!(slow.got == [all.as_bytes(), b"<iq id='last'/>"].concat(), "{} bytes", slow.got.len());
    writes.join().unwrap();
    server.send_sigterm();
    for mut client in [slow, other] {
        client.got.clear();
        client.read_tag();
        assert!(client.text().contains("<system-shutdown "), "{}", client.text());
        client.send("<presence/>").send(TAG).expect_eof();
    }
    let told = server.finish();
    let count = |start: &str| told.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("late: <presence/>"), count("clean: ")), (2, 2), "{told:?}");
}
