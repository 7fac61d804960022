//! Waking a thread that waits for the peer: to stop its close, or because there is something to send.

use std::{
    io::{self, Read, Write},
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
pub struct Canceller(Arc<Bell>);

impl Canceller {
    /// A canceller that has not been used yet. It holds two file descriptors.
    ///
    /// # Errors
    /// When the system has no more of them.
    pub fn new() -> io::Result<Self> {
        Bell::new().map(Self)
    }

    /// Stops every close that was given this canceller, now and later.
    pub fn cancel(&self) {
        self.0.ring();
    }

    /// [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.rings()
    }

    /// Readable from [`cancel`](Self::cancel) on.
    pub(crate) fn wake(&self) -> BorrowedFd<'_> {
        self.0.receiver.as_fd()
    }
}

/// Wakes the thread that waits in [`Stream::receive`](crate::Stream::receive), which then returns
/// [`Woken`](crate::Incoming::Woken): because another thread has put something into its mailbox, say.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Bell>);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Bell::new().map(Self)
    }

    /// Wakes the stream's thread, or lets its next `receive` return at once. Calls in quick succession count as one.
    pub fn wake(&self) {
        self.0.ring();
    }

    /// Whether [`wake`](Self::wake) was called since the last time.
    pub(crate) fn take(&self) -> bool {
        let rang = self.0.rings();
        if rang {
            self.0.silence();
        }
        rang
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.receiver.as_fd()
    }
}

/// A flag that can be waited for in poll(2).
#[derive(Debug)]
struct Bell {
    rings: AtomicBool,
    /// While it rings, there is one byte in this pair.
    sender: UnixStream,
    receiver: UnixStream,
}

impl Bell {
    fn new() -> io::Result<Arc<Self>> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Arc::new(Self { rings: AtomicBool::new(false), sender, receiver }))
    }

    fn ring(&self) {
        if !self.rings.swap(true, Ordering::SeqCst) {
            // Cannot fail: the pair is empty and its other end is open. The flag would do for all but a wait.
            let _ = (&self.sender).write(&[1]);
        }
    }

    fn rings(&self) -> bool {
        self.rings.load(Ordering::SeqCst)
    }

    /// The byte goes first: who rings in between writes none, but is answered by the turn that is now to come.
    fn silence(&self) {
        let _ = (&self.receiver).read(&mut [0; 1]);
        self.rings.store(false, Ordering::SeqCst);
    }
}
