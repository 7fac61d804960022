use std::path::Path;

use crate::{daemon::DOMAIN, example, prosody::Prosody};

fn run(server: &Prosody, roots: &Path) -> example::Output {
    example::run(&example::build("starttls_rustls"), &[DOMAIN, &server.addr.to_string()], &[("SSL_CERT_FILE", roots)])
}

#[test]
fn both_alerts_are_told_and_a_certificate_that_nobody_vouches_for_is_refused() {
    let server = Prosody::start();
    let output = run(&server, &server.home.join("cert.pem"));
    assert!(output.status.success(), "{output:?}");
    let lines: Vec<_> = output.stdout.lines().collect();
    assert!(lines[0].starts_with("clean: ") && lines[0].contains("begun by us"), "{output:?}");
    assert_eq!(lines[1..], ["close_notify sent: true, received: true"], "{output:?}");

    let output = run(&server, Path::new("/dev/null"));
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), ""), "{output:?}");
    assert!(output.stderr.contains("InvalidCertificate"), "{output:?}");
}
