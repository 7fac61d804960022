//! What each server is expected to do: when it changes, the suite fails.
//!
//! Where a server drops messages by itself, their number depends on which process runs when. So a cell only says
//! whether any are lost; the figures are shown.

use xmpp_close::Outcome::{self, Clean, PeerEof, Reset, Truncated};

use crate::matrix::{Situation, Way};

/// Whether messages are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    None,
    /// In some runs.
    Possible,
    /// In one of the runs at least.
    Certain,
}

pub struct Expected {
    /// How often a cell is measured before it is said that what takes a race does not happen.
    pub tries: usize,
    /// How the stream may end; empty for the old way, which does not wait for an end.
    pub outcomes: &'static [Outcome],
    /// The first outcome is seen in one of the runs at least.
    pub first_is_seen: bool,
    /// What the server may say, "" being nothing.
    pub conditions: &'static [&'static str],
    /// Whether messages to us are lost.
    pub lost: Loss,
    /// Whether messages of ours are lost.
    pub ours_lost: Loss,
}

const CLEAN: Expected = Expected {
    tries: 5,
    outcomes: &[Clean],
    first_is_seen: true,
    conditions: &[""],
    lost: Loss::None,
    ours_lost: Loss::None,
};
const CUT: &[Outcome] = &[Truncated, PeerEof, Reset];

pub fn expected(server: &str, link: &str, situation: Situation, way: Way) -> Expected {
    match situation {
        _ if way == Way::Old => old(situation),
        _ if way == Way::HalfClose => half_close(server, situation),
        Situation::Idle | Situation::Waiting | Situation::BothWays => CLEAN,
        Situation::Live => Expected { lost: live(server), ..CLEAN },
        Situation::Kicked | Situation::KickedWithError | Situation::Replaced => kicked(server, situation, way),
        Situation::Stopped | Situation::StoppedWaiting => stopped(server, situation),
        Situation::Silent => silent(server, link),
    }
}

fn old(situation: Situation) -> Expected {
    let (lost, ours_lost) = match situation {
        Situation::Waiting => (Loss::Certain, Loss::None),
        Situation::BothWays => (Loss::Certain, Loss::Certain),
        _ => (Loss::Possible, Loss::None),
    };
    Expected { outcomes: &[], lost, ours_lost, ..CLEAN }
}

fn half_close(server: &str, situation: Situation) -> Expected {
    match situation {
        // It may see our tag before our FIN, and then answer.
        Situation::Idle if server == "jabberd2" => CLEAN,
        Situation::Idle => Expected { tries: 100, outcomes: &[PeerEof, Clean], ..CLEAN },
        Situation::Live => {
            Expected { outcomes: &[PeerEof, Truncated, Clean], first_is_seen: false, lost: Loss::Possible, ..CLEAN }
        }
        // Rarely it leaves what its socket's queue still has: seen once, on a busy machine with Debian 13.
        _ if server == "ejabberd" => {
            Expected { outcomes: &[PeerEof, Truncated], first_is_seen: false, lost: Loss::Possible, ..CLEAN }
        }
        // While it reads what we have sent before, it also goes on writing, and may get done with both.
        Situation::BothWays => {
            let possible = Loss::Possible;
            Expected { outcomes: CUT, first_is_seen: false, lost: possible, ours_lost: possible, ..CLEAN }
        }
        _ => Expected { outcomes: CUT, first_is_seen: false, lost: Loss::Certain, ..CLEAN },
    }
}

/// Where bob goes on sending, the server decides what it still hands out. jabberd2's router throws away what it routes to a
/// component between that component's closing tag and the end of its turn (`_sx_nad_write` in sx/io.c): rarely anything.
fn live(server: &str) -> Loss {
    if server == "prosody" { Loss::None } else { Loss::Possible }
}

fn kicked(server: &str, situation: Situation, way: Way) -> Expected {
    let conditions: &[&str] = match (server, situation) {
        ("prosody", Situation::Kicked) => &[""],
        (_, Situation::Replaced) => &["conflict"],
        _ => &["policy-violation"],
    };
    if server == "prosody" && situation == Situation::Kicked {
        return Expected { conditions, ..CLEAN };
    }
    match way {
        Way::Unread => {
            Expected { outcomes: &[Clean, Reset], first_is_seen: false, conditions, ours_lost: Loss::Certain, ..CLEAN }
        }
        _ => Expected { conditions, ..CLEAN },
    }
}

fn stopped(server: &str, situation: Situation) -> Expected {
    let lost = match situation {
        Situation::StoppedWaiting if server != "prosody" => Loss::Certain,
        _ => Loss::None,
    };
    let (outcomes, conditions, ours_lost): (&[Outcome], &[&str], _) = match server {
        "prosody" => (&[Clean, PeerEof], &["system-shutdown", ""], Loss::None),
        "ejabberd" => (&[PeerEof, Clean, Truncated, Reset], &["system-shutdown", ""], Loss::None),
        // A tag without an error lets us send what we owe, to a socket that is gone.
        _ => (&[Reset, Clean, Truncated, PeerEof], &[""], Loss::Possible),
    };
    Expected { outcomes, first_is_seen: false, conditions, lost, ours_lost, ..CLEAN }
}

fn silent(server: &str, link: &str) -> Expected {
    match (server, link) {
        ("jabberd2", _) => Expected { conditions: &["host-gone"], ..CLEAN },
        // FIN alone; over TLS without `close_notify`.
        (_, "STARTTLS") => Expected { outcomes: &[Truncated], ..CLEAN },
        _ => Expected { outcomes: &[PeerEof], ..CLEAN },
    }
}
