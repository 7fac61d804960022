//! The C examples, built as a reader would build them, and run against scripted peers.
#![allow(unsafe_code, reason = "kill(2), setrlimit(2)")]

#[path = "c_examples/any_expat.rs"]
mod any_expat;
#[path = "support/clib.rs"]
mod clib;
#[path = "c_examples/client.rs"]
mod client;
#[path = "c_examples/close_fd.rs"]
mod close_fd;
#[path = "c_examples/epoll_batch.rs"]
mod epoll_batch;
#[path = "c_examples/event_loop.rs"]
mod event_loop;
#[path = "support/expat_header.rs"]
mod expat_header;
#[path = "c_examples/hostile.rs"]
mod hostile;
#[path = "support/program.rs"]
mod program;
#[path = "c_examples/programs.rs"]
mod programs;
#[path = "c_examples/servers.rs"]
mod servers;
#[path = "c_examples/step_fd.rs"]
mod step_fd;
#[path = "c_examples/under_load.rs"]
mod under_load;

use clib::{linked_statically, make_examples};

#[test]
fn examples_compile_without_a_warning() {
    for compiler in ["gcc", "clang"] {
        for standard in ["c99", "c11", "c17"] {
            let flags = format!("-std={standard} -fsyntax-only -Wno-unused-command-line-argument");
            let examples = ["close_fd", "client", "thread_server", "step_fd", "event_loop", "component"];
            make_examples(&examples, compiler, &flags, &[linked_statically()]);
        }
        for standard in ["c++11", "c++20"] {
            let flags = format!("-std={standard} -fsyntax-only -Wno-unused-command-line-argument");
            make_examples(&["epoll_batch"], compiler, &flags, &[linked_statically()]);
        }
    }
}

#[test]
fn event_loop_is_short_enough_to_be_read() {
    let text = std::fs::read_to_string(clib::root().join("examples/c/event_loop.c")).unwrap();
    assert!(text.lines().count() <= 280, "{} lines", text.lines().count());
    assert!(text.lines().all(|line| line.len() <= 120), "and not by long lines");
}
