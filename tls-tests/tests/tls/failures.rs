//! When the TLS layer fails, nothing more is sent (TL-12), and what came before is handed over.

use std::sync::mpsc;

use xmpp_close::{CloseOptions, Outcome};

use crate::{
    ours::{close, connect},
    peer::{self, TAG},
    records::Record,
    script::{GARBAGE, Got},
    setup::{Case, Library, each},
};

#[test]
fn a_broken_record_ends_the_close_with_one_fatal_alert_at_most() {
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag().send(peer::stanzas(3)).until_delivered(3).write_below(GARBAGE);
            let words = peer.last_words();
            assert!(words.is_empty() || words == [Record::Alert], "{words:?}");
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::TlsFailed, 3), "{}", closed.report);
        assert!(!closed.report.tls.sent && !closed.report.tls.received, "{}", closed.report);
        assert!(closed.report.tag_sent && !closed.report.tag_received);
    });
}

#[test]
fn what_came_in_the_same_segment_as_a_broken_record_is_delivered() {
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag();
            let mut burst = peer.encrypted(|peer| {
                peer.send(peer::stanzas(3));
            });
            burst.extend_from_slice(GARBAGE);
            peer.write_below(&burst);
            peer.last_words();
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::TlsFailed, 3), "{}", closed.report);
    });
}

/// The peer could not decrypt our tag, and says so: no answer, no close_notify.
#[test]
fn after_a_fatal_alert_nothing_more_is_sent() {
    each(Case::all(), |case| {
        let (ready, is_ready) = mpsc::channel();
        let (ours, _, peer) = connect(case, peer::pair(), move |mut peer| {
            peer.send(peer::stanzas(3)).spoil_next();
            ready.send(()).unwrap();
            assert_eq!(peer.receive(), Got::Failed);
            assert_eq!(peer.last_words(), []);
        });
        is_ready.recv().unwrap();
        let report = xmpp_close::close(ours);
        assert_eq!((report.outcome, report.stanzas), (Outcome::TlsFailed, 3), "{report}");
        assert!(!report.tls.sent && !report.tls.received, "{report}");
        peer.join();
    });
}

#[test]
fn a_failure_after_both_tags_leaves_the_close_clean() {
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new(), move |mut peer| {
            peer.read_tag().send(TAG).write_below(GARBAGE);
            let words = peer.last_words();
            // close_notify or the fatal alert; OpenSSL sends one behind the other.
            assert!(matches!(words[..], [Record::Alert] | [Record::Alert, Record::Alert]), "{words:?}");
            assert!(words.len() == 1 || case.ours == Library::Openssl, "{words:?}");
        });
        assert_eq!(closed.report.outcome, Outcome::Clean, "{}", closed.report);
        assert!(!closed.report.tls.received);
    });
}

#[test]
fn plaintext_behind_tls_is_a_failure_not_a_stanza() {
    each(Case::all(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag().write_below(TAG.as_bytes());
            peer.last_words();
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::TlsFailed, 0), "{}", closed.report);
        assert!(!closed.report.tag_received);
    });
}
