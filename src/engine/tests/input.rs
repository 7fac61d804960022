//! The peer's bytes, handed in.

use super::*;

/// The names of what the engine finds in these bytes.
fn found(engine: &mut Engine, mut data: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(found) = engine.input(&mut data, Duration::ZERO) {
        all.push(match found {
            Found::Header(_) => "header".to_owned(),
            Found::Stanza(stanza) => stanza.name().to_owned(),
            Found::Oversize(_) => "oversize".to_owned(),
            Found::StreamError(error) => error.condition().to_string(),
            Found::PeerClosed => "closed".to_owned(),
            Found::Malformed(why) => why.condition().to_string(),
        });
    }
    assert!(data.is_empty(), "all is consumed");
    all
}

#[test]
fn what_comes_is_found_and_taken_in() {
    let mut t = Trace::new();
    assert_eq!(found(&mut t.engine, b"<a/><mess"), ["a"]);
    assert!(t.engine.is_inside());
    let conflict = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    let other = conflict.replace("conflict", "reset");
    let rest = ["age/>", conflict, &other, "<late/></stream:stream>junk"].concat();
    assert_eq!(found(&mut t.engine, rest.as_bytes()), ["message", "conflict", "conflict", "late", "closed"]);
    t.wants("RW").says(TAG);
    let report = t.engine.report();
    assert_eq!(report.stream_error.as_ref().map(StreamError::condition), Some(Condition::Conflict));
    assert_eq!((report.stanzas, report.bytes_after_tag), (1, 4), "since the close began");
    assert_eq!(found(&mut t.engine, b"<more/>"), [""; 0]);
    assert_eq!(t.engine.report().bytes_after_tag, 11);
}

#[test]
fn what_is_no_stream_is_found_once_and_answered() {
    let mut t = Trace::new();
    assert_eq!(found(&mut t.engine, b"<a/></b><c/>"), ["a", "not-well-formed"]);
    t.wants("RW").says(ERROR);
    assert_eq!(found(&mut t.engine, b"<c/>"), [""; 0]);
}

#[test]
fn a_stream_that_restarts_has_a_header_again() {
    let mut t = Trace::new();
    assert_eq!(found(&mut t.engine, b"<proceed/>"), ["proceed"]);
    t.tell(Fact::Restarted { tls: Tls::Yes });
    let header = ["<?xml version='1.0'?>", HEADER, "<a/>"].concat();
    assert_eq!(found(&mut t.engine, header.as_bytes()), ["header", "a"]);
    t.wants("RMP");
}

#[test]
fn the_peers_header_and_the_limit_on_stanzas_are_those_of_the_options() {
    let header = "<s:stream xmlns:s='http://etherx.jabber.org/streams'>";
    let options = CloseOptions::new().peer_header(header).stanza_limit(10_000);
    let mut t = Trace::with(&options, Tls::No);
    let large = format!("<a>{}</a>", "x".repeat(10_000));
    let end = "<s:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></s:error></s:stream>";
    assert_eq!(found(&mut t.engine, [&large, end].concat().as_bytes()), ["oversize", "reset", "closed"]);
    assert!(Engine::new(&CloseOptions::new().peer_header("<a/>"), Tls::No).is_err());
}
