//! A stream to a real server, which is closed, or detached from its session.

use std::{
    fmt, io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use xmpp_close::{CloseOptions, Condition, Outcome, Report, Stanza, Stream, Transport, xml};

use crate::{
    Failure, component,
    login::{self, LoginError, Opened},
    policy::{self, Step, Tls},
    recorder::Recorder,
    sm::{self, Managed},
    starttls,
    timeline::{Entry, Timeline, What},
    tls,
};

/// What to connect to, and how.
pub struct Target {
    pub host: String,
    pub port: u16,
    /// The name that the header asks for, and that the certificate must have.
    pub domain: String,
    /// Name and password of an account.
    pub account: Option<(String, String)>,
    /// Name and secret of an external component, if the probe is one instead of a client.
    pub component: Option<(String, String)>,
    pub tls: Tls,
    /// Accept any certificate.
    pub insecure: bool,
    /// Detach, and see what becomes of the session.
    pub detach: bool,
    pub half_close: bool,
    /// The limit for opening the stream, and again for closing it.
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

/// How a connection was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// For a stream that was closed, with a session of its own or none.
    Closed,
    /// For a session that can be resumed, from which the stream was detached.
    Detached,
    /// That session was resumed, and closed; the server had handled so many stanzas of ours.
    Resumed(u32),
    /// The server would not resume it, for this reason.
    Refused(String),
}

/// What came of it.
pub struct Probed {
    pub address: SocketAddr,
    pub domain: String,
    /// What the server has bound after a login, or the component.
    pub jid: Option<String>,
    pub encrypted: Option<Encrypted>,
    pub used: Use,
    /// After how long a silence of ours the server may close; `None` if the server does not say (XEP-0478).
    pub idle: Option<Duration>,
    /// How many stanzas our last word acknowledged, where stanzas are acknowledged (XEP-0198).
    pub acknowledged: Option<u32>,
    session: Option<Managed>,
    pub report: Report,
    pub timeline: Vec<Entry>,
}

impl Probed {
    /// Why this is not how the stream should have ended.
    pub fn complaint(&self) -> Option<String> {
        let as_it_should = match self.used {
            Use::Detached => self.report.outcome == Outcome::Cancelled && self.report.bytes_unsent == 0,
            _ => self.report.is_clean(),
        };
        (!as_it_should).then(|| self.report.to_string())
    }
}

/// Opens a stream, and closes it.
pub fn close(target: &Target) -> Result<Probed, Failure> {
    visit(target, Way::Close)
}

/// Detaches from a session, resumes and closes it, and tries to resume it once more.
pub fn detach_and_close(target: &Target) -> Result<Vec<Probed>, Failure> {
    let detached = visit(target, Way::Detach)?;
    let (Use::Detached, Some(session)) = (&detached.used, &detached.session) else {
        return Err(Failure::Local("the server offers no session that could be resumed (XEP-0198)".into()));
    };
    let closed = visit(target, Way::Resume(session))?;
    if let Use::Refused(condition) = &closed.used {
        return Err(Failure::Unclean(format!("the server does not resume a session that was detached: {condition}")));
    }
    let again = visit(target, Way::Resume(session))?;
    Ok(vec![detached, closed, again])
}

/// What to do on a connection.
#[derive(Clone, Copy)]
enum Way<'a> {
    Close,
    Detach,
    /// And close.
    Resume(&'a Managed),
}

fn visit(target: &Target, way: Way<'_>) -> Result<Probed, Failure> {
    let deadline = Instant::now() + target.total;
    let (tcp, address) = connect(target, deadline)?;
    let visit = Visit { target, way, address, timeline: Timeline::new(target.half_close), deadline };
    if target.tls == Tls::Direct {
        let (transport, encrypted) = visit.secure(tcp)?;
        visit.enter(transport, Some(encrypted))
    } else {
        visit.enter_in_plaintext(Recorder::new(tcp, visit.timeline.clone()))
    }
}

/// A stream that has been opened as far as was asked for.
struct Reached<T: Transport> {
    stream: Stream<T>,
    features: Option<Stanza>,
    jid: Option<String>,
    managed: Option<Managed>,
    used: Use,
}

impl<T: Transport> Reached<T> {
    fn unmanaged(stream: Stream<T>, features: Option<Stanza>, jid: Option<String>) -> Self {
        Self { stream, features, jid, managed: None, used: Use::Closed }
    }
}

struct Visit<'a> {
    target: &'a Target,
    way: Way<'a>,
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

    /// Servers that want TLS at once answer our plaintext header by a TLS alert, or hang up.
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
                self.end(Reached::unmanaged(stream, None, Some(name.clone())), encrypted)
            }
        }
    }

    fn open<T: Transport>(&self, stream: Stream<Recorder<T>>) -> Result<Opened<Recorder<T>>, Failure> {
        let domain = &self.target.domain;
        login::reopen(stream, domain, self.left()).map_err(|error| failure(&error, domain))
    }

    /// We send nothing after a login, not even presence: the server would then give us messages that are meant for
    /// another client of the user.
    fn log_in<T: Transport>(
        &self,
        opened: Opened<Recorder<T>>,
        encrypted: Option<Encrypted>,
    ) -> Result<Probed, Failure> {
        let Some((user, password)) = &self.target.account else {
            return self.end(Reached::unmanaged(opened.stream, Some(opened.features), None), encrypted);
        };
        if !policy::may_send_password(encrypted.is_some(), self.is_loopback()) {
            login::close_useless(opened.stream, login::GOODBYE);
            let hint = if tls::is_built_in().is_ok() { "" } else { ": build the probe with TLS, see --help" };
            return Err(Failure::Login(format!("no password is sent in the clear to {}{hint}", self.address)));
        }
        let tls_helps = encrypted.is_none() && starttls::is_offered(&opened.features);
        let domain = &self.target.domain;
        let reached = match self.way {
            Way::Resume(session) => login::authenticate(opened, domain, user, password, self.deadline)
                .and_then(|opened| self.resume(opened, session)),
            Way::Close | Way::Detach => {
                login::log_in(opened, domain, user, password, self.deadline).and_then(|session| self.manage(session))
            }
        };
        match reached {
            Ok(reached) => self.end(reached, encrypted),
            Err(error) => {
                let tls_helps = tls_helps && matches!(error, LoginError::NoPlain { .. });
                let hint = if tls_helps { "; it may over TLS: --tls starttls" } else { "" };
                Err(failure(&error, domain).with(hint))
            }
        }
    }

    /// Has stanzas acknowledged, if the server does that.
    fn manage<T: Transport>(&self, session: login::Session<T>) -> Result<Reached<T>, LoginError> {
        let login::Session { mut stream, jid, features } = session;
        let mut managed = None;
        if sm::is_offered(&features) {
            match sm::enable(&mut stream, matches!(self.way, Way::Detach), self.deadline) {
                Ok(enabled) => managed = enabled,
                Err(error) => return Err(login::give_up(stream, error)),
            }
        }
        let resumable = managed.as_ref().is_some_and(|managed| managed.id.is_some());
        let used = if resumable { Use::Detached } else { Use::Closed };
        Ok(Reached { stream, features: Some(features), jid: Some(jid), managed, used })
    }

    fn resume<T: Transport>(&self, opened: Opened<T>, session: &Managed) -> Result<Reached<T>, LoginError> {
        let Opened { mut stream, features } = opened;
        let (used, managed) = match sm::resume(&mut stream, session, self.deadline) {
            Ok(Ok(h)) => (Use::Resumed(h), Some(session.clone())),
            Ok(Err(condition)) => (Use::Refused(condition), None),
            Err(error) => return Err(login::give_up(stream, error)),
        };
        Ok(Reached { stream, features: Some(features), jid: None, managed, used })
    }

    /// Closes the stream, or detaches from its session.
    fn end<T: Transport>(
        &self,
        reached: Reached<Recorder<T>>,
        encrypted: Option<Encrypted>,
    ) -> Result<Probed, Failure> {
        let Target { domain, half_close, total, .. } = self.target;
        let Reached { stream, features, jid, managed, used } = reached;
        let mut options = CloseOptions::new().total(*total).half_close(*half_close && encrypted.is_none());
        let handled = managed.as_ref().map(|managed| managed.handled.clone());
        if let Some(handled) = &handled {
            options = handled.at_the_end(options);
        }
        let report = if used == Use::Detached {
            self.timeline.detach();
            stream.detach(&options)
        } else {
            stream.begin(&options).map(|mut closing| {
                closing.by_ref().for_each(|stanza| handled.iter().for_each(|handled| handled.count(&stanza)));
                closing.finish()
            })
        };
        Ok(Probed {
            address: self.address,
            domain: domain.clone(),
            jid,
            encrypted,
            used,
            idle: features.as_ref().and_then(xml::idle_seconds),
            acknowledged: handled.map(|handled| handled.acknowledged()),
            session: managed,
            report: report.map_err(|error| Failure::Local(error.to_string()))?,
            timeline: self.timeline.entries(),
        })
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
        // A limit of zero would be an error of another kind.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(tcp) => {
                // Without this, the times that are shown would be those of Nagle's algorithm.
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
        LoginError::StreamError(stream_error) if stream_error.condition() == Condition::HostUnknown => {
            Failure::NotOpened(format!("the server does not know the domain {domain}: try --domain"))
        }
        LoginError::StreamError(_) | LoginError::PeerClosed { .. } => Failure::NotOpened(error.to_string()),
        LoginError::Connection { .. } | LoginError::NotXmpp(_) | LoginError::TimedOut { .. } => {
            Failure::NotXmpp(error.to_string())
        }
    }
}
