//! `thread_server`, `event_loop` and `step_fd`: each server must behave the same.

use std::{
    io::{ErrorKind, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::{Client, HEADER, TAG, iq, iq_result, message},
    hostile::{
        honest_clients_get_in_while_others_sit_there, other_encodings_than_utf_8_are_refused,
        thirty_greedy_clients_get_no_memory, whoever_does_not_log_in_is_closed_in_form,
    },
    programs::{Server, Variant},
};

/// A limit that ends nothing in these tests.
const FOREVER: u32 = 100_000;

macro_rules! for_each {
    ($($test:ident)*) => {
        mod thread_server {
            $(#[test] fn $test() { super::$test("thread_server"); })*
        }
        mod event_loop {
            $(#[test] fn $test() { super::$test("event_loop"); })*
        }
        mod step_fd {
            $(#[test] fn $test() { super::$test("step_fd"); })*
        }
    };
}

for_each! {
    late_stanzas_are_handled_in_order
    what_is_owed_precedes_the_answering_tag
    crossing_tags_are_clean
    a_mute_peer_is_left_at_the_limit
    a_hundred_streams_end_cleanly
    sigterm_closes_every_stream
    a_tag_in_pieces_is_answered
    a_slow_reader_gets_everything
    a_peer_that_never_reads_cannot_hold_the_server
    streams_that_were_never_opened_are_closed_in_form
    broken_streams_are_told_why
    streams_cut_off_are_not_called_clean
    no_memory_is_lost_or_misused
    thirty_greedy_clients_get_no_memory
    honest_clients_get_in_while_others_sit_there
    whoever_does_not_log_in_is_closed_in_form
    other_encodings_than_utf_8_are_refused
}

fn late_stanzas_are_handled_in_order(name: &str) {
    let server = Server::start(name, Variant::Static, 1, FOREVER);
    let mut client = Client::open(server.port, &message("early"));
    assert_eq!(client.read_until(&message("early")), message("early"));
    assert_eq!(client.read_until(TAG), TAG, "an idle stream gets no error");
    let late: String = (0..200).map(message).collect();
    client.send(&format!("{late}{}", iq("last")));
    let number = client.number;
    server.wait_for("the last late stanza", |line| line == format!("[{number}] late iq last"));
    client.assert_silence();
    client.send(TAG);
    assert_eq!(client.read_to_end(), "");
    assert_eq!(server.ending(number), "clean, 201 late stanzas");
    let handled: Vec<String> = server.lines_of(number).into_iter().filter(|line| line.contains("message")).collect();
    let expected: Vec<String> = (0..200).map(|id| format!("late message {id}")).collect();
    assert_eq!(handled[0], "message early");
    assert_eq!(handled[1..], expected);
    server.stop();
}

fn what_is_owed_precedes_the_answering_tag(name: &str) {
    let server = Server::start(name, Variant::Shared, FOREVER, FOREVER);
    let mut client = Client::open(server.port, "");
    client.send(&format!("{}{}{}{TAG}", message(1), iq("a&amp;b"), iq("c")));
    let owed = format!("{}{}{}{TAG}", message(1), iq_result("a&amp;b"), iq_result("c"));
    assert_eq!(client.read_to_end(), owed);
    assert_eq!(server.ending(client.number), "clean, 0 late stanzas");
    server.stop();
}

fn crossing_tags_are_clean(name: &str) {
    let server = Server::start(name, Variant::Static, 1, FOREVER);
    let mut client = Client::open(server.port, "");
    // Without looking at what comes: it is sent after the server's tag, as if both had crossed.
    let number = client.number;
    assert_eq!(client.tcp.peek(&mut [0; 1]).unwrap(), 1);
    client.send(&format!("{}{TAG}", message("crossing")));
    assert_eq!(client.read_to_end(), TAG);
    assert_eq!(server.ending(number), "clean, 1 late stanzas");
    server.stop();
}

fn a_mute_peer_is_left_at_the_limit(name: &str) {
    let server = Server::start(name, Variant::Static, 1, 1);
    let before = Instant::now();
    let mut client = Client::open(server.port, "");
    assert_eq!(client.read_until(TAG), TAG);
    assert_eq!(client.read_to_end(), "", "no error follows");
    assert!(before.elapsed() >= Duration::from_millis(1950), "one second idle, one of waiting: {:?}", before.elapsed());
    assert_eq!(server.ending(client.number), "timed-out, 0 late stanzas");
    server.stop();
}

fn a_hundred_streams_end_cleanly(name: &str) {
    let server = Server::start(name, Variant::Static, 2, FOREVER);
    let messages: String = (0..10).map(message).collect();
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(server.port)).collect();
    for client in &mut clients {
        client.send(&format!("{HEADER}{messages}"));
    }
    for (n, client) in clients.iter_mut().enumerate() {
        client.read_header();
        assert_eq!(client.read_until(&message(9)), messages);
        if n % 2 == 0 {
            client.send(TAG);
        }
    }
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.read_until(TAG), TAG);
        if n % 2 == 1 {
            client.send(&format!("{}{TAG}", message("late")));
        }
        assert_eq!(client.read_to_end(), "");
    }
    for (n, client) in clients.iter().enumerate() {
        assert_eq!(server.ending(client.number), format!("clean, {} late stanzas", n % 2));
    }
    server.stop();
}

fn sigterm_closes_every_stream(name: &str) {
    let server = Server::start(name, Variant::Shared, FOREVER, 8);
    let mut mute = Client::open(server.port, "");
    let mut clients: Vec<Client> = (0..20).map(|_| Client::open(server.port, "")).collect();
    server.send_sigterm();
    for client in &mut clients {
        let end = client.read_until(TAG);
        assert!(end.starts_with("<stream:error><system-shutdown "), "{end}");
        let refused = TcpStream::connect(("127.0.0.1", server.port)).map_err(|error| error.kind());
        assert!(matches!(refused, Err(ErrorKind::ConnectionRefused)), "{refused:?}");
        client.send(&format!("{}{TAG}", message("late")));
        assert_eq!(client.read_to_end(), "");
    }
    mute.read_until(TAG);
    assert_eq!(mute.read_to_end(), "");
    let lines = server.finish();
    for client in &clients {
        let ending = format!("[{}] ended: clean, 1 late stanzas", client.number);
        assert!(lines.contains(&ending), "{ending}: {lines:#?}");
    }
    assert!(lines.contains(&format!("[{}] ended: timed-out, 0 late stanzas", mute.number)), "{lines:#?}");
}

fn a_tag_in_pieces_is_answered(name: &str) {
    let server = Server::start(name, Variant::Static, FOREVER, FOREVER);
    for tag in [TAG, "</stream:stream\n\n\n>"] {
        let mut client = Client::open(server.port, "");
        for byte in format!("{}{tag}", iq(1)).chars() {
            client.send(&byte.to_string());
        }
        assert_eq!(client.read_to_end(), format!("{}{TAG}", iq_result(1)));
        assert_eq!(server.ending(client.number), "clean, 0 late stanzas");
    }
    // When the parser has seen all of the tag but its last byte, it must not wait for more than that.
    let mut client = Client::open(server.port, "");
    let (start, last) = TAG.split_at(TAG.len() - 1);
    for piece in [&iq(2), start, last] {
        client.send(piece);
        client.wait_until_read();
    }
    assert_eq!(client.read_to_end(), format!("{}{TAG}", iq_result(2)));
    server.stop();
}

fn a_slow_reader_gets_everything(name: &str) {
    let server = Server::start(name, Variant::Static, FOREVER, FOREVER);
    let mut client = Client::open(server.port, "");
    let all: String = (0..60_000).map(message).collect();
    let (mut sender, sent) = (client.tcp.try_clone().unwrap(), all.clone());
    let writer = thread::spawn(move || sender.write_all(sent.as_bytes()).unwrap());
    assert!(client.read_until(&message(59_999)) == all, "{} bytes come back as they were", all.len());
    writer.join().unwrap();
    client.send(TAG);
    assert_eq!(client.read_to_end(), TAG);
    assert_eq!(server.ending(client.number), "clean, 0 late stanzas");
    server.stop();
}

fn a_peer_that_never_reads_cannot_hold_the_server(name: &str) {
    let server = Server::start(name, Variant::Sanitized, FOREVER, 2);
    let mut client = Client::open(server.port, "");
    // Nobody reads the echo, so the server stops reading, too; then nothing moves any more.
    client.tcp.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let flood: String = (0..1000).map(message).collect();
    let (most, mut sent) = (64 << 20, 0);
    while sent < most {
        match client.tcp.write(&flood.as_bytes()[sent % flood.len()..]) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent < most, "{sent} bytes were taken, and are held in memory");
    server.send_sigterm();
    // The kernel may just have room for the little that was left to say: then it is the answer that does not come.
    let ending = server.ending(client.number);
    assert!(["stalled, ", "timed-out, "].iter().any(|outcome| ending.starts_with(outcome)), "{ending}");
    server.finish();
}

fn streams_that_were_never_opened_are_closed_in_form(name: &str) {
    let server = Server::start(name, Variant::Static, 1, FOREVER);
    let mut silent = Client::connect(server.port);
    silent.read_start();
    assert_eq!(silent.read_until(TAG), TAG);
    // Only now does the peer open its stream: nothing may follow our closing tag, no features either.
    let number = silent.number;
    silent.send(&format!("{HEADER}{}", message("late")));
    silent.assert_silence();
    silent.send(TAG);
    assert_eq!(silent.read_to_end(), "");
    assert_eq!(server.ending(number), "clean, 1 late stanzas");
    let mut gone = Client::connect(server.port);
    gone.tcp.shutdown(std::net::Shutdown::Write).unwrap();
    gone.read_start();
    assert_eq!(gone.read_to_end(), TAG);
    assert_eq!(server.ending(gone.number), "peer-eof, 0 late stanzas");
    server.stop();
}

fn broken_streams_are_told_why(name: &str) {
    let server = Server::start(name, Variant::Static, FOREVER, 5);
    for (bytes, condition) in [
        ("<a></b>", "not-well-formed"),
        ("<a>&undefined;</a>", "restricted-xml"),
        ("<a b='&undefined;'/>", "restricted-xml"),
        ("<a>&#0;</a>", "not-well-formed"),
        ("<!-- -->", "restricted-xml"),
        ("<?p i?>", "restricted-xml"),
        (&format!("<message>{}", "x".repeat(2 << 20)), "policy-violation"),
    ] {
        let mut client = Client::open(server.port, &format!("{}{bytes}", message(1)));
        assert_eq!(client.read_until(&message(1)), message(1));
        let end = client.read_until(TAG);
        assert!(end.starts_with(&format!("<stream:error><{condition} ")), "{bytes:.20}: {end}");
        let number = client.number;
        drop(client);
        assert_eq!(server.ending(number), "malformed, 0 late stanzas", "{bytes:.20}");
    }
    // Before our header was sent, it comes first.
    for (bytes, condition) in [
        ("<!DOCTYPE x []>", "restricted-xml"),
        ("<!DOCTYPE x SYSTEM 'y'>", "restricted-xml"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]>", "restricted-xml"),
        ("<html>", "invalid-namespace"),
    ] {
        let mut client = Client::connect(server.port);
        client.send(bytes);
        client.read_start();
        let end = client.read_until(TAG);
        assert!(end.starts_with(&format!("<stream:error><{condition} ")), "{bytes}: {end}");
    }
    // A stream error of the peer's is answered by our tag (RFC 6120, section 4.9.1.1), also when its own is missing.
    let mut client = Client::open(server.port, "");
    let error = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    client.send(error);
    assert_eq!(client.read_until(TAG), TAG);
    client.send(TAG);
    assert_eq!(client.read_to_end(), "");
    assert!(server.ending(client.number).starts_with("clean, "));
    server.stop();
}

fn streams_cut_off_are_not_called_clean(name: &str) {
    let server = Server::start(name, Variant::Static, 1, FOREVER);
    for (last, outcome) in [("", "peer-eof"), ("\n", "peer-eof"), ("<message>", "truncated"), ("<mess", "truncated")] {
        let mut client = Client::open(server.port, "");
        client.read_until(TAG);
        client.send(&format!("{}{last}", message("late")));
        client.tcp.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.read_to_end(), "");
        assert_eq!(server.ending(client.number), format!("{outcome}, 1 late stanzas"), "{last:?}");
    }
    // A stanza that was begun before the server closed, and is cut afterwards.
    let mut client = Client::open(server.port, "<message><bo");
    client.read_until(TAG);
    client.tcp.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.read_to_end(), "");
    assert_eq!(server.ending(client.number), "truncated, 0 late stanzas");
    let mut client = Client::open(server.port, "");
    client.read_until(TAG);
    socket2::SockRef::from(&client.tcp).set_linger(Some(Duration::ZERO)).unwrap();
    let number = client.number;
    drop(client);
    assert_eq!(server.ending(number), "reset, 0 late stanzas");
    server.stop();
}

/// Where every error and leak of memory is seen; side by side, since most of the time is spent waiting.
fn no_memory_is_lost_or_misused(name: &str) {
    thread::scope(|scope| {
        for variant in [Variant::Sanitized, Variant::Valgrind] {
            scope.spawn(move || one_stream_of_each_kind(name, variant));
        }
    });
}

fn one_stream_of_each_kind(name: &str, variant: Variant) {
    let server = Server::start(name, variant, 2, 8);
    let mut idle = Client::open(server.port, &message(1));
    let mut answered = Client::open(server.port, &format!("{}{TAG}", iq(1)));
    let mut broken = Client::open(server.port, &format!("{}<a></b>", iq(2)));
    let inside = Client::open(server.port, &format!("{}<message>", iq(3)));
    let reset = Client::open(server.port, &format!("{}{}", iq(4), message(4)));
    let mut mute = Client::open(server.port, "");
    let numbers = [&idle, &answered, &broken, &inside, &reset, &mute].map(|client| client.number);
    socket2::SockRef::from(&reset.tcp).set_linger(Some(Duration::ZERO)).unwrap();
    drop((inside, reset));
    answered.read_until(&iq_result(1));
    assert_eq!(answered.read_to_end(), TAG);
    broken.read_until(TAG);
    drop(broken);
    idle.read_until(&message(1));
    assert_eq!(idle.read_until(TAG), TAG);
    idle.send(&format!("{}{}{TAG}", message("late"), iq("late")));
    assert_eq!(idle.read_to_end(), "");
    mute.read_until(TAG);
    assert_eq!(mute.read_to_end(), "");
    for number in numbers {
        server.ending(number);
    }
    assert_eq!(server.ending(idle.number), "clean, 2 late stanzas");
    let mut open = Client::open(server.port, &iq("pending"));
    server.send_sigterm();
    open.read_until(TAG);
    open.send(TAG);
    open.read_to_end();
    server.finish();
}
