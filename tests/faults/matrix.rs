//! Every fault at every step, on every side, through every API; and random scripts of many faults.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use proptest::{
    prelude::*,
    test_runner::{TestError, TestRunner},
};

use crate::{
    WIRES,
    faults::{
        apis::Api,
        case::{Case, ENDS, How, SIDES, Side, Wire, crossing},
        random::{HOWS, case},
        script::{
            End, Script,
            Step::{self, *},
        },
    },
    peer, times,
};

/// Cases at a time; each has a thread for its peer, too.
const WORKERS: usize = 4;
/// After so many failures the test ends: more cases would tell nothing new.
const ENOUGH: usize = 9;
/// One test at a time, so that there are no more threads.
static TURN: Mutex<()> = Mutex::new(());

const USUAL: [Step; 5] = [Stanzas(3), Read, Stanzas(2), Tag, Delay(1)];
const FAULTS: [Step; 14] = [
    Delay(15),
    Split(1),
    SplitTag,
    Half,
    Coalesced(2),
    Tag,
    Error,
    Garbage,
    Read,
    ReadSlowly,
    HalfClose,
    Notify,
    Cut,
    Cancel,
];

/// How long we wait for a peer that never ends the close, and how long when no time is left at all.
const PATIENCE: Duration = Duration::from_millis(150);

/// The usual script with one fault, or one end, at each of its steps.
fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for place in 0..=USUAL.len() {
        for fault in FAULTS {
            let mut steps = USUAL.to_vec();
            steps.insert(place, fault);
            // A peer that reads to the end sees all that we write, and one that closes does not wait for it.
            scripts.extend([End::Close, End::Hold].map(|end| (steps.clone(), end)));
        }
        scripts.extend(ENDS.map(|end| (USUAL[..place].to_vec(), end)));
    }
    scripts.extend(FAULTS.map(|fault| (vec![fault], End::Reset)));
    scripts
}

#[test]
fn one_fault_at_every_step_through_every_api() {
    let mut cases = Vec::new();
    for script in scripts() {
        for side in SIDES {
            for api in Api::ALL {
                let wire = WIRES[cases.len() % WIRES.len()];
                let farewell = [0, 0, 500, 400_000][cases.len() / 5 % 4];
                let how = HOWS[cases.len() / 11 % HOWS.len()];
                let (script, ready) = (crossing(side, script.clone()), cases.len() / 7 % 3 == 0);
                cases.push(Case { script, side, wire, api, how, farewell, ready, patience: PATIENCE });
            }
        }
    }
    run_all(cases);
}

#[test]
fn what_has_arrived_is_delivered_also_when_there_is_no_time() {
    let mut cases = Vec::new();
    for api in Api::ALL {
        for wire in WIRES {
            for (stanzas, farewell) in [(Stanzas(1), 0), (Stanzas(200), 0), (Split(3), 0), (Stanzas(40), 400_000)] {
                // A batch without time reads on for a tenth of a second: too short for thousands of reads under Wine.
                let many = matches!(stanzas, Stanzas(40..)) && wire == Wire::Chopped;
                if cfg!(windows) && many && matches!(api, Api::Batch | Api::BatchInC) {
                    continue;
                }
                let script = (vec![stanzas], End::Stall);
                let (side, how) = (Side::Initiator, How::Close);
                cases.push(Case { script, side, wire, api, how, farewell, ready: true, patience: Duration::ZERO });
            }
        }
    }
    run_all(cases);
}

#[test]
fn nothing_is_written_behind_our_tag_or_into_it() {
    let (side, how) = (Side::Initiator, How::Close);
    let mut cases = Vec::new();
    for api in Api::ALL {
        for wire in WIRES {
            for (step, farewell) in [(Garbage, 0), (Garbage, 500), (Error, 0), (Stanzas(9), 0)] {
                let script = (vec![step], End::Hold);
                cases.push(Case { script, side, wire, api, how, farewell, ready: true, patience: PATIENCE });
            }
        }
    }
    run_all(cases);
}

fn run_all(cases: Vec<Case>) {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // Under Wine every eleventh, which is prime to the numbers of scripts, sides, APIs and wires: some of each.
    let every = if cfg!(windows) { 11 } else { 1 };
    let cases: Vec<_> = cases.into_iter().filter(Case::exists).step_by(every).collect();
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
                    if wrong.lock().unwrap().len() >= ENOUGH {
                        return;
                    }
                    if let Err(why) = case.run() {
                        wrong.lock().unwrap().push(format!("{why}\n    {case:?}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    println!("{} cases", cases.len());
}

#[test]
fn many_faults_at_random() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let cases = peer::many(800) as u32 * times();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(move || {
                let config = ProptestConfig {
                    cases,
                    failure_persistence: None,
                    max_shrink_iters: 300,
                    max_shrink_time: 30_000,
                    ..Default::default()
                };
                let result = TestRunner::new(config)
                    .run(&case(&WIRES, PATIENCE), |case| case.run().map_err(TestCaseError::fail));
                match result {
                    Err(TestError::Fail(why, case)) => panic!("{why}\n    {case:?}"),
                    result => result.unwrap(),
                }
            });
        }
    });
    println!("{} cases", cases as usize * WORKERS);
}
