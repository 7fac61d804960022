//! How a stream ended, and what is known of every byte.

use std::{fmt, time::Duration};

use crate::{names::names, stream_error::StreamError};

/// The nine endings. The numbers are those of the C API and never change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Outcome {
    /// Not over yet (event loops only).
    #[default]
    Pending = 0,
    /// Both closing tags were exchanged. Nothing else is ever called clean.
    Clean = 1,
    /// The peer ended TCP between stanzas, without its closing tag.
    PeerEof = 2,
    /// The peer ended TCP inside an element, or ended TLS without `close_notify` before its closing tag.
    Truncated = 3,
    /// The connection was reset, or stopped taking our output, before both tags were exchanged.
    Reset = 4,
    /// Our closing tag is out, theirs did not come in time.
    TimedOut = 5,
    /// Our own output could not be written in time.
    Stalled = 6,
    /// What the peer sent stopped being an XMPP stream.
    Malformed = 7,
    /// The TLS layer failed.
    TlsFailed = 8,
    /// Cancelled, or a callback asked to stop.
    Cancelled = 9,
}

names! { Outcome, "an outcome":
    Pending "pending"
    Clean "clean"
    PeerEof "peer-eof"
    Truncated "truncated"
    Reset "reset"
    TimedOut "timed-out"
    Stalled "stalled"
    Malformed "malformed"
    TlsFailed "tls-failed"
    Cancelled "cancelled"
}

impl Outcome {
    const fn sentence(self) -> &'static str {
        match self {
            Self::Pending => "not over yet",
            Self::Clean => "both closing tags were exchanged",
            Self::PeerEof => "the peer ended the connection without its closing tag",
            Self::Truncated => "the peer's stream was cut off",
            Self::Reset => "the connection was reset",
            Self::TimedOut => "the peer's closing tag did not come in time",
            Self::Stalled => "our own output could not be written in time",
            Self::Malformed => "what the peer sent stopped being an XMPP stream",
            Self::TlsFailed => "the TLS layer failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Who began the closing. The numbers are those of the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Initiator {
    /// We did.
    Us = 1,
    /// The peer did, by its closing tag, a stream error, or the end of the connection.
    Peer = 2,
    /// Both: the peer's closing tag, or its stream error, came before our tag was written (HS-09), so it acknowledges nothing
    /// (I-09).
    Crossing = 3,
}

names! { Initiator, "an initiator":
    Us "us"
    Peer "peer"
    Crossing "crossing"
}

/// Which limit ended a close, or made it go on. The numbers are those of the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Limit {
    /// [`Limits::total`](crate::Limits::total).
    Total = 1,
    /// [`Limits::no_progress`](crate::Limits::no_progress).
    NoProgress = 2,
    /// [`Limits::linger`](crate::Limits::linger).
    Linger = 3,
    /// The time in which the application answers the peer's tag ([`CloseOptions::answer`](crate::CloseOptions::answer)). Our
    /// tag was then sent without it, and the close went on.
    Answer = 4,
    /// The time of the batch that the stream was closed in.
    Batch = 5,
}

names! { Limit, "a limit":
    Total "total"
    NoProgress "no-progress"
    Linger "linger"
    Answer "answer"
    Batch "batch"
}

/// The `close_notify` alerts of a TLS connection; all false in plaintext.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct TlsAlerts {
    /// The stream ran over TLS.
    pub used: bool,
    /// Our `close_notify` went out.
    pub sent: bool,
    /// The peer's `close_notify` came: the end of its data is authentic (TL-07).
    pub received: bool,
}

/// What happened, clean or not. `Display` is one sentence for a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
#[must_use]
pub struct Report {
    /// How it ended.
    pub outcome: Outcome,
    /// Who began the closing; `None` while nobody has.
    pub initiator: Option<Initiator>,
    /// Our closing tag, and all before it, was accepted by the kernel.
    pub tag_sent: bool,
    /// The peer's closing tag was seen.
    pub tag_received: bool,
    /// First-level elements that arrived while closing and were delivered: not only what XEP-0198 counts.
    pub stanzas: u64,
    /// Stanzas that arrived while closing and were over the limit: passed over, not delivered.
    pub oversize: u64,
    /// Bytes of the peer's stream that were read while closing, its closing tag included.
    pub bytes_read: u64,
    /// Bytes that came after the peer's closing tag; they were discarded.
    pub bytes_after_tag: u64,
    /// Bytes of our own output that the kernel never took.
    pub bytes_unsent: u64,
    /// Bytes of ours that the peer's kernel had not acknowledged at the end (Linux `SIOCOUTQ`; elsewhere 0).
    pub bytes_unacked: u64,
    /// The state of the TLS alerts.
    pub tls: TlsAlerts,
    /// The peer's stream error, if it sent one while closing.
    pub stream_error: Option<StreamError>,
    /// The first error of the operating system (`errno`), which may be mere detail.
    pub os_error: Option<i32>,
    /// Time from the start of the closing to its end.
    pub elapsed: Duration,
    /// Which limit ended it, if one did; or that the application took too long to answer.
    pub limit: Option<Limit>,
    /// How often something was to be sent when it was too late for it: none of that went out.
    pub refused: u32,
}

impl Report {
    /// Both closing tags were exchanged.
    pub fn is_clean(&self) -> bool {
        self.outcome == Outcome::Clean
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.outcome, self.outcome.sentence())?;
        if let Some(initiator) = self.initiator {
            write!(f, "; begun by {initiator}")?;
        }
        // What explains an ending is no news of one that is clean: the peer may be gone before its kernel has acknowledged
        // our last bytes, or reset the connection behind its tag, or never end it.
        let is_clean = self.is_clean();
        if let Some(limit) = self.limit.filter(|limit| !is_clean || *limit == Limit::Answer) {
            let did = if limit == Limit::Answer { "sent our tag without an answer" } else { "ended it" };
            write!(f, "; the {limit} limit {did}")?;
        }
        write!(f, "; {} late stanzas, {} bytes read", self.stanzas, self.bytes_read)?;
        let unacked = if is_clean { 0 } else { self.bytes_unacked };
        for (count, what) in [
            (self.oversize, "stanzas over the limit"),
            (self.bytes_after_tag, "bytes after the peer's tag"),
            (self.bytes_unsent, "bytes unsent"),
            (unacked, "bytes unacknowledged"),
            (u64::from(self.refused), "sends that came too late"),
        ] {
            if count > 0 {
                write!(f, "; {count} {what}")?;
            }
        }
        if let Some(error) = &self.stream_error {
            write!(f, "; stream error {error}")?;
        }
        if let Some(code) = self.os_error.filter(|_| !is_clean) {
            write!(f, "; {}", std::io::Error::from_raw_os_error(code))?;
        }
        write!(f, "; {} ms", self.elapsed.as_millis())
    }
}
