//! What a stream that is being closed in a batch holds on the heap, counted by the allocator. That depends neither on
//! the number of streams nor on what has come before, and stays below 4 KiB.
#![allow(unsafe_code)]

#[path = "support/peer.rs"]
mod peer;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use peer::PATIENCE;
use xmpp_close::{Batch, BatchOptions, Canceller, CloseOptions, Condition, Interest, Outcome, StreamError, Transport};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// What is counted is what the whole process holds.
static ALONE: Mutex<()> = Mutex::new(());

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(held, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that so many streams held at a time, while all of them waited for peers that had sent a large stanza,
/// and half of a short one.
fn most_bytes(streams: usize) -> usize {
    let pairs: Vec<_> = (0..streams).map(|_| UnixStream::pair().unwrap()).collect();
    let canceller = Canceller::new().unwrap();
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let mut batch = Batch::new().unwrap();
    let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let late = format!("<message><body>{}</body></message><message><body>hello", "x".repeat(50_000));
    for (socket, peer) in ours.into_iter().zip(&theirs) {
        std::io::Write::write_all(&mut &*peer, late.as_bytes()).unwrap();
        batch.add(socket, &CloseOptions::new(), |_| {}).unwrap();
    }
    let mut begun = false;
    let options = BatchOptions::new()
        .total(PATIENCE)
        .canceller(&canceller)
        .stream_error(StreamError::new(Condition::SystemShutdown).unwrap())
        .on_progress(|so_far| {
            // All have begun, and a tenth of a second later all wait.
            if std::mem::replace(&mut begun, so_far.begun == streams) {
                canceller.cancel();
            }
        });
    let done = batch.run(options).unwrap();
    assert_eq!(done.summary.count(Outcome::Cancelled), streams, "{}", done.summary);
    assert!(done.summary.elapsed < PATIENCE - Duration::from_secs(1));
    MOST.load(Ordering::Relaxed) - before
}

/// A peer from which nothing ever comes, although its descriptor is always ready: in the middle of a TLS record, say.
struct Fruitless(UnixStream);

impl Transport for Fruitless {
    fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn shut(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, _: Interest, _: Duration, _: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        unreachable!("a batch waits for all at once")
    }

    fn watch(&self, interest: Interest) -> Option<(BorrowedFd<'_>, Interest)> {
        Some((self.0.as_fd(), interest))
    }
}

/// The most bytes that were held while such a peer was waited for.
fn most_bytes_in(total: Duration) -> usize {
    let (ready, _) = UnixStream::pair().unwrap();
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let mut batch = Batch::new().unwrap();
    batch.add(Fruitless(ready), &CloseOptions::new(), |_| {}).unwrap();
    let done = batch.run(BatchOptions::new().total(total)).unwrap();
    assert_eq!(done.summary.count(Outcome::TimedOut), 1, "{}", done.summary);
    MOST.load(Ordering::Relaxed) - before
}

#[test]
fn a_stream_that_is_ready_in_vain_holds_no_more_for_being_waited_for_longer() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (short, long) = (most_bytes_in(Duration::from_millis(300)), most_bytes_in(Duration::from_secs(3)));
    assert!(long <= short + 1024, "{short}, then {long}");
}

#[test]
fn a_stream_in_a_batch_holds_less_than_4_kib() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    most_bytes(10); // whatever is made once
    let (few, many) = (most_bytes(100), most_bytes(400));
    let each = (many - few) / 300;
    println!("{each} bytes for each stream, {few} for 100, {many} for 400");
    assert!(each <= 4096, "{each}");
}

/// What remains of 100 000 streams that are over, behind the first twentieth of them.
fn remains_of_many(spread: Duration) -> usize {
    const STREAMS: usize = 100_000;
    const AT_ONCE: usize = 100;
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let ended = Mutex::new(0);
    let mut batch = Batch::new().unwrap();
    batch.set(BatchOptions::new().spread(spread).on_end(|_, _| *ended.lock().unwrap() += 1)).unwrap();
    let options = CloseOptions::new().total(Duration::from_secs(365 * 86_400));
    let (mut held, mut open) = (0, 0);
    for round in 0..STREAMS / AT_ONCE {
        let mut peers = Vec::new();
        for number in 0..AT_ONCE {
            let mut options = options.clone();
            if number % 10 == 0 {
                options = options.canceller(&Canceller::new().unwrap());
            }
            let (ours, theirs) = UnixStream::pair().unwrap();
            batch.add(ours, &options, |_| {}).unwrap();
            peers.push(theirs);
        }
        while batch.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            assert_eq!(batch.turn(Duration::ZERO).unwrap(), AT_ONCE);
        }
        peers.iter_mut().for_each(|theirs| io::Write::write_all(theirs, peer::TAG.as_bytes()).unwrap());
        drop(peers);
        while batch.turn(Duration::ZERO).unwrap() > 0 {}
        if round == STREAMS / AT_ONCE / 20 {
            (held, open) = (HELD.load(Ordering::Relaxed), descriptors());
        }
    }
    assert_eq!(*ended.lock().unwrap(), STREAMS);
    assert_eq!(descriptors(), open);
    assert!(batch.is_empty());
    assert_eq!(batch.deadline(), None);
    HELD.load(Ordering::Relaxed).saturating_sub(held)
}

/// A server turns its batch for months; what is over leaves nothing behind, be it a limit that would have been reached
/// much later, a moment in the spread, or a canceller of its own.
#[test]
fn a_batch_that_goes_on_for_ever_holds_no_more_for_what_is_over() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // All begin, and are answered; then most are closed by their peers before.
    for spread in [Duration::ZERO, Duration::from_secs(86_400)] {
        let more = remains_of_many(spread);
        println!("{more} bytes more than after a twentieth");
        assert!(more < 64 * 1024, "{more} bytes");
    }
}
