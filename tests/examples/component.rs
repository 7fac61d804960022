use xmpp_close::Incoming;

use super::{assert_ended, example, start};
use crate::{
    account::{Client, USUAL},
    daemon::{COMPONENT, PASSWORD},
    program::Program,
    prosody::Prosody,
};

const COUNT: usize = 100;

fn logged_in(server: &Prosody) -> Program {
    let component = start("component", &[COMPONENT, PASSWORD, &server.component.to_string()]);
    component.wait_for("the login", |line| line == "logged in");
    component
}

/// Half of these iqs are pings.
fn ask(alice: &mut Client, number: usize) {
    let child = if number % 2 == 0 { "<ping xmlns='urn:xmpp:ping'/>" } else { "<query xmlns='jabber:iq:version'/>" };
    alice.stream.send(format!("<iq type='get' to='{COMPONENT}' id='{number}'>{child}</iq>")).unwrap();
}

#[test]
fn what_has_arrived_at_sigterm_is_answered_before_the_tag() {
    let server = Prosody::start();
    let component = logged_in(&server);
    let mut alice = Client::available(server.addr, "alice", USUAL);
    component.signal(libc::SIGSTOP);
    (0..COUNT).for_each(|number| ask(&mut alice, number));
    alice.stream.send(format!("<message to='{COMPONENT}' id='m'/>")).unwrap();
    // When these are answered, the rest has been routed, and written to the component's socket.
    alice.ping();
    alice.ping();
    component.send_sigterm();
    component.signal(libc::SIGCONT);
    for number in 0..COUNT {
        let Incoming::Stanza(answer) = alice.stream.receive().unwrap() else { panic!("{number} is not answered") };
        let kind = if number % 2 == 0 { "type='result'" } else { "<service-unavailable " };
        let answer = answer.as_str();
        let is_it = [&format!("id='{number}'"), &format!("from='{COMPONENT}'"), kind].map(|word| answer.contains(word));
        assert_eq!(is_it, [true; 3], "{number}: {answer}");
    }
    alice.close();
    let lines = component.finish();
    assert!(lines.iter().any(|line| line.starts_with("<message ") && line.contains("id='m'")), "{lines:#?}");
    assert_ended(&lines, &["clean", "begun by us"]);
    assert!(!lines.iter().any(|line| line.contains("late stanzas")), "{lines:#?}");
}

#[test]
fn a_wrong_secret_is_told_and_the_stream_closed() {
    let server = Prosody::start();
    let arguments = [COMPONENT, "guess", &server.component.to_string()];
    let output = example::run(&example::build("component"), &arguments, &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_ended(&[output.stdout], &["clean", "begun by peer", "not-authorized"]);
}

/// Prosody sends components no closing tag when it goes down.
#[test]
fn a_server_that_goes_down_without_a_tag_is_no_clean_end() {
    let server = Prosody::start();
    let component = logged_in(&server);
    server.terminate();
    component.wait_for("the report", |line| line.starts_with("peer-eof: "));
}
