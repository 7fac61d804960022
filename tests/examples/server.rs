use std::{io::Write, net::TcpStream};

use super::{assert_ended, command, start};
use crate::{
    peer::{self, Peer, TAG},
    program::Program,
};

const OPEN: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                    xmlns:stream='http://etherx.jabber.org/streams'>";

fn server(idle: &str) -> Program {
    Program::listening("server", command("server", &["127.0.0.1:0", idle]))
}

fn connect(server: &Program) -> Peer {
    let tcp = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    tcp.set_read_timeout(Some(peer::PATIENCE)).unwrap();
    Peer { tcp, got: Vec::new() }
}

fn report(server: &Program) -> String {
    server.wait_for("the report", |line| line.contains(" begun by "))
}

#[test]
fn a_client_that_is_silent_is_closed_and_its_last_words_are_seen() {
    let server = server("0.2");
    let mut client = connect(&server);
    client.send(OPEN).read_until("</stream:features>");
    client.read_tag().send(format!("<message id='late'/>{TAG}")).expect_eof();
    assert!(!client.text().contains("error"), "nobody is to blame: {}", client.text());
    let report = report(&server);
    assert!(report.starts_with("clean: ") && report.contains("begun by us"), "{report}");
    assert!(server.lines().contains(&"late: <message id='late'/>".to_owned()), "{:#?}", server.lines());
}

#[test]
fn the_example_client_logs_in_talks_and_closes() {
    let server = server("3600");
    let address = format!("127.0.0.1:{}", server.port);
    let mut client = start("client", &["alice@localhost", "secret", "bob@localhost", &address]);
    client.child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    assert_ended(&client.finish(), &["clean", "begun by us"]);
    server.wait_for("the message", |line| line.contains("<body>hello</body>"));
    let report = report(&server);
    assert!(report.starts_with("clean: ") && report.contains("begun by peer"), "{report}");
}

#[test]
fn strangers_are_told_what_is_wrong() {
    const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGV2ZQBzZWNyZXQ=</auth>";
    for (said, answer) in [
        (format!("{OPEN}<message/>"), "<stream:error><not-authorized "),
        (format!("{OPEN}{AUTH}"), "<not-authorized/></failure>"),
        (format!("{OPEN}<a></b>"), "<stream:error><not-well-formed "),
    ] {
        let server = server("3600");
        let mut client = connect(&server);
        client.send(&said);
        if answer.starts_with("<stream:error>") {
            client.read_tag();
        } else {
            client.read_until("</failure>").send(TAG);
        }
        assert!(client.text().contains(answer), "{said}: {}", client.text());
    }
}
