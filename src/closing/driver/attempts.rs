//! One attempt in one direction, and what it means for the stream.

use std::{io, time::Duration};

use super::{Driver, Ended};
use crate::{
    engine::Fact,
    transport::{Transport, is_passing, os_error},
};

/// What a write counts for among the last bytes.
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
    /// Writes once, or ends the output.
    pub(super) fn move_output(&mut self) -> Output {
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
        let result = self.read_into_buffer(within);
        self.on_read(result)
    }

    /// Reads once, without acting on it.
    pub(super) fn read_into_buffer(&mut self, within: Option<Duration>) -> io::Result<usize> {
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
