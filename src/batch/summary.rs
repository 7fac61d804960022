//! How the streams of a batch ended.

use std::{
    fmt,
    time::{Duration, Instant},
};

use crate::report::{Outcome, Report, plural};

/// How many streams of a batch ended in which way. Its `Display` is one line for a log.
///
/// ```
/// use std::{io::Write, net::Shutdown, os::unix::net::UnixStream};
/// use xmpp_close::{Batch, BatchOptions, CloseOptions, Outcome};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (socket, mut peer) = UnixStream::pair()?;
/// # peer.write_all(b"<message/></stream:stream>")?;
/// # peer.shutdown(Shutdown::Write)?;
/// let mut batch = Batch::new()?;
/// batch.add(socket, &CloseOptions::new(), |_| ())?;
/// let summary = batch.run(BatchOptions::new())?.summary;
/// println!("{summary}"); // 1 stream: 1 clean; 1 late stanza; 0 ms
/// assert_eq!(summary.count(Outcome::Clean), 1);
/// assert_eq!((summary.streams, summary.ended), (1, 1));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct Summary {
    /// How many streams there were in all since [`Batch::run`](super::Batch::run) or [`set`](super::Batch::set), with those
    /// that have ended, without those that were [removed](super::Batch::remove).
    pub streams: usize,
    /// How many closes have begun, with those that are over.
    pub begun: usize,
    /// How many closes are over.
    pub ended: usize,
    /// How many stanzas arrived while the streams were closing. Only streams that have ended count.
    pub stanzas: u64,
    /// The time since [`Batch::run`](super::Batch::run) or [`set`](super::Batch::set).
    pub elapsed: Duration,
    #[cfg_attr(feature = "serde", serde(with = "outcomes"))]
    outcomes: Outcomes,
}

/// How many streams have each outcome, by its number.
type Outcomes = [usize; Outcome::ALL.len()];

/// The counts as data of serde: a map from names, without the outcomes that no stream has.
#[cfg(feature = "serde")]
mod outcomes {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Outcome, Outcomes};

    pub(super) fn serialize<S: Serializer>(counts: &Outcomes, serializer: S) -> Result<S::Ok, S::Error> {
        let counts = Outcome::ALL.iter().map(|outcome| (outcome, counts[*outcome as usize]));
        counts.filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Outcomes, D::Error> {
        let counts = BTreeMap::<Outcome, usize>::deserialize(deserializer)?;
        let mut outcomes = Outcomes::default();
        counts.into_iter().for_each(|(outcome, count)| outcomes[outcome as usize] = count);
        Ok(outcomes)
    }
}

impl Summary {
    /// This many more streams are in the batch.
    pub(super) fn expect(&mut self, streams: usize) {
        self.streams += streams;
        self.outcomes[Outcome::Pending as usize] += streams;
    }

    /// A stream left the batch before its end.
    pub(super) fn forget(&mut self, begun: bool) {
        self.streams -= 1;
        self.begun -= usize::from(begun);
        self.outcomes[Outcome::Pending as usize] -= 1;
    }

    /// How many streams have ended with this outcome. [`Outcome::Pending`]: how many have not ended.
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
        write!(f, "{} stream{}", self.streams, plural(self.streams as u64))?;
        let counts = Outcome::ALL.iter().copied().map(|outcome| (self.count(outcome), outcome)).filter(|(n, _)| *n > 0);
        for (position, (count, outcome)) in counts.enumerate() {
            write!(f, "{} {count} {outcome}", if position == 0 { ":" } else { "," })?;
        }
        write!(f, "; {} late stanza{}; {} ms", self.stanzas, plural(self.stanzas), self.elapsed.as_millis())
    }
}

/// The time between two calls of `on_progress`.
const PROGRESS: Duration = Duration::from_millis(100);

/// What `on_progress` gets.
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

    /// When `on_progress` is called next.
    pub(super) fn due(&self) -> Instant {
        self.told + PROGRESS
    }

    /// What `on_progress` gets now.
    pub(super) fn look(&mut self) -> &Summary {
        self.told = Instant::now();
        self.summary.elapsed = self.start.elapsed();
        &self.summary
    }
}

/// What [`Batch::run`](super::Batch::run) returns: how all streams ended.
///
/// ```
/// use xmpp_close::{Batch, BatchOptions, Outcome};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let report = Batch::new()?.run(BatchOptions::new())?;
/// println!("{}", report.summary);
/// for report in report.reports.iter().filter(|report| report.outcome != Outcome::Clean) {
///     println!("not clean: {report}");
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct BatchReport {
    /// How many streams ended in which way.
    pub summary: Summary,
    /// The report of each stream, in the order of their indices.
    pub reports: Vec<Report>,
}
