//! What wakes a wait from another thread.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
};

use super::{AsSocket, BorrowedSocket};

/// A socket that is connected to itself, so that no other can send to it: any thread sends one byte to the thread that waits.
#[derive(Debug)]
pub(crate) struct Pair(UdpSocket);

impl Pair {
    pub(crate) fn new() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(socket.local_addr()?)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Sends the byte.
    pub(crate) fn put(&self) {
        // This cannot fail: the socket is empty. If it did, only a wait would miss it, not a look at the flag.
        let _ = self.0.send(&[1]);
    }

    /// Takes the byte; false when there was none.
    pub(crate) fn take(&self) -> bool {
        matches!(self.0.recv(&mut [0; 1]), Ok(1))
    }

    /// Readable while the byte is there.
    pub(crate) fn receiver(&self) -> BorrowedSocket<'_> {
        self.0.as_socket()
    }
}
