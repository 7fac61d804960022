//! What the server tells its clients: when it takes a stream for idle (XEP-0478), and what it has handled (XEP-0198).

use crate::{
    patient,
    server::{Client, HEADER, SASL, Server, TAG},
};

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";
/// What is neither answered nor passed on.
const MESSAGE: &str = "<message to='nobody@localhost' type='error'/>";
const OFFER: &str = "<sm xmlns='urn:xmpp:sm:3'/>";
const ALICE: &str = "AGFsaWNlAHNlY3JldA==";
const BOB: &str = "AGJvYgBzZWNyZXQ=";

fn ack(handled: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{handled}'/>")
}

/// A client whose stanzas are counted.
fn managed(server: &Server) -> Client {
    let mut alice = Client::alice(server);
    alice.send(ENABLE);
    assert_eq!(alice.until("/>"), "<enabled xmlns='urn:xmpp:sm:3'/>");
    alice
}

/// An authenticated client, and the features it is offered.
fn authenticated(server: &Server, token: &str) -> (Client, String) {
    let mut client = Client::connect(server);
    client.send(&format!("<auth xmlns='{SASL}' mechanism='PLAIN'>{token}</auth>"));
    client.until("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    client.send(HEADER);
    let features = client.until("</stream:features>");
    (client, features)
}

#[test]
fn the_idle_limit_is_announced_before_the_login_and_after_it() {
    let server = Server::start(&["--idle", "600.9", "--spare", "bob"]);
    let limits =
        |bytes, idle| format!("<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>{bytes}</max-bytes>{idle}</limits>");
    let before = Client::connect(&server).features;
    assert!(before.contains(&limits(10_000, "<idle-seconds>60</idle-seconds>")), "{before}");
    let (_, after) = authenticated(&server, ALICE);
    assert!(after.contains(&limits(1_048_576, "<idle-seconds>600</idle-seconds>")), "{after}");
    let (_, spared) = authenticated(&server, BOB);
    assert!(spared.contains(&limits(1_048_576, "")), "nothing is announced where nothing is closed: {spared}");
}

#[test]
fn a_limit_below_a_second_is_not_announced_as_none() {
    let (_, features) = authenticated(&Server::start(&["--idle", "0.9"]), ALICE);
    assert!(features.contains("<max-bytes>") && !features.contains("idle-seconds"), "{features}");
}

#[test]
fn stanzas_are_counted_from_enable_on_and_nothing_else_is() {
    let server = patient();
    let mut alice = Client::alice(&server);
    alice.send("<presence/>");
    alice.send(ENABLE);
    alice.until("<enabled xmlns='urn:xmpp:sm:3'/>");
    alice.send(&format!("{REQUEST}<presence type='unavailable'/>{MESSAGE}{REQUEST}<a xmlns='urn:xmpp:sm:3' h='0'/>"));
    alice.send(&format!("<iq type='result' id='r'/>{REQUEST}"));
    let answers = alice.until(&ack(3));
    let acks: Vec<_> = answers.split("<a ").skip(1).map(|rest| rest.split('\'').nth(3).unwrap()).collect();
    assert_eq!(acks, ["0", "2", "3"], "{answers}");
}

#[test]
fn an_idle_stream_ends_with_a_last_acknowledgement_right_before_the_tag() {
    let server = Server::start(&["--idle", "1", "--spare", "bob"]);
    let mut alice = managed(&server);
    alice.send(&MESSAGE.repeat(2));
    assert_eq!(alice.until(TAG), format!("{}{TAG}", ack(2)));
    // Too late to be acknowledged, but processed.
    let mut bob = Client::bob(&server);
    alice.send(&format!("<message to='bob@localhost'><body>late</body></message>{REQUEST}{TAG}"));
    bob.until("<body>late</body></message>");
    assert_eq!(alice.rest(), "", "after the server's tag");
    let line = server.report("alice@localhost/test");
    assert!(line.contains("clean") && line.contains("begun by us") && line.contains("2 late stanzas"), "{line}");
}

#[test]
fn a_client_that_closes_first_is_told_of_all_it_sent() {
    let server = patient();
    let mut alice = managed(&server);
    alice.send(&format!("{}{TAG}", MESSAGE.repeat(100)));
    assert_eq!(alice.rest(), format!("{}{TAG}", ack(100)));
}

#[test]
fn what_came_together_with_a_refused_stanza_is_answered_and_counted() {
    let server = patient();
    let mut alice = managed(&server);
    let ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
    alice.send(&format!("{MESSAGE}<message from='bob@localhost/test'/>{MESSAGE}{ping}"));
    let end = alice.until(TAG);
    let start = format!("<iq type='result' id='p'></iq>{}<stream:error><invalid-from ", ack(4));
    assert!(end.starts_with(&start), "{end}");
}

#[test]
fn without_enable_there_is_no_acknowledgement() {
    let server = patient();
    let mut alice = Client::alice(&server);
    alice.send(REQUEST);
    assert!(alice.until("</failed>").contains("<unexpected-request "));
    alice.send(&format!("<presence type='unavailable'/>{TAG}"));
    assert!(!alice.rest().contains("<a "));
}

#[test]
fn management_begins_once_and_with_a_resource() {
    let server = patient();
    let (mut client, features) = authenticated(&server, ALICE);
    assert!(features.contains(OFFER), "{features}");
    assert!(!client.features.contains(OFFER), "not before the login: {}", client.features);
    client.send(ENABLE);
    assert!(client.until("</failed>").contains("<unexpected-request "), "no resource is bound");
    client.send("<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>");
    assert!(client.until("</failed>").contains("<item-not-found "), "nothing can be resumed");
    let mut alice = managed(&server);
    alice.send(ENABLE);
    assert!(alice.until("</failed>").contains("<unexpected-request "), "it is enabled already");
}

#[test]
fn strangers_have_nothing_to_manage() {
    let server = patient();
    let mut client = Client::connect(&server);
    client.send(ENABLE);
    assert!(client.until(TAG).contains("<not-authorized "));
}
