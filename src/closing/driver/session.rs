//! What only a [`Stream`](crate::Stream) needs, whose application moves it by blocking calls. The application gets the result
//! of each read and write; the engine learns of them when the close begins.

use std::{io, time::Duration};

use super::{Driver, attempts::Output, tls_of};
use crate::{
    engine::Engine,
    framing::Malformed,
    stream_error::StreamError,
    transport::{BorrowedSocket, Interest, Pace, Transport, is_passing},
    xml::Scope,
};

/// How reading ended: with the end of the stream, or with an error. It is kept because the system reports an error only once
/// (TC-04).
#[derive(Clone, Copy, Debug)]
pub(super) enum ReadEnd {
    Eof,
    Failed(io::ErrorKind, Option<i32>),
}

impl ReadEnd {
    /// `None`: reading goes on.
    fn of(result: &io::Result<usize>) -> Option<Self> {
        match result {
            Ok(0) => Some(Self::Eof),
            Ok(_) => None,
            Err(error) if is_passing(error) => None,
            Err(error) => Some(Self::Failed(error.kind(), error.raw_os_error())),
        }
    }

    /// The result of the read, as it was.
    pub(super) fn again(self) -> io::Result<usize> {
        match self {
            Self::Eof => Ok(0),
            Self::Failed(_, Some(code)) => Err(io::Error::from_raw_os_error(code)),
            Self::Failed(kind, None) => Err(kind.into()),
        }
    }
}

impl<T: Transport> Driver<T> {
    /// A stream on which nothing has been sent or received.
    pub(crate) fn at_the_start(transport: T) -> Self {
        let engine = Engine::at_the_start(tls_of(&transport)).unlimited();
        Self::with(transport, engine)
    }

    /// The same stream over another transport, where new headers follow. What was read from the transport before is dropped.
    pub(crate) fn upgrade<U: Transport, E>(self, make: impl FnOnce(T) -> Result<U, E>) -> Result<Driver<U>, E> {
        let mut driver = self.try_map(make)?;
        driver.pace = Pace::default();
        driver.input.take(driver.input.rest().len());
        driver.restart();
        Ok(driver)
    }

    /// New headers follow.
    pub(crate) fn restart(&mut self) {
        self.engine.restart_input(tls_of(&self.transport));
    }

    pub(crate) fn get_ref(&self) -> &T {
        &self.transport
    }

    pub(crate) fn limit_stanzas(&mut self, bytes: usize) {
        self.engine.limit_stanzas(bytes);
    }

    /// Whether stanzas may still be sent.
    pub(crate) fn may_send(&self) -> bool {
        self.engine.may_send()
    }

    /// How many bytes of ours are not written.
    pub(crate) fn queued(&self) -> usize {
        self.engine.unsent()
    }

    /// Writes once; false when the write must wait.
    pub(crate) fn write(&mut self) -> io::Result<bool> {
        self.look_at_clock();
        let moved = self.write_once()? != Output::Blocked;
        if moved {
            self.pace.moved();
        }
        Ok(moved)
    }

    /// Reads once, without waiting. With `behind`, what is kept stays, and the new bytes go behind it. The engine learns of an
    /// end when the close begins.
    pub(crate) fn read_once(&mut self, behind: bool) -> io::Result<usize> {
        let Self { input, transport, .. } = self;
        let read = |buf: &mut [u8]| transport.try_read(buf);
        let result = if behind { input.fill_behind(read) } else { input.fill(read) };
        if result.as_ref().is_ok_and(|count| *count > 0) {
            self.pace.moved();
        }
        if !behind {
            self.plan.end = ReadEnd::of(&result);
        }
        result
    }

    /// How many bytes were read and are kept.
    pub(crate) fn kept(&self) -> usize {
        self.input.rest().len()
    }

    /// Gives back the memory that earlier input needed.
    pub(crate) fn keep_little(&mut self) {
        self.input.shrink();
        self.engine.shrink();
    }

    /// Tells the pace that the last wait was of use, although no byte of the stream moved.
    pub(crate) fn moved(&mut self) {
        self.pace.moved();
    }

    /// Waits until a direction of `interest` or the descriptor `wake` is ready, for `limit` at most.
    pub(crate) fn wait_for(
        &mut self,
        interest: Interest,
        limit: Duration,
        wake: Option<BorrowedSocket<'_>>,
    ) -> io::Result<Interest> {
        self.pace.wait(&mut self.transport, interest, limit, wake)
    }

    pub(crate) fn is_peer_closed(&self) -> bool {
        self.engine.is_peer_closed()
    }

    pub(crate) fn why_malformed(&self) -> Option<Malformed> {
        self.engine.why_malformed()
    }

    pub(crate) fn stream_error(&self) -> Option<&StreamError> {
        self.engine.stream_error()
    }

    /// The namespaces that the peer's header declares.
    pub(crate) fn header(&self) -> &Scope {
        self.engine.header()
    }
}
