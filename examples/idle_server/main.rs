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
//! How a stream is closed is in `session.rs`; in `sm.rs`, how a client learns what had been handled by then; and in
//! `shutdown.rs`, how all of them are closed at once on SIGTERM.

mod accounts;
mod element;
mod router;
mod session;
mod shutdown;
mod sm;
#[cfg_attr(not(feature = "rustls"), path = "no_tls.rs")]
mod tls;

use std::{
    env, io,
    net::TcpListener,
    path::PathBuf,
    process,
    sync::{Arc, mpsc::Sender},
    thread,
    time::Duration,
};

use router::Router;
use session::Session;
use shutdown::{Leaving, Shutdown};
use tls::Tls;

const DOMAIN: &str = "localhost";
const USAGE: &str = "\
usage: idle_server [ADDRESS:PORT] [OPTION]...   (default: 127.0.0.1:5222 --idle 60)

  --idle SECONDS           close a stream after so long a silence
  --spare ACCOUNT          but never one of this account
  --limit SECONDS          on SIGTERM, be gone after so long (default: 10); a second SIGTERM does not wait
  --cert FILE --key FILE   offer STARTTLS with this certificate and its key (PEM)";

/// What all connections have in common.
struct Server {
    idle: Duration,
    spared: Option<String>,
    tls: Option<Tls>,
    router: Router,
    shutdown: Shutdown,
}

impl Server {
    /// After how long a silence an account's streams are closed.
    fn idle_limit(&self, account: &str) -> Option<Duration> {
        (self.spared.as_deref() != Some(account)).then_some(self.idle)
    }
}

fn main() -> io::Result<()> {
    let (address, server) = arguments(env::args().skip(1)).unwrap_or_else(|complaint| {
        eprintln!("{complaint}");
        process::exit(2);
    });
    let server = Arc::new(server);
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    let signals = shutdown::signals()?;
    let (leaving, left) = shutdown::channel();
    let acceptor = listener.try_clone()?;
    let accepting = server.clone();
    thread::spawn(move || accept(&acceptor, &accepting, &leaving));
    signals.wait();
    server.shutdown.run(&listener, left, &signals)
}

/// Serves each connection on a thread of its own, until the server goes down.
fn accept(listener: &TcpListener, server: &Arc<Server>, leaving: &Sender<Leaving>) {
    while !server.shutdown.has_begun() {
        let Ok((tcp, peer)) = listener.accept() else {
            // Out of file descriptors, perhaps; the connections that end will free some.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        let (server, leaving) = (server.clone(), leaving.clone());
        thread::spawn(move || match Session::new(tcp, peer.to_string(), server, leaving) {
            Ok(session) => session.run(),
            Err(error) => println!("{peer}: {error}"),
        });
    }
}

fn arguments(mut arguments: impl Iterator<Item = String>) -> Result<(String, Server), String> {
    let mut address = "127.0.0.1:5222".to_owned();
    let (mut idle, mut spared, mut cert, mut key) = (Duration::from_secs(60), None, None, None);
    let mut limit = Duration::from_secs(10);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| USAGE.to_owned());
        match argument.as_str() {
            "--idle" => idle = seconds(&value()?).ok_or(USAGE)?,
            "--spare" => spared = Some(value()?),
            "--limit" => limit = seconds(&value()?).ok_or(USAGE)?,
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
    Ok((address, Server { idle, spared, tls, router: Router::default(), shutdown: Shutdown::new(limit) }))
}

fn seconds(text: &str) -> Option<Duration> {
    let duration = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    (!duration.is_zero()).then_some(duration)
}
