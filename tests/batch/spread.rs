//! Closing tags spread over a time, so that not all peers come back at once (BK-04).

use std::{
    io::Read,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use xmpp_close::{Batch, BatchOptions, CloseOptions, Error, Incoming, Initiator, Outcome, Stanza, Stream};

use crate::peer::{self, PATIENCE, TAG};

fn ignore(_: Stanza<&str>) {}

#[test]
fn tags_are_spread_over_the_time_in_random_order() {
    const STREAMS: usize = 60;
    const SPREAD: Duration = Duration::from_millis(900);
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    for number in 0..STREAMS {
        let (ours, theirs) = peer::pair();
        let arrivals = arrivals.clone();
        peers.push(peer::peer(theirs, move |mut peer| {
            peer.read_tag();
            arrivals.lock().unwrap().push((number, Instant::now()));
            peer.send(TAG).expect_eof();
        }));
        batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    }
    let start = Instant::now();
    let done = batch.run(BatchOptions::new().total(PATIENCE).spread(SPREAD)).unwrap();
    for peer in peers {
        peer.join().unwrap();
    }
    assert_eq!(done.summary.count(Outcome::Clean), STREAMS, "{}", done.summary);
    let arrivals = arrivals.lock().unwrap();
    let order: Vec<_> = arrivals.iter().map(|(number, _)| *number).collect();
    assert!(!order.is_sorted(), "in the order in which they were added: {order:?}");
    // None can be early, however slow the machine is.
    let before = |time: Duration| arrivals.iter().filter(|(_, at)| *at - start < time).count();
    for quarter in 1..4 {
        let (time, most) = (SPREAD * quarter / 4, STREAMS * quarter as usize / 4 + 1);
        assert!(before(time) <= most, "{} of {STREAMS} tags within {time:?}", before(time));
    }
}

#[test]
fn a_stream_whose_turn_has_not_come_is_read_and_answered() {
    let got = Mutex::new(0);
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    // With 59 of 60 s left, all but the first would wait long.
    for _ in 0..3 {
        let (ours, theirs) = peer::pair();
        peers.push(peer::peer(theirs, |mut peer| {
            peer.send("<a/><b/>").send(TAG).read_tag().expect_eof();
        }));
        batch.add(ours, &CloseOptions::new(), |_| *got.lock().unwrap() += 1).unwrap();
    }
    let start = Instant::now();
    let options = BatchOptions::new().total(2 * PATIENCE).spread(PATIENCE);
    let done = batch.run(options).unwrap();
    for peer in peers {
        peer.join().unwrap();
    }
    assert_eq!(done.summary.count(Outcome::Clean), 3, "{}", done.summary);
    assert_eq!(*got.lock().unwrap(), 6);
    let by_peers = done.reports.iter().filter(|report| report.initiator == Some(Initiator::Peer)).count();
    assert!(by_peers >= 2, "{by_peers} closed by their peers");
    assert!(start.elapsed() < PATIENCE / 3, "they were answered at once, not in their turn");
}

#[test]
fn what_is_no_xmpp_is_answered_before_its_turn_with_an_error() {
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    for _ in 0..3 {
        let (ours, theirs) = peer::pair();
        peers.push(peer::peer(theirs, |mut peer| {
            peer.send("<a></b>");
            peer.tcp.read_to_end(&mut peer.got).unwrap();
            peer.text()
        }));
        batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    }
    let start = Instant::now();
    let done = batch.run(BatchOptions::new().total(2 * PATIENCE).spread(PATIENCE)).unwrap();
    let told =
        peers.into_iter().map(|peer| peer.join().unwrap()).filter(|text| text.contains("<not-well-formed ")).count();
    assert!(told >= 2, "{told} of 3 were told, though only one could be closed before"); // whose turn was the first
    assert_eq!(done.summary.count(Outcome::Malformed), 3, "{}", done.summary);
    assert!(start.elapsed() < PATIENCE / 3);
}

/// What a session saw of its peer before it came into the batch: nothing more is to be waited for.
#[test]
fn a_session_that_is_known_to_be_over_does_not_wait_for_its_turn() {
    const HEADER: &str = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>";
    const ERROR: &str = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    for (last, outcome) in
        [(ERROR, Outcome::Clean), (TAG, Outcome::Clean), ("<a></b>", Outcome::Malformed), ("", Outcome::PeerEof)]
    {
        let mut batch = Batch::new().unwrap();
        let mut peers = Vec::new();
        for _ in 0..4 {
            let (ours, theirs) = peer::pair();
            peers.push(peer::peer(theirs, move |mut peer| {
                peer.read_until("'>").send(format!("{}{last}", HEADER));
                if last.is_empty() {
                    peer.tcp.shutdown(std::net::Shutdown::Write).unwrap();
                }
                peer.read_tag();
                if last == ERROR {
                    peer.send(TAG);
                }
                peer.rest().unwrap();
            }));
            let mut stream = Stream::new(ours);
            stream.send(HEADER).unwrap();
            assert!(matches!(stream.receive(), Ok(Incoming::Header(_))));
            let seen = stream.receive();
            assert!(matches!(seen, Ok(Incoming::StreamError(_) | Incoming::PeerClosed) | Err(_)), "{seen:?}");
            batch.add_stream(stream, &CloseOptions::new(), ignore).unwrap();
        }
        let start = Instant::now();
        let done = batch.run(BatchOptions::new().total(2 * PATIENCE).spread(PATIENCE)).unwrap();
        assert!(start.elapsed() < PATIENCE / 3, "{last:?}: {:?}", start.elapsed());
        assert_eq!(done.summary.count(outcome), 4, "{last:?}: {}", done.summary);
        peers.into_iter().for_each(|peer| peer.join().unwrap());
    }
}

#[test]
fn a_spread_as_long_as_the_total_is_refused() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| peer.read_tag().send(TAG).expect_eof());
    let mut batch = Batch::new().unwrap();
    batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    let second = Duration::from_secs(1);
    let result = batch.run(BatchOptions::new().total(second).spread(second));
    assert!(matches!(result, Err(Error::Invalid(_))), "{result:?}");
    // Nothing is lost by the mistake.
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    assert_eq!(done.summary.count(Outcome::Clean), 1);
    assert!(batch.is_empty());
    peer.join().unwrap();
}

#[test]
fn a_spread_that_never_ends_does_not_overflow() {
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    for _ in 0..3 {
        let (ours, theirs) = peer::pair();
        // The peer closes first, so that nobody waits for a turn.
        peers.push(peer::peer(theirs, |mut peer| {
            peer.send(TAG).read_tag().expect_eof();
        }));
        batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    }
    let for_ever = Duration::MAX;
    let done = batch.run(BatchOptions::new().total(for_ever).spread(for_ever - Duration::from_secs(1))).unwrap();
    for peer in peers {
        peer.join().unwrap();
    }
    assert_eq!(done.summary.count(Outcome::Clean), 3, "{}", done.summary);
}
