//! The command line.

use std::{path::PathBuf, time::Duration};

use lexopt::{Arg, Parser, ValueExt};

use crate::{Failure, policy::Tls, remote::Target, tls::is_built_in};

const HELP: &str = "\
Closes an XMPP stream by handshake, and shows what goes over the wire.

Usage: probe [--json] [--svg FILE]
       probe HOST:PORT [--domain D] [--tls starttls|direct|no] [--insecure]
                       [--jid J --password P | --component NAME --secret S]
                       [--detach | --half-close] [--total S] [--json] [--svg FILE]

Without HOST:PORT it does so to an embedded peer that has messages in flight,
and shows beside it what is lost the old way: stream error and close(2).

  HOST:PORT       an XMPP server; nothing is sent to it but what opens and
                  closes a stream, with a final acknowledgement (XEP-0198)
  --domain D      the domain to ask for, and to find in the certificate
                  (default: that of J, or HOST)
  --tls WHEN      starttls: encrypt the stream before anything else, or give up
                  direct: TLS from the first byte (XEP-0368; often port 5223)
                  no: never
                  (default: STARTTLS where it is offered; over loopback never)
  --insecure      accept any certificate, so do not know whose server it is;
                  --tls starttls unless --tls says something else
  --jid J         log in as J, such as alice@example.org, with SASL PLAIN: over
                  TLS or loopback only
  --password P    the password of J
  --component C   be the external component C (XEP-0114, so never STARTTLS); what
                  the server sends it meanwhile is lost
  --secret S      the secret of C; the server is shown its SHA-1 with a number
  --detach        as J, end TCP without a closing tag, resume the session on a
                  new connection (XEP-0198), close that, and try it once more
  --half-close    end our side of TCP right after our closing tag (ProtoJEP 2.1);
                  many servers lose messages then; over TLS it is not done
  --total S       seconds for opening the stream, and again for closing it
                  (default: 30)
  --json          print one JSON object; with --detach an array of three
  --svg FILE      write the timeline as a sequence diagram
  -h, --help      print this
  -V, --version   print the version

TLS is there when it was built in; system roots can be replaced by those of
$SSL_CERT_FILE:
  cargo run --release --features rustls --example probe -- HOST:PORT

Exit code:
  0  a clean close: both closing tags were exchanged
  1  not clean; the outcome tells why
  2  bad arguments
  3  no connection: unresolvable, refused, or not in time
  4  what answers is no XMPP server, or does not open the stream in time
  5  login failed
  6  the server did not open the stream but closed it
  7  something else: a file or the result could not be written, or there is
     no session to detach from
  8  the server's certificate is not accepted
  9  no TLS: not offered, not spoken, or its handshake failed
";
const VERSION: &str = concat!("probe ", env!("CARGO_PKG_VERSION"), "\n");
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

/// What the command line asks for.
#[derive(Default)]
struct Said {
    to_print: Option<&'static str>,
    args: Args,
    server: Option<(String, u16)>,
    domain: Option<String>,
    jid: Option<String>,
    password: Option<String>,
    component: Option<String>,
    secret: Option<String>,
    tls: Option<Tls>,
    insecure: bool,
    detach: bool,
    half_close: bool,
    total: Option<Duration>,
    /// An option that makes sense only with a server.
    about_server: bool,
}

pub fn parse(given: Parser) -> Result<Command, Failure> {
    let mut said = read(given).map_err(|error| Failure::Usage(in_words(error)))?;
    let args = std::mem::take(&mut said.args);
    match (said.to_print, said.server.take()) {
        (Some(text), _) => Ok(Command::Print(text)),
        (None, Some((host, port))) => Ok(Command::Remote(said.target(host, port)?, args)),
        (None, None) if said.about_server => {
            Err(Failure::Usage("only --json and --svg make sense without HOST:PORT".into()))
        }
        (None, None) => Ok(Command::Demo(args)),
    }
}

fn read(mut given: Parser) -> Result<Said, lexopt::Error> {
    let mut said = Said::default();
    while let Some(argument) = given.next()? {
        if let Arg::Long(name) = argument {
            said.about_server |= !["json", "svg"].contains(&name);
        }
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Said { to_print: Some(HELP), ..said }),
            Arg::Short('V') | Arg::Long("version") => return Ok(Said { to_print: Some(VERSION), ..said }),
            Arg::Long("json") => said.args.json = true,
            Arg::Long("svg") => said.args.svg = Some(given.value()?.into()),
            Arg::Long("domain") => said.domain = Some(given.value()?.string()?),
            Arg::Long("jid") => said.jid = Some(given.value()?.string()?),
            Arg::Long("password") => said.password = Some(given.value()?.string()?),
            Arg::Long("component") => said.component = Some(given.value()?.string()?),
            Arg::Long("secret") => said.secret = Some(given.value()?.string()?),
            Arg::Long("tls") => said.tls = Some(tls(&given.value()?.string()?)?),
            Arg::Long("insecure") => said.insecure = true,
            Arg::Long("detach") => said.detach = true,
            Arg::Long("half-close") => said.half_close = true,
            Arg::Long("total") => said.total = Some(seconds(&given.value()?.string()?)?),
            Arg::Value(text) if said.server.is_none() => said.server = Some(address(&text.string()?)?),
            Arg::Value(text) => return Err(format!("one server is enough: {}", text.string()?).into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(said)
}

fn in_words(error: lexopt::Error) -> String {
    match error {
        lexopt::Error::UnexpectedOption(option) => format!("unknown option {option}"),
        lexopt::Error::MissingValue { option: Some(option) } => format!("{option} needs a value"),
        error => error.to_string(),
    }
}

impl Said {
    fn target(self, host: String, port: u16) -> Result<Target, Failure> {
        let tls = self.security()?;
        let account = pair(["--jid", "--password"], self.jid, self.password)?;
        let account = account.map(|(jid, password)| Ok((bare_jid(&jid)?, password))).transpose()?;
        let component = pair(["--component", "--secret"], self.component, self.secret)?;
        if account.is_some() && component.is_some() {
            return Err(Failure::Usage("either --jid or --component".into()));
        }
        if self.detach && (account.is_none() || self.half_close) {
            let why = if self.half_close { "either --detach or --half-close" } else { "--detach needs --jid" };
            return Err(Failure::Usage(why.into()));
        }
        let domain = self.domain.or_else(|| account.as_ref().map(|((_, domain), _)| domain.clone()));
        Ok(Target {
            domain: domain.unwrap_or_else(|| host.clone()),
            account: account.map(|((user, _), password)| (user, password)),
            component,
            tls,
            insecure: self.insecure,
            host,
            port,
            detach: self.detach,
            half_close: self.half_close,
            total: self.total.unwrap_or(DEFAULT_TOTAL),
        })
    }

    fn security(&self) -> Result<Tls, Failure> {
        let wrong = |why: &str| Err(Failure::Usage(why.into()));
        match self.tls {
            Some(Tls::Starttls) if self.component.is_some() => wrong("components know no STARTTLS: --tls direct or no"),
            Some(Tls::No) if self.insecure => wrong("--insecure makes no sense without TLS"),
            None if self.insecure && self.component.is_some() => wrong("--insecure makes no sense without TLS"),
            Some(Tls::No) => Ok(Tls::No),
            None if !self.insecure => Ok(if is_built_in().is_ok() { Tls::Unsaid } else { Tls::No }),
            asked => is_built_in().map(|()| asked.unwrap_or(Tls::Starttls)),
        }
    }
}

/// Two options that need each other.
fn pair(names: [&str; 2], first: Option<String>, second: Option<String>) -> Result<Option<(String, String)>, Failure> {
    match (first, second) {
        (None, None) => Ok(None),
        (Some(first), Some(second)) => Ok(Some((first, second))),
        (Some(_), None) => Err(Failure::Usage(format!("{} needs {}", names[0], names[1]))),
        (None, Some(_)) => Err(Failure::Usage(format!("{} needs {}", names[1], names[0]))),
    }
}

fn tls(text: &str) -> Result<Tls, String> {
    match text {
        "starttls" => Ok(Tls::Starttls),
        "direct" => Ok(Tls::Direct),
        "no" => Ok(Tls::No),
        _ => Err(format!("--tls wants starttls, direct or no, not {text}")),
    }
}

/// `localhost:5222`, `127.0.0.1:5222`, `[::1]:5222`.
fn address(text: &str) -> Result<(String, u16), String> {
    let wrong = || format!("HOST:PORT is wanted, not {text}");
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

fn seconds(text: &str) -> Result<Duration, String> {
    let time = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let sensible = Duration::from_millis(1)..=Duration::from_secs(86_400);
    time.filter(|time| sensible.contains(time))
        .ok_or_else(|| format!("--total wants seconds, from 0.001 to 86400, not {text}"))
}
