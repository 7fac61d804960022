//! Wakes a thread that waits for the peer: to stop its close, or because another thread has something to send.

mod bell;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bell::{Bell, Wake};

use crate::transport::{BorrowedSocket, Pair};

/// Stops closes at once, from any thread; their outcome is then [`Cancelled`](crate::Outcome::Cancelled). Clones stop the
/// same closes.
///
/// A canceller works in the process that made it. In a forked child, `cancel` stops nothing that the parent does.
///
/// ```
/// use std::{os::unix::net::UnixStream, thread};
/// use xmpp_close::{Canceller, CloseOptions, Outcome};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (socket, _silent_peer) = UnixStream::pair()?;
/// let canceller = Canceller::new()?;
/// let options = CloseOptions::new().canceller(&canceller);
/// let close = thread::spawn(move || options.close(socket));
/// canceller.cancel(); // the program ends: it does not wait for the peer
/// let report = close.join().unwrap()?;
/// assert_eq!(report.outcome, Outcome::Cancelled);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Canceller(Arc<Bell>);

impl Canceller {
    /// A canceller that has not been used yet. It holds two file descriptors until its last clone is dropped.
    ///
    /// # Errors
    /// When the system has no file descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Bell::new(Pair::new()?))))
    }

    /// Stops every close that was given this canceller: those that go on now, and those that begin later.
    pub fn cancel(&self) {
        self.0.ring();
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.rings()
    }

    /// The descriptor that is readable from [`cancel`](Self::cancel) on.
    pub(crate) fn wake(&self) -> BorrowedSocket<'_> {
        self.0.pair.receiver()
    }
}

/// Wakes the thread that waits in [`Stream::receive`](crate::Stream::receive), from any thread: `receive` returns
/// [`Woken`](crate::Incoming::Woken). Made by [`Stream::waker`](crate::Stream::waker); clones wake the same stream.
///
/// A waker works in the process that made it. In a forked child, `wake` wakes nobody.
///
/// ```
/// use std::{os::unix::net::UnixStream, thread};
/// use xmpp_close::{Incoming, Stream};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (socket, _silent_peer) = UnixStream::pair()?;
/// let mut stream = Stream::new(socket);
/// let waker = stream.waker()?;
/// thread::spawn(move || waker.wake()); // for example, because the server shuts down
/// assert!(matches!(stream.receive()?, Incoming::Woken));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Waker(Arc<Wake>);

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Wake::new(Pair::new()?))))
    }

    /// Ends the `receive` that waits now, or makes the next one return at once. Several calls before that `receive` count as
    /// one.
    pub fn wake(&self) {
        self.0.wake();
    }

    /// Ends the wait of the stream's thread, without telling the application.
    pub(crate) fn nudge(&self) {
        self.0.nudge();
    }

    /// `None`: no call since the last `take`. Otherwise, whether one of the calls was [`wake`](Self::wake).
    pub(crate) fn take(&self) -> Option<bool> {
        self.0.silence()
    }

    pub(crate) fn fd(&self) -> BorrowedSocket<'_> {
        self.0.bell.pair.receiver()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    /// A byte that was left behind would end every later wait at once.
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
