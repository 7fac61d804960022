//! A million closes in a row (`make soak`), or a few thousand, over TCP, Unix sockets and TLS.

#[path = "../../tests/faults/soak.rs"]
mod soak;

use tls_tests::{
    faults::{self, case::Wire},
    peer,
    setup::{Library::*, Version::*},
    tls::Tls,
};

const WIRES: [Wire; 7] = [
    Wire::Tcp,
    Wire::Chopped,
    Wire::Unix,
    Wire::Tls(Tls(Rustls, Tls12)),
    Wire::Tls(Tls(Rustls, Tls13)),
    Wire::Tls(Tls(Openssl, Tls12)),
    Wire::Tls(Tls(Openssl, Tls13)),
];
