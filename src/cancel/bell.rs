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
