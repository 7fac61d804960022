//! Why nothing more is queued.

use std::fmt;

use crate::error::Invalid;

/// Why [`Engine::send`](crate::Engine::send) or [`Sender::send`](crate::Sender::send) took nothing.
///
/// ```
/// use std::time::Duration;
/// use xmpp_close::{CloseOptions, Engine, SendError, Tls};
///
/// # fn main() -> Result<(), xmpp_close::Error> {
/// let mut engine = Engine::new(&CloseOptions::new().output_limit(10), Tls::No)?;
/// assert_eq!(engine.send(b"<presence/>"), Err(SendError::Full)); // 11 bytes
/// engine.finish(None, Duration::ZERO);
/// assert_eq!(engine.send(b"<iq/>"), Err(SendError::Refused));
/// assert_eq!(engine.report().refused, 1);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// Our closing tag is due, or writing failed. Nothing can be sent on this stream any more: store the stanza, or return
    /// it to its sender.
    Refused,
    /// Too many bytes are queued. Try again when some of them are written.
    Full,
    /// The bytes are not whole stanzas; the reason says why. Only a [`Sender`](crate::Sender) checks this, the engine does
    /// not.
    Invalid(Invalid),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("nothing more is sent on this stream"),
            Self::Full => f.write_str("too much is queued for sending"),
            Self::Invalid(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}
