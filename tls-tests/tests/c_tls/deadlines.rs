//! However the peer behaves below TLS, a close returns within its deadline.

use std::{io::Write, thread, time::Duration};

use crate::{
    close::{Cell, HEADER, Listener, close_over, each_at_once, read_header},
    peer::{SLACK, TAG},
    script::{Got, TlsPeer},
};

/// Closes within each limit in each cell.
fn close_within(arguments: &[&str], script: impl Fn(&mut TlsPeer) + Clone + Send + Sync + 'static, outcome: &str) {
    for limit in [500, 2000] {
        each_at_once(Cell::all(), |cell| {
            let script = script.clone();
            let limit_text = limit.to_string();
            let arguments = [&["--total", &limit_text], arguments].concat();
            let listener = Listener::new().with_buffer(65536);
            let report = close_over(cell, &listener, &arguments, move |mut peer| {
                read_header(&mut peer);
                peer.send(HEADER);
                script(&mut peer);
            })
            .report;
            println!("{cell:?}, limit {limit} ms: returned {} ms after it", report.elapsed_ms.saturating_sub(limit));
            assert_eq!(report.outcome, outcome, "{report:?}");
            assert_eq!(report.alerts, (outcome == "timed-out", false), "{report:?}");
            assert!(report.elapsed_ms >= limit && report.elapsed_ms < limit + SLACK.as_millis() as u64, "{report:?}");
        });
    }
}

#[test]
fn a_trickle_inside_one_record_cannot_extend_the_deadline() {
    let script = |peer: &mut TlsPeer| {
        peer.read_tag();
        for byte in peer.large_record() {
            if peer.is_over() || peer.tcp.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20)); // the trickle itself
        }
    };
    close_within(&[], script, "timed-out");
}

#[test]
fn a_peer_that_stops_inside_a_record_cannot_extend_the_deadline() {
    let script = |peer: &mut TlsPeer| {
        peer.read_tag();
        let record = peer.large_record();
        peer.write_below(&record[..record.len() / 2]).expect_notify_and_fin().until_over();
    };
    close_within(&[], script, "timed-out");
}

#[test]
fn a_peer_that_never_reads_cannot_extend_the_deadline() {
    let script = |peer: &mut TlsPeer| {
        peer.until_over();
        // What is left in the buffers is whole stanzas and half a record; never an alert behind half of our output.
        while peer.receive() == Got::Data {}
        assert!(!peer.got.ends_with(TAG.as_bytes()) && peer.alerts() == 0);
    };
    close_within(&["--messages", "20000"], script, "stalled");
}

#[test]
fn a_flooding_peer_cannot_extend_the_deadline() {
    let flood = "<message/>".repeat(1000);
    let script = move |peer: &mut TlsPeer| while !peer.is_over() && peer.try_send(&flood).is_ok() {};
    close_within(&[], script, "timed-out");
}
