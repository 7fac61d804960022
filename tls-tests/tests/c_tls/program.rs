//! Builds the TLS examples, and runs them.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
};

use crate::{clib, peer::PATIENCE};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Example {
    Openssl,
    Gnutls,
}

pub const EXAMPLES: [Example; 2] = [Example::Openssl, Example::Gnutls];

/// How an example is built and run; with the static library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    Plain,
    /// AddressSanitizer (which finds leaks) and UndefinedBehaviorSanitizer.
    Sanitized,
    /// As `Plain`, run under valgrind, which knows what Rust and the TLS libraries allocate, too.
    Valgrind,
}

impl Example {
    pub fn name(self) -> &'static str {
        match self {
            Self::Openssl => "openssl",
            Self::Gnutls => "gnutls",
        }
    }

    pub fn source(self) -> PathBuf {
        clib::root().join("examples/c").join(self.name()).with_extension("c")
    }

    fn build(self, variant: Variant) -> PathBuf {
        static BUILT: Mutex<Option<HashMap<(Example, bool), PathBuf>>> = Mutex::new(None);
        let sanitized = variant == Variant::Sanitized;
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        built.get_or_insert_default().entry((self, sanitized)).or_insert_with(|| self.compile(sanitized)).clone()
    }

    fn compile(self, sanitized: bool) -> PathBuf {
        let flags = if sanitized { " -fsanitize=address,undefined -fno-sanitize-recover=all" } else { "" };
        let out =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("c-tls{}", if sanitized { "-sanitized" } else { "" }));
        let settings = [format!("OUT={}", out.display()), clib::linked_statically()];
        clib::make_examples(&[self.name()], "gcc", &format!("-std=c99 -g -O1{flags}"), &settings);
        out.join(self.name())
    }

    /// The command that runs it; it fails on any error of memory, and on any descriptor left open, that its variant can see.
    pub fn command(self, variant: Variant) -> Command {
        let program = self.build(variant);
        let mut command = Command::new(&program);
        if variant == Variant::Valgrind {
            command = Command::new("valgrind");
            command.args(["--quiet", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=all"]);
            command.arg("--errors-for-leak-kinds=definite,indirect,possible").arg(&program);
        }
        command.env("ASAN_OPTIONS", "detect_leaks=1:exitcode=98").env("UBSAN_OPTIONS", "print_stacktrace=1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// An example at work; killed when dropped.
pub struct Program {
    pub child: Child,
    stdout: Option<JoinHandle<Vec<String>>>,
    stderr: Option<JoinHandle<String>>,
    ended: mpsc::Receiver<()>,
}

/// What an example came to.
#[derive(Debug)]
pub struct Output {
    pub lines: Vec<String>,
    pub errors: String,
    pub code: Option<i32>,
    pub processor_ms: u64,
}

impl Program {
    /// Starts it, and tells `delivered` of each late stanza, until it has ended.
    pub fn start(command: &mut Command, delivered: mpsc::Sender<()>) -> Self {
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (end, ended) = mpsc::channel();
        let stdout = thread::spawn(move || {
            let _end = end;
            let mut lines = Vec::new();
            for line in BufReader::new(stdout).lines() {
                let line = line.unwrap();
                if line.starts_with("late: ") {
                    let _ = delivered.send(()); // the script may not care
                }
                lines.push(line);
            }
            lines
        });
        let stderr = thread::spawn(move || {
            let mut errors = String::new();
            stderr.read_to_string(&mut errors).unwrap();
            errors
        });
        Self { child, stdout: Some(stdout), stderr: Some(stderr), ended }
    }

    pub fn wait(mut self) -> Output {
        let in_time = self.ended.recv_timeout(PATIENCE * 2);
        assert_eq!(in_time, Err(mpsc::RecvTimeoutError::Disconnected), "the program hangs");
        let processor_ms = self.processor_ms();
        let code = self.child.wait().unwrap().code();
        let lines = self.stdout.take().unwrap().join().unwrap();
        Output { lines, errors: self.stderr.take().unwrap().join().unwrap(), code, processor_ms }
    }

    /// What it has used so far, or in all if it has ended and was not waited for.
    fn processor_ms(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Behind the name, which may hold anything, `utime` and `stime` are the 12th and 13th; in 1/100 s.
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn examples_compile_without_a_warning() {
    for compiler in ["gcc", "clang"] {
        for standard in ["c99", "c11", "c17"] {
            let flags = format!("-std={standard} -fsyntax-only -Wno-unused-command-line-argument");
            clib::make_examples(&EXAMPLES.map(Example::name), compiler, &flags, &[clib::linked_statically()]);
        }
    }
}

#[test]
fn examples_are_short_enough_to_be_read() {
    for example in EXAMPLES {
        let text = std::fs::read_to_string(example.source()).unwrap();
        assert!(text.lines().count() <= 180, "{example:?}: {} lines", text.lines().count());
        assert!(text.lines().all(|line| line.len() <= 120), "{example:?}, and not by long lines");
    }
}
