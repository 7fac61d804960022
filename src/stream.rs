//! The stream of a whole session on one thread: what is sent, what comes, and the close at the end.

mod ending;
mod header;
mod incoming;
mod moving;
mod sender;

use std::{
    io,
    time::{Duration, Instant},
};

pub use incoming::Incoming;
use sender::Mailbox;
pub use sender::Sender;

use crate::{cancel::Waker, closing::Driver, error::Error, framing::Framer, transport::Transport};

/// The XMPP stream of a whole session, from its first byte to its end, on one thread at a time. The `Stream` owns the transport and
/// reads all of it, so no byte is lost between the session and the close.
///
/// ```
/// use std::{io::{Read, Write}, net::{TcpListener, TcpStream}, thread, time::Duration};
/// use xmpp_close::{CloseOptions, Incoming, Outcome, Stream};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let listener = TcpListener::bind("127.0.0.1:0")?;
/// # let address = listener.local_addr()?;
/// # let server = thread::spawn(move || -> std::io::Result<()> {
/// #     let (mut tcp, _) = listener.accept()?;
/// #     tcp.write_all(b"<stream:stream xmlns='jabber:client' \
/// #         xmlns:stream='http://etherx.jabber.org/streams'><message/></stream:stream>")?;
/// #     tcp.read_to_end(&mut Vec::new())?;
/// #     Ok(())
/// # });
/// let mut stream = Stream::new(TcpStream::connect(address)?);
/// stream.idle_after(Some(Duration::from_secs(600)));
/// stream.send(
///     "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
///     to='localhost' version='1.0'>",
/// )?;
/// loop {
///     match stream.receive()? {
///         Incoming::Stanza(stanza) if stanza.name() == "message" => stream.send("<presence/>")?,
///         Incoming::Idle | Incoming::PeerClosed | Incoming::StreamError(_) => break,
///         _ => {}
///     }
/// }
/// let report = stream.close(&CloseOptions::new())?; // sends our tag, waits for the peer's
/// assert_eq!(report.outcome, Outcome::Clean);
/// # drop(server.join());
/// # Ok(()) }
/// ```
///
/// A `Stream` that is dropped ends TCP at once, without the closing handshake.
///
/// # Limits of an open stream
///
/// - [`receive`](Self::receive) waits without a limit.
/// - [`receive_within`](Self::receive_within) has a limit for each call. A program that wants one deadline for a whole login
///   passes what is left of it.
/// - [`idle_after`](Self::idle_after) limits the silence of the peer. White space of the peer ends a silence, but extends no
///   `receive_within`, which waits for a whole stanza.
/// - [`send`](Self::send) waits for the [`write_limit`](Self::write_limit) while not a byte can be written.
/// - A TLS handshake waits as long as its own call says, such as `RustlsTransport::handshake`.
/// - The limits of the close begin with the close: see [`CloseOptions::total`](crate::CloseOptions::total).
///
/// # In an event loop
///
/// A loop that waits in poll(2) serves many streams. The example `poll_server` is a whole server.
///
/// - Set the [`write_limit`](Self::write_limit) to zero: [`send`](Self::send) never waits then. When it fails with
///   [`TimedOut`](io::ErrorKind::TimedOut), the stream keeps the rest. Wait until the descriptor is writable, then call
///   `send("")`, which goes on with the rest. Receive no more until the rest is out, or the peer decides how much is kept.
/// - When the descriptor is readable, call [`receive_within`](Self::receive_within) with a limit of zero until it returns
///   [`Incoming::TimedOut`]. Who stops earlier, so that the other streams have their turn, comes back without poll(2): what
///   has been read lies in the stream, and the descriptor does not show it.
/// - To close, call [`begin`](Self::begin) and [`Closing::step`](crate::Closing::step), or put the stream into a `Batch`.
pub struct Stream<T> {
    /// Moves the stream until its end, through the close as well.
    driver: Driver<T>,
    /// Frames what we send: each call must send whole elements, and our closing tag is that of our own header (HS-12, HS-13).
    outgoing: Framer,
    /// The start tag of the peer's header, until ours is out: a close before that must send a header that answers it.
    unanswered: Vec<u8>,
    idle_after: Option<Duration>,
    /// When the silence of the peer began: with its last byte, or when a silence was last reported.
    silent_since: Instant,
    write_limit: Duration,
    waker: Option<Waker>,
    /// What other threads send; `None`: nobody asked for a [`Sender`].
    mailbox: Option<Mailbox>,
}

impl<T: Transport> Stream<T> {
    /// A stream on which nothing has been sent or received yet. It sets no option of the transport: the transport may be
    /// blocking or not.
    pub fn new(transport: T) -> Self {
        Self {
            driver: Driver::at_the_start(transport),
            outgoing: Framer::new(),
            unanswered: Vec::new(),
            idle_after: None,
            silent_since: Instant::now(),
            write_limit: crate::DEFAULT_TOTAL,
            waker: None,
            mailbox: None,
        }
    }

    /// The transport, to look at its addresses or its TLS session. Read and write through the `Stream` only.
    pub fn get_ref(&self) -> &T {
        self.driver.get_ref()
    }

    /// Makes [`receive`](Self::receive) return [`Incoming::Idle`] when the peer has been silent for this long. `None`, the
    /// default: never, because leaving an idle stream open is better than closing it without need.
    ///
    /// - A silence begins with the peer's last byte; before the first byte, when the stream was made or
    ///   [upgraded](Self::upgrade).
    /// - Each byte of the peer's ends the silence: white space, a part of a stanza, or a byte that came while `send` was
    ///   waiting. What has arrived is read before a silence is reported.
    /// - What we send does not end the silence, nor does a [`Waker`], nor a new limit. A limit that has passed already makes
    ///   the next `receive` return at once.
    /// - When the silence goes on, `receive` reports it again after the same time. So a program that does not want to close may
    ///   just go on receiving.
    ///
    /// A client that closes when its server has been silent for ten minutes:
    ///
    /// ```
    /// use std::time::Duration;
    /// use xmpp_close::{CloseOptions, Error, Incoming, Report, Stanza, Stream, Transport};
    ///
    /// fn serve<T: Transport>(
    ///     mut stream: Stream<T>,
    ///     handle: impl Fn(&mut Stream<T>, Stanza) -> Result<(), Error>,
    /// ) -> Result<Report, Error> {
    ///     stream.idle_after(Some(Duration::from_secs(600)));
    ///     loop {
    ///         let result = match stream.receive() {
    ///             Ok(Incoming::Stanza(stanza)) => handle(&mut stream, stanza),
    ///             Ok(Incoming::Idle | Incoming::PeerClosed | Incoming::StreamError(_)) => break,
    ///             Ok(_) => Ok(()),
    ///             Err(error) => Err(error),
    ///         };
    ///         if let Err(error) = result {
    ///             eprintln!("{error}"); // no `?`, which would drop the stream without a close
    ///             break;
    ///         }
    ///     }
    ///     // Ten silent minutes make an answer unlikely: a few seconds are enough for it.
    ///     stream.close(&CloseOptions::new().total(Duration::from_secs(5)))
    /// }
    /// ```
    pub fn idle_after(&mut self, silence: Option<Duration>) {
        self.idle_after = silence;
    }

    /// Lets other threads wake [`receive`](Self::receive). The first call takes two file descriptors, which the stream and all
    /// its wakers share.
    ///
    /// # Errors
    /// When the system has no file descriptor left.
    pub fn waker(&mut self) -> io::Result<Waker> {
        let waker = match self.waker.take() {
            Some(waker) => waker,
            None => Waker::new()?,
        };
        Ok(self.waker.insert(waker).clone())
    }

    /// Lets other threads send, without waiting. They queue; the thread that calls [`receive`](Self::receive) writes. See
    /// [`Sender`] for an example. The first call takes two file descriptors, as [`waker`](Self::waker) does.
    ///
    /// # Errors
    /// When the system has no file descriptor left.
    pub fn sender(&mut self) -> io::Result<Sender> {
        let waker = self.waker()?;
        Ok(self.mailbox.get_or_insert_with(Mailbox::new).sender(waker))
    }

    /// Sets how long [`send`](Self::send) waits while not a byte can be written; 30 s by default. Zero: `send` writes
    /// what can be written at once, and never waits.
    pub fn write_limit(&mut self, limit: Duration) {
        self.write_limit = limit;
    }

    /// Sets the size of the largest stanza to deliver, in bytes: 1 MiB by default, and never below 10 000. A larger stanza is
    /// passed over, and reported as [`Incoming::Oversize`].
    pub fn stanza_limit(&mut self, bytes: usize) {
        self.driver.limit_stanzas(bytes);
    }

    /// Sends our header, or whole stanzas, and blocks until all of it is written. What the peer sends meanwhile is kept for
    /// [`receive`](Self::receive).
    ///
    /// A `send` while a rest waits takes its text too, behind the rest. An empty text only goes on with the rest.
    ///
    /// # Errors
    /// After an error the stream can still be closed. Do not leave the function that owns the stream by `?`: that drops the
    /// stream, which ends TCP at once, and what the peer had on its way is lost.
    ///
    /// ```
    /// # use xmpp_close::{CloseOptions, Error, Report, Stream, Transport};
    /// # fn f<T: Transport>(mut stream: Stream<T>) -> Result<Report, Error> {
    /// if let Err(error) = stream.send("<presence/>") {
    ///     eprintln!("{error}");
    ///     return stream.close(&CloseOptions::new());
    /// }
    /// # stream.close(&CloseOptions::new())
    /// # }
    /// ```
    ///
    /// - [`Error::Invalid`] when `xml` ends inside a stanza, holds a closing tag, or has text beside the stanzas. Nothing of it
    ///   was sent.
    /// - [`Error::Closed`] after the peer's stream error, or when what the peer sent was no XMPP stream.
    /// - [`Error::Io`] with [`TimedOut`](io::ErrorKind::TimedOut) when not a byte could be written within
    ///   [`write_limit`](Self::write_limit). The next `send` or the close sends the rest, so do not send it again.
    /// - [`Error::Io`] with another kind when the connection broke. Call [`close`](Self::close), or in an event
    ///   loop [`begin`](Self::begin), for the report.
    pub fn send(&mut self, xml: impl AsRef<[u8]>) -> Result<(), Error> {
        let xml = xml.as_ref();
        if self.driver.stream_error().is_some() {
            return Err(Error::Closed);
        }
        if !xml.is_empty() {
            let mut outgoing = self.outgoing.clone();
            sender::check(&mut outgoing, xml).map_err(Error::Invalid)?;
            self.outgoing = outgoing;
            self.unanswered = Vec::new();
            self.driver.send(xml).map_err(|_| Error::Closed)?;
        }
        self.flush()
    }

    /// Blocks until something came.
    ///
    /// # Errors
    /// After each of these errors, call [`close`](Self::close), or in an event loop [`begin`](Self::begin): it ends TCP, and its report says how the stream ended.
    ///
    /// - [`Error::Io`] with [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when the connection ended without a closing tag;
    ///   with another kind, such as [`ConnectionReset`](io::ErrorKind::ConnectionReset), when it broke.
    /// - [`Error::Malformed`] when what the peer sends is no XMPP stream.
    /// - [`Error::Closed`] after [`Incoming::PeerClosed`]: nothing more can come.
    pub fn receive(&mut self) -> Result<Incoming, Error> {
        self.receive_until(None)
    }

    /// As [`receive`](Self::receive), but returns [`Incoming::TimedOut`] when no whole stanza came within `limit`, even if
    /// parts of one came. What has arrived is read first, so a `limit` of zero finds it.
    ///
    /// Each call returns one thing. A loop until `TimedOut` therefore goes on for as long as the peer sends faster than the
    /// program reads: bound it when there are other streams to serve. When a silence that [`idle_after`](Self::idle_after)
    /// limits is over as well, [`Incoming::Idle`] comes first, and `TimedOut` from the next call.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive).
    pub fn receive_within(&mut self, limit: Duration) -> Result<Incoming, Error> {
        self.receive_until(Instant::now().checked_add(limit))
    }

    /// Says that new headers follow in both directions, over the same transport: after SASL (RFC 6120 section 4.3.3). What
    /// the peer has sent behind its `<success/>` is the beginning of its new stream, and is kept, because a peer may send it
    /// without waiting for us (XEP-0305). After STARTTLS, [`upgrade`](Self::upgrade) the stream instead.
    pub fn restart(&mut self) {
        self.driver.restart(); // NG-01: no closing tag goes out
        self.outgoing = Framer::new(); // not even white space of ours may come in front of the new header
    }

    /// [Restarts](Self::restart) the stream over another transport. After the `<proceed/>` of STARTTLS, `tls` gets the socket,
    /// makes the TLS session over it, and may block for the TLS handshake. The socket has the flags and timeouts that it had
    /// when the stream was made; but on Windows it is non-blocking, so a handshake that blocks needs `set_nonblocking(false)`
    /// first. Limits, wakers and senders stay.
    ///
    /// ```
    /// use std::{io, net::TcpStream};
    /// use xmpp_close::{Stream, TlsSession};
    ///
    /// fn start_tls<S: TlsSession>(
    ///     stream: Stream<TcpStream>,
    ///     shake_hands: impl FnOnce(TcpStream) -> io::Result<S>,
    /// ) -> io::Result<Stream<impl xmpp_close::Transport>> {
    ///     stream.upgrade(|tcp| -> io::Result<_> {
    ///         let session = shake_hands(tcp.try_clone()?)?;
    ///         xmpp_close::over(session, tcp)
    ///     })
    /// }
    /// ```
    ///
    /// The compiler cannot guess `E` when the closure uses `?`: name the closure's return type, as here.
    ///
    /// What came behind `<proceed/>` without TLS is dropped, because an attacker may have put it there (RFC 6120 section
    /// 5.4.3.3). With compression (XEP-0138) this loses nothing: behind `<compress/>` or `<compressed/>` the peer waits for
    /// us.
    ///
    /// # Errors
    /// What `tls` returns. The connection is then gone, without a closing tag.
    pub fn upgrade<U: Transport, E>(self, tls: impl FnOnce(T) -> Result<U, E>) -> Result<Stream<U>, E> {
        Ok(Stream {
            driver: self.driver.upgrade(tls)?, // NG-02: after an error no closing tag goes out
            outgoing: Framer::new(),           // not even white space of ours may come in front of the new header
            unanswered: self.unanswered,
            idle_after: self.idle_after,
            silent_since: Instant::now(),
            write_limit: self.write_limit,
            waker: self.waker,
            mailbox: self.mailbox,
        })
    }
}
