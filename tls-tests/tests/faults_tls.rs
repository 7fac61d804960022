//! The fault matrix over TLS 1.2 and 1.3: rustls, and OpenSSL through `over` and through callbacks of the C API.

#[path = "../../tests/faults/matrix.rs"]
mod matrix;

use tls_tests::{
    faults::{self, case::Wire},
    peer,
    setup::{Library::*, Version::*},
    tls::Tls,
};

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
