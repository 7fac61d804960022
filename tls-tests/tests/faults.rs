//! The fault matrix over TLS 1.2 and 1.3: rustls, and OpenSSL through `over` and through callbacks of the C API.

#[path = "../../tests/support/callbacks.rs"]
mod callbacks;
#[path = "../../tests/support/event_loop.rs"]
mod event_loop;
#[path = "../../tests/tls/openssl_session.rs"]
mod openssl_session;
#[path = "../../tests/support/peer.rs"]
mod peer;
#[path = "../../tests/tls/setup.rs"]
#[allow(dead_code, reason = "shared with the other tests over TLS")]
mod setup;

#[path = "../../tests/faults/apis.rs"]
mod apis;
#[path = "../../tests/faults/case.rs"]
#[allow(dead_code, reason = "shared with the soak")]
mod case;
#[path = "../../tests/faults/matrix.rs"]
mod matrix;
#[path = "../../tests/faults/model.rs"]
mod model;
#[path = "../../tests/faults/ours.rs"]
mod ours;
#[path = "../../tests/faults/random.rs"]
mod random;
#[path = "../../tests/faults/script.rs"]
mod script;
#[path = "../../tests/faults/stop.rs"]
mod stop;
#[path = "../../tests/faults/through_loop.rs"]
mod through_loop;
#[path = "../../tests/faults/tls.rs"]
mod tls;

use case::Wire;
use setup::{Library::*, Version::*};
use tls::Tls;

const WIRES: [Wire; 4] = [
    Wire::Tls(Tls(Rustls, Tls12)),
    Wire::Tls(Tls(Rustls, Tls13)),
    Wire::Tls(Tls(Openssl, Tls12)),
    Wire::Tls(Tls(Openssl, Tls13)),
];

/// How many times the usual number of random cases.
fn times() -> u32 {
    std::env::var("XMPP_CLOSE_FAULTS").map_or(1, |times| times.parse().expect("XMPP_CLOSE_FAULTS is a number"))
}
