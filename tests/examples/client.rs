use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    process::{Command, Output},
    sync::mpsc,
    thread,
};

use xmpp_close::Incoming;

use super::{HEADER, assert_ended, command};
use crate::{
    account::{Client, USUAL},
    daemon::{DOMAIN, PASSWORD},
    peer::{self, Peer, TAG},
    program::Program,
    prosody::Prosody,
};

/// A client with its account, its password, whom it talks to, and its server.
type Start = fn(&str, &str, &str, SocketAddr) -> Command;

/// The client in each language.
const CLIENTS: &[Start] = &[
    |jid, password, to, server| command("client", &[jid, password, to, &server.to_string()]),
    #[cfg(feature = "capi")]
    |jid, password, to, server| in_c(crate::programs::Variant::Sanitized, jid, password, to, server),
    #[cfg(feature = "capi")]
    |jid, password, to, server| in_c(crate::programs::Variant::Valgrind, jid, password, to, server),
];

#[cfg(feature = "capi")]
fn in_c(variant: crate::programs::Variant, jid: &str, password: &str, to: &str, server: SocketAddr) -> Command {
    let mut command = crate::programs::command("client", variant);
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    command.args([&host, &port, jid, password, to]).stdin(std::process::Stdio::piped());
    command
}

/// Lets a client in.
fn log_in(peer: &mut Peer) {
    log_in_until_bind(peer);
    peer.send("<iq type='result' id='1'/>").read_until("<presence/>");
}

fn log_in_until_bind(peer: &mut Peer) {
    peer.read_until("streams'>").send(format!("{HEADER}<stream:features/>"));
    peer.read_until(">AGFsaWNlAHNlY3JldA==</auth>").send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    peer.read_until("streams'>").send(format!("{HEADER}<stream:features/>"));
    peer.read_until("</iq>");
}

#[test]
fn what_comes_before_and_behind_our_tag_is_printed_and_the_tag_is_the_last_word() {
    CLIENTS.iter().for_each(|client| all_is_printed(*client));
}

fn all_is_printed(client: Start) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (is_in, logged_in) = mpsc::channel();
    let peer = thread::spawn(move || {
        let tcp = listener.accept().unwrap().0;
        tcp.set_read_timeout(Some(peer::PATIENCE)).unwrap();
        let script = move |mut peer: Peer| {
            log_in(&mut peer);
            peer.send("<message><body>early</body></message>");
            is_in.send(()).unwrap();
            peer.read_tag();
            let message = "<message type='chat' to='bob@localhost'><body>you &amp; &lt;me></body></message>";
            assert!(peer.text().ends_with(&format!("{message}{TAG}")), "{}", peer.text());
            peer.send(format!("<message><body>late</body></message>{TAG}")).expect_eof();
            assert_eq!(peer.tags(), 1);
        };
        peer::peer(tcp, script).join().unwrap();
    });
    let mut client = Program::spawn("client", client("alice@localhost", "secret", "bob@localhost", address));
    logged_in.recv().unwrap();
    client.wait_for("a message", |line| line == "<message><body>early</body></message>");
    let mut input = client.child.stdin.take().unwrap();
    input.write_all(b"you & <me>\n").unwrap();
    drop(input); // the end, at which the client closes
    let lines = client.finish();
    assert!(lines.contains(&"late: <message><body>late</body></message>".to_owned()), "{lines:#?}");
    assert_ended(&lines, &["clean", "begun by us"]);
    peer.join().unwrap();
}

/// What the client in Rust prints when the server answers its bind so.
fn output_of(answer: &'static str, then: impl FnOnce(&mut Peer) + Send + 'static) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let peer = thread::spawn(move || {
        let tcp = listener.accept().unwrap().0;
        tcp.set_read_timeout(Some(peer::PATIENCE)).unwrap();
        let script = move |mut peer: Peer| {
            log_in_until_bind(&mut peer);
            then(peer.send(answer));
        };
        peer::peer(tcp, script).join().unwrap();
    });
    let output = command("client", &["alice@localhost", "secret", "bob@localhost", &address.to_string()]).output();
    peer.join().unwrap();
    output.unwrap()
}

#[test]
fn an_iq_of_type_error_is_no_login() {
    let output = output_of("<iq type='error' id='1'/>", |peer| peer.read_tag().send(TAG).expect_eof());
    let [said, complained] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(complained.contains("type='error'"), "{complained}");
    assert_ended(&[said], &["clean", "begun by us"]);
}

#[test]
fn after_a_login_that_failed_a_server_that_is_silent_is_not_waited_for_long() {
    let output = output_of("<iq type='error' id='1'/>", |peer| peer.read_tag().expect_eof());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_ended(std::slice::from_ref(&said), &["timed-out", "begun by us", "the total limit ended it"]);
    let waited: u64 = said.trim_end().rsplit(' ').nth(1).unwrap().parse().unwrap();
    assert!(waited < 20_000, "{said}");
}

#[test]
fn it_talks_over_prosody() {
    let server = Prosody::start();
    let mut bob = Client::available(server.addr, "bob", USUAL);
    for client in CLIENTS {
        let command = client(&format!("alice@{DOMAIN}"), PASSWORD, &format!("bob@{DOMAIN}"), server.addr);
        let mut client = Program::spawn("client", command);
        client.child.stdin.take().unwrap().write_all(b"0\n1\n2\n").unwrap();
        assert_ended(&client.finish(), &["clean", "begun by us"]);
        let mut bodies = Vec::new();
        while bodies.len() < 3 {
            if let Incoming::Stanza(stanza) = bob.stream.receive().unwrap() {
                bodies.extend(stanza.as_str().split("<body>").nth(1).map(|rest| rest[..1].to_owned()));
            }
        }
        assert_eq!(bodies, ["0", "1", "2"]);
    }
    bob.close();
}

#[test]
fn a_login_that_fails_is_closed_as_well() {
    let server = Prosody::start();
    for client in CLIENTS {
        let output = client(&format!("alice@{DOMAIN}"), "wrong", "bob@localhost", server.addr).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let [said, complained] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(complained.contains("not-authorized"), "{complained}");
        assert_ended(&[said], &["clean", "begun by us"]);
    }
}
