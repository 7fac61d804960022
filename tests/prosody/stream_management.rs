//! Sessions whose stanzas are acknowledged (XEP-0198): what a close leaves unacknowledged is stored, and a detached
//! session is resumed.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{CloseOptions, Initiator, Outcome, Report, xml};

use crate::{
    client::{Client, SMALL, USUAL, connect, messages, number},
    daemon::{DOMAIN, PASSWORD, PATIENCE},
    login,
    managed::{handle, managed, resume, resume_in_vain},
    prosody::{IDLE_LIMIT, Prosody},
    relay::{Relay, Seen},
    sm::{Handled, Managed},
};

/// Fewer than Prosody keeps for a session, which are 500.
pub const ALL: usize = 400;
pub const READ: usize = 100;
pub const BODY: usize = 4000;
const OWED: usize = 30;

/// What became of bob's messages to alice.
pub struct Fate {
    pub acknowledged: usize,
    pub late: Vec<usize>,
    pub stored: Vec<usize>,
}

impl Fate {
    pub fn twice(&self) -> usize {
        self.stored.iter().filter(|number| **number < READ || self.late.contains(number)).count()
    }

    pub fn lost(&self) -> usize {
        (READ..ALL).filter(|number| !self.late.contains(number) && !self.stored.contains(number)).count()
    }

    pub fn print(&self, how: &str) {
        println!(
            "managed    | {how:<26} | late {:4} | stored {:4} | acknowledged {:3} | twice {:3} | lost {}",
            self.late.len(),
            self.stored.len(),
            self.acknowledged,
            self.twice(),
            self.lost()
        );
    }
}

/// Bob's messages, as alice finds them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// All messages wait when alice closes.
    Wait,
    /// The messages are being sent when she closes.
    Live,
}

/// Has bob send `ALL` messages to alice. She handles `READ` of them and closes; then the test looks for the others.
/// `end` does what she does, and returns the late ones.
pub fn close_on<R>(
    server: &mut Prosody,
    addr: SocketAddr,
    messages: Messages,
    end: impl FnOnce(Client, &Managed) -> (Vec<usize>, R),
) -> (Fate, R) {
    let receive_buffer = if messages == Messages::Wait { SMALL } else { USUAL };
    let (alice, session) = managed(addr, receive_buffer, false);
    let mut bob = Client::available(server.addr, "bob", USUAL);
    let sender = thread::spawn(move || {
        bob.send("alice", 0..ALL, BODY);
        assert!(bob.ping().is_empty(), "all is routed, and nothing came back");
        bob
    });
    let mut bob = None;
    let mut sender = Some(sender);
    if messages == Messages::Wait {
        bob = sender.take().map(|sender| sender.join().unwrap());
    }
    let (late, result) = end(alice, &session);
    let acknowledged = session.handled.acknowledged() as usize;
    let mut bob = bob.or_else(|| sender.map(|sender| sender.join().unwrap())).unwrap();
    server.wait_for_clients(1);
    assert!(bob.ping().is_empty(), "nothing is bounced");
    bob.close();
    let stored = Client::take_stored(server.addr, "alice");
    server.wait_for_clients(0);
    (Fate { acknowledged, late, stored }, result)
}

fn close(mut alice: Client, session: &Managed, options: &CloseOptions) -> (Vec<usize>, Report) {
    assert_eq!(handle(&mut alice, READ, &session.handled), Vec::from_iter(0..READ));
    drop(alice.raw);
    let mut closing = alice.stream.begin(options).unwrap();
    let mut late = Vec::new();
    for stanza in closing.by_ref() {
        session.handled.count(&stanza);
        if stanza.name() == "message" {
            late.push(number(&stanza));
        }
    }
    (late, closing.finish())
}

fn with_final_ack(alice: Client, session: &Managed) -> (Vec<usize>, Report) {
    close(alice, session, &session.handled.at_the_end(CloseOptions::new()))
}

fn without(alice: Client, session: &Managed) -> (Vec<usize>, Report) {
    close(alice, session, &CloseOptions::new())
}

#[test]
fn what_was_handled_before_the_tag_is_acknowledged_and_all_else_is_stored() {
    let mut server = Prosody::start();
    let addr = server.addr;

    let (with, report) = close_on(&mut server, addr, Messages::Wait, with_final_ack);
    with.print("handshake, final <a/>");
    assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Us)), "{report}");
    assert!(with.acknowledged >= READ, "{}", with.acknowledged);
    assert_eq!(with.late, Vec::from_iter(READ..ALL), "all came, in order");
    assert_eq!(with.stored, Vec::from_iter(with.acknowledged..ALL), "exactly what was not acknowledged");

    let (without, report) = close_on(&mut server, addr, Messages::Wait, without);
    without.print("handshake alone");
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    assert_eq!(without.late, Vec::from_iter(READ..ALL));
    assert_eq!(without.stored, Vec::from_iter(0..ALL), "nothing was acknowledged");

    assert_eq!((with.lost(), without.lost()), (0, 0));
    assert_eq!(without.twice() - with.twice(), with.acknowledged);
}

#[test]
fn nothing_is_lost_while_the_sender_goes_on() {
    let mut server = Prosody::start();
    let addr = server.addr;
    for _ in 0..3 {
        let (fate, report) = close_on(&mut server, addr, Messages::Live, with_final_ack);
        fate.print("live, final <a/>");
        assert_eq!(report.outcome, Outcome::Clean, "{report}");
        assert_eq!(fate.late, Vec::from_iter(READ..READ + fate.late.len()));
        assert_eq!(fate.stored, Vec::from_iter(fate.acknowledged..ALL), "exactly what was not acknowledged");
        assert_eq!(fate.lost(), 0);
    }
}

/// What the client sent, as the relay saw it.
pub fn sent(relay: Relay) -> String {
    let bytes = relay.finish().into_iter().flat_map(|seen| if let Seen::Client(bytes) = seen { bytes } else { vec![] });
    String::from_utf8(bytes.collect()).unwrap()
}

/// The `<a/>` that was the last element before the end, and the only one.
pub fn assert_final_ack(sent: &str, acknowledged: usize, tag: &str) {
    let end = format!("<a xmlns='urn:xmpp:sm:3' h='{acknowledged}'/>{tag}");
    assert!(sent.ends_with(&end), "{end} is not the end of …{}", &sent[sent.len() - end.len() - 100..]);
    assert_eq!(sent.matches("<a ").count(), 1, "one acknowledgement, at the end");
}

#[test]
fn the_final_acknowledgement_is_the_last_element_before_the_tag() {
    let mut server = Prosody::start();
    let relay = Relay::to(server.addr);
    let (fate, report) = close_on(&mut server, relay.addr, Messages::Wait, with_final_ack);
    fate.print("the same over a relay");
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    assert_eq!(fate.stored, Vec::from_iter(fate.acknowledged..ALL));
    assert_final_ack(&sent(relay), fate.acknowledged, "</stream:stream>");
}

/// Has alice handle `READ` of `ALL` messages and detach; then resumes her session, in which nothing is lost and nothing
/// comes twice, and closes it. `detach` does what she does first, and sends `OWED` messages to bob with it.
pub fn detach_and_resume(server: &mut Prosody, addr: SocketAddr, detach: impl FnOnce(Client, &Managed, &str)) {
    let (alice, session) = managed(addr, SMALL, true);
    let handled = &session.handled;
    let mut bob = Client::available(server.addr, "bob", USUAL);
    bob.send("alice", 0..ALL, BODY);
    assert!(bob.ping().is_empty());
    detach(alice, &session, &messages("bob", 0..OWED, BODY));
    assert_eq!(handled.acknowledged() as usize, READ, "what is discarded is not acknowledged");
    assert_eq!(bob.read(OWED), Vec::from_iter(0..OWED));

    let (mut alice, known) = resume(server.addr, &session);
    assert_eq!(known, OWED);
    assert_eq!(handle(&mut alice, ALL - READ, handled), Vec::from_iter(READ..ALL));
    bob.send("alice", ALL..ALL + 1, BODY);
    assert_eq!(handle(&mut alice, 1, handled), [ALL], "it is the session's stream now");

    drop(alice.raw);
    let report = alice.stream.close(&handled.at_the_end(CloseOptions::new())).unwrap();
    assert_eq!((report.outcome, handled.acknowledged() as usize), (Outcome::Clean, ALL + 1), "{report}");
    assert_eq!(resume_in_vain(server.addr, &session), "item-not-found");
    server.wait_for_clients(1);
    assert!(bob.ping().is_empty());
    bob.close();
    assert_eq!(Client::take_stored(server.addr, "alice"), [0; 0], "all is acknowledged");
    server.wait_for_clients(0);
}

#[test]
fn a_detached_session_is_resumed_with_the_rest_and_a_closed_one_is_not() {
    let mut server = Prosody::start();
    let relay = Relay::to(server.addr);
    let addr = relay.addr;
    detach_and_resume(&mut server, addr, |mut alice, session, owed| {
        assert_eq!(handle(&mut alice, READ, &session.handled), Vec::from_iter(0..READ));
        drop(alice.raw);
        let options = session.handled.at_the_end(CloseOptions::new().farewell(owed));
        let report = alice.stream.detach(&options).unwrap();
        println!("managed    | detach                     | {report}");
        assert_eq!((report.outcome, report.tag_sent, report.bytes_unsent), (Outcome::Cancelled, false, 0), "{report}");
    });
    assert_final_ack(&sent(relay), READ, "");
}

#[test]
fn a_close_in_the_place_of_a_detach_ends_the_session() {
    let server = Prosody::start();
    let (alice, session) = managed(server.addr, USUAL, true);
    alice.close();
    assert_eq!(resume_in_vain(server.addr, &session), "item-not-found");
}

#[test]
fn the_idle_limit_is_read_from_the_features() {
    let server = Prosody::start();
    let opened = login::open(connect(server.addr, USUAL), DOMAIN, PATIENCE).unwrap();
    let announced = Some(Duration::from_secs(IDLE_LIMIT));
    assert_eq!(xml::idle_seconds(&opened.features), announced, "{}", opened.features);
    let session = login::log_in(opened, DOMAIN, "alice", PASSWORD, Instant::now() + PATIENCE).unwrap();
    assert_eq!(xml::idle_seconds(&session.features), announced, "{}", session.features);
    assert_eq!(session.stream.close(&CloseOptions::new()).unwrap().outcome, Outcome::Clean);
}

/// Sends bob's messages to a managed alice until Prosody has asked her what she has handled; how many elements came.
fn until_asked(bob: &mut Client, alice: &mut Client, handled: &Handled) -> u32 {
    let (mut elements, mut asked) = (0, false);
    for number in 0.. {
        bob.send("alice", number..number + 1, 10);
        alice.read_message(|stanza| {
            handled.count(stanza);
            elements += 1;
            asked |= stanza.name() == "r";
        });
        if asked {
            break;
        }
    }
    elements
}

/// An acknowledgement of more than was sent is an error, so it matters what is counted.
#[test]
fn requests_for_an_acknowledgement_are_not_counted_among_what_was_handled() {
    let server = Prosody::start();
    for all in [false, true] {
        let (mut alice, session) = managed(server.addr, USUAL, false);
        let mut bob = Client::available(server.addr, "bob", USUAL);
        let elements = until_asked(&mut bob, &mut alice, &session.handled);
        let stanzas = session.handled.number();
        assert!(elements > stanzas, "{elements} elements, {stanzas} stanzas");
        drop(alice.raw);
        let number = if all { elements } else { stanzas };
        let last_word = format!("<a xmlns='urn:xmpp:sm:3' h='{number}'/>");
        let report = alice.stream.close(&CloseOptions::new().farewell(last_word)).unwrap();
        println!("managed    | h='{number}' for {stanzas} stanzas      | {report}");
        assert_eq!(report.outcome, Outcome::Clean, "{report}");
        assert_eq!(report.stream_error.is_some(), all, "{report}");
        bob.close();
    }
}

/// What we sent is acknowledged among the late elements, so they are to be read to the end; after `clean`, all of it.
#[test]
fn after_a_clean_close_of_ours_the_server_has_handled_all_that_we_sent() {
    let server = Prosody::start();
    for _ in 0..3 {
        let (alice, session) = managed(server.addr, USUAL, false);
        let mut bob = Client::available(server.addr, "bob", USUAL);
        drop(alice.raw);
        let mut closing = alice.stream.begin(&CloseOptions::new().farewell(messages("bob", 0..OWED, BODY))).unwrap();
        let mut acknowledged = Vec::new();
        for element in closing.by_ref() {
            session.handled.count(&element);
            if element.name() == "a" {
                acknowledged.push(crate::client::attribute(&element, "h").unwrap());
            }
        }
        let report = closing.finish();
        println!("managed    | our own, unacknowledged    | {report}; acknowledged {acknowledged:?}");
        assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Us)), "{report}");
        assert_eq!(bob.read(OWED), Vec::from_iter(0..OWED), "none is lost, and none comes twice");
        assert_eq!(acknowledged.last(), Some(&OWED.to_string()), "Prosody's last word before its tag");
        bob.close();
    }
}
