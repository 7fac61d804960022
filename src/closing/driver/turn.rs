//! One turn of the driver: what can move is moved, then it waits, but never past the next deadline.

use std::{io, time::Duration};

use super::Driver;
use crate::{
    cancel::Canceller,
    handshake::Event,
    transport::{Interest, Transport, os_error},
};

/// Large enough that a system call is amortised, small enough for thousands of closing streams.
const CHUNK: usize = 8 * 1024;
/// How many chunks are still read, without waiting, when a deadline has passed: what has arrived is not lost, and a
/// peer that never stops cannot hold us.
const LAST_CHUNKS: u32 = 32;

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
    /// Moves what can be moved, waiting no longer than the next deadline.
    pub(super) fn turn(&mut self) {
        if self.canceller.as_ref().is_some_and(Canceller::is_cancelled) {
            return self.tell(Event::Cancel);
        }
        let deadline = self.handshake.deadline().unwrap_or(Duration::MAX);
        let left = deadline.saturating_sub(self.clock.elapsed());
        let late = left.is_zero();
        if !late {
            self.last_chunks = 0;
        } else if self.last_chunks >= LAST_CHUNKS {
            return self.tell(Event::Tick);
        } else {
            self.last_chunks += 1;
        }
        let output = self.move_output();
        match (output, self.handshake.wants_input()) {
            (Output::Moved, true) if self.output_waits() => {
                self.read(None); // both directions in turn, however fast the peer reads
            }
            (Output::Moved, _) => {}
            (_, false) => self.wait(Interest::WRITE, left),
            (output, true) => {
                let blocked = output == Output::Blocked;
                // With nothing to write and nobody to wake us, the read itself waits; below TLS none can.
                let can_wait = !late && !blocked && !self.below_tls && self.canceller.is_none();
                let within = can_wait.then_some(left);
                if !self.read(within) && within.is_none() {
                    self.wait(Interest { read: true, write: blocked }, left);
                }
            }
        }
    }

    /// Waits for a direction to move; with no time left, the deadline is applied.
    fn wait(&mut self, interest: Interest, left: Duration) {
        if left.is_zero() {
            self.last_chunks = LAST_CHUNKS;
            return;
        }
        let wake = self.canceller.as_ref().map(Canceller::wake);
        match self.transport.wait(interest, left, wake) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => self.failed(&error),
            _ => {}
        }
    }

    /// Something is left for [`move_output`](Self::move_output).
    fn output_waits(&self) -> bool {
        self.ending_output || self.handshake.output_pending()
    }

    /// Writes once, or ends the output.
    pub(super) fn move_output(&mut self) -> Output {
        let result = if self.ending_output {
            self.transport.end_output().map(|()| {
                self.fin_sent = !self.transport.is_tls(); // over TLS, FIN may wait for the peer's close_notify
                self.ended_output();
            })
        } else if self.handshake.output_pending() {
            if self.written == self.output.len() {
                self.tell(Event::Flushed); // a detach with nothing to say
                return Output::Moved;
            }
            self.transport.write(&self.output[self.written..]).map(|bytes| self.wrote(bytes))
        } else {
            return Output::Done;
        };
        match result {
            Ok(()) => Output::Moved,
            Err(error) => match error.kind() {
                // Nobody is left to be told; how the connection went shows in the next read.
                io::ErrorKind::NotConnected if self.ending_output => {
                    self.ended_output();
                    Output::Moved
                }
                io::ErrorKind::WouldBlock => {
                    self.write_blocked = !self.ending_output;
                    Output::Blocked
                }
                io::ErrorKind::Interrupted => Output::Moved,
                io::ErrorKind::InvalidData if self.transport.is_tls() => {
                    self.failed(&error);
                    Output::Moved
                }
                _ => {
                    self.ending_output = false;
                    self.tell(Event::OutputFailed(os_error(&error)));
                    Output::Moved
                }
            },
        }
    }

    fn ended_output(&mut self) {
        self.ending_output = false;
        self.tell(Event::Flushed);
    }

    fn wrote(&mut self, bytes: usize) {
        self.write_blocked = false;
        self.written += bytes.min(self.output.len() - self.written);
        self.tell(Event::Written(bytes));
        if self.written == self.output.len() {
            self.tell(Event::Flushed);
        }
    }

    /// Reads once, waiting `within` at most; false when there was nothing.
    pub(super) fn read(&mut self, within: Option<Duration>) -> bool {
        self.input.resize(CHUNK, 0);
        self.taken = 0;
        let result = if self.below_tls {
            self.transport.drain(&mut self.input)
        } else if let Some(limit) = within {
            self.transport.read_within(&mut self.input, limit)
        } else {
            self.transport.read(&mut self.input)
        };
        self.input.truncate(*result.as_ref().unwrap_or(&0));
        self.took(result)
    }

    /// Acts on what a read said; false when there was nothing.
    pub(super) fn took(&mut self, result: io::Result<usize>) -> bool {
        match result {
            Ok(0) => {
                let inside = self.handshake.expects_stanzas()
                    && self.framer.as_ref().is_some_and(|framer| !framer.between_stanzas());
                let notify = self.transport.is_tls() && !self.below_tls;
                self.below_tls |= notify;
                self.tell(if notify { Event::CloseNotify { inside } } else { Event::Eof { inside } });
            }
            Ok(_) => {}
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return false,
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::UnexpectedEof if self.transport.is_tls() => self.tell(Event::Truncated),
                _ => self.failed(&error),
            },
        }
        true
    }

    fn failed(&mut self, error: &io::Error) {
        if self.transport.is_tls() && error.kind() == io::ErrorKind::InvalidData {
            self.tls_failure_code = error.raw_os_error();
            self.tls_failed = true;
            self.tell(Event::TlsFailed);
        } else {
            self.tell(Event::Failed(os_error(error)));
        }
    }
}
