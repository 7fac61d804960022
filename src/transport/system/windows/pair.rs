//! What wakes a wait from another thread.

use std::{
    io,
    net::{Ipv4Addr, UdpSocket},
};

use super::{AsSocket, BorrowedSocket};

/// Two sockets that are connected to each other, so that no other can send to them: any thread sends one byte to the thread
/// that waits.
#[derive(Debug)]
pub(crate) struct Pair {
    /// It blocks: a send that would block at once may be refused although the other socket is empty, and its wake would be lost.
    sender: UdpSocket,
    receiver: UdpSocket,
}

impl Pair {
    pub(crate) fn new() -> io::Result<Self> {
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        sender.connect(receiver.local_addr()?)?;
        receiver.connect(sender.local_addr()?)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { sender, receiver })
    }

    /// Sends the byte.
    pub(crate) fn put(&self) {
        // This cannot fail: the receiver is empty. If it did, only a wait would miss it, not a look at the flag.
        let _ = self.sender.send(&[1]);
    }

    /// Takes the byte; false when there was none.
    pub(crate) fn take(&self) -> bool {
        matches!(self.receiver.recv(&mut [0; 1]), Ok(1))
    }

    /// Readable while the byte is there.
    pub(crate) fn receiver(&self) -> BorrowedSocket<'_> {
        self.receiver.as_socket()
    }
}
