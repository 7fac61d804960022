//! How a set of streams ended.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::report::{Outcome, Report};

/// How many streams of a batch ended how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Summary {
    /// How many there are.
    pub streams: usize,
    /// How many closes have begun.
    pub begun: usize,
    /// How many are over.
    pub ended: usize,
    /// Stanzas that arrived while closing, of all streams that are over.
    pub stanzas: u64,
    /// Time from [`Batch::run`](super::Batch::run) or [`set`](super::Batch::set) on.
    pub elapsed: Duration,
    outcomes: [usize; Outcome::ALL.len()],
}

impl Summary {
    /// There are so many more.
    pub(super) fn expect(&mut self, streams: usize) {
        self.streams += streams;
        self.outcomes[Outcome::Pending as usize] += streams;
    }

    /// One of them left before its end.
    pub(super) fn forget(&mut self, begun: bool) {
        self.streams -= 1;
        self.begun -= usize::from(begun);
        self.outcomes[Outcome::Pending as usize] -= 1;
    }

    /// How many have ended like this; [`Outcome::Pending`] are those that have not.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.outcomes[outcome as usize]
    }

    pub(super) fn add(&mut self, report: &Report) {
        self.ended += 1;
        self.outcomes[Outcome::Pending as usize] -= 1;
        self.outcomes[report.outcome as usize] += 1;
        self.stanzas += report.stanzas;
    }
}

/// One line for a log.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} streams", self.streams)?;
        let counts = Outcome::ALL.iter().copied().map(|outcome| (self.count(outcome), outcome)).filter(|(n, _)| *n > 0);
        for (position, (count, outcome)) in counts.enumerate() {
            write!(f, "{} {count} {outcome}", if position == 0 { ":" } else { "," })?;
        }
        write!(f, "; {} late stanzas; {} ms", self.stanzas, self.elapsed.as_millis())
    }
}

/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(100);

/// What is told about a set that has not ended.
pub(super) struct Progress {
    pub(super) summary: Summary,
    start: Instant,
    told: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self { summary: Summary::default(), start: now, told: now }
    }

    /// When it is told next.
    pub(super) fn due(&self) -> Instant {
        self.told + PROGRESS
    }

    /// It is told now.
    pub(super) fn look(&mut self) -> &Summary {
        self.told = Instant::now();
        self.summary.elapsed = self.start.elapsed();
        &self.summary
    }
}

/// What happened to all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BatchReport {
    /// The counts.
    pub summary: Summary,
    /// Each stream's, in the order of their indices.
    pub reports: Vec<Report>,
}
