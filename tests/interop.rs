//! The other ends that exist: Prosody, ejabberd and jabberd2 from Debian's packages, each in every situation in which
//! a stream ends; and what is lost when a stream ends the old way.
//!
//! `cargo test --all-features --test interop -- --nocapture` shows the figures;
//! with `INTEROP_REPORT=docs/interop.md` in front, it writes them there.

#[path = "support/client.rs"]
mod client;
#[path = "support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "the probe uses all of it")]
#[path = "../examples/shared/login.rs"]
mod login;
#[path = "support/managed.rs"]
mod managed;
#[path = "support/prosody.rs"]
mod prosody;
#[allow(dead_code, reason = "the probe uses all of it")]
#[path = "../examples/shared/sm.rs"]
mod sm;

#[path = "interop/ejabberd.rs"]
mod ejabberd;
#[path = "interop/expected.rs"]
mod expected;
#[path = "interop/fate.rs"]
mod fate;
#[path = "interop/jabberd2.rs"]
mod jabberd2;
#[path = "interop/matrix.rs"]
mod matrix;
#[path = "interop/ours.rs"]
mod ours;
#[path = "interop/party.rs"]
mod party;
#[path = "interop/recorded.rs"]
mod recorded;
#[path = "interop/resumption.rs"]
mod resumption;
#[path = "interop/servers.rs"]
mod servers;
#[path = "interop/session.rs"]
mod session;
#[cfg(feature = "rustls")]
#[path = "interop/starttls.rs"]
mod starttls;
#[path = "interop/theirs.rs"]
mod theirs;

use client::{Connect, Plain};
use ejabberd::Ejabberd;
use jabberd2::Jabberd2;
use matrix::{Run, Sheet, Situation, Way};
use party::{Account, Component, Party};
use prosody::Prosody;
use servers::Server;

/// We end the stream of a client or a component, with nothing in flight, and with 2 000 messages and more.
fn we_end<P: Party>(sheet: &mut Sheet, party: &P, server: &mut dyn Server) {
    for way in [Way::Handshake, Way::HalfClose, Way::Old] {
        if way == Way::HalfClose && P::LINK == "STARTTLS" {
            continue; // over TLS there is no half-close
        }
        if way != Way::Old {
            sheet.cell(Situation::Idle, way, |_| Some(ours::idle(party, server, way)));
        }
        sheet.cell(Situation::Waiting, way, |loss| Some(ours::waiting(party, server, way, false, loss)));
        sheet.cell(Situation::Live, way, |loss| Some(ours::live(party, server, way, loss)));
        if way == Way::Handshake || P::LINK != Component::LINK {
            sheet.cell(Situation::BothWays, way, |loss| Some(ours::waiting(party, server, way, true, loss)));
        }
    }
}

fn they_end<C: Connect>(sheet: &mut Sheet, party: &Account<C>, server: &mut dyn Server) {
    for situation in [Situation::Kicked, Situation::KickedWithError, Situation::Replaced] {
        for way in [Way::Answer, Way::Unread] {
            sheet.cell(situation, way, |_| theirs::ended(party, server, situation, way));
        }
    }
    sheet.cell(Situation::Stopped, Way::Answer, |_| theirs::ended(party, server, Situation::Stopped, Way::Answer));
    sheet.cell(Situation::StoppedWaiting, Way::Answer, |loss| Some(theirs::stopped_waiting(party, server, loss)));
    // The last one, because it is measured with another configuration.
    sheet.cell(Situation::Silent, Way::Answer, |_| theirs::ended(party, server, Situation::Silent, Way::Answer));
}

fn client_streams<C: Connect>(how: C, server: &mut dyn Server) {
    let mut sheet = Sheet::new(server, C::NAME);
    let party = Account(how);
    we_end(&mut sheet, &party, server);
    they_end(&mut sheet, &party, server);
    sheet.finish();
}

fn component_streams(server: &mut dyn Server) {
    let mut sheet = Sheet::new(server, Component::LINK);
    we_end(&mut sheet, &Component, server);
    sheet.finish();
}

fn server_streams(server: &mut dyn Server) {
    let mut sheet = Sheet::new(server, "s2s");
    sheet.cell(Situation::Idle, Way::Handshake, |_| {
        let report = session::open_as_server(server).close(&xmpp_close::CloseOptions::new()).unwrap();
        Some(Run { report: Some(report), ..Run::default() })
    });
    sheet.finish();
}

macro_rules! streams_with {
    ($($server:ident: $start:expr;)*) => {$(
        mod $server {
            use super::*;

            #[test]
            fn client_streams_in_plaintext_end_as_expected() {
                client_streams(Plain, &mut $start);
            }

            #[cfg(feature = "rustls")]
            #[test]
            fn client_streams_over_starttls_end_as_expected() {
                let mut server = $start;
                client_streams(starttls::StartTls::to(&server), &mut server);
            }

            #[test]
            fn component_and_server_streams_end_as_expected() {
                let mut server = $start;
                component_streams(&mut server);
                server_streams(&mut server);
            }

            #[test]
            fn whole_sessions_are_framed_to_their_ends() {
                recorded::sessions_of(&mut $start);
            }
        }
    )*};
}

streams_with! {
    with_prosody: Prosody::start();
    with_ejabberd: Ejabberd::start();
    with_jabberd2: Jabberd2::start();
}
