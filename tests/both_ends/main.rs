//! Both ends at once: two engines, and everything that can happen between them, explored completely up to a bound.

mod check;
mod part;
mod peer;
mod step;
mod world;

use std::{
    collections::{BTreeSet, HashMap, VecDeque, hash_map::Entry},
    hash::{DefaultHasher, Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
};

use step::Move;
use world::{Rules, Time, World};
use xmpp_close::Tls;

fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Each world that was seen, with the one it came from.
type Seen = HashMap<u64, (u64, Option<Move>)>;

/// Shows the way to a broken rule.
fn broken(name: &str, seen: &Seen, mut at: u64, step: Option<Move>) -> ! {
    let mut way = Vec::from_iter(step);
    while let Some((before, Some(step))) = seen.get(&at) {
        way.push(*step);
        at = *before;
    }
    let steps: Vec<_> = way.iter().rev().map(ToString::to_string).collect();
    panic!("{name}: a rule is broken after:\n  {}", steps.join("\n  "));
}

/// Every world that can be reached, the nearest first. A rule that is broken is shown with the way to it.
fn explore(name: &str, rules: &Rules, start: World, outcomes: &mut BTreeSet<&'static str>) -> usize {
    let mut seen = Seen::from([(fingerprint(&start), (0, None))]);
    let mut next = VecDeque::from([start]);
    while let Some(world) = next.pop_front() {
        let from = fingerprint(&world);
        let moves = world.moves(rules);
        if moves.is_empty() && catch_unwind(AssertUnwindSafe(|| world.check_end())).is_err() {
            broken(name, &seen, from, None);
        }
        if moves.is_empty() {
            outcomes.insert(world.sides[0].engine.report().outcome.as_str());
        }
        for step in moves {
            let made = catch_unwind(AssertUnwindSafe(|| {
                let mut after = world.clone();
                after.make(step, rules.queue > 0);
                after.check();
                after
            }));
            let Ok(after) = made else { broken(name, &seen, from, Some(step)) };
            if let Entry::Vacant(entry) = seen.entry(fingerprint(&after)) {
                entry.insert((from, Some(step)));
                next.push_back(after);
            }
        }
    }
    println!("{name}: {} worlds", seen.len());
    seen.len()
}

const CALM: Rules = Rules {
    tls: Tls::No,
    half_close: [false; 2],
    stanzas: 1,
    room: 2,
    queue: 0,
    pauses: 0,
    starttls: false,
    faults: false,
    stops: false,
    time: Time::Stands,
};

/// The bound: small by default, and as in docs/guarantees.md for `make model`.
fn bound() -> Rules {
    if std::env::var_os("XMPP_CLOSE_DEEP").is_some() { Rules { stanzas: 2, room: 3, ..CALM } } else { CALM }
}

fn both_ends(name: &str, rules: &Rules) -> BTreeSet<&'static str> {
    let mut outcomes = BTreeSet::new();
    explore(name, rules, World::new(rules), &mut outcomes);
    outcomes
}

#[test]
fn without_faults_and_with_time_enough_every_end_is_clean() {
    for (name, tls) in [("plaintext", Tls::No), ("TLS", Tls::Yes)] {
        assert_eq!(both_ends(name, &Rules { tls, ..bound() }), BTreeSet::from(["clean"]));
    }
    for half_close in [[true, false], [true, true]] {
        assert_eq!(both_ends("half-close", &Rules { half_close, ..bound() }), BTreeSet::from(["clean"]));
    }
    let more = Rules { stanzas: 1, room: bound().room - 1, ..CALM };
    for (name, rules) in [
        ("queues of their own", Rules { queue: 2, ..more }),
        ("queues of their own, TLS", Rules { queue: 2, tls: Tls::Yes, ..more }),
        ("pauses", Rules { pauses: 1, ..more }),
        ("STARTTLS", Rules { starttls: true, half_close: [true, false], ..more }),
    ] {
        assert_eq!(both_ends(name, &rules), BTreeSet::from(["clean"]), "{name}");
    }
}

#[test]
fn whatever_breaks_the_rules_hold() {
    let room = bound().room - 1;
    // With the small bound, what breaks and what stops a close is tried apart.
    let (deep, stanzas) = (room > 1, u8::from(room > 1));
    let rules = Rules { stanzas: 1, room, faults: true, stops: deep, time: Time::Runs, ..CALM };
    for (name, rules) in [
        ("faults", rules),
        ("faults, TLS", Rules { tls: Tls::Yes, stanzas, ..rules }),
        ("stops", Rules { faults: deep, stops: true, stanzas, ..rules }),
        ("stops, TLS", Rules { tls: Tls::Yes, faults: deep, stops: true, stanzas, ..rules }),
        ("faults, stops, queues of their own", Rules { queue: 1, stops: true, stanzas, room: 1, ..rules }),
        ("faults, stops, pauses", Rules { pauses: 1, stops: true, stanzas: 0, ..rules }),
        ("faults, stops, STARTTLS", Rules { starttls: true, stops: true, stanzas: 0, room: 1, ..rules }),
    ] {
        // With the large one, `faults` has them, too.
        if !deep || !name.starts_with("stops") {
            both_ends(name, &rules);
        }
    }
}

#[test]
fn ends_built_by_others_lead_to_the_outcome_that_says_what_they_did() {
    use peer::Behaviour::*;
    let ends: [(_, &[&str]); 10] = [
        (Answers, &["clean"]),
        (Mute, &["timed-out"]),
        (Stuck, &["stalled", "timed-out"]),
        // In the middle of a stanza, or not.
        (EndsTcp, &["peer-eof", "truncated"]),
        // Its RST may come before our tag is written, or take its own tag with it.
        (TagWithoutReading, &["clean", "reset"]),
        (ErrorAndEnd, &["peer-eof", "reset"]),
        (HalfCloses, &["clean"]),
        (DropsAtOurEnd, &["clean"]),
        (TalksOn, &["clean"]),
        (Garbage, &["malformed"]),
    ];
    for (behaviour, expected) in ends {
        let name = format!("{behaviour:?}");
        // Only these wait for nothing but time.
        let time = if matches!(behaviour, Mute | Stuck) { Time::AtLast } else { Time::Stands };
        let rules = Rules { time, ..bound() };
        let mut outcomes = BTreeSet::new();
        explore(&name, &rules, World::against(behaviour, &rules), &mut outcomes);
        assert_eq!(outcomes, BTreeSet::from_iter(expected.iter().copied()), "{name}");
    }
}
