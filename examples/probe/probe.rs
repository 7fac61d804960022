//! Closes an XMPP stream by handshake, and shows what goes over the wire.
//!
//! `cargo run --release --example probe` closes a stream to an embedded peer, once by handshake and once the way most
//! software does it.

#![cfg_attr(not(feature = "rustls"), allow(dead_code, reason = "part of it is for TLS"))]

mod args;
mod component;
mod demo;
mod embedded;
mod json;
#[path = "../shared/login.rs"]
#[allow(dead_code, reason = "tests log in with it, too")]
mod login;
mod policy;
mod recorder;
mod remote;
#[path = "../shared/sm.rs"]
#[allow(dead_code, reason = "tests use it, too")]
mod sm;
mod starttls;
mod state;
mod svg;
mod text;
mod timeline;
#[cfg_attr(not(feature = "rustls"), path = "no_tls.rs")]
mod tls;

use std::{
    env, fmt,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use args::{Args, Command};
use remote::Probed;
use text::Paint;

/// Why there is no clean close; each reason has its exit code.
#[derive(Debug)]
enum Failure {
    Unclean(String),
    Usage(String),
    Connection(String),
    NotXmpp(String),
    Login(String),
    NotOpened(String),
    Local(String),
    Certificate(String),
    Tls(String),
}

impl Failure {
    fn with(mut self, hint: &str) -> Self {
        let (Self::NotXmpp(why) | Self::Login(why)) = &mut self else { return self };
        why.push_str(hint);
        self
    }

    /// As in `--help`.
    fn code(&self) -> u8 {
        match self {
            Self::Unclean(_) => 1,
            Self::Usage(_) => 2,
            Self::Connection(_) => 3,
            Self::NotXmpp(_) => 4,
            Self::Login(_) => 5,
            Self::NotOpened(_) => 6,
            Self::Local(_) => 7,
            Self::Certificate(_) => 8,
            Self::Tls(_) => 9,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclean(why) => write!(f, "not a clean close: {why}"),
            Self::Usage(why) => write!(f, "{why} (see --help)"),
            Self::Connection(why) | Self::Local(why) => f.write_str(why),
            Self::NotXmpp(why) => write!(f, "no XMPP stream: {why}"),
            Self::Login(why) => write!(f, "login failed: {why}"),
            Self::NotOpened(why) => write!(f, "the stream was not opened: {why}"),
            Self::Certificate(why) => write!(f, "the server's certificate is not accepted: {why}"),
            Self::Tls(why) => write!(f, "no TLS: {why}"),
        }
    }
}

fn main() -> ExitCode {
    match args::parse(lexopt::Parser::from_env()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // One line, whatever a server may have put into it.
            let line: String =
                failure.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect();
            let _ = writeln!(io::stderr(), "probe: {line}");
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Print(text) => print(text),
        Command::Demo(args) => demo(&args),
        Command::Remote(target, args) => remote(&target, &args),
    }
}

fn demo(args: &Args) -> Result<(), Failure> {
    let failed = |error: xmpp_close::Error| Failure::Local(format!("with the embedded peer: {error}"));
    let new = demo::by_handshake().map_err(failed)?;
    let old = demo::the_old_way().map_err(failed)?;
    let text = if args.json { format!("{}\n", json::demo(&new, &old)) } else { text::demo(&new, &old, paint()) };
    print(&text)?;
    write_svg(args.svg.as_deref(), || svg::demo(&new, &old))?;
    let lost = new.to_us.lost() + new.to_peer.lost();
    match &new.report {
        Some(report) if report.is_clean() && lost == 0 => Ok(()),
        Some(report) => Err(Failure::Unclean(format!("{lost} messages lost; {report}"))),
        None => Err(Failure::Local("the handshake gave no report".into())),
    }
}

fn remote(target: &remote::Target, args: &Args) -> Result<(), Failure> {
    let probed = if target.detach { remote::detach_and_close(target)? } else { vec![remote::close(target)?] };
    if args.json {
        print(&format!("{}\n", json::remote(&probed)))?;
    } else {
        print(&text::remote(&probed, paint()))?;
    }
    write_svg(args.svg.as_deref(), || svg::remote(&probed))?;
    match probed.iter().find_map(Probed::complaint) {
        None => Ok(()),
        Some(complaint) => Err(Failure::Unclean(complaint)),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        // The program that reads our output, such as a pager, has ended.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::Local(format!("cannot write the result: {error}"))),
    }
}

fn write_svg(file: Option<&Path>, svg: impl FnOnce() -> String) -> Result<(), Failure> {
    let Some(file) = file else { return Ok(()) };
    std::fs::write(file, svg()).map_err(|error| Failure::Local(format!("cannot write {}: {error}", file.display())))
}

/// Colours for a terminal, unless its user has switched them off (<https://no-color.org>).
fn paint() -> Paint {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
    Paint(io::stdout().is_terminal() && !unwanted && !dumb)
}
