//! What is due when: which stream begins, and which stream's limits are to be looked at.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque, hash_map::RandomState},
    hash::BuildHasher,
    time::{Duration, Instant},
};

/// A time that is as good as for ever: 136 years.
pub(super) const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The moment `time` after `start`.
pub(super) fn after(start: Instant, time: Duration) -> Instant {
    start.checked_add(time).unwrap_or(start + FOR_EVER)
}

/// The times at which streams are to be looked at, the earliest first. The entry of a stream that is gone stays until it is
/// due, or until [`shrink`](Self::shrink) drops it.
#[derive(Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Instant, usize)>>);

impl Timers {
    pub(super) fn set(&mut self, time: Instant, index: usize) {
        self.0.push(Reverse((time, index)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((time, _))| *time)
    }

    /// Takes the first stream that is due, with the time that was set.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Instant, usize)> {
        self.next().filter(|time| *time <= now)?;
        self.0.pop().map(|Reverse(entry)| entry)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Drops the entries that no stream waits for, when they are many beside the number of streams. So a batch that runs for
    /// months does not grow.
    pub(super) fn shrink(&mut self, streams: usize, is_set: impl Fn(Instant, usize) -> bool) {
        if self.0.len() > 4 * streams + 1024 {
            self.0.retain(|Reverse((time, index))| is_set(*time, *index));
        }
    }
}

/// What is to be done for which stream, and when.
#[derive(Default)]
pub(super) struct Schedule {
    /// When the streams begin that have not begun.
    pub(super) beginnings: Timers,
    /// When the limits of streams are to be looked at, and when their pauses end.
    pub(super) timers: Timers,
    /// Streams that had more to do when the others got their turn. Each is here once at most.
    pub(super) unfinished: VecDeque<usize>,
    /// How many streams are not watched because they pause.
    pub(super) pausing: u32,
}

/// The time over which closing tags are spread (BK-04).
pub(super) struct Spread {
    start: Instant,
    time: Duration,
    /// Whether streams that are added later are spread as well.
    for_all: bool,
    /// The random keys of a hash map: the standard library has no other random numbers, and these are good enough here.
    random: RandomState,
}

impl Spread {
    pub(super) fn new(start: Instant, time: Duration, for_all: bool) -> Self {
        Self { start, time, for_all, random: RandomState::new() }
    }

    /// Whether the time is over, so that every stream may begin.
    pub(super) fn is_over(&self) -> bool {
        self.time.is_zero() || self.start.elapsed() >= self.time
    }

    /// A moment for each of these streams: in random order, evenly over the whole time.
    pub(super) fn moments(&self, indices: &mut [usize]) -> impl Iterator<Item = (Instant, usize)> {
        for last in (1..indices.len()).rev() {
            indices.swap(last, (self.random.hash_one(last) % (last as u64 + 1)) as usize);
        }
        let step = u32::try_from(indices.len()).ok().and_then(|count| self.time.checked_div(count)).unwrap_or_default();
        indices.iter().zip(0..).map(move |(index, position)| (after(self.start, step.saturating_mul(position)), *index))
    }

    /// The moment for a stream that was added later.
    pub(super) fn moment(&self, index: usize) -> Instant {
        let now = Instant::now();
        let left = self.time.saturating_sub(now.saturating_duration_since(self.start));
        if self.for_all { after(now, left.mul_f64(self.random.hash_one(index) as f64 / 2_f64.powi(64))) } else { now }
    }
}
