//! One row through an event loop.

use std::time::Instant;

use xmpp_close::{CloseOptions, Engine, Limit, Tls::*};

use crate::{
    c_api::{c_options, empty_report},
    case::{Case, Ending},
    event_loop::{InC, Loop, Machine},
    rows::Setting,
};

/// How a loop goes about it.
#[derive(Clone, Copy)]
enum Habit {
    /// The loop reads what has arrived, before it writes.
    Reads,
    /// The loop writes at once.
    Hasty,
    /// The loop reads first, and has no parser.
    NoParser,
}
use Habit::*;

fn run(case: &Case, habit: Habit, machine: &mut dyn Machine) {
    Loop {
        clock: Instant::now(),
        transport: &mut case.transport(),
        machine,
        peer_closed: case.row.setting.peer_closed(),
        reads_first: !matches!(habit, Hasty),
        own_parser: !matches!(habit, NoParser),
        detach: false,
        farewell: case.farewell(),
        is_cancelled: &|| false,
        on_stanza: &mut |_| !case.is(Setting::Stop),
    }
    .run();
}

fn rust(case: &Case, habit: Habit) -> Ending {
    let options = CloseOptions::new()
        .total(case.limit(Limit::Total))
        .no_progress(case.limit(Limit::NoProgress))
        .linger(case.limit(Limit::Linger))
        .half_close(case.is(Setting::HalfClose));
    let mut machine = Engine::new(&options, if case.tls { Yes } else { No }).unwrap();
    run(case, habit, &mut machine);
    Ending::from(&machine.report())
}

fn c(case: &Case, habit: Habit) -> Ending {
    let mut options = c_options(case, &[]);
    (options.peer_closed, options.on_stanza) = (0, None); // told by events
    (options.tls, options.own_parser) = (case.tls.into(), (!matches!(habit, NoParser)).into());
    let (mut machine, mut report) = (InC::new(&options), empty_report());
    run(case, habit, &mut machine);
    machine.report(&mut report);
    Ending::from(&report)
}

pub fn in_rust(case: &Case) -> Ending {
    rust(case, Reads)
}

pub fn in_rust_at_once(case: &Case) -> Ending {
    rust(case, Hasty)
}

pub fn in_rust_without_parser(case: &Case) -> Ending {
    rust(case, NoParser)
}

pub fn in_c(case: &Case) -> Ending {
    c(case, Reads)
}

pub fn in_c_at_once(case: &Case) -> Ending {
    c(case, Hasty)
}

pub fn in_c_without_parser(case: &Case) -> Ending {
    c(case, NoParser)
}
