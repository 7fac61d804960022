//! The component in C: against Prosody, and against scripted servers that do not behave.

#[path = "support/client.rs"]
mod account;
#[path = "support/clib.rs"]
mod clib;
#[path = "c_examples/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the servers")]
mod client;
#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/expat_header.rs"]
mod expat_header;
#[path = "../examples/shared/login.rs"]
#[allow(dead_code, reason = "shared with the probe")]
mod login;
#[path = "support/program.rs"]
mod program;
#[path = "c_examples/programs.rs"]
#[allow(dead_code, reason = "likewise")]
mod programs;
#[path = "support/prosody.rs"]
mod prosody;

#[path = "component/real_server.rs"]
mod real_server;
#[path = "component/scripted_server.rs"]
mod scripted_server;

use std::thread;

use daemon::{COMPONENT, PASSWORD};
use programs::{Server, Variant};

/// A limit that ends nothing in these tests.
const FOREVER: u32 = 100_000;

/// Connects a component to a server on that port.
fn start(variant: Variant, port: u16, limit_seconds: u32) -> Server {
    let mut command = programs::command("component", variant);
    command.args(["127.0.0.1", &port.to_string(), COMPONENT, PASSWORD, &limit_seconds.to_string()]);
    Server::spawn("component", command)
}

/// All of it at once, also under the tools that see every error and leak of memory.
fn each_variant(test: impl Fn(Variant) + Sync) {
    thread::scope(|scope| {
        for variant in programs::VARIANTS {
            let test = &test;
            scope.spawn(move || test(variant));
        }
    });
}

/// The last line says how it ended.
fn assert_ended(lines: &[String], expected: &str) {
    assert_eq!(lines.last().map(String::as_str), Some(expected), "{lines:#?}");
}
