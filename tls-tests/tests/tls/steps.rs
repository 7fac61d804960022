//! A close over TLS that an event loop drives step by step.
#![allow(unsafe_code, reason = "poll(2) is a system call")]

use std::{
    os::fd::{AsFd, AsRawFd},
    time::Instant,
};

use xmpp_close::{CloseOptions, Initiator, Outcome, Step};

use crate::{
    orders::alerts,
    ours::connect,
    peer::{self, PATIENCE, TAG},
    setup::{Case, each},
};

#[test]
fn a_close_over_tls_is_stepped_by_a_poll_loop() {
    each(Case::all().into_iter().filter(|case| !case.batch).collect(), |case| {
        let (ours, delivered, peer) = connect(case, peer::pair(), |mut peer| {
            peer.read_tag().send(peer::stanzas(50)).until_delivered(50).send(TAG).expect_notify().notify().expect_fin();
        });
        let mut closing = CloseOptions::new().total(PATIENCE).begin(ours).unwrap();
        let mut stanzas = String::new();
        let report = loop {
            match closing.step() {
                Step::Stanza(stanza) => {
                    stanzas += stanza.as_str();
                    delivered.send(()).unwrap();
                }
                Step::Wait(wait) => {
                    let events = if wait.read { libc::POLLIN } else { 0 } | if wait.write { libc::POLLOUT } else { 0 };
                    let limit = wait.deadline.unwrap().saturating_duration_since(Instant::now()).as_millis() as i32 + 1;
                    let fd = closing.as_fd().as_raw_fd();
                    assert_eq!(fd, closing.as_raw_fd());
                    let mut entry = libc::pollfd { fd, events, revents: 0 };
                    // SAFETY: one live entry, whose descriptor is open.
                    assert!(unsafe { libc::poll(&raw mut entry, 1, limit) } >= 0);
                }
                Step::Over(report) => break report,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(stanzas, peer::stanzas(50));
        assert_eq!((report.outcome, report.initiator), (Outcome::Clean, Some(Initiator::Us)), "{report}");
        assert_eq!(alerts(&report), (true, true), "{report}");
        peer.join();
    });
}
