//! Sockets on Unix, where they are descriptors.

#[cfg(feature = "capi")]
mod connected;
#[cfg(all(feature = "batch", any(target_os = "linux", target_os = "android")))]
mod epoll;
mod option;
mod pair;
mod poll;
mod queues;

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use socket2::SockRef;

#[cfg(feature = "capi")]
pub(crate) use connected::check_connected;
#[cfg(all(feature = "batch", any(target_os = "linux", target_os = "android")))]
pub(crate) use epoll::Readiness;
use option::option;
pub(crate) use pair::Pair;
pub(crate) use poll::poll;
pub(crate) use queues::{queues_are_empty, unacked, unread};

use super::super::Interest;

/// Whatever has a socket to lend: `AsFd` on Unix, `AsSocket` on Windows, both of std.
pub use std::os::fd::AsFd as AsSocket;
/// A socket that is lent: `BorrowedFd` on Unix, `BorrowedSocket` on Windows, both of std.
pub use std::os::fd::BorrowedFd as BorrowedSocket;
/// A socket that is owned: `OwnedFd` on Unix, `OwnedSocket` on Windows, both of std.
pub use std::os::fd::OwnedFd as OwnedSocket;
/// The number of a socket.
#[cfg(any(feature = "batch", feature = "log"))]
pub(crate) use std::os::fd::RawFd as RawSocket;

/// The codes of errors, as `errno` has them.
pub(crate) mod codes {
    pub(crate) use libc::EIO;
    #[cfg(feature = "capi")]
    pub(crate) use libc::{EAGAIN, EBADF, EINTR, ENOMEM, ENOTCONN, ENOTSOCK, EPROTO, EPROTOTYPE, EWOULDBLOCK};
}

pub(crate) fn lent(socket: &impl AsFd) -> BorrowedFd<'_> {
    socket.as_fd()
}

#[cfg(any(feature = "batch", feature = "log"))]
pub(crate) fn number(socket: BorrowedFd<'_>) -> RawSocket {
    std::os::fd::AsRawFd::as_raw_fd(&socket)
}

/// No number of a socket.
#[cfg(feature = "capi")]
pub(crate) const NO_SOCKET: RawSocket = -1;

/// The socket with this number. None, if no socket can have it.
///
/// # Safety
/// The socket is open, and stays open during `'a`. If it is not, system calls fail.
#[cfg(feature = "capi")]
#[allow(unsafe_code)]
pub(crate) unsafe fn numbered<'a>(number: RawSocket) -> Option<BorrowedFd<'a>> {
    // SAFETY: it is no reserved number; for the rest as the caller promises.
    (number >= 0).then(|| unsafe { BorrowedFd::borrow_raw(number) })
}

/// Lets a type that stands on a socket lend it, as std's types do.
macro_rules! lends_socket {
    ($(#[$doc:meta])* impl<[$($generics:tt)*]> $type:ty, of $inner:ident, |$this:ident| $socket:expr) => {
        $(#[$doc])*
        impl<$($generics)*> std::os::fd::AsFd for $type
        where
            $inner: std::os::fd::AsFd,
        {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                let $this = self;
                $socket.as_fd()
            }
        }

        $(#[$doc])*
        impl<$($generics)*> std::os::fd::AsRawFd for $type
        where
            $inner: std::os::fd::AsRawFd,
        {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                let $this = self;
                $socket.as_raw_fd()
            }
        }
    };
}
pub(crate) use lends_socket;

/// No SIGPIPE in a C program when the peer is gone (TC-10). Apple's systems have an option of the socket for that.
const NO_SIGNAL: libc::c_int = if cfg!(target_vendor = "apple") { 0 } else { libc::MSG_NOSIGNAL };

/// The flags of an attempt: no wait on a blocking socket, and no signal.
const ATTEMPT: libc::c_int = libc::MSG_DONTWAIT | NO_SIGNAL;

pub(crate) fn try_recv(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    recv(fd, buf, ATTEMPT)
}

pub(crate) fn try_send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let socket = SockRef::from(&fd);
    #[cfg(target_vendor = "apple")]
    // It fails when the peer is gone. Then an earlier write has set it, or Rust when it made the socket.
    let _ = socket.set_nosigpipe(true);
    socket.send_with_flags(bytes, ATTEMPT)
}

fn recv(fd: BorrowedFd<'_>, buf: &mut [u8], flags: libc::c_int) -> io::Result<usize> {
    #[allow(unsafe_code)]
    // SAFETY: these are the same bytes, and recv(2) overwrites them with initialised bytes only.
    let buf = unsafe { &mut *(std::ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) };
    SockRef::from(&fd).recv_with_flags(buf, flags)
}

/// Whether the socket is in non-blocking mode.
pub(crate) fn is_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&fd).nonblocking()
}

/// The longest SO_RCVTIMEO that is set. It is shorter than the usual linger of two seconds, so it need not be set again for
/// the end of TCP.
const SLICE: Duration = Duration::from_secs(1);

/// The first SO_RCVTIMEO. Most peers answer within this time, and then SO_RCVLOWAT need not be asked for.
const FIRST_SLICE: Duration = Duration::from_millis(50);

/// The shortest SO_RCVTIMEO. Zero would mean "for ever", and the system rounds down.
const LEAST_SLICE: Duration = Duration::from_millis(1);

/// Reads once, and waits for `limit` at most, by SO_RCVTIMEO. Only for a socket that we own: SO_RCVTIMEO is not set back.
/// `armed` is the SO_RCVTIMEO that was set before.
pub(crate) fn recv_within(
    fd: BorrowedFd<'_>,
    buf: &mut [u8],
    limit: Duration,
    armed: &mut Option<Duration>,
) -> io::Result<usize> {
    let slice = limit.clamp(LEAST_SLICE, SLICE);
    let timeout = match *armed {
        Some(timeout) if timeout <= slice => timeout,
        Some(_) => arm(fd, slice, armed)?,
        None => arm(fd, slice.min(FIRST_SLICE), armed)?,
    };
    match recv(fd, buf, 0) {
        // SO_RCVTIMEO has no effect on a non-blocking socket.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && is_nonblocking(fd)? => {
            poll(Some(fd), Interest::READ, limit, None)?;
            recv(fd, buf, ATTEMPT)
        }
        // Bytes below SO_RCVLOWAT are read only when SO_RCVTIMEO has passed, so with SO_RCVLOWAT it stays short.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock && timeout <= FIRST_SLICE => {
            if timeout >= slice || holds_back(fd) {
                return Err(error);
            }
            arm(fd, slice - timeout, armed)?;
            recv(fd, buf, 0)
        }
        result => result,
    }
}

fn arm(fd: BorrowedFd<'_>, timeout: Duration, armed: &mut Option<Duration>) -> io::Result<Duration> {
    let timeout = timeout.max(LEAST_SLICE);
    SockRef::from(&fd).set_read_timeout(Some(timeout))?;
    *armed = Some(timeout);
    Ok(timeout)
}

/// Whether the caller has set SO_RCVLOWAT. As long as less has come, poll(2) does not report it and a waiting recv(2) does
/// not return it, but an attempt does. The closing tag may be that short.
pub(crate) fn holds_back(fd: BorrowedFd<'_>) -> bool {
    option(fd, libc::SOL_SOCKET, libc::SO_RCVLOWAT, 0).is_ok_and(|least: libc::c_int| least > 1)
}
