//! The smallest examples, `client`, `component` and `server`: against scripted peers, Prosody, and each other.

#[path = "support/client.rs"]
mod account;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/example.rs"]
mod example;
#[path = "../examples/probe/login.rs"]
#[allow(dead_code, reason = "shared with the probe")]
mod login;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/program.rs"]
mod program;
#[path = "support/prosody.rs"]
mod prosody;

#[path = "examples/client.rs"]
mod client;
#[path = "examples/component.rs"]
mod component;
#[path = "examples/server.rs"]
mod server;

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
    for name in ["client", "component", "server"] {
        let path = format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        assert!(lines < 80, "{name}: {lines} lines");
    }
}
