//! One turn of the driver: what can move is moved, without waiting or with, but never past the next deadline.

use std::{io, time::Duration};

use super::{Driver, attempts::Output};
use crate::{
    cancel::Canceller,
    engine::Fact,
    transport::{Interest, Transport},
};

/// How many bytes are still read, without waiting, when a deadline has passed: what has arrived is not lost, and a
/// peer that never stops cannot hold us.
pub(super) const LAST_BYTES: usize = 256 * 1024;
/// What a turn counts for among them at least: a TLS record, which is read by itself, may hold a single byte.
const LEAST: usize = 256;
impl<T: Transport> Driver<T> {
    /// The first step of a close: what fits leaves at once.
    pub(super) fn first_step(&mut self) {
        if self.canceller.as_ref().is_some_and(Canceller::is_cancelled) {
            return;
        }
        let quiet = self.transport.is_quiet();
        if !quiet {
            self.transport.no_delay();
        } else if self.handles_first() && !self.has_input() {
            self.engine.finish(None, self.clock.now); // there is nothing to handle
        }
        let early = self.read_early(quiet);
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
    fn read_early(&mut self, quiet: bool) -> io::Result<usize> {
        let reads = !quiet && !self.has_input() && self.engine.wants().read();
        let early = if reads { self.read_into_buffer(None) } else { Err(io::ErrorKind::WouldBlock.into()) };
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
    pub(super) fn handles_first(&self) -> bool {
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
        let left = self.time_left();
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
                let within = can_wait.then(|| self.time_left());
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
        let left = self.time_left();
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
    pub(super) fn time_left(&self) -> Duration {
        self.engine.deadline().map_or(Duration::MAX, |deadline| deadline.saturating_sub(self.clock.now))
    }

    /// Something is left for [`move_output`](Self::move_output).
    fn output_waits(&self) -> bool {
        let wants = self.engine.wants();
        wants.write() || wants.notify() || wants.shut() || self.engine.owes_output()
    }
}
