//! Every order in which tags, alerts and the end of TCP can come.

use std::time::Duration;

use crate::{
    close::{Cell, HEADER, Listener, close, close_over, each, each_at_once, read_header},
    peer::{self, SLACK, TAG},
    script::Got,
};

#[test]
fn tag_tag_notify_notify_fin() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().send(peer::stanzas(3)).until_delivered(3).expect_silence();
            peer.send(TAG).expect_notify().notify().expect_fin();
            assert_eq!(peer.text(), TAG);
        });
        closed.expect("clean", 3, (true, true));
        assert_eq!(closed.late.concat(), peer::stanzas(3));
    });
}

#[test]
fn stanza_tag_and_notify_in_one_burst() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().expect_silence();
            peer.in_one_burst(|peer| {
                peer.send("<message/>").send(TAG).notify();
            });
            peer.expect_notify_and_fin();
        });
        closed.expect("clean", 1, (true, true));
    });
}

/// The peer begins: all that it ever says comes at once, with its header, and what we owe it is sent all the same
/// (HS-07).
#[test]
fn everything_in_one_burst_before_ours_is_answered() {
    each(Cell::all(), |cell| {
        let closed = close_over(cell, &Listener::new(), &["--messages", "2"], |mut peer| {
            read_header(&mut peer);
            peer.in_one_burst(|peer| {
                peer.send(HEADER.to_owned() + "<message/>").send(TAG).notify();
            });
            peer.read_tag().expect_notify_and_fin();
            assert_eq!(peer.got.windows(9).filter(|text| text == b"<message ").count(), 2);
        });
        closed.expect("clean", 1, (true, true));
    });
}

#[test]
fn the_peer_begins_and_waits_for_our_notify() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.send("<message/>").send(TAG).read_tag().expect_notify().notify().expect_fin();
        });
        closed.expect("clean", 1, (true, true));
    });
}

/// As Netty and Erlang do it.
#[test]
fn tag_then_fin_without_notify() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().send(peer::stanzas(2)).until_delivered(2).expect_silence();
            peer.send(TAG).fin().expect_notify_and_fin();
        });
        closed.expect("clean", 2, (true, false));
    });
}

/// The peer has ended its half before we have said anything, and gets all of it (I-01).
#[test]
fn tag_and_fin_before_ours_are_answered() {
    each(Cell::all(), |cell| {
        let closed = close_over(cell, &Listener::new(), &["--messages", "100"], |mut peer| {
            read_header(&mut peer);
            peer.in_one_burst(|peer| {
                peer.send(HEADER.to_owned() + TAG);
            });
            peer.fin().read_tag().expect_notify_and_fin();
            assert_eq!(peer.got.windows(9).filter(|text| text == b"<message ").count(), 100);
        });
        closed.expect("clean", 0, (true, false));
    });
}

#[test]
fn notify_before_the_tag_is_an_end_without_a_tag() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().send(peer::stanzas(2)).until_delivered(2).expect_silence();
            peer.notify().expect_notify_and_fin(); // TL-05
            assert_eq!(peer.text(), TAG);
        });
        closed.expect("peer-eof", 2, (true, true));
    });
}

#[test]
fn fin_before_the_tag_is_a_truncation() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().send(peer::stanzas(2)).until_delivered(2).expect_silence();
            peer.fin().expect_notify_and_fin();
        });
        closed.expect("truncated", 2, (true, false));
    });
}

#[test]
fn notify_crosses_ours() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().expect_silence();
            peer.send(TAG);
            // Our alert has arrived, but has not been read when the peer's is sent.
            assert!(peer.tcp.peek(&mut [0; 5]).unwrap() > 0);
            peer.notify().expect_notify_and_fin();
        });
        closed.expect("clean", 0, (true, true));
    });
}

/// The peer closes its socket with our alert unread, which makes a RST of it.
#[test]
fn a_notify_lost_to_a_reset_leaves_the_close_clean() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().send(peer::stanzas(2)).send(TAG);
            assert!(peer.tcp.peek(&mut [0; 5]).unwrap() > 0);
        });
        closed.expect("clean", 2, (true, false));
        assert_eq!(closed.report.errno, libc::ECONNRESET);
    });
}

/// TL-02: our alert is out, and TCP is not ended before the peer's has come.
#[test]
fn a_notify_that_comes_late_is_waited_for() {
    each_at_once(Cell::all(), |cell| {
        let closed = close(cell, &["--linger", "600000", "--total", "600000"], |mut peer| {
            peer.read_tag().send(TAG).expect_notify();
            peer.expect_no_end_for(Duration::from_millis(500)).notify().expect_fin();
        });
        closed.expect("clean", 0, (true, true));
    });
}

#[test]
fn a_notify_that_never_comes_costs_no_more_than_the_linger_limit() {
    each_at_once(Cell::all(), |cell| {
        let closed = close(cell, &["--linger", "500"], |mut peer| {
            peer.read_tag().send(TAG).expect_notify_and_fin();
        });
        closed.expect("clean", 0, (true, false));
        let elapsed = Duration::from_millis(closed.report.elapsed_ms);
        assert!(elapsed >= Duration::from_millis(500) && elapsed < Duration::from_millis(500) + SLACK, "{elapsed:?}");
    });
}

/// After its notify the peer keeps TCP open: that is waited for below TLS, and waiting takes no processor time.
#[test]
fn waiting_for_the_end_of_tcp_below_tls_does_not_spin() {
    each_at_once(Cell::all(), |cell| {
        let closed = close(cell, &["--linger", "1500"], |mut peer| {
            peer.read_tag().send(TAG).notify().expect_notify_and_fin();
            peer.until_over();
        });
        closed.expect("clean", 0, (true, true));
        assert!(closed.report.elapsed_ms >= 1500, "{:?}", closed.report);
        assert!(closed.processor_ms < 750, "{} ms of processor time", closed.processor_ms);
    });
}

#[test]
fn stanzas_between_tag_and_notify_are_discarded() {
    each(Cell::all(), |cell| {
        let junk = peer::stanzas(100);
        let bytes = junk.len() as u64;
        let closed = close(cell, &[], move |mut peer| {
            peer.read_tag().send("<message/>").send(TAG).send(junk).notify();
            assert_eq!(peer.receive(), Got::Notify);
            peer.expect_fin();
        });
        closed.expect("clean", 1, (true, true));
        assert_eq!(closed.report.behind_the_tag, bytes);
    });
}

/// TL-01 when the time is up: the alert, then FIN, and no stream error.
#[test]
fn a_timeout_ends_with_notify_and_fin() {
    each_at_once(Cell::all(), |cell| {
        let closed = close(cell, &["--total", "500"], |mut peer| {
            peer.read_tag().send("<message/>").until_delivered(1).expect_silence();
            peer.expect_notify_and_fin();
            assert_eq!(peer.text(), TAG);
        });
        closed.expect("timed-out", 1, (true, false));
    });
}
