//! A program at work: what it prints, signals to it, and its end.
#![allow(dead_code, reason = "each test program uses its part")]
#![allow(unsafe_code, reason = "kill(2)")]

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long a test waits for what must come: generous, since it only matters when something is broken.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a program has printed so far.
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

/// A program at work; killed when dropped.
pub struct Program {
    name: String,
    pub child: Child,
    log: Arc<Log>,
    /// Where it listens, if it does.
    pub port: u16,
}

impl Program {
    /// Starts one that says on which port of 127.0.0.1 it listens.
    pub fn listening(name: &str, command: Command) -> Self {
        let mut program = Self::spawn(name, command);
        let line = program.wait_for("its port", |line| line.starts_with("listening on 127.0.0.1:"));
        program.port = line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        program
    }

    /// Starts one whose output is piped.
    pub fn spawn(name: &str, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be run");
        let log = Arc::new(Log::default());
        collect(child.stdout.take().expect("piped"), "", &log);
        collect(child.stderr.take().expect("piped"), "stderr: ", &log);
        Self { name: name.to_owned(), child, log, port: 0 }
    }

    /// The first line that is looked for, once it has been printed.
    pub fn wait_for(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.log.wait_for(what, |printed| printed.lines.iter().find(|line| wanted(line)).cloned())
    }

    /// The lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.read().lines.clone()
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

impl Drop for Program {
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
