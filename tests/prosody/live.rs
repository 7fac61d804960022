//! A client closes while another is still sending to it.

use std::thread;

use xmpp_close::{CloseOptions, Outcome};

use crate::{
    client::{Client, USUAL, is_bounce, number},
    prosody::Prosody,
};

const ALL: usize = 2000;
const READ: usize = 500;
const BODY: usize = 100;

/// Has alice read `READ` of `ALL` messages while they are sent, and end her stream. Returns the late and the stored.
fn live(server: &mut Prosody, end: impl FnOnce(Client) -> Vec<usize>) -> (Vec<usize>, Vec<usize>) {
    let mut alice = Client::available(server.addr, "alice", USUAL);
    let mut bob = Client::available(server.addr, "bob", USUAL);
    let bob = thread::spawn(move || {
        bob.send("alice", 0..ALL, BODY);
        let bounces = bob.ping().iter().filter(|message| is_bounce(message)).count();
        (bob, bounces)
    });
    assert_eq!(alice.read(READ), Vec::from_iter(0..READ));
    let late = end(alice);
    let (bob, bounces) = bob.join().unwrap();
    assert_eq!(bounces, 0);
    server.wait_for_clients(1);
    bob.close();
    (late, Client::take_stored(server.addr, "alice"))
}

fn print(how: &str, late: &[usize], stored: &[usize]) {
    let lost = ALL - READ - late.len() - stored.len();
    println!("live       | {how:<26} | late {:4} | stored {:4} | bounced 0 | lost {lost}", late.len(), stored.len());
}

#[test]
fn what_is_not_delivered_while_the_sender_goes_on_is_stored() {
    let mut server = Prosody::start();
    for _ in 0..3 {
        let (late, stored) = live(&mut server, |alice| {
            drop(alice.raw);
            let mut closing = alice.stream.begin(&CloseOptions::new()).unwrap();
            let late = closing.by_ref().map(|message| number(&message)).collect();
            let report = closing.finish();
            assert_eq!(report.outcome, Outcome::Clean, "{report}");
            late
        });
        print("handshake", &late, &stored);
        assert_eq!([late, stored].concat(), Vec::from_iter(READ..ALL), "each message once, and in order");
    }
    // How much is lost depends on who runs when, so it is only shown.
    let (late, stored) = live(&mut server, |alice| {
        alice.end_the_old_way("");
        Vec::new()
    });
    print("error + close(2)", &late, &stored);
    assert!(stored.iter().all(|number| (READ..ALL).contains(number)));
}
