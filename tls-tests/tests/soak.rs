//! A million closes in a row (`make soak`), or a few thousand, over TCP, Unix sockets and TLS.

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
#[allow(dead_code, reason = "shared with the fault matrix")]
mod case;
#[path = "../../tests/faults/model.rs"]
mod model;
#[path = "../../tests/faults/ours.rs"]
mod ours;
#[path = "../../tests/faults/random.rs"]
mod random;
#[path = "../../tests/faults/script.rs"]
mod script;
#[path = "../../tests/faults/soak.rs"]
mod soak;
#[path = "../../tests/faults/stop.rs"]
mod stop;
#[path = "../../tests/faults/through_loop.rs"]
mod through_loop;
#[path = "../../tests/faults/tls.rs"]
mod tls;

use case::Wire;
use setup::{Library::*, Version::*};
use tls::Tls;

const WIRES: [Wire; 7] = [
    Wire::Tcp,
    Wire::Chopped,
    Wire::Unix,
    Wire::Tls(Tls(Rustls, Tls12)),
    Wire::Tls(Tls(Rustls, Tls13)),
    Wire::Tls(Tls(Openssl, Tls12)),
    Wire::Tls(Tls(Openssl, Tls13)),
];
