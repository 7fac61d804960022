//! The end of the peer's data is told apart from a truncation (TL-07), and nothing ends our half early (TL-04).

use xmpp_close::{CloseOptions, Outcome};

use crate::{
    orders::alerts,
    ours::close,
    peer::{self, TAG},
    setup::{Case, each},
};

#[test]
fn tag_and_alert_present_or_absent_are_four_results() {
    each(Case::all(), |case| {
        let results = [(true, true), (true, false), (false, true), (false, false)].map(|(tag, alert)| {
            let closed = close(case, &CloseOptions::new(), move |mut peer| {
                peer.read_tag().send("<message/>");
                if tag {
                    peer.send(TAG);
                }
                if alert {
                    peer.notify();
                }
                peer.fin().expect_notify_and_fin();
            });
            assert_eq!(closed.delivered, ["<message/>"], "{case:?}");
            (closed.report.outcome, alerts(&closed.report).1)
        });
        let expected = [
            (Outcome::Clean, true),
            (Outcome::Clean, false),
            (Outcome::PeerEof, true), // TL-08
            (Outcome::Truncated, false),
        ];
        assert_eq!(results, expected);
    });
}

#[test]
fn an_end_inside_an_element_is_a_truncation_with_an_alert_and_without() {
    for alert in [true, false] {
        each(Case::all(), |case| {
            let closed = close(case, &CloseOptions::new(), move |mut peer| {
                peer.read_tag().send("<message/><message><bo");
                if alert {
                    peer.notify();
                }
                peer.fin().expect_notify_and_fin();
            });
            assert_eq!(closed.delivered, ["<message/>"]);
            assert_eq!((closed.report.outcome, alerts(&closed.report)), (Outcome::Truncated, (true, alert)));
            let why = if alert {
                "ended inside an element; "
            } else {
                "TLS ended, and the peer's close_notify was not seen; "
            };
            assert!(closed.report.to_string().contains(why), "{case:?}: {}", closed.report);
        });
    }
}

#[test]
fn an_end_inside_a_record_is_a_truncation() {
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag().send("<message/>");
            let record = peer.encrypted(|peer| {
                peer.send(TAG);
            });
            peer.write_below(&record[..record.len() - 1]).fin().expect_notify_and_fin();
        });
        assert_eq!(closed.delivered, ["<message/>"]);
        assert_eq!((closed.report.outcome, alerts(&closed.report)), (Outcome::Truncated, (true, false)));
    });
}

/// Like Prosody and many others: what is still queued is dropped when FIN or close_notify comes.
#[test]
fn a_peer_that_drops_its_output_on_our_notify_or_fin_drops_nothing() {
    const COUNT: usize = 1500;
    each(Case::all(), |case| {
        let stanza = format!("<message><body>{}</body></message>", "x".repeat(4000));
        let sent = stanza.clone();
        let closed = close(case, &CloseOptions::new().total(peer::PATIENCE), move |mut peer| {
            peer.read_tag();
            for _ in 0..COUNT {
                peer.expect_silence().send(&sent);
            }
            peer.expect_silence().send(TAG).notify().expect_notify_and_fin();
        });
        assert_eq!(closed.delivered.len(), COUNT);
        assert!(closed.delivered.iter().all(|late| *late == stanza));
        assert_eq!(closed.report.outcome, Outcome::Clean, "{}", closed.report);
    });
}
