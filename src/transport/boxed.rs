//! Transports behind a pointer.

use std::{io, time::Duration};

use super::{BorrowedSocket, Interest, Transport};

/// A boxed transport is one, too: a collection can hold several kinds as `Box<dyn Transport>`.
impl<T: Transport + ?Sized> Transport for Box<T> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (**self).try_read(buf)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (**self).try_write(bytes)
    }

    fn is_quiet(&self) -> bool {
        (**self).is_quiet()
    }

    fn no_delay(&mut self) {
        (**self).no_delay();
    }

    fn try_flush(&mut self) -> io::Result<usize> {
        (**self).try_flush()
    }

    fn notify(&mut self) -> io::Result<()> {
        (**self).notify()
    }

    fn shut(&mut self) -> io::Result<()> {
        (**self).shut()
    }

    fn wait(&mut self, interest: Interest, limit: Duration, wake: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        (**self).wait(interest, limit, wake)
    }

    fn watch(&self, interest: Interest) -> Option<(BorrowedSocket<'_>, Interest)> {
        (**self).watch(interest)
    }

    fn read_within(&mut self, buf: &mut [u8], limit: Duration) -> io::Result<usize> {
        (**self).read_within(buf, limit)
    }

    fn own_socket(&self) -> Option<BorrowedSocket<'_>> {
        (**self).own_socket()
    }

    fn drain(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (**self).drain(buf)
    }

    fn is_tls(&self) -> bool {
        (**self).is_tls()
    }

    fn hides_alerts(&self) -> bool {
        (**self).hides_alerts()
    }

    fn is_paused(&self) -> bool {
        (**self).is_paused()
    }

    fn unread(&self) -> u64 {
        (**self).unread()
    }

    fn unacked(&self) -> u64 {
        (**self).unacked()
    }
}
