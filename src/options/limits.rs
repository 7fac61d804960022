//! How long a close may take.

use std::time::Duration;

/// Default of [`Limits::total`]: 30 s.
///
/// A server reads our closing tag only after everything that we sent before it, and servers limit how fast they read. With
/// their usual settings, a healthy Prosody answered after 7.0 s, and a healthy ejabberd after 16.8 s, when 73 kB had been
/// sent just before the tag.
pub const DEFAULT_TOTAL: Duration = Duration::from_secs(30);
/// Default of [`Limits::linger`]: 2 s.
pub const DEFAULT_LINGER: Duration = Duration::from_secs(2);

/// The time limits of one close, and whether it half-closes early.
///
/// A program that has read its limits from a configuration sets them at once; a program that wants to change one of them
/// calls the option of the same name.
///
/// ```
/// use std::time::Duration;
/// use xmpp_close::{CloseOptions, Limits};
///
/// let mut limits = Limits::default();
/// assert_eq!((limits.total, limits.linger), (Duration::from_secs(30), Duration::from_secs(2)));
/// limits.total = Duration::from_secs(10);
/// let options = CloseOptions::new().limits(limits);
/// let the_same = CloseOptions::new().total(Duration::from_secs(10));
/// # assert_eq!(format!("{options:?}"), format!("{the_same:?}"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// Bounds the whole close: the rest of our output, our closing tag, the wait for the peer's, the TLS alerts, and the end
    /// of TCP. Zero: our closing tag is sent, and nothing is waited for.
    ///
    /// When it is over, what had arrived by then is still handed over, without waiting: 256 KiB at most.
    // HS-05
    pub total: Duration,
    /// Bounds each time in which not a byte moves, inside `total`. Zero: not even the next byte is waited for.
    ///
    /// [`Duration::MAX`], the default, switches this limit off, because healthy peers and networks pause too: TCP was
    /// silent for 8.7 s after a link had been down for 3 s, and servers that limit their rate read nothing for longer.
    pub no_progress: Duration,
    /// Bounds the wait for the end of TCP, inside `total`, once both closing tags have been exchanged and ours is written.
    /// Zero: the end of TCP is not waited for.
    ///
    /// The same limit holds after our last bytes when what the peer sends is no XMPP stream. When our output is lost, it
    /// bounds each time in which the peer sends nothing.
    // TC-03
    pub linger: Duration,
    /// Ends our half of TCP right after our closing tag, without waiting for the peer's. Over TLS there is no half-close: a
    /// close with this limit is refused as [`Invalid::HalfCloseOverTls`](crate::Invalid::HalfCloseOverTls).
    ///
    /// Off by default, because Prosody and jabberd2 drop half of what they still had to send when they see our half end.
    // ProtoJEP 2.1, I-01, TL-04
    pub half_close: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: DEFAULT_TOTAL, no_progress: Duration::MAX, linger: DEFAULT_LINGER, half_close: false }
    }
}
