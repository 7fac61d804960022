//! Waits that cannot become a busy loop.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use super::{
    Interest, Transport,
    system::{BorrowedSocket, poll, recv_within},
};

/// How many waits in a row may end at once and move nothing before there are pauses. A TLS record comes in about a dozen
/// segments, and only the last of them yields anything.
const FRUITLESS: u32 = 16;
/// The length of a pause: short enough not to be felt, long enough to cost nothing.
pub(crate) const PAUSE: Duration = Duration::from_millis(5);
/// When a transport that [does not read for now](Transport::is_paused) is asked again.
pub(crate) const PAUSED: Duration = Duration::from_millis(100);

/// Counts the waits that end at once although nothing can be moved, and puts pauses between them. Three things cause such
/// waits:
///
/// - an error queue that is not empty (SO_TIMESTAMPING, MSG_ZEROCOPY): poll(2) reports the descriptor again and again. The
///   queue belongs to the program, so it stays as it is;
/// - callbacks that report what is not true;
/// - a wake that another process has left behind.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    fruitless: u32,
    /// The SO_RCVTIMEO that was set on the transport's own socket, so that it need not be set for each read.
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

    /// Whether it is time for a pause before the next attempt.
    pub(crate) fn wants_pause(&self) -> bool {
        self.fruitless > FRUITLESS
    }

    /// The pause is over. After the next attempt comes a real wait, which costs nothing while the descriptor is not ready.
    pub(crate) fn paused(&mut self) {
        self.fruitless = self.fruitless.min(FRUITLESS);
    }

    /// [`Transport::wait`], or a pause. A pause does not look at `wake`, since `wake` may be what is always ready. Nothing
    /// waits to read from a transport that does not read for now.
    pub(crate) fn wait<T: Transport>(
        &mut self,
        transport: &mut T,
        mut interest: Interest,
        mut limit: Duration,
        wake: Option<BorrowedSocket<'_>>,
    ) -> io::Result<Interest> {
        if transport.is_paused() {
            interest.read = false;
            limit = limit.min(PAUSED);
        }
        if interest == Interest::NEITHER {
            return poll(None, interest, limit, wake); // without the descriptor: hung up, it would always be ready
        }
        if self.pause(limit) {
            return Ok(interest);
        }
        let start = Instant::now();
        let ready = transport.wait(interest, limit, wake)?;
        self.lasted(start);
        Ok(ready)
    }

    /// A read that may wait; or a pause, then an attempt.
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

    /// Judges a wait by the time that it took.
    fn lasted(&mut self, start: Instant) {
        if start.elapsed() < PAUSE { self.fruitless() } else { self.moved() }
    }
}
