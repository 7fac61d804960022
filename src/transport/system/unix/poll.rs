//! poll(2): one wait for both directions and for a [`Canceller`](crate::Canceller).

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

use super::{Interest, holds_back};
use crate::transport::{PAUSE, poll_millis};

/// Waits until `fd` is ready for `interest`, `wake` is readable, or `limit` has passed. When the system cannot tell what is
/// ready, it waits for a moment only.
pub(crate) fn poll(
    fd: Option<BorrowedFd<'_>>,
    interest: Interest,
    limit: Duration,
    wake: Option<BorrowedFd<'_>>,
) -> io::Result<Interest> {
    let events = if interest.read { libc::POLLIN } else { 0 } | if interest.write { libc::POLLOUT } else { 0 };
    // poll(2) does not report bytes below SO_RCVLOWAT. Only an attempt finds them.
    let hidden = interest.read && limit > PAUSE && fd.is_some_and(holds_back);
    let limit = if hidden { PAUSE } else { limit };
    let entry = |fd: Option<BorrowedFd<'_>>, events| libc::pollfd {
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events,
        revents: 0,
    };
    let mut both = [entry(fd, events), entry(wake, libc::POLLIN)];
    // Only the entries that are needed: RLIMIT_NOFILE may allow one descriptor only.
    let fds = match (fd, wake) {
        (Some(_), Some(_)) => &mut both[..],
        (Some(_), None) => &mut both[..1],
        (None, Some(_)) => &mut both[1..],
        (None, None) => &mut [],
    };
    match call(fds, limit) {
        // RLIMIT_NOFILE does not allow this many entries. Attempts show what is ready.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            return call(&mut [], limit.min(PAUSE)).map(|()| interest);
        }
        result => result?,
    }
    let ready = both[0].revents;
    if ready & libc::POLLNVAL != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // POLLHUP and POLLERR show in the next attempt (TC-17).
    let broken = ready & !(libc::POLLIN | libc::POLLOUT) != 0;
    Ok(Interest {
        read: interest.read && (hidden || broken || ready & libc::POLLIN != 0),
        write: interest.write && (broken || ready & libc::POLLOUT != 0),
    })
}

fn call(fds: &mut [libc::pollfd], limit: Duration) -> io::Result<()> {
    let millis = poll_millis(limit);
    #[allow(unsafe_code)]
    // SAFETY: `fds` is a live array of so many pollfd structs; their descriptors, which are borrowed, stay open.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, millis) };
    if ready < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
