//! What comes on an open stream: [`Incoming`].

#[cfg(doc)]
use std::io;

#[cfg(doc)]
use super::Stream;
#[cfg(doc)]
use crate::{cancel::Waker, error::Error};
use crate::{stream_error::StreamError, xml::Stanza};

/// What [`Stream::receive`] found.
///
/// ```
/// use std::{io::Write, os::unix::net::UnixStream};
/// use xmpp_close::{Incoming, Stream};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (socket, mut peer) = UnixStream::pair()?;
/// # peer.write_all(b"<stream:stream xmlns='jabber:client' \
/// #     xmlns:stream='http://etherx.jabber.org/streams'><message/></stream:stream>")?;
/// let mut stream = Stream::new(socket);
/// loop {
///     match stream.receive()? {
///         Incoming::Header(tag) => println!("the peer's header: {tag}"),
///         Incoming::Stanza(stanza) => println!("a stanza: {stanza}"),
///         Incoming::Oversize(bytes) => println!("a stanza of {bytes} bytes was passed over"),
///         Incoming::StreamError(error) => break println!("the peer's error: {error}"),
///         Incoming::PeerClosed => break println!("the peer's closing tag"),
///         other => println!("no data came: {other:?}"), // a wake, a silence, a limit
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Incoming {
    /// The start tag of the peer's stream header.
    Header(String),
    /// A whole stanza, or another first-level element.
    Stanza(Stanza),
    /// A stanza of this many bytes was larger than [`Stream::stanza_limit`], and was passed over. Ignore it, or close the
    /// stream with the stream error `policy-violation`.
    Oversize(u64),
    /// The peer's stream error. Call [`Stream::close`] now, or in an event loop [`Stream::begin`]: nothing may be sent any more. A peer that sends more errors: the
    /// first one again.
    StreamError(StreamError),
    /// The peer's closing tag. Send what is still owed to the peer, then call [`Stream::close`], or in an event
    /// loop [`Stream::begin`], which answers the tag.
    PeerClosed,
    /// Another thread called [`Waker::wake`].
    Woken,
    /// The peer has been silent for as long as [`Stream::idle_after`] says, and nothing is left to receive. An example of a
    /// client that closes then stands there.
    Idle,
    /// No whole stanza came within the limit of [`Stream::receive_within`]. Other limits show otherwise: that of
    /// [`Stream::send`] as [`Error::Io`], that of a TLS handshake as an [`io::Error`], both of the kind
    /// [`TimedOut`](io::ErrorKind::TimedOut), and that of a close as [`Outcome::TimedOut`](crate::Outcome::TimedOut).
    TimedOut,
}
