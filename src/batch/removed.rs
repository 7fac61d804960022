//! Streams that are taken out of a batch before their end.

use std::fmt;

use super::{Batch, Member};
use crate::{closing::Closing, stream::Stream, transport::Transport};

/// A stream that was taken out of a [`Batch`] before its end, with the input that is still to be handled. Made by
/// [`Batch::remove`].
///
/// ```
/// use std::{os::unix::net::UnixStream, time::Duration};
/// use xmpp_close::{Batch, BatchOptions, CloseOptions, Removed};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (idle, _peer) = UnixStream::pair()?;
/// let mut batch = Batch::new()?;
/// let index = batch.add(idle, &CloseOptions::new(), |_| ())?;
/// // The user came back before the close began:
/// match batch.remove(index) {
///     Some(Removed::Open(mut stream)) => stream.send("<presence/>")?,
///     Some(Removed::Closing(closing)) => println!("too late: {}", closing.finish()),
///     _ => println!("the stream has ended"),
/// }
/// # Ok(()) }
/// ```
#[allow(clippy::large_enum_variant, reason = "it is taken apart as soon as it is made")]
#[non_exhaustive]
pub enum Removed<'a> {
    /// The close had not begun. The stream is open as before, and forgets the options with which it was to be closed.
    Open(Stream<Box<dyn Transport + Send + 'a>>),
    /// The close has begun, and goes on. To drop it abandons the handshake.
    Closing(Closing<Box<dyn Transport + Send + 'a>>),
}

impl fmt::Debug for Removed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(stream) => f.debug_tuple("Open").field(stream).finish(),
            Self::Closing(closing) => f.debug_tuple("Closing").field(closing).finish(),
        }
    }
}

impl<'a> Batch<'a> {
    /// Takes a stream out of the batch, whether its close has begun or not. No callback is called for its end then. `None` when the
    /// stream has ended, or was taken out already.
    pub fn remove(&mut self, index: usize) -> Option<Removed<'a>> {
        self.take_in();
        let member = self.take_out(index)?;
        let Member { driver, begun, .. } = *member;
        Some(match (begun, driver.may_send()) {
            (false, true) => Removed::Open(Stream::of(driver)),
            (false, false) => Removed::Closing(Closing::begin(driver)), // the peer has ended its stream: ours must follow
            (true, _) => Removed::Closing(Closing::of(driver)),
        })
    }
}
