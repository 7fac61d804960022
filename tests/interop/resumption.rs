//! Sessions that can be resumed (XEP-0198): what is left of a session after a detach, and after a close.

use xmpp_close::{CloseOptions, Outcome};

use crate::{
    client::{Client, SMALL, USUAL},
    ejabberd::Ejabberd,
    managed::{handle, managed, resume, resume_in_vain},
    servers::Server,
};

const ALL: usize = 400;
const READ: usize = 100;
const BODY: usize = 4000;

#[test]
fn a_session_at_ejabberd_outlives_a_detach_and_no_close() {
    let mut server = Ejabberd::start();
    let (mut alice, session) = managed(server.c2s(), SMALL, true);
    let handled = &session.handled;
    let mut bob = Client::available(server.c2s(), "bob", USUAL);
    bob.send("alice", 0..ALL, BODY);
    assert!(bob.ping().is_empty());
    assert_eq!(handle(&mut alice, READ, handled), Vec::from_iter(0..READ));
    alice.send("bob", 0..1, BODY);
    drop(alice.raw);
    let report = alice.stream.detach(&handled.at_the_end(CloseOptions::new())).unwrap();
    println!("ejabberd | detach | {report}");
    assert_eq!((report.outcome, report.tag_sent, report.bytes_unsent), (Outcome::Cancelled, false, 0), "{report}");
    assert_eq!(bob.read(1), [0]);

    let (mut alice, known) = resume(server.c2s(), &session);
    assert_eq!(known, 1);
    assert_eq!(
        handle(&mut alice, ALL - READ, handled),
        Vec::from_iter(READ..ALL),
        "nothing is lost, nothing comes twice"
    );

    drop(alice.raw);
    let report = alice.stream.close(&handled.at_the_end(CloseOptions::new())).unwrap();
    assert_eq!((report.outcome, handled.acknowledged() as usize), (Outcome::Clean, ALL), "{report}");
    assert_eq!(resume_in_vain(server.c2s(), &session), "item-not-found");
    server.wait_for_clients(1);
    assert!(bob.ping().is_empty(), "nothing is bounced");
    bob.close();
    assert_eq!(Client::take_stored(server.c2s(), "alice"), [0; 0]);
}
