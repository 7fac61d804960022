//! One stream without I/O: the program hands in bytes and times, and gets bytes and deadlines back. The library's own
//! closes run on the same engine, with what [`driven`] adds.

mod close;
mod driven;
mod facts;
mod handshake;
mod incoming;
mod outgoing;
mod send_error;
mod wants;

use std::time::Duration;

use close::Close;
pub use facts::{Fact, Tls};
use handshake::Handshake;
pub use handshake::TRAILING_LIMIT;
pub use incoming::Found;
use incoming::{Incoming, text};
use outgoing::{Last, Outgoing};
pub use send_error::SendError;
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

/// The closing handshake of one stream without I/O, for a program that owns the socket and the TLS session itself. The
/// engine says which bytes go out, what the program has to do next, and when.
///
/// A stream has two halves, and each half only ever moves forward:
///
/// ```text
/// ours   open
///         │  finish, or the peer ends
///        our tag is due
///         │  the kernel has all of it
///        written
///         │  close_notify, SHUT_WR
///        ended
///
/// theirs open
///         ├─► closed: its tag came
///         ├─► void: malformed or cut
///         └─► ignored: we detach
/// ```
///
/// The close is over when our half has ended or cannot be written, the peer's half is no longer open, and TCP is read to
/// its end; or when a [deadline](Self::deadline) passes.
///
/// # The loop
///
/// Each turn of the program's loop asks what the engine [wants](Self::wants), and does that. The engine asks again for
/// what was not done, so no order of events can go wrong. It has no clock: the program hands in the time of one monotonic
/// clock, counted from any fixed point.
///
/// ```
/// use std::io::{ErrorKind::WouldBlock, Read, Write};
/// use std::{net::Shutdown, os::unix::net::UnixStream, time::Instant};
/// use xmpp_close::{CloseOptions, Engine, Fact, Found, Outcome, Tls};
///
/// fn errno(error: std::io::Error) -> i32 {
///     error.raw_os_error().unwrap_or(0)
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mut socket, mut peer) = UnixStream::pair()?;
/// socket.set_nonblocking(true)?;
/// let clock = Instant::now();
/// let mut engine = Engine::new(&CloseOptions::new(), Tls::No)?;
/// // What has arrived was read, handled and answered. Now we close:
/// engine.finish(None, clock.elapsed());
///
/// // The peer sends one more message, and closes as well:
/// peer.write_all(b"<message/></stream:stream>")?;
/// peer.shutdown(Shutdown::Write)?;
///
/// let mut buffer = [0; 4096];
/// let report = loop {
///     let (wants, now) = (engine.wants(), clock.elapsed());
///     if wants.over() {
///         break engine.report();
///     }
///     if wants.write() {
///         match socket.write(engine.output()) {
///             Ok(count) => engine.wrote(count, 0, now),
///             Err(error) if error.kind() == WouldBlock => {}
///             Err(error) => engine.tell(Fact::WriteFailed(errno(error)), now)?,
///         }
///     }
///     if wants.shut() {
///         let _ = socket.shutdown(Shutdown::Write); // it fails only when the connection is gone
///         engine.tell(Fact::DidShut, now)?;
///     }
///     if wants.read() {
///         match socket.read(&mut buffer) {
///             Ok(0) => engine.tell(Fact::Eof { inside: engine.is_inside() }, now)?,
///             Ok(count) => {
///                 let mut data = &buffer[..count];
///                 while let Some(found) = engine.input(&mut data, now) {
///                     if let Found::Stanza(stanza) = found {
///                         println!("still came: {stanza}");
///                     }
///                 }
///             }
///             Err(error) if error.kind() == WouldBlock => {}
///             Err(error) => engine.tell(Fact::ReadFailed(errno(error)), now)?,
///         }
///     }
///     engine.tick(clock.elapsed()); // applies the limits
///     // A real loop waits here, in poll(2), as wants() and deadline() say.
/// };
/// assert_eq!(report.outcome, Outcome::Clean);
/// assert_eq!(report.stanzas, 1);
/// # Ok(()) }
/// ```
///
/// Over TLS a loop also does what [`Wants::notify`] asks for, and tells the peer's `close_notify` as
/// [`Fact::Notified`]. A program that has an XML parser of its own calls [`received`](Self::received) in the place of
/// [`input`](Self::input), and tells what its parser found as [facts](Fact).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Engine {
    close: Close,
    incoming: Incoming,
    /// How much [`send`](Self::send) queues at most.
    output_limit: usize,
    /// How often [`send`](Self::send) came too late.
    refused: u32,
    /// Bytes that were to be sent when it turned out that nothing could be sent any more.
    lost: usize,
}

impl Engine {
    /// An engine for an open stream; the peer is between two stanzas. Where the headers are still to come, tell
    /// [`Fact::Restarted`] first.
    ///
    /// Three options belong to a transport, and the engine ignores them: [`residual`](CloseOptions::residual),
    /// [`canceller`](CloseOptions::canceller) and [`farewell_with`](CloseOptions::farewell_with).
    ///
    /// # Errors
    /// [`Error::Invalid`] when the options contradict each other, or ask for a half-close over TLS; [`Error::Io`] when the
    /// system refuses the memory for a large farewell.
    pub fn new(options: &CloseOptions, tls: Tls) -> Result<Self, Error> {
        options.check()?;
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

    /// Queues whole stanzas; the first may be the rest of a stanza that is half written. The engine copies the bytes, and
    /// does not check them.
    ///
    /// # Errors
    /// [`SendError::Refused`] when our closing tag is due, or nothing can be written any more; [`SendError::Full`] when more
    /// than [`CloseOptions::output_limit`] would be queued. Nothing was queued then.
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

    /// How many bytes may still be queued; `None`: nothing may be sent any more.
    pub(crate) fn room(&self) -> Option<usize> {
        self.close.may_send().then(|| self.output_limit.saturating_sub(self.close.outgoing.queued()))
    }

    /// Says that the program sends nothing more: our closing tag is due, behind `error` if there is one. This begins the
    /// close, or answers the peer's. Only the first call counts.
    pub fn finish(&mut self, error: Option<&StreamError>, now: Duration) {
        self.close.finish(error, now);
    }

    /// Says that the program leaves the stream resumable (XEP-0198): what is queued goes out, then TCP ends without a
    /// closing tag. What still comes is discarded.
    pub fn detach(&mut self, now: Duration) {
        self.close.detach(now);
    }

    /// The next bytes to write; empty when there are none. They stay the same until [`wrote`](Self::wrote) takes some of
    /// them. Our closing tag is the last that ever comes.
    pub fn output(&mut self) -> &[u8] {
        if self.close.may_write() { self.close.outgoing.next() } else { &[] }
    }

    /// Says what became of [`output`](Self::output): the socket or the TLS layer has taken its first `taken` bytes. `pending`
    /// bytes of ours lie in the program's own queue or in its TLS layer, and not yet with the kernel; 0 for a plain socket.
    /// Only when nothing is pending does our closing tag count as written.
    ///
    /// # Panics
    /// When `taken` is more than [`output`](Self::output) has handed out.
    pub fn wrote(&mut self, taken: usize, pending: usize, now: Duration) {
        assert!(taken <= self.close.outgoing.handed(), "more was taken than was handed out");
        self.close.wrote(taken, pending, now);
    }

    /// For a program with a parser of its own: this many bytes came. Call it before they are parsed. `true` means that the
    /// parser is to have them, `false` that they are to be discarded: they lie behind the end of the peer's stream.
    #[must_use]
    pub fn received(&mut self, bytes: usize, now: Duration) -> bool {
        self.close.handshake.received(bytes as u64, now)
    }

    /// For a program without a parser: finds the next stanza, or the end of the stream, in the bytes that came. What is
    /// found is taken off the front of `data`, and the engine acts on it by itself.
    ///
    /// Call it until it returns `None`, even when `data` is empty; then all of `data` is consumed. Bytes behind the end of
    /// the peer's stream are discarded.
    ///
    /// ```
    /// use std::{fmt, time::Duration};
    /// use xmpp_close::{CloseOptions, Engine, Found, Tls};
    ///
    /// # fn main() -> Result<(), xmpp_close::Error> {
    /// let mut engine = Engine::new(&CloseOptions::new(), Tls::No)?;
    /// let mut data: &[u8] = b"<message/></stream:stream>";
    /// while let Some(found) = engine.input(&mut data, Duration::ZERO) {
    ///     if let Found::Stanza(stanza) = found {
    ///         println!("{stanza}"); // `send` answers it
    ///     }
    /// }
    /// assert!(engine.wants().answer()); // the peer has closed: `send` the last answers, then `finish`
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
                // Only the first error is read: a peer can send as many as it likes.
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

    /// Whether the bytes that [`input`](Self::input) has had end inside an element or tag. If the stream ended now, it would
    /// be cut: [`Fact::Eof`] and [`Fact::Notified`] say this.
    pub fn is_inside(&self) -> bool {
        self.incoming.is_inside()
    }

    /// Takes in what the program knows; see [`Fact`].
    ///
    /// # Errors
    /// [`Error::Invalid`] for a [`Fact::Restarted`] while something is still to be written, or when our closing tag is due.
    /// No other fact is ever refused.
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

    /// What the program has to do next. Asking changes nothing.
    pub fn wants(&self) -> Wants {
        self.close.handshake.wants()
    }

    /// When [`tick`](Self::tick) is due, on the clock whose times are handed in; `None` before the close begins, and when
    /// it is over.
    pub fn deadline(&self) -> Option<Duration> {
        self.close.handshake.deadline()
    }

    /// Applies the limits; no other call does. Read what has arrived before, so that a late call loses nothing.
    pub fn tick(&mut self, now: Duration) {
        if self.close.handshake.tick(now) {
            self.finish(None, now);
        }
    }

    /// What is known so far. The report is complete once [`Wants::over`] says so.
    pub fn report(&self) -> Report {
        let report = self.close.handshake.report();
        let bytes_unsent = report.bytes_unsent.saturating_add(self.lost as u64);
        let stream_error = self.incoming.stream_error.as_deref().cloned();
        Report { bytes_unsent, stream_error, refused: self.refused, ..report }
    }
}

#[cfg(test)]
mod tests;
