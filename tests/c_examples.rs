//! The C examples, built as a reader would build them, and run against scripted peers.
#![allow(unsafe_code, reason = "kill(2), setrlimit(2)")]

#[path = "support/clib.rs"]
mod clib;
#[path = "c_examples/client.rs"]
mod client;
#[path = "c_examples/close_fd.rs"]
mod close_fd;
#[path = "c_examples/event_loop.rs"]
mod event_loop;
#[path = "c_examples/programs.rs"]
mod programs;
#[path = "c_examples/servers.rs"]
mod servers;
#[path = "c_examples/under_load.rs"]
mod under_load;

use programs::{compiler, source, succeed};

#[test]
fn examples_compile_without_a_warning() {
    for name in ["gcc", "clang"] {
        for standard in ["c99", "c11", "c17"] {
            for file in [
                "close_fd.c",
                "thread_server.c",
                "event_loop.c",
                "channel.c",
                "router.c",
                "stanza_parser.c",
                "tls_bio.c",
            ] {
                succeed(compiler(name, standard).arg("-fsyntax-only").arg(source(file)));
            }
        }
    }
}

#[test]
fn event_loop_is_short_enough_to_be_read() {
    let text = std::fs::read_to_string(source("event_loop.c")).unwrap();
    assert!(text.lines().count() < 400, "{} lines", text.lines().count());
    assert!(text.lines().all(|line| line.len() <= 120), "and not by long lines");
}
