//! When the probe encrypts, and what it never says in the clear.

use std::{io::Write, sync::mpsc};

use super::*;
use crate::policy::{Step, Tls, may_send_password};

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// A server that offers these features, and closes in return; what it was told comes through the channel.
fn server_with(features: &str) -> (String, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let features = format!("{HEADER}<stream:features>{features}</stream:features>");
    let address = server(move |mut tcp| {
        tcp.write_all(features.as_bytes())?;
        let mut got = String::new();
        while !got.ends_with(TAG) {
            let mut byte = [0];
            tcp.read_exact(&mut byte)?;
            got.push(byte[0].into());
        }
        let _ = tell.send(got);
        tcp.write_all(TAG.as_bytes())?;
        read_to_end(&mut tcp)
    });
    (address, told)
}

#[test]
fn starttls_is_begun_when_asked_for_and_by_default_where_there_are_eavesdroppers() {
    for (tls, offered, loopback, step) in [
        (Tls::Unsaid, true, false, Step::Starttls),
        (Tls::Unsaid, true, true, Step::GoOn),
        (Tls::Unsaid, false, false, Step::GoOn),
        (Tls::Starttls, true, true, Step::Starttls),
        (Tls::Starttls, true, false, Step::Starttls),
        (Tls::Starttls, false, true, Step::GiveUp),
        (Tls::Starttls, false, false, Step::GiveUp),
        (Tls::No, true, false, Step::GoOn),
        (Tls::No, false, true, Step::GoOn),
        // What is direct has no plaintext stream.
        (Tls::Direct, true, true, Step::GiveUp),
    ] {
        assert_eq!(tls.step(offered, loopback), step, "{tls:?}, offered: {offered}, loopback: {loopback}");
    }
}

#[test]
fn a_password_goes_in_the_clear_over_loopback_only() {
    assert!(!may_send_password(false, false));
    assert!(may_send_password(false, true) && may_send_password(true, false) && may_send_password(true, true));
}

#[test]
fn over_loopback_starttls_is_not_begun_unasked() {
    let (address, told) = server_with(STARTTLS);
    let output = probe(&[&address, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(json(&output).says_null("tls"));
    assert!(!told.recv().unwrap().contains("starttls"));
}

#[test]
fn a_server_without_sasl_in_the_clear_is_recommended_starttls() {
    let (address, _) = server_with(STARTTLS);
    assert_failure(&probe(&[&address, "--jid", "a@localhost", "--password", "x"]), 5, "--tls starttls");
}

#[test]
fn a_server_that_hangs_up_on_plaintext_is_recommended_direct_tls() {
    let address = server(|mut tcp| await_text(&mut tcp, "streams'>"));
    assert_failure(&probe(&[&address]), 4, "--tls direct");
}

#[cfg(feature = "rustls")]
#[test]
fn where_starttls_is_not_offered_the_password_is_kept() {
    let plain = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>";
    let (address, told) = server_with(plain);
    let output = probe(&[&address, "--tls", "starttls", "--jid", "a@localhost", "--password", "x"]);
    assert_failure(&output, 9, "does not offer STARTTLS");
    let told = told.recv().unwrap();
    assert!(!told.contains("auth") && told.ends_with(TAG), "{told}");
}

#[cfg(not(feature = "rustls"))]
#[test]
fn a_probe_without_tls_says_how_to_build_one_with_it() {
    for args in [&["--tls", "starttls"][..], &["--tls", "direct"], &["--insecure"]] {
        assert_failure(&probe(&[&["127.0.0.1:1"], args].concat()), 2, "--features rustls");
    }
}
