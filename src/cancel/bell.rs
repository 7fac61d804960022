//! The order in which the flag and the byte change. `tests/cancel.rs` compiles this file with loom's types in the place of
//! those from `super`, and tries every interleaving of the threads.

use super::{AtomicBool, Ordering, Pair};

/// A flag for which poll(2) can wait.
#[derive(Debug)]
pub(super) struct Bell {
    pub(super) rings: AtomicBool,
    /// While the flag is set, one byte is in this pair, or on its way.
    pub(super) pair: Pair,
}

/// A bell that rings for two reasons: to tell the application something ([`wake`](Self::wake)), or only to end a wait
/// ([`nudge`](Self::nudge)).
#[derive(Debug)]
pub(super) struct Wake {
    pub(super) bell: Bell,
    /// `wake` was called since the last [`silence`](Self::silence).
    pub(super) asked: AtomicBool,
}

impl Wake {
    pub(super) fn new(pair: Pair) -> Self {
        Self { bell: Bell::new(pair), asked: AtomicBool::new(false) }
    }

    pub(super) fn wake(&self) {
        // A swap as in `Bell::silence`, which loom can follow.
        self.asked.swap(true, Ordering::SeqCst);
        self.bell.ring();
    }

    pub(super) fn nudge(&self) {
        self.bell.ring();
    }

    /// Stops the ringing. `None`: the bell did not ring. Otherwise, whether [`wake`](Self::wake) was called since the last
    /// time. A `wake` at the same moment counts now, or rings again and counts the next time.
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

    /// Stops the ringing, and returns whether the bell rang. While the byte is still on its way into the pair, this returns
    /// false; a wait ends as soon as the byte is there.
    ///
    /// The byte is taken first, then the flag is cleared, so that the pair never holds two bytes. A ring between these two
    /// steps writes no byte; the caller looks after the reason for it anyway, in the turn that it does now.
    pub(super) fn silence(&self) -> bool {
        let rang = self.rings() && self.pair.take();
        if rang {
            // A swap reads the flag as well. So this thread sees what another thread did before a second ring, which found
            // the flag set and wrote no byte. A store would not show that.
            self.rings.swap(false, Ordering::SeqCst);
        }
        rang
    }
}
