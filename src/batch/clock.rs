//! What is due when: whose turn it is to begin, and whose time is up.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
    time::{Duration, Instant},
};

/// As good as.
pub(super) const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// The streams in random order, each with its turn: evenly over the time there is.
pub(super) struct Turns {
    /// Those that came later, which begin at once.
    late: VecDeque<usize>,
    order: Vec<usize>,
    next: usize,
    start: Instant,
    spread: Duration,
}

impl Turns {
    pub(super) fn new(streams: usize, start: Instant, spread: Duration) -> Self {
        let mut order: Vec<_> = (0..streams).collect();
        let random = RandomState::new(); // keys of the system's random numbers, which is all the randomness that is needed
        for last in (1..order.len()).rev() {
            let mut hasher = random.build_hasher();
            hasher.write_usize(last);
            order.swap(last, (hasher.finish() % (last as u64 + 1)) as usize);
        }
        Self { late: VecDeque::new(), order, next: 0, start, spread }
    }

    /// One more, at once.
    pub(super) fn add(&mut self, index: usize) {
        self.late.push_back(index);
    }

    /// When the next turn comes, if there is another.
    pub(super) fn due(&self) -> Option<Instant> {
        if !self.late.is_empty() {
            return Some(self.start);
        }
        let (count, next) = (u32::try_from(self.order.len()).ok()?, u32::try_from(self.next).ok()?);
        (next < count).then(|| self.start.checked_add(self.spread / count * next).unwrap_or(self.start + FOR_EVER))
    }

    /// Whose turn it is.
    pub(super) fn take(&mut self, now: Instant) -> Option<usize> {
        self.due().filter(|due| *due <= now)?;
        if let Some(index) = self.late.pop_front() {
            return Some(index);
        }
        self.next += 1;
        self.order.get(self.next - 1).copied()
    }
}

/// Times at which streams want to be looked at, the earliest first.
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
}
