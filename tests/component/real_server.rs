//! Prosody at the other end.

use std::collections::BTreeSet;

use xmpp_close::Incoming;

use crate::{
    FOREVER,
    account::{Client, USUAL},
    assert_ended,
    daemon::COMPONENT,
    programs::{Server, VARIANTS, Variant},
    prosody::Prosody,
    start,
};

const COUNT: usize = 200;

fn logged_in(component: &Server) {
    component.wait_for("the login", |line| line == "logged in");
}

/// How many iqs there are; every second one is no ping.
fn ask(alice: &mut Client, count: usize) {
    for n in 0..count {
        let child = if n % 2 == 0 { "<ping xmlns='urn:xmpp:ping'/>" } else { "<query xmlns='jabber:iq:version'/>" };
        alice.stream.send(format!("<iq type='get' to='{COMPONENT}' id='{n}'>{child}</iq>")).unwrap();
    }
}

/// Reads until all of them are answered.
fn read_answers(alice: &mut Client, count: usize) {
    let mut open: BTreeSet<String> = (0..count).map(|n| n.to_string()).collect();
    while !open.is_empty() {
        let Incoming::Stanza(stanza) = alice.stream.receive().unwrap() else { panic!("{open:?} are not answered") };
        if stanza.as_str().contains(&format!("from='{COMPONENT}'")) {
            let id = stanza.as_str().split(" id='").nth(1).and_then(|rest| rest.split('\'').next()).expect("an id");
            assert!(open.remove(id), "{}", stanza.as_str());
            let kind = if id.parse::<usize>().unwrap() % 2 == 0 { "type='result'" } else { "<service-unavailable " };
            assert!(stanza.as_str().contains(kind), "{}", stanza.as_str());
        }
    }
}

#[test]
fn what_is_in_the_socket_at_sigterm_is_answered_before_the_tag() {
    let server = Prosody::start();
    for variant in VARIANTS {
        let component = start(variant, server.component.port(), FOREVER);
        logged_in(&component);
        let mut alice = Client::available(server.addr, "alice", USUAL);
        component.signal(libc::SIGSTOP);
        ask(&mut alice, COUNT);
        alice.send_to(COMPONENT, 0..COUNT, 10);
        // When these are answered, the rest has been routed, and written to the component's socket.
        alice.ping();
        alice.ping();
        component.send_sigterm();
        component.signal(libc::SIGCONT);
        read_answers(&mut alice, COUNT);
        alice.close();
        let lines = component.finish();
        assert_ended(&lines, &format!("ended: clean, {COUNT} answered, 0 unanswered, {COUNT} messages"));
    }
}

#[test]
fn a_server_that_refuses_the_component_is_answered_and_its_reason_named() {
    let server = Prosody::start();
    for variant in VARIANTS {
        let first = start(variant, server.component.port(), FOREVER);
        logged_in(&first);
        // Another one is there under this name.
        let lines = start(variant, server.component.port(), FOREVER).finish();
        assert!(lines.iter().any(|line| line.contains("conflict")), "{lines:#?}");
        assert_ended(&lines, "ended: clean, 0 answered, 0 unanswered, 0 messages");
        assert_ended(&first.stop(), "ended: clean, 0 answered, 0 unanswered, 0 messages");
    }
}

/// Prosody sends components no closing tag when it shuts down.
#[test]
fn a_server_that_goes_down_without_a_tag_is_no_clean_end() {
    let server = Prosody::start();
    let component = start(Variant::Sanitized, server.component.port(), FOREVER);
    logged_in(&component);
    let mut alice = Client::available(server.addr, "alice", USUAL);
    ask(&mut alice, 2);
    read_answers(&mut alice, 2);
    server.terminate();
    assert_ended(&component.finish_with(1), "ended: peer-eof, 2 answered, 0 unanswered, 0 messages");
}
