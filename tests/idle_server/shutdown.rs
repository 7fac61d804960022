//! SIGTERM: all streams are closed together, under one deadline.

use std::io::Write;

use crate::{
    patient,
    server::{Client, PATIENCE, Server, TAG, numbers},
};

const ERROR: &str =
    "<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";

#[test]
fn every_stream_is_told_and_what_was_in_flight_is_processed() {
    let mut server = patient();
    let mut clients: Vec<_> = (0..40).map(|_| Client::carol(&server)).collect();
    server.terminate();
    for client in &mut clients {
        assert!(client.until(TAG).ends_with(ERROR));
    }
    for client in &mut clients {
        client.send(&"<message to='nobody@localhost'/>".repeat(50));
        client.send(TAG);
    }
    for client in clients {
        assert_eq!(client.rest(), "", "after the server's tag");
    }
    let summary = server.line("40 streams: 40 clean");
    assert!(summary.contains("; 2000 late stanzas;"), "{summary}");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn mail_that_waits_goes_out_before_the_tag() {
    let mut server = patient();
    let (mut alice, mut bob) = (Client::alice(&server), Client::bob(&server));
    let messages: String =
        (0..500).map(|n| format!("<message to='bob@localhost'><body>{n}</body></message>")).collect();
    alice.send(&messages);
    alice.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    alice.until("<iq type='result' id='p'>"); // so all of it is in bob's mailbox
    server.terminate();
    assert_eq!(numbers(&bob.until(TAG)), (0..500).collect::<Vec<_>>());
    for client in [&mut alice, &mut bob] {
        client.send(TAG);
    }
    server.line("2 streams: 2 clean");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_client_that_never_answers_does_not_delay_the_shutdown() {
    let mut server = Server::start(&["--idle", "3600", "--limit", "2"]);
    let (mut alice, mut bob) = (Client::alice(&server), Client::bob(&server));
    server.terminate();
    alice.until(TAG);
    alice.send(TAG);
    server.line("2 streams: 1 clean, 1 timed-out");
    assert_eq!(server.wait(), Some(0));
    assert!(bob.until(TAG).ends_with(ERROR));
}

#[test]
fn a_stream_that_is_being_closed_already_ends_as_it_began() {
    let mut server = Server::start(&["--idle", "1", "--spare", "bob"]);
    let mut bob = Client::bob(&server);
    let mut alice = Client::alice(&server);
    assert_eq!(alice.until(TAG), TAG, "closed for being idle");
    server.terminate();
    assert!(bob.until(TAG).ends_with(ERROR));
    bob.send(TAG);
    server.line("2 streams: 1 pending, 1 clean");
    alice.send("<message to='nobody@localhost'/>");
    alice.send(TAG);
    assert_eq!(alice.rest(), "", "no second tag");
    let line = server.report("alice@localhost/test");
    assert!(line.contains("clean") && line.contains("; 1 late stanza, "), "{line}");
    server.line("2 streams: 2 clean");
    assert_eq!(server.wait(), Some(0));
}

/// With a turn in some random minute of the next sixty, hardly anybody has his in this test.
#[test]
fn those_whose_turn_comes_later_are_served_until_then() {
    let mut server = Server::start(&["--idle", "2", "--spare", "bob", "--spread", "3600", "--limit", "7200"]);
    let (mut bob, mut alice) = (Client::bob(&server), Client::alice(&server));
    assert_eq!(alice.until(TAG), TAG, "closed for being idle");
    server.terminate();
    server.line("going down: ");
    for number in 0..3 {
        bob.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
        assert_eq!(bob.until("</iq>"), "<iq type='result' id='p'></iq>", "number {number}");
    }
    // What comes from a stream that is being closed reaches who is served.
    alice.send("<message to='bob@localhost'><body>late</body></message>");
    assert!(bob.until("</message>").contains("<body>late</body>"));
    alice.send(TAG);
    assert_eq!(alice.rest(), "");
    let line = server.report("alice@localhost/test");
    assert!(line.contains("clean") && line.contains("; 1 late stanza, "), "{line}");
    bob.send("<message to='bob@localhost'><body>still here</body></message>");
    assert!(bob.until("</message>").contains("<body>still here</body>"));
    // A client that closes by itself is answered as ever.
    bob.send(TAG);
    assert!(bob.until(TAG).ends_with(TAG));
    assert_eq!(bob.rest(), "");
    server.report("bob@localhost/test");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_spread_closes_one_after_another() {
    let mut server = Server::start(&["--idle", "3600", "--spread", "1", "--limit", "60"]);
    let mut clients: Vec<_> = (0..20).map(|_| Client::carol(&server)).collect();
    server.terminate();
    for client in &mut clients {
        assert!(client.until(TAG).ends_with(ERROR));
        client.send(TAG);
    }
    server.line("20 streams: 20 clean");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_second_sigterm_does_not_wait() {
    let mut server = Server::start(&["--idle", "3600", "--limit", "3600"]);
    let mut bob = Client::bob(&server);
    server.terminate();
    bob.until(TAG);
    server.terminate();
    server.line("1 stream: 1 cancelled");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn nothing_new_is_accepted() {
    let mut server = Server::start(&["--idle", "3600", "--limit", "60"]);
    let mut bob = Client::bob(&server);
    server.terminate();
    bob.until(TAG);
    let refused = std::net::TcpStream::connect(&server.address).and_then(|mut tcp| {
        // The kernel may still have completed the connection; nobody serves it.
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.write_all(b"<")?;
        std::io::Read::read(&mut tcp, &mut [0; 1])
    });
    assert!(matches!(refused, Err(_) | Ok(0)), "{refused:?}");
    bob.send(TAG);
    assert_eq!(server.wait(), Some(0));
}
