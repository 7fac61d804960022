//! We end the stream.

use std::{sync::mpsc, thread};

use xmpp_close::{CloseOptions, Report, Transport};

use crate::{
    client::{Client, IDLE_ERROR, SMALL, USUAL, number, numbered},
    daemon::DOMAIN,
    fate::{self, Got},
    matrix::{Run, Way},
    party::{Party, bob},
    servers::Server,
};

/// Messages to us, and those of them we have read before we end the stream.
pub const ALL: usize = 2000;
pub const READ: usize = 500;
/// Together more than any socket buffer holds, so that most of it waits in the server.
pub const BODY: usize = 4000;
const LIVE_BODY: usize = 100;
/// Our own messages.
const OURS: usize = 2000;
const OUR_BODY: usize = 500;

/// Nothing is in flight.
pub fn idle<P: Party>(party: &P, server: &mut dyn Server, way: Way) -> Run {
    let client = party.enter(server, USUAL);
    let (late, report) = end(client, way, "");
    assert!(late.is_empty());
    server.wait_for_clients(0);
    Run { report, ..Run::default() }
}

/// Messages wait in the server, because we read slowly. With `ours`, we send as many just before the close.
pub fn waiting<P: Party>(party: &P, server: &mut dyn Server, way: Way, ours: bool, loss_expected: bool) -> Run {
    let mut client = party.enter(server, SMALL);
    let mut bob = bob(server);
    let mut got = Got::default();
    bob.send_to(&party.address(), 0..ALL, BODY);
    got.add(&bob.ping());
    assert!(got.bounces.is_empty(), "all is routed, and nothing came back");
    assert_eq!(client.read(READ), Vec::from_iter(0..READ));
    // Components have to say who they are.
    let attributes = format!("to='bob@{DOMAIN}' from='{}'", client.jid);
    let farewell = if ours { numbered(&attributes, 0..OURS, OUR_BODY) } else { String::new() };
    let (late, report) = end(client, way, &farewell);
    server.wait_for_clients(1);
    let fate = fate::of_messages(party, server, (ALL, READ, &late), &mut bob, &mut got, loss_expected);
    bob.close();
    server.wait_for_clients(0);
    let ours = ours.then(|| fate::not_delivered(OURS, &got.messages));
    Run { report, fate: Some(fate), ours }
}

/// Bob goes on sending while we end the stream.
pub fn live<P: Party>(party: &P, server: &mut dyn Server, way: Way, loss_expected: bool) -> Run {
    let mut client = party.enter(server, USUAL);
    let mut bob = bob(server);
    let address = party.address();
    let (sent, all_is_sent) = mpsc::channel();
    let sender = thread::spawn(move || {
        bob.send_to(&address, 0..ALL, LIVE_BODY);
        let mut got = Got::default();
        got.add(&bob.ping());
        sent.send((bob, got)).unwrap();
    });
    assert_eq!(client.read(READ), Vec::from_iter(0..READ));
    let (late, report) = end(client, way, "");
    sender.join().unwrap();
    let (mut bob, mut got) = all_is_sent.recv().unwrap();
    server.wait_for_clients(1);
    let fate = fate::of_messages(party, server, (ALL, READ, &late), &mut bob, &mut got, loss_expected);
    bob.close();
    server.wait_for_clients(0);
    Run { report, fate: Some(fate), ours: None }
}

/// Ends a stream, and returns the messages that came after that.
pub fn end<T: Transport>(client: Client<T>, way: Way, farewell: &str) -> (Vec<usize>, Option<Report>) {
    let Client { mut stream, raw, .. } = client;
    if way == Way::Old {
        stream.send(farewell.to_owned() + IDLE_ERROR).unwrap();
        return (Vec::new(), None); // both are dropped, which is close(2)
    }
    drop(raw);
    let options = CloseOptions::new().half_close(way == Way::HalfClose).farewell(farewell);
    let mut closing = stream.begin(&options).unwrap();
    let late = closing.by_ref().filter(|stanza| stanza.name() == "message").map(|message| number(&message)).collect();
    (late, Some(closing.finish()))
}
