//! Clients that do not speak XMPP, never log in, or come in crowds; and a silent client that gets mail all the time.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use crate::{
    patient,
    server::{Client, HEADER, PATIENCE, Server, TAG},
};

const LEAST: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                     xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

fn error(condition: &str) -> String {
    format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
}

/// Everything that the server says to one who says this, and ends TCP when the server's tag has come.
fn answer(server: &Server, says: &[u8]) -> String {
    let mut tcp = TcpStream::connect(&server.address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.write_all(says).unwrap();
    let (mut got, mut chunk) = (String::new(), [0; 1024]);
    loop {
        match tcp.read(&mut chunk).unwrap_or_else(|error| panic!("{error} after {got}")) {
            0 => return got,
            count => got += std::str::from_utf8(&chunk[..count]).unwrap(),
        }
        if got.ends_with(TAG) {
            let _ = tcp.shutdown(Shutdown::Write); // it may have been ended already
        }
    }
}

#[test]
fn a_stranger_that_speaks_no_xmpp_gets_header_error_and_tag() {
    let server = patient();
    for says in [&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        assert_eq!(answer(&server, says), [LEAST, &error("not-well-formed"), TAG].concat());
    }
    let foreign = answer(&server, b"<stream xmlns='jabber:client' to='localhost'>");
    let ours = foreign.strip_suffix(&(error("invalid-namespace") + TAG)).expect(&foreign);
    assert!(ours.starts_with("<?xml version='1.0'?><stream:stream from='localhost' id='"), "{foreign}");
    let unbound = answer(&server, b"<stream:stream to='localhost'>");
    assert!(unbound.ends_with(&(error("not-well-formed") + TAG)), "{unbound}");
}

#[test]
fn a_stranger_that_ends_tcp_at_once_gets_header_and_tag() {
    let server = patient();
    let mut tcp = TcpStream::connect(&server.address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.shutdown(Shutdown::Write).unwrap();
    let mut got = String::new();
    tcp.read_to_string(&mut got).unwrap();
    assert_eq!(got, [LEAST, TAG].concat());
}

#[test]
fn a_login_has_its_time_however_much_is_said_meanwhile() {
    let server = Server::start(&["--login", "1", "--idle", "3600"]);
    let mut talker = Client::connect(&server);
    let start = Instant::now();
    let mut got = [0; 1024];
    talker.tcp.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let count = loop {
        talker.send(" ");
        match talker.tcp.read(&mut got) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => assert!(start.elapsed() < PATIENCE, "still open"),
            result => break result.unwrap(),
        }
    };
    assert_eq!(String::from_utf8_lossy(&got[..count]), TAG, "without an error: nobody did anything wrong");
    // Nor need it have sent a header, or the whole of one.
    assert_eq!(answer(&server, b""), [LEAST, TAG].concat());
    assert_eq!(answer(&server, b"<?xml version='1.0'?><stream:stream to='localh"), [LEAST, TAG].concat());
}

#[test]
fn those_beyond_the_limit_are_told_so_and_make_no_trouble_for_the_others() {
    let server = Server::start(&["--connections", "2", "--idle", "3600"]);
    let (mut alice, bob) = (Client::alice(&server), Client::bob(&server));
    for _ in 0..20 {
        assert_eq!(answer(&server, b""), [LEAST, &error("resource-constraint"), TAG].concat());
    }
    alice.send("<message to='bob@localhost' type='error'/>");
    let mut bob = bob;
    bob.until("/>");
    bob.send(TAG);
    assert_eq!(bob.rest(), TAG);
    server.report("bob@localhost/test");
    // The place is free again, as soon as the thread has ended.
    let start = Instant::now();
    while !answer_begins(&server) {
        assert!(start.elapsed() < PATIENCE);
    }
}

/// A stream is opened.
fn answer_begins(server: &Server) -> bool {
    let mut tcp = TcpStream::connect(&server.address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = tcp.write_all(HEADER.as_bytes());
    let (mut got, mut chunk) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = tcp.read(&mut chunk) {
        got.extend_from_slice(&chunk[..count]);
        if String::from_utf8_lossy(&got).contains("<stream:features>") {
            return true;
        }
    }
    false
}

#[test]
fn a_stanza_that_is_too_dear_to_read_is_refused() {
    let server = patient();
    let declarations: String = (0..101).map(|n| format!(" xmlns:a{n}='b'")).collect();
    let attributes: String = (0..101).map(|n| format!(" a{n}='b'")).collect();
    let deep = "<a>".repeat(200) + &"</a>".repeat(200);
    let large = "x".repeat(10_000);
    for stranger in [format!("<iq>{large}</iq>"), format!("<iq{declarations}/>"), format!("<iq>{deep}</iq>")] {
        let mut client = Client::connect(&server);
        client.send(&stranger);
        assert_eq!(client.until(TAG), error("policy-violation") + TAG);
    }
    for stanza in [format!("<iq>{deep}</iq>"), format!("<iq{declarations}/>"), format!("<iq{attributes}/>")] {
        let mut alice = Client::alice(&server);
        alice.send(&stanza);
        assert_eq!(alice.until(TAG), error("policy-violation") + TAG);
        alice.send(TAG);
        server.report("alice@localhost/test");
    }
    let mut alice = Client::alice(&server);
    alice.send(&format!(
        "<message type='error'>{large}</message><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>"
    ));
    alice.until("<iq type='result' id='p'></iq>");
}

#[test]
fn a_silent_client_is_idle_also_when_it_gets_mail_all_the_time() {
    let server = Server::start(&["--idle", "2", "--spare", "bob"]);
    let mut bob = Client::bob(&server);
    let mut alice = Client::alice(&server);
    alice.tcp.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let (start, mut got, mut chunk, mut sent) = (Instant::now(), String::new(), [0; 65536], 0);
    while !got.ends_with(TAG) {
        assert!(start.elapsed() < PATIENCE, "never closed, after {sent} messages");
        bob.send("<message to='alice@localhost'><body>hi</body></message>");
        sent += 1;
        match alice.tcp.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => got += std::str::from_utf8(&chunk[..result.unwrap()]).unwrap(),
        }
        // Not faster than a human types, but faster than the limit.
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(start.elapsed() > Duration::from_millis(1900), "{:?}", start.elapsed());
    assert!(got.contains("<body>hi</body>") && !got.contains("error"), "{got}");
    alice.send(TAG);
    let line = server.report("alice@localhost/test");
    assert!(line.contains("clean") && line.contains("begun by us"), "{line}");
}
