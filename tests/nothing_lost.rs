//! Everything that both sides wrote before their closing tags arrives, and nothing is on the wire behind our tag.

#[path = "support/local.rs"]
mod local;
#[path = "support/peer.rs"]
mod peer;

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use peer::TAG;
use xmpp_close::{CloseOptions, Incoming, Initiator, Outcome, OwnedSocket, Stream, Transport};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// A numbered stanza of `bytes` bytes.
fn stanza(n: usize, bytes: usize) -> String {
    let start = format!("<message id='{n}'><body>");
    let end = "</body></message>";
    let filler = "x".repeat(bytes - start.len() - end.len());
    start + &filler + end
}

/// The peer writes `theirs` bytes, then its tag, and only then reads; we have `ours` bytes pending. Nobody may wait for
/// ever.
fn both_write_before_reading((ours, theirs): (TcpStream, TcpStream), our_bytes: usize, their_bytes: usize) {
    const SIZE: usize = 4096;
    let farewell: String = (0..our_bytes / SIZE).map(|n| stanza(n, SIZE)).collect();
    let expected = farewell.clone() + TAG;
    let peer = peer::peer(theirs, move |mut peer| {
        for n in 0..their_bytes / SIZE {
            peer.send(stanza(n, SIZE));
        }
        peer.send(TAG);
        peer.rest().unwrap();
        assert!(peer.got == expected.as_bytes(), "{} bytes of {}", peer.got.len(), expected.len());
    });
    let mut closing = CloseOptions::new().total(peer::PATIENCE).farewell(farewell).begin(ours).unwrap();
    let mut count = 0;
    for late in &mut closing {
        assert_eq!(late.as_str(), stanza(count, SIZE));
        count += 1;
    }
    let report = closing.finish();
    assert_eq!(count, their_bytes / SIZE, "{report}");
    assert_eq!(report.outcome, Outcome::Clean, "{report}");
    assert_eq!((report.bytes_unsent, report.stanzas), (0, count as u64));
    peer.join().unwrap();
}

#[test]
fn two_peers_that_write_before_reading_get_everything() {
    both_write_before_reading(peer::pair(), 5_000_000, 20_000_000);
}

#[test]
fn two_peers_that_write_before_reading_get_everything_through_small_buffers() {
    both_write_before_reading(peer::pair_with_buffers(4096), peer::many(5_000_000), peer::many(20_000_000));
}

#[test]
fn late_stanzas_arrive_in_order() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag();
        let mut buffer = std::io::BufWriter::new(&peer.tcp);
        for n in 0..100_000 {
            write!(buffer, "<message id='{n}'/>").unwrap();
        }
        buffer.write_all(TAG.as_bytes()).unwrap();
        buffer.flush().unwrap();
        drop(buffer);
        peer.expect_eof();
    });
    let mut closing = CloseOptions::new().begin(ours).unwrap();
    let mut count = 0;
    for stanza in &mut closing {
        assert_eq!(stanza.as_str(), format!("<message id='{count}'/>"));
        count += 1;
    }
    let report = closing.finish();
    assert_eq!((report.outcome, report.stanzas, count), (Outcome::Clean, 100_000, 100_000), "{report}");
    peer.join().unwrap();
}

#[test]
fn late_stanzas_can_be_read_as_bytes() {
    let (ours, theirs) = peer::pair();
    let late = peer::stanzas(1000);
    let sent = late.clone() + TAG + "\n<junk/>";
    let peer = peer::peer(theirs, move |mut peer| {
        peer.read_tag().send(sent);
        peer.expect_eof();
    });
    let mut closing = CloseOptions::new().begin(ours).unwrap();
    let mut got = String::new();
    closing.bytes().read_to_string(&mut got).unwrap();
    assert_eq!(got, late + TAG, "the closing tag is the last byte of the stream");
    let report = closing.finish();
    assert_eq!((report.outcome, report.stanzas, report.bytes_after_tag), (Outcome::Clean, 1000, 8), "{report}");
    peer.join().unwrap();
}

/// The kernel must never answer the peer with a RST that destroys our last bytes (TC-02, TC-03).
#[test]
fn bytes_after_the_peers_tag_never_cost_it_our_last_bytes() {
    let farewell = peer::stanzas(500);
    for round in 0..1000 {
        let (ours, theirs) = peer::pair();
        let expected = farewell.clone() + TAG;
        let peer = peer::peer(theirs, move |mut peer| {
            // Junk before, between and after, while none of our output has been read.
            peer.send(TAG).send("\n").send("<junk/>".repeat(round % 50));
            let _ = peer.tcp.write_all(b" ");
            peer.rest().unwrap_or_else(|error| panic!("{error} in round {round}"));
            assert!(peer.got == expected.as_bytes(), "round {round}: {} bytes of {}", peer.got.len(), expected.len());
        });
        let report = CloseOptions::new().farewell(farewell.clone()).close(ours).unwrap();
        assert_eq!(report.outcome, Outcome::Clean, "{report}");
        peer.join().unwrap();
    }
}

#[test]
fn a_megabyte_of_junk_after_the_tag_is_swallowed_and_counted() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send(TAG).send(vec![b'x'; 1 << 20]);
        peer.expect_eof();
    });
    let report = CloseOptions::new().close(ours).unwrap();
    assert_eq!((report.outcome, report.bytes_after_tag), (Outcome::Clean, 1 << 20), "{report}");
    peer.join().unwrap();
}

#[test]
fn a_stanza_over_the_limit_is_passed_over_and_the_rest_delivered() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send(stanza(1, 20_000)).send(stanza(2, 9_999)).send(stanza(3, 500_000)).send(TAG);
        peer.expect_eof();
    });
    // XM-08: never below 10 000 bytes, whatever is asked for.
    let mut closing = CloseOptions::new().stanza_limit(1).begin(ours).unwrap();
    let late: Vec<_> = (&mut closing).map(|stanza| stanza.as_bytes().len()).collect();
    let report = closing.finish();
    assert_eq!(late, [9_999]);
    assert_eq!((report.outcome, report.stanzas, report.oversize), (Outcome::Clean, 1, 2), "{report}");
    peer.join().unwrap();
}

/// One close over any kind of transport, against a peer that is the other end of a Unix or TCP socket.
fn closes_over<T: Transport>(ours: T, mut theirs: impl Read + Write + Send + 'static) {
    let peer = thread::spawn(move || {
        let mut got = [0; TAG.len()];
        theirs.read_exact(&mut got).unwrap();
        theirs.write_all((peer::stanzas(10) + TAG).as_bytes()).unwrap();
        let mut rest = Vec::new();
        theirs.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    });
    let mut closing = CloseOptions::new().begin(ours).unwrap();
    assert_eq!((&mut closing).count(), 10);
    assert!(closing.finish().is_clean());
    peer.join().unwrap();
}

#[test]
fn every_kind_of_socket_closes_blocking_or_not() {
    for nonblocking in [false, true] {
        let (ours, theirs) = peer::pair();
        ours.set_nonblocking(nonblocking).unwrap();
        closes_over(ours, theirs);
        let (ours, theirs) = local::pair();
        ours.set_nonblocking(nonblocking).unwrap();
        closes_over(ours, theirs);
        let (ours, theirs) = local::pair();
        ours.set_nonblocking(nonblocking).unwrap();
        closes_over(OwnedSocket::from(ours), theirs);
    }
}

/// On Windows a socket does not tell its mode.
#[test]
#[cfg(unix)]
fn a_borrowed_socket_comes_back_as_it_was() {
    use std::{os::fd::AsFd, time::Duration};
    for nonblocking in [false, true] {
        let (ours, theirs) = peer::pair();
        ours.set_nonblocking(nonblocking).unwrap();
        ours.set_read_timeout(Some(Duration::from_secs(7))).unwrap();
        ours.set_write_timeout(Some(Duration::from_secs(8))).unwrap();
        let socket = socket2::SockRef::from(&ours);
        socket.set_linger(Some(Duration::from_secs(9))).unwrap();
        let state = || {
            (
                socket.nonblocking().unwrap(),
                socket.read_timeout().unwrap(),
                socket.write_timeout().unwrap(),
                socket.linger().unwrap(),
            )
        };
        let before = state();
        closes_over(ours.as_fd(), theirs);
        assert_eq!(state(), before);
        assert_eq!(before.0, nonblocking);
    }
}

#[test]
fn a_session_keeps_what_comes_while_it_sends_and_what_is_queued_when_it_closes() {
    const COUNT: usize = 3000;
    let (ours, theirs) = peer::pair_with_buffers(4096);
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER);
        for n in 0..COUNT {
            peer.send(stanza(n, 300)); // before a single read
        }
        peer.read_tag().send(TAG);
        peer.expect_eof();
        let expected: String = (0..COUNT).map(|n| stanza(n, 300)).collect();
        assert!(peer.got == (HEADER.to_owned() + &expected + TAG).as_bytes());
    });
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    for n in 0..COUNT {
        stream.send(stanza(n, 300)).unwrap();
    }
    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
    let Incoming::Stanza(first) = stream.receive().unwrap() else { panic!() };
    assert_eq!(first.as_str(), stanza(0, 300));
    let mut closing = stream.begin(&CloseOptions::new().total(peer::PATIENCE)).unwrap();
    let late: Vec<_> = (&mut closing).map(|stanza| stanza.as_str().to_owned()).collect();
    assert!(late.iter().zip(1..).all(|(late, n)| *late == stanza(n, 300)));
    let report = closing.finish();
    assert_eq!((late.len(), report.outcome, report.initiator), (COUNT - 1, Outcome::Clean, Some(Initiator::Us)));
    peer.join().unwrap();
}
