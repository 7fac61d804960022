//! Measures what xmpp-close costs beside others that do the same, and writes docs/performance.md.
//!
//!     make bench                  everything
//!     make bench BENCH=framing    one part, whose section of the page is written anew
//!
//! A part is a module with a `run`, which returns its section. To measure in a process of its own, it starts this
//! program again, with its name and what else its `child` is to know.
#![allow(unsafe_code, reason = "the C references, and what only the system knows")]

mod allocator;
mod batch;
mod closes;
#[path = "../../tests/support/daemon.rs"]
mod daemon;
mod expat;
#[path = "../../tests/support/foreign.rs"]
mod foreign;
mod framers;
mod framing;
mod handshake;
mod late;
#[path = "../../examples/shared/login.rs"]
#[allow(dead_code, reason = "shared with the probe")]
mod login;
mod machine;
mod memory;
#[path = "../../tests/support/mix.rs"]
mod mix;
mod others;
mod page;
mod plot;
#[path = "../../tests/support/prosody.rs"]
mod prosody;
mod sampler;
mod scaling;
mod table;
mod turns;
mod worst;

use std::{env, process::Command};

use page::Section;

type Part = (&'static str, fn() -> Section);

/// In the order of the page.
const PARTS: [Part; 7] = [
    ("handshake", handshake::run),
    ("others", others::run),
    ("framing", framing::run),
    ("scaling", scaling::run),
    ("worst", worst::run),
    ("memory", memory::run),
    ("batch", batch::run),
];

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["child", "batch", ref rest @ ..] => batch::child(rest),
        ["child", "handshake", ref rest @ ..] => handshake::child(rest),
        ["child", "memory", ref rest @ ..] => memory::child(rest),
        [] => write(&PARTS.map(|(name, _)| name)),
        ref chosen => write(chosen),
    }
}

fn write(chosen: &[&str]) {
    let known = |name: &&str| PARTS.iter().any(|part| part.0 == *name);
    if let Some(unknown) = chosen.iter().find(|name| !known(name)) {
        eprintln!("no such part: {unknown}; there are {}", PARTS.map(|part| part.0).join(", "));
        std::process::exit(2);
    }
    for (name, run) in PARTS.iter().filter(|part| chosen.contains(&part.0)) {
        eprintln!("measuring {name}");
        page::write(name, &PARTS.map(|part| part.0), run());
    }
    page::draw();
}

/// This program, for what a part wants measured in another process.
fn child(part: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["child", part]).args(arguments);
    command
}
