//! Two connected sockets of this machine: Unix sockets, or TCP where std has none.
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
