//! Very many closes with random faults, through every API and over every transport: no rule is broken, and nothing
//! grows.
//!
//! `make soak` runs a million. The first tenth makes what a process makes once; the rest must leave the process as it
//! was.

use std::{
    fs,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use xmpp_close::Outcome;

use crate::{
    WIRES,
    faults::{case::Case, random::case},
    peer::{PATIENCE, wait_until},
};

/// Most of them wait.
const WORKERS: usize = 12;
/// Deadlines as short as the peer's pauses.
const SHORT: Duration = Duration::from_millis(15);
/// By how many KiB the memory in use may grow from the first tenth to the end.
const GROWTH_IN_USE: usize = 64;
/// And the memory resident: glibc keeps up to 40 MiB of the stacks of threads that have ended.
const GROWTH_RESIDENT: usize = 40 << 10;

/// What must not grow.
#[derive(Clone, Copy, Debug)]
struct Size {
    in_use_kib: usize,
    resident_kib: usize,
    descriptors: usize,
    threads: usize,
}

impl Size {
    fn now() -> Self {
        let count = |folder| fs::read_dir(folder).unwrap().count();
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            in_use_kib: heap_in_use() / 1024,
            resident_kib: pages * 4,
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
        }
    }
}

/// Bytes that are allocated, in Rust and in C.
#[allow(unsafe_code, reason = "the allocator is C's")]
fn heap_in_use() -> usize {
    // SAFETY: it has no precondition.
    let info = unsafe { libc::mallinfo2() };
    info.uordblks + info.hblkhd
}

#[derive(Default)]
struct Totals {
    outcomes: [usize; Outcome::ALL.len()],
    longest: Duration,
    longest_case: Option<Case>,
    again: usize,
    wrong: Vec<String>,
}

/// Runs `closes` of them.
fn run(closes: usize, totals: &Mutex<Totals>) {
    let left = AtomicUsize::new(closes);
    let (done, at_work) = (AtomicUsize::new(0), [const { Mutex::new(None::<(Instant, Case)>) }; WORKERS]);
    thread::scope(|scope| {
        for now in &at_work {
            scope.spawn(|| {
                let (cases, mut runner) = (case(&WIRES, SHORT), TestRunner::default());
                while left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let case = cases.new_tree(&mut runner).unwrap().current();
                    *now.lock().unwrap() = Some((Instant::now(), case.clone()));
                    let result = case.play_in_time();
                    let mut totals = totals.lock().unwrap();
                    match result {
                        Ok(played) => {
                            totals.outcomes[played.outcome as usize] += 1;
                            totals.again += played.again;
                            if played.late > totals.longest {
                                (totals.longest, totals.longest_case) = (played.late, Some(case));
                            }
                        }
                        Err(why) => {
                            println!("{why}\n    {case:?}");
                            totals.wrong.push(format!("{why}\n    {case:?}"));
                        }
                    }
                }
                *now.lock().unwrap() = None;
                done.fetch_add(1, Relaxed);
            });
        }
        while done.load(Relaxed) < WORKERS {
            thread::sleep(Duration::from_millis(20));
            for now in &at_work {
                if let Some((start, case)) =
                    now.lock().unwrap().as_ref().filter(|(start, _)| start.elapsed() > 4 * PATIENCE)
                {
                    eprintln!("it hangs since {:?}:\n    {case:?}", start.elapsed());
                    std::process::exit(1);
                }
            }
        }
    });
}

#[test]
fn a_great_many_closes_break_no_rule_and_leave_nothing_behind() {
    let closes: usize = std::env::var("CLOSES").map_or(3000, |closes| closes.parse().expect("CLOSES is a number"));
    let (start, totals, threads) = (Instant::now(), Mutex::default(), Size::now().threads);
    let at_rest = || {
        wait_until(|| Size::now().threads == threads); // the system takes its time over threads that have ended
        Size::now()
    };
    let mut sizes = Vec::new();
    for tenth in 1..=10 {
        run(closes / 10, &totals);
        sizes.push(at_rest());
        println!("{} closes: {:?}, {:?}", tenth * closes / 10, sizes[sizes.len() - 1], start.elapsed());
    }
    let (before, after) = (sizes[0], sizes[9]);
    let totals = totals.into_inner().unwrap();
    println!("{:.0} closes a second", closes as f64 / start.elapsed().as_secs_f64());
    for &outcome in Outcome::ALL {
        println!("{:>10} {outcome}", totals.outcomes[outcome as usize]);
    }
    println!("longest overrun of a deadline: {:?}, in {:?}", totals.longest, totals.longest_case);
    println!("played again, as it was later than that: {}", totals.again);
    assert!(totals.wrong.is_empty(), "{} closes broke a rule, see above", totals.wrong.len());
    assert_eq!(after.descriptors, before.descriptors, "descriptors are left behind");
    assert!(after.in_use_kib <= before.in_use_kib + GROWTH_IN_USE, "memory is left behind");
    assert!(after.resident_kib <= before.resident_kib + GROWTH_RESIDENT, "memory grows");
}
