//! Streams that are taken out of a batch again, before or after their close began: nothing is lost, and no end is told.

use std::{
    net::TcpStream,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use xmpp_close::{Batch, BatchOptions, CloseOptions, Condition, Incoming, Removed, Stanza, Stream, StreamError};

use crate::peer::{self, PATIENCE, Peer, TAG};

const HEADER: &str = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>";

fn ignore(_: Stanza<&str>) {}

/// A batch in which no stream has its turn while a test lasts, but for the rarest of chances, and which is told of no
/// end.
fn patient() -> Batch<'static> {
    let mut batch = Batch::new().unwrap();
    let day = Duration::from_secs(86_400);
    batch.set(BatchOptions::new().spread(day).on_end(|index, report| panic!("{index}: {report}"))).unwrap();
    batch
}

type Delivered = Arc<Mutex<Vec<String>>>;

fn collecting(delivered: &Delivered) -> impl FnMut(Stanza<&str>) + Send + use<> {
    let delivered = delivered.clone();
    move |stanza| delivered.lock().unwrap().push(stanza.as_str().to_owned())
}

fn turn_until(batch: &mut Batch<'_>, mut condition: impl FnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < patience, "waited too long");
        batch.turn(Duration::from_millis(10)).unwrap();
    }
}

fn peer_of(tcp: TcpStream) -> Peer {
    Peer { tcp, got: Vec::new() }
}

#[test]
fn what_has_not_begun_is_as_open_as_it_was() {
    let mut batch = patient();
    let (ours, theirs) = peer::pair();
    let mut peer = peer_of(theirs);
    let delivered = Delivered::default();
    let options = CloseOptions::new()
        .farewell("<never-said/>")
        .farewell_with(|| b"<nor-this/>".to_vec())
        .stream_error(StreamError::new(Condition::Reset).unwrap());
    let index = batch.add(ours, &options, collecting(&delivered)).unwrap();
    peer.send("<a/><b n='1'"); // half of it is read by the batch
    turn_until(&mut batch, || delivered.lock().unwrap().len() == 1);
    let Some(Removed::Open(mut stream)) = batch.remove(index) else { panic!("it was not begun") };
    assert!(batch.is_empty());
    assert!(batch.remove(index).is_none());
    assert_eq!(*delivered.lock().unwrap(), ["<a/>"]);
    peer.send("/><c/>");
    for expected in ["<b n='1'/>", "<c/>"] {
        let got = stream.receive_within(PATIENCE).unwrap();
        assert!(matches!(&got, Incoming::Stanza(stanza) if stanza.as_str() == expected), "{got:?}");
    }
    stream.send("<answer/>").unwrap();
    let peer = peer::peer(peer.tcp, |mut peer| {
        peer.read_tag().send(TAG).expect_eof();
        peer.text()
    });
    assert!(stream.close(&CloseOptions::new().farewell("<bye/>").total(PATIENCE)).unwrap().is_clean());
    assert_eq!(peer.join().unwrap(), format!("<answer/><bye/>{TAG}"));
}

#[test]
fn a_stream_that_was_taken_out_can_be_added_again() {
    let mut batch = patient();
    let (ours, theirs) = peer::pair();
    let first = batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    batch.turn(Duration::ZERO).unwrap();
    let Some(Removed::Open(stream)) = batch.remove(first) else { panic!("it was not begun") };
    let delivered = Delivered::default();
    let second = batch.add_stream(stream, &CloseOptions::new(), collecting(&delivered)).unwrap();
    assert!(second > first);
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send("<late/>").send(TAG).expect_eof();
        peer.tags()
    });
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    assert!(done.reports.len() == 1 && done.reports[0].is_clean(), "{}", done.summary);
    assert_eq!(done.summary.streams, 1, "{}", done.summary);
    assert_eq!(*delivered.lock().unwrap(), ["<late/>"]);
    assert_eq!(peer.join().unwrap(), 1);
}

#[test]
fn what_has_begun_goes_on_as_a_close() {
    let mut batch = Batch::new().unwrap();
    batch.set(BatchOptions::new().on_end(|index, report| panic!("{index}: {report}"))).unwrap();
    let (ours, theirs) = peer::pair();
    let mut peer = peer_of(theirs);
    let delivered = Delivered::default();
    let index = batch.add(ours, &CloseOptions::new().total(PATIENCE), collecting(&delivered)).unwrap();
    batch.turn(Duration::ZERO).unwrap();
    peer.read_tag().send("<a/><b n='1'");
    turn_until(&mut batch, || delivered.lock().unwrap().len() == 1);
    let Some(Removed::Closing(mut closing)) = batch.remove(index) else { panic!("it was begun") };
    assert_eq!(batch.turn(Duration::ZERO).unwrap(), 0);
    let peer = peer::peer(peer.tcp, |mut peer| {
        peer.send("/><c/>").send(TAG).expect_eof();
    });
    let late: Vec<_> = closing.by_ref().map(|stanza| stanza.as_str().to_owned()).collect();
    assert_eq!(late, ["<b n='1'/>", "<c/>"]);
    let report = closing.finish();
    assert!(report.is_clean() && report.stanzas == 3, "{report}");
    peer.join().unwrap();
}

/// Before it had a turn, and between two streams that stay.
#[test]
fn a_stream_can_be_taken_out_as_soon_as_it_is_in() {
    let mut batch = Batch::new().unwrap();
    let (streams, theirs): (Vec<_>, Vec<_>) = (0..3).map(|_| peer::pair()).unzip();
    for tcp in streams {
        batch.add(tcp, &CloseOptions::new().total(PATIENCE), ignore).unwrap();
    }
    let Some(Removed::Open(stream)) = batch.remove(1) else { panic!("it was not begun") };
    assert_eq!(batch.len(), 2);
    let mut peers = theirs.into_iter().map(|tcp| {
        peer::peer(tcp, |mut peer| {
            peer.read_tag().send(TAG).expect_eof();
        })
    });
    let (first, second, third) = (peers.next().unwrap(), peers.next().unwrap(), peers.next().unwrap());
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    assert_eq!((done.summary.streams, done.reports.len()), (2, 2), "{}", done.summary);
    assert!(done.reports.iter().all(xmpp_close::Report::is_clean));
    drop(batch);
    first.join().unwrap();
    third.join().unwrap();
    assert!(stream.close(&CloseOptions::new().total(PATIENCE)).unwrap().is_clean());
    second.join().unwrap();
}

/// Our header had not gone out when it came into the batch: it still goes out once.
#[test]
fn a_session_without_a_header_still_has_none() {
    for sends in [true, false] {
        let mut batch = patient();
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, |mut peer| {
            peer.send(HEADER).read_tag().send(TAG).expect_eof();
            peer.text()
        });
        let mut stream = Stream::new(ours);
        assert!(matches!(stream.receive(), Ok(Incoming::Header(_))));
        let index = batch.add_stream(stream, &CloseOptions::new(), ignore).unwrap();
        batch.turn(Duration::ZERO).unwrap();
        let Some(Removed::Open(mut stream)) = batch.remove(index) else { panic!("it was not begun") };
        if sends {
            stream.send(format!("{HEADER}<mine/>")).unwrap();
        }
        assert!(stream.close(&CloseOptions::new().total(PATIENCE)).unwrap().is_clean());
        let got = peer.join().unwrap();
        assert_eq!(got.matches("<stream:stream ").count(), 1, "{got}");
        assert!(got.ends_with(if sends { "<mine/></stream:stream>" } else { "></stream:stream>" }), "{got}");
    }
}

#[test]
fn a_stream_that_has_ended_cannot_be_taken_out() {
    let mut batch = Batch::new().unwrap();
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send(TAG).expect_eof();
    });
    let index = batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    assert!(batch.remove(index + 1).is_none());
    turn_until(&mut batch, || peer.is_finished());
    while batch.turn(Duration::from_millis(10)).unwrap() > 0 {}
    assert!(batch.remove(index).is_none());
    assert!(batch.report(index).unwrap().is_clean());
    peer.join().unwrap();
}
