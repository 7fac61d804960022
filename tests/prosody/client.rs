//! A client of the tests: logs in, sends numbered messages, and counts those it gets.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    ops::Range,
};

use xmpp_close::{CloseOptions, Incoming, Outcome, Stanza, Stream};

use crate::{
    login::{self, login},
    prosody::{DOMAIN, PASSWORD, PATIENCE},
    relay,
};

/// The receive buffer of a client whose messages are to wait in the server.
pub const SMALL: usize = 4096;
/// That of any other.
pub const USUAL: usize = 128 * 1024;
/// Messages to send at once.
const BATCH: usize = 100;

pub struct Client {
    pub stream: Stream<TcpStream>,
    /// The same socket, for what the library never does.
    pub raw: TcpStream,
    pings: u32,
}

impl Client {
    /// Logs in and becomes available, so that messages to the account come here.
    pub fn available(addr: SocketAddr, account: &str, receive_buffer: usize) -> Self {
        let (client, stored) = Self::log_in(addr, account, receive_buffer);
        assert!(stored.is_empty(), "{} messages were left by another run", stored.len());
        client
    }

    /// Takes the numbers of what was stored for the account while it was away.
    pub fn take_stored(addr: SocketAddr, account: &str) -> Vec<usize> {
        let (client, stored) = Self::log_in(addr, account, USUAL);
        client.close();
        stored.iter().map(number).collect()
    }

    fn log_in(addr: SocketAddr, account: &str, receive_buffer: usize) -> (Self, Vec<Stanza>) {
        let tcp = relay::connect(addr, receive_buffer);
        let raw = tcp.try_clone().unwrap();
        let session = login(tcp, DOMAIN, account, PASSWORD, PATIENCE).unwrap_or_else(|error| panic!("{error}"));
        assert!(session.jid.starts_with(&format!("{account}@{DOMAIN}/")), "{}", session.jid);
        let mut client = Self { stream: session.stream, raw, pings: 0 };
        client.stream.idle_after(Some(PATIENCE));
        client.stream.send("<presence/>").unwrap();
        let stored = client.ping();
        (client, stored)
    }

    /// Asks the server for a sign of life. When its answer is there, the server has handled all we sent, and the
    /// messages it had for us are there too: they are returned.
    pub fn ping(&mut self) -> Vec<Stanza> {
        self.pings += 1;
        let id = format!("ping{}", self.pings);
        let ping = format!("<iq type='get' to='{DOMAIN}' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>");
        self.stream.send(ping).unwrap();
        let mut messages = Vec::new();
        loop {
            match self.stream.receive().unwrap() {
                Incoming::Stanza(stanza) if stanza.name() == "message" => messages.push(stanza),
                Incoming::Stanza(stanza) if attribute(&stanza, "id").as_ref() == Some(&id) => return messages,
                Incoming::Stanza(_) => {}
                other => panic!("{other:?} instead of the answer to a ping"),
            }
        }
    }

    /// Sends numbered messages with bodies of `size` bytes to an account.
    pub fn send(&mut self, account: &str, numbers: Range<usize>, size: usize) {
        for start in numbers.clone().step_by(BATCH) {
            let batch = start..numbers.end.min(start + BATCH);
            self.stream.send(messages(account, batch, size)).unwrap();
        }
    }

    /// Reads so many messages.
    pub fn read(&mut self, count: usize) -> Vec<usize> {
        let mut read = Vec::new();
        while read.len() < count {
            match self.stream.receive().unwrap() {
                Incoming::Stanza(stanza) if stanza.name() == "message" => read.push(stanza),
                Incoming::Stanza(_) => {}
                other => panic!("{other:?} instead of message {}", read.len()),
            }
        }
        read.iter().map(number).collect()
    }

    /// Closes by handshake when nothing more is expected.
    pub fn close(self) {
        drop(self.raw);
        let report = self.stream.close(&CloseOptions::new()).unwrap();
        assert_eq!(report.outcome, Outcome::Clean, "{report}");
    }

    /// What is usual where a stream has become idle: an error, and close(2).
    pub fn end_the_old_way(mut self, last: &str) {
        drop(self.stream);
        let error = "<stream:error><connection-timeout xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
        self.raw.write_all(format!("{last}{error}</stream:stream>").as_bytes()).unwrap();
    }
}

/// Numbered messages with bodies of `size` bytes to an account.
pub fn messages(account: &str, numbers: Range<usize>, size: usize) -> String {
    let body = "x".repeat(size);
    let message = |n| format!("<message to='{account}@{DOMAIN}' type='chat' id='{n}'><body>{body}</body></message>");
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

fn attribute(stanza: &Stanza, wanted: &str) -> Option<String> {
    login::attributes(stanza).into_iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
}
