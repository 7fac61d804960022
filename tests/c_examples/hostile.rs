//! Clients that want to take more than their share: of memory, of connections, of patience. `servers.rs` runs
//! these tests against each server.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

use crate::{
    client::{Client, HEADER, PATIENCE, TAG, message},
    programs::{Server, Variant},
};

const FOREVER: u32 = 100_000;
/// How many connections of newcomers the servers have at most; see examples/c/newcomers.h.
const NEWCOMERS: usize = 256;

fn error(condition: &str) -> String {
    format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
}

/// What the server says to these bytes, up to its end of the connection.
fn answer(port: u16, bytes: &[u8]) -> String {
    let mut tcp = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut reader = tcp.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        // It may end in a reset, when we go on writing to a server that has closed.
        let _ = reader.read_to_end(&mut all);
        String::from_utf8(all).unwrap()
    });
    let _ = tcp.write_all(bytes);
    let _ = tcp.shutdown(Shutdown::Write);
    reader.join().unwrap()
}

/// So much of each kind of XML that makes a parser remember more than came.
fn greedy_shapes(size: usize) -> Vec<(&'static str, Vec<u8>)> {
    let mut attributes = "<message".to_owned();
    let mut names = "<message>".to_owned();
    let mut prefixes = "<message".to_owned();
    for n in 0.. {
        if names.len() >= size {
            break;
        }
        names += &format!("<a{n}/>");
        if attributes.len() < size {
            attributes += &format!(" a{n}=''");
        }
        if prefixes.len() < size {
            prefixes += &format!(" xmlns:a{n}='b'");
        }
    }
    vec![
        ("elements in elements", "<a>".repeat(size / 3).into_bytes()),
        ("attributes", (attributes + "/>").into_bytes()),
        ("prefixes", (prefixes + "/>").into_bytes()),
        ("names", names.into_bytes()),
        ("a value that does not end", format!("<message a='{}", "b".repeat(size)).into_bytes()),
        ("a name that does not end", format!("<{}", "b".repeat(size)).into_bytes()),
        ("a comment that does not end", format!("<!--{}", "b".repeat(size)).into_bytes()),
        ("an instruction that does not end", format!("<?p {}", "b".repeat(size)).into_bytes()),
    ]
}

pub fn thirty_greedy_clients_get_no_memory(name: &str) {
    thread::scope(|scope| {
        for (what, shape) in greedy_shapes(990_000) {
            scope.spawn(move || thirty_greedy_clients(name, what, &shape));
        }
    });
}

fn thirty_greedy_clients(name: &str, what: &str, shape: &[u8]) {
    let server = Server::start(name, Variant::Static, FOREVER, 5);
    let bytes = [HEADER.as_bytes(), shape].concat();
    let answers: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..30).map(|_| scope.spawn(|| answer(server.port, &bytes))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let memory = server.peak_memory_kb();
    println!("{name}, {what}: {memory} kB at most");
    for answer in answers {
        let refused = ["policy-violation", "restricted-xml"].iter().any(|why| answer.contains(&error(why)));
        assert!(refused && answer.ends_with(TAG), "{what}: {answer}");
    }
    assert!(memory < 80_000, "{what}: {memory} kB");
    let mut honest = Client::open(server.port, &message(1));
    assert_eq!(honest.read_until(&message(1)), message(1));
    honest.send(TAG);
    assert_eq!(honest.read_to_end(), TAG);
    server.stop();
}

/// These clients send nothing, or never a whole stanza.
pub fn honest_clients_get_in_while_others_sit_there(name: &str) {
    let server = Server::start(name, Variant::Static, FOREVER, 5);
    let half = format!("{HEADER}<message");
    let first_words = ["", "<", HEADER, &half];
    let mut hostile: Vec<Client> = (0..NEWCOMERS + 50).map(|_| Client::connect(server.port)).collect();
    for (client, words) in hostile.iter_mut().zip(first_words.into_iter().cycle()) {
        let _ = client.tcp.write_all(words.as_bytes()); // it may have been sent away already
    }
    let mut honest = Vec::new();
    for _ in 0..20 {
        let mut client = Client::open(server.port, &message(1));
        assert_eq!(client.read_until(&message(1)), message(1));
        honest.push(client);
    }
    // The oldest have made room, and were told so, unless what they sent had not been read yet.
    for client in &mut hostile[..50] {
        let mut all = String::new();
        if client.tcp.read_to_string(&mut all).is_ok() {
            assert!(all.ends_with(&format!("{}{TAG}", error("resource-constraint"))), "{all}");
        }
    }
    for mut client in honest {
        client.send(&message(2));
        assert_eq!(client.read_until(&message(2)), message(2), "nobody who has logged in is sent away");
        client.send(TAG);
        assert_eq!(client.read_to_end(), TAG);
    }
    drop(hostile);
    server.stop();
}

/// At once, or a byte at a time.
pub fn whoever_does_not_log_in_is_closed_in_form(name: &str) {
    let server = Server::start(name, Variant::Impatient, FOREVER, FOREVER);
    let mut regular = Client::open(server.port, &message(1));
    regular.read_until(&message(1));
    let mut silent = Client::open(server.port, "");
    let mut dripping = Client::open(server.port, "");
    let drip = dripping.tcp.try_clone().unwrap();
    let drips = thread::spawn(move || {
        while (&drip).write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    assert_eq!(silent.read_until(TAG), format!("{}{TAG}", error("policy-violation")));
    silent.send(&format!("{}{TAG}", message("late")));
    assert_eq!(silent.read_to_end(), "");
    assert_eq!(server.ending(silent.number), "clean, 1 late stanzas");
    assert_eq!(dripping.read_until(TAG), format!("{}{TAG}", error("policy-violation")));
    dripping.tcp.shutdown(Shutdown::Both).unwrap();
    drips.join().unwrap();
    regular.send(&message(2));
    assert_eq!(regular.read_until(&message(2)), message(2));
    regular.send(TAG);
    assert_eq!(regular.read_to_end(), TAG);
    server.stop();
}

pub fn other_encodings_than_utf_8_are_refused(name: &str) {
    let server = Server::start(name, Variant::Static, FOREVER, 5);
    let utf_16 = |bytes: fn(u16) -> [u8; 2], mark: &[u8]| -> Vec<u8> {
        mark.iter().copied().chain(format!("{HEADER}<iq/>").encode_utf16().flat_map(bytes)).collect()
    };
    let declared = |encoding: &str| {
        HEADER.replace("version='1.0'?>", &format!("version='1.0' encoding='{encoding}'?>")).into_bytes()
    };
    for bytes in [
        utf_16(u16::to_le_bytes, b"\xff\xfe"),
        utf_16(u16::to_be_bytes, b"\xfe\xff"),
        utf_16(u16::to_le_bytes, b""),
        utf_16(u16::to_be_bytes, b""),
        declared("UTF-16"),
        declared("ISO-8859-1"),
        declared("us-ascii"),
    ] {
        for first in [bytes.len(), 1] {
            let mut client = Client::connect(server.port);
            client.tcp.write_all(&bytes[..first]).unwrap();
            client.wait_until_read();
            let _ = client.tcp.write_all(&bytes[first..]); // the first byte may be enough
            client.read_start();
            let end = client.read_until(TAG);
            assert!(end.ends_with(&format!("{}{TAG}", error("unsupported-encoding"))), "{bytes:x?}: {end}");
        }
    }
    for encoding in ["UTF-8", "utf-8"] {
        let mut client = Client::connect(server.port);
        client.tcp.write_all(&declared(encoding)).unwrap();
        client.read_header();
    }
    server.stop();
}

#[test]
fn event_loop_accepts_many_in_one_turn() {
    let log = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("accepts");
    let server = Server::start_traced("event_loop", "accept4,epoll_pwait", &log);
    // Until it goes on, the kernel keeps them.
    server.signal(libc::SIGSTOP);
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(server.port)).collect();
    server.signal(libc::SIGCONT);
    for client in &mut clients {
        client.send(&format!("{HEADER}{}", message(1)));
        client.read_header();
        client.read_until(&message(1));
    }
    drop(clients);
    server.stop();
    let trace = std::fs::read_to_string(log).unwrap();
    let turns = trace.split("epoll_pwait(");
    let most =
        turns.map(|turn| turn.lines().filter(|line| line.contains("accept4(") && !line.contains("= -1")).count());
    assert_eq!(most.max(), Some(64), "{trace}");
}
