//! Every fault at every step, on every side, through every API; and random scripts of many faults.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{TestError, TestRunner},
};

use crate::{
    apis::Api,
    case::{Case, ENDS, SIDES, WIRES, crossing},
    script::{
        End, Script,
        Step::{self, *},
        script,
    },
    times,
};

/// Cases at a time; each has a thread for its peer, too.
const WORKERS: usize = 4;
/// One test at a time, so that there are no more threads.
static TURN: Mutex<()> = Mutex::new(());

const USUAL: [Step; 5] = [Stanzas(3), Read, Stanzas(2), Tag, Delay(1)];
const FAULTS: [Step; 11] =
    [Delay(15), Split(1), SplitTag, Half, Coalesced(2), Tag, Error, Garbage, Read, ReadSlowly, HalfClose];

/// The usual script with one fault, or one end, at each of its steps.
fn scripts() -> Vec<Script> {
    let mut scripts = Vec::new();
    for place in 0..=USUAL.len() {
        for fault in FAULTS {
            let mut steps = USUAL.to_vec();
            steps.insert(place, fault);
            scripts.push((steps, End::Close));
        }
        scripts.extend(ENDS.map(|end| (USUAL[..place].to_vec(), end)));
    }
    scripts
}

#[test]
fn one_fault_at_every_step_through_every_api() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut cases = Vec::new();
    for script in scripts() {
        for side in SIDES {
            for api in Api::ALL {
                let wire = WIRES[cases.len() % WIRES.len()];
                let farewell = [0, 0, 500, 400_000][cases.len() / 5 % 4];
                cases.push(Case { script: crossing(side, script.clone()), side, wire, api, farewell });
            }
        }
    }
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Relaxed)) {
                    if let Err(why) = case.run() {
                        wrong.lock().unwrap().push(format!("{why}\n    {case:?}"));
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong[..wrong.len().min(9)].join("\n"));
    println!("{} cases", cases.len());
}

fn case() -> impl Strategy<Value = Case> {
    let how = (select(&SIDES[..]), select(&WIRES[..]), select(&Api::ALL[..]));
    (how, script(), select(&[0, 0, 500, 400_000][..])).prop_map(|((side, wire, api), script, farewell)| Case {
        script: crossing(side, script),
        side,
        wire,
        api,
        farewell,
    })
}

#[test]
fn many_faults_at_random() {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let cases = 800 * times();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(move || {
                let config =
                    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 300, ..Default::default() };
                let result = TestRunner::new(config).run(&case(), |case| case.run().map_err(TestCaseError::fail));
                match result {
                    Err(TestError::Fail(why, case)) => panic!("{why}\n    {case:?}"),
                    result => result.unwrap(),
                }
            });
        }
    });
    println!("{} cases", cases as usize * WORKERS);
}
