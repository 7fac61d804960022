//! The command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use crate::{Failure, remote::Target};

const HELP: &str = "\
Closes an XMPP stream by handshake, and shows what goes over the wire.

Usage: probe [--json] [--svg FILE]
       probe HOST:PORT [--domain D] [--jid J --password P] [--half-close]
                       [--total S] [--json] [--svg FILE]

Without HOST:PORT it does so to an embedded peer that has messages in flight,
and shows beside it what is lost the old way: stream error and close(2).

  HOST:PORT       an XMPP server that allows plain TCP; nothing is sent to it
                  but what opens and closes a stream
  --domain D      the domain to ask for (default: that of J, or HOST)
  --jid J         log in as J, such as alice@localhost; SASL PLAIN, so over
                  loopback only
  --password P    the password of J
  --half-close    end our side of TCP right after our closing tag (ProtoJEP 2.1);
                  many servers lose messages then
  --total S       seconds for opening the stream, and again for closing it
                  (default: 30)
  --json          print one JSON object
  --svg FILE      write the timeline as a sequence diagram
  -h, --help      print this
  -V, --version   print the version

Exit code:
  0  a clean close: both closing tags were exchanged
  1  not clean; the outcome tells why
  2  bad arguments
  3  no connection: unresolvable, refused, or not in time
  4  what answers is no XMPP server, or does not open the stream in time
  5  login failed
  6  the server did not open the stream but closed it
  7  something else: a file or the result could not be written
";
const DEFAULT_TOTAL: Duration = xmpp_close::DEFAULT_TOTAL;

/// What to print.
#[derive(Default)]
pub struct Args {
    pub json: bool,
    pub svg: Option<PathBuf>,
}

pub enum Command {
    Print(&'static str),
    Demo(Args),
    Remote(Target, Args),
}

pub fn parse(mut given: impl Iterator<Item = OsString>) -> Result<Command, Failure> {
    let mut args = Args::default();
    let (mut server, mut domain, mut jid, mut password, mut total) = (None, None, None, None, None);
    let mut half_close = false;
    while let Some(argument) = given.next() {
        let argument = text(argument)?;
        let mut value = || given.next().ok_or_else(|| Failure::Usage(format!("{argument} needs a value")));
        match argument.as_str() {
            "-h" | "--help" => return Ok(Command::Print(HELP)),
            "-V" | "--version" => return Ok(Command::Print(concat!("probe ", env!("CARGO_PKG_VERSION"), "\n"))),
            "--json" => args.json = true,
            "--svg" => args.svg = Some(value()?.into()),
            "--half-close" => half_close = true,
            "--domain" => domain = Some(text(value()?)?),
            "--jid" => jid = Some(text(value()?)?),
            "--password" => password = Some(text(value()?)?),
            "--total" => total = Some(seconds(&text(value()?)?)?),
            option if option.starts_with('-') => return Err(Failure::Usage(format!("unknown option {option}"))),
            _ if server.is_some() => return Err(Failure::Usage(format!("one server is enough: {argument}"))),
            _ => server = Some(address(&argument)?),
        }
    }
    let account = match (jid, password) {
        (None, None) => None,
        (Some(jid), Some(password)) => Some((bare_jid(&jid)?, password)),
        (Some(_), None) => return Err(Failure::Usage("--jid needs --password".into())),
        (None, Some(_)) => return Err(Failure::Usage("--password needs --jid".into())),
    };
    let Some((host, port)) = server else {
        if account.is_some() || domain.is_some() || total.is_some() || half_close {
            return Err(Failure::Usage("only --json and --svg make sense without HOST:PORT".into()));
        }
        return Ok(Command::Demo(args));
    };
    let domain = domain.or_else(|| account.as_ref().map(|((_, domain), _)| domain.clone()));
    let target = Target {
        domain: domain.unwrap_or_else(|| host.clone()),
        account: account.map(|((user, _), password)| (user, password)),
        host,
        port,
        half_close,
        total: total.unwrap_or(DEFAULT_TOTAL),
    };
    Ok(Command::Remote(target, args))
}

fn text(argument: OsString) -> Result<String, Failure> {
    argument.into_string().map_err(|bytes| Failure::Usage(format!("not UTF-8: {}", bytes.to_string_lossy())))
}

/// `localhost:5222`, `127.0.0.1:5222`, `[::1]:5222`.
fn address(text: &str) -> Result<(String, u16), Failure> {
    let wrong = || Failure::Usage(format!("HOST:PORT is wanted, not {text}"));
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = bracketed.unwrap_or(host);
    if host.is_empty() || port == 0 || (bracketed.is_none() && host.contains(':')) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

fn bare_jid(text: &str) -> Result<(String, String), Failure> {
    match text.split_once('@') {
        Some((user, domain)) if !user.is_empty() && !domain.is_empty() && !domain.contains(['@', '/']) => {
            Ok((user.to_owned(), domain.to_owned()))
        }
        _ => Err(Failure::Usage(format!("--jid wants user@domain, not {text}"))),
    }
}

fn seconds(text: &str) -> Result<Duration, Failure> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let sensible = Duration::from_millis(1)..=Duration::from_secs(86_400);
    time.filter(|time| sensible.contains(time))
        .ok_or_else(|| Failure::Usage(format!("--total wants seconds, from 0.001 to 86400, not {text}")))
}
