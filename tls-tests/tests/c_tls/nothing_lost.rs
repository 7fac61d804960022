//! Everything that both sides wrote before their closing tags arrives, in order.

use crate::{
    close::{Cell, HEADER, Listener, close, close_over, each, read_header},
    peer::TAG,
};

/// Like Prosody and many others, the peer drops what is still queued when FIN or close_notify comes.
#[test]
fn a_peer_that_drops_its_output_on_our_notify_or_fin_drops_nothing() {
    const COUNT: usize = 1500;
    each(Cell::all(), |cell| {
        let stanza = |n| format!("<message id='{n}'><body>{}</body></message>", "x".repeat(4000));
        let closed = close(cell, &[], move |mut peer| {
            peer.read_tag();
            for n in 0..COUNT {
                peer.expect_silence().send(stanza(n)); // TL-04
            }
            peer.expect_silence().send(TAG).notify().expect_notify_and_fin();
        });
        closed.expect("clean", COUNT, (true, true));
        assert!(closed.late.iter().enumerate().all(|(n, late)| *late == stanza(n)));
    });
}

/// The peer writes everything, then its tag, and only then reads, while the example has much to say: nobody may wait
/// for ever.
fn both_write_before_reading(listener: &Listener, cell: Cell, ours: usize, theirs: usize) {
    let stanza = |n| format!("<message id='{n}'><body>{}</body></message>", "x".repeat(4000));
    let count = ours.to_string();
    let closed = close_over(cell, listener, &["--messages", &count, "--total", "60000"], move |mut peer| {
        read_header(&mut peer);
        peer.send(HEADER);
        for n in 0..theirs {
            peer.send(stanza(n));
        }
        peer.send(TAG).read_tag().expect_notify().notify().expect_fin();
        let got = String::from_utf8(peer.got).unwrap();
        let ids: Vec<usize> =
            got.split("<message id='").skip(1).map(|rest| rest.split('\'').next().unwrap().parse().unwrap()).collect();
        assert!(ids.into_iter().eq(0..ours), "{} bytes came", got.len());
    });
    closed.expect("clean", theirs, (true, true));
    assert_eq!(closed.report.unsent, 0);
    assert!(closed.late.iter().enumerate().all(|(n, late)| *late == stanza(n)));
}

#[test]
fn two_peers_that_write_before_reading_get_everything() {
    each(Cell::all(), |cell| both_write_before_reading(&Listener::new(), cell, 12_000, 3000));
}

#[test]
fn two_peers_that_write_before_reading_get_everything_through_small_buffers() {
    each(Cell::all(), |cell| both_write_before_reading(&Listener::new().with_buffer(65536), cell, 8000, 500));
}

/// Nothing comes any more that could wake a program which waits for the wrong direction; time would, after 10 s.
#[test]
fn blocked_output_goes_on_as_soon_as_there_is_room() {
    each(Cell::all(), |cell| {
        let listener = Listener::new().with_buffer(16384);
        let closed = close_over(cell, &listener, &["--messages", "12000"], |mut peer| {
            read_header(&mut peer);
            peer.send(HEADER.to_owned() + "<message/>").until_delivered(1);
            peer.read_tag().send(TAG).expect_notify().notify().expect_fin();
        });
        closed.expect("clean", 1, (true, true));
        assert!(closed.report.elapsed_ms < 9000, "{:?}", closed.report);
    });
}

#[test]
fn a_sanitized_program_gets_everything_too() {
    each(Cell::checked(), |cell| both_write_before_reading(&Listener::new(), cell, 200, 200));
}
