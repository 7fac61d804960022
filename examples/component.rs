//! A component (XEP-0114): it answers pings, prints messages, and closes on SIGTERM.
//! `cargo run --example component -- echo.localhost secret 127.0.0.1:5347`
use std::{env, error::Error, net::TcpStream, thread, time::Duration};

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY as SHA1, digest};
use signal_hook::{consts::SIGTERM, iterator::Signals};
use xmpp_close::{CloseOptions, Incoming, Stanza, Stream, xml::Header, xml::XmlEvent};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const HEADER: &str = "xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'";
const NO: &str = "<error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
const LIMIT: Duration = Duration::from_secs(30); // for each answer during the login

fn main() -> Result {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [name, secret, address] = &arguments[..] else { return Err("usage: component NAME SECRET HOST:PORT".into()) };
    let mut stream = Stream::new(TcpStream::connect(address)?);
    let (waker, mut signals) = (stream.waker()?, Signals::new([SIGTERM])?);
    thread::spawn(move || signals.forever().for_each(|_| waker.wake()));
    let session = log_in(&mut stream, name, secret).and_then(|()| serve(&mut stream));
    // However the session ended, the stream is closed, and what the server has sent by then is still printed. Behind our
    // closing tag nothing can be answered.
    let mut closing = stream.begin(&CloseOptions::new())?;
    closing.by_ref().for_each(|stanza| println!("late: {stanza}"));
    println!("{}", closing.finish());
    session
}

fn log_in(stream: &mut Stream<TcpStream>, name: &str, secret: &str) -> Result {
    stream.send(format!("<?xml version='1.0'?><stream:stream to='{}' {HEADER}>", escape(name)))?;
    let Incoming::Header(header) = stream.receive_within(LIMIT)? else { return Err("no stream header came".into()) };
    let id = Header::parse(&header)?.id.unwrap_or_default();
    let hash = digest(&SHA1, format!("{id}{secret}").as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    stream.send(format!("<handshake>{hash}</handshake>"))?;
    match stream.receive_within(LIMIT)? {
        Incoming::Stanza(stanza) if stanza.name() == "handshake" => Ok(()),
        other => Err(format!("instead of <handshake/> came {other:?}").into()),
    }
}

fn serve(stream: &mut Stream<TcpStream>) -> Result {
    println!("logged in");
    let mut limit = Duration::MAX;
    loop {
        match stream.receive_within(limit)? {
            Incoming::Stanza(stanza) => handle(stream, &stanza)?,
            // SIGTERM: first, what has arrived is answered.
            Incoming::Woken => limit = Duration::ZERO,
            Incoming::TimedOut | Incoming::PeerClosed => return Ok(()),
            Incoming::StreamError(error) => return Err(Box::new(error)),
            _ => {}
        }
    }
}

fn handle(stream: &mut Stream<TcpStream>, stanza: &Stanza) -> Result {
    let get = |name| escape(&stanza.attribute(name).unwrap_or_default());
    if stanza.name() == "iq" && ["get", "set"].contains(&&*get("type")) {
        let mut elements = stanza.reader().into_iter().filter_map(|event| match event {
            Ok(XmlEvent::StartElement { name, .. }) => Some(name),
            _ => None,
        });
        let is_ping = elements.nth(1).is_some_and(|child| child.namespace_ref() == Some("urn:xmpp:ping"));
        let (kind, payload) = if is_ping { ("result", "") } else { ("error", NO) };
        let [id, from, to] = ["id", "to", "from"].map(get);
        stream.send(format!("<iq type='{kind}' id='{id}' from='{from}' to='{to}'>{payload}</iq>"))?;
    } else if stanza.name() == "message" {
        println!("{stanza}");
    }
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}
