//! Every order in which tags, alerts and the end of TCP can come.

use std::time::{Duration, Instant};

use xmpp_close::{CloseOptions, Incoming, Initiator, Outcome, Report, Stream, TlsAlerts};

use crate::{
    ours::{close, connect},
    peer::{self, PATIENCE, SLACK, TAG},
    script::Got,
    setup::{Case, each, each_at_once},
};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// Which alerts went and came.
pub fn alerts(report: &Report) -> (bool, bool) {
    let TlsAlerts { used, sent, received, .. } = report.tls;
    assert!(used);
    (sent, received)
}

#[test]
fn tag_tag_notify_notify_fin() {
    for client in [true, false] {
        each(Case::all().into_iter().map(|case| Case { client, ..case }).collect(), |case| {
            let closed = close(case, &CloseOptions::new(), |mut peer| {
                peer.read_tag().send(peer::stanzas(3)).until_delivered(3).expect_silence();
                peer.send(TAG).expect_notify().notify().expect_fin();
            });
            assert_eq!(closed.delivered.concat(), peer::stanzas(3));
            assert_eq!((closed.report.outcome, closed.report.initiator), (Outcome::Clean, Some(Initiator::Us)));
            assert_eq!(alerts(&closed.report), (true, true), "{}", closed.report);
        });
    }
}

#[test]
fn tag_and_notify_in_one_burst() {
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag().expect_silence();
            peer.in_one_burst(|peer| {
                peer.send("<message/>").send(TAG).notify();
            });
            peer.expect_notify_and_fin();
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::Clean, 1), "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, true));
    });
}

#[test]
fn tag_and_notify_in_one_burst_before_ours_are_answered() {
    each(Case::all(), |case| {
        let (ours, _, peer) = connect(case, peer::pair(), |mut peer| {
            peer.in_one_burst(|peer| {
                peer.send(HEADER).send(TAG).notify();
            });
            peer.read_tag().expect_notify_and_fin(); // HS-07
            peer.got
        });
        let mut stream = Stream::new(ours);
        stream.send(HEADER).unwrap();
        assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
        assert!(matches!(stream.receive().unwrap(), Incoming::PeerClosed));
        stream.send("<presence type='unavailable'/>").unwrap();
        let report = stream.close(&CloseOptions::new()).unwrap();
        assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Peer)), "{report}");
        assert_eq!(alerts(&report), (true, true));
        let expected = HEADER.to_owned() + "<presence type='unavailable'/>" + TAG;
        assert_eq!(String::from_utf8(peer.join()).unwrap(), expected);
    });
}

#[test]
fn the_peer_begins_and_waits_for_our_notify() {
    each(Case::all(), |case| {
        let (ours, _, peer) = connect(case, peer::pair(), |mut peer| {
            peer.send(HEADER).send(TAG).read_tag();
            peer.expect_notify().notify().expect_fin();
        });
        let mut stream = Stream::new(ours);
        stream.send(HEADER).unwrap();
        while !matches!(stream.receive().unwrap(), Incoming::PeerClosed) {}
        let report = stream.close(&CloseOptions::new()).unwrap();
        assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Peer)), "{report}");
        assert_eq!(alerts(&report), (true, true));
        peer.join();
    });
}

/// As Netty and Erlang do it.
#[test]
fn tag_then_fin_without_notify() {
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag().send(peer::stanzas(2)).until_delivered(2).expect_silence();
            peer.send(TAG).fin().expect_notify_and_fin();
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::Clean, 2), "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, false));
    });
}

#[test]
fn notify_before_the_tag_is_an_end_without_a_tag() {
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag().send(peer::stanzas(2)).until_delivered(2).expect_silence();
            peer.notify().expect_notify_and_fin(); // TL-05
            assert!(peer.got.ends_with(TAG.as_bytes()));
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::PeerEof, 2), "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, true));
        assert!(closed.report.tag_sent && !closed.report.tag_received);
    });
}

/// RFC 8446 section 6.1 lets the rest go out first. TLS 1.2 would drop it, but no library does, and a tag waits for
/// ours.
#[test]
fn notify_while_our_output_is_pending_does_not_lose_it() {
    let farewell = peer::stanzas(100_000);
    each(Case::all(), |case| {
        let expected = farewell.clone() + TAG;
        let options = CloseOptions::new().linger(PATIENCE).farewell(farewell.clone());
        let closed = close(case, &options, move |mut peer| {
            peer.notify().read_tag().expect_notify_and_fin();
            assert!(peer.got == expected.as_bytes());
        });
        assert_eq!((closed.report.outcome, closed.report.tag_sent), (Outcome::PeerEof, true), "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, true));
        assert_eq!(closed.report.bytes_unsent, 0);
    });
}

#[test]
fn fin_before_the_tag_is_a_truncation() {
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag().send(peer::stanzas(2)).until_delivered(2).expect_silence();
            peer.fin().expect_notify_and_fin();
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::Truncated, 2), "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, false));
    });
}

#[test]
fn notify_crosses_ours() {
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag().expect_silence();
            peer.send(TAG);
            // Our alert has arrived, but has not been read when the peer's is sent.
            assert!(peer.tcp.peek(&mut [0; 5]).unwrap() > 0);
            peer.notify().expect_notify_and_fin();
        });
        assert_eq!(closed.report.outcome, Outcome::Clean, "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, true));
    });
}

/// The peer closes its socket with our alert unread, which makes a RST of it.
#[test]
fn a_notify_lost_to_a_reset_leaves_the_close_clean() {
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag().send(peer::stanzas(2)).send(TAG);
            assert!(peer.tcp.peek(&mut [0; 5]).unwrap() > 0);
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::Clean, 2), "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, false));
        assert_eq!(closed.report.os_error, Some(libc::ECONNRESET));
    });
}

/// TL-02: our alert is out, and TCP is not ended before the peer's has come.
#[test]
fn a_notify_that_comes_late_is_waited_for() {
    each_at_once(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new().linger(PATIENCE), |mut peer| {
            peer.read_tag().send(TAG).expect_notify();
            peer.expect_no_end_for(Duration::from_millis(500)).notify().expect_fin();
        });
        assert_eq!(closed.report.outcome, Outcome::Clean, "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, true));
    });
}

#[test]
fn a_notify_that_never_comes_costs_no_more_than_the_linger_limit() {
    each_at_once(Case::all(), |case| {
        let limit = Duration::from_millis(500);
        let start = Instant::now();
        let closed = close(case, &CloseOptions::new().linger(limit), |mut peer| {
            peer.read_tag().send(TAG);
            peer.expect_notify_and_fin();
        });
        assert!(start.elapsed() >= limit && start.elapsed() < limit + 2 * SLACK, "{}", closed.report);
        assert_eq!(closed.report.outcome, Outcome::Clean, "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, false));
    });
}

/// After its notify the peer keeps TCP open: that is waited for below TLS, and waiting takes no processor time.
#[test]
fn waiting_for_the_end_of_tcp_below_tls_does_not_spin() {
    each_at_once(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new().linger(Duration::from_millis(500)), |mut peer| {
            peer.read_tag().send(TAG).notify().expect_notify_and_fin().until_over();
        });
        assert_eq!(closed.report.outcome, Outcome::Clean, "{}", closed.report);
        assert!(closed.drains > 0 && closed.drains < 50, "{} attempts", closed.drains);
    });
}

/// TL-11: TLS is over, but TCP is read to its end, so that no RST answers the peer.
#[test]
fn junk_below_tls_after_notify_is_drained_to_the_end_of_tcp() {
    const JUNK: usize = 1 << 20;
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new().linger(PATIENCE), |mut peer| {
            peer.read_tag().send(TAG).notify().expect_notify_and_fin();
            peer.write_below(&[b'x'; JUNK]).fin();
            assert_eq!(peer.read_below().unwrap(), []);
        });
        assert_eq!(closed.report.outcome, Outcome::Clean, "{}", closed.report);
        assert_eq!((closed.report.bytes_after_tag, closed.report.os_error), (JUNK as u64, None), "{}", closed.report);
    });
}

#[test]
fn stanzas_between_tag_and_notify_are_discarded() {
    each(Case::all(), |case| {
        let junk = peer::stanzas(100);
        let bytes = junk.len() as u64;
        let closed = close(case, &CloseOptions::new(), move |mut peer| {
            peer.read_tag().send("<message/>").send(TAG).send(junk).notify();
            assert_eq!(peer.receive(), Got::Notify);
            peer.expect_fin();
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::Clean, 1), "{}", closed.report);
        assert_eq!((closed.report.stanzas, closed.report.bytes_after_tag), (1, bytes), "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, true));
    });
}

/// TL-01 when the time is up: the alert, then FIN, and no stream error.
#[test]
fn a_timeout_ends_with_notify_and_fin() {
    each_at_once(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new().total(Duration::from_millis(500)), |mut peer| {
            peer.read_tag().send("<message/>").until_delivered(1).expect_silence();
            peer.expect_notify_and_fin();
            assert_eq!(peer.text(), TAG);
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::TimedOut, 1), "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, false));
    });
}
