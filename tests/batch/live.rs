//! A batch that is turned: streams come and end at any time, and no turn takes long.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{Batch, BatchOptions, CloseOptions, Error, Outcome, Report, Stanza};

use crate::peer::{self, PATIENCE, SLACK, TAG};
#[cfg(target_os = "linux")]
use crate::{descriptor::is_readable, foreign::Epoll};

pub fn ignore(_: Stanza<&str>) {}

/// Turns it as an event loop does that has nothing else, until no stream is left; or as long as `goes_on`.
#[cfg(target_os = "linux")]
pub fn turn_while(batch: &mut Batch<'_>, mut goes_on: impl FnMut(&Batch<'_>) -> bool) {
    let epoll = Epoll::new();
    epoll.watch(&batch, 0);
    let patience = Instant::now() + PATIENCE;
    while goes_on(batch) {
        assert!(Instant::now() < patience, "waited too long for {batch:?}");
        epoll.wait(batch.deadline().or(Some(patience)));
        batch.turn(Duration::ZERO).unwrap();
    }
}

/// The same where a batch has no descriptor, or this test no epoll: the turn waits.
#[cfg(not(target_os = "linux"))]
pub fn turn_while(batch: &mut Batch<'_>, mut goes_on: impl FnMut(&Batch<'_>) -> bool) {
    let patience = Instant::now() + PATIENCE;
    while goes_on(batch) {
        assert!(Instant::now() < patience, "waited too long for {batch:?}");
        batch.turn(Duration::from_millis(10)).unwrap();
    }
}

/// Turns it until there is nothing to do.
pub fn settle(batch: &mut Batch<'_>) {
    #[cfg(target_os = "linux")]
    turn_while(batch, is_readable);
    // A turn that waits as long as it may has found nothing; on a busy machine one with something to do may last as long.
    #[cfg(not(target_os = "linux"))]
    {
        const WAIT: Duration = Duration::from_millis(50);
        let mut waited = 0;
        while waited < 5 {
            let start = Instant::now();
            batch.turn(WAIT).unwrap();
            waited = if start.elapsed() >= WAIT { waited + 1 } else { 0 };
        }
    }
}

pub fn turn_to_the_end(batch: &mut Batch<'_>) {
    turn_while(batch, |batch| !batch.is_empty());
}

/// How the streams ended, by their indices.
pub type Ends = Arc<Mutex<BTreeMap<usize, Report>>>;

pub fn telling(ends: &Ends) -> BatchOptions<'static> {
    let ends = ends.clone();
    BatchOptions::new().on_end(move |index, report| {
        assert!(ends.lock().unwrap().insert(index, report.clone()).is_none(), "{index} ended twice");
    })
}

/// A peer that has closed already: its stream ends in the first turns.
pub fn gone() -> TcpStream {
    let (ours, mut theirs) = peer::pair();
    theirs.write_all(TAG.as_bytes()).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    // It stays open until our end is closed, so that nothing is reset.
    thread::spawn(move || theirs.read_to_end(&mut Vec::new()));
    ours
}

/// A stream whose peer neither sends nor closes, with what keeps it open.
pub fn mute(batch: &mut Batch<'_>, options: &CloseOptions) -> (usize, TcpStream) {
    let (ours, theirs) = peer::pair();
    (batch.add(ours, options, ignore).unwrap(), theirs)
}

#[test]
fn another_thread_wakes_a_batch_that_waits_for_nothing() {
    let mut batch = Batch::new().unwrap();
    let handle = batch.handle();
    let ends = Ends::default();
    batch.set(telling(&ends)).unwrap();
    let adder = thread::spawn(move || {
        for _ in 0..3 {
            handle.add(gone(), &CloseOptions::new(), ignore).unwrap();
        }
        handle
    });
    let start = Instant::now();
    while ends.lock().unwrap().len() < 3 {
        batch.turn(PATIENCE).unwrap(); // also with none in it
    }
    assert!(start.elapsed() < PATIENCE, "nobody woke it");
    let handle = adder.join().unwrap();
    drop(batch);
    let refused = handle.add(gone(), &CloseOptions::new(), ignore);
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
}

/// An application that takes its time for each stanza, which is counted.
pub fn slow(handled: &Arc<AtomicUsize>) -> impl FnMut(Stanza<&str>) + Send + use<> {
    let handled = handled.clone();
    move |_| {
        handled.fetch_add(1, Ordering::Relaxed);
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn what_all_streams_have_to_do_takes_more_than_one_turn() {
    const STREAMS: usize = 300;
    let mut batch = Batch::new().unwrap();
    let handled = Arc::new(AtomicUsize::new(0));
    let mut peers = Vec::new();
    for _ in 0..STREAMS {
        let (ours, theirs) = peer::pair();
        peers.push(theirs);
        batch.add(ours, &CloseOptions::new().total(PATIENCE).residual("<a/>"), slow(&handled)).unwrap();
    }
    assert_eq!(batch.turn(Duration::ZERO).unwrap(), STREAMS);
    let (first, mut turns) = (handled.load(Ordering::Relaxed), 1);
    assert!(first < STREAMS / 10, "{first} of {STREAMS} in one turn");
    turn_while(&mut batch, |_| {
        turns += 1;
        handled.load(Ordering::Relaxed) < STREAMS
    });
    assert!(turns > 10, "{turns} turns");
}

#[test]
fn a_turn_that_finds_nothing_to_do_waits_as_long_as_it_may() {
    const WAIT: Duration = Duration::from_millis(50);
    let mut batch = Batch::new().unwrap();
    let (_, _theirs) = mute(&mut batch, &CloseOptions::new().total(PATIENCE));
    settle(&mut batch);
    let start = Instant::now();
    assert_eq!(batch.turn(WAIT).unwrap(), 1);
    assert!(start.elapsed() >= WAIT && start.elapsed() < WAIT + SLACK, "{:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(batch.turn(Duration::ZERO).unwrap(), 1);
    assert!(start.elapsed() < SLACK, "{:?}", start.elapsed());
}

/// With nothing to do, it waits as long as it may: a thread that does nothing else would come round and round.
pub fn waits(batch: &mut Batch<'_>) {
    const WAIT: Duration = Duration::from_millis(20);
    let waits = |_| {
        let start = Instant::now();
        assert_eq!(batch.turn(WAIT).unwrap(), batch.len());
        start.elapsed() >= WAIT
    };
    // On Windows the system may still tell, once, of a socket that is not watched any more.
    assert!((0..if cfg!(windows) { 3 } else { 1 }).any(waits));
}

#[test]
fn progress_is_told_while_there_are_streams_and_when_there_are_none_any_more() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let mut batch = Batch::new().unwrap();
    batch.set(BatchOptions::new().on_progress(move |so_far| tell.lock().unwrap().push(so_far.clone()))).unwrap();
    assert_eq!(batch.deadline(), None, "nothing is to be told");
    let (_, mut theirs) = mute(&mut batch, &CloseOptions::new().total(PATIENCE));
    turn_while(&mut batch, |_| told.lock().unwrap().len() < 2);
    theirs.write_all(TAG.as_bytes()).unwrap();
    peer::peer(theirs, |mut peer| {
        peer.read_tag().expect_eof();
    });
    turn_to_the_end(&mut batch);
    let told = told.lock().unwrap();
    assert!(told[..told.len() - 1].iter().all(|so_far| (so_far.streams, so_far.ended) == (1, 0)), "{told:?}");
    assert_eq!(told.last().unwrap().count(Outcome::Clean), 1);
}

#[test]
fn after_a_panic_in_a_turn_the_batch_is_empty() {
    let mut batch = Batch::new().unwrap();
    let short = Duration::from_millis(200);
    let panics = BatchOptions::new().total(short).on_end(|_, _| panic!("on purpose"));
    batch.set(panics).unwrap();
    batch.add(gone(), &CloseOptions::new(), ignore).unwrap();
    let (_, theirs) = mute(&mut batch, &CloseOptions::new());
    let turned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| turn_to_the_end(&mut batch)));
    assert!(turned.is_err());
    assert!(batch.is_empty());
    peer::peer(theirs, |mut peer| peer.rest().unwrap()).join().unwrap(); // its connection has ended
    // What was set is gone with it.
    thread::sleep(short);
    batch.turn(Duration::ZERO).unwrap();
    let index = batch.add(gone(), &CloseOptions::new(), ignore).unwrap();
    turn_to_the_end(&mut batch);
    assert!(batch.report(index).unwrap().is_clean());
}
