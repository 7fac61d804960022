//! How a set of streams ended.

use std::{fmt, time::Duration};

use crate::report::{Outcome, Report};

/// How many streams of a batch ended how.
#[derive(Clone, Debug, Default)]
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
    /// Time from the start of the batch.
    pub elapsed: Duration,
    outcomes: [usize; Outcome::ALL.len()],
}

impl Summary {
    /// There are so many more.
    pub(super) fn expect(&mut self, streams: usize) {
        self.streams += streams;
        self.outcomes[Outcome::Pending as usize] += streams;
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
        let counts = Outcome::ALL.into_iter().map(|outcome| (self.count(outcome), outcome)).filter(|(n, _)| *n > 0);
        for (position, (count, outcome)) in counts.enumerate() {
            write!(f, "{} {count} {outcome}", if position == 0 { ":" } else { "," })?;
        }
        write!(f, "; {} late stanzas; {} ms", self.stanzas, self.elapsed.as_millis())
    }
}

/// What happened to all of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchReport {
    /// The counts.
    pub summary: Summary,
    /// Each stream's, by its index.
    pub reports: Vec<Report>,
}
