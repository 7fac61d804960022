//! An XMPP server in miniature: a thread for each connection, and streams that are idle are closed by handshake.
//!
//! `cargo run --example idle_server -- 127.0.0.1:5222 --idle 60`
//!
//! It routes messages between three accounts, alice, bob and carol, and answers pings; there is no roster, no storage
//! and no TLS, and each password is "secret", so it belongs on a loopback address.

use std::{
    collections::HashMap,
    env,
    hash::{BuildHasher, RandomState},
    io::{self, Read},
    net::{TcpListener, TcpStream},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use xmpp_close::{
    CloseOptions, Error, Incoming, Stanza, Stream, StreamError, Waker,
    xml::{EventReader, Header, XmlEvent},
};

const DOMAIN: &str = "localhost";
/// What is in scope in our own streams, and so for every stanza that is passed on.
const NAMESPACES: &str = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
/// How deep a stanza may be nested; no extension needs more.
const MAX_DEPTH: u32 = 100;
const ACCOUNTS: [(&str, &str); 3] = [("alice", "secret"), ("bob", "secret"), ("carol", "secret")];

fn main() -> io::Result<()> {
    let Some((address, idle)) = arguments() else {
        eprintln!("usage: idle_server [ADDRESS:PORT] [--idle SECONDS]   (default: 127.0.0.1:5222 --idle 60)");
        process::exit(2);
    };
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    let table = Arc::new(Table::default());
    loop {
        let Ok((tcp, peer)) = listener.accept() else {
            // Out of file descriptors, perhaps; the connections that end will free some.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        let table = table.clone();
        thread::spawn(move || match Session::new(tcp, peer.to_string(), table, idle) {
            Ok(session) => session.run(),
            Err(error) => println!("{peer}: {error}"),
        });
    }
}

fn arguments() -> Option<(String, Duration)> {
    let (mut address, mut idle) = ("127.0.0.1:5222".to_owned(), Duration::from_secs(60));
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--idle" => idle = Duration::try_from_secs_f64(arguments.next()?.parse().ok()?).ok()?,
            option if option.starts_with('-') => return None,
            _ => address = argument,
        }
    }
    (!idle.is_zero()).then_some((address, idle))
}

/// One connection, on its own thread.
struct Session {
    stream: Stream<TcpStream>,
    table: Arc<Table>,
    mail: mpsc::Receiver<String>,
    mailbox: Mailbox,
    user: Option<&'static str>,
    /// The full JID, once a resource is bound; before, the address of the connection.
    name: String,
    bound: bool,
}

/// A conversation is over, perhaps with a stream error.
struct Stop(Option<StreamError>);

fn stop(condition: &str) -> Stop {
    Stop(StreamError::new(condition).ok())
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Malformed(condition) => stop(condition),
            // The connection broke. It is closed like any other: what had come before is still there to be processed.
            _ => Self(None),
        }
    }
}

impl Session {
    fn new(tcp: TcpStream, name: String, table: Arc<Table>, idle: Duration) -> io::Result<Self> {
        tcp.set_nodelay(true)?;
        let mut stream = Stream::new(tcp);
        stream.idle_after(Some(idle));
        let (sender, mail) = mpsc::channel();
        let mailbox = Mailbox { sender, waker: stream.waker()? };
        Ok(Self { stream, table, mail, mailbox, user: None, name, bound: false })
    }

    fn run(mut self) {
        let Stop(error) = self.converse();
        // From here on nobody can send us mail. What is in the box already is still owed to the peer, and goes out in
        // front of the closing tag, also when that is the answer to the peer's.
        if self.bound {
            self.table.lock().remove(&self.name);
        }
        let mut options = CloseOptions::new().farewell(self.mail.try_iter().collect::<String>());
        if let Some(error) = error {
            options = options.stream_error(error);
        }
        let mut closing = match self.stream.begin(&options) {
            Ok(closing) => closing,
            Err(error) => return println!("{}: {error}", self.name),
        };
        // The point of it all: what was in flight is processed. Only answers cannot be sent any more.
        for stanza in &mut closing {
            if self.bound {
                let _ = self.table.process(&self.name, &stanza);
            }
        }
        println!("{}: {}", self.name, closing.finish());
    }

    fn converse(&mut self) -> Stop {
        loop {
            let done = match self.stream.receive() {
                Ok(Incoming::Header(header)) => self.greet(&header),
                Ok(Incoming::Stanza(stanza)) if self.bound => match self.table.process(&self.name, &stanza) {
                    Ok(Some(answer)) => self.stream.send(answer).map_err(Stop::from),
                    Ok(None) => Ok(()),
                    Err(stop) => Err(stop),
                },
                Ok(Incoming::Stanza(stanza)) => self.negotiate(&stanza),
                Ok(Incoming::Woken) => {
                    self.mail.try_iter().try_for_each(|stanza| self.stream.send(stanza)).map_err(Stop::from)
                }
                Ok(Incoming::Oversize(_)) => Err(stop("policy-violation")),
                // Idle: nobody is to blame, so there is no error. A peer that closed, or sent an error, is answered.
                Ok(_) => Err(Stop(None)),
                Err(error) => Err(error.into()),
            };
            if let Err(stop) = done {
                return stop;
            }
        }
    }

    /// Answers a stream header with ours and the features (RFC 6120 section 4.3.2).
    fn greet(&mut self, header: &str) -> Result<(), Stop> {
        self.stream.send(format!(
            "<?xml version='1.0'?><stream:stream from='{DOMAIN}' id='{}' version='1.0' {NAMESPACES}>",
            random()
        ))?;
        let header = Header::parse(header).map_err(|_| stop("not-well-formed"))?;
        if !header.is_stream {
            return Err(stop("invalid-namespace"));
        }
        if header.to.is_some_and(|to| to != DOMAIN) {
            return Err(stop("host-unknown"));
        }
        let feature = match self.user {
            None => "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>",
            Some(_) => "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>",
        };
        Ok(self.stream.send(format!("<stream:features>{feature}</stream:features>"))?)
    }

    /// SASL PLAIN (RFC 4616), then a resource (RFC 6120 section 7).
    fn negotiate(&mut self, stanza: &Stanza) -> Result<(), Stop> {
        const SASL: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
        let element = Element::read(stanza)?;
        match (element.name.as_str(), self.user) {
            ("{urn:ietf:params:xml:ns:xmpp-sasl}auth", None) => {
                self.user = account(&element.text);
                if self.user.is_none() {
                    return Ok(self.stream.send(format!("<failure {SASL}><not-authorized/></failure>"))?);
                }
                self.stream.send(format!("<success {SASL}/>"))?;
                self.stream.restart();
            }
            ("{jabber:client}iq", Some(user)) if element.child == "{urn:ietf:params:xml:ns:xmpp-bind}bind" => {
                let wish = Some(element.text.trim()).filter(|wish| !wish.is_empty());
                let jid = |resource: &str| format!("{user}@{DOMAIN}/{resource}");
                let mut table = self.table.lock();
                let free = wish.map(jid).filter(|jid| !table.contains_key(jid));
                let jid = free.unwrap_or_else(|| jid(&random()));
                table.insert(jid.clone(), self.mailbox.clone());
                drop(table);
                println!("{}: is {jid}", self.name);
                let bind = format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{}</jid></bind>", escape(&jid));
                (self.name, self.bound) = (jid, true);
                self.stream.send(element.result(&bind))?;
            }
            _ => return Err(stop("not-authorized")),
        }
        Ok(())
    }
}

/// Who is there.
#[derive(Default)]
struct Table(Mutex<HashMap<String, Mailbox>>);

#[derive(Clone)]
struct Mailbox {
    sender: mpsc::Sender<String>,
    waker: Waker,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Mailbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a client sends on a bound stream: carries it out, and returns the answer to it, if it gets one.
    fn process(&self, from: &str, stanza: &Stanza) -> Result<Option<String>, Stop> {
        let element = Element::read(stanza)?;
        if element.get("from").is_some_and(|claimed| claimed != from) {
            return Err(stop("invalid-from"));
        }
        let kind = element.get("type").unwrap_or_default();
        Ok(match element.name.as_str() {
            "{jabber:client}presence" => None,
            "{jabber:client}message" => {
                let to = element.get("to").or(from.split('/').next()).unwrap_or_default();
                let routed = self.deliver(to, &stamped(stanza, &element, from));
                (!routed && kind != "error").then(|| element.error("message"))
            }
            "{jabber:client}iq" if !matches!(kind, "get" | "set") => None,
            "{jabber:client}iq" if element.child == "{urn:xmpp:ping}ping" => Some(element.result("")),
            "{jabber:client}iq" => Some(element.error("iq")),
            _ => return Err(stop("unsupported-stanza-type")),
        })
    }

    /// Puts `stanza` into the mailbox of a full JID, or into all of an account.
    fn deliver(&self, to: &str, stanza: &str) -> bool {
        let table = self.lock();
        let mailboxes = table.iter().filter(|(jid, _)| *jid == to || jid.split('/').next() == Some(to));
        let delivered = mailboxes.filter(|(_, mailbox)| mailbox.sender.send(stanza.to_owned()).is_ok());
        delivered.inspect(|(_, mailbox)| mailbox.waker.wake()).count() > 0
    }
}

/// The stanza with its sender's address (RFC 6120 section 8.1.2.1).
fn stamped(stanza: &Stanza, element: &Element, from: &str) -> String {
    let xml = stanza.as_str();
    let end = xml.find([' ', '\t', '\r', '\n', '/', '>']).unwrap_or(xml.len());
    match element.get("from") {
        Some(_) => xml.to_owned(),
        None => format!("{} from='{}'{}", &xml[..end], escape(from), &xml[end..]),
    }
}

/// What has to be known of an element; names are `{namespace}local`.
#[derive(Default)]
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    /// The first element in it.
    child: String,
    /// All character data in it.
    text: String,
}

impl Element {
    /// Reads it as if it stood in our own streams, for it may be passed on: what leans on a prefix that only its sender's
    /// header declares would break the stream of whoever gets it.
    fn read(stanza: &Stanza) -> Result<Self, Stop> {
        let root = format!("<stream:stream {NAMESPACES}>");
        let mut element = Self::default();
        let mut depth = 0;
        for event in EventReader::new(root.as_bytes().chain(stanza.as_bytes())) {
            match event {
                Ok(XmlEvent::StartElement { name, attributes, .. }) => {
                    let name = format!("{{{}}}{}", name.namespace.unwrap_or_default(), name.local_name);
                    match depth {
                        0 => {} // our root
                        1 => {
                            element.name = name;
                            element.attributes =
                                attributes.into_iter().map(|a| (a.name.to_string(), a.value)).collect();
                        }
                        MAX_DEPTH => return Err(stop("policy-violation")),
                        _ if element.child.is_empty() => element.child = name,
                        _ => {}
                    }
                    depth += 1;
                }
                Ok(XmlEvent::EndElement { .. }) if depth == 2 => return Ok(element),
                Ok(XmlEvent::EndElement { .. }) => depth -= 1,
                Ok(XmlEvent::Characters(text) | XmlEvent::CData(text)) => element.text += &text,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Err(stop("bad-namespace-prefix"))
    }

    fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }

    fn result(&self, payload: &str) -> String {
        format!("<iq type='result' id='{}'>{payload}</iq>", escape(self.get("id").unwrap_or_default()))
    }

    fn error(&self, name: &str) -> String {
        let (id, to) = (self.get("id").unwrap_or_default(), self.get("to").unwrap_or(DOMAIN));
        format!(
            "<{name} type='error' id='{}' from='{}'><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></{name}>",
            escape(id),
            escape(to)
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}

fn random() -> String {
    format!("{:016x}", RandomState::new().hash_one(0))
}

/// The name of the account, if `token` is the right name and password.
fn account(token: &str) -> Option<&'static str> {
    let plain = String::from_utf8(base64(token.trim())?).ok()?;
    let [_authzid, user, password] = plain.split('\0').collect::<Vec<_>>().try_into().ok()?;
    ACCOUNTS.iter().find(|account| **account == (user, password)).map(|account| account.0)
}

/// RFC 4648 section 4.
fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut held, mut bits) = (0, 0);
    for digit in text.trim_end_matches('=').chars() {
        held = held << 6 | DIGITS.find(digit)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    Some(bytes)
}
