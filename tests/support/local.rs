//! What tests need of sockets, the same on every system: two that are connected (Unix sockets, or TCP where std has none),
//! one that is lent, its number, and codes of errors.
#![allow(dead_code, reason = "each test file uses its part")]

#[cfg(not(unix))]
pub use std::net::TcpStream as Local;
#[cfg(unix)]
pub use std::os::unix::net::UnixStream as Local;

/// The two ends.
#[cfg(unix)]
pub fn pair() -> (Local, Local) {
    Local::pair().unwrap()
}

/// The two ends.
#[cfg(not(unix))]
pub fn pair() -> (Local, Local) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = Local::connect(listener.local_addr().unwrap()).unwrap();
    (ours, listener.accept().unwrap().0)
}

/// The number of a socket, as the C API takes it.
#[cfg(unix)]
pub fn number(socket: &impl std::os::fd::AsRawFd) -> std::os::fd::RawFd {
    socket.as_raw_fd()
}

/// The number of a socket, as the C API takes it.
#[cfg(windows)]
pub fn number(socket: &impl std::os::windows::io::AsRawSocket) -> std::os::windows::io::RawSocket {
    socket.as_raw_socket()
}

/// No socket, as the C API has it.
#[cfg(unix)]
pub const NONE: std::os::fd::RawFd = -1;

/// No socket, as the C API has it.
#[cfg(windows)]
pub const NONE: std::os::windows::io::RawSocket = std::os::windows::io::RawSocket::MAX;

/// A socket, lent.
#[cfg(unix)]
pub fn lent(socket: &impl std::os::fd::AsFd) -> std::os::fd::BorrowedFd<'_> {
    socket.as_fd()
}

/// A socket, lent.
#[cfg(windows)]
pub fn lent(socket: &impl std::os::windows::io::AsSocket) -> std::os::windows::io::BorrowedSocket<'_> {
    socket.as_socket()
}

/// The codes of errors, as reports and the callbacks of C have them.
#[cfg(unix)]
pub mod codes {
    pub const EAGAIN: i32 = libc::EAGAIN;
    pub const ECONNRESET: i32 = libc::ECONNRESET;
    pub const EINTR: i32 = libc::EINTR;
    pub const EPIPE: i32 = libc::EPIPE;
}

/// The codes of errors, which are those of Winsock.
#[cfg(windows)]
pub mod codes {
    pub const EAGAIN: i32 = 10035;
    pub const ECONNRESET: i32 = 10054;
    pub const EINTR: i32 = 10004;
    /// WSAECONNABORTED: Winsock has no EPIPE.
    pub const EPIPE: i32 = 10053;
}
