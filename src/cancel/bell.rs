//! The order in which the flag and the byte change. `tests/cancel.rs` tries it under every interleaving, with loom's
//! types in the place of those that come from `super`.

use super::{AtomicBool, Ordering, Pair};

/// A flag that can be waited for in poll(2).
#[derive(Debug)]
pub(super) struct Bell {
    pub(super) rings: AtomicBool,
    /// While it rings, there is one byte in this pair.
    pub(super) pair: Pair,
}

/// A bell that is rung for two reasons: because somebody wants to be told of, or only to end a wait.
#[derive(Debug)]
pub(super) struct Wake {
    pub(super) bell: Bell,
    pub(super) asked: AtomicBool,
}

impl Wake {
    pub(super) fn new(pair: Pair) -> Self {
        Self { bell: Bell::new(pair), asked: AtomicBool::new(false) }
    }

    pub(super) fn wake(&self) {
        // A swap as below, so that the model follows.
        self.asked.swap(true, Ordering::SeqCst);
        self.bell.ring();
    }

    pub(super) fn nudge(&self) {
        self.bell.ring();
    }

    /// `None`: it did not ring. Otherwise it rings no more, and this is whether [`wake`](Self::wake) was called since the last
    /// time. Who calls it just now is told of then or by the next ring, which is his.
    pub(super) fn silence(&self) -> Option<bool> {
        self.bell.silence().then(|| self.asked.swap(false, Ordering::SeqCst))
    }
}

impl Bell {
    pub(super) fn new(pair: Pair) -> Self {
        Self { rings: AtomicBool::new(false), pair }
    }

    pub(super) fn ring(&self) {
        if !self.rings.swap(true, Ordering::SeqCst) {
            self.pair.put();
        }
    }

    pub(super) fn rings(&self) -> bool {
        self.rings.load(Ordering::SeqCst)
    }

    /// Whether it rang; now it does no more. False while the byte is still on its way into the pair: a wait ends as soon
    /// as it is there. The flag falls after the byte was taken, so that there is never a second one; who rings in between
    /// is answered by the turn to come.
    pub(super) fn silence(&self) -> bool {
        let rang = self.rings() && self.pair.take();
        if rang {
            // A swap, for a store would not show what was done before a ring that was the second, and wrote no byte.
            self.rings.swap(false, Ordering::SeqCst);
        }
        rang
    }
}
