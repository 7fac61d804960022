//! One stream without I/O: bytes in, bytes out, a clock handed in. The library's own closes run on it ([`driven`]).

mod close;
mod driven;
mod facts;
mod handshake;
mod incoming;
mod outgoing;
mod wants;

use std::{fmt, time::Duration};

use close::Close;
pub use facts::Tls;
use handshake::Handshake;
pub use handshake::TRAILING_LIMIT;
pub use incoming::Found;
use incoming::{Incoming, text};
use outgoing::{Last, Outgoing};
pub use wants::Wants;

use crate::{
    condition::Condition,
    error::{Error, Invalid},
    framing::Frame,
    options::CloseOptions,
    report::Report,
    stream_error::StreamError,
    xml::{self, Scope, Stanza},
};

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
    /// The application's parser saw the peer's stream error (see [`StreamError::from_element`]).
    StreamError(StreamError),
    /// The application does not read now (`true`), or does again.
    Paused(bool),
    /// New headers follow, both ways: after STARTTLS or SASL. The one of [`CloseOptions::header`] counts as not out again.
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
    /// It is not whole stanzas, for this reason. Only a [`Sender`](crate::Sender) looks.
    Invalid(Invalid),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("nothing more is sent on this stream"),
            Self::Full => f.write_str("too much is queued for sending"),
            Self::Invalid(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for SendError {}

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
/// let mut engine = Engine::new(&CloseOptions::new(), Tls::No)?;
/// // What has arrived was read, handled and answered. Now we close:
/// engine.finish(None, clock.elapsed());
/// let bytes = engine.output().to_vec(); // to be written, as much as the socket takes
/// assert_eq!(bytes, b"</stream:stream>");
/// engine.wrote(bytes.len(), 0, clock.elapsed());
/// assert!(engine.wants().read() && !engine.wants().may_send());
/// // 16 bytes came. They are the peer's stream, so the parser gets them, and sees the closing tag:
/// assert!(engine.received(16, clock.elapsed()));
/// engine.tell(Fact::PeerClosed { behind: 0 }, clock.elapsed())?;
/// assert!(engine.wants().shut()); // shutdown(SHUT_WR)
/// engine.tell(Fact::DidShut, clock.elapsed())?;
/// engine.tell(Fact::Eof { inside: false }, clock.elapsed())?;
/// assert!(engine.wants().over());
/// assert_eq!(engine.report().outcome, Outcome::Clean);
/// # Ok(()) }
/// ```
///
/// Who has no parser hands in what came by [`input`](Self::input) instead of telling its length by
/// [`received`](Self::received): the engine finds the stanzas, the closing tag and whatever else is in it, and takes in
/// what that means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Engine {
    close: Close,
    incoming: Incoming,
    /// How much [`send`](Self::send) queues at most.
    output_limit: usize,
    /// How often it was too late for that.
    refused: u32,
    /// Bytes that were to be sent, when it turned out that nothing could be any more.
    lost: usize,
}

impl Engine {
    /// An engine on an open stream, between two stanzas of the peer's; for one whose headers are still to come, tell
    /// [`Fact::Restarted`]. It takes no notice of the options that belong to a transport: what was read before, who cancels,
    /// and what is composed at the last moment.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options that make no sense together.
    pub fn new(options: &CloseOptions, tls: Tls) -> Result<Self, Error> {
        options.check()?;
        if options.limits.half_close && tls != Tls::No {
            return Err(Invalid::HalfCloseOverTls.into());
        }
        let mut engine = Self::between_stanzas(options, tls)?;
        engine.set(&mut options.clone(), Duration::ZERO)?;
        if options.peer_closed {
            engine.close.handshake.tell(&Fact::PeerClosed { behind: 0 }, Duration::ZERO);
        }
        Ok(engine)
    }

    fn with(incoming: Incoming, tls: Tls) -> Self {
        let defaults = CloseOptions::new();
        let handshake = Handshake::new(defaults.limits, defaults.answer_limit(), tls);
        Self {
            close: Close { handshake, outgoing: Outgoing::new(crate::options::DEFAULT_ROOT.into()) },
            incoming,
            output_limit: defaults.output_limit,
            refused: 0,
            lost: 0,
        }
    }

    /// Queues whole stanzas; the first may be the rest of one that is half written.
    ///
    /// # Errors
    /// [`SendError`]; nothing was queued then.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        match self.room() {
            None => {
                self.refused = self.refused.saturating_add(1);
                Err(SendError::Refused)
            }
            Some(room) if bytes.len() > room => Err(SendError::Full),
            Some(_) => {
                self.close.send(bytes);
                Ok(())
            }
        }
    }

    /// How much may still be sent; `None`: nothing may.
    pub(crate) fn room(&self) -> Option<usize> {
        self.close.may_send().then(|| self.output_limit.saturating_sub(self.close.outgoing.queued()))
    }

    /// All is said: our tag is due, behind a stream error or not. We close, or answer. The first call counts.
    pub fn finish(&mut self, error: Option<&StreamError>, now: Duration) {
        self.close.finish(error, now);
    }

    /// What is queued goes out, then TCP is ended without a tag; what still comes is discarded.
    pub fn detach(&mut self, now: Duration) {
        self.close.detach(now);
    }

    /// The next bytes to write. They never change while they are not taken; the last that ever come are our tag.
    pub fn output(&mut self) -> &[u8] {
        if self.close.may_write() { self.close.outgoing.next() } else { &[] }
    }

    /// `taken` of the bytes of [`output`](Self::output) were taken. Of all that was ever taken, and of what the application's own
    /// queue or TLS layer holds besides, `pending` bytes are not with the kernel.
    ///
    /// # Panics
    /// When more is taken than was handed out.
    pub fn wrote(&mut self, taken: usize, pending: usize, now: Duration) {
        assert!(taken <= self.close.outgoing.handed(), "more was taken than was handed out");
        self.close.wrote(taken, pending, now);
    }

    /// For who has a parser of his own: so many bytes came. `true` when they are for the parser, `false` when they are to be
    /// discarded. Before they are parsed.
    #[must_use]
    pub fn received(&mut self, bytes: usize, now: Duration) -> bool {
        self.close.handshake.received(bytes as u64, now)
    }

    /// For who has none: what came. It is consumed up to the end of what is found in it, and what that means for the close is
    /// taken in already. Call it until it returns `None`, even when `data` is empty; then all of it is consumed. Behind the
    /// peer's last word all is discarded.
    ///
    /// ```
    /// use std::{fmt, time::Duration};
    /// use xmpp_close::{CloseOptions, Engine, Found, Tls};
    ///
    /// # fn main() -> Result<(), xmpp_close::Error> {
    /// let mut engine = Engine::new(&CloseOptions::new(), Tls::No)?;
    /// let mut data: &[u8] = b"<message/></stream:stream>";
    /// while let Some(found) = engine.input(&mut data, Duration::ZERO) {
    ///     match found {
    ///         Found::Stanza(stanza) => println!("{stanza}"), // to be answered by `send`
    ///         _ => {}
    ///     }
    /// }
    /// assert!(engine.wants().answer()); // the peer has closed: send what is still owed, then finish
    /// # Ok(()) }
    /// ```
    pub fn input<'a, 'i: 'a>(&'a mut self, data: &mut &'i [u8], now: Duration) -> Option<Found<'a>> {
        let Self { close, incoming: Incoming { framer, own_parser, header, stream_error, .. }, .. } = self;
        let before = data.len();
        if *own_parser || !close.parses() {
            let _ = close.handshake.received(before as u64, now);
            *data = &[];
            return None;
        }
        let framer = framer.get_or_insert_with(|| incoming::fresh(close.outgoing.root()));
        let frame = framer.next(data);
        let _ = close.handshake.received((before - data.len()) as u64, now);
        Some(match frame? {
            Frame::Header(tag) => {
                *header = Scope::of(tag);
                Found::Header(text(tag))
            }
            Frame::Stanza(stanza) if xml::is_stream_error(stanza, header) => {
                // Only the first is read: a peer can send as many as it likes.
                let error = stream_error.get_or_insert_with(|| Box::new(xml::stream_error(stanza, header)));
                close.peer_error(now);
                Found::StreamError(error)
            }
            Frame::Stanza(stanza) => {
                close.handshake.tell(&Fact::Stanzas(1), now);
                Found::Stanza(Stanza::lent(text(stanza), header))
            }
            Frame::Oversize(bytes) => {
                close.handshake.tell(&Fact::Oversize(1), now);
                Found::Oversize(bytes)
            }
            Frame::End => {
                close.handshake.tell(&Fact::PeerClosed { behind: 0 }, now);
                Found::PeerClosed
            }
            Frame::Malformed(malformed) => {
                close.malformed(malformed.condition(), now);
                Found::Malformed(malformed)
            }
        })
    }

    /// What [`input`](Self::input) was given ends inside an element or tag, and so would the stream if its end came now:
    /// for [`Fact::Eof`] and [`Fact::Notified`].
    pub fn is_inside(&self) -> bool {
        self.incoming.is_inside()
    }

    /// Takes a fact. One that is no news changes nothing.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a stream is restarted while something of it is still to be written.
    pub fn tell(&mut self, fact: Fact, now: Duration) -> Result<(), Error> {
        match fact {
            Fact::Malformed => self.close.malformed(Condition::NotWellFormed, now),
            Fact::StreamError(error) => self.peer_error(error, now),
            Fact::Restarted { tls } => return self.restart(tls),
            Fact::HeaderOut => self.close.outgoing.header_is_out(),
            fact => self.close.handshake.tell(&fact, now),
        }
        Ok(())
    }

    fn peer_error(&mut self, error: StreamError, now: Duration) {
        if self.close.parses() {
            self.incoming.stream_error.get_or_insert_with(|| Box::new(error));
            self.close.peer_error(now);
        }
    }

    fn restart(&mut self, tls: Tls) -> Result<(), Error> {
        if self.close.handshake.is_over() {
            return Ok(());
        }
        if !self.close.restart(tls) {
            return Err(Invalid::UnwrittenAtRestart.into());
        }
        self.incoming.restart();
        Ok(())
    }

    /// What is to be done next. Asked twice, it answers the same.
    pub fn wants(&self) -> Wants {
        self.close.handshake.wants()
    }

    /// When [`tick`](Self::tick) is due; `None` before the close began, and after its end.
    pub fn deadline(&self) -> Option<Duration> {
        self.close.handshake.deadline()
    }

    /// Applies the limits, and only this does. What has arrived is read before.
    pub fn tick(&mut self, now: Duration) {
        if self.close.handshake.tick(now) {
            self.finish(None, now);
        }
    }

    /// As of the last call; complete once it is over.
    pub fn report(&self) -> Report {
        let report = self.close.handshake.report();
        let bytes_unsent = report.bytes_unsent.saturating_add(self.lost as u64);
        let stream_error = self.incoming.stream_error.as_deref().cloned();
        Report { bytes_unsent, stream_error, refused: self.refused, ..report }
    }
}

#[cfg(test)]
mod tests;
