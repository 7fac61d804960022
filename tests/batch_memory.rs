//! What a stream that is being closed in a batch holds on the heap, counted by the allocator: it does not depend on how
//! many there are, nor on what has come before, and stays below 4 KiB.
#![allow(unsafe_code)]

#[path = "support/peer.rs"]
mod peer;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use peer::PATIENCE;
use xmpp_close::{Batch, BatchOptions, Canceller, CloseOptions, Outcome, StreamError};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

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
        .stream_error(StreamError::new("system-shutdown").unwrap())
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

#[test]
fn a_stream_in_a_batch_holds_less_than_4_kib() {
    most_bytes(10); // whatever is made once
    let (few, many) = (most_bytes(100), most_bytes(400));
    let each = (many - few) / 300;
    println!("{each} bytes for each stream, {few} for 100, {many} for 400");
    assert!(each <= 4096, "{each}");
}
