//! Moves the bytes of a [`Stream`], and waits while none can be moved.

use std::{
    fmt, io,
    time::{Duration, Instant},
};

use super::{Incoming, Mailbox, Stream, header};
use crate::{
    cancel::Waker,
    engine::Found,
    error::Error,
    transport::{Interest, Transport, is_passing, lends_socket},
};

/// How many bytes of the peer's are read and kept while our own output is blocked: two sides that only write would wait for
/// each other for ever (TC-13).
const READ_AHEAD: usize = 1 << 20;
/// How long one wait is at most. The loop around it waits again, so nobody notices.
const LONG: Duration = Duration::from_secs(3600);

impl<T: Transport> Stream<T> {
    /// In each turn of the loop it first reads what is there. Then it reports a silence, a wake or the end of the limit, in this
    /// order, so that none of the three can hold back another for ever.
    pub(super) fn receive_until(&mut self, deadline: Option<Instant>) -> Result<Incoming, Error> {
        if self.driver.is_peer_closed() {
            return Err(Error::Closed);
        }
        loop {
            let wrote = self.post()?;
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
            let rang = self.waker.as_ref().and_then(Waker::take);
            if let Some(asked) = rang {
                self.driver.moved();
                if asked {
                    return Ok(Incoming::Woken);
                }
            }
            if late {
                return Ok(self.frame()?.unwrap_or(Incoming::TimedOut));
            }
            if !came && !wrote && rang.is_none() {
                let time = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
                let left = [silence, time].into_iter().flatten().min().unwrap_or(LONG);
                self.wait(left)?;
            }
        }
    }

    /// Writes once of what other threads have queued. False when nothing could be written.
    fn post(&mut self) -> io::Result<bool> {
        let Some(mailbox) = &self.mailbox else { return Ok(false) };
        if !self.driver.may_send() {
            mailbox.shut();
            return Ok(false);
        }
        if self.outgoing.root().is_some() {
            let bytes = mailbox.take(self.driver.queued());
            if !bytes.is_empty() {
                let _ = self.driver.send(&bytes); // cannot fail: `may_send` was asked, and the mailbox has the only limit
            }
        }
        let wrote = if self.owes() { self.driver.write() } else { Ok(false) };
        mailbox.note(self.driver.queued());
        match wrote {
            Err(error) if !is_passing(&error) => {
                mailbox.shut();
                Err(error)
            }
            wrote => Ok(wrote.unwrap_or(false)),
        }
    }

    /// Whether `receive` has something to write. When no other thread sends, only `send` and the close write.
    fn owes(&self) -> bool {
        self.mailbox.is_some() && self.driver.may_send() && self.driver.queued() > 0
    }

    fn frame(&mut self) -> Result<Option<Incoming>, Error> {
        if let Some(malformed) = self.driver.why_malformed() {
            return Err(Error::Malformed(malformed.condition()));
        }
        let incoming = match self.driver.find() {
            None => return Ok(None),
            Some(Found::Header(header)) => {
                if self.outgoing.root().is_none() && header.len() <= header::LONGEST {
                    self.unanswered = header.as_bytes().to_vec();
                }
                Ok(Incoming::Header(header.to_owned()))
            }
            Some(Found::Stanza(stanza)) => Ok(Incoming::Stanza(stanza.into_owned())),
            Some(Found::Oversize(bytes)) => Ok(Incoming::Oversize(bytes)),
            Some(Found::StreamError(error)) => Ok(Incoming::StreamError(error.clone())),
            Some(Found::PeerClosed) => Ok(Incoming::PeerClosed),
            Some(Found::Malformed(malformed)) => Err(Error::Malformed(malformed.condition())),
        };
        #[cfg(any(feature = "capi", feature = "log"))]
        self.driver.log(); // the peer may have begun to close
        incoming.map(Some)
    }

    /// Reads once, without waiting. False when nothing was there.
    fn read(&mut self) -> io::Result<bool> {
        match self.driver.read_once(false) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => {
                self.silent_since = Instant::now();
                Ok(true)
            }
            Err(error) if is_passing(&error) => Ok(false),
            Err(error) => {
                self.mailbox.iter().for_each(Mailbox::shut);
                Err(error)
            }
        }
    }

    /// Waits until there is something to read, or to write, or the waker is used.
    fn wait(&mut self, limit: Duration) -> io::Result<()> {
        self.driver.keep_little(); // gives back the memory for what was read while we sent
        let wake = self.waker.as_ref().map(Waker::fd);
        let interest = if self.owes() { Interest::BOTH } else { Interest::READ };
        match self.driver.wait_for(interest, limit, wake) {
            Err(error) if !is_passing(&error) => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let mut moved = Instant::now();
        let mut ahead = true;
        while self.driver.queued() > 0 {
            match self.driver.write() {
                Ok(true) => {
                    moved = Instant::now();
                    continue;
                }
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            }
            let left = self.write_limit.saturating_sub(moved.elapsed());
            if left.is_zero() {
                let why = "the peer has not read for as long as the write limit";
                return Err(io::Error::new(io::ErrorKind::TimedOut, why).into());
            }
            let room = self.driver.kept() < READ_AHEAD;
            let interest = if ahead && room { Interest::BOTH } else { Interest::WRITE };
            match self.driver.wait_for(interest, left, None) {
                // When the peer's stream ends, only our output is left to wait for. The next `receive` finds that end.
                Ok(ready) if ready.read => ahead = self.read_ahead(),
                Ok(_) => {}
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads once, behind what is kept already. False at the end of what the peer sends.
    fn read_ahead(&mut self) -> bool {
        match self.driver.read_once(true) {
            Ok(0) => false,
            Ok(_) => {
                self.silent_since = Instant::now();
                true
            }
            Err(error) => is_passing(&error),
        }
    }
}

lends_socket! {
    /// For poll(2) and its like. Nothing may be read from the descriptor, or written to it.
    impl<[T: Transport]> Stream<T>, of T, |stream| stream.get_ref()
}

impl<T: Transport> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer_closed", &self.driver.is_peer_closed())
            .field("stream_error", &self.driver.stream_error())
            .finish_non_exhaustive()
    }
}
