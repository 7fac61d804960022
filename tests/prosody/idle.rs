//! Streams on which nothing is in flight.

use std::time::Duration;

use xmpp_close::{CloseOptions, Incoming, Initiator, Outcome};

use crate::{
    client::{Client, USUAL, connect},
    daemon::{DOMAIN, PATIENCE},
    login,
    prosody::Prosody,
    relay::{Relay, Seen},
};

#[test]
fn an_idle_stream_is_closed_by_handshake() {
    let server = Prosody::start();
    let relay = Relay::to(server.addr);
    let mut alice = Client::available(relay.addr, "alice", USUAL);
    alice.stream.idle_after(Some(Duration::from_millis(100)));
    assert!(matches!(alice.stream.receive().unwrap(), Incoming::Idle));
    drop(alice.raw);
    let report = alice.stream.close(&CloseOptions::new()).unwrap();
    println!("idle       | handshake                  | {report}");
    assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Us)));
    assert_eq!((report.stanzas, report.bytes_read, report.bytes_after_tag), (0, 16, 0), "{report}");
    assert_eq!((report.bytes_unsent, report.bytes_unacked), (0, 0), "{report}");
    let seen = relay.finish();
    let last = &seen[seen.len() - 4..];
    assert_eq!((&last[0], &last[1]), (&Seen::Client(b"</stream:stream>".to_vec()), &Seen::ServerTag));
    assert!(last.contains(&Seen::ClientFin) && last.contains(&Seen::ServerFin), "{last:?}");
}

#[test]
fn a_stream_is_closed_by_handshake_before_the_login() {
    let server = Prosody::start();
    let opened = login::open(connect(server.addr, USUAL), DOMAIN, PATIENCE).unwrap();
    assert!(login::texts(&opened.features, "mechanism").contains(&"PLAIN".to_owned()));
    let report = opened.stream.close(&CloseOptions::new()).unwrap();
    println!("idle       | handshake before the login | {report}");
    assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Us)));
}

#[test]
fn a_half_close_is_answered_by_an_end_without_closing_tag() {
    let server = Prosody::start();
    let mut outcomes = Vec::new();
    for _ in 0..5 {
        let alice = Client::available(server.addr, "alice", USUAL);
        drop(alice.raw);
        let report = alice.stream.close(&CloseOptions::new().half_close(true)).unwrap();
        assert!(report.tag_sent, "{report}");
        // Should Prosody wake between our tag and our FIN, it has time to answer.
        let expected = if report.tag_received { Outcome::Clean } else { Outcome::PeerEof };
        assert_eq!(report.outcome, expected, "{report}");
        outcomes.push(report.outcome.as_str());
    }
    println!("idle       | half-close, five times     | {}", outcomes.join(" "));
}
