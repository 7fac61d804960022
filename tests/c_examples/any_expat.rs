//! The examples with an expat that can put off parsing, and with an expat that cannot, whichever of them this machine
//! has.

use std::process::Command;

use crate::{
    clib,
    client::{Client, TAG, message},
    programs::{Server, Variant},
};

/// What a server has printed, with one stream that was opened and closed.
fn serve(name: &str, variant: Variant) -> Vec<String> {
    let server = Server::start(name, variant, 100_000, 100_000);
    let mut client = Client::open(server.port, &message(1));
    assert_eq!(client.read_until(&message(1)), message(1));
    client.send(TAG);
    assert_eq!(client.read_to_end(), TAG);
    assert_eq!(server.ending(client.number), "clean, 0 late stanzas");
    server.stop()
}

#[test]
fn with_an_expat_that_cannot_defer_the_servers_build_and_run() {
    for name in ["thread_server", "event_loop"] {
        let lines = serve(name, Variant::WithoutDeferral);
        assert!(!lines.iter().any(|line| line.starts_with("reparse deferral")), "{lines:?}");
    }
}

#[test]
fn with_an_expat_that_can_defer_the_servers_switch_it_off_for_each_stream() {
    for name in ["thread_server", "event_loop"] {
        let lines = serve(name, Variant::WithDeferral);
        let switched: Vec<_> = lines.iter().filter(|line| line.starts_with("reparse deferral")).collect();
        assert_eq!(switched, ["reparse deferral: 0"], "{lines:?}");
    }
}

#[test]
fn the_compiler_asks_for_the_expat_check_that_is_missing() {
    let file = clib::root().join("examples/c/stanza_parser.c");
    let output = Command::new("gcc").arg("-fsyntax-only").arg(file).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && complaint.contains("XML_SetReparseDeferralEnabled"), "{complaint}");
}
