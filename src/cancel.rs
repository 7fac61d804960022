//! Stopping a close from another thread.

use std::{
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Stops a close in progress at once, from any thread; the outcome is then
/// [`Cancelled`](crate::Outcome::Cancelled). Clones stop the same closes.
#[derive(Clone, Debug)]
pub struct Canceller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cancelled: AtomicBool,
    /// A byte in this pair wakes whoever waits in poll(2).
    sender: UnixStream,
    receiver: UnixStream,
}

impl Canceller {
    /// A canceller that has not been used yet. It holds two file descriptors.
    ///
    /// # Errors
    /// When the system has no more of them.
    pub fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        Ok(Self(Arc::new(Inner { cancelled: AtomicBool::new(false), sender, receiver })))
    }

    /// Stops every close that was given this canceller, now and later.
    pub fn cancel(&self) {
        if !self.0.cancelled.swap(true, Ordering::SeqCst) {
            // Cannot fail: the pair is empty and its other end is open. The flag would do for all but a wait.
            let _ = (&self.0.sender).write(&[1]);
        }
    }

    /// [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::SeqCst)
    }

    /// Readable from [`cancel`](Self::cancel) on.
    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.0.receiver.as_fd()
    }
}
