//! poll(2): one wait for both directions and for a [`Canceller`](crate::Canceller).

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
    time::Duration,
};

use super::Interest;

/// Waits until `fd` is ready for `interest`, `wake` is readable, or `limit` has passed.
pub(crate) fn poll(
    fd: Option<BorrowedFd<'_>>,
    interest: Interest,
    limit: Duration,
    wake: Option<BorrowedFd<'_>>,
) -> io::Result<Interest> {
    let events = if interest.read { libc::POLLIN } else { 0 } | if interest.write { libc::POLLOUT } else { 0 };
    // A negative fd is ignored by poll(2).
    let raw = |fd: Option<BorrowedFd<'_>>| fd.map_or(-1, |fd| fd.as_raw_fd());
    let mut fds = [
        libc::pollfd { fd: raw(fd), events, revents: 0 },
        libc::pollfd { fd: raw(wake), events: libc::POLLIN, revents: 0 },
    ];
    // Rounded up: a wait that ends early would turn into a busy loop.
    let millis = i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    let count = fds.len() as libc::nfds_t;
    #[allow(unsafe_code)]
    // SAFETY: `fds` is a live array of `count` pollfd structs, and the borrowed fds stay open during the call.
    let ready = unsafe { libc::poll(fds.as_mut_ptr(), count, millis) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    // POLLHUP, POLLERR and POLLNVAL show in the next attempt (TC-17).
    let broken = fds[0].revents & !(libc::POLLIN | libc::POLLOUT) != 0;
    Ok(Interest {
        read: interest.read && (broken || fds[0].revents & libc::POLLIN != 0),
        write: interest.write && (broken || fds[0].revents & libc::POLLOUT != 0),
    })
}
