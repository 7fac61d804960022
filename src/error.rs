//! Why a call was refused, or failed.

use std::{fmt, io};

use crate::{condition::Condition, names::UnknownName};

/// Why a call was refused, or why an open stream cannot go on.
///
/// How a close ended is never an error: that is the [`Outcome`](crate::Outcome) in the [`Report`](crate::Report), also when
/// the connection broke. While a [`Stream`](crate::Stream) is open, however, [`receive`](crate::Stream::receive) and
/// [`send`](crate::Stream::send) return [`Io`](Self::Io) when the connection breaks. Close the stream then.
///
/// The text of an error does not repeat that of its [`source`](std::error::Error::source), so that a program can print the
/// whole chain.
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use xmpp_close::{CloseOptions, Error, Invalid};
///
/// # fn main() -> std::io::Result<()> {
/// let (ours, _theirs) = UnixStream::pair()?;
/// match CloseOptions::new().farewell("<message>half of").close(ours) {
///     Ok(report) => println!("{report}"),
///     Err(Error::Invalid(Invalid::Farewell)) => eprintln!("mend the farewell"),
///     Err(error) => eprintln!("nothing was sent: {error}"),
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An argument makes no sense, or the call is not for this moment. Nothing was sent.
    Invalid(Invalid),
    /// The connection ended or broke, or the operating system refused memory or descriptors: see
    /// [`source`](std::error::Error::source) for which.
    Io(io::Error),
    /// The stream is closed for what was asked: nothing may be sent behind our closing tag or after the peer's stream error,
    /// and nothing comes behind the peer's closing tag (RFC 6120 section 4.4).
    Closed,
    /// What the peer sent is not an XMPP stream. The condition is that of the stream error that tells the peer.
    Malformed(Condition),
}

/// What makes no sense in a call: the reason in [`Error::Invalid`] and [`SendError::Invalid`](crate::SendError::Invalid).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Invalid {
    /// [`CloseOptions::header`](crate::CloseOptions::header) is not the start tag of a stream.
    Header,
    /// [`CloseOptions::peer_header`](crate::CloseOptions::peer_header) is not a start tag.
    PeerHeader,
    /// [`CloseOptions::closing_tag`](crate::CloseOptions::closing_tag) is not an end tag such as `</stream:stream>`.
    ClosingTag,
    /// [`CloseOptions::farewell`](crate::CloseOptions::farewell) is not made of whole stanzas.
    Farewell,
    /// The farewell ends in our closing tag, which the close sends itself unless
    /// [`CloseOptions::tag_sent`](crate::CloseOptions::tag_sent) is set.
    FarewellWithTag,
    /// The farewell does not end in our closing tag, although [`CloseOptions::tag_sent`](crate::CloseOptions::tag_sent) is
    /// set.
    FarewellWithoutTag,
    /// Something is to be sent, or the stream is to be detached, behind a closing tag that has been sent.
    BehindTag,
    /// A stream error closes the stream, so that the stream cannot be detached.
    ErrorInDetach,
    /// [`Limits::half_close`](crate::Limits::half_close) is set, and the stream runs over TLS. There our `close_notify` would
    /// have to go first, on which a TLS 1.2 peer drops what it still has to send.
    HalfCloseOverTls,
    /// A stream restarts only when all that was sent on it is written.
    UnwrittenAtRestart,
    /// `undefined-condition` needs an application's own element ([`StreamError::undefined`](crate::StreamError::undefined)).
    UndefinedCondition,
    /// `see-other-host` needs the address of the other host
    /// ([`StreamError::see_other_host`](crate::StreamError::see_other_host)).
    SeeOtherHost,
    /// The address of `see-other-host` is empty or has white space in it.
    Address,
    /// A closing tag was to be sent by hand.
    TagByHand,
    /// What was to be sent is not well-formed XML as a stream may have it.
    NotWellFormed,
    /// What was to be sent is not a whole header or stanza.
    NotWhole,
    /// What was to be sent has text beside stanzas.
    Text,
    /// The spread of a batch is not shorter than its total.
    Spread,
    /// The transport has no descriptor that a batch could wait for.
    NoDescriptor,
    /// The descriptor is of a kind that nothing can wait for, such as a file.
    Unwaitable,
    /// The descriptor is in the batch already.
    SecondTime,
    /// The batch was made by another process, of which this one is a forked child.
    Forked,
    /// The batch takes no more streams: its time is up.
    BatchTime,
    /// The batch takes no more streams: it was stopped.
    BatchStopped,
    /// The batch takes no more streams: it was dropped.
    BatchGone,
    /// A text names nothing.
    Name(UnknownName),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "the header is not the start tag of a stream",
            Self::PeerHeader => "the peer's header is not a start tag",
            Self::ClosingTag => "the closing tag is not an end tag such as </stream:stream>",
            Self::Farewell => "the farewell is not made of whole stanzas",
            Self::FarewellWithTag => "the farewell ends in our closing tag, which the close sends itself",
            Self::FarewellWithoutTag => "the farewell does not end in our closing tag, which is said to be sent",
            Self::BehindTag => "nothing can be sent behind a closing tag that has been sent",
            Self::ErrorInDetach => "a stream with a stream error is closed, so it cannot be detached",
            Self::HalfCloseOverTls => "there is no half-close over TLS",
            Self::UnwrittenAtRestart => "a stream restarts only when everything sent on it is written",
            Self::UndefinedCondition => "undefined-condition needs an application element",
            Self::SeeOtherHost => "see-other-host needs the address of the other host",
            Self::Address => "the address of see-other-host is empty or has white space in it",
            Self::TagByHand => "the closing tag is sent by the close, not by hand",
            Self::NotWellFormed => "not well-formed XML, as a stream needs it",
            Self::NotWhole => "not a whole header or stanza",
            Self::Text => "text beside stanzas",
            Self::Spread => "the spread of the closing tags is not shorter than the total",
            Self::NoDescriptor => "this transport has no descriptor that a batch could wait for",
            Self::Unwaitable => "nothing can wait for a descriptor of this kind",
            Self::SecondTime => "this descriptor is in the batch already",
            Self::Forked => "this batch belongs to the parent process",
            Self::BatchTime => "the time of the batch is up",
            Self::BatchStopped => "the batch was stopped",
            Self::BatchGone => "the batch is gone",
            Self::Name(unknown) => return unknown.fmt(f),
        })
    }
}

impl std::error::Error for Invalid {}

/// One sentence; that of an [`Io`](Error::Io) does not repeat its source's.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => why.fmt(f),
            Self::Io(_) => f.write_str("the connection failed, or the operating system refused something"),
            Self::Closed => f.write_str("the stream is closed"),
            Self::Malformed(condition) => write!(f, "the peer does not send an XMPP stream: {condition}"),
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

impl From<Invalid> for Error {
    fn from(why: Invalid) -> Self {
        Self::Invalid(why)
    }
}

/// A name that is parsed for an argument: `StreamError::new("reset".parse()?)?`.
impl From<UnknownName> for Error {
    fn from(unknown: UnknownName) -> Self {
        Self::Invalid(Invalid::Name(unknown))
    }
}
