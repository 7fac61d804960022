//! What is known of a stream and its connection.

use std::time::Duration;

use crate::report::Outcome;

/// Our half of the stream: what goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ours {
    /// The application may still send.
    Open,
    /// Our tag is due: it is the last of what is still to be written.
    Queued,
    /// The kernel has our tag, and all before it. After a detach: all before it.
    Written,
    /// Our output is to be ended: `close_notify` over TLS, then `SHUT_WR`.
    Ending,
    /// Our output is ended.
    Ended,
    /// Writing failed before our tag was written.
    Lost,
}

/// The peer's half: what comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Theirs {
    /// What comes is the peer's stream.
    Open,
    /// Its closing tag came.
    Closed,
    /// It stopped being a stream, or ended without its tag. The first cause is the verdict.
    Void(Outcome),
    /// We detach: what comes is sent again when the session is resumed.
    Ignored,
}

/// Whether the stream runs over TLS, and what is seen of its alerts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Tls {
    /// Plaintext.
    #[default]
    No,
    /// TLS: `close_notify` is sent and seen.
    Yes,
    /// TLS whose layer neither shows the peer's `close_notify` nor sends ours by itself.
    Hidden,
}

/// Things that happened, each at most once (`PAUSED` can be taken back).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Facts(u16);

impl Facts {
    /// TCP was read to its end.
    pub(super) const EOF: Self = Self(1);
    /// The peer's `close_notify` was read.
    pub(super) const NOTIFIED: Self = Self(2);
    /// Ours is with the TLS layer.
    pub(super) const DID_NOTIFY: Self = Self(4);
    /// `SHUT_WR` was done.
    pub(super) const DID_SHUT: Self = Self(8);
    /// A read, a write or TLS failed: nothing more can go out.
    pub(super) const BROKEN: Self = Self(16);
    /// The application does not read now.
    pub(super) const PAUSED: Self = Self(32);
    /// No tag is sent, so that an XEP-0198 session stays resumable (SE-04).
    pub(super) const DETACHED: Self = Self(64);
    /// The peer's tag, or its stream error, was there before ours was written.
    pub(super) const CROSSED: Self = Self(128);
    /// We close: what has arrived is still read, and may be answered, before our tag is due.
    pub(super) const FINISHING: Self = Self(256);
    /// The time to answer was over, so our tag was due.
    pub(super) const UNANSWERED: Self = Self(512);
    /// The time of the set of streams is less than what was left to this one.
    pub(super) const BOUNDED: Self = Self(1024);

    pub(super) fn has(self, fact: Self) -> bool {
        self.0 & fact.0 != 0
    }

    pub(super) fn set(&mut self, fact: Self, holds: bool) {
        if holds {
            self.0 |= fact.0;
        } else {
            self.0 &= !fact.0;
        }
    }

    pub(super) fn add(&mut self, fact: Self) {
        self.set(fact, true);
    }
}

/// Bytes and stanzas, as they are reported. They stand still at the largest number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Counts {
    /// Bytes of the peer's stream since the close began.
    pub(super) read: u64,
    /// Bytes that came when nothing was the peer's stream any more.
    pub(super) discarded: u64,
    /// How far the peer's stream had come, read or not, when our tag was due.
    pub(super) arrived: u64,
    pub(super) stanzas: u64,
    pub(super) oversize: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Times {
    /// The latest that anybody said.
    pub(super) now: Duration,
    /// The close began: every limit counts from here, or from later.
    pub(super) began: Option<Duration>,
    /// A byte moved last.
    pub(super) progress: Duration,
    /// Linger counts from here.
    pub(super) linger: Option<Duration>,
    pub(super) over: Option<Duration>,
}
