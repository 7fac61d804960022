//! An XMPP server in miniature: a thread for each connection, and streams that are idle are closed by handshake.
//!
//! `cargo run --example idle_server --features batch -- 127.0.0.1:5222 --idle 60`
//!
//! It routes messages and presence between three accounts, alice, bob and carol, and answers what clients ask for when
//! they log in. Each password is "secret" and nothing is stored, so it belongs on a loopback address. With the feature
//! `rustls`, a certificate and its key, it offers STARTTLS as well:
//!
//! `cargo run --example idle_server --features batch,rustls -- --cert cert.pem --key key.pem`
//!
//! Where to look:
//!
//! * `session.rs`: how a session ends;
//! * `closer.rs`: how one thread closes the streams of all sessions;
//! * `sm.rs`: how a client learns what had been handled by then;
//! * `shutdown.rs`: how all streams are closed on SIGTERM.

mod accounts;
mod closer;
mod element;
mod router;
mod session;
mod shutdown;
mod sm;
#[cfg_attr(not(feature = "rustls"), path = "no_tls.rs")]
mod tls;

use std::{
    env, io,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use closer::Closer;
use router::Router;
use session::Session;
use shutdown::Shutdown;
use tls::Tls;
use xmpp_close::{Batch, CloseOptions, Condition, Stream, StreamError};

const DOMAIN: &str = "localhost";
const USAGE: &str = "\
usage: idle_server [ADDRESS:PORT] [OPTION]...   (default: 127.0.0.1:5222 --idle 60)

  --idle SECONDS           close a stream after so long a silence
  --spare ACCOUNT          but never one of this account
  --login SECONDS          close a stream that has bound no resource after so long (default: 60)
  --connections NUMBER     refuse those beyond so many (default: 1000)
  --limit SECONDS          on SIGTERM, be gone after so long (default: 10); a second SIGTERM does not wait
  --spread SECONDS         on SIGTERM, close the streams over so long, and serve the others until then (default: 0)
  --cert FILE --key FILE   offer STARTTLS with this certificate and its key (PEM)";

/// What all connections have in common.
struct Server {
    idle: Duration,
    login: Duration,
    connections: usize,
    connected: AtomicUsize,
    spared: Option<String>,
    tls: Option<Tls>,
    router: Router,
    closer: Closer,
    shutdown: Shutdown,
}

impl Server {
    /// After how long a silence an account's streams are closed.
    fn idle_limit(&self, account: &str) -> Option<Duration> {
        (self.spared.as_deref() != Some(account)).then_some(self.idle)
    }

    /// A session is over. If its stream is to be closed, the stream has been handed over; perhaps it was the last one.
    fn is_left_by(&self, address: &str) {
        self.shutdown.closes(address);
        self.closer.wake();
    }
}

fn main() -> io::Result<()> {
    let mut batch = Batch::new()?;
    let (address, server) = arguments(env::args().skip(1), Closer::new(&batch)).unwrap_or_else(|complaint| {
        eprintln!("{complaint}");
        process::exit(2);
    });
    let server = Arc::new(server);
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    shutdown::on_signals(server.clone())?;
    let acceptor = listener.try_clone()?;
    let accepting = server.clone();
    thread::spawn(move || accept(&acceptor, &accepting));
    // This thread closes what the sessions hand over.
    batch.set(server.closer.options()).map_err(io::Error::other)?;
    while !server.shutdown.has_begun() {
        batch.turn(Duration::MAX)?;
    }
    server.shutdown.run(&server, &mut batch, &listener)
}

/// Serves each connection on a thread of its own, until the server goes down.
fn accept(listener: &TcpListener, server: &Arc<Server>) {
    while !server.shutdown.has_begun() {
        let Ok((tcp, peer)) = listener.accept() else {
            // Out of file descriptors, perhaps; the connections that end will free some.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        let connection = Connection::of(server);
        let thread = thread::Builder::new().spawn(move || connection.serve(tcp, &peer.to_string()));
        // No thread can be had: this connection is dropped, the others live on.
        if let Err(error) = thread {
            println!("{peer}: {error}");
        }
    }
}

/// One of the connections that are there at the same time.
struct Connection {
    server: Arc<Server>,
    number: usize,
}

impl Connection {
    fn of(server: &Arc<Server>) -> Self {
        Self { server: server.clone(), number: server.connected.fetch_add(1, Ordering::SeqCst) + 1 }
    }

    fn serve(self, tcp: TcpStream, peer: &str) {
        if self.number > self.server.connections {
            return refuse(tcp);
        }
        match Session::new(tcp, peer.to_owned(), self.server.clone()) {
            Ok(session) => session.run(),
            Err(error) => println!("{peer}: {error}"),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.server.connected.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Says why the connection is refused, and does not wait for the peer.
fn refuse(tcp: TcpStream) {
    if let Ok(error) = StreamError::new(Condition::ResourceConstraint) {
        let _ = Stream::new(tcp).close(&CloseOptions::new().stream_error(error).total(Duration::ZERO));
    }
}

fn arguments(mut arguments: impl Iterator<Item = String>, closer: Closer) -> Result<(String, Server), String> {
    let mut address = "127.0.0.1:5222".to_owned();
    let (mut idle, mut spared, mut cert, mut key) = (Duration::from_secs(60), None, None, None);
    let (mut limit, mut login, mut connections) = (Duration::from_secs(10), Duration::from_secs(60), 1000);
    let mut spread = Duration::ZERO;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| USAGE.to_owned());
        match argument.as_str() {
            "--idle" => idle = seconds(&value()?).ok_or(USAGE)?,
            "--spare" => spared = Some(value()?),
            "--login" => login = seconds(&value()?).ok_or(USAGE)?,
            "--connections" => connections = value()?.parse().map_err(|_| USAGE)?,
            "--limit" => limit = seconds(&value()?).ok_or(USAGE)?,
            "--spread" => spread = seconds(&value()?).ok_or(USAGE)?,
            "--cert" => cert = Some(PathBuf::from(value()?)),
            "--key" => key = Some(PathBuf::from(value()?)),
            option if option.starts_with('-') => return Err(USAGE.to_owned()),
            _ => address = argument,
        }
    }
    let tls = match (cert, key) {
        (Some(cert), Some(key)) => Some(Tls::load(&cert, &key)?),
        (None, None) => None,
        _ => return Err(USAGE.to_owned()),
    };
    let (router, connected) = (Router::default(), AtomicUsize::new(0));
    let shutdown = Shutdown::new(limit, spread).map_err(|error| error.to_string())?;
    Ok((address, Server { idle, login, connections, connected, spared, tls, router, closer, shutdown }))
}

fn seconds(text: &str) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    (!duration.is_zero()).then_some(duration)
}
