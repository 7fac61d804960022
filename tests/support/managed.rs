//! A client whose stanzas are acknowledged, and whose session can be resumed (XEP-0198).
#![allow(dead_code, reason = "each test program uses its part")]

use std::{net::SocketAddr, time::Instant};

use xmpp_close::{CloseOptions, Outcome, Stream};

use crate::{
    client::{Client, USUAL, connect},
    daemon::{DOMAIN, PASSWORD, PATIENCE},
    login,
    sm::{self, Handled, Managed},
};

/// Alice, available before her stanzas are counted, so that what counts are the messages to her.
pub fn managed(addr: SocketAddr, receive_buffer: usize, resumable: bool) -> (Client, Managed) {
    let mut alice = Client::available(addr, "alice", receive_buffer);
    let session = sm::enable(&mut alice.stream, resumable, Instant::now() + PATIENCE).unwrap();
    let session = session.expect("the server manages streams");
    assert_eq!(session.id.is_some(), resumable);
    (alice, session)
}

/// Reads so many messages, and has handled them.
pub fn handle(alice: &mut Client, count: usize, handled: &Handled) -> Vec<usize> {
    (0..count).map(|_| alice.read_message(|stanza| handled.count(stanza))).collect()
}

/// Authenticates as alice, and asks for nothing yet.
fn authenticated(addr: SocketAddr) -> (Stream<std::net::TcpStream>, std::net::TcpStream) {
    let tcp = connect(addr, USUAL);
    let raw = tcp.try_clone().unwrap();
    let opened = login::open(tcp, DOMAIN, PATIENCE).unwrap();
    let opened = login::authenticate(opened, DOMAIN, "alice", PASSWORD, Instant::now() + PATIENCE).unwrap();
    assert!(sm::is_offered(&opened.features), "{}", opened.features);
    (opened.stream, raw)
}

/// Asks for alice's session on a new connection: the client, and how many stanzas of hers the server had handled.
pub fn resume(addr: SocketAddr, session: &Managed) -> (Client, usize) {
    let (mut stream, raw) = authenticated(addr);
    let known = sm::resume(&mut stream, session, Instant::now() + PATIENCE).unwrap();
    let known = known.unwrap_or_else(|condition| panic!("{condition} instead of the session"));
    (Client::new(stream, raw, String::new()), known as usize)
}

/// Asks for a resumption that the server refuses; returns the condition. The stream without a session is closed like
/// any other.
pub fn resume_in_vain(addr: SocketAddr, session: &Managed) -> String {
    let (mut stream, _raw) = authenticated(addr);
    let condition = sm::resume(&mut stream, session, Instant::now() + PATIENCE).unwrap();
    let report = stream.close(&CloseOptions::new()).unwrap();
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    condition.expect_err("there is no session any more")
}
