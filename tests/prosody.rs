//! Streams closed against a real server: Prosody, as Debian packages it.
//!
//! `cargo test --test prosody -- --nocapture` shows the figures.

#[path = "support/client.rs"]
mod client;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "../examples/shared/login.rs"]
mod login;
#[path = "support/managed.rs"]
mod managed;
#[path = "support/prosody.rs"]
mod prosody;
#[path = "prosody/relay.rs"]
mod relay;
#[allow(dead_code, reason = "the probe uses all of it")]
#[path = "../examples/shared/sm.rs"]
mod sm;

#[path = "prosody/backlog.rs"]
mod backlog;
#[cfg(feature = "batch")]
#[path = "prosody/batch.rs"]
mod batch;
#[cfg(feature = "capi")]
#[path = "prosody/c_api.rs"]
mod c_api;
#[path = "prosody/idle.rs"]
mod idle;
#[path = "prosody/live.rs"]
mod live;
#[path = "prosody/logins.rs"]
mod logins;
#[path = "prosody/own_output.rs"]
mod own_output;
#[path = "prosody/server_closes.rs"]
mod server_closes;
#[path = "prosody/stream_management.rs"]
mod stream_management;
