//! While bytes move, only the total bounds a close: the linger limit counts from the end of our output, or silence.

use std::{
    io::Read,
    net::Shutdown,
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{DEFAULT_LINGER, Outcome};

use crate::{
    FD,
    peer::{self, TAG},
    ways::{STREAM, WAYS, open},
};

/// So often, and so evenly over twice the linger limit, something moves.
const STEPS: u32 = 40;

/// Waits until the moment of a step: these tests are about time.
fn pace(start: Instant, step: u32) {
    thread::sleep((2 * DEFAULT_LINGER * step / STEPS).saturating_sub(start.elapsed()));
}

#[test]
fn a_half_closed_peer_that_reads_steadily_gets_all_of_our_output_through_every_api() {
    let stanzas = |bytes: usize| "<message><body>hello</body></message>".repeat(bytes / 37 + 1);
    let (much, less) = (stanzas(20_000_000), stanzas(2_000_000));
    thread::scope(|scope| {
        for (way, close) in WAYS {
            let farewell = if ["close", FD].contains(&way) { &much } else { &less };
            scope.spawn(move || {
                let (ours, theirs) = peer::pair_with_buffers(1 << 16);
                let length = farewell.len() + TAG.len();
                let peer = peer::peer(theirs, move |mut peer| {
                    open(way, &mut peer);
                    peer.tcp.shutdown(Shutdown::Write).unwrap();
                    let (mut start, mut chunk) = (None, vec![0; length / STEPS as usize + 1]);
                    for step in 0..STEPS {
                        let left = (length - peer.got.len()).min(chunk.len());
                        peer.tcp.read_exact(&mut chunk[..left]).unwrap_or_else(|error| panic!("{way}: {error}"));
                        peer.got.extend_from_slice(&chunk[..left]);
                        pace(*start.get_or_insert_with(Instant::now), step + 1);
                    }
                    assert_eq!(peer.got.len(), length, "{way}");
                    peer.read_tag().expect_eof();
                });
                let (outcome, _) = close(ours, farewell);
                peer.join().unwrap();
                assert_eq!(outcome, Outcome::PeerEof, "{way}");
            });
        }
    });
}

#[test]
fn what_a_peer_sends_steadily_is_delivered_when_our_own_half_was_shut_through_every_api() {
    let stanzas: Vec<_> = (0..STEPS).map(|n| format!("<message id='{n}'/>")).collect();
    thread::scope(|scope| {
        // A Stream must send its header first.
        for (way, close) in WAYS.into_iter().filter(|(way, _)| *way != STREAM) {
            let stanzas = &stanzas;
            scope.spawn(move || {
                let (ours, theirs) = peer::pair();
                ours.shutdown(Shutdown::Write).unwrap();
                let sent = stanzas.clone();
                let peer = peer::peer(theirs, move |mut peer| {
                    let start = Instant::now();
                    for (step, stanza) in (1..).zip(&sent) {
                        peer.send(stanza);
                        pace(start, step);
                    }
                    peer.send(TAG).expect_eof();
                });
                let (outcome, late) = close(ours, "");
                peer.join().unwrap();
                assert_eq!((outcome, &late), (Outcome::Reset, stanzas), "{way}");
            });
        }
    });
}

#[test]
fn a_peer_that_falls_silent_when_our_own_half_was_shut_is_left_after_the_linger_limit() {
    let (ours, theirs) = peer::pair();
    ours.shutdown(Shutdown::Write).unwrap();
    let start = Instant::now();
    let (outcome, late) = WAYS[0].1(ours, "");
    assert_eq!((outcome, late.len()), (Outcome::Reset, 0));
    assert!(start.elapsed() >= DEFAULT_LINGER && start.elapsed() < peer::PATIENCE - Duration::from_secs(1));
    drop(theirs);
}
