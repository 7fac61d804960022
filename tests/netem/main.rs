//! Nothing is lost, and nothing hangs, over a bad network: delay, loss, reordering, and a link that goes down.
//!
//! `make netem`, as root, on Linux; docs/netem.md has the figures. `NETEM_CLOSES` in the environment says how many
//! closes each network sees.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "unshare(2), a TUN device, setrlimit(2)")]

mod closes;
mod link;
mod random;
mod relay;
mod round_trips;

use std::{collections::BTreeMap, env, time::Duration};

use closes::{Cut, Ending, Plan, STANZAS, Way, everything, numbers, wave};
use link::Link;
use relay::Quality;
use xmpp_close::Outcome;

/// How much later than its limit a close may return, with hundreds of threads on a busy machine.
const SLACK: Duration = Duration::from_secs(5);
const WAVE: usize = 250;

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// With the default limits: long enough for TCP to mend what the link did.
const PATIENT: Plan = Plan { total: xmpp_close::DEFAULT_TOTAL, patience: ms(35_000), cut: None };

#[test]
fn loss_delay_and_reordering() {
    let quality = Quality { delay: ms(100), jitter: ms(20), loss: 5, reorder: 25 };
    run("5 % loss, 100 ms ± 20 ms, 25 % reordered", quality, PATIENT);
}

#[test]
fn jitter_without_loss() {
    let quality = Quality { delay: ms(100), jitter: ms(50), loss: 0, reorder: 25 };
    run("100 ms ± 50 ms, 25 % reordered", quality, PATIENT);
}

const GOOD: Quality = Quality { delay: ms(50), jitter: ms(10), loss: 0, reorder: 5 };

/// TCP doubles its pauses while the link is down, and may stay silent for more than 10 s after it.
#[test]
fn a_link_that_goes_down_for_three_seconds_makes_no_close_time_out() {
    let cut = Some(Cut { after: ms(200), down: Some(ms(3000)) });
    let outcomes = run("50 ms ± 10 ms, down for 3 s", GOOD, Plan { cut, ..PATIENT });
    assert!(!outcomes.contains_key("timed-out"), "{outcomes:?}");
}

#[test]
fn a_link_that_goes_down_for_good() {
    let cut = Some(Cut { after: ms(200), down: None });
    let plan = Plan { total: ms(4000), patience: ms(8000), cut };
    let outcomes = run("50 ms ± 10 ms, down for good", GOOD, plan);
    assert!(outcomes.contains_key("timed-out"), "the link went down too late to harm anyone");
}

#[test]
fn a_close_takes_one_round_trip() {
    round_trips::measure();
}

/// What is missing, by how the closes ended.
#[derive(Default)]
struct Row {
    closes: usize,
    lost_to_us: usize,
    lost_to_peer: usize,
    longest: Duration,
}

/// Closes `NETEM_CLOSES` streams over such a link, and half as many the old way. Returns how often each outcome came.
fn run(name: &str, quality: Quality, plan: Plan) -> BTreeMap<String, usize> {
    raise_descriptors();
    let closes: usize = env::var("NETEM_CLOSES").map_or(200, |text| text.parse().unwrap());
    let link = Link::new(quality);
    let (mut wrong, mut outcomes) = (Vec::new(), BTreeMap::new());
    for way in [Way::Batch, Way::Threads, Way::Old] {
        let mut rows = BTreeMap::<String, Row>::new();
        let mut left = closes / 2;
        while left > 0 {
            let count = left.min(WAVE);
            left -= count;
            for end in wave(&link, way, count, plan) {
                let outcome = end.report.as_ref().map_or("unknown".into(), |report| report.outcome.to_string());
                let row = rows.entry(outcome).or_default();
                row.closes += 1;
                row.lost_to_us += STANZAS.saturating_sub(end.late.len());
                row.lost_to_peer += STANZAS.saturating_sub(numbers(&end.at_peer).len());
                row.longest = row.longest.max(end.elapsed);
                if let Some(promise) = broken_promise(&end, plan) {
                    let Ending { report, late, elapsed, at_peer, crosses } = end;
                    let got = format!("{} stanzas to us, {} bytes to the peer", late.len(), at_peer.len());
                    wrong.push(format!("{way:?}: {promise}; crosses: {crosses}, {got}, {elapsed:?}, {report:?}"));
                }
            }
        }
        for (outcome, Row { closes, lost_to_us, lost_to_peer, longest }) in rows {
            let longest = longest.as_secs_f64();
            println!("| {name} | {way:?} | {outcome} | {closes} | {lost_to_us} | {lost_to_peer} | {longest:.1} |");
            *outcomes.entry(outcome).or_default() += closes;
        }
    }
    assert!(wrong.is_empty(), "{} closes went wrong:\n{}", wrong.len(), wrong.join("\n"));
    outcomes
}

/// What is promised of every close, and what the report promises of this one.
fn broken_promise(end: &Ending, plan: Plan) -> Option<&'static str> {
    let everything = everything();
    if !(0..STANZAS).collect::<Vec<_>>().starts_with(&end.late) {
        return Some("not in order, or twice");
    }
    if end.elapsed > plan.total + SLACK {
        return Some("too late");
    }
    let report = end.report.as_ref()?;
    if !everything.starts_with(&end.at_peer) {
        return Some("the peer got something else");
    }
    let lacks = everything.len() - end.at_peer.len();
    // Only what the peer's kernel has not acknowledged can be missing, whatever the outcome is.
    if lacks as u64 > report.bytes_unsent + report.bytes_unacked {
        return Some("bytes are missing that were not reported");
    }
    match report.outcome {
        Outcome::Clean if end.late.len() < STANZAS => Some("clean, and stanzas to us are missing"),
        // A tag that was written before ours had been read says nothing about what we sent: on a link that stays down
        // that may be lost, though not without a word.
        Outcome::Clean if lacks > 0 && !(end.crosses && stays_down(plan)) => Some("clean, and the peer lacks bytes"),
        Outcome::Clean | Outcome::TimedOut => None,
        _ => Some("an outcome that no link brings about"),
    }
}

fn stays_down(plan: Plan) -> bool {
    plan.cut.is_some_and(|cut| cut.down.is_none())
}

/// A stream takes two, and the tests run at once.
fn raise_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) and setrlimit(2) with a struct of their own.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
    }
}
