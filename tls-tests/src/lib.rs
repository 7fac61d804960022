//! What the tests over TLS share.
#![allow(missing_docs, clippy::new_without_default, reason = "nobody else uses it")]

#[path = "../../tests/support/callbacks.rs"]
pub mod callbacks;
#[path = "../../tests/support/clib.rs"]
pub mod clib;
#[path = "../../tests/support/event_loop.rs"]
pub mod event_loop;
#[path = "../../tests/faults/mod.rs"]
pub mod faults;
#[path = "../../tests/support/local.rs"]
pub mod local;
#[path = "../../examples/tls/native_session.rs"]
pub mod native_session;
#[path = "../../examples/tls/openssl_session.rs"]
pub mod openssl_session;
#[path = "../../tests/support/peer.rs"]
pub mod peer;

pub mod records;
pub mod script;
pub mod setup;
pub mod tls;
