//! One turn of the driver: what can move is moved, without waiting or with, but never past the next deadline.

use std::{io, time::Duration};

use super::{Driver, Ended};
use crate::{
    cancel::Canceller,
    engine::Fact,
    transport::{Interest, Transport, os_error},
};

/// How many bytes are still read, without waiting, when a deadline has passed: what has arrived is not lost, and a
/// peer that never stops cannot hold us.
pub(super) const LAST_BYTES: usize = 256 * 1024;
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
    /// The first step of a close: what fits leaves at once.
    pub(super) fn first_step(&mut self) {
        if self.canceller.as_ref().is_some_and(Canceller::is_cancelled) {
            return;
        }
        let quiet = self.transport.is_quiet();
        if !quiet {
            self.transport.no_delay();
        } else if self.handles_first() {
            self.engine.finish(None, self.clock.now); // there is nothing to handle
        }
        let early = self.look(quiet);
        // A broken session writes no more; but whether a peer that ended TCP still takes our tag, only the write tells.
        if self.transport.is_tls() {
            self.on_read(early);
            self.move_output();
        } else {
            self.move_output();
            self.on_read(early);
        }
        if quiet && self.engine.owes_output() {
            self.transport.no_delay(); // it did not leave all at once
        }
    }

    /// Finds out how much has come before our tag is written, by reading: not all transports know otherwise.
    fn look(&mut self, quiet: bool) -> io::Result<usize> {
        let reads = !quiet && !self.has_input() && self.engine.wants().read();
        let early = if reads { self.fill(None) } else { Err(io::ErrorKind::WouldBlock.into()) };
        // An interrupted read says nothing about what is there.
        if self.has_input() || early.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            self.tell_what_arrived();
        }
        early
    }

    /// With our tag written long ago, nobody knows any more what came before it.
    fn tell_what_arrived(&mut self) {
        if self.engine.owes_output() {
            let arrived = (self.input.rest().len() as u64).saturating_add(self.transport.unread());
            self.note_fact(Fact::Arrived(arrived));
        }
    }

    /// What has arrived may still be answered, and all of it leaves together with our tag.
    fn handles_first(&self) -> bool {
        self.engine.is_finishing() && !self.words.are_due()
    }

    /// What has arrived is handled before our tag is due, so that it is answered and counted; but neither a peer that sends
    /// without end nor an application that takes its time can hold it back.
    fn handle_what_arrived(&mut self, late: bool) {
        self.clock.moved += LEAST;
        let reads = self.engine.parses() && self.engine.wants().read();
        if reads && self.clock.moved < LAST_BYTES && !late {
            if self.read(None) {
                return;
            }
        } else if reads {
            self.tell_what_arrived(); // not all was read
        }
        self.ask();
        if !self.words.are_due() {
            self.engine.finish(None, self.clock.now);
            self.note();
            self.clock.moved = 0;
        }
    }

    /// Moves what can be moved; which directions to wait for when nothing could. With `patient`, a read itself may wait
    /// until the next deadline.
    pub(super) fn turn(&mut self, patient: bool) -> Option<Interest> {
        self.look_at_clock();
        if self.canceller.as_ref().is_some_and(Canceller::is_cancelled) {
            self.note_fact(Fact::Cancel);
            return None;
        }
        if self.is_paused() {
            self.note_fact(Fact::Paused(false)); // it is asked again
        }
        let left = self.left();
        let late = left.is_zero();
        if late && self.clock.moved >= LAST_BYTES {
            self.tick();
            return None;
        }
        // The last words are asked for when all that goes in front of them is written.
        if self.handles_first() || self.engine.is_finishing() && !self.words.wait() && self.engine.unsent() == 0 {
            self.handle_what_arrived(late);
            return None;
        }
        self.clock.moved = if late { self.clock.moved + LEAST } else { 0 };
        let output = self.move_output();
        let interest = match (output, self.engine.wants().read()) {
            (Output::Moved, true) if self.output_waits() => {
                self.read(None); // both directions in turn, however fast the peer reads
                return None;
            }
            (Output::Moved, false) => return None,
            (output, false) => Interest { read: false, write: output == Output::Blocked },
            (output, true) => {
                let blocked = output == Output::Blocked;
                // With nothing to write and nobody to wake us, the read itself waits; below TLS none can, nor in a pause.
                let alone = !self.below_tls && !self.is_paused() && self.canceller.is_none();
                let can_wait = patient && !late && !blocked && alone;
                let within = can_wait.then(|| self.left());
                if self.read(within) || within.is_some() {
                    return None;
                }
                Interest { read: self.engine.wants().read(), write: blocked }
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

    /// The transport does not read for now: it is asked again after a while.
    pub(crate) fn is_paused(&self) -> bool {
        self.transport.is_paused() && !self.below_tls
    }

    /// The time until the next deadline.
    pub(super) fn left(&self) -> Duration {
        self.engine.deadline().map_or(Duration::MAX, |deadline| deadline.saturating_sub(self.clock.now))
    }

    /// Something is left for [`move_output`](Self::move_output).
    fn output_waits(&self) -> bool {
        let wants = self.engine.wants();
        wants.write() || wants.notify() || wants.shut() || self.engine.owes_output()
    }

    /// Writes once, or ends the output.
    fn move_output(&mut self) -> Output {
        if !self.engine.may_write() || self.handles_first() {
            return Output::Done;
        }
        match self.move_one() {
            Ok(Output::Moved) => {
                self.pace.moved();
                Output::Moved
            }
            Ok(output) => output,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Output::Blocked,
                io::ErrorKind::Interrupted => Output::Moved,
                io::ErrorKind::InvalidData if self.transport.is_tls() => {
                    self.failed(&error);
                    Output::Moved
                }
                _ => {
                    self.note_fact(Fact::WriteFailed(os_error(&error)));
                    Output::Moved
                }
            },
        }
    }

    /// Makes one attempt of those that are due, in their order.
    fn move_one(&mut self) -> io::Result<Output> {
        let output = self.write_once()?;
        if output != Output::Done {
            return Ok(output);
        }
        let wants = self.engine.wants();
        if wants.notify() {
            match self.transport.notify() {
                // Nobody is left to be told; how the connection went shows in the next read.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => self.note_fact(Fact::WriteFailed(0)),
                result => {
                    result?;
                    self.note_fact(Fact::DidNotify);
                    self.wrote(0)?;
                }
            }
        } else if wants.shut() {
            self.noted.ended = Some(match self.transport.shut() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Ended::Gone,
                result => result.map(|()| Ended::Fin)?,
            });
            self.note_fact(Fact::DidShut);
        } else {
            return Ok(Output::Done);
        }
        Ok(Output::Moved)
    }

    /// Writes once what is queued, when all that was taken before is with the kernel.
    pub(super) fn write_once(&mut self) -> io::Result<Output> {
        let pending = self.engine.pending();
        self.wrote(0)?;
        if self.engine.pending() > 0 {
            return Ok(if self.engine.pending() < pending { Output::Moved } else { Output::Blocked });
        }
        if self.engine.unsent() == 0 {
            return Ok(Output::Done);
        }
        let bytes = self.engine.output();
        let most = bytes.len();
        match self.transport.try_write(bytes) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            Ok(count) if count > 0 => self.wrote(count.min(most))?,
            _ => {
                if !self.transport.is_tls() {
                    self.engine.take_back();
                }
                return Ok(Output::Blocked);
            }
        }
        Ok(Output::Moved)
    }

    /// The transport took so many bytes. How much the kernel has of all that was ever taken, is asked now.
    fn wrote(&mut self, count: usize) -> io::Result<()> {
        let before = self.engine.pending();
        let (left, result) = match self.transport.try_flush() {
            Ok(left) => (left, Ok(())),
            Err(error) if is_passing(&error) => ((before + count).max(1), Ok(())),
            Err(error) => (before + count, Err(error)),
        };
        if count > 0 || left != before {
            self.clock.moved += WRITE;
            self.engine.wrote(count, left, self.clock.now);
            self.note();
        }
        result
    }

    /// Reads once, waiting `within` at most; false when there was nothing.
    pub(super) fn read(&mut self, within: Option<Duration>) -> bool {
        let result = self.fill(within);
        self.on_read(result)
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
    pub(super) fn on_read(&mut self, result: io::Result<usize>) -> bool {
        match result {
            Ok(0) => {
                let inside = self.engine.parses() && self.engine.is_inside();
                let notify = self.transport.is_tls() && !self.below_tls;
                self.below_tls |= notify;
                self.note_fact(if notify { Fact::Notified { inside } } else { Fact::Eof { inside } });
            }
            Ok(_) => {}
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => {
                    if self.is_paused() {
                        self.note_fact(Fact::Paused(true));
                    }
                    return false;
                }
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::UnexpectedEof if self.transport.is_tls() => self.note_fact(Fact::Eof { inside: true }),
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
            self.note_fact(Fact::TlsFailed);
        } else {
            self.note_fact(Fact::ReadFailed(os_error(error)));
        }
    }
}

/// The attempt is to be made again.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
