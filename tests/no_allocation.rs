//! A close that is warm hands over what still comes without allocating, and holds little while it waits. That an engine
//! allocates only its handle and what is to be sent is tested by ffi-tests/costs.c.

#![allow(unsafe_code)]

#[path = "support/peer.rs"]
mod peer;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ffi::{c_int, c_void},
    io, mem,
    net::TcpStream,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::net::UnixStream,
    },
    ptr,
    sync::{
        Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use peer::TAG;
use xmpp_close::{Batch, BatchOptions, CloseOptions, Engine, Interest, Stream, Tls, Transport, ffi};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u32> = const { Cell::new(0) };
    /// Bytes.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        HELD.set(HELD.get() + layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u32 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn an_engine_holds_no_more_than_its_limits_whatever_is_sent_and_comes() {
    const OUTPUT: usize = 100_000;
    const STANZA: usize = 50_000;
    let (stanza, large) = ("<message/>".repeat(100), format!("<message>{}</message>", "x".repeat(1 << 20)));
    let options = CloseOptions::new().output_limit(OUTPUT).stanza_limit(STANZA);
    let before = HELD.get();
    let mut engine = Engine::new(&options, Tls::No).unwrap();
    let mut most = 0;
    for round in 0..60 {
        while engine.send(stanza.as_bytes()).is_ok() {}
        // The peer takes little, and sends much, piece by piece.
        let output = engine.output().len().min(3000);
        engine.wrote(output, 0, Duration::ZERO);
        let piece = &large.as_bytes()[..if round % 3 == 0 { STANZA / 2 } else { large.len() }];
        for mut bytes in piece.chunks(4096).chain([b"".as_slice()]) {
            while engine.input(&mut bytes, Duration::ZERO).is_some() {}
        }
        most = most.max(HELD.get() - before);
    }
    // A vector that grows holds twice as much as is in it, at most.
    assert!(most < 2 * (OUTPUT + STANZA) as isize + 2000, "{most}");
    drop(engine);
    assert_eq!(HELD.get(), before);
}

/// Closes a stream, and calls a function for each late stanza.
type Close = fn(TcpStream, &(dyn Fn() + Sync));

const WAYS: [(&str, Close); 3] = [
    ("xmpp_close_fd", |tcp, called| {
        with_options(called, |options| {
            // SAFETY: the options are valid, and no report is wanted.
            assert_eq!(unsafe { ffi::xmpp_close_fd(tcp.as_raw_fd(), options, ptr::null_mut()) }, 0);
        });
    }),
    ("xmpp_close_batch", |tcp, called| {
        with_options(called, |options| {
            let mut batch = ptr::null_mut();
            // SAFETY: the options are valid, and the batch is freed once.
            unsafe {
                assert_eq!(ffi::xmpp_close_batch_new(&mut batch), 0);
                assert_eq!(ffi::xmpp_close_batch_add(batch, tcp.as_raw_fd(), options, ptr::null_mut()), 0);
                assert_eq!(ffi::xmpp_close_batch_run(batch, ptr::null(), ptr::null_mut()), 0);
                ffi::xmpp_close_batch_free(batch);
            }
        });
    }),
    ("Batch", in_a_batch),
];

fn in_a_batch(transport: impl Transport + Send, called: &(dyn Fn() + Sync)) {
    let mut batch = Batch::new().unwrap();
    let added = batch.add(transport, &CloseOptions::new(), |stanza| {
        assert_eq!(stanza.name(), "message");
        called();
    });
    added.unwrap();
    assert!(batch.run(BatchOptions::new()).unwrap().reports[0].is_clean());
}

/// Options with an `on_stanza`; all else, zero, is the default.
fn with_options(mut called: &(dyn Fn() + Sync), close: impl FnOnce(&ffi::xmpp_close_options)) {
    extern "C" fn on_stanza(userdata: *mut c_void, _: *const u8, _: usize) -> c_int {
        // SAFETY: it outlives the close.
        unsafe { (*userdata.cast::<&(dyn Fn() + Sync)>())() };
        0
    }
    // SAFETY: a struct of numbers and pointers, all of which may be zero.
    let mut options: ffi::xmpp_close_options = unsafe { mem::zeroed() };
    options.struct_size = size_of_val(&options);
    options.on_stanza = Some(on_stanza);
    options.userdata = ptr::from_mut(&mut called).cast();
    close(&options);
}

/// What was allocated from one late stanza to the last.
fn allocations_from(stanza: usize, of: usize, close: impl FnOnce(&(dyn Fn() + Sync))) -> u32 {
    let (seen, first, last) = (AtomicUsize::new(0), AtomicU32::new(0), AtomicU32::new(0));
    close(&|| {
        last.store(ALLOCATIONS.get(), Relaxed);
        if seen.fetch_add(1, Relaxed) + 1 == stanza {
            first.store(ALLOCATIONS.get(), Relaxed);
        }
    });
    assert_eq!(seen.into_inner(), of);
    last.into_inner() - first.into_inner()
}

fn message(length: usize) -> String {
    format!("<message><body>{}</body></message>", "x".repeat(length))
}

#[test]
#[cfg_attr(miri, ignore = "Miri knows no socket that does not block")]
fn late_stanzas_allocate_nothing_once_warm() {
    const STANZAS: usize = 20_000;
    for (way, close) in WAYS {
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, |mut peer| {
            peer.read_tag();
            for _ in 0..STANZAS / 500 {
                peer.send(message(150).repeat(500));
            }
            peer.send(TAG).expect_eof();
        });
        let allocations = allocations_from(1000, STANZAS, |called| close(ours, called));
        peer.join().unwrap();
        assert_eq!(allocations, 0, "{way}");
    }
}

/// A peer whose bytes are there already. Before each read it is noted what is held.
struct Flood<'a> {
    bytes: Vec<u8>,
    read: usize,
    /// Every so many reads, there is nothing yet.
    pause: usize,
    /// How much comes with one, behind so many bytes.
    piece: fn(usize) -> usize,
    /// How many writes are still blocked.
    blocked: u32,
    held: &'a Mutex<Vec<isize>>,
    /// Always readable, and never read.
    ready: UnixStream,
}

impl<'a> Flood<'a> {
    fn of(bytes: String, pause: usize, held: &'a Mutex<Vec<isize>>) -> Self {
        let (ready, _) = UnixStream::pair().unwrap();
        Self { bytes: bytes.into_bytes(), read: 0, pause, piece: |_| usize::MAX, blocked: 0, held, ready }
    }
}

/// Room for what is noted, so that noting it allocates nothing.
fn notes() -> Mutex<Vec<isize>> {
    Mutex::new(Vec::with_capacity(10_000))
}

impl Transport for Flood<'_> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut held = self.held.lock().unwrap();
        held.push(HELD.get());
        if held.len() % self.pause == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let most = buf.len().min((self.piece)(self.read));
        let count = io::Read::read(&mut &self.bytes[self.read..], &mut buf[..most])?;
        self.read += count;
        Ok(count)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_blocked = self.blocked > 0;
        self.blocked = self.blocked.saturating_sub(1);
        if is_blocked { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(bytes.len()) }
    }

    fn shut(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn wait(&mut self, interest: Interest, _: Duration, _: Option<BorrowedFd<'_>>) -> io::Result<Interest> {
        Ok(interest)
    }

    fn watch(&self, interest: Interest) -> Option<(BorrowedFd<'_>, Interest)> {
        Some((self.ready.as_fd(), interest))
    }
}

const NEVER: usize = usize::MAX;

#[test]
#[cfg_attr(miri, ignore = "Miri knows no epoll")]
fn a_stream_of_a_batch_allocates_nothing_when_it_goes_on_after_a_wait() {
    let held = notes();
    let flood = Flood::of(message(150).repeat(5000) + TAG, 7, &held);
    assert_eq!(allocations_from(1000, 5000, |called| in_a_batch(flood, called)), 0);
}

#[test]
#[cfg_attr(miri, ignore = "Miri knows no epoll")]
fn large_stanzas_that_follow_each_other_allocate_nothing_once_warm() {
    let held = notes();
    let flood = || Flood::of(message(300_000).repeat(20) + TAG, NEVER, &held);
    assert_eq!(allocations_from(5, 20, |called| in_a_batch(flood(), called)), 0);
    held.lock().unwrap().clear();
    assert!(CloseOptions::new().begin(flood()).unwrap().finish().is_clean());
    let held = held.lock().unwrap();
    let warm = &held[held.len() / 4..held.len() - 1];
    assert!(warm.len() > 500 && warm.iter().all(|held| *held == warm[0]), "{warm:?}");
}

#[test]
fn a_stanza_that_comes_byte_by_byte_is_not_copied_for_each() {
    let held = notes();
    let mut flood = Flood::of(message(4000) + TAG, 2, &held);
    flood.piece = |read| if read == 0 { 1100 } else { 1 };
    let allocations = allocations_of(|| assert!(CloseOptions::new().begin(flood).unwrap().finish().is_clean()));
    assert!(allocations < 50, "{allocations}");
}

#[test]
fn a_close_that_waits_holds_nothing_of_what_was_read_before() {
    let held = notes();
    let flood = Flood::of(String::new(), NEVER, &held);
    let before = HELD.get();
    let closing = CloseOptions::new().residual(message(100).repeat(3000)).begin(flood).unwrap();
    assert_eq!(closing.finish().stanzas, 3000);
    let held = held.lock().unwrap()[0] - before;
    assert!(held < 10 * 1024, "{held}");
}

#[test]
fn a_stream_that_waits_holds_nothing_of_what_was_read_while_it_sent() {
    let held = notes();
    let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    let mut flood = Flood::of(header.to_owned() + &message(100).repeat(3000), 2, &held);
    flood.blocked = 400; // enough to read all of it ahead
    let before = HELD.get();
    let mut stream = Stream::new(flood);
    stream.send(header).unwrap();
    let ahead = HELD.get() - before;
    assert!(ahead > 300_000, "{ahead}");
    for _ in 0..=3000 {
        drop(stream.receive().unwrap());
    }
    // Then one read finds nothing; the next, behind the wait, the end.
    held.lock().unwrap().truncate(1);
    assert!(stream.receive().is_err());
    let held = held.lock().unwrap()[2] - before;
    assert!(held < 10 * 1024, "{held}");
}

#[test]
fn a_close_that_waits_holds_nothing_of_a_large_stanza() {
    for begun in ["", "<message><body>hello"] {
        let held = notes();
        let flood = Flood::of(message(300_000) + begun, NEVER, &held);
        assert!(!CloseOptions::new().begin(flood).unwrap().finish().tag_received);
        // The last read finds the end, behind one that was not full.
        let held = held.lock().unwrap();
        let last = held.len() - 1;
        assert!(held[last - 1] - held[0] > 300_000, "behind {begun:?}: {held:?}");
        assert!(held[last] - held[0] < 10 * 1024, "behind {begun:?}: {held:?}");
    }
}
