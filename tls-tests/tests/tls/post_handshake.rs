//! What TLS 1.3 sends by itself while a close waits is no end, and no data of the stream.

use xmpp_close::{CloseOptions, Outcome};

use crate::{
    orders::alerts,
    ours::close,
    peer::{self, PATIENCE, TAG},
    records::Record,
    setup::{Case, Library, Version, each},
};

fn tls13_against_rustls() -> Vec<Case> {
    Case::against_rustls().into_iter().filter(|case| case.version == Version::Tls13).collect()
}

#[test]
fn a_session_ticket_does_not_end_the_wait() {
    each(tls13_against_rustls(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag();
            let tickets = peer.encrypted(|peer| {
                peer.write_pending();
            });
            assert!(!tickets.is_empty(), "no tickets to send");
            // In pieces, so that the wait ends for nothing, again and again.
            for byte in &tickets {
                peer.write_below(&[*byte]);
            }
            peer.send("<message/>").until_delivered(1).expect_silence();
            peer.send(TAG).expect_notify().notify().expect_fin();
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::Clean, 1), "{}", closed.report);
        assert_eq!((closed.report.bytes_read, alerts(&closed.report)), (10 + TAG.len() as u64, (true, true)));
    });
}

#[test]
fn a_key_update_does_not_end_the_wait() {
    each(tls13_against_rustls(), |case| {
        let closed = close(case, &CloseOptions::new(), |mut peer| {
            peer.read_tag();
            for n in 0..10 {
                peer.update_keys().send(format!("<message id='{n}'/>")).until_delivered(1);
            }
            // Our alert comes with the new keys, so the answers went out in front of it.
            peer.update_keys().send(TAG).expect_notify();
            assert_eq!(peer.text(), TAG, "a byte of the stream came after our tag");
            let records = peer.records();
            let since_tag = records.iter().rev().take_while(|record| **record != Record::Data);
            assert!(since_tag.filter(|record| **record == Record::KeyUpdate).count() > 0, "{records:?}");
            peer.notify().expect_fin();
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::Clean, 10), "{}", closed.report);
        assert_eq!(alerts(&closed.report), (true, true));
    });
}

/// Reading wants to write, and cannot; nothing is lost and nobody waits for ever. (OpenSSL itself fails there:
/// openssl#13729.)
#[test]
fn key_updates_while_our_output_is_blocked_lose_nothing() {
    let farewell = peer::stanzas(20_000);
    each(tls13_against_rustls().into_iter().filter(|case| case.ours == Library::Rustls).collect(), |case| {
        let expected = farewell.clone() + TAG;
        let options = CloseOptions::new().total(PATIENCE).farewell(farewell.clone());
        let pair = peer::pair_with_buffers(4096);
        let closed = crate::ours::close_over(case, pair, &options, move |mut peer| {
            for n in 0..20 {
                peer.update_keys().send(format!("<message id='{n}'/>"));
            }
            peer.until_delivered(20); // and not a byte of ours has been read
            peer.read_tag().send(TAG).expect_notify().notify().expect_fin();
            assert!(peer.got == expected.as_bytes());
        });
        assert_eq!((closed.report.outcome, closed.delivered.len()), (Outcome::Clean, 20), "{}", closed.report);
    });
}
