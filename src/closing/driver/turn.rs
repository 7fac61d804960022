//! One turn of the driver: what can move is moved, without waiting or with, but never past the next deadline.

use std::{io, time::Duration};

use super::Driver;
use crate::{
    cancel::Canceller,
    framing::{Leaves, leaves},
    handshake::Event,
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
            self.tell(Event::Cancel);
            return None;
        }
        let left = self.left();
        let late = left.is_zero();
        if late && self.last_bytes >= LAST_BYTES {
            self.tell(Event::Tick);
            return None;
        }
        if self.must_compose() {
            // What has arrived is handled first, so that it is counted; but no peer can hold back our tag.
            self.last_bytes += LEAST;
            if self.last_bytes >= LAST_BYTES || !self.handshake.wants_input() || !self.read(None) {
                self.compose();
                self.last_bytes = 0;
            }
            return None;
        }
        self.last_bytes = if late { self.last_bytes + LEAST } else { 0 };
        let output = self.move_output();
        let interest = match (output, self.handshake.wants_input()) {
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
            self.last_bytes = LAST_BYTES; // nothing more has arrived: the deadline is applied
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
        self.handshake.deadline().map_or(Duration::MAX, |deadline| deadline.saturating_sub(self.now))
    }

    /// All that goes before the last words is written.
    fn must_compose(&self) -> bool {
        self.last_words.is_some() && self.written == self.ending_at && self.handshake.output_pending()
    }

    /// Says what the application says last (SE-03).
    fn compose(&mut self) {
        match self.last_words.take().and_then(|words| words.0()) {
            Some(words)
                if leaves(&words, &self.root, true, false) == Leaves::Between
                    && self.insert(self.ending_at, &words) =>
            {
                self.tag_at += words.len()
            }
            _ => self.tell(Event::Cancel),
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
            let end = if self.last_words.is_some() { self.ending_at } else { self.output.len() };
            if self.written == end {
                if self.last_words.is_some() {
                    return Output::Done; // for now
                }
                self.tell(Event::Flushed); // there was nothing to say
                return Output::Moved;
            }
            let rest = &self.output[self.written..end];
            let most = rest.len();
            match self.transport.write(rest) {
                Ok(0) => Err(io::ErrorKind::WouldBlock.into()),
                result => result.map(|bytes| self.wrote(bytes.min(most))),
            }
        } else {
            return Output::Done;
        };
        match result {
            Ok(()) => {
                self.pace.moved();
                Output::Moved
            }
            Err(error) => match error.kind() {
                // Nobody is left to be told; how the connection went shows in the next read.
                io::ErrorKind::NotConnected if self.ending_output => {
                    self.ended_output();
                    Output::Moved
                }
                io::ErrorKind::WouldBlock => {
                    self.write_blocked = true;
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
        self.written += bytes;
        self.last_bytes += WRITE;
        self.tell(Event::Written(bytes));
        if self.written == self.output.len() && self.last_words.is_none() {
            self.tell(Event::Flushed);
        }
    }

    /// Reads once, waiting `within` at most; false when there was nothing.
    pub(super) fn read(&mut self, within: Option<Duration>) -> bool {
        let result = self.fill(within);
        self.took(result)
    }

    /// Reads once, without acting on it.
    pub(super) fn fill(&mut self, within: Option<Duration>) -> io::Result<usize> {
        let Self { input, transport, armed, pace, .. } = self;
        let result = match within {
            _ if self.below_tls => input.fill(|buf| transport.drain(buf)),
            Some(limit) => input.fill(|buf| pace.read_within(transport, buf, limit, armed)),
            None => input.fill(|buf| transport.read(buf)),
        };
        if within.is_some() {
            self.look_at_clock();
        }
        self.last_bytes += self.input.rest().len();
        if result.is_ok() {
            self.pace.moved();
        }
        result
    }

    /// Acts on what a read said; false when there was nothing.
    pub(super) fn took(&mut self, result: io::Result<usize>) -> bool {
        match result {
            Ok(0) => {
                let inside = self.handshake.expects_stanzas()
                    && self.framer.as_ref().map_or(self.parser_inside, |framer| !framer.between_stanzas());
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

    /// The connection is gone, or the TLS layer failed.
    pub(crate) fn failed(&mut self, error: &io::Error) {
        self.look_at_clock();
        if self.transport.is_tls() && error.kind() == io::ErrorKind::InvalidData {
            self.tls_failure_code = error.raw_os_error();
            self.tls_failed = true;
            self.tell(Event::TlsFailed);
        } else {
            self.tell(Event::Failed(os_error(error)));
        }
    }
}
