//! What is set for a batch that is turned: limits, a spread, a canceller.

use std::{
    io::Write,
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{Batch, BatchOptions, Canceller, CloseOptions, Condition, Error, Outcome, StreamError};

#[cfg(target_os = "linux")]
use crate::descriptor::is_readable;
use crate::{
    live::{Ends, gone, ignore, mute, settle, telling, turn_to_the_end, waits},
    peer::{self, PATIENCE, SLACK, TAG},
};

#[test]
fn a_total_that_is_set_ends_those_that_have_begun_and_those_that_come() {
    const TOTAL: Duration = Duration::from_millis(400);
    let mut batch = Batch::new().unwrap();
    let (_, _first) = mute(&mut batch, &CloseOptions::new().total(PATIENCE));
    settle(&mut batch);
    let ends = Ends::default();
    batch.set(telling(&ends).total(TOTAL)).unwrap();
    let start = Instant::now();
    let (_, _second) = mute(&mut batch, &CloseOptions::new().total(PATIENCE));
    turn_to_the_end(&mut batch);
    let took = start.elapsed();
    assert!(took > TOTAL / 2 && took < TOTAL + SLACK, "{took:?}");
    let outcomes: Vec<_> = ends.lock().unwrap().values().map(|report| report.outcome).collect();
    assert_eq!(outcomes, [Outcome::TimedOut; 2]);
    // Whoever always adds another never lets it end, so that is over as well, until something else is set.
    peer::wait_until(|| start.elapsed() > TOTAL);
    batch.turn(Duration::ZERO).unwrap();
    let refused = batch.add(gone(), &CloseOptions::new(), ignore);
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    peer::wait_until(|| start.elapsed() > TOTAL + Duration::from_millis(200));
    waits(&mut batch);
    batch.set(telling(&ends)).unwrap();
    batch.add(gone(), &CloseOptions::new(), ignore).unwrap();
    turn_to_the_end(&mut batch);
    assert!(ends.lock().unwrap()[&2].is_clean());
}

#[test]
fn floods_do_not_outlive_the_total_by_more_than_a_moment() {
    const TOTAL: Duration = Duration::from_millis(300);
    let mut batch = Batch::new().unwrap();
    let ends = Ends::default();
    batch.set(telling(&ends).total(TOTAL)).unwrap();
    let start = Instant::now();
    let mut floods = Vec::new();
    for _ in 0..4 {
        let (ours, mut theirs) = peer::pair();
        floods.push(thread::spawn(move || {
            let stanzas = peer::stanzas(1000);
            while theirs.write_all(stanzas.as_bytes()).is_ok() {}
        }));
        batch.add(ours, &CloseOptions::new().total(PATIENCE), ignore).unwrap();
    }
    turn_to_the_end(&mut batch);
    assert!(start.elapsed() < TOTAL + SLACK, "{:?}", start.elapsed());
    floods.into_iter().for_each(|flood| flood.join().unwrap());
    assert_eq!(ends.lock().unwrap().len(), 4);
}

/// With a minute for ten streams, none of those that come later has its turn at once, and all of them seldom do within
/// six seconds.
#[test]
fn a_spread_that_is_set_is_for_those_that_come_later_too() {
    let mut batch = Batch::new().unwrap();
    batch
        .set(BatchOptions::new().spread(PATIENCE).stream_error(StreamError::new(Condition::SystemShutdown).unwrap()))
        .unwrap();
    let streams: Vec<_> = (0..10).map(|_| mute(&mut batch, &CloseOptions::new())).collect();
    settle(&mut batch);
    let silent = |tcp: &TcpStream| {
        tcp.set_nonblocking(true).unwrap();
        tcp.peek(&mut [0; 1]).is_err()
    };
    assert!(streams.iter().any(|(_, theirs)| silent(theirs)), "all at once");
    let due = batch.deadline().unwrap();
    assert!(due > Instant::now() && due < Instant::now() + PATIENCE);
    // A run has a time of its own, and what was set does not hold any more.
    let done = batch.run(BatchOptions::new().total(Duration::from_millis(200))).unwrap();
    assert_eq!(done.summary.count(Outcome::TimedOut), 10, "{}", done.summary);
    for (_, theirs) in streams {
        theirs.set_nonblocking(false).unwrap();
        let got = peer::peer(theirs, |mut peer| {
            peer.rest().unwrap();
            peer.text()
        });
        assert_eq!(got.join().unwrap(), TAG);
    }
    // Its time is up, but that is over with it.
    batch.turn(Duration::ZERO).unwrap();
    let index = batch.add(gone(), &CloseOptions::new(), ignore).unwrap();
    turn_to_the_end(&mut batch);
    assert!(batch.report(index).unwrap().is_clean());
}

#[test]
fn a_set_without_a_spread_begins_what_waits_for_its_turn() {
    let mut batch = Batch::new().unwrap();
    batch.set(BatchOptions::new().spread(PATIENCE)).unwrap();
    let streams: Vec<_> = (0..5).map(|_| mute(&mut batch, &CloseOptions::new())).collect();
    settle(&mut batch);
    batch.set(BatchOptions::new()).unwrap();
    #[cfg(target_os = "linux")]
    assert!(is_readable(&batch));
    settle(&mut batch);
    for (_, theirs) in streams {
        peer::Peer { tcp: theirs, got: Vec::new() }.read_tag();
    }
}

#[test]
fn a_canceller_that_is_set_stops_all() {
    let canceller = Canceller::new().unwrap();
    let mut batch = Batch::new().unwrap();
    let ends = Ends::default();
    batch.set(telling(&ends).canceller(&canceller)).unwrap();
    let _streams: Vec<_> = (0..5).map(|_| mute(&mut batch, &CloseOptions::new().total(PATIENCE))).collect();
    settle(&mut batch);
    assert_eq!(batch.len(), 5);
    canceller.cancel();
    #[cfg(target_os = "linux")]
    assert!(is_readable(&batch));
    turn_to_the_end(&mut batch);
    assert!(ends.lock().unwrap().values().all(|report| report.outcome == Outcome::Cancelled));
    let refused = batch.add(gone(), &CloseOptions::new(), ignore);
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    #[cfg(target_os = "linux")]
    assert!(!is_readable(&batch), "a canceller that goes on ringing");
    waits(&mut batch);
}
