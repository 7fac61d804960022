//! native-tls, which does not tell `close_notify` from the end of TCP, so that the library cannot tell them apart
//! either.

use std::{net::TcpStream, sync::mpsc, thread};

use native_tls::{Certificate, TlsConnector, TlsStream};
use xmpp_close::{CloseOptions, Error, Incoming, Initiator, Outcome, OverTls, Report, Stream, over};

use crate::{
    native_session::NativeSession,
    orders::alerts,
    peer::{self, TAG},
    script::{self, TlsPeer},
    setup::{self, Case, Library, NAME, Version},
};

/// The peers, for each of which the session is native-tls's.
fn cases() -> impl Iterator<Item = Case> {
    let sessions =
        [Library::Rustls, Library::Openssl].map(|theirs| [Version::Tls12, Version::Tls13].map(|v| (theirs, v)));
    let case = |(theirs, version)| Case { ours: Library::Openssl, theirs, version, client: true, batch: false };
    sessions.into_iter().flatten().map(case)
}

/// Does the TLS handshake, blocking.
pub fn connect(tcp: TcpStream) -> Result<TlsStream<TcpStream>, Error> {
    let root = Certificate::from_der(&setup::certificate()).unwrap();
    let connector = TlsConnector::builder().add_root_certificate(root).build().unwrap();
    connector.connect(NAME, tcp).map_err(|error| Error::Io(std::io::Error::other(error)))
}

fn session(tcp: TcpStream) -> OverTls<NativeSession, TcpStream> {
    over(NativeSession(connect(tcp.try_clone().unwrap()).unwrap()), tcp).unwrap()
}

fn close(case: Case, script: impl FnOnce(TlsPeer) + Send + 'static) -> (Vec<String>, Report) {
    let (ours, theirs) = peer::pair();
    let (delivered, deliveries) = mpsc::channel();
    let peer = script::start(case, theirs, deliveries, script);
    let mut closing = CloseOptions::new().begin(session(ours)).unwrap();
    let mut late = Vec::new();
    for stanza in closing.by_ref() {
        late.push(stanza.to_string());
        let _ = delivered.send(());
    }
    let report = closing.finish();
    drop(delivered);
    peer.join();
    (late, report)
}

#[test]
fn an_end_that_may_be_a_cut_is_a_truncation_before_the_tag_and_a_detail_behind_it() {
    for case in cases() {
        println!("{case:?}");
        for (tag, alert) in [(true, true), (true, false), (false, true), (false, false)] {
            let (late, report) = close(case, move |mut peer| {
                peer.read_tag().send("<message/>");
                if tag {
                    peer.send(TAG);
                }
                if alert {
                    peer.notify();
                }
                peer.fin().expect_notify_and_fin();
            });
            assert_eq!(late, ["<message/>"]);
            let outcome = if tag { Outcome::Clean } else { Outcome::Truncated };
            assert_eq!(
                (report.outcome, alerts(&report)),
                (outcome, (true, false)),
                "tag {tag}, alert {alert}: {report}"
            );
            assert_eq!((report.tag_received, report.os_error), (tag, None), "{report}");
        }
    }
}

#[test]
fn a_close_over_native_tls_loses_nothing_and_sends_its_alert_before_fin() {
    for case in cases() {
        println!("{case:?}");
        let (late, report) = close(case, |mut peer| {
            peer.read_tag().send(peer::stanzas(3)).until_delivered(3).expect_silence();
            peer.send(TAG).expect_notify().notify().expect_fin();
        });
        assert_eq!(late.concat(), peer::stanzas(3));
        assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Us)), "{report}");
        assert_eq!(alerts(&report), (true, false), "{report}");
    }
}

/// A write that the system refuses is no failure of TLS, whatever the library below says.
#[test]
fn a_peer_that_ends_tcp_while_our_farewell_waits_is_read_to_its_tag() {
    let farewell = format!("<message>{}</message>", "x".repeat(8 << 20));
    for case in cases() {
        let (ours, theirs) = peer::pair();
        let (_over, deliveries) = mpsc::channel();
        let options = CloseOptions::new().farewell(farewell.as_str());
        let peer = script::start(case, theirs, deliveries, |mut peer| {
            peer.send("<message/>").send(TAG); // and leaves, without reading
        });
        let session = session(ours);
        peer.join();
        let mut closing = options.begin(session).unwrap();
        let late: Vec<_> = closing.by_ref().map(|stanza| stanza.to_string()).collect();
        let report = closing.finish();
        assert_eq!((late.concat().as_str(), report.tag_received), ("<message/>", true), "{case:?}: {report}");
        assert_ne!(report.outcome, Outcome::TlsFailed, "{case:?}: {report}");
        assert!(report.bytes_unsent > 0, "{case:?}: {report}");
    }
}

#[test]
fn an_open_stream_over_native_tls_that_is_cut_is_an_end_without_a_tag() {
    for case in cases() {
        let (ours, theirs) = peer::pair();
        let (_over, deliveries) = mpsc::channel();
        let peer = script::start(case, theirs, deliveries, |mut peer| {
            peer.send("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>").fin();
            peer.read_tag().expect_notify_and_fin();
        });
        let mut stream = Stream::new(session(ours));
        assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
        let end = stream.receive().unwrap_err();
        assert!(matches!(&end, Error::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof), "{end}");
        let report = stream.close(&CloseOptions::new()).unwrap();
        assert_eq!((report.outcome, alerts(&report)), (Outcome::Truncated, (true, false)), "{report}");
        peer.join();
    }
}

/// What the handshake of a TLS crate makes of a socket with a timeout is its failure.
#[test]
fn a_blocking_tls_handshake_in_an_upgrade_may_take_longer_than_a_read_of_ours() {
    use openssl::ssl::SslStream;
    type Shake = fn(TcpStream, Version) -> Result<Box<dyn xmpp_close::Transport>, Error>;
    let native: Shake = |tcp, _| {
        let session = NativeSession(connect(tcp.try_clone()?)?);
        Ok(Box::new(over(session, tcp)?))
    };
    let openssl: Shake = |tcp, version| {
        let mut session = SslStream::new(setup::openssl(version, true), tcp.try_clone()?).unwrap();
        session.do_handshake().map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(Box::new(over(crate::openssl_session::OpensslSession(session), tcp)?))
    };
    let rustls: Shake = |mut tcp, version| {
        let mut session = setup::rustls_client(version);
        while session.is_handshaking() {
            session.complete_io(&mut tcp)?;
        }
        Ok(Box::new(xmpp_close::RustlsTransport::new(session, tcp)))
    };
    let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    thread::scope(|scope| {
        for case in cases() {
            for (name, shake) in [("native-tls", native), ("openssl", openssl), ("rustls", rustls)] {
                scope.spawn(move || {
                    let (ours, mut theirs) = peer::pair();
                    let peer = thread::spawn(move || {
                        use std::io::Write;
                        theirs
                            .write_all(format!("{header}<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").as_bytes())
                            .unwrap();
                        thread::sleep(std::time::Duration::from_millis(1200)); // the pause itself
                        let (_over, deliveries) = mpsc::channel();
                        let mut peer = TlsPeer::accept(case, theirs, deliveries);
                        peer.read_tag().send(header).send(TAG).expect_notify().notify().expect_fin();
                    });
                    let mut stream = Stream::new(ours);
                    assert!(matches!(stream.receive().unwrap(), Incoming::Header(_)));
                    assert!(matches!(stream.receive().unwrap(), Incoming::Stanza(_)));
                    let upgraded = stream.upgrade(|tcp| shake(tcp, case.version));
                    let mut stream = upgraded.unwrap_or_else(|error| panic!("{name}, {case:?}: {error}"));
                    stream.send(header).unwrap();
                    let report = stream.close(&CloseOptions::new()).unwrap();
                    assert!(report.is_clean(), "{name}, {case:?}: {report}");
                    peer.join().unwrap();
                });
            }
        }
    });
}
