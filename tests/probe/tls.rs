//! The probe and TLS servers of every kind, scripted.

use std::{net::Shutdown, sync::Arc};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::*;
use crate::daemon::Home;

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A certificate for `localhost`, in a directory of its own.
fn identity() -> Home {
    let home = Home::new();
    home.make_certificate();
    home
}

/// A server that speaks TLS from the first byte. The socket is that below TLS.
fn tls_server(home: &Home, serve: impl FnOnce(&mut Tls, &TcpStream) -> io::Result<()> + Send + 'static) -> String {
    let session = session(home);
    server(move |tcp| {
        let socket = tcp.try_clone()?;
        serve(&mut StreamOwned::new(session, tcp), &socket)
    })
}

fn session(home: &Home) -> ServerConnection {
    let chain = vec![CertificateDer::from_pem_file(home.join("cert.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(home.join("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    ServerConnection::new(Arc::new(config.with_single_cert(chain, key).unwrap())).unwrap()
}

/// Opens a stream, and awaits the other's closing tag.
fn stream_to_its_end(peer: &mut (impl Read + Write)) -> io::Result<()> {
    await_text(peer, "streams'>")?;
    peer.write_all(format!("{HEADER}{FEATURES}").as_bytes())?;
    await_text(peer, TAG)
}

fn notify(tls: &mut Tls) -> io::Result<()> {
    tls.conn.send_close_notify();
    tls.flush()
}

/// Reads to the end of TCP, so that no RST disturbs.
fn linger(mut socket: &TcpStream) -> io::Result<()> {
    socket.shutdown(Shutdown::Write)?;
    read_to_end(&mut socket)
}

fn labels<'a>(result: &'a Value, from: &str) -> Vec<&'a str> {
    let entries = result["timeline"].array().iter().filter(|entry| entry["from"].text() == from);
    entries.map(|entry| entry["what"].text()).collect()
}

fn direct(address: &str, more: &[&str]) -> Output {
    probe(&[&[address, "--tls", "direct", "--insecure", "--domain", "localhost"], more].concat())
}

#[test]
fn the_certificate_is_checked_against_the_roots_and_the_domain() {
    let home = identity();
    let start = || {
        tls_server(&home, |tls, socket| {
            stream_to_its_end(tls)?;
            tls.write_all(TAG.as_bytes())?;
            notify(tls)?;
            linger(socket)
        })
    };
    let run = |domain, roots: &Path| {
        probe_with(&[&start(), "--tls", "direct", "--domain", domain, "--json"], &[("SSL_CERT_FILE", roots)])
    };
    let (own, other) = (home.join("cert.pem"), identity());
    let trusted = run("localhost", &own);
    assert_eq!(trusted.status.code(), Some(0), "{trusted:?}");
    assert_eq!(json(&trusted)["tls"]["certificate_checked"], true);
    assert_failure(&run("example.org", &own), 8, "it is not for example.org");
    assert_failure(&run("localhost", &other.join("cert.pem")), 8, "no authority that this system trusts");
    assert_failure(&run("localhost", Path::new("/dev/null")), 8, "--insecure accepts any");
    assert_failure(&run("no name", &own), 2, "no certificate can be for no name");
}

#[test]
fn an_end_without_close_notify_after_both_tags_is_clean_and_shown() {
    let home = identity();
    let file = scratch("unannounced.svg");
    let address = tls_server(&home, |tls, socket| {
        stream_to_its_end(tls)?;
        tls.write_all(format!("<message/><message/>{TAG}").as_bytes())?;
        linger(socket)
    });
    let output = direct(&address, &["--json", "--svg", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let result = json(&output);
    let report = &result["report"];
    assert_eq!((report["outcome"].text(), report["stanzas"].number()), ("clean", 2.0));
    assert_eq!(
        (&report["close_notify_sent"], &report["close_notify_received"]),
        (&Value::Bool(true), &Value::Bool(false))
    );
    assert_eq!(labels(&result, "peer").last(), Some(&"FIN without close_notify"));
    let ours = labels(&result, "us");
    assert_eq!(ours[ours.iter().position(|what| *what == TAG).unwrap()..], [TAG, "close_notify", "FIN"]);
    let texts = svg_texts(&file);
    for wanted in ["close_notify", "FIN without close_notify", "close_notify: ours only"] {
        assert!(texts.iter().any(|text| text.contains(wanted)), "{wanted} in {texts:?}");
    }
}

#[test]
fn the_alerts_are_shown_to_people() {
    let home = identity();
    let address = tls_server(&home, |tls, socket| {
        stream_to_its_end(tls)?;
        tls.write_all(TAG.as_bytes())?;
        read_to_end(tls)?; // to our alert
        notify(tls)?;
        linger(socket)
    });
    let output = direct(&address, &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines: Vec<_> = output.stdout.lines().filter(|line| line.contains("close_notify")).collect();
    let is_shown = |arrow| lines.iter().any(|line| line.contains(arrow));
    assert!(
        is_shown("│ close_notify ─") && is_shown("─ close_notify │") && is_shown("ours and the peer's"),
        "{lines:?}"
    );
    assert!(output.stdout.contains("TLS 1.3, certificate not checked"), "{}", output.stdout);
}

#[test]
fn ends_of_tls_before_the_tag_are_told_apart() {
    let home = identity();
    for (announced, outcome, label) in
        [(true, "peer-eof", "close_notify"), (false, "truncated", "FIN without close_notify")]
    {
        let address = tls_server(&home, move |tls, socket| {
            stream_to_its_end(tls)?;
            if announced {
                notify(tls)?;
            }
            linger(socket)
        });
        let output = direct(&address, &["--json"]);
        assert_failure(&output, 1, outcome);
        let result = json(&output);
        assert_eq!(result["report"]["close_notify_received"], announced);
        assert!(labels(&result, "peer").contains(&label), "{result:?}");
    }
}

#[test]
fn a_port_without_tls_has_its_own_code() {
    let plaintext = server(|mut tcp| {
        tcp.write_all(format!("{HEADER}<stream:error/>{TAG}").as_bytes())?;
        read_to_end(&mut tcp)
    });
    assert_failure(&direct(&plaintext, &[]), 9, "the server does not answer in TLS");
    let hangs_up = server(|mut tcp| tcp.read_exact(&mut [0; 5]).and_then(|()| linger(&tcp)));
    assert_failure(&direct(&hangs_up, &[]), 9, "ended the connection in the TLS handshake");
    let silent = server(|mut tcp| read_to_end(&mut tcp));
    assert_failure(&direct(&silent, &["--total", "0.3"]), 9, "in time");
}

#[test]
fn a_tls_port_spoken_to_in_plaintext_is_recommended_direct_tls() {
    let home = identity();
    let address = tls_server(&home, |tls, socket| {
        let _ = tls.read(&mut [0]); // sends the alert
        linger(socket)
    });
    assert_failure(&probe(&[&address]), 4, "--tls direct");
}

#[test]
fn starttls_that_comes_to_nothing_has_its_own_code() {
    let start = |answer: &'static str, then: fn(&mut TcpStream) -> io::Result<()>| {
        server(move |mut tcp| {
            await_text(&mut tcp, "streams'>")?;
            let starttls = "starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'";
            tcp.write_all(format!("{HEADER}<stream:features><{starttls}/></stream:features>").as_bytes())?;
            await_text(&mut tcp, "tls'/>")?;
            tcp.write_all(answer.as_bytes())?;
            then(&mut tcp)
        })
    };
    let run = |address: &str| probe(&[address, "--insecure", "--domain", "localhost", "--total", "0.5"]);
    let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>";
    assert_failure(&run(&start(failure, read_to_end)), 9, "refuses it");
    assert_failure(&run(&start(TAG, read_to_end)), 9, "closed the stream instead of sending");
    assert_failure(&run(&start("<presence/>", read_to_end)), 9, "no answer to STARTTLS");
    let proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    assert_failure(&run(&start(proceed, read_to_end)), 9, "in time");
    assert_failure(&run(&start(proceed, |tcp| tcp.shutdown(Shutdown::Both))), 9, "in the TLS handshake");
}
