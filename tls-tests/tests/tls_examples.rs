//! The examples of STARTTLS with other TLS crates than rustls, at Prosody, which runs on OpenSSL.
#![allow(unexpected_cfgs, reason = "the features are those of the library")]

#[path = "../../tests/support/daemon.rs"]
mod daemon;
#[path = "../../tests/support/example.rs"]
mod example;
#[path = "../../tests/support/prosody.rs"]
mod prosody;

use std::path::Path;

use daemon::DOMAIN;
use example::Output;
use prosody::Prosody;

fn run(name: &str, server: &Prosody, roots: &Path) -> Output {
    example::run(&example::build(name), &[DOMAIN, &server.addr.to_string()], &[("SSL_CERT_FILE", roots)])
}

#[test]
fn openssl_tells_of_both_alerts_and_native_tls_of_ours_alone() {
    let server = Prosody::start();
    for (name, received) in [("starttls_openssl", true), ("starttls_native", false)] {
        let output = run(name, &server, &server.home.join("cert.pem"));
        assert!(output.status.success(), "{name}: {output:?}");
        let lines: Vec<_> = output.stdout.lines().collect();
        assert!(lines[0].starts_with("clean: ") && lines[0].contains("begun by us"), "{name}: {output:?}");
        assert_eq!(lines[1..], [format!("close_notify sent: true, received: {received}")], "{name}");
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let server = Prosody::start();
    for name in ["starttls_openssl", "starttls_native"] {
        let output = run(name, &server, Path::new("/dev/null"));
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), ""), "{name}: {output:?}");
        assert!(output.stderr.contains("certificate verify failed"), "{name}: {output:?}");
    }
}
