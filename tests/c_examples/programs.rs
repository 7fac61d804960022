//! Builds the C examples, and runs the server ones under a test's control.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Instant,
};

use crate::{clib, client::PATIENCE, expat_header};

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
    /// As `Static`, with one that does, and a function that prints what it is called with.
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
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a server has printed so far.
#[derive(Default)]
struct Log {
    printed: Mutex<Printed>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Printed {
    lines: Vec<String>,
    /// How many of stdout and stderr have ended.
    ended: usize,
}

impl Log {
    fn update(&self, change: impl FnOnce(&mut Printed)) {
        change(&mut self.printed.lock().unwrap_or_else(PoisonError::into_inner));
        self.more.notify_all();
    }

    /// Waits until `found` finds something.
    fn wait_for<T>(&self, what: &str, found: impl Fn(&Printed) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut printed = self.read();
        loop {
            if let Some(result) = found(&printed) {
                return result;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} has not come: {printed:#?}");
            printed = self.more.wait_timeout(printed, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn read(&self) -> MutexGuard<'_, Printed> {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server example at work; killed when dropped.
pub struct Server {
    name: String,
    child: Child,
    log: Arc<Log>,
    pub port: u16,
}

impl Server {
    /// Starts it on a port of its own choosing.
    pub fn start(name: &str, variant: Variant, idle_seconds: u32, limit_seconds: u32) -> Self {
        Self::start_with(name, variant, idle_seconds, limit_seconds, &[])
    }

    /// The same with more arguments.
    pub fn start_with(name: &str, variant: Variant, idle_seconds: u32, limit_seconds: u32, more: &[&OsStr]) -> Self {
        let mut command = command(name, variant);
        command.args(["0", &idle_seconds.to_string(), &limit_seconds.to_string()]).args(more);
        Self::run(name, command)
    }

    /// With its system calls of that kind written to a file.
    pub fn start_traced(name: &str, calls: &str, log: &Path) -> Self {
        let mut command = Command::new("strace");
        // As a grandchild of ours: the server itself is our child.
        command.args(["-D", "-e", &format!("trace={calls}"), "-o"]).arg(log).arg(build(name, Variant::Static));
        command.args(["0", "100000"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::run(name, command)
    }

    fn run(name: &str, command: Command) -> Self {
        let mut server = Self::spawn(name, command);
        let line = server.wait_for("its port", |line| line.starts_with("listening on 127.0.0.1:"));
        server.port = line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        server
    }

    /// Starts one that does not listen.
    pub fn spawn(name: &str, mut command: Command) -> Self {
        let mut child = command.spawn().expect("it can be run");
        let log = Arc::new(Log::default());
        collect(child.stdout.take().expect("piped"), "", &log);
        collect(child.stderr.take().expect("piped"), "stderr: ", &log);
        Self { name: name.to_owned(), child, log, port: 0 }
    }

    /// The first line that is looked for, once it has been printed.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.log.wait_for(what, |printed| printed.lines.iter().find(|line| wanted(line)).cloned())
    }

    /// How stream `number` ended, once it has.
    pub fn ending(&self, number: u32) -> String {
        let start = format!("[{number}] ended: ");
        self.wait_for(&start, |line| line.starts_with(&start))[start.len()..].to_owned()
    }

    /// What was printed about stream `number` so far.
    pub fn lines_of(&self, number: u32) -> Vec<String> {
        let start = format!("[{number}] ");
        self.log.read().lines.iter().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
    }

    /// The most that it has had in memory so far.
    pub fn peak_memory_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is alive");
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn send_sigterm(&self) {
        self.signal(libc::SIGTERM);
    }

    pub fn signal(&self, signal: libc::c_int) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        // SAFETY: kill(2) on our own child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Waits for the end of the process, which must be a success without a word on stderr.
    pub fn finish(self) -> Vec<String> {
        self.finish_with(0)
    }

    /// The same with another exit status.
    pub fn finish_with(mut self, code: i32) -> Vec<String> {
        let lines =
            self.log.wait_for("the end of the process", |printed| (printed.ended == 2).then(|| printed.lines.clone()));
        let status = self.child.wait().expect("it can be waited for");
        assert_eq!(status.code(), Some(code), "{}: {status}: {lines:#?}", self.name);
        assert!(!lines.iter().any(|line| line.starts_with("stderr: ")), "{}: {lines:#?}", self.name);
        lines
    }

    /// SIGTERM, then [`finish`](Self::finish).
    pub fn stop(self) -> Vec<String> {
        self.send_sigterm();
        self.finish()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(pipe: impl Read + Send + 'static, prefix: &'static str, log: &Arc<Log>) {
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            log.update(|printed| printed.lines.push(format!("{prefix}{}", line.expect("text"))));
        }
        log.update(|printed| printed.ended += 1);
    });
}
