//! What moves the bytes of a session's stream, and waits while nothing does.

use std::{
    io,
    time::{Duration, Instant},
};

use super::{Incoming, Stream, header};
use crate::{
    cancel::Waker,
    closing::End,
    error::Error,
    framing::Frame,
    transport::{Interest, Transport},
    xml::{self, Scope, Stanza},
};

/// How much of the peer's is kept while our own output is blocked, so that two writers do not wait for each other (TC-13).
const READ_AHEAD: usize = 1 << 20;
/// How long a wait is at most. Nobody notices where it is cut.
const LONG: Duration = Duration::from_secs(3600);

impl<T: Transport> Stream<T> {
    /// Each time it reads what is there before it says anything else, and then tells a silence, a wake, the end of its time,
    /// in this order: none of these can hold back another for ever.
    pub(super) fn receive_until(&mut self, deadline: Option<Instant>) -> Result<Incoming, Error> {
        if self.peer_closed {
            return Err(Error::Closed);
        }
        loop {
            if let Some(incoming) = self.frame()? {
                return Ok(incoming);
            }
            let late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let came = self.read()?;
            let silence = self.idle_after.map(|silence| silence.saturating_sub(self.silent_since.elapsed()));
            if !came && silence.is_some_and(|silence| silence.is_zero()) {
                self.silent_since = Instant::now();
                return Ok(Incoming::Idle);
            }
            if self.waker.as_ref().is_some_and(Waker::take) {
                self.pace.moved();
                return Ok(Incoming::Woken);
            }
            if late {
                return Ok(self.frame()?.unwrap_or(Incoming::TimedOut));
            }
            if !came {
                let time = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                let left = [silence, time].into_iter().flatten().min().unwrap_or(LONG);
                self.wait(left)?;
            }
        }
    }

    fn frame(&mut self) -> Result<Option<Incoming>, Error> {
        if let Some(malformed) = self.incoming.malformed() {
            return Err(Error::Malformed(malformed.condition()));
        }
        let (mut rest, taken) = self.input.parts();
        let before = rest.len();
        let frame = self.incoming.next(&mut rest);
        *taken += before - rest.len();
        Ok(Some(match frame {
            None => return Ok(None),
            Some(Frame::Header(header)) => {
                self.header = Scope::of(header);
                if self.outgoing.root().is_none() && header.len() <= header::LONGEST {
                    self.unanswered = header.to_vec();
                }
                Incoming::Header(String::from_utf8_lossy(header).into_owned())
            }
            Some(Frame::Stanza(stanza)) if xml::is_stream_error(stanza, &self.header) => {
                // Only the first is read: a peer can send as many as it likes.
                let error = self.stream_error.get_or_insert_with(|| xml::stream_error(stanza, &self.header));
                Incoming::StreamError(error.clone())
            }
            Some(Frame::Stanza(stanza)) => Incoming::Stanza(Stanza::new(stanza.to_vec(), self.header.clone())),
            Some(Frame::Oversize(bytes)) => Incoming::Oversize(bytes),
            Some(Frame::End) => {
                self.peer_closed = true;
                Incoming::PeerClosed
            }
            Some(Frame::Malformed(malformed)) => return Err(Error::Malformed(malformed.condition())),
        }))
    }

    /// Reads once, without waiting; false when nothing was there.
    fn read(&mut self) -> io::Result<bool> {
        let Self { input, transport, .. } = self;
        let result = input.fill(|buf| transport.try_read(buf));
        self.end = End::of(&result);
        match result {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                self.pace.moved();
                self.silent_since = Instant::now();
                Ok(true)
            }
            Err(error) if retry(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits for something to read, or for the waker.
    fn wait(&mut self, limit: Duration) -> io::Result<()> {
        self.input.shrink(); // it was read while we sent
        self.incoming.shrink();
        let wake = self.waker.as_ref().map(Waker::fd);
        match self.pace.wait(&mut self.transport, Interest::READ, limit, wake) {
            Err(error) if !retry(&error) => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let mut moved = Instant::now();
        let mut written = 0;
        let mut ahead = true;
        let result = loop {
            if written == self.queued.len() {
                break Ok(());
            }
            match self.transport.try_write(&self.queued[written..]) {
                Ok(bytes) if bytes > 0 => {
                    self.pace.moved();
                    written += bytes.min(self.queued.len() - written);
                    moved = Instant::now();
                    continue;
                }
                Ok(_) => {} // nothing was taken, which means the same as to block
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => break Err(error),
            }
            let left = self.write_limit.saturating_sub(moved.elapsed());
            if left.is_zero() {
                break Err(io::ErrorKind::TimedOut.into());
            }
            let room = self.input.rest().len() < READ_AHEAD;
            let interest = if ahead && room { Interest::BOTH } else { Interest::WRITE };
            match self.pace.wait(&mut self.transport, interest, left, None) {
                // At the end of what the peer sends, only the output matters; the next `receive` finds that end.
                Ok(ready) if ready.read => ahead = self.read_ahead(),
                Ok(_) => {}
                Err(error) if retry(&error) => {}
                Err(error) => break Err(error),
            }
        };
        self.queued.drain(..written);
        Ok(result?)
    }

    /// Reads once behind what is kept already; false at the end.
    fn read_ahead(&mut self) -> bool {
        match self.input.fill_behind(|buf| self.transport.try_read(buf)) {
            Ok(0) => false,
            Ok(_) => {
                self.pace.moved();
                self.silent_since = Instant::now();
                true
            }
            Err(error) => retry(&error),
        }
    }
}

fn retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
