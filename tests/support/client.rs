//! A client of the tests: logs in, sends numbered messages, and counts those that it gets.
#![allow(dead_code, reason = "each test program uses its part")]

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    ops::Range,
};

use socket2::{Domain, Socket, Type};
use xmpp_close::{CloseOptions, Incoming, Outcome, Stanza, Stream, Transport};

use crate::{
    daemon::{DOMAIN, PASSWORD, PATIENCE},
    login::{self, Session, login},
};

/// The receive buffer of a client whose messages are to wait in the server.
pub const SMALL: usize = 4096;
/// The receive buffer of any other client.
pub const USUAL: usize = 128 * 1024;
/// What most software sends when a stream has become idle, before close(2).
pub const IDLE_ERROR: &str =
    "<stream:error><connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
/// Messages to send at once.
const BATCH: usize = 100;

/// How a client gets from a TCP connection to a session.
pub trait Connect {
    type Transport: Transport;
    const NAME: &'static str;

    fn log_in(&self, tcp: TcpStream, account: &str) -> Result<Session<Self::Transport>, String>;
}

/// Without TLS.
pub struct Plain;

impl Connect for Plain {
    type Transport = TcpStream;
    const NAME: &'static str = "plain";

    fn log_in(&self, tcp: TcpStream, account: &str) -> Result<Session<TcpStream>, String> {
        login(tcp, DOMAIN, account, PASSWORD, PATIENCE).map_err(|error| error.to_string())
    }
}

pub struct Client<T: Transport = TcpStream> {
    pub stream: Stream<T>,
    /// The same socket, so that a test can do what the library never does.
    pub raw: TcpStream,
    pub jid: String,
    pings: u32,
}

impl Client {
    /// Logs in and becomes available, so that messages to the account come here.
    pub fn available(addr: SocketAddr, account: &str, receive_buffer: usize) -> Self {
        let (client, stored) = Self::log_in(&Plain, addr, account, receive_buffer).unwrap();
        assert!(stored.is_empty(), "{} messages were left by another run", stored.len());
        client
    }

    /// Takes the numbers of what was stored for the account while it was away.
    pub fn take_stored(addr: SocketAddr, account: &str) -> Vec<usize> {
        let (client, stored) = Self::log_in(&Plain, addr, account, USUAL).unwrap();
        client.close();
        stored.iter().map(number).collect()
    }

    /// What is usual where a stream has become idle: an error, and close(2).
    pub fn end_the_old_way(mut self, last: &str) {
        drop(self.stream);
        self.raw.write_all(format!("{last}{IDLE_ERROR}</stream:stream>").as_bytes()).unwrap();
    }
}

impl<T: Transport> Client<T> {
    /// Logs in and becomes available; what had been stored for the account comes with it.
    pub fn log_in(
        how: &impl Connect<Transport = T>,
        addr: SocketAddr,
        account: &str,
        receive_buffer: usize,
    ) -> Result<(Self, Vec<Stanza>), String> {
        let tcp = connect(addr, receive_buffer);
        let raw = tcp.try_clone().unwrap();
        let session = how.log_in(tcp, account)?;
        assert!(session.jid.starts_with(&format!("{account}@{DOMAIN}/")), "{}", session.jid);
        let mut client = Self::new(session.stream, raw, session.jid);
        client.stream.send("<presence/>").map_err(|error| error.to_string())?;
        let stored = client.try_ping()?;
        Ok((client, stored))
    }

    /// A client whose stream is open already.
    pub fn new(mut stream: Stream<T>, raw: TcpStream, jid: String) -> Self {
        stream.idle_after(Some(PATIENCE));
        Self { stream, raw, jid, pings: 0 }
    }

    /// Pings the server. When the answer is there, the server has handled all we sent, and the
    /// messages it had for us are there too: they are returned.
    pub fn ping(&mut self) -> Vec<Stanza> {
        self.try_ping().unwrap_or_else(|error| panic!("{error} instead of the answer to a ping"))
    }

    fn try_ping(&mut self) -> Result<Vec<Stanza>, String> {
        self.pings += 1;
        let id = format!("ping{}", self.pings);
        let ping = format!("<iq type='get' to='{DOMAIN}' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>");
        self.stream.send(ping).map_err(|error| error.to_string())?;
        let mut messages = Vec::new();
        loop {
            match self.stream.receive().map_err(|error| error.to_string())? {
                Incoming::Stanza(stanza) if stanza.name() == "message" => messages.push(stanza),
                Incoming::Stanza(stanza) if attribute(&stanza, "id").as_ref() == Some(&id) => return Ok(messages),
                Incoming::Stanza(_) => {}
                other => return Err(format!("{other:?}")),
            }
        }
    }

    /// Sends numbered messages with bodies of `size` bytes to an account.
    pub fn send(&mut self, account: &str, numbers: Range<usize>, size: usize) {
        self.send_to(&format!("{account}@{DOMAIN}"), numbers, size);
    }

    /// Sends to any address.
    pub fn send_to(&mut self, jid: &str, numbers: Range<usize>, size: usize) {
        for start in numbers.clone().step_by(BATCH) {
            let batch = start..numbers.end.min(start + BATCH);
            self.stream.send(numbered(&format!("to='{jid}'"), batch, size)).unwrap();
        }
    }

    /// Reads so many messages.
    pub fn read(&mut self, count: usize) -> Vec<usize> {
        (0..count).map(|_| self.read_message(|_| ())).collect()
    }

    /// Reads up to the next message; shows each stanza on the way.
    pub fn read_message(&mut self, mut show: impl FnMut(&Stanza)) -> usize {
        loop {
            match self.stream.receive().unwrap() {
                Incoming::Stanza(stanza) => {
                    show(&stanza);
                    if stanza.name() == "message" {
                        return number(&stanza);
                    }
                }
                other => panic!("{other:?} instead of a message"),
            }
        }
    }

    /// Closes by handshake when nothing more is expected.
    pub fn close(self) {
        drop(self.raw);
        let report = self.stream.close(&CloseOptions::new()).unwrap();
        assert_eq!(report.outcome, Outcome::Clean, "{report}");
    }
}

/// A connection whose receive buffer is set before the handshake, so that the window never was larger.
pub fn connect(addr: SocketAddr, receive_buffer: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(receive_buffer).unwrap();
    socket.connect(&addr.into()).unwrap();
    socket.into()
}

/// Numbered messages with bodies of `size` bytes to an account.
pub fn messages(account: &str, numbers: Range<usize>, size: usize) -> String {
    numbered(&format!("to='{account}@{DOMAIN}'"), numbers, size)
}

/// A message with other attributes.
pub fn numbered(attributes: &str, numbers: Range<usize>, size: usize) -> String {
    let body = "x".repeat(size);
    let message = |n| format!("<message {attributes} type='chat' id='{n}'><body>{body}</body></message>");
    numbers.map(message).collect()
}

/// The number of one of our messages.
pub fn number(message: &Stanza) -> usize {
    let id = attribute(message, "id").unwrap_or_default();
    id.parse().unwrap_or_else(|_| panic!("not a numbered message: {message}"))
}

/// Whether the server sent one of our messages back.
pub fn is_bounce(message: &Stanza) -> bool {
    attribute(message, "type").as_deref() == Some("error")
}

pub fn attribute(stanza: &Stanza, wanted: &str) -> Option<String> {
    login::attributes(stanza).into_iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}
