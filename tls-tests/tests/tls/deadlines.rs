//! However the peer behaves below TLS, a close returns within its deadline.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{Canceller, CloseOptions, Outcome};

use crate::{
    orders::alerts,
    ours::{Closed, close, connect},
    peer::{self, PATIENCE, SLACK, TAG},
    script::{Got, TlsPeer},
    setup::{Case, each, each_at_once},
};

/// Closes within each limit in each cell, against a peer that goes on until the close is over.
fn close_within<R: Send + 'static>(
    options: CloseOptions,
    script: impl Fn(&mut TlsPeer) -> R + Clone + Send + Sync + 'static,
    check: impl Fn(&Closed, R) + Sync,
) {
    for limit in [Duration::from_millis(500), Duration::from_secs(2)] {
        each_at_once(Case::all(), |case| close_once(case, limit, &options, script.clone(), &check));
    }
}

fn close_once<R: Send + 'static>(
    case: Case,
    limit: Duration,
    options: &CloseOptions,
    script: impl Fn(&mut TlsPeer) -> R + Send + 'static,
    check: impl Fn(&Closed, R),
) {
    let (ours, delivery, peer) = connect(case, peer::pair_with_buffers(65536), move |mut peer| script(&mut peer));
    let options = options.clone().total(limit);
    let start = Instant::now();
    let mut closing = options.begin(ours).unwrap();
    let delivered: Vec<_> = (&mut closing).map(|stanza| stanza.as_str().to_owned()).collect();
    let report = closing.finish();
    let took = start.elapsed();
    drop(delivery);
    let peer = peer.join();
    let closed = Closed { report, delivered, drains: 0 };
    println!("{case:?}, limit {limit:?}: returned {:?} after it", took.saturating_sub(limit));
    assert!(took >= limit, "gave up after {took:?}: {}", closed.report);
    assert!(took < limit + SLACK, "{took:?}");
    check(&closed, peer);
}

fn timed_out(closed: &Closed, (): ()) {
    assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::TimedOut, 0), "{}", closed.report);
    assert_eq!(alerts(&closed.report), (true, false));
}

#[test]
fn a_trickle_inside_one_record_cannot_extend_the_deadline() {
    let script = |peer: &mut TlsPeer| {
        peer.read_tag();
        for byte in peer.large_record() {
            if peer.is_over() {
                return;
            }
            peer.write_below(&[byte]);
            thread::sleep(Duration::from_millis(20)); // the trickle itself
        }
    };
    close_within(CloseOptions::new(), script, timed_out);
}

#[test]
fn a_peer_that_stops_inside_a_record_cannot_extend_the_deadline() {
    let script = |peer: &mut TlsPeer| {
        peer.read_tag();
        let record = peer.large_record();
        peer.write_below(&record[..record.len() / 2]).expect_notify_and_fin().until_over();
    };
    close_within(CloseOptions::new(), script, timed_out);
}

#[test]
fn a_peer_that_never_reads_cannot_extend_the_deadline() {
    // Large stanzas, because a debug build needs long for many small ones, before the deadline begins to count.
    let farewell = format!("<message>{}</message>", "x".repeat(9_981)).repeat(200);
    let bytes = (farewell.len() + TAG.len()) as u64;
    let script = |peer: &mut TlsPeer| {
        peer.until_over();
        // What is left in the buffers is whole stanzas and half a record; never an alert behind half of our output.
        while peer.receive() == Got::Data {}
        assert!(!peer.got.ends_with(TAG.as_bytes()) && peer.alerts() == 0);
        peer.got.len() as u64
    };
    close_within(CloseOptions::new().farewell(farewell), script, move |closed, arrived| {
        assert_eq!((closed.report.outcome, closed.report.tag_sent), (Outcome::Stalled, false), "{}", closed.report);
        assert!(closed.report.bytes_unsent > 0 && closed.report.bytes_unsent < bytes);
        assert!(bytes - closed.report.bytes_unsent <= arrived, "what half a record holds was called sent");
        assert!(closed.report.bytes_unacked > 0);
        assert_eq!(alerts(&closed.report), (false, false));
    });
}

#[test]
fn a_flooding_peer_cannot_extend_the_deadline() {
    let flood = "<message/>".repeat(1000);
    let script = move |peer: &mut TlsPeer| {
        while !peer.is_over() && peer.try_send(&flood).is_ok() {}
    };
    // One after the other, because a flood takes all the processor time.
    each(Case::all(), |case| {
        close_once(case, Duration::from_millis(500), &CloseOptions::new(), script.clone(), |closed, ()| {
            assert_eq!(closed.report.outcome, Outcome::TimedOut, "{}", closed.report);
            assert!(closed.delivered.len() > 1000);
        });
    });
}

#[test]
fn a_record_just_before_the_deadline_does_not_extend_it() {
    each_at_once(Case::all(), |case| {
        let limit = Duration::from_millis(500);
        let start = Instant::now();
        let closed = close(case, &CloseOptions::new().total(limit), move |mut peer| {
            peer.read_tag();
            thread::sleep((limit - Duration::from_millis(10)).saturating_sub(start.elapsed())); // the moment matters here
            let _ = peer.try_send("<");
            peer.until_over();
        });
        assert!(start.elapsed() >= limit && start.elapsed() < limit + 2 * SLACK);
        assert_eq!(closed.report.outcome, Outcome::TimedOut, "{}", closed.report);
    });
}

#[test]
fn a_close_over_tls_is_cancelled_at_once_from_another_thread() {
    each(Case::all(), |case| {
        let canceller = Canceller::new().unwrap();
        let options = CloseOptions::new().total(PATIENCE).no_progress(PATIENCE).canceller(&canceller);
        let start = Instant::now();
        let closed = close(case, &options, move |mut peer| {
            peer.read_tag();
            canceller.cancel();
            peer.until_over();
        });
        assert!(start.elapsed() < PATIENCE / 2);
        assert_eq!(closed.report.outcome, Outcome::Cancelled);
    });
}

#[test]
fn with_no_time_at_all_what_has_arrived_still_counts() {
    each(Case::all(), |case| {
        let (ours, theirs) = peer::pair();
        let watched = ours.try_clone().unwrap();
        let (tell, told) = mpsc::channel();
        let (start, started) = mpsc::channel();
        let (ours, _, peer) = connect(case, (ours, theirs), move |mut peer| {
            started.recv().unwrap(); // or the TLS handshake would read ahead
            let burst = peer.encrypted(|peer| {
                peer.send(peer::stanzas(3) + TAG).notify();
            });
            peer.write_below(&burst);
            tell.send(burst).unwrap();
            peer.read_tag();
        });
        start.send(()).unwrap();
        let burst = told.recv().unwrap();
        let mut arrived = vec![0; 65536];
        peer::wait_until(|| watched.peek(&mut arrived).is_ok_and(|count| arrived[..count].ends_with(&burst)));
        let report = CloseOptions::new().total(Duration::ZERO).close(ours).unwrap();
        assert_eq!((report.outcome, report.stanzas), (Outcome::Clean, 3), "{report}");
        peer.join();
    });
}

#[test]
fn dropping_a_close_over_tls_never_blocks() {
    each(Case::all(), |case| {
        let (ours, delivery, peer) = connect(case, peer::pair(), |mut peer| {
            peer.read_tag().send("<message/>").until_over();
            while ![Got::Fin, Got::Notify, Got::Reset].contains(&peer.receive()) {}
        });
        let mut closing = CloseOptions::new().begin(ours).unwrap();
        assert_eq!(closing.next().unwrap().as_str(), "<message/>");
        let start = Instant::now();
        drop(closing);
        assert!(start.elapsed() < SLACK);
        drop(delivery);
        peer.join();
    });
}
