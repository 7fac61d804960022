//! A chat client: it sends each line of its input to TO, prints what comes, and closes at the end of its input.
//! `cargo run --example client -- alice@localhost secret bob@localhost 127.0.0.1:5222` (the password goes over TCP as it is)
use std::{env, error::Error, io, net::TcpStream, thread, time::Duration};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use xmpp_close::{CloseOptions, Incoming, Stream};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const HEADER: &str = "version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
const LIMIT: Duration = Duration::from_secs(30); // for each answer during the login

fn main() -> Result {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [jid, secret, to, address] = &arguments[..] else { return Err("usage: client JID SECRET TO HOST:PORT".into()) };
    let (user, domain) = jid.split_once('@').ok_or("the account is USER@DOMAIN")?;
    let tcp = TcpStream::connect(address)?;
    if !tcp.peer_addr()?.ip().is_loopback() {
        return Err("without TLS, this client connects to loopback addresses only".into());
    }
    let mut stream = Stream::new(tcp);
    let session = log_in(&mut stream, user, domain, secret).and_then(|()| chat(&mut stream, to));
    // However the session ended, the stream is closed, and what the server has sent by then is still printed.
    let total = Duration::from_secs(if session.is_ok() { 30 } else { 3 }); // after an error, an answer is unlikely
    let mut closing = stream.begin(&CloseOptions::new().total(total))?;
    closing.by_ref().for_each(|stanza| println!("late: {stanza}"));
    println!("{}", closing.finish());
    session
}

fn log_in(stream: &mut Stream<TcpStream>, user: &str, domain: &str, password: &str) -> Result {
    let header = format!("<?xml version='1.0'?><stream:stream to='{}' {HEADER}>", escape(domain));
    stream.send(&header)?;
    expect(stream, "features", None)?;
    let token = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
    stream.send(format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{token}</auth>"))?;
    expect(stream, "success", None)?;
    stream.restart();
    stream.send(&header)?;
    expect(stream, "features", None)?;
    stream.send("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")?;
    expect(stream, "iq", Some("result"))?;
    Ok(stream.send("<presence/>")?)
}

/// Reads the next stanza, which must have this name and this type.
fn expect(stream: &mut Stream<TcpStream>, name: &str, kind: Option<&str>) -> Result {
    match stream.receive_within(LIMIT)? {
        Incoming::Header(_) => expect(stream, name, kind),
        Incoming::Stanza(stanza) if stanza.name() == name && stanza.attribute("type").as_deref() == kind => Ok(()),
        other => Err(format!("instead of <{name}/> came {other:?}").into()),
    }
}

fn chat(stream: &mut Stream<TcpStream>, to: &str) -> Result {
    let (sender, waker, to) = (stream.sender()?, stream.waker()?, escape(to));
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(|line| line.ok()) {
            let message = format!("<message type='chat' to='{to}'><body>{}</body></message>", escape(&line));
            let Ok(()) = sender.send(message) else { return }; // the stream is being closed
        }
        waker.wake();
    });
    let mut limit = Duration::MAX;
    loop {
        match stream.receive_within(limit)? {
            Incoming::Stanza(stanza) => println!("{stanza}"), // who answers iqs does so here
            Incoming::Woken => limit = Duration::ZERO,        // first what has arrived
            Incoming::TimedOut | Incoming::PeerClosed => return Ok(()),
            Incoming::StreamError(error) => return Err(Box::new(error)),
            _ => {}
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}
