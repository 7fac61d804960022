//! What is not an ending of a stream but a mistake: misuse, and options that make no sense.

use std::{fmt, io};

/// Why a call was refused. How a stream ended is never an error: that is the
/// [`Outcome`](crate::Outcome) in the [`Report`](crate::Report), also when the connection broke.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An argument makes no sense; the sentence says which.
    Invalid(&'static str),
    /// The operating system refused what the library needs before anything was sent.
    Io(io::Error),
    /// The stream is closing or closed: nothing may be written any more (RFC 6120 section 4.4).
    Closed,
    /// What the peer sent is not an XMPP stream; the condition of the stream error that says so (RFC 6120 section 4.9.3).
    Malformed(&'static str),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => f.write_str(why),
            Self::Io(error) => error.fmt(f),
            Self::Closed => f.write_str("the stream is closed for writing"),
            Self::Malformed(why) => write!(f, "the peer does not send an XMPP stream: {why}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
