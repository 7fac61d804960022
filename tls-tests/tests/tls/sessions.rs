//! How a stream gets its TLS: the TLS handshake with a deadline, STARTTLS, a TLS session that was used before.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::AsFd,
    thread,
    time::{Duration, Instant},
};

use openssl::ssl::SslStream;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use xmpp_close::{
    CloseOptions, Error, Incoming, Initiator, Outcome, RustlsTransport, Stream, TlsError, TlsSession, Transport, over,
};

use crate::{
    openssl_session::OpensslSession,
    orders::alerts,
    ours::{Ours, connect},
    peer::{self, PATIENCE, SLACK, TAG},
    script::{self, TlsPeer},
    setup::{self, Case, Library, Version, each, each_at_once},
};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// The handshake of each library in each version and role, against a peer that speaks no TLS.
fn handshake_against(limit: Duration, behave: impl Fn(TcpStream) + Sync, kind: ErrorKind) {
    for client in [true, false] {
        each_at_once(Case::against_rustls(), |case| {
            let case = Case { client, ..case };
            let (ours, theirs) = peer::pair();
            thread::scope(|scope| {
                scope.spawn(|| behave(theirs));
                let start = Instant::now();
                let mut ours = Ours::new(case, ours);
                let error = ours.handshake(limit).unwrap_err();
                assert_eq!(error.kind(), kind, "{error}");
                assert!(start.elapsed() < limit + SLACK);
                let says = error.to_string().contains("TLS handshake");
                assert!(kind != ErrorKind::TimedOut || start.elapsed() >= limit && says, "{error}");
            });
        });
    }
}

#[test]
fn a_silent_peer_cannot_hold_the_tls_handshake() {
    let behave = |mut tcp: TcpStream| {
        let _ = tcp.read_to_end(&mut Vec::new()); // until our end gives up
    };
    handshake_against(Duration::from_millis(500), behave, ErrorKind::TimedOut);
}

#[test]
fn a_peer_whose_certificate_is_refused_learns_it_by_an_alert() {
    for version in [Version::Tls12, Version::Tls13] {
        let (ours, mut theirs) = peer::pair();
        let peer = thread::spawn(move || setup::rustls_server(version).complete_io(&mut theirs).unwrap_err());
        let nobody = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let session = ClientConnection::new(nobody.into(), setup::NAME.try_into().unwrap()).unwrap();
        let error = RustlsTransport::new(session, ours).handshake(PATIENCE).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        let told = peer.join().unwrap();
        assert!(told.to_string().contains("fatal alert"), "{told}");
    }
}

#[test]
fn a_trickling_peer_cannot_hold_the_tls_handshake() {
    let behave = |mut tcp: TcpStream| {
        // A record of the handshake that never ends.
        let mut record = b"\x16\x03\x03\x3f\xff\x01\x00\x3f\xf0".to_vec();
        record.resize(16_000, 0);
        for byte in record {
            if tcp.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(20)); // the trickle itself
        }
    };
    handshake_against(Duration::from_millis(500), behave, ErrorKind::TimedOut);
}

#[test]
fn a_peer_without_tls_fails_the_tls_handshake_and_gets_no_xml() {
    let behave = |mut tcp: TcpStream| {
        tcp.write_all(HEADER.as_bytes()).unwrap();
        let mut got = Vec::new();
        let _ = tcp.read_to_end(&mut got);
        assert!(!String::from_utf8_lossy(&got).contains("stream"), "NG-02");
    };
    handshake_against(PATIENCE, behave, ErrorKind::InvalidData);
}

#[test]
fn a_peer_that_hangs_up_fails_the_tls_handshake() {
    handshake_against(PATIENCE, drop_after_first_bytes, ErrorKind::UnexpectedEof);
}

fn drop_after_first_bytes(tcp: TcpStream) {
    tcp.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = (&tcp).read_to_end(&mut Vec::new());
}

/// RFC 6120 section 5.4: the stream inside TLS is a new one, and what came in the clear behind `<proceed/>` is not part
/// of it.
#[test]
fn a_stream_is_upgraded_by_starttls_and_closed() {
    each(Case::all(), |case| {
        let (ours, mut theirs) = peer::pair();
        let peer = thread::spawn(move || {
            let mut got = [0; HEADER.len() + STARTTLS.len()];
            theirs.read_exact(&mut got[..HEADER.len()]).unwrap();
            theirs.write_all((HEADER.to_owned() + "<stream:features/>").as_bytes()).unwrap();
            theirs.read_exact(&mut got[HEADER.len()..]).unwrap();
            theirs.write_all((PROCEED.to_owned() + "<message>injected</message>").as_bytes()).unwrap();
            let (_over, deliveries) = std::sync::mpsc::channel();
            let mut peer = TlsPeer::accept(case, theirs, deliveries);
            peer.send(HEADER).send("<message>secret</message>").read_tag();
            peer.send("<message>late</message>").send(TAG).expect_notify().notify().expect_fin();
            peer.got
        });
        let mut stream = Stream::new(ours);
        stream.send(HEADER).unwrap();
        assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
        assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(_)));
        stream.send(STARTTLS).unwrap();
        assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(stanza) if stanza.as_str() == PROCEED));
        let mut stream = stream
            .upgrade(|tcp| {
                let mut ours = Ours::new(case, tcp);
                ours.handshake(PATIENCE)?;
                Ok::<_, Error>(ours)
            })
            .unwrap();
        stream.send(HEADER).unwrap();
        assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
        assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(stanza) if stanza.as_str().contains("secret")));
        let mut closing = stream.begin(&CloseOptions::new()).unwrap();
        assert_eq!(
            (&mut closing).map(|stanza| stanza.as_str().to_owned()).collect::<String>(),
            "<message>late</message>"
        );
        let report = closing.finish();
        assert_eq!((report.outcome, alerts(&report)), (Outcome::Clean, (true, true)), "{report}");
        assert_eq!(String::from_utf8(peer.join().unwrap()).unwrap(), HEADER.to_owned() + TAG);
    });
}

/// What the blocking stream of rustls has decrypted and not handed out is part of the close.
#[test]
fn a_blocking_rustls_stream_is_taken_over() {
    for version in [Version::Tls12, Version::Tls13] {
        let case = Case { ours: Library::Rustls, theirs: Library::Openssl, version, client: true, batch: false };
        let (ours, theirs) = peer::pair();
        let (_over, deliveries) = std::sync::mpsc::channel();
        let peer = script::start(case, theirs, deliveries, |mut peer| {
            peer.send("ab".to_owned() + &peer::stanzas(5));
            peer.read_tag().send(TAG).expect_notify().notify().expect_fin();
        });
        let mut blocking = StreamOwned::new(setup::rustls_client(version), ours);
        let mut two = [0; 2];
        blocking.read_exact(&mut two).unwrap();
        assert_eq!(&two, b"ab");
        let report = xmpp_close::close(RustlsTransport::from(blocking));
        assert_eq!((report.outcome, report.stanzas), (Outcome::Clean, 5), "{report}");
        assert_eq!(report.initiator, Some(Initiator::Us));
        peer.join();
    }
}

/// What is wanted of the session and the socket under it is asked before the close.
#[test]
fn a_stream_shows_the_session_and_the_socket_under_it() {
    for version in [Version::Tls12, Version::Tls13] {
        let case = Case { ours: Library::Rustls, theirs: Library::Openssl, version, client: true, batch: false };
        let (ours, theirs) = peer::pair();
        let address = theirs.local_addr().unwrap();
        let (_over, deliveries) = std::sync::mpsc::channel();
        let peer = script::start(case, theirs, deliveries, |mut peer| {
            let header = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>";
            peer.read_tag().send(header.to_owned() + TAG).notify().expect_notify_and_fin();
        });
        let mut tls = RustlsTransport::new(setup::rustls_client(version), ours);
        tls.handshake(PATIENCE).unwrap();
        let stream = Stream::new(tls);
        assert_eq!(stream.get_ref().session().peer_certificates().map(|chain| chain.is_empty()), Some(false));
        assert_eq!(stream.get_ref().get_ref().peer_addr().unwrap(), address);
        let report = stream.close(&CloseOptions::new()).unwrap();
        assert!(report.is_clean(), "{report}");
        peer.join();
    }
}

/// A tag that had been decrypted before ours was written acknowledges nothing (I-09).
#[test]
fn a_tag_that_a_blocking_rustls_stream_has_decrypted_crosses_ours() {
    for version in [Version::Tls12, Version::Tls13] {
        let case = Case { ours: Library::Rustls, theirs: Library::Openssl, version, client: true, batch: false };
        let (ours, theirs) = peer::pair();
        let (_over, deliveries) = std::sync::mpsc::channel();
        let peer = script::start(case, theirs, deliveries, |mut peer| {
            peer.send("ab".to_owned() + TAG).read_tag().notify().expect_notify_and_fin();
        });
        let mut blocking = StreamOwned::new(setup::rustls_client(version), ours);
        blocking.read_exact(&mut [0; 2]).unwrap();
        let report = xmpp_close::close(RustlsTransport::from(blocking));
        assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Crossing)), "{report}");
        peer.join();
    }
}

/// A session that is not ready shakes hands by itself, inside the deadline of the close.
#[test]
fn a_rustls_session_that_has_not_begun_shakes_hands_within_the_close() {
    for version in [Version::Tls12, Version::Tls13] {
        let case = Case { ours: Library::Rustls, theirs: Library::Openssl, version, client: true, batch: false };
        let (ours, theirs) = peer::pair();
        let (_over, deliveries) = std::sync::mpsc::channel();
        let peer = script::start(case, theirs, deliveries, |mut peer| {
            peer.read_tag().send(TAG).notify().expect_notify_and_fin();
        });
        let report = xmpp_close::close(RustlsTransport::new(setup::rustls_client(version), ours));
        assert_eq!((report.outcome, alerts(&report)), (Outcome::Clean, (true, true)), "{report}");
        peer.join();

        let (ours, theirs) = peer::pair();
        let start = Instant::now();
        let limit = Duration::from_millis(300);
        let silent = RustlsTransport::new(setup::rustls_client(version), ours);
        let report = CloseOptions::new().total(limit).close(silent).unwrap();
        assert!(start.elapsed() >= limit && start.elapsed() < limit + SLACK);
        assert_eq!((report.outcome, report.bytes_unsent), (Outcome::Stalled, TAG.len() as u64), "{report}");
        drop(theirs);
    }
}

/// TC-18: a socket that was only lent comes back as it was, when the close succeeds and when it does not.
#[test]
fn a_borrowed_socket_below_tls_comes_back_as_it_was() {
    for nonblocking in [false, true] {
        each(Case::against_rustls().into_iter().filter(|case| case.ours == Library::Openssl).collect(), |case| {
            let (ours, theirs) = peer::pair();
            ours.set_nonblocking(nonblocking).unwrap();
            let (_over, deliveries) = std::sync::mpsc::channel();
            let peer = script::start(case, theirs, deliveries, |mut peer| {
                peer.read_tag().send(TAG).expect_notify().notify().expect_fin();
            });
            let ssl = SslStream::new(setup::openssl(case.version, true), ours.try_clone().unwrap()).unwrap();
            let mut transport = over(OpensslSession(ssl), ours.as_fd()).unwrap();
            transport.handshake(PATIENCE).unwrap();
            assert!(xmpp_close::close(transport).is_clean());
            assert_eq!(socket2::SockRef::from(&ours).nonblocking().unwrap(), nonblocking);
            peer.join();
        });
    }
}

/// TL-12, libstrophe#136: whatever is asked of the transport, a session that failed is not touched again.
#[test]
fn a_session_that_failed_is_left_alone() {
    struct Broken;
    impl TlsSession for Broken {
        fn read(&mut self, _: &mut [u8]) -> Result<usize, TlsError> {
            Err(TlsError::Failed("bad record".into()))
        }
        fn write(&mut self, _: &[u8]) -> Result<usize, TlsError> {
            panic!("written after a failure")
        }
        fn close_notify(&mut self) -> Result<(), TlsError> {
            panic!("close_notify after a failure")
        }
    }
    let (ours, theirs) = peer::pair();
    let mut transport = over(Broken, ours).unwrap();
    for result in [transport.try_read(&mut [0; 10]), transport.try_write(b"x"), transport.notify().map(|()| 0)] {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidData);
    }
    drop(transport);
    assert_eq!(theirs.peek(&mut [0; 10]).unwrap(), 0);
}

/// 1 000 closes one after the other leave no descriptor behind.
#[test]
fn a_thousand_closes_leave_no_descriptor_behind() {
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let one = |case| {
        let (ours, _, peer) = connect(case, peer::pair(), |mut peer| {
            peer.read_tag().send(TAG).notify().expect_notify_and_fin();
        });
        assert!(xmpp_close::close(ours).is_clean());
        peer.join();
    };
    let cases = Case::all();
    one(cases[0]);
    let before = descriptors();
    for case in cases.iter().cycle().take(1000) {
        one(*case);
    }
    // Other tests run beside this one, with a few descriptors each at any moment.
    assert!(descriptors() < before + 500, "{before} descriptors before, {} after", descriptors());
}
