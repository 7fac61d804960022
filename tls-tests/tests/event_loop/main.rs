//! The event-loop server in C over TLS, against a scripted TLS client: TLS 1.2 and 1.3, rustls and OpenSSL at the other end.

#[path = "../../../tests/c_examples/client.rs"]
#[allow(dead_code, reason = "shared with the tests without TLS")]
mod client;
#[path = "../../../tests/support/expat_header.rs"]
mod expat_header;
#[path = "../../../tests/support/program.rs"]
mod program;
#[path = "../../../tests/c_examples/programs.rs"]
#[allow(dead_code, reason = "likewise")]
mod programs;
#[path = "../../../tests/c_examples/under_load.rs"]
mod under_load;

mod close;
mod ends;
mod server;

use tls_tests::{clib, peer, script, setup};
