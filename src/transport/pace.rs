//! Waits that cannot become a busy loop.

use std::{
    io,
    os::fd::BorrowedFd,
    thread,
    time::{Duration, Instant},
};

use super::{Interest, Transport, poll, socket::recv_within};

/// How many waits in a row may end at once without anything moving, before there are pauses. A TLS record comes in about a
/// dozen segments, and only the last of them yields anything.
const FRUITLESS: u32 = 16;
/// Such a pause: short enough not to be felt, long enough to cost nothing.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);
/// After so long a transport is asked again that [does not read for now](Transport::is_paused).
pub(crate) const PAUSED: Duration = Duration::from_millis(100);

/// Counts the waits that end at once although nothing can be moved then, and puts pauses between them. poll(2) keeps
/// reporting a descriptor whose error queue is not empty (SO_TIMESTAMPING, MSG_ZEROCOPY): the queue is the program's, so it
/// stays as it is. Callbacks that lie, and a wake that another process has left behind, look the same.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    fruitless: u32,
    /// What SO_RCVTIMEO of the transport's own socket is set to, so that it is not set for each read.
    armed: Option<Duration>,
}

impl Pace {
    /// Something moved, or a wait lasted.
    pub(crate) fn moved(&mut self) {
        self.fruitless = 0;
    }

    /// A wait ended at once, and nothing moved.
    pub(crate) fn fruitless(&mut self) {
        self.fruitless = self.fruitless.saturating_add(1);
    }

    /// It is time for a pause before the next attempt.
    pub(crate) fn wants_pause(&self) -> bool {
        self.fruitless > FRUITLESS
    }

    /// The pause is over. Behind the next attempt comes a real wait: a descriptor that is not ready any more costs
    /// nothing then.
    pub(crate) fn paused(&mut self) {
        self.fruitless = self.fruitless.min(FRUITLESS);
    }

    /// [`Transport::wait`], or a pause. In a pause the wake is not looked at, for it may be what is always ready. Nobody waits
    /// to read from a transport that does not for now.
    pub(crate) fn wait<T: Transport>(
        &mut self,
        transport: &mut T,
        mut interest: Interest,
        mut limit: Duration,
        wake: Option<BorrowedFd<'_>>,
    ) -> io::Result<Interest> {
        if transport.is_paused() {
            interest.read = false;
            limit = limit.min(PAUSED);
        }
        if interest == Interest::NEITHER {
            return poll(None, interest, limit, wake); // a descriptor that has hung up would be ready all the time
        }
        if self.pause(limit) {
            return Ok(interest);
        }
        let start = Instant::now();
        let ready = transport.wait(interest, limit, wake)?;
        self.lasted(start);
        Ok(ready)
    }

    /// A read that may wait, or a pause and an attempt.
    pub(crate) fn read_within<T: Transport>(
        &mut self,
        transport: &mut T,
        buf: &mut [u8],
        limit: Duration,
    ) -> io::Result<usize> {
        if self.pause(limit) {
            return transport.try_read(buf);
        }
        let start = Instant::now();
        let result = match transport.own_socket() {
            Some(socket) => recv_within(socket, buf, limit, &mut self.armed),
            None => transport.read_within(buf, limit),
        };
        match &result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.lasted(start),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => self.moved(),
        }
        result
    }

    fn pause(&mut self, limit: Duration) -> bool {
        let pauses = self.wants_pause();
        if pauses {
            thread::sleep(limit.min(PAUSE));
            self.paused();
        }
        pauses
    }

    /// Judges a wait by how long it took.
    fn lasted(&mut self, start: Instant) {
        if start.elapsed() < PAUSE { self.fruitless() } else { self.moved() }
    }
}
