//! The server is the first to close: because an administrator says so, or because it stops.

use std::io::ErrorKind;

use xmpp_close::{CloseOptions, Error, Incoming, Initiator, Outcome, Report};

use crate::{
    client::{Client, USUAL, messages, number},
    prosody::Prosody,
    relay::{Relay, Seen},
};

const BODY: usize = 100;
const OWED: usize = 300;

/// What alice does with a stream on which the server's closing tag has come, or is about to.
fn closed_by_server(server: &mut Prosody, how: &str, end: impl FnOnce(Client) -> Report) -> Report {
    let alice = Client::available(server.addr, "alice", USUAL);
    let mut bob = Client::available(server.addr, "bob", USUAL);
    server.close_stream_of("alice");
    let report = end(alice);
    server.wait_for_clients(1);
    let got: Vec<_> = bob.ping().iter().map(number).collect();
    bob.close();
    println!("kicked     | {how:<26} | delivered {:4} | lost {} | {report}", got.len(), OWED - got.len());
    assert_eq!(got, Vec::from_iter(0..OWED));
    assert_eq!((report.outcome, report.bytes_unsent), (Outcome::Clean, 0));
    report
}

#[test]
fn what_we_owe_arrives_when_the_server_closes_first() {
    let mut server = Prosody::start();

    let report = closed_by_server(&mut server, "tag seen, sent, answered", |mut alice| {
        assert!(matches!(alice.stream.receive().unwrap(), Incoming::PeerClosed));
        alice.send("bob", 0..OWED / 2, BODY);
        drop(alice.raw);
        alice.stream.close(&CloseOptions::new().farewell(messages("bob", OWED / 2..OWED, BODY))).unwrap()
    });
    assert_eq!(report.initiator, Some(Initiator::Peer));

    let report = closed_by_server(&mut server, "sent and closed, tag unseen", |mut alice| {
        assert!(alice.raw.peek(&mut [0]).unwrap() > 0, "the tag is there");
        alice.send("bob", 0..OWED, BODY);
        drop(alice.raw);
        alice.stream.close(&CloseOptions::new()).unwrap()
    });
    // Who began depends on when each side learns of the other's tag; here both may be told.
    assert_ne!(report.initiator, None);
}

/// Reads until there is a reason to close, and closes.
fn close_when_told(mut client: Client) -> Report {
    drop(client.raw);
    loop {
        match client.stream.receive() {
            Ok(Incoming::Stanza(_)) => {}
            Ok(Incoming::StreamError(_) | Incoming::PeerClosed) => break,
            Ok(other) => panic!("{other:?}"),
            Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    client.stream.close(&CloseOptions::new()).unwrap()
}

/// Closes without having looked at what has come.
fn close_unaware(client: Client) -> Report {
    let _ = client.raw.peek(&mut [0]).unwrap();
    drop(client.raw);
    client.stream.close(&CloseOptions::new()).unwrap()
}

fn condition(report: &Report) -> &str {
    report.stream_error.as_ref().map_or("no error", |error| error.condition().as_str())
}

fn print(how: &str, report: &Report) {
    println!("stopped    | {how:<26} | {}, {}", report.outcome, condition(report));
}

/// Stops a server while a client waits at it, which ends its stream then. It is connected over a relay, so that what
/// the server has said is known.
fn stopped(how: &str, end: impl FnOnce(Client) -> Report) -> Report {
    let server = Prosody::start();
    let relay = Relay::to(server.addr);
    let alice = Client::available(relay.addr, "alice", USUAL);
    // Prosody 0.12 tends to drop its last words to the client it heard last, so that is another one.
    let carol = Client::available(server.addr, "carol", USUAL);
    server.terminate();
    let report = end(alice);
    print(how, &report);
    drop(carol);
    if relay.finish().contains(&Seen::ServerTag) {
        assert_eq!((report.outcome, condition(&report)), (Outcome::Clean, "system-shutdown"), "{report}");
    } else {
        assert_eq!((report.outcome, condition(&report)), (Outcome::PeerEof, "no error"), "{report}");
    }
    report
}

/// Stops servers until one has said so.
fn stopped_and_told(how: &str, end: impl Fn(Client) -> Report) -> Report {
    let told = (0..10).map(|_| stopped(how, &end)).find(|report| report.tag_received);
    told.expect("ten times stopped, and never a word")
}

#[test]
fn a_server_that_stops_is_reported_with_its_stream_error() {
    let report = stopped_and_told("reading client", close_when_told);
    assert_eq!(report.initiator, Some(Initiator::Peer));
    assert_eq!(report.stream_error.unwrap().text(), Some("Received SIGTERM"));

    let report = stopped_and_told("closing client", close_unaware);
    assert_eq!(report.stream_error.unwrap().text(), Some("Received SIGTERM"));
}

#[test]
fn a_server_that_stops_while_we_write_is_reported_whatever_it_sends() {
    for _ in 0..3 {
        let server = Prosody::start();
        let mut alice = Client::available(server.addr, "alice", USUAL);
        // Somewhere among these Prosody stops reading, and the connection breaks.
        let mut sent = 0;
        let broken = loop {
            if sent == 500 {
                server.terminate();
            }
            if let Err(error) = alice.stream.send(messages("carol", sent..sent + 1, BODY)) {
                break error;
            }
            sent += 1;
        };
        assert!(matches!(broken, Error::Io(_)), "{broken}");
        let mut there = [0; 1000];
        let there = alice.raw.peek(&mut there).map(|count| String::from_utf8_lossy(&there[..count]).into_owned());
        let report = close_when_told(alice);
        print("writing client", &report);
        // Our tag cannot have gone out, so this is no clean end, whatever came.
        assert!(matches!(report.outcome, Outcome::PeerEof | Outcome::Reset), "{report}");
        assert!(!report.tag_sent && report.bytes_unsent > 0, "{report}");
        assert_eq!(condition(&report) == "system-shutdown", report.tag_received, "{report}");
        let said = there.is_ok_and(|there| there.contains("system-shutdown"));
        assert!(!said || report.tag_received, "it had come, but is not reported: {report}");
    }
}
