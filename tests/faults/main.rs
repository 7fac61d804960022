//! Faults at every step, and what must hold nevertheless: nothing lost, nothing hangs, nothing else on the wire.
//!
//! The package `tls-tests` has the same over TLS, and `make soak` runs a million random cases.
//! Random cases differ in each run. A failure prints its case, shrunk. `XMPP_CLOSE_FAULTS=50` runs 50 times as many.

#[path = "../support/callbacks.rs"]
mod callbacks;
#[path = "../support/event_loop.rs"]
mod event_loop;
#[path = "../support/local.rs"]
mod local;
#[path = "../support/peer.rs"]
mod peer;

#[path = "mod.rs"]
#[allow(dead_code, reason = "the soak and the tests over TLS use all of it")]
mod faults;
mod matrix;
#[path = "no_tls.rs"]
mod tls;

use faults::case::Wire;

/// Windows has no Unix sockets: TCP is tried twice as often.
const WIRES: [Wire; 3] = [Wire::Tcp, Wire::Chopped, if cfg!(unix) { Wire::Unix } else { Wire::Tcp }];

/// How many times the usual number of random cases.
fn times() -> u32 {
    std::env::var("XMPP_CLOSE_FAULTS").map_or(1, |times| times.parse().expect("XMPP_CLOSE_FAULTS is a number"))
}
