//! What is known about a stream and its connection.

use std::time::Duration;

use crate::{report::Outcome, stream_error::StreamError};

/// A fact that the program knows and the engine does not, for [`Engine::tell`](crate::Engine::tell). Telling the
/// same fact again changes nothing, but for the counts [`Stanzas`](Self::Stanzas) and [`Oversize`](Self::Oversize), which
/// add up.
///
/// This program has an XML parser of its own. The engine learns the number of bytes that came, and from the facts what
/// the parser found in them:
///
/// ```
/// use std::time::Duration;
/// use xmpp_close::{CloseOptions, Engine, Fact, Outcome, Tls};
///
/// # fn main() -> Result<(), xmpp_close::Error> {
/// let now = Duration::ZERO; // a real program reads its clock before each call
/// let mut engine = Engine::new(&CloseOptions::new(), Tls::No)?;
/// engine.finish(None, now);
/// let count = engine.output().len(); // the program writes these bytes: our closing tag
/// engine.wrote(count, 0, now);
/// if engine.received(16, now) {
///     // 16 bytes came, and the program's parser found the peer's closing tag at their end.
///     engine.tell(Fact::PeerClosed { behind: 0 }, now)?;
/// }
/// assert!(engine.wants().shut());
/// engine.tell(Fact::DidShut, now)?; // the program has called shutdown(SHUT_WR)
/// engine.tell(Fact::Eof { inside: false }, now)?; // its next read(2) returned 0
/// assert_eq!(engine.report().outcome, Outcome::Clean);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
// Otherwise which fact it is would be hidden in the condition of a stream error, which costs each call some 25 instructions.
#[repr(u8)]
pub enum Fact {
    /// The close is to stop at once, with the outcome [`Cancelled`](crate::Outcome::Cancelled).
    Cancel,
    /// The program's own parser found the peer's closing tag.
    PeerClosed {
        /// How many of the bytes that the last [`Engine::received`](crate::Engine::received) counted lie behind the tag.
        behind: u64,
    },
    /// The program's own parser refuses what the peer sent: it is not well-formed.
    Malformed,
    /// The program's own parser found the peer's stream error (see [`StreamError::from_element`]).
    StreamError(StreamError),
    /// The program has stopped reading (`true`), or reads again (`false`). While it does not read, the limit
    /// [`no_progress`](crate::Limits::no_progress) does not count.
    Paused(bool),
    /// New stream headers follow in both directions: after STARTTLS or SASL. The header of
    /// [`CloseOptions::header`](crate::CloseOptions::header) counts as not sent again.
    Restarted {
        /// What lies below the stream from now on.
        tls: Tls,
    },
    /// The program has written our stream header itself.
    HeaderOut,
    /// This many bytes of the peer's stream have arrived and are unread. A program tells this before
    /// [`Engine::finish`](crate::Engine::finish) when it has not read until the read would block: a closing tag among these
    /// bytes is no answer to ours.
    Arrived(u64),
    /// A read found the end of TCP.
    Eof {
        /// Whether the end came inside an element or tag: [`Engine::is_inside`](crate::Engine::is_inside), or what the
        /// program's own parser says.
        inside: bool,
    },
    /// A read found the peer's `close_notify`.
    Notified {
        /// As in [`Eof`](Self::Eof).
        inside: bool,
    },
    /// Reading failed with this `errno`; 0 when there is none.
    ReadFailed(i32),
    /// Writing failed with this `errno`; 0 when there is none.
    WriteFailed(i32),
    /// The TLS layer failed.
    TlsFailed,
    /// The TLS layer has taken the `close_notify` that [`Wants::notify`](crate::Wants::notify) asked for.
    DidNotify,
    /// The `shutdown(SHUT_WR)` that [`Wants::shut`](crate::Wants::shut) asked for is done, or the connection has no such call.
    DidShut,
    /// The program's own parser found this many more late stanzas.
    Stanzas(u64),
    /// The program's own parser passed over this many more stanzas that were too large.
    Oversize(u64),
}

/// Our half of the stream: what goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ours {
    /// The application may still send.
    Open,
    /// Our tag is due: it stands at the end of what is still to be written.
    Queued,
    /// The kernel has taken our tag and everything in front of it. After a detach, which sends no tag: everything.
    Written,
    /// The program is to end our output: over TLS with `close_notify`, then with `SHUT_WR`.
    Ending,
    /// Our output has ended.
    Ended,
    /// Writing failed before the kernel had our tag.
    Lost,
}

/// The peer's half: what comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Theirs {
    /// What comes is the peer's stream.
    Open,
    /// The peer's closing tag came.
    Closed,
    /// What came stopped being a stream, or ended without the peer's tag. The first cause decides the outcome.
    Void(Outcome),
    /// We detach, and discard what comes: the peer sends it again when the session is resumed.
    Ignored,
}

/// Whether the stream runs over TLS, and whether the program sees the TLS alerts.
///
/// ```
/// use xmpp_close::{CloseOptions, Engine, Tls};
///
/// # fn main() -> Result<(), xmpp_close::Error> {
/// let engine = Engine::new(&CloseOptions::new(), Tls::Yes)?;
/// assert!(engine.report().tls.used);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tls {
    /// Plaintext.
    #[default]
    No,
    /// TLS, and the program can send `close_notify` and sees the peer's.
    Yes,
    /// TLS, but its layer hides the peer's `close_notify`, and cannot send ours on its own.
    Hidden,
}

/// Things that happened. Each stays true; only `PAUSED` can be taken back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Facts(u16);

impl Facts {
    /// TCP was read to its end.
    pub(super) const EOF: Self = Self(1);
    /// The peer's `close_notify` was read.
    pub(super) const NOTIFIED: Self = Self(2);
    /// The TLS layer has our `close_notify`.
    pub(super) const DID_NOTIFY: Self = Self(4);
    /// `shutdown(SHUT_WR)` is done.
    pub(super) const DID_SHUT: Self = Self(8);
    /// A read, a write or TLS failed: nothing more can go out.
    pub(super) const BROKEN: Self = Self(16);
    /// The application has stopped reading for now.
    pub(super) const PAUSED: Self = Self(32);
    /// We detach: no tag is sent, so that an XEP-0198 session stays resumable (SE-04).
    pub(super) const DETACHED: Self = Self(64);
    /// The peer's tag or stream error had come before our tag was written.
    pub(super) const CROSSED: Self = Self(128);
    /// We close, but our tag is not due yet: what has arrived is read and may be answered first.
    pub(super) const FINISHING: Self = Self(256);
    /// The time to answer was over, which made our tag due.
    pub(super) const UNANSWERED: Self = Self(512);
    /// The deadline of the batch cut this stream's own time short.
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

/// Bytes and stanzas for the report. A count that reaches the largest number stays there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Counts {
    /// Bytes of the peer's stream since the close began.
    pub(super) read: u64,
    /// Bytes that came after the end of the peer's stream, and were discarded.
    pub(super) discarded: u64,
    /// How many bytes of the peer's stream had arrived, read or unread, when our tag became due.
    pub(super) arrived: u64,
    pub(super) stanzas: u64,
    pub(super) oversize: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Times {
    /// The latest time that was handed in.
    pub(super) now: Duration,
    /// When the close began: every limit counts from here, or from later.
    pub(super) began: Option<Duration>,
    /// When a byte last moved.
    pub(super) progress: Duration,
    /// When the limit `linger` begins to count.
    pub(super) linger: Option<Duration>,
    /// When the close was over.
    pub(super) over: Option<Duration>,
}
