//! The OpenSSL and GnuTLS examples in C, built as a reader would build them, against a scripted TLS peer: every order of
//! tags and alerts, TLS 1.2 and 1.3, rustls and OpenSSL at the other end.

mod certificates;
mod close;
mod deadlines;
mod failures;
mod leaks;
mod nothing_lost;
mod orders;
mod program;
mod truncation;

use tls_tests::{clib, peer, records, script, setup};
