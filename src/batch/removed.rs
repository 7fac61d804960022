//! What was taken out of a batch before its end.

use std::fmt;

use super::{Batch, Member};
use crate::{closing::Closing, stream::Stream, transport::Transport};

/// A stream that was taken out of a [`Batch`] before its end, with all that was read and is still to be handled.
#[allow(clippy::large_enum_variant, reason = "it is taken apart as soon as it is made")]
#[non_exhaustive]
pub enum Removed<'a> {
    /// Its close had not begun: it is as open as it was, and how it was to be closed is forgotten.
    Open(Stream<Box<dyn Transport + Send + 'a>>),
    /// It is being closed, as before. Dropping it abandons the handshake.
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
    /// Takes a stream out again, whether its close has begun or not; nobody is told of an end then. `None` for one that has
    /// ended, or was taken out already.
    pub fn remove(&mut self, index: usize) -> Option<Removed<'a>> {
        self.take_in();
        let member = self.take_out(index)?;
        let Member { driver, begun, .. } = *member;
        Some(match (begun, driver.may_send()) {
            (false, true) => Removed::Open(Stream::of(driver)),
            (false, false) => Removed::Closing(Closing::begin(driver)), // its peer leaves no choice
            (true, _) => Removed::Closing(Closing::of(driver)),
        })
    }
}
