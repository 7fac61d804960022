//! One connection, on its own thread: from its header to its closing tag.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    io,
    net::TcpStream,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use xmpp_close::{
    CloseOptions, Condition, DEFAULT_STANZA_LIMIT, Error, Incoming, MIN_STANZA_LIMIT, Stanza, Stream, StreamError,
    Transport, xml::Header,
};

use crate::{
    DOMAIN, Server, accounts,
    element::{Element, NAMESPACES, escape, random},
    router::Mailbox,
    sm::{self, Management},
};

/// How much a stranger may send at once: the least that a limit may be.
const STRANGERS_STANZA: usize = MIN_STANZA_LIMIT;
/// How many stanzas wait for a session that does not take them. For stanzas beyond that the session counts as absent.
const MAILBOX: usize = 10_000;

pub struct Session<T: Transport> {
    stream: Stream<T>,
    client: Client,
}

/// What stays the same when STARTTLS replaces the stream.
struct Client {
    server: Arc<Server>,
    mail: mpsc::Receiver<String>,
    mailbox: Mailbox,
    /// By when a resource has to be bound.
    deadline: Instant,
    secure: bool,
    user: Option<&'static str>,
    /// The full JID, once a resource is bound; before, the address of the connection.
    name: String,
    bound: bool,
    management: Management,
    address: String,
    /// When in the spread of a shutdown this session has its turn, from 0 to 1.
    share: f64,
}

/// Why a conversation is over.
pub enum Stop {
    /// The stream is to be closed, perhaps with a stream error.
    Close(Option<StreamError>),
    /// The client was told to proceed with TLS.
    StartTls,
    /// The server goes down, and this session's turn has come.
    Leave,
}

/// At random.
fn share() -> f64 {
    RandomState::new().hash_one(0) as f64 / 2_f64.powi(64)
}

pub fn stop(condition: Condition) -> Stop {
    Stop::Close(StreamError::new(condition).ok())
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Malformed(condition) => stop(condition),
            // The connection broke. The stream is closed like any other: what had come before is still there to be
            // handled.
            _ => Self::Close(None),
        }
    }
}

impl Client {
    /// How long the login may still take.
    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl Session<TcpStream> {
    pub fn new(tcp: TcpStream, address: String, server: Arc<Server>) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let mut stream = Stream::new(tcp);
        stream.stanza_limit(STRANGERS_STANZA);
        let (sender, mail) = mpsc::sync_channel(MAILBOX);
        let mailbox = Mailbox { sender, waker: stream.waker()? };
        server.shutdown.opened(&address, &mailbox.waker);
        let client = Client {
            deadline: Instant::now() + server.login,
            server,
            mail,
            mailbox,
            secure: false,
            user: None,
            name: address.clone(),
            bound: false,
            management: Management::default(),
            address,
            share: share(),
        };
        Ok(Self { stream, client })
    }

    pub fn run(mut self) {
        match self.converse() {
            Stop::StartTls => self.start_tls(),
            stop => self.end(stop),
        }
    }

    fn start_tls(self) {
        let Self { stream, mut client } = self;
        let Some(tls) = &client.server.tls else { return };
        match stream.upgrade(|tcp| tls.accept(tcp, client.time_left())) {
            Ok(stream) => {
                client.secure = true;
                let mut session = Session { stream, client };
                let stop = session.converse();
                session.end(stop);
            }
            // The TLS handshake failed, so there is no stream to be closed (RFC 6120 section 5.4.3.2).
            Err(error) => {
                client.server.is_left_by(&client.address);
                println!("{}: no TLS: {error}", client.name);
            }
        }
    }
}

impl<T: Transport + Send + 'static> Session<T> {
    /// Talks to the client until the stream is to be closed.
    fn converse(&mut self) -> Stop {
        loop {
            let leaves = self.client.server.shutdown.time_left(self.client.share);
            if leaves.is_some_and(|left| left.is_zero()) {
                return Stop::Leave;
            }
            let login = (!self.client.bound).then(|| self.client.time_left());
            let received = match [login, leaves].into_iter().flatten().min() {
                None => self.stream.receive(),
                Some(limit) => self.stream.receive_within(limit),
            };
            let done = match received {
                Ok(Incoming::Header(header)) => self.greet(&header),
                Ok(Incoming::Stanza(stanza)) => self.handle(&stanza),
                Ok(Incoming::Woken) => {
                    let mut mail = self.client.mail.try_iter();
                    mail.try_for_each(|stanza| self.stream.send(stanza)).map_err(Stop::from)
                }
                Ok(Incoming::Oversize(_)) => Err(stop(Condition::PolicyViolation)),
                Ok(Incoming::TimedOut) if self.client.bound || !self.client.time_left().is_zero() => Ok(()), // to leave
                // Idle, or still not logged in: nobody is to blame, so there is no error. A peer that closed, or sent
                // an error, is answered.
                Ok(_) => Err(Stop::Close(None)),
                Err(error) => Err(error.into()),
            };
            if let Err(stop) = done {
                return stop;
            }
        }
    }

    /// Hands the stream over, to be closed by handshake.
    fn end(self, stop: Stop) {
        let error = match stop {
            Stop::Close(error) => error,
            Stop::Leave => None,      // the batch of the shutdown has the error
            Stop::StartTls => return, // only a stream in the clear stops for this
        };
        let Client { server, mail, name, bound, management, address, .. } = self.client;
        // From here on no other session can send us mail. What is in the mailbox already is still owed to the peer, and
        // goes out in front of our closing tag, also when our tag is the answer to the peer's.
        if bound {
            server.router.leave(&name);
        }
        // What had come before our tag is answered and acknowledged in front of our tag.
        let (answers, owed) = mpsc::channel();
        let (owed, acknowledge) = (Mutex::new(owed), management.last_word());
        let mut options = CloseOptions::new().farewell(mail.try_iter().collect::<String>()).farewell_with(move || {
            let answers: String = owed.lock().unwrap_or_else(PoisonError::into_inner).try_iter().collect();
            (answers + &acknowledge()).into_bytes()
        });
        if let Some(error) = error {
            options = options.stream_error(error);
        }
        let (router, jid) = (server.clone(), name.clone());
        // This is the point of the whole close: what was in flight is handled. Only answers cannot be sent behind our
        // tag.
        let late = move |stanza: Stanza| {
            if bound {
                if let Ok(Some(answer)) = router.router.process(&jid, &stanza) {
                    let _ = answers.send(answer);
                }
                management.count(&stanza);
            }
        };
        server.closer.close(name, self.stream, &options, late);
        server.is_left_by(&address);
    }

    /// Answers a stream header with ours and the features (RFC 6120 section 4.3.2).
    fn greet(&mut self, header: &str) -> Result<(), Stop> {
        let id = random();
        self.stream.send(format!(
            "<?xml version='1.0'?><stream:stream from='{DOMAIN}' id='{id}' version='1.0' {NAMESPACES}>"
        ))?;
        let header = Header::parse(header).map_err(|_| stop(Condition::NotWellFormed))?;
        if !header.is_stream {
            return Err(stop(Condition::InvalidNamespace));
        }
        if header.to.is_some_and(|to| to != DOMAIN) {
            return Err(stop(Condition::HostUnknown));
        }
        let mut features = String::new();
        if self.offers_tls() {
            features += "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
        }
        features += match self.client.user {
            None => "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>",
            // The session is for clients older than RFC 6120.
            Some(_) => {
                "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                 <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>"
            }
        };
        if self.client.user.is_some() {
            features += sm::FEATURE;
        }
        features += &self.limits();
        Ok(self.stream.send(format!("<stream:features>{features}</stream:features>"))?)
    }

    /// What we would close the stream for (XEP-0478). A limit that is not announced is unknown to the client.
    fn limits(&self) -> String {
        let Client { server, user, .. } = &self.client;
        let idle = match user {
            None => Some(server.login),
            Some(user) => server.idle_limit(user),
        };
        let whole_seconds = idle.map(|idle| idle.as_secs()).filter(|seconds| *seconds > 0);
        let idle = whole_seconds.map_or_else(String::new, |seconds| format!("<idle-seconds>{seconds}</idle-seconds>"));
        let bytes = if user.is_some() { DEFAULT_STANZA_LIMIT } else { STRANGERS_STANZA };
        let bytes = format!("<max-bytes>{bytes}</max-bytes>");
        format!("<limits xmlns='urn:xmpp:stream-limits:0'>{bytes}{idle}</limits>")
    }

    fn offers_tls(&self) -> bool {
        self.client.server.tls.is_some() && !self.client.secure && self.client.user.is_none()
    }

    /// STARTTLS, SASL PLAIN (RFC 4616), then a resource (RFC 6120 section 7).
    fn negotiate(&mut self, stanza: &Stanza) -> Result<(), Stop> {
        const SASL: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
        let element = Element::read(stanza)?;
        match (element.name.as_str(), self.client.user) {
            ("{urn:ietf:params:xml:ns:xmpp-tls}starttls", None) if self.offers_tls() => {
                self.stream.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")?;
                Err(Stop::StartTls)
            }
            ("{urn:ietf:params:xml:ns:xmpp-sasl}auth", None) => {
                let Some(user) = accounts::check(&element.text) else {
                    return Ok(self.stream.send(format!("<failure {SASL}><not-authorized/></failure>"))?);
                };
                self.client.user = Some(user);
                self.stream.send(format!("<success {SASL}/>"))?;
                self.stream.restart();
                self.stream.stanza_limit(DEFAULT_STANZA_LIMIT);
                Ok(())
            }
            ("{jabber:client}iq", Some(user)) if element.child == "{urn:ietf:params:xml:ns:xmpp-bind}bind" => {
                self.bind(user, &element)
            }
            _ => Err(stop(Condition::NotAuthorized)),
        }
    }

    fn bind(&mut self, user: &str, request: &Element) -> Result<(), Stop> {
        let client = &mut self.client;
        let jid = client.server.router.join(user, request.text.trim(), &client.mailbox);
        println!("{}: is {jid}", client.name);
        let bind = format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{}</jid></bind>", escape(&jid));
        (client.name, client.bound) = (jid, true);
        self.stream.idle_after(client.server.idle_limit(user));
        Ok(self.stream.send(request.result(&bind))?)
    }

    fn handle(&mut self, stanza: &Stanza) -> Result<(), Stop> {
        let client = &mut self.client;
        if client.user.is_some() {
            if let Some(answer) = client.management.answer(stanza, client.bound)? {
                return Ok(self.stream.send(answer)?);
            }
        }
        if !client.bound {
            return self.negotiate(stanza);
        }
        let answer = client.server.router.process(&client.name, stanza);
        client.management.count(stanza);
        match answer? {
            Some(answer) => Ok(self.stream.send(answer)?),
            None => Ok(()),
        }
    }
}
