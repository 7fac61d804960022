//! Waking a thread that waits for the peer: to stop its close, or because there is something to send.

mod bell;

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

use bell::{Bell, Wake};

use crate::process::Owner;

/// Stops a close in progress at once, from any thread of the process that made it; the outcome is then
/// [`Cancelled`](crate::Outcome::Cancelled). Clones stop the same closes.
#[derive(Clone, Debug)]
pub struct Canceller(Arc<Bell>);

impl Canceller {
    /// A canceller that has not been used yet. It holds two file descriptors.
    ///
    /// # Errors
    /// When the system has no more of them.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Bell::new(Pair::new()?))))
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
        self.0.pair.receiver.as_fd()
    }
}

/// Wakes the thread that waits in [`Stream::receive`](crate::Stream::receive) in the process that made it. That returns
/// [`Woken`](crate::Incoming::Woken): because another thread has put something into its mailbox, say.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Wake>);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Wake::new(Pair::new()?))))
    }

    /// Wakes the stream's thread, or lets its next `receive` return at once. Calls in quick succession count as one.
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Ends the wait of the stream's thread, without a word to the application.
    pub(crate) fn nudge(&self) {
        self.0.nudge();
    }

    /// `None`: nobody was here since the last time. Otherwise, whether it was [`wake`](Self::wake).
    pub(crate) fn take(&self) -> Option<bool> {
        self.0.silence()
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.bell.pair.receiver.as_fd()
    }
}

/// Two sockets, for one byte from any thread to the one that waits.
#[derive(Debug)]
struct Pair {
    sender: UnixStream,
    receiver: UnixStream,
    owner: Owner,
}

impl Pair {
    fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { sender, receiver, owner: Owner::this_process() })
    }

    /// In a child of the process that made it, nothing: there the pair is the parent's as well, but the flag is not.
    fn put(&self) {
        if !self.owner.is_this_process() {
            return;
        }
        // Cannot fail: the pair is empty and its other end is open. The flag would do for all but a wait.
        let _ = (&self.sender).write(&[1]);
    }

    /// Whether there was a byte.
    fn take(&self) -> bool {
        self.owner.is_this_process() && matches!((&self.receiver).read(&mut [0; 1]), Ok(1))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    /// A byte left behind would end every later wait at once.
    #[test]
    fn a_waker_taken_while_it_is_used_leaves_nothing_behind() {
        const ROUNDS: u32 = 20_000;
        let waker = Waker::new().unwrap();
        let both = Barrier::new(2);
        let mut wrong = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    both.wait();
                    waker.wake();
                    both.wait();
                }
            });
            for _ in 0..ROUNDS {
                both.wait();
                let early = waker.take() == Some(true);
                both.wait();
                let once = early != (waker.take() == Some(true));
                let empty = !waker.0.bell.pair.take();
                wrong += u32::from(!once || !empty);
            }
        });
        assert_eq!(wrong, 0, "of {ROUNDS} rounds");
    }
}
