//! The smallest examples, `client`, `component` and `server`: against scripted peers, Prosody, and each other. With the feature
//! `capi`, also the client in C.

#[path = "support/client.rs"]
mod account;
#[cfg(feature = "capi")]
#[path = "support/clib.rs"]
mod clib;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/example.rs"]
mod example;
#[cfg(feature = "capi")]
#[path = "support/expat_header.rs"]
mod expat_header;
#[path = "../examples/shared/login.rs"]
#[allow(dead_code, reason = "shared with the probe")]
mod login;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/program.rs"]
mod program;
#[cfg(feature = "capi")]
#[path = "c_examples/programs.rs"]
#[allow(dead_code, reason = "shared with the tests of the C examples")]
mod programs;
#[path = "support/prosody.rs"]
mod prosody;

#[path = "examples/client.rs"]
mod client;
#[path = "examples/component.rs"]
mod component;
#[path = "examples/server.rs"]
mod server;
#[cfg(feature = "rustls")]
#[path = "examples/starttls.rs"]
mod starttls;

use std::process::{Command, Stdio};

use program::Program;

const HEADER: &str = "<?xml version='1.0'?><stream:stream from='localhost' id='1' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

fn command(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(example::build(name));
    command.args(arguments).stdin(Stdio::piped());
    command
}

fn start(name: &str, arguments: &[&str]) -> Program {
    Program::spawn(name, command(name, arguments))
}

/// The last line is the report of such a close.
fn assert_ended(lines: &[String], words: &[&str]) {
    let report = lines.last().expect("a report");
    assert!(words.iter().all(|word| report.contains(word)), "{lines:#?}");
}

#[test]
fn each_is_short_enough_to_be_read_at_a_glance() {
    for (name, most) in [
        ("client.rs", 80),
        ("component.rs", 80),
        ("server.rs", 80),
        ("tls/starttls_rustls.rs", 80),
        ("c/client.c", 100),
        ("c/epoll_batch.cc", 100),
    ] {
        let path = format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.lines().count() < most, "{name}: {} lines", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() <= 130), "{name}: and not by long lines");
    }
}
