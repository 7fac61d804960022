//! When TLS or TCP fails, nothing more is sent (TL-12), and what came before is handed over.

use crate::{
    close::HEADER,
    close::{Cell, Listener, close, close_over, each, read_header},
    peer::{self, TAG},
    records::Record,
    script::{GARBAGE, Got, TlsPeer},
};

#[test]
fn a_broken_record_ends_the_close_with_one_fatal_alert() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().send(peer::stanzas(3)).until_delivered(3).write_below(GARBAGE);
            assert_eq!(peer.last_words(), [Record::Alert]);
        });
        closed.expect("tls-failed", 3, (false, false));
    });
}

#[test]
fn what_came_in_the_same_segment_as_a_broken_record_is_delivered() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag();
            let mut burst = peer.encrypted(|peer| {
                peer.send(peer::stanzas(3));
            });
            burst.extend_from_slice(GARBAGE);
            peer.write_below(&burst);
            assert_eq!(peer.last_words(), [Record::Alert]);
        });
        closed.expect("tls-failed", 3, (false, false));
    });
}

/// The peer cannot decrypt what we say, and says so: no answer, no close_notify.
#[test]
fn after_a_fatal_alert_nothing_more_is_sent() {
    each(Cell::all(), |cell| {
        let closed = close_over(cell, &Listener::new(), &[], |mut peer| {
            read_header(&mut peer);
            peer.send(HEADER).send(peer::stanzas(3)).spoil_next();
            assert_eq!(peer.receive(), Got::Failed);
            assert_eq!(peer.last_words(), []);
        });
        closed.expect("tls-failed", 3, (false, false));
    });
}

#[test]
fn a_failure_after_both_tags_leaves_the_close_clean() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().send(TAG).write_below(GARBAGE);
            let words = peer.last_words();
            // close_notify and, behind it or instead of it, the fatal alert; never close_notify behind that.
            assert!(matches!(words[..], [Record::Alert] | [Record::Alert, Record::Alert]), "{words:?}");
        });
        assert_eq!((closed.report.outcome.as_str(), closed.report.alerts.1), ("clean", false), "{:?}", closed.report);
    });
}

#[test]
fn plaintext_behind_tls_is_a_failure_not_a_stanza() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().write_below(format!("<message/>{TAG}").as_bytes());
            peer.last_words();
        });
        closed.expect("tls-failed", 0, (false, false));
    });
}

/// TC-04: GnuTLS takes one for the other.
#[test]
fn a_reset_before_the_tag_is_no_end() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().send(peer::stanzas(3)).until_delivered(3);
            reset(peer);
        });
        closed.expect("reset", 3, (false, false));
        assert_eq!(closed.report.errno, libc::ECONNRESET);
    });
}

/// TC-05: the peer has said its last words before it broke off, and our write finds out first. No signal is raised.
#[test]
fn what_came_before_a_reset_is_delivered_although_writing_failed() {
    let mut cells = Cell::all();
    cells.extend(Cell::checked());
    each(cells, |cell| {
        let closed = close_over(cell, &Listener::new().with_buffer(4096), &["--messages", "8000"], |mut peer| {
            read_header(&mut peer);
            peer.send(HEADER).tcp.peek(&mut [0]).unwrap(); // its output has begun, and will be stuck
            peer.send(peer::stanzas(3)).until_delivered(3);
            reset(peer);
        });
        closed.expect("reset", 3, (false, false));
        assert!(closed.report.unsent > 0, "{:?}", closed.report);
    });
}

/// A RST behind a FIN fails our write with EPIPE, of which SIGPIPE would make the end of the program.
#[test]
fn a_peer_that_hangs_up_while_we_write_raises_no_signal() {
    each(Cell::all(), |cell| {
        let closed = close_over(cell, &Listener::new().with_buffer(4096), &["--messages", "8000"], |mut peer| {
            read_header(&mut peer);
            peer.send(HEADER).tcp.peek(&mut [0]).unwrap();
            peer.send(peer::stanzas(3) + TAG).fin().until_delivered(3);
            reset(peer);
        });
        closed.expect("reset", 3, (false, false));
        assert_eq!(closed.report.errno, libc::EPIPE);
    });
}

fn reset(peer: TlsPeer) {
    socket2::SockRef::from(&peer.tcp).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}
