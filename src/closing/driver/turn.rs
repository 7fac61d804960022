//! One turn of the driver: what can move is moved, without waiting or with, but never past the next deadline.

use std::{io, time::Duration};

use super::Driver;
use crate::{
    cancel::Canceller,
    engine::Fact,
    framing::{Leaves, leaves},
    transport::{Interest, Transport, os_error},
};

/// How many bytes are still read, without waiting, when a deadline has passed: what has arrived is not lost, and a
/// peer that never stops cannot hold us.
const LAST_BYTES: usize = 256 * 1024;
/// What a turn counts for among them at least: a TLS record, which is read by itself, may hold a single byte.
const LEAST: usize = 256;
/// What a write counts for.
const WRITE: usize = 8 * 1024;

/// How far [`Driver::move_output`] came.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Output {
    /// There is nothing to write.
    Done,
    /// Something was written, or came to an end.
    Moved,
    /// It must wait.
    Blocked,
}

impl<T: Transport> Driver<T> {
    /// Moves what can be moved; which directions to wait for when nothing could. With `patient`, a read itself may wait
    /// until the next deadline.
    pub(super) fn turn(&mut self, patient: bool) -> Option<Interest> {
        self.look_at_clock();
        if self.canceller.as_ref().is_some_and(Canceller::is_cancelled) {
            self.tell(Fact::Cancel);
            return None;
        }
        let left = self.left();
        let late = left.is_zero();
        if late && self.clock.moved >= LAST_BYTES {
            self.tick();
            return None;
        }
        if self.must_compose() {
            // What has arrived is handled first, so that it is counted; but no peer can hold back our tag.
            self.clock.moved += LEAST;
            if self.clock.moved >= LAST_BYTES || !self.engine.wants().read || !self.read(None) {
                self.compose();
                self.engine.finish(None, self.clock.now);
                self.note_end();
                self.clock.moved = 0;
            }
            return None;
        }
        self.clock.moved = if late { self.clock.moved + LEAST } else { 0 };
        let output = self.move_output();
        let interest = match (output, self.engine.wants().read) {
            (Output::Moved, true) if self.output_waits() => {
                self.read(None); // both directions in turn, however fast the peer reads
                return None;
            }
            (Output::Moved, false) => return None,
            (_, false) => Interest::WRITE,
            (output, true) => {
                let blocked = output == Output::Blocked;
                // With nothing to write and nobody to wake us, the read itself waits; below TLS none can.
                let can_wait = patient && !late && !blocked && !self.below_tls && self.canceller.is_none();
                let within = can_wait.then(|| self.left());
                if self.read(within) || within.is_some() {
                    return None;
                }
                Interest { read: true, write: blocked }
            }
        };
        if late {
            self.clock.moved = LAST_BYTES; // nothing more has arrived: the deadline is applied
            return None;
        }
        Some(interest)
    }

    /// Waits for a direction to move, but never past the next deadline.
    pub(super) fn wait(&mut self, interest: Interest) {
        let left = self.left();
        let wake = self.canceller.as_ref().map(Canceller::wake);
        match self.pace.wait(&mut self.transport, interest, left, wake) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => self.failed(&error),
            _ => {}
        }
    }

    /// The time until the next deadline.
    fn left(&self) -> Duration {
        self.engine.deadline().map_or(Duration::MAX, |deadline| deadline.saturating_sub(self.clock.now))
    }

    /// All that goes in front of the last words is written.
    fn must_compose(&self) -> bool {
        self.last_words.is_some() && self.engine.awaits_finish()
    }

    /// Asks what the application says last (SE-03), in front of an error and our tag.
    pub(super) fn compose(&mut self) {
        let Some(words) = self.last_words.take() else { return };
        match words.0() {
            Some(words) if leaves(&words, self.engine.root(), true, false) == Leaves::Between => {
                self.engine.set_farewell(words)
            }
            _ => {
                if !self.known.detach {
                    self.engine.finish(None, self.clock.now); // what is not sent now is our tag
                }
                self.tell(Fact::Cancel);
            }
        }
    }

    /// Something is left for [`move_output`](Self::move_output).
    fn output_waits(&self) -> bool {
        let wants = self.engine.wants();
        wants.write || wants.notify || wants.shut || self.engine.owes_output()
    }

    /// Writes once, or ends the output.
    pub(super) fn move_output(&mut self) -> Output {
        let wants = self.engine.wants();
        let ends = wants.notify || wants.shut;
        let result = if wants.over || !(wants.write || ends) {
            return Output::Done;
        } else if wants.write {
            let bytes = self.engine.output();
            let most = bytes.len();
            match self.transport.try_write(bytes) {
                Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
                result => result.map(|count| self.wrote(count.min(most))),
            }
        } else if wants.shut && self.transport.is_tls() {
            self.tell(Fact::DidShut); // the transport does it, now that both alerts are through
            return Output::Moved;
        } else {
            self.transport.end_output().map(|()| self.ended_output(!self.transport.is_tls()))
        };
        match result {
            Ok(()) => {
                self.pace.moved();
                Output::Moved
            }
            Err(error) => match error.kind() {
                // Nobody is left to be told; how the connection went shows in the next read.
                io::ErrorKind::NotConnected if !wants.write => {
                    self.ended_output(false);
                    Output::Moved
                }
                io::ErrorKind::WouldBlock => {
                    if !self.transport.is_tls() {
                        self.engine.take_back();
                    }
                    Output::Blocked
                }
                io::ErrorKind::Interrupted => Output::Moved,
                io::ErrorKind::InvalidData if self.transport.is_tls() => {
                    self.failed(&error);
                    Output::Moved
                }
                _ => {
                    self.tell(Fact::WriteFailed(os_error(&error)));
                    Output::Moved
                }
            },
        }
    }

    fn ended_output(&mut self, fin_sent: bool) {
        (self.noted.ended, self.noted.fin_sent) = (true, fin_sent);
        self.tell(Fact::DidNotify);
        self.tell(Fact::DidShut);
    }

    fn wrote(&mut self, bytes: usize) {
        self.clock.moved += WRITE;
        self.engine.wrote(bytes, 0, self.clock.now);
        self.note_end();
    }

    /// Reads once, waiting `within` at most; false when there was nothing.
    pub(super) fn read(&mut self, within: Option<Duration>) -> bool {
        let result = self.fill(within);
        self.took(result)
    }

    /// Reads once, without acting on it.
    pub(super) fn fill(&mut self, within: Option<Duration>) -> io::Result<usize> {
        let Self { input, transport, pace, .. } = self;
        let result = match within {
            _ if self.below_tls => input.fill(|buf| transport.drain(buf)),
            Some(limit) => input.fill(|buf| pace.read_within(transport, buf, limit)),
            None => input.fill(|buf| transport.try_read(buf)),
        };
        if within.is_some() {
            self.look_at_clock();
        }
        self.clock.moved += self.input.rest().len();
        if result.is_ok() {
            self.pace.moved();
        }
        result
    }

    /// Acts on what a read said; false when there was nothing.
    pub(super) fn took(&mut self, result: io::Result<usize>) -> bool {
        match result {
            Ok(0) => {
                let inside = self.engine.parses() && self.incoming.is_inside();
                let notify = self.transport.is_tls() && !self.below_tls;
                self.below_tls |= notify;
                self.tell(if notify { Fact::Notified { inside } } else { Fact::Eof { inside } });
            }
            Ok(_) => {}
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return false,
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::UnexpectedEof if self.transport.is_tls() => self.tell(Fact::Eof { inside: true }),
                _ => self.failed(&error),
            },
        }
        true
    }

    /// The connection is gone, or the TLS layer failed.
    pub(crate) fn failed(&mut self, error: &io::Error) {
        self.look_at_clock();
        if self.transport.is_tls() && error.kind() == io::ErrorKind::InvalidData {
            self.noted.tls_failure = error.raw_os_error();
            self.tell(Fact::TlsFailed);
        } else {
            self.tell(Fact::ReadFailed(os_error(error)));
        }
    }
}
