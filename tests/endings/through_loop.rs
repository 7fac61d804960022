//! Through an event loop.

use std::{net::TcpStream, time::Instant};

use xmpp_close::{CloseOptions, Engine, Outcome, Tls::*};

use crate::{
    Setting::{self, *},
    c_api::{c_options, empty_report},
    event_loop::{InC, Loop, Machine},
    farewell,
    peer::PATIENCE,
    total,
    toy_tls::transport,
};

fn run(tcp: &TcpStream, setting: Setting, reads_first: bool, machine: &mut dyn Machine) {
    Loop {
        clock: Instant::now(),
        transport: &mut transport(tcp, setting),
        machine,
        peer_closed: setting == PeerClosed,
        reads_first,
        detach: false,
        farewell: farewell(setting),
        is_cancelled: &|| false,
        on_stanza: &mut |_| setting != Stop,
    }
    .run();
}

pub fn in_rust(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    in_rust_that(true, tcp, outcome, setting)
}

/// Writes before it reads.
pub fn in_rust_at_once(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    in_rust_that(false, tcp, outcome, setting)
}

fn in_rust_that(reads_first: bool, tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    let options = CloseOptions::new().total(total(outcome)).no_progress(PATIENCE).linger(PATIENCE);
    let mut machine = Engine::new(&options, if setting == Tls { Yes } else { No }).unwrap();
    run(tcp, setting, reads_first, &mut machine);
    let report = machine.report();
    (report.outcome as u32, report.initiator.map_or(0, |initiator| initiator as u32))
}

pub fn in_c(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    in_c_that(true, tcp, outcome, setting)
}

/// Writes before it reads.
pub fn in_c_at_once(tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    in_c_that(false, tcp, outcome, setting)
}

fn in_c_that(reads_first: bool, tcp: &TcpStream, outcome: Outcome, setting: Setting) -> (u32, u32) {
    let mut options = c_options(outcome, PeerClosed, &[]);
    options.peer_closed = 0; // told by an event
    (options.tls, options.own_parser) = ((setting == Tls).into(), 1);
    let (mut machine, mut report) = (InC::new(&options), empty_report());
    run(tcp, setting, reads_first, &mut machine);
    machine.report(&mut report);
    (report.outcome, report.initiator)
}
