//! What became of messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use xmpp_close::{Incoming, Stanza};

use crate::{
    client::{Client, is_bounce, number},
    party::Party,
    servers::Server,
};

/// How long the last messages may take to come, where it is known that some never will.
const QUIET: Duration = Duration::from_millis(500);
/// The same where all messages are expected.
const PATIENT: Duration = Duration::from_secs(10);

/// Where each of so many numbered messages went.
#[derive(Clone, Debug)]
pub struct Fate {
    pub late: usize,
    pub stored: usize,
    pub bounced: usize,
    pub lost: usize,
    /// What should not be: messages that came twice, or out of order.
    pub disorder: Vec<String>,
}

/// What bob's client got.
#[derive(Default)]
pub struct Got {
    pub bounces: Vec<usize>,
    pub messages: Vec<usize>,
}

impl Got {
    pub fn add(&mut self, stanzas: &[Stanza]) {
        for stanza in stanzas {
            if is_bounce(stanza) { self.bounces.push(number(stanza)) } else { self.messages.push(number(stanza)) }
        }
    }
}

/// Looks for all of bob's messages once the stream they were sent to has ended.
pub fn of_messages<P: Party>(
    party: &P,
    server: &dyn Server,
    (sent, read, late): (usize, usize, &[usize]),
    bob: &mut Client,
    got: &mut Got,
    loss_expected: bool,
) -> Fate {
    let quiet = if loss_expected { QUIET } else { PATIENT };
    got.add(&bob.ping());
    let missing = sent - read - late.len() - got.bounces.len();
    let stored = party.fetch_stored(server, missing, quiet);
    while read + late.len() + stored.len() + got.bounces.len() < sent {
        match bob.stream.receive_within(quiet).unwrap() {
            Incoming::Idle | Incoming::TimedOut => break,
            Incoming::Stanza(stanza) if stanza.name() == "message" => got.add(&[stanza]),
            _ => {}
        }
    }
    let mut fate = count(sent, read, late, &stored, &got.bounces);
    // What goes astray in one server is stored in another, by several processes at a time.
    if !loss_expected && !stored.is_sorted() {
        fate.disorder.push(format!("stored messages out of order: {stored:?}"));
    }
    fate
}

fn count(sent: usize, read: usize, late: &[usize], stored: &[usize], bounced: &[usize]) -> Fate {
    let mut disorder = Vec::new();
    // What follows on the same stream does so without a gap.
    if late.iter().enumerate().any(|(i, &number)| number != read + i) {
        disorder.push(format!("late messages out of order: {late:?}"));
    }
    let mut times = BTreeMap::new();
    for &number in late.iter().chain(stored).chain(bounced) {
        *times.entry(number).or_insert(0) += 1;
    }
    if let Some((number, times)) = times.iter().find(|(_, times)| **times > 1) {
        disorder.push(format!("message {number} came {times} times"));
    }
    let lost = sent - read - times.len();
    Fate { late: late.len(), stored: stored.len(), bounced: bounced.len(), lost, disorder }
}

/// How many of so many messages of ours bob did not get.
pub fn not_delivered(sent: usize, delivered: &[usize]) -> usize {
    let delivered: BTreeSet<_> = delivered.iter().filter(|number| **number < sent).collect();
    sent - delivered.len()
}
