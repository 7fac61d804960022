//! The close over TLS: every order of tags and alerts, TLS 1.2 and 1.3, rustls and (through `over`) OpenSSL at our end,
//! and rustls and OpenSSL at the other end.

#[path = "../../tests/support/peer.rs"]
mod peer;

#[path = "../../tests/tls/batch.rs"]
mod batch;
#[path = "../../tests/tls/deadlines.rs"]
mod deadlines;
#[path = "../../tests/tls/failures.rs"]
mod failures;
#[path = "../../tests/tls/native.rs"]
mod native;
#[path = "../../tests/tls/native_session.rs"]
mod native_session;
#[path = "../../tests/tls/nothing_lost.rs"]
mod nothing_lost;
#[path = "../../tests/tls/openssl_session.rs"]
mod openssl_session;
#[path = "../../tests/tls/orders.rs"]
mod orders;
#[path = "../../tests/tls/ours.rs"]
mod ours;
#[path = "../../tests/tls/post_handshake.rs"]
mod post_handshake;
#[path = "../../tests/tls/records.rs"]
mod records;
#[path = "../../tests/tls/script.rs"]
mod script;
#[path = "../../tests/tls/sessions.rs"]
mod sessions;
#[path = "../../tests/tls/setup.rs"]
mod setup;
#[path = "../../tests/tls/steps.rs"]
mod steps;
#[path = "../../tests/tls/truncation.rs"]
mod truncation;
