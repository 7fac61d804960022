//! The `idle_server` example: idle streams are closed by handshake, and nothing is lost on the way.

#[path = "support/daemon.rs"]
mod daemon;
#[path = "support/example.rs"]
mod example;
#[path = "idle_server/management.rs"]
mod management;
#[path = "clients/server.rs"]
mod server;
#[path = "idle_server/shutdown.rs"]
mod shutdown;
#[path = "idle_server/strangers.rs"]
mod strangers;

use std::{
    io::{self, Read},
    process::{Command, Stdio},
    time::Duration,
};

use server::{Client, PATIENCE, SASL, Server, TAG, numbers, program};

/// A server that closes nothing while a test lasts, unless told so.
fn patient() -> Server {
    Server::start(&["--idle", "3600"])
}

/// Runs the server with arguments that let it do nothing.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(program()).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.stdout, b"");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn late_stanzas_are_processed_in_order_and_nothing_follows_the_tag() {
    let server = Server::start(&["--idle", "1", "--spare", "bob"]);
    let mut alice = Client::alice(&server);
    // Nobody says anything, until the server closes.
    let before = alice.until(TAG);
    assert_eq!(before, TAG, "an idle stream is closed without an error");
    // It waits for our tag, and does not end TCP.
    alice.tcp.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let waiting = alice.tcp.read(&mut [0; 64]).map_err(|error| error.kind());
    assert_eq!(waiting, Err(io::ErrorKind::WouldBlock));
    alice.tcp.set_read_timeout(Some(PATIENCE)).unwrap();

    let mut bob = Client::bob(&server);
    let mut late: String =
        (0..200).map(|n| format!("<message to='bob@localhost' type='chat'><body>{n}</body></message>")).collect();
    // None of these is answered any more: nothing may follow the closing tag.
    late += "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq><message to='nobody@localhost'/>";
    alice.send(&late);
    alice.send(TAG);
    let received = bob.until("<body>199</body>");
    assert_eq!(numbers(&received), (0..200).collect::<Vec<_>>());
    assert!(received.starts_with("<message from='alice@localhost/test' to="), "{received}");
    assert_eq!(alice.rest(), "", "after the server's tag");

    let line = server.report("alice@localhost/test");
    assert!(line.contains("clean") && line.contains("begun by us") && line.contains("202 late stanzas"), "{line}");
}

#[test]
fn a_client_that_closes_first_gets_what_is_owed_and_then_the_tag() {
    let server = patient();
    let mut alice = Client::alice(&server);
    alice.send(&format!("<iq type='get' id='p1'><ping xmlns='urn:xmpp:ping'/></iq>{TAG}"));
    assert_eq!(alice.rest(), format!("<iq type='result' id='p1'></iq>{TAG}"));
    let line = server.report("alice@localhost/test");
    assert!(line.contains("clean") && line.contains("begun by peer"), "{line}");
}

#[test]
fn clients_talk_to_each_other() {
    let server = patient();
    let (mut alice, mut bob) = (Client::alice(&server), Client::bob(&server));
    alice.send("<message to='bob@localhost/test'><body>1</body></message>");
    let got = bob.until("</message>");
    assert_eq!(got, "<message from='alice@localhost/test' to='bob@localhost/test'><body>1</body></message>");
    bob.send("<message to='alice@localhost'><body>2</body></message>");
    let got = alice.until("</message>");
    assert_eq!(got, "<message from='bob@localhost/test' to='alice@localhost'><body>2</body></message>");
    for (mut client, name) in [(alice, "alice"), (bob, "bob")] {
        client.send(TAG);
        assert_eq!(client.rest(), TAG);
        let line = server.report(&format!("{name}@localhost/test"));
        assert!(line.contains("clean"), "{line}");
    }
}

#[test]
fn what_cannot_be_done_is_answered_with_an_error() {
    let server = patient();
    let mut alice = Client::alice(&server);
    for stanza in ["message to='bob@localhost'", "iq type='get'", "iq type='set' to='bob@localhost/test'"] {
        let name = stanza.split(' ').next().unwrap();
        alice.send(&format!("<{stanza} id='x&amp;y'><what xmlns='urn:ever'/></{name}>"));
        let answer = alice.until(&format!("</{name}>"));
        let start = format!("<{name} type='error' id='x&amp;y' ");
        assert!(answer.starts_with(&start) && answer.contains("<service-unavailable "), "{answer}");
    }
    // Neither an error nor a result is answered: the ping's answer is the next to come.
    alice.send("<message type='error' to='bob@localhost'/><iq type='result' id='r'/><presence to='bob@localhost'/>");
    alice.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(alice.until("</iq>"), "<iq type='result' id='p'></iq>");
}

#[test]
fn a_resource_that_is_taken_is_not_given_twice() {
    let server = patient();
    let _alice = Client::alice(&server);
    let (_other, bound) = Client::log_in(&server, "AGFsaWNlAHNlY3JldA==");
    assert!(bound.contains("<jid>alice@localhost/") && !bound.contains("/test<"), "{bound}");
}

#[test]
fn a_wrong_password_or_none_is_refused() {
    let server = patient();
    let mut client = Client::connect(&server);
    client.send(&format!("<auth xmlns='{SASL}' mechanism='PLAIN'>AGFsaWNlAHdyb25n</auth>"));
    let answer = client.until("</failure>");
    assert!(answer.contains("<not-authorized/>"), "{answer}");
    client.send("<message to='bob@localhost'/>");
    let error = client.until(TAG);
    assert!(error.contains("<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"), "{error}");
    client.send(TAG);
    assert_eq!(client.rest(), "");
}

#[test]
fn a_forged_sender_is_a_stream_error() {
    let server = patient();
    let mut alice = Client::alice(&server);
    alice.send("<message from='bob@localhost/test' to='alice@localhost'/>");
    let error = alice.until(TAG);
    assert!(error.starts_with("<stream:error><invalid-from "), "{error}");
}

#[test]
fn a_stanza_that_would_break_the_stream_of_others_is_not_passed_on() {
    let server = patient();
    let mut bob = Client::bob(&server);
    let mut alice = Client::alice(&server);
    alice.send("<message to='bob@localhost'><x:y/></message>");
    let error = alice.until(TAG);
    assert!(error.starts_with("<stream:error><bad-namespace-prefix "), "{error}");
    alice.send(TAG);
    server.report("alice@localhost/test");
    bob.send(TAG);
    assert_eq!(bob.rest(), TAG);
}

#[test]
fn clients_are_told_what_they_ask_for_when_they_log_in() {
    let server = patient();
    let mut alice = Client::alice(&server);
    for (question, answer) in [
        ("session xmlns='urn:ietf:params:xml:ns:xmpp-session'", None),
        ("query xmlns='jabber:iq:roster'", Some("<query xmlns='jabber:iq:roster'/>")),
        ("query xmlns='http://jabber.org/protocol/disco#items'", Some("disco#items'/>")),
        ("query xmlns='http://jabber.org/protocol/disco#info'", Some("<feature var='urn:xmpp:ping'/>")),
    ] {
        alice.send(&format!("<iq type='get' id='q' to='localhost'><{question}/></iq>"));
        let got = alice.until("</iq>");
        assert!(got.starts_with("<iq type='result' id='q' from='localhost'>"), "{got}");
        assert!(got.contains(answer.unwrap_or_default()), "{got}");
    }
}

#[test]
fn presence_comes_and_goes_among_the_resources_of_an_account() {
    let server = patient();
    let mut alice = Client::alice(&server);
    alice.send("<presence/>");
    assert_eq!(alice.until("/>"), "<presence from='alice@localhost/test'/>");
    let (mut other, bound) = Client::log_in(&server, "AGFsaWNlAHNlY3JldA==");
    let jid = bound.split("<jid>").nth(1).unwrap().split('<').next().unwrap();
    other.send("<presence/>");
    assert_eq!(alice.until("/>"), format!("<presence from='{jid}'/>"));
    other.send(TAG);
    assert_eq!(alice.until("/>"), format!("<presence type='unavailable' from='{jid}'/>"));
}

#[test]
fn a_malformed_stream_is_closed_with_an_error_and_the_end() {
    let server = patient();
    let mut alice = Client::alice(&server);
    alice.send("<message></iq><and><more>");
    let error = alice.until(TAG);
    assert!(error.starts_with("<stream:error><not-well-formed "), "{error}");
    assert_eq!(alice.rest(), "", "nothing but the end follows");
    let line = server.report("alice@localhost/test");
    assert!(line.contains("malformed"), "{line}");
}

#[test]
fn without_a_certificate_there_is_no_tls() {
    let server = patient();
    let mut client = Client::connect(&server);
    assert!(!client.features.contains("starttls"), "{}", client.features);
    client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    let error = client.until(TAG);
    assert!(error.starts_with("<stream:error><not-authorized "), "{error}");
}

#[cfg(feature = "rustls")]
#[test]
fn a_failed_tls_handshake_ends_without_a_closing_tag() {
    let home = daemon::Home::new();
    home.make_certificate();
    let [cert, key] = ["cert.pem", "key.pem"].map(|file| home.join(file).display().to_string());
    let server = Server::start(&["--idle", "3600", "--cert", &cert, "--key", &key]);
    let mut client = Client::connect(&server);
    assert!(client.features.contains("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), "{}", client.features);
    client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    client.until("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    client.send("<message to='bob@localhost'/>");
    server.line(": no TLS: ");
    let mut rest = Vec::new();
    // What it had not read may end it with a reset.
    let _ = client.tcp.read_to_end(&mut rest);
    assert!(!rest.contains(&b'<'), "{}", String::from_utf8_lossy(&rest));
}

#[test]
fn an_unknown_option_or_half_a_certificate_is_answered_with_the_usage() {
    for arguments in [&["--bogus"][..], &["--cert", "cert.pem"], &["--idle", "0"], &["--idle"]] {
        let (code, complaint) = run(arguments);
        assert!(code == Some(2) && complaint.starts_with("usage: idle_server "), "{arguments:?}: {complaint}");
    }
}

#[test]
fn a_certificate_that_cannot_be_used_is_a_complaint() {
    let (code, complaint) = run(&["--cert", "/nowhere.pem", "--key", "/nowhere.pem"]);
    let expected = if cfg!(feature = "rustls") { "/nowhere.pem: " } else { "without TLS" };
    assert!(code == Some(2) && complaint.contains(expected), "{complaint}");
}
