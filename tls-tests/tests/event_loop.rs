//! The event-loop server in C over TLS, against a scripted TLS client: TLS 1.2 and 1.3, rustls and OpenSSL at the other end.
#![allow(unsafe_code, reason = "kill(2)")]

#[path = "../../tests/support/clib.rs"]
mod clib;
#[path = "../../tests/c_examples/client.rs"]
#[allow(dead_code, reason = "shared with the tests without TLS")]
mod client;
#[path = "../../tests/support/expat_header.rs"]
mod expat_header;
#[path = "../../tests/support/peer.rs"]
mod peer;
#[path = "../../tests/c_examples/programs.rs"]
#[allow(dead_code, reason = "likewise")]
mod programs;
#[path = "../../tests/c_examples/under_load.rs"]
mod under_load;

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

#[path = "../../tests/c_tls/event_loop/close.rs"]
mod close;
#[path = "../../tests/c_tls/event_loop/ends.rs"]
mod ends;
#[path = "../../tests/c_tls/event_loop/server.rs"]
mod server;
