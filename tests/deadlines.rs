//! However the peer behaves, a close returns within its deadline.
#![allow(unsafe_code, reason = "signals are sent through libc")]

#[path = "support/peer.rs"]
mod peer;

use std::{
    io::Write,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use peer::{PATIENCE, Peer, SLACK, TAG};
use xmpp_close::{Canceller, CloseOptions, Initiator, Limit, Outcome, Report, Step};

const LIMITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Closes within each limit, against a peer that goes on for ever until told to stop. Returns the reports with the
/// number of stanzas that were delivered.
fn close_within(options: CloseOptions, script: fn(&mut Peer, &AtomicBool)) -> Vec<(Report, usize)> {
    LIMITS
        .map(|limit| {
            let (ours, theirs) = peer::pair();
            let over = Arc::new(AtomicBool::new(false));
            let seen = over.clone();
            let peer = peer::peer(theirs, move |mut peer| script(&mut peer, &seen));
            let start = Instant::now();
            let mut closing = options.clone().total(limit).begin(ours).unwrap();
            let delivered = (&mut closing).count();
            let report = closing.finish();
            let took = start.elapsed();
            over.store(true, Ordering::SeqCst);
            peer.join().unwrap();
            println!("limit {limit:?}: returned {:?} after it, {report}", took.saturating_sub(limit));
            assert!(took >= limit, "gave up after {took:?}: {report}");
            assert!(took < limit + SLACK, "{took:?}");
            (report, delivered)
        })
        .into()
}

/// Sends `bytes` every 100 ms until the close is over.
fn trickle(peer: &mut Peer, over: &AtomicBool, bytes: &str) -> usize {
    use std::io::Write;
    peer.read_tag();
    let mut count = 0;
    while !over.load(Ordering::SeqCst) && peer.tcp.write_all(bytes.as_bytes()).is_ok() {
        count += 1;
        thread::sleep(Duration::from_millis(100)); // the trickle itself
    }
    count
}

fn until_over(over: &AtomicBool) {
    peer::wait_until(|| {
        thread::sleep(Duration::from_millis(1));
        over.load(Ordering::SeqCst)
    });
}

#[test]
fn a_silent_peer_cannot_extend_the_deadline() {
    for (report, _) in close_within(CloseOptions::new(), |peer, over| {
        peer.read_tag();
        until_over(over);
        peer.expect_eof(); // HS-06: no stream error because of a timeout
    }) {
        assert_eq!(report.outcome, Outcome::TimedOut);
        assert!(report.tag_sent && !report.tag_received);
    }
}

#[test]
fn a_trickling_peer_cannot_extend_the_deadline() {
    for (report, _) in close_within(CloseOptions::new(), |peer, over| {
        trickle(peer, over, " ");
    }) {
        assert_eq!(report.outcome, Outcome::TimedOut);
    }
}

#[test]
fn an_endless_element_cannot_extend_the_deadline() {
    for (report, delivered) in close_within(CloseOptions::new(), |peer, over| {
        peer.send("<message><body>");
        trickle(peer, over, "x");
    }) {
        assert_eq!((report.outcome, delivered), (Outcome::TimedOut, 0));
    }
}

#[test]
fn a_stanza_now_and_then_cannot_extend_the_deadline_and_each_is_delivered() {
    for (report, delivered) in close_within(CloseOptions::new(), |peer, over| {
        trickle(peer, over, "<message/>");
    }) {
        assert_eq!(report.outcome, Outcome::TimedOut);
        assert!(delivered > 1);
        assert_eq!(report.bytes_read, delivered as u64 * 10, "a stanza that came was not delivered");
    }
}

#[test]
fn a_flooding_peer_cannot_extend_the_deadline() {
    for (report, delivered) in close_within(CloseOptions::new(), |peer, over| {
        use std::io::Write;
        let flood = "<message/>".repeat(1000);
        while !over.load(Ordering::SeqCst) && peer.tcp.write_all(flood.as_bytes()).is_ok() {}
    }) {
        assert_eq!(report.outcome, Outcome::TimedOut);
        assert!(delivered > 1000);
    }
}

#[test]
fn a_peer_that_never_reads_cannot_extend_the_deadline() {
    // Large stanzas: a debug build takes seconds to look through many small ones, before the deadline begins to count.
    let farewell = format!("<message>{}</message>", "x".repeat(9_981)).repeat(1000);
    let bytes = farewell.len() + TAG.len();
    for (report, _) in close_within(CloseOptions::new().farewell(farewell), |_, over| until_over(over)) {
        assert_eq!(report.outcome, Outcome::Stalled);
        assert!(!report.tag_sent);
        assert!(report.bytes_unsent > 0 && report.bytes_unsent < bytes as u64);
        // Windows does not tell it.
        assert!(cfg!(windows) || report.bytes_unacked > 0);
    }
}

#[test]
fn a_byte_just_before_the_deadline_does_not_extend_it() {
    for limit in LIMITS {
        let (ours, theirs) = peer::pair();
        let start = Instant::now();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let peer = peer::peer(theirs, move |mut peer| {
            peer.read_tag();
            let moment = limit.saturating_sub(Duration::from_millis(10));
            thread::sleep(moment.saturating_sub(start.elapsed())); // the moment matters here
            peer.send("<");
            let _ = stopped.recv();
        });
        let report = CloseOptions::new().total(limit).close(ours).unwrap();
        let took = start.elapsed();
        drop(stop);
        peer.join().unwrap();
        assert_eq!(report.outcome, Outcome::TimedOut);
        assert!(took >= limit && took < limit + SLACK, "{took:?}");
    }
}

/// Windows has no signals.
#[test]
#[cfg(unix)]
fn signals_neither_shorten_nor_extend_the_deadline() {
    use std::{os::unix::thread::JoinHandleExt, sync::atomic::AtomicUsize};
    static SIGNALS: AtomicUsize = AtomicUsize::new(0);
    extern "C" fn count(_: libc::c_int) {
        SIGNALS.fetch_add(1, Ordering::SeqCst);
    }
    for flags in [0, libc::SA_RESTART] {
        // SAFETY: the handler only adds to an atomic, which is async-signal-safe.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = count as *const () as usize;
            action.sa_flags = flags;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()), 0);
        }
        for limit in LIMITS {
            let (ours, theirs) = peer::pair();
            let start = Instant::now();
            let closing = thread::spawn(move || CloseOptions::new().total(limit).close(ours).unwrap());
            let before = SIGNALS.load(Ordering::SeqCst);
            while !closing.is_finished() {
                assert!(start.elapsed() < PATIENCE);
                // SAFETY: the thread has not been joined, so its id is valid.
                unsafe { libc::pthread_kill(closing.as_pthread_t() as libc::pthread_t, libc::SIGUSR1) };
                thread::sleep(Duration::from_millis(10)); // one signal every 10 ms
            }
            let took = start.elapsed();
            let report = closing.join().unwrap();
            drop(theirs);
            assert_eq!((report.outcome, report.os_error), (Outcome::TimedOut, None));
            assert!(took >= limit && took < limit + SLACK, "{took:?}");
            assert!(SIGNALS.load(Ordering::SeqCst) > before + 5);
        }
    }
}

#[test]
fn any_limit_is_kept_also_none_at_all() {
    for limit in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(1), Duration::from_millis(50)] {
        let (ours, theirs) = peer::pair();
        let start = Instant::now();
        let report = CloseOptions::new().total(limit).close(ours).unwrap();
        assert!(start.elapsed() >= limit && start.elapsed() < limit + SLACK);
        assert_eq!((report.outcome, report.tag_sent), (Outcome::TimedOut, true), "{limit:?}");
        peer::peer(theirs, |mut peer| peer.read_tag().expect_eof()).join().unwrap();
    }
}

#[test]
fn with_no_time_at_all_what_has_arrived_still_counts() {
    let (ours, theirs) = peer::pair();
    let mut peer = Peer { tcp: theirs, got: Vec::new() };
    peer.send(peer::stanzas(3) + TAG);
    peer::wait_until(|| ours.peek(&mut [0; 1024]).unwrap() == peer::stanzas(3).len() + TAG.len());
    let report = CloseOptions::new().total(Duration::ZERO).close(ours).unwrap();
    assert_eq!((report.outcome, report.stanzas), (Outcome::Clean, 3), "{report}");
}

#[test]
fn without_progress_a_close_returns_before_the_total() {
    let (ours, _theirs) = peer::pair();
    let start = Instant::now();
    let options = CloseOptions::new().total(PATIENCE).no_progress(Duration::from_millis(300));
    let report = options.close(ours).unwrap();
    assert_eq!(report.outcome, Outcome::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(300) && start.elapsed() < PATIENCE / 2);
}

#[test]
fn the_time_the_application_takes_with_a_stanza_is_not_the_peers() {
    const LIMIT: Duration = Duration::from_secs(2);
    let (ours, theirs) = peer::pair();
    let (handled, answer) = std::sync::mpsc::channel();
    let peer = peer::peer(theirs, move |mut peer| {
        peer.read_tag().send("<a/><b/>");
        answer.recv().unwrap();
        peer.send(TAG).expect_eof();
    });
    let mut closing = CloseOptions::new().total(PATIENCE).no_progress(LIMIT).begin(ours).unwrap();
    assert_eq!(closing.next().unwrap().as_str(), "<a/>");
    thread::sleep(LIMIT + LIMIT / 10); // the application, at its work
    assert_eq!(closing.next().unwrap().as_str(), "<b/>");
    handled.send(()).unwrap();
    assert_eq!(closing.finish().outcome, Outcome::Clean);
    peer.join().unwrap();
}

#[test]
fn a_peer_that_keeps_tcp_open_is_left_after_the_linger_limit() {
    let (ours, theirs) = peer::pair();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let peer = peer::peer(theirs, move |mut peer| {
        peer.read_tag().send(TAG);
        peer.expect_eof(); // HS-17, HS-18: the end comes from us
        let _ = stopped.recv();
    });
    let start = Instant::now();
    let report = CloseOptions::new().linger(Duration::from_millis(300)).close(ours).unwrap();
    assert!(start.elapsed() >= Duration::from_millis(300) && start.elapsed() < Duration::from_millis(300) + SLACK);
    drop(stop);
    peer.join().unwrap();
    assert_eq!(report.outcome, Outcome::Clean);
}

fn cancel_from_another_thread(use_it: impl Fn(&CloseOptions, TcpStream) -> Report) {
    let (ours, theirs) = peer::pair();
    let canceller = Canceller::new().unwrap();
    let other = canceller.clone();
    let peer = peer::peer(theirs, move |mut peer| {
        peer.read_tag();
        other.cancel();
        peer.rest()
    });
    let start = Instant::now();
    let report = use_it(&CloseOptions::new().total(PATIENCE).no_progress(PATIENCE).canceller(&canceller), ours);
    assert!(start.elapsed() < PATIENCE / 2);
    assert_eq!((report.outcome, report.initiator), (Outcome::Cancelled, Some(Initiator::Us)));
    assert!(peer.join().unwrap().unwrap().is_empty());
    assert!(canceller.is_cancelled());
}

#[test]
fn a_close_in_progress_is_cancelled_at_once_from_another_thread() {
    cancel_from_another_thread(|options, tcp| options.close(tcp).unwrap());
    cancel_from_another_thread(|options, tcp| {
        let mut closing = options.begin(tcp).unwrap();
        assert!(closing.next().is_none());
        closing.finish()
    });
}

#[test]
fn a_close_that_was_cancelled_before_sends_nothing() {
    let (ours, theirs) = peer::pair();
    let canceller = Canceller::new().unwrap();
    canceller.cancel();
    let report = CloseOptions::new().canceller(&canceller).close(ours).unwrap();
    assert_eq!((report.outcome, report.bytes_unsent), (Outcome::Cancelled, TAG.len() as u64));
    peer::peer(theirs, |mut peer| peer.expect_eof()).join().unwrap();
}

#[test]
fn dropping_a_close_never_blocks() {
    let (ours, theirs) = peer::pair();
    let mut closing = CloseOptions::new().begin(ours).unwrap();
    let peer = peer::peer(theirs, |mut peer| {
        peer.read_tag().send("<message/>");
        peer.rest()
    });
    assert_eq!(closing.next().unwrap().as_str(), "<message/>");
    let start = Instant::now();
    drop(closing);
    assert!(start.elapsed() < SLACK);
    peer.join().unwrap().unwrap();
}

/// The peer sends faster than the application handles. Only what had arrived at the deadline is still handed over: the peer
/// does not stop by itself before the stanzas after the deadline are many times as many.
#[test]
fn behind_the_deadline_a_slow_application_gets_no_more_than_had_arrived() {
    for stepped in [false, true] {
        let (ours, mut theirs) = peer::pair();
        theirs.set_nodelay(true).unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let counted = sent.clone();
        let peer = thread::spawn(move || {
            for _ in 0..5000 {
                if theirs.write_all(b"<message id='1'/>").is_err() {
                    return true;
                }
                counted.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(2));
            }
            false
        });
        let mut handled = 0;
        let mut handle = || {
            handled += 1;
            thread::sleep(Duration::from_millis(4));
        };
        let total = Duration::from_millis(300);
        let mut closing = CloseOptions::new().total(total).begin(ours).unwrap();
        if stepped {
            loop {
                match closing.step() {
                    Step::Stanza(_) => handle(),
                    Step::Wait(_) => thread::sleep(Duration::from_millis(1)),
                    _ => break,
                }
            }
        } else {
            closing.by_ref().for_each(|_| handle());
        }
        let sent = sent.load(Ordering::Relaxed);
        let report = closing.finish();
        assert_eq!((report.outcome, report.limit), (Outcome::TimedOut, Some(Limit::Total)), "{report}");
        assert!(handled > 0 && sent < 2000, "the peer sent {sent}, and {handled} were handed over: {report}");
        assert!(peer.join().unwrap(), "the close went on until the peer stopped: {report}");
    }
}
