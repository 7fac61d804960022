//! However a close ends, and however it is abandoned, the process then has the descriptors and the threads that it had
//! before. (For C, each test of `ffi-tests` looks at both.)

#[path = "support/peer.rs"]
mod peer;

use std::{
    fs,
    io::Write,
    mem,
    net::TcpStream,
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

use peer::PATIENCE;
use socket2::SockRef;
use xmpp_close::{Batch, BatchOptions, Canceller, CloseOptions, Condition, Incoming, Outcome, Stream, StreamError};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// What the peer does when it has written its bytes.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Holds,
    Ends,
    Resets,
}
use Then::*;

/// The peer's bytes. (A failure of TLS is in `ffi-tests/endings.c`.)
const ENDINGS: [(Outcome, &str, Then); 8] = [
    (Outcome::Clean, "<message/><presence/></stream:stream>", Holds),
    (Outcome::PeerEof, "<message/>", Ends),
    (Outcome::Truncated, "<message/><message>", Ends),
    (Outcome::Reset, "", Resets),
    (Outcome::TimedOut, "<message/>", Holds),
    (Outcome::Stalled, "<message/>", Holds),
    (Outcome::Malformed, "<message/><a></b>", Holds),
    (Outcome::Cancelled, "<message/>", Holds),
];

/// A way to close, or not to; the outcome where there is one.
type Way = fn(TcpStream, &CloseOptions) -> Option<Outcome>;

const WAYS: [(&str, Way); 12] = [
    ("closed", |tcp, options| Some(options.close(tcp).unwrap().outcome)),
    ("read to its end", |tcp, options| {
        let mut closing = options.begin(tcp).unwrap();
        (&mut closing).for_each(drop);
        Some(closing.finish().outcome)
    }),
    ("dropped at once", |tcp, options| {
        drop(options.begin(tcp).unwrap());
        None
    }),
    ("dropped after a stanza", |tcp, options| {
        options.begin(tcp).unwrap().next();
        None
    }),
    ("detached", |tcp, options| {
        let _ = options.detach(tcp).unwrap();
        None
    }),
    ("the end of a session", |tcp, options| {
        let mut stream = Stream::new(tcp);
        let _waker = stream.waker().unwrap();
        let _ = stream.send(HEADER); // it may be reset by now
        let _ = stream.close(options);
        None // the peer's header is missing in its bytes
    }),
    ("a session dropped while somebody could wake it", |tcp, _| {
        let mut stream = Stream::new(tcp);
        let waker = stream.waker().unwrap();
        waker.wake();
        assert!(!matches!(stream.receive_within(Duration::ZERO), Ok(Incoming::Stanza(_))));
        drop(stream);
        waker.wake();
        None
    }),
    ("in a batch", |tcp, options| {
        let mut batch = Batch::new().unwrap();
        batch.add(tcp, options, |_| {}).unwrap();
        Some(batch.run(BatchOptions::new().total(PATIENCE)).unwrap().reports[0].outcome)
    }),
    ("in the turns of a batch", |tcp, options| {
        let mut batch = Batch::new().unwrap();
        let index = batch.add(tcp, options, |_| {}).unwrap();
        while batch.turn(Duration::MAX).unwrap() > 0 {}
        Some(batch.report(index).unwrap().outcome)
    }),
    ("taken out of a batch", |tcp, options| {
        let mut batch = Batch::new().unwrap();
        let index = batch.add(tcp, options, |_| {}).unwrap();
        drop(batch.remove(index).unwrap());
        None
    }),
    ("taken out of a batch that has begun to close it", |tcp, options| {
        let mut batch = Batch::new().unwrap();
        let index = batch.add(tcp, options, |_| {}).unwrap();
        batch.turn(Duration::ZERO).unwrap();
        drop(batch.remove(index)); // or it is over already
        None
    }),
    ("in a batch that never runs", |tcp, options| {
        let mut batch = Batch::new().unwrap();
        batch.add(tcp, options, |_| {}).unwrap();
        None
    }),
];

/// What makes no sense; true when it is refused.
type Mistake = fn(TcpStream) -> bool;

const MISTAKES: [(&str, Mistake); 5] = [
    ("a closing tag that is none", |tcp| CloseOptions::new().closing_tag("<a/>").begin(tcp).is_err()),
    ("a detach with a stream error", |tcp| {
        CloseOptions::new().stream_error(StreamError::new(Condition::Conflict).unwrap()).detach(tcp).is_err()
    }),
    ("a header that is none", |tcp| Stream::new(tcp).close(&CloseOptions::new().header("<a/>")).is_err()),
    ("a bad tag in a batch", |tcp| {
        Batch::new().unwrap().add(tcp, &CloseOptions::new().closing_tag("<a/>"), |_| {}).is_err()
    }),
    ("a spread beyond the total", |tcp| {
        let mut batch = Batch::new().unwrap();
        batch.add(tcp, &CloseOptions::new(), |_| {}).unwrap();
        batch.run(BatchOptions::new().total(PATIENCE).spread(2 * PATIENCE)).is_err()
    }),
];

/// How many descriptors and threads this process has.
fn held() -> [usize; 2] {
    ["/proc/self/fd", "/proc/self/task"].map(|folder| fs::read_dir(folder).unwrap().count())
}

/// Whether something is left of `work`. A thread that was joined may be listed a moment longer.
fn leaves_something(patience: Duration, work: impl FnOnce()) -> bool {
    let before = held();
    work();
    let start = Instant::now();
    while held() != before {
        if start.elapsed() > patience {
            return true;
        }
        thread::yield_now();
    }
    false
}

fn options(outcome: Outcome) -> CloseOptions {
    let short = Duration::from_millis(100);
    let options = CloseOptions::new().total(PATIENCE).no_progress(PATIENCE).linger(short);
    match outcome {
        Outcome::TimedOut => options.total(short),
        Outcome::Stalled => options.total(short).farewell(b"<presence/>".repeat(1_000_000)),
        Outcome::Cancelled => {
            let canceller = Canceller::new().unwrap();
            canceller.cancel();
            options.canceller(&canceller)
        }
        _ => options,
    }
}

/// One test, because other tests beside it would come and go with their own threads and descriptors.
#[test]
fn nothing_is_left_of_a_close() {
    let moment = Duration::from_millis(200);
    assert!(leaves_something(moment, || mem::forget(peer::pair().0)), "a descriptor that is left is not noticed");
    let (end, ended) = channel::<()>();
    let mut left = None;
    assert!(leaves_something(moment, || left = Some(thread::spawn(move || ended.recv()))), "nor is a thread");
    drop(end);
    let _ = left.unwrap().join();

    for (outcome, bytes, then) in ENDINGS {
        for (way, close) in WAYS {
            let left = leaves_something(PATIENCE, || {
                let (ours, mut theirs) = peer::pair_with_buffers(1 << 16);
                theirs.write_all(bytes.as_bytes()).unwrap();
                if then == Resets {
                    SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
                }
                let held = (then == Holds).then_some(theirs);
                let got = close(ours, &options(outcome));
                assert!(got.is_none_or(|got| got == outcome), "{way}: {got:?}, not {outcome:?}");
                drop(held);
            });
            assert!(!left, "{outcome:?}, {way}: descriptors and threads were {:?} in the end", held());
        }
    }
    for (mistake, is_refused) in MISTAKES {
        let left = leaves_something(PATIENCE, || assert!(is_refused(peer::pair().0), "{mistake}"));
        assert!(!left, "{mistake}");
    }
}
