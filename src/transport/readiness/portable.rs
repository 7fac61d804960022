//! kqueue(2), event ports and whatever else the crate `polling` knows.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, BorrowedFd},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use polling::{Event, Events, PollMode, Poller};

use super::{AT_ONCE, Interest};

/// The descriptors that are watched, each with a key.
pub(crate) struct Readiness {
    poller: Poller,
    events: Mutex<Events>,
}

impl Readiness {
    pub(crate) fn new() -> io::Result<Self> {
        let at_once = NonZeroUsize::new(AT_ONCE).unwrap_or(NonZeroUsize::MIN);
        Ok(Self { poller: Poller::new()?, events: Mutex::new(Events::with_capacity(at_once)) })
    }

    /// Watches a descriptor for `now` instead of `before`. `None` means that it is not watched.
    pub(crate) fn watch(
        &self,
        fd: BorrowedFd<'_>,
        key: usize,
        before: Option<Interest>,
        now: Option<Interest>,
    ) -> io::Result<()> {
        match (before, now) {
            (None, None) => Ok(()),
            #[allow(unsafe_code)]
            // SAFETY: a batch forgets each descriptor before it is closed. If a program closes its descriptor earlier all the
            // same, epoll and kqueue forget it by themselves. No memory depends on it.
            (None, Some(on)) => unsafe { self.poller.add_with_mode(&fd, event(key, on), PollMode::Level) },
            (Some(_), Some(on)) => self.poller.modify_with_mode(fd, event(key, on), PollMode::Level),
            (Some(_), None) => self.poller.delete(fd),
        }
    }

    pub(crate) fn forget(&self, fd: BorrowedFd<'_>) {
        // It fails when the descriptor is not watched.
        let _ = self.poller.delete(fd);
    }

    /// Waits until something is ready, or `limit` has passed; appends the keys of what is ready.
    pub(crate) fn wait(&self, limit: Duration, ready: &mut Vec<usize>) -> io::Result<()> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.clear();
        match self.poller.wait(&mut events, Some(limit)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => ready.extend(events.iter().map(|event| event.key)),
        }
        Ok(())
    }
}

/// Readable when a wait would end at once.
impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}

fn event(key: usize, interest: Interest) -> Event {
    Event::new(key, interest.read, interest.write)
}
