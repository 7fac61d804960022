//! STARTTLS with the `native-tls` crate. It trusts the system's certificates, or where it runs on OpenSSL those in
//! $SSL_CERT_FILE: `cargo run -p tls-tests --example starttls_native -- example.org example.org:5222`
//!
//! native-tls returns 0 bytes both for the peer's `close_notify` and for the end of TCP without one, which an attacker can
//! bring about. Therefore the report never says that `close_notify` was received, and an end of TLS before the peer's closing
//! tag is always `truncated`, never `peer-eof`. A close with both closing tags is as clean as with any other crate.
mod native_session;

use std::{env, error::Error, net::TcpStream, time::Duration};

use native_session::NativeSession;
use native_tls::TlsConnector;
use xmpp_close::{CloseOptions, Incoming, Stream, Transport, over};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const HEADER: &str = "version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
const LIMIT: Duration = Duration::from_secs(30); // for each answer

fn main() -> Result {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [domain, address] = &arguments[..] else { return Err("usage: starttls_native DOMAIN HOST:PORT".into()) };
    let mut stream = Stream::new(TcpStream::connect(address)?);
    open(&mut stream, domain)?;
    stream.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")?;
    expect(&mut stream, "proceed")?;
    let mut stream = stream.upgrade(|tcp| encrypt(tcp, domain))?;
    let session = open(&mut stream, domain);
    // The login would follow here, as in the example `client`. However the session ends, the stream is closed: both closing
    // tags come first, then both alerts, then the end of TCP.
    let mut closing = stream.begin(&CloseOptions::new())?;
    closing.by_ref().for_each(|stanza| println!("late: {stanza}"));
    let report = closing.finish();
    println!("{report}");
    println!("close_notify sent: {}, received: {}", report.tls.sent, report.tls.received);
    session
}

/// The TLS handshake; the certificate must be for the domain.
fn encrypt(tcp: TcpStream, domain: &str) -> Result<impl Transport + use<>> {
    tcp.set_nonblocking(false)?; // this handshake blocks, and on Windows a `Stream` leaves its socket non-blocking
    let session = TlsConnector::new()?.connect(domain, tcp.try_clone()?)?;
    Ok(over(NativeSession(session), tcp)?)
}

fn open(stream: &mut Stream<impl Transport>, domain: &str) -> Result {
    stream.send(format!("<?xml version='1.0'?><stream:stream to='{domain}' {HEADER}>"))?;
    expect(stream, "features")
}

/// Reads the next stanza, which must have this name.
fn expect(stream: &mut Stream<impl Transport>, name: &str) -> Result {
    match stream.receive_within(LIMIT)? {
        Incoming::Header(_) => expect(stream, name),
        Incoming::Stanza(stanza) if stanza.name() == name => Ok(()),
        other => Err(format!("instead of <{name}/> came {other:?}").into()),
    }
}
