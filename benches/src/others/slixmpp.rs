//! slixmpp, in a Python of its own, which times itself.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use super::{Account, Clock};

/// Debian's Python, for which slixmpp is packaged.
const PYTHON: &str = "/usr/bin/python3";

pub struct Python {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    pub fn start(account: &Account) -> Self {
        let mut command = Command::new(PYTHON);
        command.args(["-c", include_str!("slixmpp.py")]);
        command.args([account.server.ip().to_string(), account.server.port().to_string()]);
        command.args([&account.jid(), account.password]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python runs");
        let (orders, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        Self { process, orders, answers }
    }

    /// One session, and the end of its stream.
    pub fn close(&mut self, clock: Clock) -> Duration {
        self.orders.write_all(b"\n").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let mut seconds = answer.split_whitespace().map(|number| Duration::from_secs_f64(number.parse().unwrap()));
        let (wall, cpu) = (seconds.next().unwrap(), seconds.next().unwrap());
        match clock {
            Clock::Wall => wall,
            Clock::Cpu => cpu,
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
