//! Whether a descriptor is a stream socket with a connection (feature `capi`). C programs pass other descriptors by mistake.

use std::{io, os::fd::BorrowedFd};

use socket2::{SockRef, Type};

use super::codes;
#[cfg(any(target_os = "linux", target_os = "android"))]
use super::option;

/// Succeeds when `fd` is a stream socket that is connected, or was connected until the peer ended the connection: the close
/// finds out how that went. Otherwise the error is `EBADF`, `ENOTSOCK`, `EPROTOTYPE` (no stream socket), or `ENOTCONN`
/// (never connected, or not yet).
pub(crate) fn check_connected(fd: BorrowedFd<'_>) -> io::Result<()> {
    let not_connected = || Err(io::Error::from_raw_os_error(codes::ENOTCONN));
    match tcp_was_connected(fd) {
        Ok(true) => return Ok(()),
        Ok(false) => return not_connected(),
        Err(error) if matches!(error.raw_os_error(), Some(codes::EBADF | codes::ENOTSOCK)) => return Err(error),
        Err(_) => {} // it is not TCP, or nobody knows
    }
    let socket = SockRef::from(&fd);
    if socket.r#type()? != Type::STREAM {
        return Err(io::Error::from_raw_os_error(codes::EPROTOTYPE));
    }
    if socket.peer_addr().is_ok() || had_a_peer(&socket) { Ok(()) } else { not_connected() }
}

/// getpeername(2) cannot tell: its answer after a reset is its answer for a socket that was never connected. TCP_INFO can
/// tell: only a connection has measured a round trip, or moved a byte. And unlike a read, it leaves the error of the reset in
/// the socket. qemu-user, in which containers for other processors run, gives no more than the state.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn tcp_was_connected(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // Places in `struct tcp_info`, by words: the state in the first byte, tcpi_rtt, tcpi_bytes_acked and _received.
    const TRACES: [usize; 5] = [17, 30, 31, 32, 33];
    const SYN_SENT: u8 = 2;
    const CLOSE: u8 = 7;
    const LISTEN: u8 = 10;
    /// What the system does not store.
    const UNKNOWN: u32 = u32::MAX;
    let info = option(fd, libc::IPPROTO_TCP, libc::TCP_INFO, [UNKNOWN; 34])?;
    if info[TRACES[0]] == UNKNOWN {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(match info[0].to_ne_bytes()[0] {
        SYN_SENT | LISTEN => false,
        CLOSE => TRACES.iter().any(|word| ![0, UNKNOWN].contains(&info[*word])),
        _ => true,
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn tcp_was_connected(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // Unknown on this system; but a descriptor that is no socket is found out here.
    SockRef::from(&fd).r#type()?;
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a socket whose peer has no name had a peer before.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn had_a_peer(socket: &SockRef<'_>) -> bool {
    // A Unix socket keeps the name of its peer. Of TCP, only a socket that listens is known here; of any other, the close finds out.
    let is_tcp = matches!(socket.domain(), Ok(socket2::Domain::IPV4 | socket2::Domain::IPV6));
    is_tcp && !socket.is_listener().unwrap_or(false)
}

/// On the BSDs MSG_PEEK leaves the error of a reset in the socket, and tells an end from no connection at all.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn had_a_peer(socket: &SockRef<'_>) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let look = socket.recv_with_flags(&mut byte, libc::MSG_PEEK | libc::MSG_DONTWAIT);
    !look.is_err_and(|error| matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::WouldBlock))
}
