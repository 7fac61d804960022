//! The end of the peer's data is told apart from a truncation (TL-07), and TLS's own messages are no end.

use crate::{
    close::{Cell, HEADER, Listener, close, close_over, each, read_header},
    peer::{self, TAG},
    setup::Version,
};

#[test]
fn tag_and_alert_present_or_absent_are_four_results() {
    for (tag, alert, outcome) in [
        (true, true, "clean"),
        (true, false, "clean"),
        (false, true, "peer-eof" /* TL-08 */),
        (false, false, "truncated"),
    ] {
        each(Cell::all(), |cell| {
            let closed = close(cell, &[], move |mut peer| {
                peer.read_tag().send("<message/>");
                if tag {
                    peer.send(TAG);
                }
                if alert {
                    peer.notify();
                }
                peer.fin().expect_notify_and_fin();
            });
            closed.expect(outcome, 1, (true, alert));
        });
    }
}

#[test]
fn an_end_inside_an_element_is_a_truncation_with_an_alert_and_without() {
    for alert in [true, false] {
        each(Cell::all(), |cell| {
            let closed = close(cell, &[], move |mut peer| {
                peer.read_tag().send("<message/><message><bo");
                if alert {
                    peer.notify();
                }
                peer.fin().expect_notify_and_fin();
            });
            closed.expect("truncated", 1, (true, alert));
        });
    }
}

#[test]
fn an_end_inside_a_record_is_a_truncation() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag().send("<message/>");
            let record = peer.encrypted(|peer| {
                peer.send(TAG);
            });
            peer.write_below(&record[..record.len() - 1]).fin().expect_notify_and_fin();
        });
        closed.expect("truncated", 1, (true, false));
    });
}

fn tls13_against_rustls() -> Vec<Cell> {
    Cell::against_rustls().into_iter().filter(|cell| cell.version == Version::Tls13).collect()
}

/// TLS's own messages come in front of the peer's header, in pieces: each ends a wait for the header, and brings
/// nothing.
#[test]
fn session_tickets_are_neither_data_nor_an_end() {
    each(tls13_against_rustls(), |cell| {
        let closed = close_over(cell, &Listener::new(), &[], |mut peer| {
            read_header(&mut peer);
            let tickets = peer.encrypted(|peer| {
                peer.write_pending();
            });
            for byte in &tickets {
                peer.write_below(&[*byte]);
            }
            peer.send(HEADER).read_tag().expect_silence();
            peer.send("<message/>").send(TAG).expect_notify().notify().expect_fin();
            tickets.len()
        });
        closed.expect("clean", 1, (true, true));
        assert!(closed.peer > 0, "no tickets were sent");
    });
}

#[test]
fn a_key_update_does_not_end_the_wait() {
    each(tls13_against_rustls(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            peer.read_tag();
            for n in 0..5 {
                peer.update_keys().send(format!("<message id='{n}'/>")).until_delivered(1);
            }
            peer.update_keys().send(TAG).expect_notify();
            assert_eq!(peer.text(), TAG, "a byte of the stream came after our tag");
            peer.notify().expect_fin();
        });
        closed.expect("clean", 5, (true, true));
    });
}

/// What TLS has decrypted and not handed out does not show in poll(2), and is delivered all the same: nothing else
/// comes.
#[test]
fn what_is_pending_inside_tls_is_delivered_at_once() {
    each(Cell::all(), |cell| {
        let closed = close(cell, &[], |mut peer| {
            let stanzas = peer::stanzas(300);
            assert!(stanzas.len() > 8192 && stanzas.len() <= 16384, "one record, more than one read");
            peer.read_tag().send(&stanzas).until_delivered(300).expect_silence();
            peer.send(TAG).notify().expect_notify_and_fin();
            stanzas
        });
        closed.expect("clean", 300, (true, true));
        assert_eq!(closed.late.concat(), closed.peer);
    });
}
