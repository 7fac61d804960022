//! The close over TLS: every order of tags and alerts, TLS 1.2 and 1.3, rustls and (through `over`) OpenSSL at our end,
//! and rustls and OpenSSL at the other end.

mod batch;
mod deadlines;
mod failures;
mod native;
mod nothing_lost;
mod orders;
mod ours;
mod post_handshake;
mod sessions;
mod steps;
mod truncation;

use tls_tests::{native_session, openssl_session, peer, records, script, setup};
