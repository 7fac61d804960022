//! The examples for programs that have a loop of their own: `polling` and `poll_server`, over poll(2), and `tokio`, in async
//! code.

#[path = "support/example.rs"]
mod example;
#[path = "support/peer.rs"]
mod peer;
#[cfg(feature = "batch")]
#[path = "loops/server.rs"]
mod server;

use std::{
    net::TcpListener,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use peer::{Peer, TAG};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'>";

/// A peer that is connected to at this address.
fn peer(script: impl FnOnce(Peer) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = thread::spawn(move || {
        let tcp = listener.accept().unwrap().0;
        tcp.set_read_timeout(Some(peer::PATIENCE)).unwrap();
        peer::peer(tcp, script).join().unwrap();
    });
    (address, peer)
}

/// The end of a stream whose other side is closed already, stanza by stanza and from within a stanza.
fn answer(mut peer: Peer) {
    peer.read_tag();
    for piece in [HEADER, "<presence/><mess", "age/>", TAG] {
        peer.send(piece);
    }
    peer.expect_eof();
    assert_eq!(peer.tags(), 1);
}

fn lines(example: &str) -> usize {
    let path = format!("{}/examples/{example}.rs", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap().lines().count()
}

/// The first peer answers when the second has seen the end of its TCP connection: a loop that ends its streams only
/// together would wait for ever. What the program prints of both may mix, for the second's end is read after that.
#[test]
fn a_poll_loop_ends_each_stream_when_its_peer_does() {
    let (ended, other_ended) = mpsc::channel();
    let (first, late) = peer(move |peer| {
        other_ended.recv().unwrap();
        answer(peer);
    });
    let (second, soon) = peer(move |peer| {
        answer(peer);
        ended.send(()).unwrap();
    });
    let output = example::run(&example::build("polling"), &[&first, &second], &[]);
    assert!(output.status.success(), "{output:?}");
    for address in [&first, &second] {
        let told: Vec<_> = output.stdout.lines().filter(|line| line.starts_with(address.as_str())).collect();
        assert_eq!(told.len(), 3, "{output:?}");
        assert_eq!(told[..2], [format!("{address} late: <presence/>"), format!("{address} late: <message/>")]);
        assert!(told[2].starts_with(&format!("{address}: clean: ")), "{output:?}");
    }
    late.join().unwrap();
    soon.join().unwrap();
    assert!(lines("polling") <= 60);
}

#[test]
fn a_close_in_async_code_hands_over_what_still_comes() {
    let (address, peer) = peer(answer);
    let output = example::run(&example::build("tokio"), &[&address], &[]);
    assert!(output.status.success(), "{output:?}");
    let told: Vec<_> = output.stdout.lines().collect();
    assert_eq!(told[..2], ["late: <presence/>", "late: <message/>"], "{output:?}");
    assert!(told.len() == 3 && told[2].starts_with("clean: "), "{output:?}");
    peer.join().unwrap();
    assert!(lines("tokio") <= 40);
}
