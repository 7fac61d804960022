//! What `step_fd` must do beyond what every server must do.

use std::{io::Write, net::Shutdown, thread, time::Duration};

use crate::{
    client::{Client, TAG, iq, iq_result, message},
    programs::{Server, VARIANTS, Variant},
    under_load::{self, SYSTEM_SHUTDOWN},
};

#[test]
fn the_close_path_of_step_fd_is_short_enough_to_be_read() {
    let text = std::fs::read_to_string(crate::clib::root().join("examples/c/step_fd.c")).unwrap();
    let (_, path) = text.split_once("/* >>> ").expect("where it begins");
    let (path, _) = path.split_once("/* <<< ").expect("where it ends");
    assert!(path.lines().count() <= 40, "{} lines", path.lines().count());
    assert!(text.lines().all(|line| line.len() <= 120), "and not by long lines");
}

#[test]
fn a_stream_that_waits_for_nothing_does_not_wake_the_loop() {
    crate::event_loop::does_not_wake("step_fd", "ppoll");
}

#[test]
fn what_the_router_owes_at_sigterm_precedes_the_tag() {
    crate::event_loop::answers_before_it_goes_down("step_fd");
}

/// The batch spreads them; until its turn comes, each is served like before.
#[test]
fn many_streams_are_closed_at_sigterm_and_served_until_then() {
    thread::scope(|scope| {
        for variant in [Variant::Static, Variant::Sanitized, Variant::Valgrind] {
            scope.spawn(move || many_streams_at_sigterm(variant));
        }
    });
}

fn many_streams_at_sigterm(variant: Variant) {
    const COUNT: u32 = 200;
    let server = Server::start("step_fd", variant, 100_000, 100_000);
    let mut clients: Vec<Client> = (0..COUNT).map(|_| Client::open(server.port, "")).collect();
    server.send_sigterm();
    // Before our tag or behind it, in the order in which it was sent: some comes back, the rest is said to be stored.
    let mut all_that_came_back = 0;
    for client in &mut clients {
        client.send(&(0..10).map(message).collect::<String>());
    }
    for mut client in clients {
        let said = client.read_until("</stream:error></stream:stream>");
        let (echo, error) = said.split_once("<stream:error>").expect("why");
        assert_eq!(error.split_once(' ').unwrap().0, "<system-shutdown");
        let came_back = echo.matches("<message ").count();
        all_that_came_back += came_back;
        assert_eq!(echo, (0..came_back).map(message).collect::<String>());
        client.send(TAG);
        assert_eq!(client.read_to_end(), "");
        let number = client.number;
        drop(client);
        assert!(server.ending(number).starts_with("clean, "));
        let lines = server.lines_of(number);
        let stored: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("stored: ")).collect();
        assert_eq!(stored, (came_back..10).map(|id| id.to_string()).collect::<Vec<_>>(), "{variant:?}");
    }
    server.finish();
    println!("{variant:?}: {all_that_came_back} of {} came back", 10 * COUNT);
}

/// A client that did not read gets everything that was sent to it, once it reads. What comes after that is stored.
#[test]
fn what_is_queued_at_sigterm_precedes_the_tag() {
    const COUNT: usize = 10_000;
    let server = Server::start("step_fd", Variant::Sanitized, 100_000, 100_000);
    let mut client = Client::open(server.port, "");
    let message = |id| format!("<message id='{id}'><body>{}</body></message>", "x".repeat(4000));
    let all: String = (0..COUNT).map(message).collect();
    let mut tcp = client.tcp.try_clone().unwrap();
    let taken = under_load::fill(&mut tcp, all.as_bytes());
    server.send_sigterm();
    let received = thread::scope(|scope| {
        let writer = scope.spawn(|| tcp.write_all(&all.as_bytes()[taken..]).unwrap());
        let received = client.read_until(TAG);
        writer.join().expect("all is taken");
        received
    });
    client.send(TAG);
    assert_eq!(client.read_to_end(), "");
    drop(client);
    let lines = server.finish();
    let stored: Vec<usize> = lines.iter().filter_map(|line| line.strip_prefix("[1] stored: ")?.parse().ok()).collect();
    let echo = received.strip_suffix(&format!("{SYSTEM_SHUTDOWN}{TAG}")).expect("why, at the end");
    let back = echo.matches("<message ").count();
    println!("{back} came back, {} are stored", stored.len());
    assert!(!stored.is_empty() && back + stored.len() == COUNT, "something is lost");
    let mut stored = stored.into_iter().peekable();
    let expected: String = (0..COUNT).filter(|id| stored.next_if_eq(id).is_none()).map(message).collect();
    assert!(echo == expected, "in order, and each once");
    assert!(lines.iter().any(|line| line.starts_with("[1] ended: clean, ")));
}

/// What a peer does, and how its stream ends.
type Kind = (&'static str, fn(&mut Client));
const KINDS: [Kind; 8] = [
    ("clean, 3 late stanzas", |client| {
        assert_eq!(client.read_until(TAG), TAG);
        client.send(&format!("{}{}{}{TAG}", message(1), message(2), iq(3)));
        assert_eq!(client.read_to_end(), "");
    }),
    ("clean, 0 late stanzas", |client| {
        client.send(&format!("{}{TAG}", iq("owed")));
        assert_eq!(client.read_to_end(), format!("{}{TAG}", iq_result("owed")));
    }),
    ("clean, 0 late stanzas", |client| {
        client.send(&message(1));
        assert_eq!(client.read_until(&message(1)), message(1));
        assert_eq!(client.read_until(TAG), TAG);
        client.send(TAG);
        assert_eq!(client.read_to_end(), "");
    }),
    ("timed-out, 0 late stanzas", |client| {
        assert_eq!(client.read_to_end(), TAG, "and no error");
    }),
    ("reset, 0 late stanzas", |client| {
        assert_eq!(client.read_until(TAG), TAG);
        socket2::SockRef::from(&client.tcp).set_linger(Some(Duration::ZERO)).unwrap();
    }),
    ("truncated, 1 late stanzas", |client| {
        assert_eq!(client.read_until(TAG), TAG);
        client.send(&format!("{}<message>", message(1)));
        client.tcp.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read_to_end(), "");
    }),
    ("peer-eof, 0 late stanzas", |client| {
        client.send(&iq("owed"));
        client.tcp.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client.read_to_end(), format!("{}{TAG}", iq_result("owed")), "what is owed is owed all the same");
    }),
    ("malformed, 0 late stanzas", |client| {
        client.send("<message></presence>");
        let end = client.read_to_end();
        assert!(end.starts_with("<stream:error><not-well-formed ") && end.ends_with(TAG), "{end}");
    }),
];

#[test]
fn many_streams_of_each_kind_end_as_they_are_said_to() {
    thread::scope(|scope| {
        for variant in VARIANTS {
            scope.spawn(move || many_streams_of_each_kind(variant));
        }
    });
}

fn many_streams_of_each_kind(variant: Variant) {
    const EACH: usize = 10;
    let server = Server::start("step_fd", variant, 3, 4);
    thread::scope(|scope| {
        for (ending, kind) in KINDS.iter().cycle().take(EACH * KINDS.len()) {
            let server = &server;
            scope.spawn(move || {
                let mut client = Client::open(server.port, "");
                kind(&mut client);
                let number = client.number;
                drop(client);
                assert_eq!(&server.ending(number), ending, "{variant:?}");
            });
        }
    });
    let lines = server.stop();
    assert_eq!(lines.iter().filter(|line| line.contains("] ended: ")).count(), EACH * KINDS.len());
}
