//! The same with a real server.

use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    time::{Duration, Instant},
};

use xmpp_close::{CloseOptions, Report};

use crate::{
    Failure,
    login::{self, LoginError},
    timeline::{Entry, Recorder, Timeline},
};

/// What to connect to, and how.
pub struct Target {
    pub host: String,
    pub port: u16,
    pub domain: String,
    /// Name and password of an account.
    pub account: Option<(String, String)>,
    pub half_close: bool,
    /// For opening the stream, and again for closing it.
    pub total: Duration,
}

/// What came of it.
pub struct Probed {
    pub address: SocketAddr,
    pub domain: String,
    /// What the server has bound, after a login.
    pub jid: Option<String>,
    pub report: Report,
    pub timeline: Vec<Entry>,
}

/// Opens a stream, and closes it.
pub fn probe(target: &Target) -> Result<Probed, Failure> {
    let deadline = Instant::now() + target.total;
    let (tcp, address) = connect(target, deadline)?;
    if target.account.is_some() && !address.ip().is_loopback() {
        return Err(Failure::Login(format!("a password is sent in the clear to loopback only, and not to {address}")));
    }
    let timeline = Timeline::new(target.half_close);
    let transport = Recorder::new(tcp, timeline.clone());
    let left = deadline.saturating_duration_since(Instant::now());
    // No presence is sent after a login: the server would hand us messages that are meant for somebody else.
    let opened = match &target.account {
        None => login::open(transport, &target.domain, left).map(|opened| (opened.stream, None)),
        Some((user, password)) => login::login(transport, &target.domain, user, password, left)
            .map(|session| (session.stream, Some(session.jid))),
    };
    let (stream, jid) = opened.map_err(|error| failure(&error, &target.domain))?;
    let options = CloseOptions::new().total(target.total).no_progress(target.total).half_close(target.half_close);
    let report = stream.close(&options).map_err(|error| Failure::Local(error.to_string()))?;
    Ok(Probed { address, domain: target.domain.clone(), jid, report, timeline: timeline.entries() })
}

fn connect(target: &Target, deadline: Instant) -> Result<(TcpStream, SocketAddr), Failure> {
    let Target { host, port, .. } = target;
    let addresses = (host.as_str(), *port)
        .to_socket_addrs()
        .map_err(|error| Failure::Connection(format!("cannot resolve {host}: {error}")))?;
    let mut last = io::Error::other("it has no address");
    for address in addresses {
        // Never zero, which would be an error of another kind.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(tcp) => {
                // The times shown are not to be those of Nagle's algorithm.
                let _ = tcp.set_nodelay(true);
                return Ok((tcp, address));
            }
            Err(error) => last = error,
        }
    }
    Err(Failure::Connection(format!("cannot connect to {host}, port {port}: {last}")))
}

fn failure(error: &LoginError, domain: &str) -> Failure {
    match error {
        LoginError::NoPlain { .. } | LoginError::Refused(_) | LoginError::Bind(_) => Failure::Login(error.to_string()),
        LoginError::StreamError(stream_error) if stream_error.condition() == "host-unknown" => {
            Failure::NotOpened(format!("the server does not know the domain {domain}: try --domain"))
        }
        LoginError::StreamError(_) | LoginError::PeerClosed { .. } => Failure::NotOpened(error.to_string()),
        LoginError::Connection { .. } | LoginError::NotXmpp(_) | LoginError::TimedOut { .. } => {
            Failure::NotXmpp(error.to_string())
        }
    }
}
