//! Everything that both sides wrote before their closing tags arrives, over TLS as well.

use std::net::TcpStream;

use xmpp_close::{CloseOptions, Outcome};

use crate::{
    ours::close_over,
    peer::{self, PATIENCE, TAG},
    setup::{Case, Library, Version, each},
};

/// A numbered stanza of `bytes` bytes.
fn stanza(n: usize, bytes: usize) -> String {
    format!("<message id='{n:06}'><body>{}</body></message>", "x".repeat(bytes - 48))
}

/// The peer writes `theirs` bytes, then its tag, and only then reads; we have `ours` bytes pending. Nobody may wait for
/// ever.
fn both_write_before_reading(case: Case, pair: (TcpStream, TcpStream), our_bytes: usize, their_bytes: usize) {
    const SIZE: usize = 4096;
    let farewell: String = (0..our_bytes / SIZE).map(|n| stanza(n, SIZE)).collect();
    let expected = farewell.clone() + TAG;
    // With rustls at both ends, new keys all along. OpenSSL fails by itself ("bad length", openssl#13729) when it is
    // asked for new keys while a write is blocked.
    let updates_keys = case.version == Version::Tls13 && (case.ours, case.theirs) == (Library::Rustls, Library::Rustls);
    let options = CloseOptions::new().total(PATIENCE).no_progress(PATIENCE).farewell(farewell);
    let closed = close_over(case, pair, &options, move |mut peer| {
        for n in 0..their_bytes / SIZE {
            if updates_keys && n % 100 == 0 {
                peer.update_keys();
            }
            peer.send(stanza(n, SIZE));
        }
        peer.send(TAG).read_tag().expect_notify().notify().expect_fin();
        assert!(peer.got == expected.as_bytes(), "{} bytes of {}", peer.got.len(), expected.len());
    });
    assert_eq!(closed.delivered.len(), their_bytes / SIZE, "{}", closed.report);
    assert!(closed.delivered.iter().enumerate().all(|(n, late)| *late == stanza(n, SIZE)));
    assert_eq!((closed.report.outcome, closed.report.bytes_unsent), (Outcome::Clean, 0), "{}", closed.report);
}

#[test]
fn two_peers_that_write_before_reading_get_everything() {
    each(Case::all(), |case| both_write_before_reading(case, peer::pair(), 5_000_000, 20_000_000));
}

#[test]
fn two_peers_that_write_before_reading_get_everything_through_small_buffers() {
    each(Case::all(), |case| both_write_before_reading(case, peer::pair_with_buffers(4096), 500_000, 2_000_000));
}

#[test]
fn late_stanzas_arrive_in_order() {
    each(Case::all(), |case| {
        let closed = close_over(case, peer::pair(), &CloseOptions::new(), |mut peer| {
            peer.read_tag();
            for hundred in 0..100 {
                peer.send((0..100).map(|n| format!("<message id='{}'/>", hundred * 100 + n)).collect::<String>());
            }
            peer.send(TAG).notify().expect_notify_and_fin();
        });
        assert_eq!(closed.report.outcome, Outcome::Clean, "{}", closed.report);
        assert_eq!(closed.delivered.len(), 10_000);
        assert!(closed.delivered.iter().enumerate().all(|(n, late)| *late == format!("<message id='{n}'/>")));
    });
}
