//! Logins that fail say why, each in its own way.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use xmpp_close::Condition;

use crate::{
    client::{USUAL, connect},
    daemon::{DOMAIN, PASSWORD, PATIENCE},
    login::{LoginError, login},
    prosody::Prosody,
};

/// What a login says at a server of one connection that does what `script` says.
fn at(script: impl FnOnce(TcpStream) + Send + 'static, limit: Duration) -> LoginError {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = thread::spawn(move || script(listener.accept().unwrap().0));
    let error = try_login(addr, DOMAIN, PASSWORD, limit);
    server.join().unwrap();
    error
}

fn try_login(addr: SocketAddr, domain: &str, password: &str, limit: Duration) -> LoginError {
    login(connect(addr, USUAL), domain, "alice", password, limit).expect_err("no login")
}

#[test]
fn prosody_tells_why_it_lets_nobody_in() {
    let mut server = Prosody::start();
    match try_login(server.addr, DOMAIN, "wrong & <empty>", PATIENCE) {
        LoginError::Refused(condition) => assert_eq!(condition, "not-authorized"),
        other => panic!("{other}"),
    }
    match try_login(server.addr, "<elsewhere>'&", PASSWORD, PATIENCE) {
        LoginError::StreamError(error) => assert_eq!(error.condition(), Condition::HostUnknown),
        other => panic!("{other}"),
    }
    server.wait_for_clients(0);
}

#[test]
fn another_protocol_is_not_xmpp() {
    let banner = |mut tcp: TcpStream| tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    assert!(matches!(at(banner, PATIENCE), LoginError::NotXmpp(_)));
    let page = |mut tcp: TcpStream| tcp.write_all(b"<html><body>").unwrap();
    assert!(matches!(at(page, PATIENCE), LoginError::NotXmpp(_)));
}

#[test]
fn a_silent_server_is_given_up_in_time() {
    let limit = Duration::from_millis(300);
    let start = Instant::now();
    let silent = |mut tcp: TcpStream| drop(tcp.read_to_end(&mut Vec::new()));
    match at(silent, limit) {
        LoginError::TimedOut { awaited } => assert_eq!(awaited, "its stream header"),
        other => panic!("{other}"),
    }
    assert!(start.elapsed() >= limit);
}

#[test]
fn a_server_that_hangs_up_is_told_from_one_that_closes() {
    const HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    let hangs_up = |mut tcp: TcpStream| {
        tcp.write_all(HEADER).unwrap();
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
        tcp.read_to_end(&mut Vec::new()).unwrap();
    };
    match at(hangs_up, PATIENCE) {
        LoginError::Connection { awaited, .. } => assert_eq!(awaited, "its stream features"),
        other => panic!("{other}"),
    }
    let closes = |mut tcp: TcpStream| {
        tcp.write_all(&[HEADER, b"</stream:stream>"].concat()).unwrap();
        let mut said = String::new();
        tcp.read_to_string(&mut said).unwrap();
        assert!(said.ends_with("</stream:stream>"), "the close is answered: {said}");
    };
    assert!(matches!(at(closes, PATIENCE), LoginError::PeerClosed { .. }));
}

#[test]
fn a_server_without_plain_is_told_so() {
    let wants_tls = |mut tcp: TcpStream| {
        let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
                        <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism>\
                        </mechanisms></stream:features>";
        let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
        tcp.write_all(format!("{header}{features}").as_bytes()).unwrap();
        let mut said = String::new();
        let mut chunk = [0; 4096];
        while !said.ends_with("</stream:stream>") {
            let count = tcp.read(&mut chunk).unwrap();
            assert!(count > 0, "closed by handshake, not by {said}");
            said += std::str::from_utf8(&chunk[..count]).unwrap();
        }
        tcp.write_all(b"</stream:stream>").unwrap();
    };
    match at(wants_tls, PATIENCE) {
        LoginError::NoPlain { offered } => assert_eq!(offered, ["SCRAM-SHA-1"]),
        other => panic!("{other}"),
    }
}
