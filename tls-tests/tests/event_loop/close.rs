//! The handshake over TLS, whoever begins: nothing is lost, and the alerts have their place.

use crate::{
    client::{TAG, iq, iq_result},
    peer,
    programs::{Server, Variant},
    server::{FOREVER, TlsClient, cases, each, start},
    setup::{self, Version},
    under_load::{self, Peer},
};

const CHECKED: [Variant; 3] = [Variant::Shared, Variant::Sanitized, Variant::Valgrind];
const ACK: &str = "<a xmlns='urn:xmpp:sm:3' h='1'/>";

#[test]
fn an_idle_stream_is_closed_without_losing_what_is_in_flight() {
    let test = |server: &_, case| {
        let mut client = TlsClient::open(server, case);
        assert_eq!(client.read_until(TAG), TAG);
        client.send(&peer::stanzas(100));
        server.wait_for("the last of them", |line| line == format!("[{}] late message 99", client.number));
        client.tls.expect_silence(); // TL-04
        client.send(TAG);
        let number = client.number;
        client.expect_end();
        assert_eq!(server.ending(number), "clean, 100 late stanzas");
    };
    each(&CHECKED, 10, FOREVER, test, |server| drop(server.stop()));
}

#[test]
fn the_peer_closes_first_and_gets_what_it_is_owed() {
    let test = |server: &_, case| {
        let mut client = TlsClient::open(server, case);
        client.send(&format!("<enable xmlns='urn:xmpp:sm:3'/>{}{TAG}", iq("owed")));
        assert_eq!(client.read_until("/>"), "<enabled xmlns='urn:xmpp:sm:3'/>");
        assert_eq!(client.read_until(TAG), format!("{}{ACK}{TAG}", iq_result("owed")));
        client.expect_end();
    };
    each(&CHECKED, FOREVER, FOREVER, test, |server| drop(server.stop()));
}

/// Tag and alert come at once, before anything was answered.
#[test]
fn everything_in_one_burst_is_answered() {
    let test = |server: &_, case| {
        let mut client = TlsClient::open(server, case);
        client.tls.in_one_burst(|tls| {
            tls.send(format!("{}{TAG}", iq("owed"))).notify();
        });
        assert_eq!(client.read_until(TAG), format!("{}{TAG}", iq_result("owed")));
        client.tls.expect_notify_and_fin();
        assert_eq!(server.ending(client.number), "clean, 0 late stanzas");
    };
    each(&CHECKED, FOREVER, FOREVER, test, |server| drop(server.stop()));
}

#[test]
fn sigterm_closes_every_stream_in_form() {
    let test = |server: &Server, case| {
        let mut client = TlsClient::open(server, case);
        client.send("<enable xmlns='urn:xmpp:sm:3'/><message id='1'/>");
        assert_eq!(client.read_until("<message id='1'/>"), "<enabled xmlns='urn:xmpp:sm:3'/><message id='1'/>");
        let number = client.number;
        for each in 1..=4 {
            server.wait_for("all streams", |line| line == format!("[{each}] message 1"));
        }
        server.send_sigterm();
        let end = client.read_until(TAG);
        assert!(end.starts_with(&format!("{ACK}<stream:error><system-shutdown ")), "{end}");
        client.send(&peer::stanzas(10));
        server.wait_for("the last of them", |line| line == format!("[{number}] late message 9"));
        client.tls.expect_silence();
        client.send(TAG);
        client.expect_end();
        assert_eq!(server.ending(number), "clean, 10 late stanzas");
    };
    each(&CHECKED, FOREVER, FOREVER, test, |server| {
        let lines = server.finish();
        assert!(lines.iter().any(|line| line.starts_with("closed 4 streams, ") && line.ends_with(" ms: 4 clean")));
    });
}

#[test]
fn two_hundred_streams_are_closed_at_once_and_nothing_is_lost() {
    under_load::close_all::<TlsClient>(start(Variant::Sanitized, FOREVER, 100), 200, 4);
}

#[test]
fn what_is_queued_at_sigterm_precedes_the_tag() {
    setup::each_at_once(cases(), |case| {
        let server = start(Variant::Sanitized, FOREVER, FOREVER);
        let client = TlsClient::open(&server, case);
        let tcp = client.tls.tcp.try_clone().unwrap();
        under_load::close_with_a_full_queue(server, client, tcp, |client, xml| {
            client.tls.encrypted(|tls| {
                tls.send(xml);
            })
        });
    });
}

#[test]
fn records_that_come_in_pieces_are_records() {
    let test = |server: &_, case| {
        let mut client = TlsClient::open(server, case);
        let bytes = client.tls.encrypted(|tls| {
            tls.send(iq("owed")).send(TAG);
        });
        for byte in bytes {
            client.tls.write_below(&[byte]);
        }
        assert_eq!(client.read_until(TAG), format!("{}{TAG}", iq_result("owed")));
        client.expect_end();
    };
    each(&[Variant::Static], FOREVER, FOREVER, test, |server| drop(server.stop()));
}

/// The first half of a record comes before SIGTERM, the second after the server's tag: another reader goes on with it.
#[test]
fn a_record_may_come_before_and_after_sigterm() {
    for version in [Version::Tls12, Version::Tls13] {
        let server = start(Variant::Sanitized, FOREVER, FOREVER);
        let case = cases().into_iter().find(|case| case.version == version).unwrap();
        let mut client = TlsClient::open(&server, case);
        let bytes = client.tls.encrypted(|tls| {
            tls.send("<message id='1'/>").send(format!("<message id='split'/>{TAG}"));
        });
        let (start, rest) = bytes.split_at(bytes.len() - 10);
        client.tls.write_below(start);
        assert_eq!(client.read_until("<message id='1'/>"), "<message id='1'/>");
        server.send_sigterm();
        client.read_until(TAG);
        client.tls.expect_silence();
        client.tls.write_below(rest);
        let number = client.number;
        client.expect_end();
        assert!(server.finish().contains(&format!("[{number}] ended: clean, 1 late stanzas")), "{version:?}");
    }
}
