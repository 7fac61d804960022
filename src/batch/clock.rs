//! What is due when: whose turn it is to begin, and whose time is to be looked at.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    time::{Duration, Instant},
};

/// As good as.
pub(super) const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// A moment so long after another.
pub(super) fn after(start: Instant, time: Duration) -> Instant {
    start.checked_add(time).unwrap_or(start + FOR_EVER)
}

/// Times at which streams want to be looked at, the earliest first. Those of streams that are gone stay until they are due,
/// or in the way.
#[derive(Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Instant, usize)>>);

impl Timers {
    pub(super) fn set(&mut self, time: Instant, index: usize) {
        self.0.push(Reverse((time, index)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((time, _))| *time)
    }

    /// Who is due, with the time that was set.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Instant, usize)> {
        self.next().filter(|time| *time <= now)?;
        self.0.pop().map(|Reverse(entry)| entry)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Drops those that nobody waits for, once they are many beside so many streams: a batch that goes on for months holds
    /// no more for it.
    pub(super) fn shrink(&mut self, streams: usize, is_set: impl Fn(Instant, usize) -> bool) {
        if self.0.len() > 4 * streams + 1024 {
            self.0.retain(|Reverse((time, index))| is_set(*time, *index));
        }
    }
}

/// What is to be done for whom, and when.
#[derive(Default)]
pub(super) struct Schedule {
    /// When those begin that have not.
    pub(super) beginnings: Timers,
    pub(super) timers: Timers,
    /// Streams that could still move when the others got their turn, each once.
    pub(super) unfinished: VecDeque<usize>,
    /// How many streams are not watched, since they make pauses.
    pub(super) pausing: u32,
}

/// The time over which closing tags are spread.
pub(super) struct Spread {
    start: Instant,
    time: Duration,
    /// Those that come later have a part in it, too.
    for_all: bool,
    /// Keys of the system's random numbers, which is all the randomness that is needed.
    random: RandomState,
}

impl Spread {
    pub(super) fn new(start: Instant, time: Duration, for_all: bool) -> Self {
        Self { start, time, for_all, random: RandomState::new() }
    }

    /// It is everyone's turn.
    pub(super) fn is_over(&self) -> bool {
        self.time.is_zero() || self.start.elapsed() >= self.time
    }

    /// A moment for each of those that are there: in random order, evenly over the time there is.
    pub(super) fn moments(&self, indices: &mut [usize]) -> impl Iterator<Item = (Instant, usize)> {
        for last in (1..indices.len()).rev() {
            indices.swap(last, (self.random.hash_one(last) % (last as u64 + 1)) as usize);
        }
        let step = u32::try_from(indices.len()).ok().and_then(|count| self.time.checked_div(count)).unwrap_or_default();
        indices.iter().zip(0..).map(move |(index, position)| (after(self.start, step.saturating_mul(position)), *index))
    }

    /// The moment of one that came later.
    pub(super) fn moment(&self, index: usize) -> Instant {
        let now = Instant::now();
        let left = self.time.saturating_sub(now.saturating_duration_since(self.start));
        if self.for_all { after(now, left.mul_f64(self.random.hash_one(index) as f64 / 2_f64.powi(64))) } else { now }
    }
}
