//! A server with a thread for each client: it lets alice in by SASL PLAIN, prints her messages, and closes the stream when she
//! has been silent for IDLE seconds. `cargo run --example server -- 127.0.0.1:5222 60`
use std::{env, hash::*, net::TcpListener, net::TcpStream, thread, time::Duration};

use xmpp_close::{CloseOptions, Condition, Error, Incoming, Stream, StreamError, xml::XmlEvent};

const HEADER: &str = "version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
const ALICE: &str = ">AGFsaWNlAHNlY3JldA==</auth>"; // SASL PLAIN: "\0alice\0secret" in base64
const PLAIN: &str = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>";
const BIND: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
const JID: &str = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>alice@localhost/1</jid></bind>";
const NO: &str = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [address, idle] = &arguments[..] else { return Err("usage: server ADDRESS:PORT IDLE".into()) };
    let (listener, idle) = (TcpListener::bind(address)?, Duration::try_from_secs_f64(idle.parse()?)?);
    println!("listening on {}", listener.local_addr()?);
    loop {
        let mut stream = Stream::new(listener.accept()?.0);
        stream.idle_after(Some(idle));
        thread::spawn(move || close(converse(&mut stream), stream));
    }
}

/// Talks to a client until the stream is to be closed, perhaps with a stream error.
fn converse(stream: &mut Stream<TcpStream>) -> Result<Option<Condition>, Error> {
    let mut is_alice = false;
    loop {
        let stanza = match stream.receive()? {
            Incoming::Stanza(stanza) => stanza,
            Incoming::Header(_) => {
                let id = RandomState::new().hash_one(0);
                stream.send(format!("<?xml version='1.0'?><stream:stream from='localhost' id='{id:x}' {HEADER}>"))?;
                stream.send(format!("<stream:features>{}</stream:features>", if is_alice { BIND } else { PLAIN }))?;
                continue;
            }
            _ => return Ok(None), // the client is silent, or has closed
        };
        let get = |name| escape(&stanza.attribute(name).unwrap_or_default());
        match stanza.name() {
            "auth" if stanza.as_str().ends_with(ALICE) && !is_alice => {
                stream.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")?;
                stream.restart();
                is_alice = true;
            }
            "auth" => stream.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")?,
            _ if !is_alice => return Ok(Some(Condition::NotAuthorized)),
            "message" => println!("{stanza}"),
            "iq" if ["get", "set"].contains(&&*get("type")) => {
                let mut elements = stanza.reader().into_iter().filter_map(|event| match event {
                    Ok(XmlEvent::StartElement { name, .. }) => Some(name.local_name),
                    _ => None,
                });
                let is_bind = elements.nth(1).as_deref() == Some("bind");
                let (kind, payload) = if is_bind { ("result", JID) } else { ("error", NO) };
                stream.send(format!("<iq type='{kind}' id='{}'>{payload}</iq>", get("id")))?;
            }
            _ => {}
        }
    }
}

/// However the session ended, the stream is closed, and what the client has sent by then is still seen.
fn close(session: Result<Option<Condition>, Error>, stream: Stream<TcpStream>) -> Result<(), Error> {
    let mut options = CloseOptions::new();
    if let Ok(Some(condition)) | Err(Error::Malformed(condition)) = session {
        options = options.stream_error(StreamError::new(condition)?);
    }
    let mut closing = stream.begin(&options)?;
    closing.by_ref().for_each(|stanza| println!("late: {stanza}"));
    println!("{}", closing.finish());
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}
