//! The fifteen bugs that users of other implementations met when a stream, a WebSocket or a TLS session was closed:
//! one test for each bug, numbered as the bugs were collected, and named after what must hold here.
#![allow(unsafe_code, reason = "the system is asked for CPU time")]

#[path = "support/cpu.rs"]
mod cpu;
#[path = "support/local.rs"]
mod local;
#[path = "support/peer.rs"]
mod peer;

use std::{
    io::{ErrorKind, Read, Write},
    thread,
    time::{Duration, Instant},
};

use cpu::thread_time;
use local::{codes::ECONNRESET, lent};
use peer::{PATIENCE, SLACK, TAG};
use xmpp_close::{CloseOptions, Condition, Error, Incoming, Initiator, Outcome, Report, Stream};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// Long enough that a close which waits for a deadline is told apart from one that ends by itself.
fn patient() -> CloseOptions {
    CloseOptions::new().total(PATIENCE).no_progress(PATIENCE).linger(PATIENCE)
}

/// Closes against `script`, and returns the report with the late stanzas.
fn close(options: &CloseOptions, script: impl FnOnce(peer::Peer) + Send + 'static) -> (Report, Vec<String>) {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, script);
    let start = Instant::now();
    let mut closing = options.begin(ours).unwrap();
    let late = (&mut closing).map(|stanza| stanza.as_str().to_owned()).collect();
    let report = closing.finish();
    peer.join().unwrap();
    assert!(start.elapsed() < PATIENCE / 2, "waited for a deadline although the end was known: {report}");
    (report, late)
}

/// 1: a timeout for each read, which each message restarted, made others wait for ever.
#[test]
fn traffic_never_restarts_the_clock() {
    let (ours, theirs) = peer::pair();
    let limit = Duration::from_millis(400);
    let peer = peer::peer(theirs, move |mut peer| {
        while peer.tcp.write_all(b"<message/>").is_ok() {
            thread::sleep(limit / 4); // the trickle itself
        }
    });
    let start = Instant::now();
    let report = CloseOptions::new().total(limit).close(ours).unwrap();
    assert!(start.elapsed() >= limit && start.elapsed() < limit + SLACK);
    assert_eq!(report.outcome, Outcome::TimedOut);
    assert_eq!(report.bytes_read, report.stanzas * 10, "delivered is what came");
    peer.join().unwrap();
}

/// 2: the deadline was looked at only between reads, or never again once nothing came.
#[test]
fn a_stalled_wait_ends_at_the_deadline_and_costs_no_cpu() {
    let (ours, _theirs) = peer::pair();
    let (start, cpu) = (Instant::now(), thread_time());
    let report = CloseOptions::new().total(Duration::from_millis(500)).close(ours).unwrap();
    assert_eq!(report.outcome, Outcome::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(500) && start.elapsed() < Duration::from_millis(500) + SLACK);
    assert!(thread_time() - cpu < Duration::from_millis(200), "a wait that spins");
}

/// 3: the write of the closing tag was outside the timeout.
#[test]
fn the_write_of_the_closing_tag_is_inside_the_deadline() {
    let (ours, _theirs) = peer::pair();
    let (start, cpu) = (Instant::now(), thread_time());
    let queued = format!("<message>{}</message>", " ".repeat(22_000_000));
    let options = CloseOptions::new().total(Duration::from_millis(500)).farewell(queued);
    let report = options.close(ours).unwrap();
    assert!(start.elapsed() < Duration::from_millis(500) + SLACK);
    assert_eq!((report.outcome, report.tag_sent), (Outcome::Stalled, false));
    assert!(report.bytes_unsent > 0 && !report.is_clean());
    assert!(thread_time() - cpu < Duration::from_millis(400), "a wait that spins");
}

/// 4: with much unread, close dead-locked, or kept 33 of 100 messages.
#[test]
fn ten_megabytes_in_flight_are_delivered_in_order() {
    let body = "x".repeat(10_000);
    let sent: Vec<String> = (0..1000).map(|n| format!("<message id='{n}'><body>{body}</body></message>")).collect();
    let all = sent.concat();
    let (report, late) = close(&patient(), move |mut peer| {
        peer.send(all).send(TAG);
        peer.rest().unwrap();
        assert_eq!(peer.got, TAG.as_bytes());
    });
    assert!(late == sent, "{report}");
    assert!(report.is_clean());
}

/// 5: the wait for an answer went on although the peer was gone, or spun.
#[test]
fn the_end_of_the_connection_ends_the_wait() {
    let (report, _) = close(&patient(), |mut peer| {
        peer.read_tag();
    });
    assert_eq!((report.outcome, report.tag_received), (Outcome::PeerEof, false));
    let (report, _) = close(&patient(), |mut peer| {
        peer.read_tag().send(TAG);
    });
    assert_eq!(report.outcome, Outcome::Clean);
    let (report, _) = close(&patient(), |mut peer| {
        peer.read_tag();
        peer.reset();
    });
    let reset = if peer::resets_show() { (Outcome::Reset, Some(ECONNRESET)) } else { (Outcome::PeerEof, None) };
    assert_eq!((report.outcome, report.os_error), reset);
    // The peer's tag is in our buffer before we begin.
    let (ours, theirs) = peer::pair();
    let mut peer = peer::Peer { tcp: theirs, got: Vec::new() };
    peer.send(TAG);
    peer::wait_until(|| ours.peek(&mut [0; 64]).unwrap() == TAG.len());
    let peer = thread::spawn(move || peer.read_tag().expect_eof());
    let report = patient().close(ours).unwrap();
    // I-09: it had come before ours was written, so it acknowledges nothing.
    assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Crossing)));
    peer.join().unwrap();
}

/// 6: the peer's tag was there, but not seen: split, with a blank, or with what only looks like it before it.
#[test]
fn the_peers_tag_is_seen_however_it_comes() {
    let look_alikes = "<message><body><![CDATA[</stream:stream>]]></body></message><a b='&lt;/stream:stream>'/>";
    for tag in [TAG, "</stream:stream \t\r\n>", "</foobar:stream>", "</stream>"] {
        for split in 0..tag.len() {
            let (report, late) = close(&patient(), move |mut peer| {
                peer.tcp.set_nodelay(true).unwrap();
                peer.send(look_alikes).send(&tag[..split]).send(&tag[split..]);
                // Nothing follows: no byte may be needed behind the `>`.
                peer.read_tag().expect_eof();
            });
            assert_eq!((report.outcome, late.len()), (Outcome::Clean, 2), "{tag:?} split at {split}");
        }
    }
}

/// 7: a peer that never answers cost an error, or a constant that users begged to change.
#[test]
fn a_peer_that_never_answers_is_no_error() {
    for limit in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(50)] {
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, |mut peer| peer.read_tag().expect_eof());
        let start = Instant::now();
        let report = xmpp_close::CloseOptions::new().total(limit).close(ours).expect("no error");
        assert!(start.elapsed() >= limit && start.elapsed() < limit + SLACK);
        assert_eq!((report.outcome, report.os_error), (Outcome::TimedOut, None));
        peer.join().unwrap(); // it got our tag and FIN, and no stream error
    }
}

/// 8: the peer closed first and never got an answer.
#[test]
fn a_peer_that_closes_first_gets_one_tag_before_our_end() {
    for half_closes in [false, true] {
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, move |mut peer| {
            peer.send(HEADER).send("<iq type='get' id='1'/>").send(TAG);
            if half_closes {
                peer.tcp.shutdown(std::net::Shutdown::Write).unwrap();
            }
            peer.rest().unwrap();
            assert_eq!(String::from_utf8_lossy(&peer.got), HEADER.to_owned() + "<iq type='result' id='1'/>" + TAG);
        });
        let mut stream = Stream::new(ours);
        stream.send(HEADER).unwrap();
        while !matches!(stream.receive().unwrap(), Incoming::PeerClosed) {}
        stream.send("<iq type='result' id='1'/>").unwrap(); // HS-08
        let report = stream.close(&patient()).unwrap();
        assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Peer)), "{report}");
        peer.join().unwrap();
    }
}

/// 9: the answer to a peer that is gone already was an error, or a fatal SIGPIPE.
#[test]
fn an_answer_to_a_peer_that_is_gone_is_mere_detail() {
    // It only left: our answer is taken by the kernel.
    let (report, late) = close(&patient(), |mut peer| {
        peer.send("<message/>").send(TAG);
    });
    assert!(report.tag_received && late.len() == 1, "{report}");
    // It reset the connection before we could write: its data and its tag still count.
    let (ours, theirs) = peer::pair();
    let mut peer = peer::Peer { tcp: theirs, got: Vec::new() };
    peer.send("<message/>").send(TAG);
    peer.reset();
    let mut closing = patient().begin(ours).unwrap();
    assert_eq!((&mut closing).count(), 1);
    let report = closing.finish();
    assert!(report.tag_received && !report.tag_sent, "{report}");
    assert_eq!(report.outcome, Outcome::Reset, "clean means both tags");
    assert!(report.os_error.is_some());
}

/// 10: stanzas, acks and a second tag went out behind the tag.
#[test]
fn whatever_comes_we_write_one_tag_and_nothing_behind_it() {
    let (ours, theirs) = peer::pair();
    let peer = peer::peer(theirs, |mut peer| {
        peer.send(HEADER).read_tag();
        peer.send("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq><r xmlns='urn:xmpp:sm:3'/>").send(TAG);
        peer.expect_eof();
        assert_eq!(peer.tags(), 1);
    });
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    assert!(matches!(stream.send(TAG), Err(Error::Invalid(_))), "a tag by hand would be a second one");
    let report = stream.close(&patient()).unwrap();
    assert!(report.is_clean());
    peer.join().unwrap();
    // Closed twice: after any ending, the connection takes no second tag.
    for (answer, total) in [(TAG, PATIENCE), ("<message/>", Duration::from_millis(100)), ("<a></b>", PATIENCE)] {
        let (ours, theirs) = peer::pair();
        let peer = peer::peer(theirs, move |mut peer| {
            peer.send(answer).rest().unwrap();
            assert_eq!(peer.tags(), 1, "{answer}");
        });
        for _ in 0..2 {
            let _ = CloseOptions::new().total(total).linger(SLACK).close(lent(&ours)).unwrap();
        }
        drop(ours);
        peer.join().unwrap();
    }
    // Both sides close at the same moment.
    let (report, _) = close(&patient(), |mut peer| {
        peer.send(TAG).read_tag().expect_eof();
        assert_eq!(peer.tags(), 1);
    });
    assert!(report.is_clean());
}

/// 11: a request that came during the wait broke it.
#[test]
fn requests_during_the_wait_are_delivered_and_do_no_harm() {
    let requests = [
        "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<r xmlns='urn:xmpp:sm:3'/>",
        "<a xmlns='urn:xmpp:sm:3' h='9'/>",
        "<unknown xmlns='x'/>",
    ];
    let (report, late) = close(&patient(), move |mut peer| {
        peer.read_tag().send(requests.concat());
        peer.send("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
        peer.send("<message/>".repeat(1000)).send(TAG).expect_eof();
    });
    assert_eq!(late[..4], requests);
    assert_eq!((late.len(), report.outcome, report.stanzas), (1004, Outcome::Clean, 1004));
    assert_eq!(report.stream_error.unwrap().condition(), Condition::Conflict);
}

/// 12: a RST destroyed the last bytes, because there was unread input when the socket was closed.
#[test]
fn our_last_stanza_arrives_although_the_peer_goes_on_talking() {
    let (report, _) = close(&patient().farewell("<message id='last'/>"), |mut peer| {
        peer.send(TAG);
        for _ in 0..100 {
            peer.send("\n<junk/>");
        }
        peer.read_tag().expect_eof();
        assert_eq!(peer.got, b"<message id='last'/></stream:stream>");
    });
    assert_eq!((report.outcome, report.bytes_after_tag), (Outcome::Clean, 800));
}

/// 13: an early half-close made the peer drop what it still had to send.
#[test]
fn no_end_of_output_is_seen_before_the_peers_tag() {
    // Like Prosody: looks for EOF between writes, halfway for so long, and drops the rest when it sees it.
    fn drops_on_fin(mut peer: peer::Peer, halfway: Duration) {
        peer.read_tag();
        peer.tcp.set_read_timeout(Some(halfway)).unwrap();
        for count in 0..500 {
            peer.tcp.set_nonblocking(count != 250).unwrap();
            match peer.tcp.read(&mut [0; 64]) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Ok(0) => return,
                other => panic!("{other:?}"),
            }
            peer.send("<message/>");
        }
        peer.tcp.set_nonblocking(false).unwrap();
        peer.tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        peer.send(TAG).expect_eof();
    }
    let (report, late) = close(&patient(), |peer| drops_on_fin(peer, Duration::from_millis(20)));
    assert_eq!((report.outcome, late.len()), (Outcome::Clean, 500));
    let (report, late) = close(&patient().half_close(true), |peer| drops_on_fin(peer, PATIENCE));
    assert!(late.len() < 500 && report.outcome == Outcome::PeerEof, "half_close is off by default for a reason");
}

/// 14: a tag inside a half-written element; a Drop that blocked.
#[test]
fn half_a_stanza_is_refused_and_a_drop_while_panicking_does_not_block() {
    let (ours, theirs) = peer::pair();
    let mut stream = Stream::new(ours);
    stream.send(HEADER).unwrap();
    for half in ["<message>", "<message><body/>", "<mess", "</stream:stream", "<a></b>", "text <!-- x -->"] {
        assert!(matches!(stream.send(half), Err(Error::Invalid(_))), "{half}");
    }
    let start = Instant::now();
    let panicked = thread::spawn(move || {
        let _closing = stream.begin(&patient()).unwrap();
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panicked.join().is_err());
    assert!(start.elapsed() < SLACK);
    let got = peer::peer(theirs, |mut peer| {
        peer.rest().unwrap();
        peer.got
    });
    let expected = HEADER.to_owned() + TAG;
    assert_eq!(String::from_utf8_lossy(&got.join().unwrap()), expected, "nothing of what was refused is on the wire");
}

/// 15: nobody could tell how it ended.
#[test]
fn each_way_to_end_has_a_report_of_its_own() {
    let mut reports = vec![
        close(&patient(), |mut peer| peer.read_tag().send(TAG).expect_eof()),
        close(&patient().peer_closed(true), |mut peer| peer.read_tag().expect_eof()),
        close(&CloseOptions::new().total(Duration::from_millis(100)), |mut peer| peer.read_tag().expect_eof()),
        close(&patient(), |mut peer| {
            peer.read_tag();
        }),
        close(&patient(), |mut peer| {
            peer.read_tag().send("<message><body>");
        }),
        close(&patient(), |mut peer| {
            peer.read_tag();
            peer.reset();
        }),
        close(&patient(), |mut peer| {
            peer.read_tag();
            peer.send("<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>").send(TAG);
        }),
        close(&patient(), |mut peer| {
            peer.read_tag().send("<a></b>");
        }),
        close(&patient(), |mut peer| {
            peer.read_tag().send(TAG).send("garbage").expect_eof();
        }),
    ];
    if !peer::resets_show() {
        let (report, _) = reports.remove(5);
        assert_eq!(report.outcome, Outcome::PeerEof, "{report}");
    }
    let seen: Vec<_> = reports
        .iter()
        .map(|(report, _)| {
            let error = report.stream_error.as_ref().map(|error| error.condition());
            (report.outcome, report.initiator, error, report.bytes_after_tag)
        })
        .collect();
    for (index, one) in seen.iter().enumerate() {
        assert!(!seen[..index].contains(one), "two endings look alike: {one:?}");
    }
    let outcomes: Vec<_> = seen.iter().map(|(outcome, ..)| outcome.as_str()).collect();
    let expected = "clean clean timed-out peer-eof truncated reset clean malformed clean";
    assert_eq!(outcomes.join(" "), if peer::resets_show() { expected.into() } else { expected.replace("reset ", "") });
}
