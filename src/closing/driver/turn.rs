//! One turn of the driver: it moves what can be moved. It may wait, but never past the next deadline.

use std::{io, time::Duration};

use super::{Driver, attempts::Output};
use crate::{
    cancel::Canceller,
    engine::Fact,
    transport::{Interest, Transport, unread},
};

/// How many bytes are still read at most, without waiting, when a deadline has passed. So what has arrived is not lost, and a
/// peer that never stops sending cannot hold us up.
pub(super) const LAST_BYTES: usize = 256 * 1024;
/// How many of these bytes one turn uses up at least. A TLS record is read by itself, and may hold a single byte.
const LEAST: usize = 256;
/// The largest TLS record: a session may hold one that it has read and not shown.
const RECORD: u64 = 16 * 1024;

impl<T: Transport> Driver<T> {
    /// The first step of a close: writes what can be written without waiting.
    pub(super) fn first_step(&mut self) {
        if self.canceller.as_ref().is_some_and(Canceller::is_cancelled) {
            return;
        }
        let quiet = self.transport.is_quiet();
        if !quiet {
            self.transport.no_delay();
        } else if self.handles_first() && !self.has_input() {
            self.engine.finish(None, self.clock.now); // nothing has arrived, so our tag is due at once
        }
        let early = self.read_early(quiet);
        // Over TLS, a read that fails breaks the session, so it counts before anything is written. Without TLS we write first:
        // a peer that has ended its side of TCP may still take our tag, and only the write can tell.
        if self.transport.is_tls() {
            self.on_read(early);
            self.move_output();
        } else {
            self.move_output();
            self.on_read(early);
        }
        if quiet && self.engine.owes_output() {
            self.transport.no_delay(); // not all of it left at once
        }
    }

    /// Whether bytes that were read before the close are to be handled now. They are in memory, so that costs no system call, and
    /// the peer is told what is wrong with them: nothing may be sent behind our tag (ER-09). The limit for answers bounds the
    /// time that the application takes for them.
    pub(super) fn handles_residual(&self) -> bool {
        self.has_input() && self.engine.parses() && self.engine.is_tag_queued() && self.engine.has_time_to_answer()
    }

    /// Reads once before our tag is written, to find out what has come before it: not every transport can tell without a
    /// read.
    fn read_early(&mut self, quiet: bool) -> io::Result<usize> {
        let reads = !quiet && !self.has_input() && self.engine.wants().read();
        let early = if reads { self.read_into_buffer(None) } else { Err(io::ErrorKind::WouldBlock.into()) };
        // After an interrupted read we do not know what is there, so the transport is asked.
        if self.has_input() || early.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            self.tell_what_arrived();
        }
        early
    }

    /// Tells the engine how much has arrived. After our tag is written it is too late to know what came before it, so then
    /// nothing is told.
    fn tell_what_arrived(&mut self) {
        if self.engine.owes_output() {
            let arrived = (self.input.rest().len() as u64).saturating_add(self.transport.unread());
            self.note_fact(Fact::Arrived(arrived));
        }
    }

    /// Whether what has arrived is handled first. Until then nothing is written, so that the answers leave together with our
    /// tag.
    pub(super) fn handles_first(&self) -> bool {
        self.engine.is_finishing() && !self.words.are_due()
    }

    /// Handles what has arrived before our tag becomes due, so that it is answered and counted. [`LAST_BYTES`] bounds this
    /// for a peer that never stops sending, the deadline for an application that takes its time.
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

    /// Moves what can be moved. When nothing could be moved, returns the directions to wait for. With `patient`, a read
    /// itself may wait until the next deadline.
    pub(super) fn turn(&mut self, patient: bool) -> Option<Interest> {
        self.look_at_clock();
        if self.canceller.as_ref().is_some_and(Canceller::is_cancelled) {
            self.note_fact(Fact::Cancel);
            return None;
        }
        if self.is_paused() {
            self.note_fact(Fact::Paused(false)); // the transport is asked again
        }
        let left = self.time_left();
        let late = left.is_zero();
        if !late {
            self.clock.left = None;
        } else if self.clock.moved >= LAST_BYTES || self.has_read_what_arrived() {
            self.tick();
            return None;
        }
        // The last words are asked for when everything in front of them is written.
        if self.handles_first() || self.engine.is_finishing() && !self.words.wait() && self.engine.unsent() == 0 {
            self.handle_what_arrived(late);
            return None;
        }
        self.clock.moved = if late { self.clock.moved + LEAST } else { 0 };
        let output = self.move_output();
        let interest = match (output, self.engine.wants().read()) {
            (Output::Moved, true) if self.output_waits() => {
                self.read(None); // between two writes we read, however fast the peer takes our bytes
                return None;
            }
            (Output::Moved, false) => return None,
            (output, false) => Interest { read: false, write: output == Output::Blocked },
            (output, true) => {
                let blocked = output == Output::Blocked;
                // The read itself may wait when nothing is to be written and no canceller can wake us. Below TLS, and while
                // the transport pauses, no read waits.
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

    /// Whether all that had arrived at the deadline is read. Otherwise a peer that goes on sending would be read for as long as
    /// the application takes for 256 KiB of its stanzas. When no more has come, one more read finds the end, if that had come.
    fn has_read_what_arrived(&mut self) -> bool {
        let left = self.clock.left.unwrap_or_else(|| self.arrived().unwrap_or(LAST_BYTES));
        self.clock.left = Some(left);
        left == 0 && self.arrived().is_some_and(|bytes| bytes > 0)
    }

    /// How many bytes can be read at most. `None`: nobody knows.
    fn arrived(&self) -> Option<usize> {
        let (socket, _) = self.transport.watch(Interest::READ)?;
        let held = if self.transport.is_tls() { self.transport.unread().saturating_add(RECORD) } else { 0 };
        Some(usize::try_from(unread(socket).saturating_add(held)).unwrap_or(usize::MAX))
    }

    /// Waits until one of these directions is ready, but never past the next deadline.
    pub(super) fn wait(&mut self, interest: Interest) {
        let left = self.time_left();
        let wake = self.canceller.as_ref().map(Canceller::wake);
        match self.pace.wait(&mut self.transport, interest, left, wake) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => self.failed(&error),
            _ => {}
        }
    }

    /// Whether the transport has stopped reading for now. After a pause it is asked again.
    pub(crate) fn is_paused(&self) -> bool {
        self.transport.is_paused() && !self.below_tls
    }

    /// The time until the next deadline.
    pub(super) fn time_left(&self) -> Duration {
        self.engine.deadline().map_or(Duration::MAX, |deadline| deadline.saturating_sub(self.clock.now))
    }

    /// Whether [`move_output`](Self::move_output) has something left to do.
    fn output_waits(&self) -> bool {
        let wants = self.engine.wants();
        wants.write() || wants.notify() || wants.shut() || self.engine.owes_output()
    }
}
