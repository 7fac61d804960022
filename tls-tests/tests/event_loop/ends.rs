//! Streams that end in other ways than by the handshake, of idle streams and at SIGTERM.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::TAG,
    programs::{Server, Variant},
    script::Got,
    server::{FOREVER, TlsClient, cases, each},
    setup::Case,
    under_load::Peer,
};

/// What comes after the server's tag, and what the server calls it.
type Ending = (&'static str, fn(&mut TlsClient));
const ENDINGS: [Ending; 7] = [
    ("clean", |client| {
        client.tls.send(TAG).fin().expect_notify_and_fin();
    }),
    ("clean", |client| {
        client.tls.send(TAG).notify().expect_notify_and_fin();
    }),
    ("peer-eof", |client| {
        client.tls.notify().expect_notify_and_fin();
    }),
    ("truncated", |client| {
        client.tls.fin().expect_notify_and_fin();
    }),
    ("tls-failed", |client| {
        client.tls.write_below(b"this is no record of TLS whatever else it may be").read_below().unwrap();
    }),
    ("reset", |client| client_resets(&client.tls.tcp)),
    ("timed-out", |client| {
        client.tls.expect_notify_and_fin();
        assert_eq!(client.tls.text(), "", "no error follows");
    }),
];

fn client_resets(tcp: &TcpStream) {
    socket2::SockRef::from(tcp).set_linger(Some(Duration::ZERO)).unwrap();
}

fn end(server: &Server, mut client: TlsClient, (outcome, end): Ending) {
    client.read_until(TAG);
    client.tls.expect_silence();
    end(&mut client);
    let number = client.number;
    drop(client);
    assert_eq!(server.ending(number), format!("{outcome}, 0 late stanzas"));
}

#[test]
fn each_end_has_its_name_when_the_stream_was_idle() {
    let test = |server: &Server, case: Case| {
        // All at once, since each is idle for a while first.
        thread::scope(|scope| {
            for ending in ENDINGS {
                scope.spawn(move || end(server, TlsClient::open(server, case), ending));
            }
            // The loop asks its parser.
            scope.spawn(|| {
                let mut client = TlsClient::open(server, case);
                client.read_until(TAG);
                client.tls.send("<message>").notify().expect_notify_and_fin();
                assert_eq!(server.ending(client.number), "truncated, 0 late stanzas");
            });
        });
    };
    each(&[Variant::Sanitized], 4, 4, test, |server| drop(server.stop()));
}

#[test]
fn each_end_has_its_name_when_all_were_closed() {
    let opened = Barrier::new(cases().len());
    let test = |server: &Server, case: Case| {
        let clients: Vec<TlsClient> = ENDINGS.iter().map(|_| TlsClient::open(server, case)).collect();
        if opened.wait().is_leader() {
            server.send_sigterm();
        }
        for (client, ending) in clients.into_iter().zip(ENDINGS) {
            println!("{}", ending.0);
            end(server, client, ending);
        }
    };
    each(&[Variant::Sanitized], FOREVER, 4, test, |server| {
        let lines = server.finish();
        let closed = lines.iter().find(|line| line.starts_with("closed 28 streams, ")).expect("the sum of it");
        assert!(closed.ends_with(" ms: 8 clean 4 peer-eof 4 truncated 4 reset 4 timed-out 4 tls-failed"), "{closed}");
    });
}

/// Tag and notify of the peer, and the rest of its life in silence: TCP is ended when the linger limit has passed.
#[test]
fn without_the_peers_notify_tcp_ends_at_the_linger_limit() {
    let test = |server: &_, case| {
        let mut client = TlsClient::open(server, case);
        client.send(TAG);
        assert_eq!(client.read_until(TAG), TAG);
        let before = Instant::now();
        client.tls.expect_notify_and_fin();
        assert!(before.elapsed() >= Duration::from_millis(1900), "{:?}", before.elapsed());
        assert_eq!(server.ending(client.number), "clean, 0 late stanzas");
    };
    each(&[Variant::Sanitized], FOREVER, FOREVER, test, |server| drop(server.stop()));
}

/// A client that never begins TLS, or never ends the TLS handshake, is left in time and gets no byte of XML.
#[test]
fn clients_that_never_negotiate_tls_cannot_hold_the_server() {
    let server = crate::server::start(Variant::Sanitized, FOREVER, 3);
    let connect = || TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let (mut silent, mut half, mut plain) = (connect(), connect(), connect());
    half.write_all(&[22, 3, 1, 2, 0, 1, 0]).unwrap(); // a ClientHello begins like this
    plain.write_all(b"<?xml version='1.0'?><stream:stream>").unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).unwrap();
    assert!(!answer.contains(&b'<'), "XML without TLS: {answer:?}");
    assert_eq!(server.ending(3), "tls-failed, 0 late stanzas");
    let before = Instant::now();
    server.send_sigterm();
    for tcp in [&mut silent, &mut half] {
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, []);
    }
    let lines = server.finish();
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    for number in [1, 2] {
        assert!(lines.contains(&format!("[{number}] ended: stalled, 0 late stanzas")), "{lines:#?}");
    }
}

/// TLS is there, and nothing was ever said over it.
#[test]
fn a_stream_that_was_never_opened_is_closed_in_form() {
    let test = |server: &Server, case: Case| {
        let mut client = TlsClient { tls: TlsClient::connect(server, case), number: 0 };
        let end = client.read_until(TAG);
        assert!(end.starts_with("<?xml version='1.0'?><stream:stream ") && !end.contains("<stream:error>"), "{end}");
        client.tls.send(TAG);
        assert_ne!(client.tls.receive(), Got::Data);
    };
    each(&[Variant::Sanitized], 10, FOREVER, test, |server| drop(server.stop()));
}
