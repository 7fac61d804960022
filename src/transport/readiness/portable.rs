//! kqueue(2), event ports and whatever else the crate `polling` knows.

use std::{
    collections::HashMap,
    io,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use polling::{Event, Events, PollMode, Poller};

use super::AT_ONCE;
#[cfg(unix)]
use crate::transport::AsSocket;
use crate::transport::{BorrowedSocket, Interest, RawSocket, number};

/// The sockets that are watched, each with a key.
pub(crate) struct Readiness {
    poller: Poller,
    /// Event ports tell once only that a socket is ready. Then they are asked again.
    mode: PollMode,
    /// The key of each socket, and what it is watched for. `polling` gets the socket's number, because it keeps a key of its own.
    watched: Mutex<HashMap<RawSocket, (usize, Interest)>>,
    events: Mutex<Events>,
}

impl Readiness {
    pub(crate) fn new() -> io::Result<Self> {
        let poller = Poller::new()?;
        let mode = if poller.supports_level() { PollMode::Level } else { PollMode::Oneshot };
        Ok(Self::with(poller, mode))
    }

    fn with(poller: Poller, mode: PollMode) -> Self {
        let at_once = NonZeroUsize::new(AT_ONCE).unwrap_or(NonZeroUsize::MIN);
        Self { poller, mode, watched: Mutex::default(), events: Mutex::new(Events::with_capacity(at_once)) }
    }

    /// One that asks again each time, on a system that need not be asked again.
    #[cfg(test)]
    pub(super) fn told_once() -> io::Result<Self> {
        Ok(Self::with(Poller::new()?, PollMode::Oneshot))
    }

    /// Watches a socket for `now` instead of `before`. `None` means that it is not watched.
    pub(crate) fn watch(
        &self,
        socket: BorrowedSocket<'_>,
        key: usize,
        before: Option<Interest>,
        now: Option<Interest>,
    ) -> io::Result<()> {
        let name = number(socket);
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        match (before, now) {
            (None, None) => return Ok(()),
            (None, Some(_)) if watched.contains_key(&name) => return Err(io::ErrorKind::AlreadyExists.into()),
            #[allow(unsafe_code)]
            // SAFETY: a batch forgets each socket before it is closed. If a program closes its socket earlier all the same, epoll
            // and kqueue forget it by themselves. No memory depends on it.
            (None, Some(on)) => unsafe { self.poller.add_with_mode(&socket, event(name, on), self.mode)? },
            (Some(_), Some(on)) => self.poller.modify_with_mode(socket, event(name, on), self.mode)?,
            (Some(_), None) => self.poller.delete(socket)?,
        }
        match now {
            Some(on) => watched.insert(name, (key, on)),
            None => watched.remove(&name),
        };
        Ok(())
    }

    pub(crate) fn forget(&self, socket: BorrowedSocket<'_>) {
        // It fails when the socket is not watched.
        let _ = self.watch(socket, 0, Some(Interest::READ), None);
    }

    /// Waits until something is ready, or `limit` has passed; appends the keys of what is ready.
    pub(crate) fn wait(&self, limit: Duration, ready: &mut Vec<usize>) -> io::Result<()> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.clear();
        match self.poller.wait(&mut events, Some(limit)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => _ = result?,
        }
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        for number in events.iter().map(|event| event.key as RawSocket) {
            // Another thread may have forgotten the socket since.
            let Some(&(key, on)) = watched.get(&number) else { continue };
            ready.push(key);
            if self.mode == PollMode::Oneshot {
                #[allow(unsafe_code)]
                // SAFETY: the socket is not forgotten yet, so as above.
                let socket = unsafe { BorrowedSocket::borrow_raw(number) };
                self.poller.modify_with_mode(socket, event(number, on), self.mode)?;
            }
        }
        Ok(())
    }
}

/// Readable when a wait would end at once.
#[cfg(unix)]
impl AsSocket for Readiness {
    fn as_fd(&self) -> BorrowedSocket<'_> {
        self.poller.as_fd()
    }
}

fn event(number: RawSocket, interest: Interest) -> Event {
    Event::new(number as usize, interest.read, interest.write)
}
