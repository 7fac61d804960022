//! What wakes a wait from another thread.

use std::{
    io::{self, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
};

use crate::process::Owner;

/// Two connected sockets. Through them, any thread sends one byte to the thread that waits.
#[derive(Debug)]
pub(crate) struct Pair {
    sender: UnixStream,
    receiver: UnixStream,
    owner: Owner,
}

impl Pair {
    pub(crate) fn new() -> io::Result<Self> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { sender, receiver, owner: Owner::this_process() })
    }

    /// Sends the byte. In a forked child it does nothing: the sockets are shared with the parent, the flag is not.
    pub(crate) fn put(&self) {
        if !self.owner.is_this_process() {
            return;
        }
        // This cannot fail: the pair is empty, and its other end is open. If it did, only a wait would miss it, not a look
        // at the flag.
        let _ = (&self.sender).write(&[1]);
    }

    /// Takes the byte; false when there was none.
    pub(crate) fn take(&self) -> bool {
        self.owner.is_this_process() && matches!((&self.receiver).read(&mut [0; 1]), Ok(1))
    }

    /// Readable while the byte is there.
    pub(crate) fn receiver(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}
