//! Faults at every step, and what must hold nevertheless: nothing lost, nothing hangs, nothing else on the wire.
//!
//! Random cases are new ones in each run; a failure prints its case, shrunk. `XMPP_CLOSE_FAULTS=50` runs 50 times as many.

#[path = "../support/peer.rs"]
mod peer;

mod apis;
mod case;
mod event_loop;
mod matrix;
mod model;
mod script;
mod walk;

use std::time::Duration;

/// How much later than it must a close may return on a busy machine.
const BUSY: Duration = Duration::from_secs(5);

/// How many times the usual number of random cases.
fn times() -> u32 {
    std::env::var("XMPP_CLOSE_FAULTS").map_or(1, |times| times.parse().expect("XMPP_CLOSE_FAULTS is a number"))
}
