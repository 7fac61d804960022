//! The probe with Prosody at the other end: as a component, over STARTTLS, and over direct TLS.

use super::*;
use crate::{
    daemon::{COMPONENT, PASSWORD},
    prosody::Prosody,
};

#[test]
fn a_component_closes_cleanly_with_prosody() {
    let prosody = Prosody::start();
    let address = prosody.component.to_string();
    let output = probe(&[&address, "--component", COMPONENT, "--secret", PASSWORD, "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let result = json(&output);
    assert_eq!((result["jid"].text(), result["report"]["outcome"].text()), (COMPONENT, "clean"));
    assert!(!output.stdout.contains(PASSWORD), "{output:?}");

    let with = |name, secret| probe(&[&address, "--component", name, "--secret", secret]);
    assert_failure(&with(COMPONENT, "guess"), 5, "wants another secret");
    assert_failure(&with("other.localhost", PASSWORD), 6, "does not know the component other.localhost");
}

#[cfg(feature = "rustls")]
#[test]
fn tls_with_prosody_ends_with_both_alerts() {
    use crate::daemon::{DOMAIN, free_addresses};

    let mut prosody = Prosody::start();
    let [direct] = free_addresses();
    let configuration = prosody.home.read("prosody.cfg.lua");
    let ports = format!("c2s_direct_tls_ports = {{ {} }}", direct.port());
    prosody.terminate();
    prosody.home.write("prosody.cfg.lua", configuration.replace("c2s_direct_tls_ports = {}", &ports));
    prosody.restart();

    let jid = format!("alice@{DOMAIN}");
    for (way, address) in [("starttls", prosody.addr), ("direct", direct)] {
        let address = address.to_string();
        let run = |more: &[&str], roots: &Path| {
            let args = [&address, "--tls", way, "--jid", &jid, "--password", PASSWORD, "--json"];
            probe_with(&[&args, more].concat(), &[("SSL_CERT_FILE", roots)])
        };
        let nothing = Path::new("/dev/null");
        assert_failure(&run(&[], nothing), 8, "no authority that this system trusts has signed it");
        for (output, checked) in
            [(run(&["--insecure"], nothing), false), (run(&[], &prosody.home.join("cert.pem")), true)]
        {
            assert_eq!(output.status.code(), Some(0), "{way}: {output:?}");
            let result = json(&output);
            assert_eq!(result["tls"]["certificate_checked"], checked, "{way}");
            assert!(result["jid"].text().starts_with(&format!("{jid}/")), "{way}");
            let report = &result["report"];
            assert_eq!(report["outcome"].text(), "clean", "{way}");
            assert_eq!(report["close_notify_sent"], true, "{way}");
            assert_eq!(report["close_notify_received"], true, "{way}");
            both_alerts_are_shown(&result["timeline"]);
        }
    }
}

/// Both tags, and only then both alerts (TL-04).
#[cfg(feature = "rustls")]
fn both_alerts_are_shown(timeline: &Value) {
    let timeline = timeline.array();
    let find = |from, what: &str| {
        let is = |entry: &Value| entry["from"].text() == from && entry["what"].text().ends_with(what);
        timeline.iter().position(is).unwrap_or_else(|| panic!("{what} from {from} in {timeline:?}"))
    };
    let tags = find("us", TAG).max(find("peer", TAG));
    let alerts = [find("us", "close_notify"), find("peer", "close_notify")];
    assert!(alerts.iter().all(|alert| *alert > tags), "{timeline:?}");
    // It does not wait for our alert, which its kernel may answer so.
    let end = timeline.last().unwrap();
    assert!(end["from"].text() == "peer" && ["FIN", "RST"].contains(&end["what"].text()), "{timeline:?}");
    assert!(timeline[..tags].iter().any(|entry| entry["kind"].text() == "tls"), "{timeline:?}");
}
