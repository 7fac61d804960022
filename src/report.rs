//! How a stream ended, and what is known of every byte.

use std::{fmt, time::Duration};

use crate::{names::names, stream_error::StreamError};

/// How a close ended: one of nine endings, or [`Pending`](Self::Pending). The numbers are those of the C API and never
/// change. The order is that of the numbers: the best ending first.
///
/// ```
/// use xmpp_close::Outcome;
///
/// # fn main() -> Result<(), xmpp_close::UnknownName> {
/// let from_a_log: Outcome = "timed-out".parse()?;
/// assert_eq!(from_a_log, Outcome::TimedOut);
/// let ends = [Outcome::Clean, from_a_log, Outcome::PeerEof];
/// println!("the worst of {} ends: {:?}", ends.len(), ends.iter().max());
/// for outcome in Outcome::ALL {
///     println!("{} is called {outcome}", *outcome as u32); // 0 is called pending
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Outcome {
    /// The close is not over, or has not begun: only in an event loop.
    #[default]
    Pending = 0,
    /// Both closing tags were exchanged. Nothing else is called clean.
    Clean = 1,
    /// The peer ended TCP between stanzas, without its closing tag.
    PeerEof = 2,
    /// The peer ended TCP inside an element, or ended TLS without `close_notify` before its closing tag. The report's line of
    /// text says which. The second case has [`TlsAlerts::used`] without [`TlsAlerts::received`].
    Truncated = 3,
    /// The connection was reset, or stopped taking our output, before both tags were exchanged.
    Reset = 4,
    /// Our closing tag was written, and the peer's did not come in time.
    TimedOut = 5,
    /// Our own output could not be written in time.
    Stalled = 6,
    /// What the peer sent stopped being an XMPP stream.
    Malformed = 7,
    /// The TLS layer failed. The report does not hold the reason. That of a failed TLS handshake is the error of
    /// `RustlsTransport::handshake` or [`OverTls::handshake`](crate::OverTls::handshake), so call that before the stream begins.
    TlsFailed = 8,
    /// The close was cancelled or detached, or what the application said last could not be sent.
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
    /// What happened, as a line of text says it. Only `Truncated` needs to know of TLS.
    const fn sentence(self, tls: TlsAlerts) -> &'static str {
        match self {
            Self::Pending => "not over yet",
            Self::Clean => "both closing tags were exchanged",
            Self::PeerEof => "the peer ended the connection without its closing tag",
            Self::Truncated if tls.used && !tls.received => "TLS ended, and the peer's close_notify was not seen",
            Self::Truncated => "the peer's stream ended inside an element",
            Self::Reset => "the connection was reset",
            Self::TimedOut => "the peer's closing tag did not come in time",
            Self::Stalled => "our own output could not be written in time",
            Self::Malformed => "what the peer sent stopped being an XMPP stream",
            Self::TlsFailed => "the TLS layer failed",
            Self::Cancelled => "the program stopped it",
        }
    }
}

/// Who began the close. The numbers are those of the C API.
///
/// After a clean close that [`Us`](Self::Us) began, the peer very probably wrote its closing tag when it had read all that
/// we sent. After any other close, nothing is known of what the peer read last.
///
/// ```
/// use xmpp_close::{Initiator, Report};
///
/// fn is_answered(report: &Report) -> bool {
///     report.is_clean() && report.initiator == Some(Initiator::Us) && report.bytes_unacked == 0
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Initiator {
    /// We began.
    Us = 1,
    /// The peer began: with its closing tag, a stream error, or the end of the connection. A blocking close begins before it
    /// reads, so an end that was there before counts as begun by [`Us`](Self::Us).
    Peer = 2,
    /// Both began: the peer's closing tag, or its stream error, came before our tag was written. So the peer's tag is no
    /// answer to ours.
    // HS-09, I-09
    Crossing = 3,
}

impl Initiator {
    /// Who began, as a line of text says it.
    pub(crate) const fn side(self) -> &'static str {
        match self {
            Self::Us => "us",
            Self::Peer => "peer",
            Self::Crossing => "both sides",
        }
    }
}

names! { Initiator, "an initiator":
    Us "us"
    Peer "peer"
    Crossing "crossing"
}

/// Which limit ended a close, or, for [`Answer`](Self::Answer), made our closing tag due. The numbers are those of the C API.
///
/// ```
/// use std::{os::unix::net::UnixStream, time::Duration};
/// use xmpp_close::{CloseOptions, Limit, Outcome};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (ours, _silent_peer) = UnixStream::pair()?;
/// let report = CloseOptions::new().total(Duration::from_millis(10)).close(ours)?;
/// assert_eq!((report.outcome, report.limit), (Outcome::TimedOut, Some(Limit::Total)));
/// # Ok(()) }
/// ```
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
    /// [`CloseOptions::answer`](crate::CloseOptions::answer): our closing tag was due without a word of the application, and
    /// the close went on.
    Answer = 4,
    /// The total of the batch that the stream was closed in.
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
///
/// Whether the peer's stream is complete, [`Report::is_clean`] says: over TLS nobody but the peer can write its closing tag.
/// The alerts tell more of an end without that tag:
///
/// ```
/// fn what_came(report: &xmpp_close::Report) -> &'static str {
///     match report.tls {
///         _ if report.is_clean() => "all: the peer's closing tag came, and TLS has checked it",
///         tls if tls.received => "the peer ended TLS itself, without its closing tag",
///         tls if tls.used => "the end may be missing: anybody can end TCP",
///         _ => "plaintext, where anybody can write and end what we read",
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
pub struct TlsAlerts {
    /// The stream ran over TLS.
    pub used: bool,
    /// Our `close_notify` went out.
    pub sent: bool,
    /// The peer's `close_notify` came: nobody has cut off the end of its data.
    // TL-07
    pub received: bool,
}

/// How a close ended, and what is known of every byte. `Display` writes one line for a log.
///
/// ```
/// use std::{io::Write, net::Shutdown, os::unix::net::UnixStream};
/// use xmpp_close::{CloseOptions, Initiator, Outcome};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (ours, mut peer) = UnixStream::pair()?;
/// peer.write_all(b"<message/></stream:stream>")?; // the peer closes first
/// peer.shutdown(Shutdown::Write)?;
///
/// let report = CloseOptions::new().close(ours)?;
/// assert!(report.is_clean() && report.tag_sent && report.tag_received);
/// assert_eq!((report.stanzas, report.bytes_read), (1, 26));
/// println!("{report}");
/// // clean: both closing tags were exchanged; begun by both sides; 1 late stanza, …
/// match report.outcome {
///     Outcome::Clean => {}
///     Outcome::PeerEof | Outcome::Truncated => println!("what the peer sent last may be missing"),
///     other if report.bytes_unsent > 0 => {
///         println!("{other}: {} bytes of ours are to be sent again", report.bytes_unsent);
///     }
///     other => println!("{other}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[non_exhaustive]
#[must_use]
pub struct Report {
    /// How the close ended.
    pub outcome: Outcome,
    /// Who began the close; `None` while nobody has.
    pub initiator: Option<Initiator>,
    /// The kernel took our closing tag, and everything before it.
    pub tag_sent: bool,
    /// The peer's closing tag was seen.
    pub tag_received: bool,
    /// First-level elements that arrived during the close and were delivered. XEP-0198 counts only some of them.
    pub stanzas: u64,
    /// Stanzas that arrived during the close and were over the limit: they were passed over, not delivered.
    pub oversize: u64,
    /// Bytes of the peer's stream that were read during the close, the peer's closing tag included.
    pub bytes_read: u64,
    /// Bytes that came behind the peer's closing tag, and were discarded.
    pub bytes_after_tag: u64,
    /// Bytes of ours that the kernel never took.
    pub bytes_unsent: u64,
    /// Bytes of ours that the peer's kernel had not acknowledged at the end. Only Linux tells (`SIOCOUTQ`); elsewhere 0.
    pub bytes_unacked: u64,
    /// Which TLS alerts were exchanged.
    pub tls: TlsAlerts,
    /// The peer's stream error, if one came.
    pub stream_error: Option<StreamError>,
    /// The first error of the operating system (`errno`). After a clean close it is a detail: the connection broke when
    /// both closing tags had been exchanged.
    pub os_error: Option<i32>,
    /// The time from the beginning of the close to its end.
    pub elapsed: Duration,
    /// Which limit ended the close, or made our closing tag due without an answer of the application.
    pub limit: Option<Limit>,
    /// How often the application wanted to send when our closing tag was due. Nothing of that was sent.
    pub refused: u32,
}

impl Report {
    /// Whether both closing tags were exchanged: [`outcome`](Self::outcome) is [`Clean`](Outcome::Clean).
    pub fn is_clean(&self) -> bool {
        self.outcome == Outcome::Clean
    }
}

pub(crate) const fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.outcome, self.outcome.sentence(self.tls))?;
        if let Some(initiator) = self.initiator {
            write!(f, "; begun by {}", initiator.side())?;
        }
        // What explains other endings says nothing about a clean one: there the peer may be gone before its kernel has
        // acknowledged our last bytes, may reset the connection behind its tag, or may never end TCP.
        let is_clean = self.is_clean();
        if let Some(limit) = self.limit.filter(|limit| !is_clean || *limit == Limit::Answer) {
            let did = if limit == Limit::Answer { "made our tag due without an answer" } else { "ended it" };
            write!(f, "; the {limit} limit {did}")?;
        }
        let (stanzas, bytes) = (plural(self.stanzas), plural(self.bytes_read));
        // Where a parser of the application's reads what comes, nobody counts the stanzas.
        let late = if self.stanzas > 0 { format!("{} late stanza{stanzas}, ", self.stanzas) } else { String::new() };
        write!(f, "; {late}{} byte{bytes} read", self.bytes_read)?;
        let unacked = if is_clean { 0 } else { self.bytes_unacked };
        for (count, what, which) in [
            (self.oversize, "stanza", "over the limit"),
            (self.bytes_after_tag, "byte", "after the peer's tag"),
            (self.bytes_unsent, "byte", "unsent"),
            (unacked, "byte", "unacknowledged"),
            (u64::from(self.refused), "send", "that came too late"),
        ] {
            if count > 0 {
                write!(f, "; {count} {what}{} {which}", plural(count))?;
            }
        }
        if is_clean && self.tls.used && !self.tls.received {
            write!(f, "; the peer's close_notify was not seen")?;
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
