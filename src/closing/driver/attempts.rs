//! One attempt to read or to write, and what its result means for the stream.

use std::{io, time::Duration};

use super::{Driver, Ended};
use crate::{
    engine::Fact,
    transport::{Transport, is_passing, os_error},
};

/// How many of the [last bytes](super::turn::LAST_BYTES) one write uses up.
const WRITE: usize = 8 * 1024;

/// How far [`Driver::move_output`] came.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Output {
    /// There is nothing to write.
    Done,
    /// Something was written, or our output ended.
    Moved,
    /// The write must wait.
    Blocked,
}

impl<T: Transport> Driver<T> {
    /// Writes once, or ends our output.
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

    /// Makes the first attempt that is due: to write, to send `close_notify`, or to shut down the sending side.
    fn move_one(&mut self) -> io::Result<Output> {
        let output = self.write_once()?;
        if output != Output::Done {
            return Ok(output);
        }
        let wants = self.engine.wants();
        if wants.notify() {
            match self.transport.notify() {
                // The connection is gone, so nobody reads our alert. The next read shows how the connection ended.
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

    /// Writes once of what is queued, but only when the kernel has everything that the transport took before.
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

    /// The transport took `count` bytes. Asks it now how much of all that it ever took the kernel does not have yet.
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

    /// Reads once, and waits `within` at most; `None`: not at all. False when nothing came.
    pub(super) fn read(&mut self, within: Option<Duration>) -> bool {
        let result = self.read_into_buffer(within);
        self.on_read(result)
    }

    /// Reads once as [`read`](Self::read) does, but does not act on the result.
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
        if let (Some(left), Ok(bytes)) = (&mut self.clock.left, &result) {
            *left = left.saturating_sub(*bytes);
        }
        if result.is_ok() {
            self.pace.moved();
        }
        result
    }

    /// Acts on the result of a read; false when nothing came.
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

    /// Tells the engine that the connection is gone, or that the TLS layer failed.
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
