//! Whether a socket is a stream socket with a connection (feature `capi`). C programs pass other sockets by mistake.

use std::io;

use socket2::{SockRef, Type};
use windows_sys::Win32::Networking::WinSock::{SO_CONNECT_TIME, SOL_SOCKET, getsockopt};

use super::{BorrowedSocket, codes, winsock};

/// Succeeds when `socket` is a stream socket that is connected, or was connected until the peer ended the connection: the
/// close finds out how that went. Otherwise the error is `WSAENOTSOCK`, `WSAEPROTOTYPE` (no stream socket), or `WSAENOTCONN`
/// (never connected, or not yet).
pub(crate) fn check_connected(socket: BorrowedSocket<'_>) -> io::Result<()> {
    let name = SockRef::from(&socket);
    if name.r#type()? != Type::STREAM {
        return Err(io::Error::from_raw_os_error(codes::EPROTOTYPE));
    }
    if name.peer_addr().is_ok() || was_connected(socket) {
        return Ok(());
    }
    Err(io::Error::from_raw_os_error(codes::ENOTCONN))
}

/// Whether a connection was made: only then there is a time since.
fn was_connected(socket: BorrowedSocket<'_>) -> bool {
    let (mut seconds, mut length) = (u32::MAX, size_of::<u32>() as i32);
    #[allow(unsafe_code)]
    // SAFETY: the option is one number, for which there is room.
    let result =
        unsafe { getsockopt(winsock(socket), SOL_SOCKET, SO_CONNECT_TIME, (&raw mut seconds).cast(), &raw mut length) };
    result == 0 && seconds != u32::MAX
}
