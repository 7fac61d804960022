//! A close through an event loop.

use std::time::Instant;

use xmpp_close::{CloseOptions, Engine, Tls};

use super::{
    apis::{Ended, c_options, empty_report},
    case::{Case, How, Side},
    event_loop::{InC, Loop, Machine},
    ours::Ours,
};

/// Returns what was delivered.
fn run(case: &Case, ours: &mut Ours, clock: Instant, machine: &mut dyn Machine) -> Vec<String> {
    let (stop, mut delivered) = (ours.stop.clone(), Vec::new());
    Loop {
        clock,
        transport: &mut ours.transport(),
        machine,
        peer_closed: case.side == Side::Responder,
        reads_first: true,
        own_parser: true,
        detach: case.how == How::Detach,
        farewell: case.farewell(),
        is_cancelled: &|| stop.as_ref().is_some_and(|stop| stop.canceller.is_cancelled()),
        on_stanza: &mut |xml| {
            delivered.push(String::from_utf8_lossy(xml).into_owned());
            true
        },
    }
    .run();
    delivered
}

pub fn in_rust(case: &Case, ours: &mut Ours) -> Ended {
    let (total, tls) = (case.total(), if case.is_tls() { Tls::Yes } else { Tls::No });
    let half_close = case.how == How::HalfClose && !case.is_tls();
    let options = CloseOptions::new().total(total).no_progress(total).linger(case.linger()).half_close(half_close);
    let mut machine = Engine::new(&options, tls).unwrap();
    let delivered = run(case, ours, Instant::now(), &mut machine);
    Ended::new(&machine.report(), delivered)
}

pub fn in_c(case: &Case, ours: &mut Ours) -> Ended {
    let mut options = c_options(case);
    (options.tls, options.own_parser) = (case.is_tls().into(), 1);
    options.half_close &= 1 - options.tls;
    let (mut machine, mut report) = (InC::new(&options), empty_report());
    let delivered = run(case, ours, Instant::now(), &mut machine);
    machine.report(&mut report);
    Ended::in_c(report, delivered)
}
