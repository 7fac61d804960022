//! The server ends the stream: because an administrator says so, because another client takes the resource, because it
//! shuts down, or because it has heard nothing from us for too long.

use std::io::ErrorKind;

use xmpp_close::{Error, Incoming, Transport};

use crate::{
    client::{Client, Connect, Plain, SMALL, USUAL, messages, number},
    fate::{self, Got},
    matrix::{Run, Situation, Way},
    ours::{ALL, BODY, READ, end},
    party::{Account, Party, bob, log_in},
    servers::Server,
    session::take_resource,
};

/// What we owe bob when the server ends the stream.
const OWED: usize = 50;
const OWED_BODY: usize = 100;

/// Ends alice's stream from the server's side; false when the server has no such way.
fn trigger(server: &mut dyn Server, situation: Situation, jid: &str) -> bool {
    match situation {
        Situation::Kicked => server.kick("alice"),
        Situation::KickedWithError => server.kick_with_error("alice"),
        Situation::Replaced => {
            take_resource(server, jid);
            true
        }
        Situation::Stopped | Situation::StoppedWaiting => {
            server.terminate();
            true
        }
        // We say nothing, and do not answer pings.
        Situation::Silent => true,
        _ => unreachable!("not the server's doing"),
    }
}

/// The stream of an idle client is ended; `None` when this server has no such way.
pub fn ended<C: Connect>(party: &Account<C>, server: &mut dyn Server, situation: Situation, way: Way) -> Option<Run> {
    if situation == Situation::Silent && !server.end_silent_streams() {
        return None;
    }
    let mut client = party.enter(server, USUAL);
    if !trigger(server, situation, &client.jid) {
        client.close();
        server.wait_for_clients(0);
        return None;
    }
    let sent = match way {
        Way::Unread => {
            // Something has come, and we do not know what yet.
            client.raw.peek(&mut [0]).unwrap();
            // Whether the connection still takes it is up to the server.
            let _ = client.stream.send(messages("bob", 0..OWED, OWED_BODY));
            OWED
        }
        _ => answer(&mut client),
    };
    let (late, report) = end(client, way, "");
    assert!(late.is_empty());
    if situation == Situation::Stopped {
        server.restart();
    }
    server.wait_for_clients(0);
    // Bob was away all the time, so what got through is stored for him.
    let (bob, stored) = log_in(&Plain, server, "bob", USUAL);
    bob.close();
    server.wait_for_clients(0);
    let stored: Vec<_> = stored.iter().map(number).collect();
    let ours = (sent > 0).then(|| fate::not_delivered(sent, &stored));
    Some(Run { report, fate: None, ours })
}

/// Reads until the server ends the stream, and sends what is owed where that is still allowed.
fn answer<T: Transport>(client: &mut Client<T>) -> usize {
    let (_, may_send) = read_on(client);
    if !may_send {
        return 0;
    }
    client.send("bob", 0..OWED, OWED_BODY);
    OWED
}

/// Reads to the end of the server's stream; true when it was a closing tag without an error, after which we may still
/// send what we owe (RFC 6120 sections 4.4 and 4.9.1.1).
fn read_on<T: Transport>(client: &mut Client<T>) -> (Vec<usize>, bool) {
    let mut messages = Vec::new();
    loop {
        match client.stream.receive() {
            Ok(Incoming::Stanza(stanza)) if stanza.name() == "message" => messages.push(number(&stanza)),
            Ok(Incoming::Stanza(_)) => {}
            Ok(Incoming::PeerClosed) => return (messages, true),
            Ok(Incoming::StreamError(_)) => return (messages, false),
            Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return (messages, false);
            }
            other => panic!("{other:?} instead of an end"),
        }
    }
}

/// The server shuts down while messages wait in it for a client that reads slowly.
pub fn stopped_waiting<C: Connect>(party: &Account<C>, server: &mut dyn Server, loss_expected: bool) -> Run {
    let mut client = party.enter(server, SMALL);
    let mut bob = bob(server);
    let address = party.address();
    bob.send_to(&address, 0..ALL, BODY);
    assert!(bob.ping().is_empty(), "all is routed, and nothing came back");
    assert_eq!(client.read(READ), Vec::from_iter(0..READ));
    trigger(server, Situation::StoppedWaiting, &client.jid);
    let (mut late, _) = read_on(&mut client);
    let (rest, report) = end(client, Way::Answer, "");
    late.extend(rest);
    drop(bob);
    server.restart();
    let mut bob = self::bob(server);
    let fate = fate::of_messages(party, server, (ALL, READ, &late), &mut bob, &mut Got::default(), loss_expected);
    bob.close();
    server.wait_for_clients(0);
    Run { report, fate: Some(fate), ours: None }
}
