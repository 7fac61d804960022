//! One deadline for the whole batch, and the limits of each stream inside that deadline.

use std::{
    io::{self, Read, Write},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{
    Batch, BatchOptions, BorrowedSocket, Canceller, CloseOptions, Interest, Limit, Outcome, Stanza, TRAILING_LIMIT,
    Transport,
};

use crate::{
    local::{self, Local, lent},
    peer::{self, PATIENCE, SLACK, TAG},
};

fn ignore(_: Stanza<&str>) {}

#[test]
fn mute_peers_do_not_add_up() {
    const TOTAL: Duration = Duration::from_secs(if cfg!(windows) { 5 } else { 1 });
    const TENTH: usize = peer::many(100) / 10;
    let mut batch = Batch::new().unwrap();
    let mut peers = Vec::new();
    for number in 0..10 * TENTH {
        let (ours, theirs) = peer::pair();
        let mute = number % 10 == 0;
        peers.push(peer::peer(theirs, move |mut peer| {
            peer.read_tag();
            if !mute {
                peer.send(TAG);
            }
            peer.expect_eof();
        }));
        batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    }
    let start = Instant::now();
    let done = batch.run(BatchOptions::new().total(TOTAL)).unwrap();
    let elapsed = start.elapsed();
    for peer in peers {
        peer.join().unwrap();
    }
    assert_eq!(done.summary.count(Outcome::Clean), 9 * TENTH, "{}", done.summary);
    assert_eq!(done.summary.count(Outcome::TimedOut), TENTH, "{}", done.summary);
    assert!(elapsed >= TOTAL && elapsed < TOTAL + SLACK, "{elapsed:?}");
}

#[test]
fn a_stream_that_ends_as_soon_as_it_begins_is_not_waited_for() {
    let (ours, theirs) = peer::pair();
    let mut peer = theirs;
    peer.write_all(TAG.as_bytes()).unwrap();
    drop(peer);
    peer::wait_until(|| ours.peek(&mut [0; 100]).unwrap() == TAG.len());
    let mut batch = Batch::new().unwrap();
    batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    let start = Instant::now();
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    assert_eq!(done.summary.count(Outcome::Clean), 1, "{}", done.summary);
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
}

#[test]
fn a_trickling_peer_cannot_extend_the_deadline_of_the_set() {
    const TOTAL: Duration = Duration::from_millis(500);
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send("<message>");
        while peer.tcp.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    });
    let mut batch = Batch::new().unwrap();
    batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    let start = Instant::now();
    let done = batch.run(BatchOptions::new().total(TOTAL)).unwrap();
    assert_eq!((done.reports[0].outcome, done.reports[0].limit), (Outcome::TimedOut, Some(Limit::Batch)));
    assert!(start.elapsed() < TOTAL + SLACK, "{:?}", start.elapsed());
    peer.join().unwrap();
}

#[test]
fn a_stream_that_floods_does_not_starve_the_others() {
    let mut batch = Batch::new().unwrap();
    let (ours, theirs) = peer::pair();
    let flooder = peer::peer(theirs, |peer| {
        let mut tcp = peer.tcp;
        let stanzas = peer::stanzas(1000);
        while tcp.write_all(stanzas.as_bytes()).is_ok() {}
    });
    let canceller = Canceller::new().unwrap();
    batch.add(ours, &CloseOptions::new().total(PATIENCE).canceller(&canceller), ignore).unwrap();
    let (ours, theirs) = peer::pair();
    let other = peer::peer(theirs, move |mut peer| {
        peer.read_tag().send(TAG).expect_eof();
        canceller.cancel(); // the flood goes on until the other has ended
    });
    batch.add(ours, &CloseOptions::new().total(PATIENCE), ignore).unwrap();
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    other.join().unwrap();
    flooder.join().unwrap();
    assert_eq!(done.reports[0].outcome, Outcome::Cancelled, "{}", done.reports[0]);
    assert!(done.reports[1].is_clean(), "{}", done.reports[1]);
}

/// A peer whose first bytes are there at once, or when our tag is; behind them come others without end, or the end.
struct Ready<'a> {
    /// Always readable.
    socket: Local,
    first: &'static [u8],
    waits_for_tag: bool,
    floods: bool,
    reads: &'a AtomicUsize,
}

impl<'a> Ready<'a> {
    fn new(floods: bool, reads: &'a AtomicUsize) -> Self {
        let (socket, _) = local::pair();
        Self { socket, first: TAG.as_bytes(), waits_for_tag: !floods, floods, reads }
    }
}

impl Transport for Ready<'_> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.waits_for_tag {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
        let count = self.first.read(buf)?;
        Ok(if self.floods { buf.len() } else { count })
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waits_for_tag = false;
        Ok(bytes.len())
    }

    fn shut(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, _: Interest, _: Duration, _: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        unreachable!("a batch waits for all at once")
    }

    fn watch(&self, interest: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
        Some((lent(&self.socket), interest))
    }
}

#[test]
fn floods_behind_the_end_of_their_streams_do_not_hold_up_the_others() {
    const FLOODS: usize = peer::many(20);
    let (reads, other_reads) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut batch = Batch::new().unwrap();
    for _ in 0..FLOODS {
        // The number of bytes ends them, however slow the processor is.
        batch.add(Ready::new(true, &reads), &CloseOptions::new().linger(PATIENCE), ignore).unwrap();
    }
    let other = batch.add(Ready::new(false, &other_reads), &CloseOptions::new(), ignore).unwrap();
    let mut meanwhile = 0;
    let options = BatchOptions::new().total(PATIENCE).on_end(|index, _| {
        if index == other {
            meanwhile = reads.load(Ordering::Relaxed);
        }
    });
    let done = batch.run(options).unwrap();
    assert_eq!(done.summary.count(Outcome::Clean), FLOODS + 1, "{}", done.summary);
    assert!(done.reports[0].bytes_after_tag >= TRAILING_LIMIT, "{}", done.reports[0]);
    // A few turns of each; all that a flood may send behind its tag is some three thousand reads.
    assert!(meanwhile < FLOODS * 150, "{meanwhile} of {} reads", reads.load(Ordering::Relaxed));
}

#[test]
fn peers_that_do_not_read_end_as_stalled() {
    const TOTAL: Duration = Duration::from_millis(500);
    let mut batch = Batch::new().unwrap();
    let mut theirs = Vec::new();
    for _ in 0..5 {
        let (ours, peer) = peer::pair_with_buffers(1 << 16);
        theirs.push(peer);
        let options = CloseOptions::new().farewell("<presence/>".repeat(100_000));
        batch.add(ours, &options, ignore).unwrap();
    }
    let start = Instant::now();
    let done = batch.run(BatchOptions::new().total(TOTAL)).unwrap();
    assert_eq!(done.summary.count(Outcome::Stalled), 5, "{}", done.summary);
    assert!(done.reports.iter().all(|report| report.bytes_unsent > 0 && !report.tag_sent));
    assert!(start.elapsed() < TOTAL + SLACK, "{:?}", start.elapsed());
}

#[test]
fn the_report_tells_the_limit_of_the_set_from_that_of_the_stream() {
    let mut batch = Batch::new().unwrap();
    let peers = [peer::pair(), peer::pair()];
    let [(of_the_set, first), (of_its_own, second)] = peers;
    batch.add(of_the_set, &CloseOptions::new(), ignore).unwrap();
    batch.add(of_its_own, &CloseOptions::new().total(Duration::from_millis(100)), ignore).unwrap();
    let done = batch.run(BatchOptions::new().total(Duration::from_secs(1))).unwrap();
    let ends = done.reports.iter().map(|report| (report.outcome, report.limit)).collect::<Vec<_>>();
    assert_eq!(ends, [(Outcome::TimedOut, Some(Limit::Batch)), (Outcome::TimedOut, Some(Limit::Total))]);
    drop((first, second));
}

#[test]
fn a_streams_own_limit_ends_it_before_the_set() {
    let mut batch = Batch::new().unwrap();
    let (mute, mutes_end) = peer::pair();
    batch.add(mute, &CloseOptions::new().no_progress(Duration::from_millis(100)), ignore).unwrap();
    let (slow, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag();
        peer::wait_until(|| mutes_end.peek(&mut [0; 1000]).unwrap() > 0);
        drop(mutes_end); // not before its stream was given up, see below
        peer.send(TAG).expect_eof();
    });
    batch.add(slow, &CloseOptions::new(), ignore).unwrap();
    let mut order = Vec::new();
    let options = BatchOptions::new().total(PATIENCE).on_end(|index, report| order.push((index, report.outcome)));
    batch.run(options).unwrap();
    peer.join().unwrap();
    assert!(order.contains(&(1, Outcome::Clean)), "{order:?}");
    assert!(
        matches!(
            order.iter().find(|(index, _)| *index == 0),
            Some((_, Outcome::TimedOut | Outcome::PeerEof | Outcome::Reset))
        ),
        "{order:?}"
    );
}

#[test]
fn a_canceller_stops_all_at_once() {
    let canceller = Canceller::new().unwrap();
    let mut batch = Batch::new().unwrap();
    let mut theirs = Vec::new();
    for _ in 0..10 {
        let (ours, peer) = peer::pair();
        theirs.push(peer);
        batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    }
    let stop = canceller.clone();
    let stopper = thread::spawn(move || {
        peer::wait_until(|| theirs[9].peek(&mut [0; 100]).unwrap() == TAG.len());
        stop.cancel();
        theirs
    });
    let start = Instant::now();
    let done = batch.run(BatchOptions::new().total(PATIENCE).canceller(&canceller)).unwrap();
    assert_eq!(done.summary.count(Outcome::Cancelled), 10, "{}", done.summary);
    assert!(start.elapsed() < PATIENCE / 2);
    stopper.join().unwrap();
}

#[test]
fn a_canceller_of_one_stream_stops_that_one_only() {
    let canceller = Canceller::new().unwrap();
    let mut batch = Batch::new().unwrap();
    let mut theirs = Vec::new();
    for number in 0..4 {
        let (ours, peer) = peer::pair();
        theirs.push(peer);
        let options = CloseOptions::new().total(PATIENCE).no_progress(PATIENCE);
        let options = if number < 2 { options.canceller(&canceller) } else { options };
        batch.add(ours, &options, ignore).unwrap();
    }
    let stop = canceller.clone();
    let peers = thread::spawn(move || {
        // They begin in random order.
        for peer in &theirs[..2] {
            peer::wait_until(|| peer.peek(&mut [0; 100]).unwrap() == TAG.len());
        }
        stop.cancel();
        // Both that were cancelled are over before the others go on.
        for peer in &mut theirs[..2] {
            let mut got = String::new();
            peer.read_to_string(&mut got).unwrap();
            assert_eq!(got, TAG);
        }
        for peer in &mut theirs[2..] {
            peer.write_all(TAG.as_bytes()).unwrap();
        }
        theirs
    });
    let start = Instant::now();
    let done = batch.run(BatchOptions::new().total(PATIENCE)).unwrap();
    assert!(start.elapsed() < PATIENCE / 2, "cancelled by a deadline only");
    peers.join().unwrap();
    let outcomes: Vec<_> = done.reports.iter().map(|report| report.outcome).collect();
    assert_eq!(outcomes, [Outcome::Cancelled, Outcome::Cancelled, Outcome::Clean, Outcome::Clean]);
}

#[test]
fn a_canceller_used_before_stops_a_batch_before_anything_is_sent() {
    let canceller = Canceller::new().unwrap();
    canceller.cancel();
    let (ours, theirs) = peer::pair();
    let mut batch = Batch::new().unwrap();
    batch.add(ours, &CloseOptions::new(), ignore).unwrap();
    let done = batch.run(BatchOptions::new().canceller(&canceller)).unwrap();
    assert_eq!(done.reports[0].outcome, Outcome::Cancelled);
    peer::peer(theirs, |mut peer| peer.expect_eof()).join().unwrap();
}
