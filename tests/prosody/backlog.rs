//! Messages wait in the server for a client that reads slowly, and then closes.

use std::net::SocketAddr;

use xmpp_close::{CloseOptions, Initiator, Outcome, Report};

use crate::{
    client::{Client, SMALL, USUAL, is_bounce, number},
    prosody::Prosody,
    relay::{Relay, Seen},
};

pub const ALL: usize = 2000;
pub const READ: usize = 500;
const BODY: usize = 4000;
const TAG: &[u8] = b"</stream:stream>";

/// What became of bob's messages to alice.
pub struct Fate {
    pub late: Vec<usize>,
    stored: usize,
    bounced: usize,
}

impl Fate {
    fn lost(&self) -> usize {
        ALL - READ - self.late.len() - self.stored - self.bounced
    }

    pub fn print(&self, how: &str) {
        let (late, lost) = (self.late.len(), self.lost());
        println!(
            "backlog    | {how:<26} | late {late:4} | stored {:4} | bounced {} | lost {lost}",
            self.stored, self.bounced
        );
    }
}

/// Lets `ALL` messages wait for alice. She reads `READ` of them and ends her stream; then the test looks for the
/// others.
pub fn backlog<R>(server: &mut Prosody, addr: SocketAddr, end: impl FnOnce(Client) -> (Vec<usize>, R)) -> (Fate, R) {
    let alice = Client::available(addr, "alice", SMALL);
    let mut bob = Client::available(server.addr, "bob", USUAL);
    bob.send("alice", 0..ALL, BODY);
    assert!(bob.ping().is_empty(), "all is routed, and nothing came back");
    let (late, result) = end(alice);
    server.wait_for_clients(1);
    let bounced = bob.ping().iter().filter(|message| is_bounce(message)).count();
    bob.close();
    let stored = Client::take_stored(server.addr, "alice").len();
    server.wait_for_clients(0);
    (Fate { late, stored, bounced }, result)
}

fn close(options: &CloseOptions, mut alice: Client) -> (Vec<usize>, Report) {
    assert_eq!(alice.read(READ), Vec::from_iter(0..READ));
    drop(alice.raw);
    let mut closing = alice.stream.begin(options).unwrap();
    let late = closing.by_ref().map(|message| number(&message)).collect();
    (late, closing.finish())
}

#[test]
fn a_backlog_arrives_in_order_and_the_old_way_loses_it() {
    let mut server = Prosody::start();
    let addr = server.addr;
    let plain = CloseOptions::new();

    let (fate, report) = backlog(&mut server, addr, |alice| close(&plain, alice));
    fate.print("handshake");
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    assert_eq!((report.initiator, report.stanzas), (Some(Initiator::Us), (ALL - READ) as u64));
    assert_eq!(fate.late, Vec::from_iter(READ..ALL));

    let (fate, ()) = backlog(&mut server, addr, |mut alice| {
        assert_eq!(alice.read(READ), Vec::from_iter(0..READ));
        alice.end_the_old_way("");
        (Vec::new(), ())
    });
    fate.print("error + close(2)");
    assert!(fate.lost() > 0);

    let (fate, report) = backlog(&mut server, addr, |alice| close(&plain.clone().half_close(true), alice));
    fate.print(&format!("half-close: {}", report.outcome));
    // What Prosody makes of it is Prosody's affair; that a loss is never called clean is ours.
    assert!(fate.lost() == 0 || report.outcome != Outcome::Clean, "{report}");
    assert_eq!(fate.late, Vec::from_iter(READ..READ + fate.late.len()));
}

#[test]
fn nothing_follows_our_closing_tag_but_our_fin_after_the_peers_tag() {
    let mut server = Prosody::start();
    let relay = Relay::to(server.addr);
    let (fate, report) = backlog(&mut server, relay.addr, |alice| close(&CloseOptions::new(), alice));
    fate.print("handshake over a relay");
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    assert_eq!(fate.late, Vec::from_iter(READ..ALL));

    let seen = relay.finish();
    let sent: Vec<u8> =
        seen.iter().flat_map(|seen| if let Seen::Client(bytes) = seen { &bytes[..] } else { &[] }).copied().collect();
    assert!(sent.ends_with(TAG));
    assert_eq!(sent.windows(TAG.len()).filter(|window| *window == TAG).count(), 1, "one tag, and it is the last");
    let order: Vec<_> = seen.iter().filter(|seen| !matches!(seen, Seen::Client(_))).collect();
    assert_eq!(order[0], &Seen::ServerTag, "{order:?}");
    assert!(order.contains(&&Seen::ClientFin) && order.len() == 3, "two ends, no reset: {order:?}");
}
