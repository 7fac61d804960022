//! The same with a real server.

use std::{
    fmt, io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use xmpp_close::{CloseOptions, Report, Stream, Transport};

use crate::{
    Failure, component,
    login::{self, LoginError, Opened},
    policy::{self, Step, Tls},
    recorder::Recorder,
    starttls,
    timeline::{Entry, Timeline, What},
    tls,
};

/// What to connect to, and how.
pub struct Target {
    pub host: String,
    pub port: u16,
    /// To ask for, and to find in the certificate.
    pub domain: String,
    /// Name and password of an account.
    pub account: Option<(String, String)>,
    /// Name and secret of an external component, to be instead of a client.
    pub component: Option<(String, String)>,
    pub tls: Tls,
    /// Any certificate will do.
    pub insecure: bool,
    pub half_close: bool,
    /// For opening the stream, and again for closing it.
    pub total: Duration,
}

/// What is known of the TLS session.
#[derive(Clone, Copy, Debug)]
pub struct Encrypted {
    pub version: &'static str,
    pub certificate_checked: bool,
}

impl fmt::Display for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, certificate {}", self.version, if self.certificate_checked { "checked" } else { "not checked" })
    }
}

/// What came of it.
pub struct Probed {
    pub address: SocketAddr,
    pub domain: String,
    /// What the server has bound after a login, or the component.
    pub jid: Option<String>,
    pub encrypted: Option<Encrypted>,
    pub report: Report,
    pub timeline: Vec<Entry>,
}

/// Opens a stream, and closes it.
pub fn probe(target: &Target) -> Result<Probed, Failure> {
    let deadline = Instant::now() + target.total;
    let (tcp, address) = connect(target, deadline)?;
    let visit = Visit { target, address, timeline: Timeline::new(target.half_close), deadline };
    if target.tls == Tls::Direct {
        let (transport, encrypted) = visit.secure(tcp)?;
        visit.enter(transport, Some(encrypted))
    } else {
        visit.enter_in_plaintext(Recorder::new(tcp, visit.timeline.clone()))
    }
}

struct Visit<'a> {
    target: &'a Target,
    address: SocketAddr,
    timeline: Timeline,
    deadline: Instant,
}

impl Visit<'_> {
    fn enter_in_plaintext(&self, transport: Recorder<TcpStream>) -> Result<Probed, Failure> {
        if self.target.component.is_some() {
            return self.enter(transport, None); // XEP-0114 knows no STARTTLS
        }
        let domain = &self.target.domain;
        let opened = login::open(transport, domain, self.left()).map_err(|error| {
            let hint = if self.may_want_tls(&error) { "; a port for direct TLS? Then --tls direct" } else { "" };
            failure(&error, domain).with(hint)
        })?;
        match self.target.tls.step(starttls::is_offered(&opened.features), self.is_loopback()) {
            Step::GoOn => self.log_in(opened, None),
            Step::GiveUp => {
                login::close_useless(opened.stream, login::GOODBYE);
                Err(Failure::Tls("the server does not offer STARTTLS".into()))
            }
            Step::Starttls => {
                let mut encrypted = None;
                let stream = starttls::request(opened.stream, self.deadline)?.upgrade(|recorder| {
                    let (transport, tls) = self.secure(recorder.into_inner())?;
                    encrypted = Some(tls);
                    Ok(transport)
                })?;
                self.log_in(self.open(stream)?, encrypted)
            }
        }
    }

    /// Servers that do answer our plaintext header by a TLS alert, or just hang up.
    fn may_want_tls(&self, error: &LoginError) -> bool {
        let alert = |entry: &Entry| matches!(&entry.what, What::Junk(start) if start.starts_with(r"\u{15}\u{3}"));
        matches!(error, LoginError::Connection { .. }) || self.timeline.entries().iter().any(alert)
    }

    fn secure(&self, tcp: TcpStream) -> Result<(Recorder<tls::Session>, Encrypted), Failure> {
        tls::secure(tcp, self.target, &self.timeline, self.left())
    }

    fn enter<T: Transport>(&self, transport: Recorder<T>, encrypted: Option<Encrypted>) -> Result<Probed, Failure> {
        match &self.target.component {
            None => self.log_in(self.open(Stream::new(transport))?, encrypted),
            Some((name, secret)) => {
                let stream = component::open(transport, name, secret, self.left())?;
                self.close(stream, Some(name.clone()), encrypted)
            }
        }
    }

    fn open<T: Transport>(&self, stream: Stream<Recorder<T>>) -> Result<Opened<Recorder<T>>, Failure> {
        let domain = &self.target.domain;
        login::reopen(stream, domain, self.left()).map_err(|error| failure(&error, domain))
    }

    /// Nothing is sent after a login, no presence either: the server would hand us messages that are meant for somebody else.
    fn log_in<T: Transport>(
        &self,
        opened: Opened<Recorder<T>>,
        encrypted: Option<Encrypted>,
    ) -> Result<Probed, Failure> {
        let Some((user, password)) = &self.target.account else { return self.close(opened.stream, None, encrypted) };
        if !policy::may_send_password(encrypted.is_some(), self.is_loopback()) {
            login::close_useless(opened.stream, login::GOODBYE);
            let hint = if tls::is_built_in().is_ok() { "" } else { ": build the probe with TLS, see --help" };
            return Err(Failure::Login(format!("no password is sent in the clear to {}{hint}", self.address)));
        }
        let tls_helps = encrypted.is_none() && starttls::is_offered(&opened.features);
        match login::log_in(opened, &self.target.domain, user, password, self.deadline) {
            Ok(session) => self.close(session.stream, Some(session.jid), encrypted),
            Err(error) => {
                let tls_helps = tls_helps && matches!(error, LoginError::NoPlain { .. });
                let hint = if tls_helps { "; it may over TLS: --tls starttls" } else { "" };
                Err(failure(&error, &self.target.domain).with(hint))
            }
        }
    }

    fn close<T: Transport>(
        &self,
        stream: Stream<Recorder<T>>,
        jid: Option<String>,
        encrypted: Option<Encrypted>,
    ) -> Result<Probed, Failure> {
        let Target { domain, half_close, total, .. } = self.target;
        let options = CloseOptions::new().total(*total).no_progress(*total).half_close(*half_close);
        let report = stream.close(&options).map_err(|error| Failure::Local(error.to_string()))?;
        let (domain, timeline) = (domain.clone(), self.timeline.entries());
        Ok(Probed { address: self.address, domain, jid, encrypted, report, timeline })
    }

    fn is_loopback(&self) -> bool {
        self.address.ip().is_loopback()
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

fn connect(target: &Target, deadline: Instant) -> Result<(TcpStream, SocketAddr), Failure> {
    let Target { host, port, .. } = target;
    let addresses = (host.as_str(), *port)
        .to_socket_addrs()
        .map_err(|error| Failure::Connection(format!("cannot resolve {host}: {error}")))?;
    let mut last = io::Error::other("it has no address");
    for address in addresses {
        // Never zero, which would be an error of another kind.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(tcp) => {
                // The times shown are not to be those of Nagle's algorithm.
                let _ = tcp.set_nodelay(true);
                return Ok((tcp, address));
            }
            Err(error) => last = error,
        }
    }
    Err(Failure::Connection(format!("cannot connect to {host}, port {port}: {last}")))
}

pub fn failure(error: &LoginError, domain: &str) -> Failure {
    match error {
        LoginError::NoPlain { .. } | LoginError::Refused(_) | LoginError::Bind(_) => Failure::Login(error.to_string()),
        LoginError::StreamError(stream_error) if stream_error.condition() == "host-unknown" => {
            Failure::NotOpened(format!("the server does not know the domain {domain}: try --domain"))
        }
        LoginError::StreamError(_) | LoginError::PeerClosed { .. } => Failure::NotOpened(error.to_string()),
        LoginError::Connection { .. } | LoginError::NotXmpp(_) | LoginError::TimedOut { .. } => {
            Failure::NotXmpp(error.to_string())
        }
    }
}
