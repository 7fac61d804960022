//! A chat client: it sends each line of its input to TO, prints what comes, and closes at the end of its input.
//! `cargo run --example client -- alice@localhost secret bob@localhost 127.0.0.1:5222` (the password goes over TCP as it is)
use std::{env, error::Error, io, net::TcpStream, thread, time::Duration};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use xmpp_close::{CloseOptions, Incoming, Stanza, Stream};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const HEADER: &str = "version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND: &str = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
const LIMIT: Duration = Duration::from_secs(30); // for each answer during the login

fn main() -> Result {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [jid, password, to, address] = &arguments[..] else {
        return Err("usage: client USER@DOMAIN PASSWORD TO HOST:PORT".into());
    };
    let (user, domain) = jid.split_once('@').ok_or("the account is USER@DOMAIN")?;
    let tcp = TcpStream::connect(address)?;
    if !tcp.peer_addr()?.ip().is_loopback() {
        return Err("without TLS, this client connects to loopback addresses only".into());
    }
    let mut stream = Stream::new(tcp);
    let session = log_in(&mut stream, user, domain, password).and_then(|()| chat(&mut stream, to));
    // However the session ended, the stream is closed, and what the server has sent by then is still printed.
    let mut closing = stream.begin(&CloseOptions::new())?;
    closing.by_ref().for_each(|stanza| println!("late: {stanza}"));
    println!("{}", closing.finish());
    session
}

fn log_in(stream: &mut Stream<TcpStream>, user: &str, domain: &str, password: &str) -> Result {
    let header = format!("<?xml version='1.0'?><stream:stream to='{}' {HEADER}>", escape(domain));
    stream.send(&header)?;
    expect(stream, "features")?;
    let token = BASE64_STANDARD.encode(format!("\0{user}\0{password}"));
    stream.send(format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{token}</auth>"))?;
    expect(stream, "success")?;
    stream.restart();
    stream.send(&header)?;
    expect(stream, "features")?;
    stream.send(BIND)?;
    expect(stream, "iq")?;
    Ok(stream.send("<presence/>")?)
}

/// The next stanza, which must have this name.
fn expect(stream: &mut Stream<TcpStream>, name: &str) -> Result<Stanza> {
    match stream.receive_within(LIMIT)? {
        Incoming::Header(_) => expect(stream, name),
        Incoming::Stanza(stanza) if stanza.name() == name => Ok(stanza),
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
    loop {
        match stream.receive()? {
            Incoming::Stanza(stanza) => println!("{stanza}"),
            Incoming::Woken | Incoming::PeerClosed => return Ok(()),
            Incoming::StreamError(error) => return Err(Box::new(error)),
            _ => {}
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}
