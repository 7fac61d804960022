//! The blocking close and the batch of Rust.

use std::net::TcpStream;

use xmpp_close::{Batch, BatchOptions, Canceller, CloseOptions, Outcome, Report, Stanza};

use crate::{Setting, farewell, peer::PATIENCE, total, toy_tls::transport};

fn options(outcome: Outcome, setting: Setting, canceller: &Canceller) -> CloseOptions {
    CloseOptions::new()
        .total(total(outcome))
        .no_progress(PATIENCE)
        .linger(PATIENCE)
        .farewell(farewell(setting))
        .peer_closed(setting == Setting::PeerClosed)
        .canceller(canceller)
}

fn ending(report: &Report) -> (u32, u32) {
    (report.outcome as u32, report.initiator.map_or(0, |initiator| initiator as u32))
}

pub fn through_closing(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    let canceller = Canceller::new().unwrap();
    let mut closing = options(outcome, setting, &canceller).begin(transport(tcp, setting)).unwrap();
    for _ in &mut closing {
        if setting == Setting::Stop {
            canceller.cancel();
        }
    }
    ending(&closing.finish())
}

pub fn through_batch(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    let canceller = Canceller::new().unwrap();
    let mut batch = Batch::new().unwrap();
    let stop = canceller.clone();
    let on_stanza = move |_: Stanza<&str>| {
        if setting == Setting::Stop {
            stop.cancel();
        }
    };
    batch.add(transport(tcp, setting), &options(outcome, setting, &canceller), on_stanza).unwrap();
    let done = batch.run(BatchOptions::new().total(2 * PATIENCE)).unwrap();
    assert_eq!(done.summary.count(done.reports[0].outcome), 1, "{}", done.summary);
    ending(&done.reports[0])
}
