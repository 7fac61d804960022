//! Sockets on Windows, which are no descriptors.

#[cfg(feature = "capi")]
mod connected;
mod pair;
mod poll;

use std::{io, os::windows::io::AsRawSocket, time::Duration};

use socket2::SockRef;
use windows_sys::Win32::Networking::WinSock::{self, SOCKET};

#[cfg(feature = "capi")]
pub(crate) use connected::check_connected;
pub(crate) use pair::Pair;
pub(crate) use poll::poll;

use super::super::Interest;

/// The number of a socket.
#[cfg(any(feature = "batch", feature = "log"))]
pub(crate) use std::os::windows::io::RawSocket;
pub use std::os::windows::io::{AsSocket, BorrowedSocket, OwnedSocket};

/// The codes of errors, as Winsock has them. The names are those of `errno`.
pub(crate) mod codes {
    /// ERROR_IO_DEVICE: an error without a code.
    pub(crate) const EIO: i32 = 1117;
    #[cfg(feature = "capi")]
    pub(crate) use windows_sys::Win32::Networking::WinSock::{
        WSA_NOT_ENOUGH_MEMORY as ENOMEM, WSAEINTR as EINTR, WSAEINVAL as EPROTO, WSAENOTCONN as ENOTCONN,
        WSAENOTSOCK as EBADF, WSAENOTSOCK as ENOTSOCK, WSAEPROTOTYPE as EPROTOTYPE, WSAEWOULDBLOCK as EAGAIN,
        WSAEWOULDBLOCK as EWOULDBLOCK,
    };
}

pub(crate) fn lent(socket: &impl AsSocket) -> BorrowedSocket<'_> {
    socket.as_socket()
}

#[cfg(any(feature = "batch", feature = "log"))]
pub(crate) fn number(socket: BorrowedSocket<'_>) -> RawSocket {
    socket.as_raw_socket()
}

/// No number of a socket.
#[cfg(feature = "capi")]
pub(crate) const NO_SOCKET: RawSocket = RawSocket::MAX;

/// The socket with this number. None, if no socket can have it.
///
/// # Safety
/// The socket is open, and stays open during `'a`. If it is not, system calls fail.
#[cfg(feature = "capi")]
#[allow(unsafe_code)]
pub(crate) unsafe fn numbered<'a>(number: RawSocket) -> Option<BorrowedSocket<'a>> {
    // SAFETY: it is no reserved number; for the rest as the caller promises.
    (number != NO_SOCKET).then(|| unsafe { BorrowedSocket::borrow_raw(number) })
}

/// Lets a type that stands on a socket lend it, as std's types do.
macro_rules! lends_socket {
    ($(#[$doc:meta])* impl<[$($generics:tt)*]> $type:ty, of $inner:ident, |$this:ident| $socket:expr) => {
        $(#[$doc])*
        impl<$($generics)*> std::os::windows::io::AsSocket for $type
        where
            $inner: std::os::windows::io::AsSocket,
        {
            fn as_socket(&self) -> std::os::windows::io::BorrowedSocket<'_> {
                let $this = self;
                $socket.as_socket()
            }
        }

        $(#[$doc])*
        impl<$($generics)*> std::os::windows::io::AsRawSocket for $type
        where
            $inner: std::os::windows::io::AsRawSocket,
        {
            fn as_raw_socket(&self) -> std::os::windows::io::RawSocket {
                let $this = self;
                $socket.as_raw_socket()
            }
        }
    };
}
pub(crate) use lends_socket;

fn winsock(socket: BorrowedSocket<'_>) -> SOCKET {
    socket.as_raw_socket() as SOCKET
}

/// Winsock has no flag for a single attempt, and does not tell the mode of a socket. So each attempt makes the socket
/// non-blocking, and nothing can set that back.
pub(crate) fn try_recv(socket: BorrowedSocket<'_>, buf: &mut [u8]) -> io::Result<usize> {
    SockRef::from(&socket).set_nonblocking(true)?;
    let most = i32::try_from(buf.len()).unwrap_or(i32::MAX);
    #[allow(unsafe_code)]
    // SAFETY: the buffer has at least so many bytes.
    let count = unsafe { WinSock::recv(winsock(socket), buf.as_mut_ptr(), most, 0) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// As [`try_recv`]. Windows has no SIGPIPE.
pub(crate) fn try_send(socket: BorrowedSocket<'_>, bytes: &[u8]) -> io::Result<usize> {
    SockRef::from(&socket).set_nonblocking(true)?;
    SockRef::from(&socket).send(bytes)
}

/// Whether the socket is to be in non-blocking mode afterwards: Winsock does not tell what was before.
pub(crate) fn is_nonblocking(_: BorrowedSocket<'_>) -> io::Result<bool> {
    Ok(true)
}

/// Reads once, and waits for `limit` at most. Not by SO_RCVTIMEO: when that has passed, the state of a socket is undefined here.
pub(crate) fn recv_within(
    socket: BorrowedSocket<'_>,
    buf: &mut [u8],
    limit: Duration,
    _: &mut Option<Duration>,
) -> io::Result<usize> {
    match try_recv(socket, buf) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            poll(Some(socket), Interest::READ, limit, None)?;
            try_recv(socket, buf)
        }
        result => result,
    }
}

/// Winsock has no SO_RCVLOWAT.
pub(crate) fn holds_back(_: BorrowedSocket<'_>) -> bool {
    false
}

/// How many bytes can be read. Bytes behind urgent data do not count.
pub(crate) fn unread(socket: BorrowedSocket<'_>) -> u64 {
    let mut bytes = 0;
    #[allow(unsafe_code)]
    // SAFETY: FIONREAD stores one number through the pointer.
    let result = unsafe { WinSock::ioctlsocket(winsock(socket), WinSock::FIONREAD, &raw mut bytes) };
    if result == 0 { u64::from(bytes) } else { 0 }
}

/// Winsock does not tell what is not acknowledged.
pub(crate) fn unacked(_: BorrowedSocket<'_>) -> u64 {
    0
}

/// Nor does it tell whether all is.
pub(crate) fn queues_are_empty(_: BorrowedSocket<'_>) -> bool {
    false
}
