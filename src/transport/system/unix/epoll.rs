//! epoll(7), called directly: a portable layer sets a timer for each wait, which costs more than the wait.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::transport::{Interest, poll_millis, readiness::AT_ONCE};

/// The descriptors that are watched, each with a key.
pub(crate) struct Readiness {
    epoll: OwnedFd,
    events: Mutex<Vec<libc::epoll_event>>,
}

impl Readiness {
    pub(crate) fn new() -> io::Result<Self> {
        #[allow(unsafe_code)]
        // SAFETY: the call takes a number and returns a number.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        #[allow(unsafe_code)]
        // SAFETY: the descriptor is new, so nobody else owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut events = Vec::new();
        events.try_reserve_exact(AT_ONCE).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        Ok(Self { epoll, events: Mutex::new(events) })
    }

    /// Watches a descriptor for `now` instead of `before`. `None` means that it is not watched.
    pub(crate) fn watch(
        &self,
        fd: BorrowedFd<'_>,
        key: usize,
        before: Option<Interest>,
        now: Option<Interest>,
    ) -> io::Result<()> {
        let operation = match (before, now) {
            (None, None) => return Ok(()),
            (None, Some(_)) => libc::EPOLL_CTL_ADD,
            (Some(_), Some(_)) => libc::EPOLL_CTL_MOD,
            (Some(_), None) => libc::EPOLL_CTL_DEL,
        };
        let Interest { read, write } = now.unwrap_or_default();
        let events = if read { libc::EPOLLIN } else { 0 } | if write { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: events as u32, u64: key as u64 };
        #[allow(unsafe_code)]
        // SAFETY: `event` is a live struct, and `fd` stays open during the call.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event) };
        checked(result).map(|_| ())
    }

    pub(crate) fn forget(&self, fd: BorrowedFd<'_>) {
        // It fails when the descriptor is not watched.
        let _ = self.watch(fd, 0, Some(Interest::READ), None);
    }

    /// Waits until something is ready, or `limit` has passed; appends the keys of what is ready.
    pub(crate) fn wait(&self, limit: Duration, ready: &mut Vec<usize>) -> io::Result<()> {
        let millis = poll_millis(limit);
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let room = events.spare_capacity_mut();
        #[allow(unsafe_code)]
        // SAFETY: the system stores at most as many events as there is room for, and returns their number.
        let result = unsafe {
            libc::epoll_wait(self.epoll.as_raw_fd(), room.as_mut_ptr().cast(), room.len() as libc::c_int, millis)
        };
        match checked(result) {
            Ok(count) => {
                let events = room.iter().take(count as usize);
                #[allow(unsafe_code)]
                // SAFETY: the system has stored the first `count` events.
                ready.extend(events.map(|event| unsafe { event.assume_init_ref() }.u64 as usize));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Readable when a wait would end at once.
impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn checked(result: RawFd) -> io::Result<RawFd> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
