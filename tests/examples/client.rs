use std::{io::Write, net::TcpListener, sync::mpsc, thread};

use xmpp_close::Incoming;

use super::{HEADER, assert_ended, example, start};
use crate::{
    account::{Client, USUAL},
    daemon::{DOMAIN, PASSWORD},
    peer::{self, Peer, TAG},
    prosody::Prosody,
};

/// Lets a client in.
fn log_in(peer: &mut Peer) {
    peer.read_until("streams'>").send(format!("{HEADER}<stream:features/>"));
    peer.read_until(">AGFsaWNlAHNlY3JldA==</auth>").send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    peer.read_until("streams'>").send(format!("{HEADER}<stream:features/>"));
    peer.read_until("</iq>").send("<iq type='result' id='1'/>").read_until("<presence/>");
}

#[test]
fn what_comes_before_and_behind_our_tag_is_printed_and_the_tag_is_the_last_word() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
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
    let mut client = start("client", &["alice@localhost", "secret", "bob@localhost", &address]);
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

#[test]
fn it_talks_over_prosody() {
    let server = Prosody::start();
    let mut bob = Client::available(server.addr, "bob", USUAL);
    let to = format!("bob@{DOMAIN}");
    let mut client = start("client", &[&format!("alice@{DOMAIN}"), PASSWORD, &to, &server.addr.to_string()]);
    client.child.stdin.take().unwrap().write_all(b"0\n1\n2\n").unwrap();
    assert_ended(&client.finish(), &["clean", "begun by us"]);
    let mut bodies = Vec::new();
    while bodies.len() < 3 {
        if let Incoming::Stanza(stanza) = bob.stream.receive().unwrap() {
            bodies.extend(stanza.as_str().split("<body>").nth(1).map(|rest| rest[..1].to_owned()));
        }
    }
    assert_eq!(bodies, ["0", "1", "2"]);
    bob.close();
}

#[test]
fn a_login_that_fails_is_closed_as_well() {
    let server = Prosody::start();
    let address = server.addr.to_string();
    let arguments = [&format!("alice@{DOMAIN}"), "wrong", "bob@localhost", &address];
    let output = example::run(&example::build("client"), &arguments, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.contains("not-authorized"), "{output:?}");
    assert_ended(&[output.stdout], &["clean", "begun by us"]);
}
