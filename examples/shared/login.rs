//! How a client opens a stream: headers, SASL PLAIN, restart, resource binding (RFC 6120 sections 4, 6 and 7).
//!
//! For loopback and tests: the password goes over the connection as it is, so the transport must protect it.

use std::{
    fmt, io,
    time::{Duration, Instant},
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use xmpp_close::{
    CloseOptions, Error, Incoming, Stanza, Stream, StreamError, Transport,
    xml::{EventReader, XmlEvent},
};

/// How long the close of a stream that could not be used may take.
pub const GOODBYE: Duration = Duration::from_secs(2);

/// A stream on which stanzas can be exchanged.
#[derive(Debug)]
pub struct Session<T: Transport> {
    pub stream: Stream<T>,
    /// The full JID the server has bound.
    pub jid: String,
    /// What the server offers after the login.
    pub features: Stanza,
}

/// A stream whose headers have been exchanged.
#[derive(Debug)]
pub struct Opened<T: Transport> {
    pub stream: Stream<T>,
    /// What the server offers: `<stream:features/>`.
    pub features: Stanza,
}

/// Why there is no session. If a stream had been opened, it has been closed.
#[derive(Debug)]
pub enum LoginError {
    /// The connection broke, or was ended without a closing tag.
    Connection { awaited: &'static str, error: io::Error },
    /// What answers does not speak XMPP.
    NotXmpp(String),
    /// The server's answer did not come in time.
    TimedOut { awaited: &'static str },
    /// The server closed the stream.
    PeerClosed { awaited: &'static str },
    /// The server closed the stream with an error.
    StreamError(StreamError),
    /// The server wants another mechanism than PLAIN, or TLS first.
    NoPlain { offered: Vec<String> },
    /// Wrong name or password: the condition of RFC 6120 section 6.5, such as `not-authorized`.
    Refused(String),
    /// The server does not bind this resource.
    Bind(String),
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection { awaited, error } if error.kind() == io::ErrorKind::UnexpectedEof => {
                write!(f, "the server ended the connection instead of sending {awaited}")
            }
            Self::Connection { awaited, error } => write!(f, "the connection broke before {awaited} came: {error}"),
            Self::NotXmpp(why) => write!(f, "the server does not speak XMPP: {why}"),
            Self::TimedOut { awaited } => write!(f, "the server did not send {awaited} in time"),
            Self::PeerClosed { awaited } => write!(f, "the server closed the stream instead of sending {awaited}"),
            Self::StreamError(error) => {
                write!(f, "the server closed the stream: {}", error.condition())?;
                error.text().map_or(Ok(()), |text| write!(f, " ({})", short(text)))
            }
            Self::NoPlain { offered } if offered.is_empty() => f.write_str("the server offers no SASL here"),
            Self::NoPlain { offered } => write!(f, "the server offers no SASL PLAIN here, but {}", offered.join(" ")),
            Self::Refused(condition) => write!(f, "the server refused the login: {condition}"),
            Self::Bind(condition) => write!(f, "the server bound no resource: {condition}"),
        }
    }
}

impl std::error::Error for LoginError {}

/// Logs in over a connected `transport`, waiting `limit` at most in all.
///
/// # Errors
/// One [`LoginError`] for each thing that can go wrong.
pub fn login<T: Transport>(
    transport: T,
    domain: &str,
    user: &str,
    password: &str,
    limit: Duration,
) -> Result<Session<T>, LoginError> {
    let deadline = Instant::now() + limit;
    log_in(open(transport, domain, limit)?, domain, user, password, deadline)
}

/// Logs in on a stream whose headers have been exchanged.
///
/// # Errors
/// As for [`login`].
pub fn log_in<T: Transport>(
    opened: Opened<T>,
    domain: &str,
    user: &str,
    password: &str,
    deadline: Instant,
) -> Result<Session<T>, LoginError> {
    let Opened { mut stream, features } = authenticate(opened, domain, user, password, deadline)?;
    match bind(&mut stream, deadline) {
        Ok(jid) => Ok(Session { stream, jid, features }),
        Err(error) => Err(give_up(stream, error)),
    }
}

/// The part of a login that ends before a resource is bound: with the features that come then.
///
/// # Errors
/// As for [`login`].
pub fn authenticate<T: Transport>(
    opened: Opened<T>,
    domain: &str,
    user: &str,
    password: &str,
    deadline: Instant,
) -> Result<Opened<T>, LoginError> {
    let Opened { mut stream, features } = opened;
    match prove(&mut stream, &features, domain, user, password, deadline) {
        Ok(features) => Ok(Opened { stream, features }),
        Err(error) => Err(give_up(stream, error)),
    }
}

/// Exchanges the stream headers over a connected `transport`, waiting `limit` at most.
///
/// # Errors
/// Those of [`LoginError`] that can occur before a login.
pub fn open<T: Transport>(transport: T, domain: &str, limit: Duration) -> Result<Opened<T>, LoginError> {
    reopen(Stream::new(transport), domain, limit)
}

/// The same on a stream that may have been there before, as after STARTTLS.
///
/// # Errors
/// As for [`open`].
pub fn reopen<T: Transport>(mut stream: Stream<T>, domain: &str, limit: Duration) -> Result<Opened<T>, LoginError> {
    stream.write_limit(limit);
    match exchange_headers(&mut stream, domain, Instant::now() + limit) {
        Ok(features) => Ok(Opened { stream, features }),
        Err(error) => Err(give_up(stream, error)),
    }
}

fn prove<T: Transport>(
    stream: &mut Stream<T>,
    features: &Stanza,
    domain: &str,
    user: &str,
    password: &str,
    deadline: Instant,
) -> Result<Stanza, LoginError> {
    let mechanisms = texts(features, "mechanism");
    if !mechanisms.iter().any(|mechanism| mechanism == "PLAIN") {
        return Err(LoginError::NoPlain { offered: mechanisms });
    }
    let token = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
    let auth = format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{token}</auth>");
    send(stream, &auth, "the answer to the password")?;
    let answer = stanza(stream, deadline, "the answer to the password")?;
    match answer.name() {
        "success" => {}
        "failure" => return Err(LoginError::Refused(condition(&answer, &[]))),
        name => return Err(LoginError::NotXmpp(format!("<{}/> as the answer to SASL PLAIN", short(name)))),
    }
    // From here until our next header there is no stream that could be closed (RFC 6120 section 6.4.6).
    stream.restart();
    exchange_headers(stream, domain, deadline)
}

fn bind<T: Transport>(stream: &mut Stream<T>, deadline: Instant) -> Result<String, LoginError> {
    send(stream, "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "a resource")?;
    loop {
        let answer = stanza(stream, deadline, "a resource")?;
        let attributes = attributes(&answer);
        let is = |name, value| attributes.iter().any(|(key, found)| key == name && found == value);
        if answer.name() != "iq" || !is("id", "bind") {
            continue;
        }
        if is("type", "result") {
            return texts(&answer, "jid").pop().ok_or_else(|| LoginError::Bind("a result without a JID".into()));
        }
        return Err(LoginError::Bind(condition(&answer, &["bind", "error"])));
    }
}

/// Sends our header and returns the features that follow the server's.
fn exchange_headers<T: Transport>(
    stream: &mut Stream<T>,
    domain: &str,
    deadline: Instant,
) -> Result<Stanza, LoginError> {
    exchange_start_tags(stream, "version='1.0' xmlns='jabber:client'", domain, deadline)?;
    let features = stanza(stream, deadline, "its stream features")?;
    match features.name() {
        "features" => Ok(features),
        name => Err(LoginError::NotXmpp(format!("<{}/> in the place of its stream features", short(name)))),
    }
}

/// Sends a start tag with these attributes and returns the server's.
pub fn exchange_start_tags<T: Transport>(
    stream: &mut Stream<T>,
    attributes: &str,
    to: &str,
    deadline: Instant,
) -> Result<String, LoginError> {
    let awaited = "its stream header";
    let ns = "http://etherx.jabber.org/streams";
    let header = format!("<?xml version='1.0'?><stream:stream to='{}' {attributes} xmlns:stream='{ns}'>", escape(to));
    send(stream, &header, awaited)?;
    match receive(stream, deadline, awaited)? {
        Incoming::Header(header) if is_stream(&header) => Ok(header),
        Incoming::Header(header) => Err(LoginError::NotXmpp(format!("it opens with {}", short(&header)))),
        other => Err(LoginError::NotXmpp(format!("{other:?} before a stream header"))),
    }
}

pub fn send<T: Transport>(stream: &mut Stream<T>, xml: &str, awaited: &'static str) -> Result<(), LoginError> {
    stream.send(xml).map_err(|error| failed(error, awaited))
}

/// The next stanza. Anything else that comes ends the login.
pub fn stanza<T: Transport>(
    stream: &mut Stream<T>,
    deadline: Instant,
    awaited: &'static str,
) -> Result<Stanza, LoginError> {
    match receive(stream, deadline, awaited)? {
        Incoming::Stanza(stanza) => Ok(stanza),
        Incoming::StreamError(error) => Err(LoginError::StreamError(error)),
        Incoming::PeerClosed => Err(LoginError::PeerClosed { awaited }),
        other => Err(LoginError::NotXmpp(format!("{other:?} instead of {awaited}"))),
    }
}

fn receive<T: Transport>(
    stream: &mut Stream<T>,
    deadline: Instant,
    awaited: &'static str,
) -> Result<Incoming, LoginError> {
    match stream.receive_within(deadline.saturating_duration_since(Instant::now())) {
        Ok(Incoming::Idle | Incoming::TimedOut) => Err(LoginError::TimedOut { awaited }),
        Ok(incoming) => Ok(incoming),
        Err(error) => Err(failed(error, awaited)),
    }
}

fn failed(error: Error, awaited: &'static str) -> LoginError {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => LoginError::TimedOut { awaited },
        Error::Io(error) => LoginError::Connection { awaited, error },
        error => LoginError::NotXmpp(error.to_string()),
    }
}

/// A stream that was opened is closed by handshake even when the login failed (RFC 6120 section 6.4.5), if the peer is
/// still there.
pub fn give_up<T: Transport>(stream: Stream<T>, error: LoginError) -> LoginError {
    let wait = match error {
        LoginError::Connection { .. } | LoginError::NotXmpp(_) => return error,
        // The caller has waited long enough.
        LoginError::TimedOut { .. } => Duration::ZERO,
        _ => GOODBYE,
    };
    close_useless(stream, wait);
    error
}

/// How the close of a useless stream ends does not matter.
pub fn close_useless<T: Transport>(stream: Stream<T>, limit: Duration) {
    let _ = stream.close(&CloseOptions::new().total(limit));
}

fn is_stream(header: &str) -> bool {
    let mut events = EventReader::from_str(header).into_iter();
    events.any(|event| match event {
        Ok(XmlEvent::StartElement { name, .. }) => {
            name.local_name == "stream" && name.namespace.as_deref() == Some("http://etherx.jabber.org/streams")
        }
        _ => false,
    })
}

/// The attributes of the stanza itself.
pub fn attributes(stanza: &Stanza) -> Vec<(String, String)> {
    match stanza.reader().next() {
        Ok(XmlEvent::StartElement { attributes, .. }) => {
            attributes.into_iter().map(|attribute| (attribute.name.local_name, attribute.value)).collect()
        }
        _ => Vec::new(),
    }
}

/// The text of each element of that name in the stanza.
pub fn texts(stanza: &Stanza, wanted: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut inside = false;
    for event in stanza.reader() {
        match event {
            Ok(XmlEvent::StartElement { name, .. }) => {
                inside = name.local_name == wanted;
                if inside {
                    texts.push(String::new());
                }
            }
            Ok(XmlEvent::EndElement { .. }) => inside = false,
            Ok(XmlEvent::Characters(text) | XmlEvent::CData(text)) if inside => {
                texts.last_mut().expect("pushed at its start").push_str(&text);
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    texts
}

/// The first element inside the stanza that is not one of `around`: what went wrong.
pub fn condition(stanza: &Stanza, around: &[&str]) -> String {
    let starts = stanza.reader().into_iter().filter_map(|event| match event {
        Ok(XmlEvent::StartElement { name, .. }) => Some(name.local_name),
        _ => None,
    });
    let mut inside = starts.skip(1).filter(|name| !around.contains(&&name[..]));
    inside.next().unwrap_or_else(|| "no reason given".into())
}

/// What a stranger sent, shortened for a message of one line.
pub fn short(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    let line = words.join(" ");
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}
