//! Who takes part: alice's client or an external component, whose stream is ended, and bob, who sends to it.

use std::{
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use xmpp_close::{Incoming, Stanza, Transport};

use crate::{
    client::{Client, Connect, Plain, USUAL, connect, number},
    daemon::{COMPONENT, DOMAIN, PATIENCE},
    servers::Server,
    session::open_component,
};

/// Whose stream is ended.
pub trait Party {
    type Transport: Transport;
    /// What its streams run over.
    const LINK: &'static str;

    /// Opens a stream on which messages come.
    fn enter(&self, server: &dyn Server, receive_buffer: usize) -> Client<Self::Transport>;

    /// The address to which messages for this party are sent.
    fn address(&self) -> String;

    /// The numbers of the messages that were kept for it, which come one after the other within `quiet`.
    fn fetch_stored(&self, server: &dyn Server, wanted: usize, quiet: Duration) -> Vec<usize>;
}

/// The client of the account alice.
pub struct Account<C>(pub C);

impl<C: Connect> Party for Account<C> {
    type Transport = C::Transport;
    const LINK: &'static str = C::NAME;

    fn enter(&self, server: &dyn Server, receive_buffer: usize) -> Client<C::Transport> {
        let (client, stored) = log_in(&self.0, server, "alice", receive_buffer);
        assert!(stored.is_empty(), "{} messages were left by another run", stored.len());
        client
    }

    fn address(&self) -> String {
        format!("alice@{DOMAIN}")
    }

    fn fetch_stored(&self, server: &dyn Server, wanted: usize, quiet: Duration) -> Vec<usize> {
        let (mut client, stored) = log_in(&Plain, server, "alice", USUAL);
        let mut stored: Vec<_> = stored.iter().map(number).collect();
        while stored.len() < wanted {
            match client.stream.receive_within(quiet).unwrap() {
                Incoming::Idle | Incoming::TimedOut => break,
                Incoming::Stanza(stanza) if stanza.name() == "message" => stored.push(number(&stanza)),
                _ => {}
            }
        }
        client.close();
        stored
    }
}

/// An external component (XEP-0114).
pub struct Component;

impl Party for Component {
    type Transport = TcpStream;
    const LINK: &'static str = "component";

    fn enter(&self, server: &dyn Server, receive_buffer: usize) -> Client {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let tcp = connect(server.component(), receive_buffer);
            let raw = tcp.try_clone().unwrap();
            match open_component(tcp) {
                Ok(stream) => return Client::new(stream, raw, COMPONENT.into()),
                // It may take the server a moment to see that its predecessor has gone.
                Err(why) => assert!(Instant::now() < deadline, "no component: {why}"),
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn address(&self) -> String {
        COMPONENT.into()
    }

    fn fetch_stored(&self, _: &dyn Server, _: usize, _: Duration) -> Vec<usize> {
        Vec::new()
    }
}

/// Bob's client, in plaintext: its stream is not the one that is looked at.
pub fn bob(server: &dyn Server) -> Client {
    let (client, stored) = log_in(&Plain, server, "bob", USUAL);
    assert!(stored.is_empty(), "{} messages were left by another run", stored.len());
    client
}

pub fn log_in<C: Connect>(
    how: &C,
    server: &dyn Server,
    account: &str,
    receive_buffer: usize,
) -> (Client<C::Transport>, Vec<Stanza>) {
    // jabberd2 2.7.0 ends a new stream with an error that was meant for an older one on the same file descriptor.
    let mut tries = if server.package() == "jabberd2" { 20 } else { 1 };
    loop {
        tries -= 1;
        match Client::log_in(how, server.c2s(), account, receive_buffer) {
            Ok(entered) => return entered,
            Err(why) => assert!(tries > 0, "{account} cannot log in: {why}"),
        }
    }
}
