//! A client closes right after it has written a lot, with input it has not read.

use xmpp_close::{CloseOptions, Outcome};

use crate::{
    client::{Client, USUAL, messages, number},
    prosody::Prosody,
};

const ALL: usize = 2000;
const UNREAD: usize = 200;
const BODY: usize = 100;

/// Leaves messages unread in alice's socket, has her send `ALL` to bob and end her stream. Returns those bob gets.
fn own_output(server: &mut Prosody, end: impl FnOnce(Client, String)) -> Vec<usize> {
    let alice = Client::available(server.addr, "alice", USUAL);
    let mut bob = Client::available(server.addr, "bob", USUAL);
    bob.send("alice", 0..UNREAD, BODY);
    assert!(bob.ping().is_empty());
    assert!(alice.raw.peek(&mut [0]).unwrap() > 0, "something is unread");
    end(alice, messages("bob", 0..ALL, BODY));
    server.wait_for_clients(1);
    let got = bob.ping().iter().map(number).collect();
    bob.close();
    server.wait_for_clients(0);
    got
}

fn print(how: &str, got: &[usize]) {
    println!("own output | {how:<26} | delivered {:4} | lost {}", got.len(), ALL - got.len());
}

#[test]
fn our_last_output_arrives_although_input_is_unread() {
    let mut server = Prosody::start();

    let got = own_output(&mut server, |mut alice, output| {
        drop(alice.raw);
        alice.stream.send(output).unwrap();
        let report = alice.stream.close(&CloseOptions::new()).unwrap();
        assert_eq!((report.outcome, report.bytes_unsent), (Outcome::Clean, 0), "{report}");
        assert_eq!(report.stanzas, UNREAD as u64, "{report}");
    });
    print("sent, then handshake", &got);
    assert_eq!(got, Vec::from_iter(0..ALL));

    let got = own_output(&mut server, |alice, output| {
        drop(alice.raw);
        let report = alice.stream.close(&CloseOptions::new().farewell(output)).unwrap();
        assert_eq!((report.outcome, report.bytes_unsent), (Outcome::Clean, 0), "{report}");
    });
    print("farewell of the handshake", &got);
    assert_eq!(got, Vec::from_iter(0..ALL));

    // The RST has to overtake Prosody's reading, which a busy machine may give a head start.
    let lost = (0..5).any(|_| {
        let got = own_output(&mut server, |alice, output| alice.end_the_old_way(&output));
        print("error + close(2)", &got);
        got.len() < ALL
    });
    assert!(lost, "five times close(2) with unread input, and nothing was lost");
}
