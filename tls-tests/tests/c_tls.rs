//! The OpenSSL and GnuTLS examples in C, built as a reader would build them, against a scripted TLS peer: every order of
//! tags and alerts, TLS 1.2 and 1.3, rustls and OpenSSL at the other end.

#[path = "../../tests/support/clib.rs"]
mod clib;
#[path = "../../tests/support/peer.rs"]
mod peer;

#[path = "../../tests/tls/openssl_session.rs"]
mod openssl_session;
#[path = "../../tests/tls/records.rs"]
mod records;
#[path = "../../tests/tls/script.rs"]
#[allow(dead_code, reason = "shared with the tests of TLS from Rust")]
mod script;
#[path = "../../tests/tls/setup.rs"]
#[allow(dead_code, reason = "likewise")]
mod setup;

#[path = "../../tests/c_tls/certificates.rs"]
mod certificates;
#[path = "../../tests/c_tls/close.rs"]
mod close;
#[path = "../../tests/c_tls/deadlines.rs"]
mod deadlines;
#[path = "../../tests/c_tls/failures.rs"]
mod failures;
#[path = "../../tests/c_tls/leaks.rs"]
mod leaks;
#[path = "../../tests/c_tls/nothing_lost.rs"]
mod nothing_lost;
#[path = "../../tests/c_tls/orders.rs"]
mod orders;
#[path = "../../tests/c_tls/program.rs"]
mod program;
#[path = "../../tests/c_tls/truncation.rs"]
mod truncation;
