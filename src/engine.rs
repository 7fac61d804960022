//! One stream without I/O: bytes in, bytes out, a clock handed in. The library's own closes run on it ([`driven`]).

mod driven;
mod facts;
mod handshake;
mod outgoing;
mod wants;

use std::time::Duration;

pub use facts::Tls;
use facts::{Fact as Half, Ours, Theirs};
use handshake::Handshake;
pub use handshake::TRAILING_LIMIT;
use outgoing::Outgoing;
pub use wants::Wants;

use crate::{error::Error, options::CloseOptions, report::Report, stream_error::StreamError};

/// A fact about the stream or its connection, for [`Engine::tell`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fact {
    /// Stop at once.
    Cancel,
    /// The application's parser saw the peer's closing tag; so many of the bytes received last lie behind it.
    PeerClosed {
        /// Bytes behind the tag.
        behind: u64,
    },
    /// The application's parser refuses what the peer sent.
    Malformed,
    /// The application's parser saw the peer's stream error.
    StreamError(StreamError),
    /// The application does not read now (`true`), or does again.
    Paused(bool),
    /// New headers follow, both ways: after STARTTLS or SASL. Our header is the one of before again, if the engine was given
    /// one, and is not out.
    Restarted {
        /// What lies below the stream from now on.
        tls: Tls,
    },
    /// The application has written our header itself.
    HeaderOut,
    /// So many bytes of the peer's stream lie unread: told before [`Engine::finish`] by who did not read until it would block.
    Arrived(u64),
    /// TCP was read to its end; `inside` an element or not.
    Eof {
        /// The end came inside an element or tag.
        inside: bool,
    },
    /// The peer's `close_notify` was read; `inside` an element or not.
    Notified {
        /// The end came inside an element or tag.
        inside: bool,
    },
    /// Reading failed with this `errno`, or 0.
    ReadFailed(i32),
    /// Writing failed with this `errno`, or 0.
    WriteFailed(i32),
    /// The TLS layer failed.
    TlsFailed,
    /// What [`Wants::notify`] asked for is with the TLS layer.
    DidNotify,
    /// What [`Wants::shut`] asked for is done, or there is no such call.
    DidShut,
    /// So many more late stanzas were handled.
    Stanzas(u64),
    /// So many more were over the limit.
    Oversize(u64),
}

/// Why [`Engine::send`] took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendError {
    /// Our tag is due, or writing failed: for ever. The stanza is to be stored or bounced.
    Refused,
    /// Too much is queued: perhaps later.
    Full,
}

/// One stream's closing handshake without I/O, for whoever owns the socket, TLS and parser: it says what goes out and
/// when, and what is to be done next.
///
/// It has no clock: times are those of one monotonic clock of the caller's, counted from any fixed point. What it
/// [wants](Self::wants) it asks for again until it is done, so that no order of events can go wrong.
///
/// ```
/// use std::time::Instant;
/// use xmpp_close::{CloseOptions, Engine, Fact, Outcome, Tls};
///
/// # fn main() -> Result<(), xmpp_close::Error> {
/// let clock = Instant::now();
/// let mut engine = Engine::new(&CloseOptions::new(), b"", Tls::No)?;
/// // What has arrived was read, handled and answered. Now we close:
/// engine.finish(None, clock.elapsed());
/// let bytes = engine.output().to_vec(); // to be written, as much as the socket takes
/// assert_eq!(bytes, b"</stream:stream>");
/// engine.wrote(bytes.len(), 0, clock.elapsed());
/// assert!(engine.wants().read && !engine.wants().may_send);
/// // 16 bytes came. They are the peer's stream, so the parser gets them, and sees the closing tag:
/// assert!(engine.received(16, clock.elapsed()));
/// engine.tell(Fact::PeerClosed { behind: 0 }, clock.elapsed())?;
/// assert!(engine.wants().shut); // shutdown(SHUT_WR)
/// engine.tell(Fact::DidShut, clock.elapsed())?;
/// engine.tell(Fact::Eof { inside: false }, clock.elapsed())?;
/// assert!(engine.wants().over);
/// assert_eq!(engine.report().outcome, Outcome::Clean);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Engine {
    handshake: Handshake,
    outgoing: Outgoing,
    /// How much may be queued.
    output_limit: usize,
    /// Goes in front of an error and of the tag.
    farewell: Vec<u8>,
    /// Ours, unless another one is called for first.
    error: Option<StreamError>,
    tag: bool,
    /// The peer's.
    stream_error: Option<StreamError>,
    /// How often [`send`](Self::send) came too late.
    refused: u32,
}

impl Engine {
    /// An engine on an open stream. `header` is our own stream header if it has not gone out yet: then it goes in front of
    /// whatever is said first. Otherwise it is empty. Of the options it takes the limits, closing tag, farewell, stream
    /// error, `peer_closed` and `tag_sent`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options that make no sense together.
    pub fn new(options: &CloseOptions, header: &[u8], tls: Tls) -> Result<Self, Error> {
        options.check()?;
        if options.limits.half_close && tls != Tls::No {
            return Err(Error::Invalid("there is no half-close over TLS before the peer's tag"));
        }
        let handshake = Handshake::new(options.limits, options.answer_limit(), tls);
        let mut engine = Self {
            handshake,
            outgoing: Outgoing::new(options.root()?, header.to_vec(), Vec::new()),
            output_limit: options.output_limit,
            farewell: options.farewell.clone(),
            error: options.stream_error.clone(),
            tag: !options.tag_sent,
            stream_error: None,
            refused: 0,
        };
        if options.peer_closed {
            engine.handshake.tell(Half::PeerClosed { behind: 0 }, Duration::ZERO);
        }
        Ok(engine)
    }

    /// Queues whole stanzas; the first may be the rest of one that is half written.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued then.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        if !self.may_send() {
            self.refused = self.refused.saturating_add(1);
            return Err(SendError::Refused);
        }
        if self.outgoing.queued().saturating_add(bytes.len()) > self.output_limit {
            return Err(SendError::Full);
        }
        self.outgoing.queue(bytes);
        self.update(false, Duration::ZERO);
        Ok(())
    }

    /// All is said: our tag is due, behind a stream error or not. We close, or answer. The first call counts.
    pub fn finish(&mut self, error: Option<&StreamError>, now: Duration) {
        if self.may_send() {
            self.append_tail(error, now);
            self.handshake.tell(Half::Finish, now);
        }
    }

    /// What is queued goes out, then TCP is ended without a tag; what still comes is discarded.
    pub fn detach(&mut self, now: Duration) {
        if self.may_send() {
            self.outgoing.finish(&self.farewell, None, false);
            self.update(false, now);
            self.handshake.tell(Half::Detach, now);
        }
    }

    /// So many bytes were handed out, and not taken.
    #[cfg(feature = "capi")]
    pub(crate) fn handed(&self) -> usize {
        self.outgoing.handed()
    }

    pub(crate) fn may_send(&self) -> bool {
        self.handshake.ours() == Ours::Open && !self.is_over()
    }

    fn append_tail(&mut self, error: Option<&StreamError>, now: Duration) {
        self.outgoing.finish(&self.farewell, self.error.as_ref().or(error), self.tag);
        self.update(false, now);
    }

    /// Tells the handshake how much is not with the kernel.
    fn update(&mut self, moved: bool, now: Duration) {
        let bytes = self.outgoing.unsent();
        self.handshake.tell(Half::Unsent { bytes, moved }, now);
    }

    /// The next bytes to write. They never change while they are not taken; the last that ever come are our tag.
    pub fn output(&mut self) -> &[u8] {
        if self.handshake.is_over() || self.handshake.ours() == Ours::Lost { &[] } else { self.outgoing.next() }
    }

    /// `taken` of the bytes of [`output`](Self::output) were taken. Of all that was ever taken, and of what the application's own
    /// queue or TLS layer holds besides, `pending` bytes are not with the kernel.
    ///
    /// # Panics
    /// When more is taken than was handed out.
    pub fn wrote(&mut self, taken: usize, pending: usize, now: Duration) {
        assert!(taken <= self.outgoing.handed(), "more was taken than was handed out");
        if self.handshake.is_over() {
            return; // what the report says is fixed
        }
        let moved = taken > 0 || pending < self.outgoing.pending();
        self.outgoing.took(taken, pending);
        self.update(moved, now);
    }

    /// So many bytes came: `true` when they are for the parser, `false` when they are to be discarded. Before they are parsed.
    #[must_use]
    pub fn received(&mut self, bytes: usize, now: Duration) -> bool {
        self.handshake.received(bytes as u64, now)
    }

    /// Takes a fact. One that is no news changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a stream is restarted while something of it is still to be written.
    pub fn tell(&mut self, fact: Fact, now: Duration) -> Result<(), Error> {
        let half = match fact {
            Fact::Cancel => Half::Cancel,
            Fact::PeerClosed { behind } => Half::PeerClosed { behind },
            Fact::Malformed => {
                self.malformed("not-well-formed", now);
                return Ok(());
            }
            Fact::StreamError(error) => {
                self.peer_error(error, now);
                return Ok(());
            }
            Fact::Paused(paused) => Half::Paused(paused),
            Fact::Restarted { tls } => return self.restart(tls),
            Fact::HeaderOut => {
                self.outgoing.set_header_out(true);
                return Ok(());
            }
            Fact::Arrived(bytes) => Half::Arrived(bytes),
            Fact::Eof { inside } => Half::Eof { inside },
            Fact::Notified { inside } => Half::Notified { inside },
            Fact::ReadFailed(code) => Half::ReadFailed(code),
            Fact::WriteFailed(code) => Half::WriteFailed(code),
            Fact::TlsFailed => Half::TlsFailed,
            Fact::DidNotify => Half::DidNotify,
            Fact::DidShut => Half::DidShut,
            Fact::Stanzas(count) => Half::Stanzas(count),
            Fact::Oversize(count) => Half::Oversize(count),
        };
        self.handshake.tell(half, now);
        Ok(())
    }

    pub(crate) fn malformed(&mut self, condition: &'static str, now: Duration) {
        if self.handshake.is_over() || self.handshake.theirs() != Theirs::Open {
            return;
        }
        let error = StreamError::defined(condition);
        match self.handshake.ours() {
            Ours::Open => self.append_tail(Some(&error), now),
            Ours::Queued => {
                self.outgoing.insert_error(&error);
                self.update(false, now);
            }
            _ => {} // ER-09: nothing may be said any more
        }
        self.handshake.tell(Half::Malformed, now);
    }

    pub(crate) fn peer_error(&mut self, error: StreamError, now: Duration) {
        if self.handshake.is_over() || self.handshake.theirs() != Theirs::Open {
            return;
        }
        self.stream_error.get_or_insert(error);
        if self.handshake.ours() == Ours::Open {
            self.append_tail(None, now);
        }
        self.handshake.tell(Half::PeerError, now);
    }

    fn restart(&mut self, tls: Tls) -> Result<(), Error> {
        if self.handshake.is_over() {
            return Ok(());
        }
        if self.handshake.ours() != Ours::Open || self.handshake.unsent() > 0 {
            return Err(Error::Invalid("a stream restarts when all that was sent on it is written"));
        }
        self.handshake.set_tls(tls);
        self.outgoing.set_header_out(false);
        Ok(())
    }

    /// What is to be done next. Asked twice, it answers the same.
    pub fn wants(&self) -> Wants {
        self.handshake.wants()
    }

    /// When [`tick`](Self::tick) is due; `None` before the close began, and after its end.
    pub fn deadline(&self) -> Option<Duration> {
        self.handshake.deadline()
    }

    /// Applies the limits, and only this does. What has arrived is read before.
    pub fn tick(&mut self, now: Duration) {
        if self.handshake.tick(now) {
            self.finish(None, now);
        }
    }

    /// As of the last call; complete once it is over.
    pub fn report(&self) -> Report {
        Report { stream_error: self.stream_error.clone(), refused: self.refused, ..self.handshake.report() }
    }
}

#[cfg(test)]
mod tests;
