//! Many sessions, closed in one batch by one thread while messages wait for all of them.

use std::sync::Mutex;

use xmpp_close::{Batch, BatchOptions, CloseOptions, Outcome};

use crate::{
    client::{Client, SMALL, USUAL, number},
    daemon::PATIENCE,
    prosody::Prosody,
};

const SESSIONS: usize = 100;
const MESSAGES: usize = 20;
/// Large enough that most of them wait in the server, since the receive buffers are small.
const BODY: usize = 4000;

#[test]
fn what_waits_for_each_of_a_hundred_sessions_arrives_in_order() {
    let mut server = Prosody::start();
    let mut bob = Client::available(server.addr, "bob", USUAL);
    let sessions: Vec<_> = (0..SESSIONS).map(|_| Client::available(server.addr, "alice", SMALL)).collect();
    for session in &sessions {
        bob.send_to(&session.jid, 0..MESSAGES, BODY);
    }
    assert!(bob.ping().is_empty(), "all is routed, and nothing came back");

    let late = Mutex::new(vec![Vec::new(); SESSIONS]);
    let mut batch = Batch::new().unwrap();
    for (index, session) in sessions.into_iter().enumerate() {
        drop(session.raw);
        let late = &late;
        let take = move |stanza: xmpp_close::Stanza<&str>| {
            if stanza.name() == "message" {
                late.lock().unwrap()[index].push(number(&stanza.into_owned()));
            } // the others are the presences of the other sessions
        };
        batch.add_stream(session.stream, &CloseOptions::new(), take).unwrap();
    }
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    println!("batch      | {}", done.summary);
    assert_eq!(done.summary.count(Outcome::Clean), SESSIONS, "{}", done.summary);
    assert!(late.lock().unwrap().iter().all(|numbers| *numbers == Vec::from_iter(0..MESSAGES)));
    server.wait_for_clients(1);
    bob.close();
    assert_eq!(Client::take_stored(server.addr, "alice"), Vec::<usize>::new());
}
