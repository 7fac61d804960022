//! Builds the C examples, and runs the server ones under a test's control.

use std::{
    collections::HashMap,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use crate::{clib, expat_header};

/// How an example is built and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// gcc, the static library.
    Static,
    /// clang, the shared library.
    Shared,
    /// gcc, the static library, AddressSanitizer (which finds leaks) and UndefinedBehaviorSanitizer.
    Sanitized,
    /// As `Static`, run under valgrind, which knows what Rust allocates, too.
    Valgrind,
    /// As `Static`, and a peer has one second to log in.
    Impatient,
    /// As `Static`, with an `expat.h` that does not declare `XML_SetReparseDeferralEnabled`.
    WithoutDeferral,
    /// As `Static`, with an `expat.h` that does declare it, and a function that prints its arguments.
    WithDeferral,
}

pub const VARIANTS: [Variant; 4] = [Variant::Static, Variant::Shared, Variant::Sanitized, Variant::Valgrind];

/// In the place of the library's function, which this machine's may not have.
const PRINTS: &str = r#"
#include <expat.h>
#include <stdio.h>
XML_Bool XMLCALL XML_SetReparseDeferralEnabled(XML_Parser parser, XML_Bool enabled)
{
    (void)parser;
    printf("reparse deferral: %d\n", enabled);
    return XML_TRUE;
}
"#;

fn build(name: &str, variant: Variant) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<(String, Variant), PathBuf>>> = Mutex::new(None);
    let variant = if variant == Variant::Valgrind { Variant::Static } else { variant };
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (name.to_owned(), variant);
    built.get_or_insert_default().entry(key).or_insert_with(|| compile(name, variant)).clone()
}

fn compile(name: &str, variant: Variant) -> PathBuf {
    let library = clib::build();
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("c-examples-{variant:?}"));
    // Whoever is slow in a test is not hostile.
    let patience = if variant == Variant::Impatient { 1 } else { 100_000 };
    let flags = format!("-std=c99 -g -O1 -DLOGIN_SECONDS={patience}");
    let mut settings = vec![format!("OUT={}", out.display()), clib::linked_statically()];
    let (mut compiler, mut sanitized) = ("gcc", "");
    match variant {
        Variant::Static | Variant::Valgrind | Variant::Impatient => {}
        Variant::Shared => {
            compiler = "clang";
            let (include, dir) = (library.include.display(), library.dir.display());
            settings[1] = format!("XMPP_CLOSE=-I{include} -L{dir} -Wl,-rpath,{dir} -lxmpp_close");
        }
        Variant::Sanitized => sanitized = " -fsanitize=address,undefined -fno-sanitize-recover=all",
        Variant::WithoutDeferral | Variant::WithDeferral => {
            std::fs::create_dir_all(&out).unwrap();
            expat_header::write(&out, variant == Variant::WithDeferral);
            settings.push(format!("CPPFLAGS=-I{}", out.display()));
            if variant == Variant::WithDeferral {
                std::fs::write(out.join("prints.c"), PRINTS).unwrap();
                settings[1] += &format!(" {}", out.join("prints.c").display());
            }
        }
    }
    clib::make_examples(&[name], compiler, &(flags + sanitized), &settings);
    out.join(name)
}

/// The command that runs an example; it fails on any error of memory that its variant can see.
pub fn command(name: &str, variant: Variant) -> Command {
    let program = build(name, variant);
    let mut command = Command::new(&program);
    if variant == Variant::Valgrind {
        command = Command::new("valgrind");
        command.args(["--quiet", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=all"]);
        command.args(["--errors-for-leak-kinds=definite,indirect,possible", "--track-fds=no"]).arg(&program);
    }
    command.env("ASAN_OPTIONS", "detect_leaks=1:exitcode=98").env("UBSAN_OPTIONS", "print_stacktrace=1");
    command.stdin(Stdio::null());
    command
}

/// A server at work.
pub use crate::program::Program as Server;

impl Server {
    /// Starts it on a port of its own choosing.
    pub fn start(name: &str, variant: Variant, idle_seconds: u32, limit_seconds: u32) -> Self {
        Self::start_with(name, variant, idle_seconds, limit_seconds, &[])
    }

    /// The same with more arguments.
    pub fn start_with(name: &str, variant: Variant, idle_seconds: u32, limit_seconds: u32, more: &[&OsStr]) -> Self {
        let mut command = command(name, variant);
        command.args(["0", &idle_seconds.to_string(), &limit_seconds.to_string()]).args(more);
        Self::listening(name, command)
    }

    /// With its system calls of that kind written to a file.
    pub fn start_traced(name: &str, calls: &str, log: &Path) -> Self {
        let mut command = Command::new("strace");
        // As a grandchild of ours: the server itself is our child.
        command.args(["-D", "-e", &format!("trace={calls}"), "-o"]).arg(log).arg(build(name, Variant::Static));
        command.args(["0", "100000"]).stdin(Stdio::null());
        Self::listening(name, command)
    }

    /// How stream `number` ended, once it has.
    pub fn ending(&self, number: u32) -> String {
        let start = format!("[{number}] ended: ");
        self.wait_for(&start, |line| line.starts_with(&start))[start.len()..].to_owned()
    }

    /// What was printed about stream `number` so far.
    pub fn lines_of(&self, number: u32) -> Vec<String> {
        let start = format!("[{number}] ");
        self.lines().iter().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
    }

    /// The most that it has had in memory so far.
    pub fn peak_memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is alive");
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }
}
