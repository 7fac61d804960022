//! A whole session's stream on one thread: what is sent, what comes, and the close at the end.

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    cancel::Waker,
    closing::{Buffer, Closing, End, Opened},
    error::Error,
    framing::{Frame, Framer},
    options::CloseOptions,
    report::Report,
    stream_error::StreamError,
    transport::{Interest, Pace, Transport},
    xml::{self, Stanza},
};

/// How much of the peer's is kept while our own output is blocked, so that two writers do not wait for each other (TC-13).
const READ_AHEAD: usize = 1 << 20;

/// What [`Stream::receive`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// The start tag of the peer's stream header.
    Header(String),
    /// A whole stanza, or another first-level element.
    Stanza(Stanza),
    /// A stanza of this many bytes was over the limit and passed over (XM-08: close with `policy-violation`, or ignore it).
    Oversize(u64),
    /// The peer's stream error. Only [`Stream::close`] makes sense now (ER-02).
    StreamError(StreamError),
    /// The peer's closing tag. What is still owed may be sent; then [`Stream::close`] answers (HS-07, HS-08).
    PeerClosed,
    /// Another thread called [`Waker::wake`].
    Woken,
    /// Nothing came for as long as [`Stream::idle_after`] says, or nothing whole within [`Stream::receive_within`].
    Idle,
}

/// An XMPP stream over a transport, framed from its first byte, so that nothing is stranded between a reader and the close.
///
/// ```no_run
/// # fn f(tcp: std::net::TcpStream) -> Result<(), xmpp_close::Error> {
/// use std::time::Duration;
/// use xmpp_close::{CloseOptions, Incoming, Stream};
///
/// let mut stream = Stream::new(tcp);
/// stream.idle_after(Some(Duration::from_secs(600)));
/// stream.send("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>")?;
/// loop {
///     match stream.receive()? {
///         Incoming::Stanza(stanza) => println!("{stanza}"),
///         Incoming::Idle | Incoming::PeerClosed => break,
///         _ => {}
///     }
/// }
/// let report = stream.close(&CloseOptions::new())?;
/// # Ok(()) }
/// ```
pub struct Stream<T: Transport> {
    transport: T,
    incoming: Framer,
    header: Arc<[u8]>,
    input: Buffer,
    /// Frames what we send: each call sends whole elements, and our closing tag is that of our own header (HS-12, HS-13).
    outgoing: Framer,
    queued: Vec<u8>,
    peer_closed: bool,
    stream_error: Option<StreamError>,
    idle_after: Option<Duration>,
    write_limit: Duration,
    waker: Option<Waker>,
    /// What SO_RCVTIMEO is set to.
    armed: Option<Duration>,
    pace: Pace,
    /// How the last read ended, when there is nothing more to read.
    end: Option<End>,
}

impl<T: Transport> Stream<T> {
    /// A stream on which nothing has been sent or received yet.
    pub fn new(transport: T) -> Self {
        Self {
            transport,
            incoming: Framer::new(),
            header: Arc::default(),
            input: Buffer::default(),
            outgoing: Framer::new(),
            queued: Vec::new(),
            peer_closed: false,
            stream_error: None,
            idle_after: None,
            write_limit: crate::DEFAULT_TOTAL,
            waker: None,
            armed: None,
            pace: Pace::default(),
            end: None,
        }
    }

    /// Makes [`receive`](Self::receive) return [`Incoming::Idle`] whenever not a byte came for this long. `None`, the
    /// default: never, for leaving an idle stream alone is better than closing it without need (HS-15).
    pub fn idle_after(&mut self, silence: Option<Duration>) {
        self.idle_after = silence;
    }

    /// Lets other threads wake [`receive`](Self::receive).
    ///
    /// # Errors
    /// When the system has no more file descriptors.
    pub fn waker(&mut self) -> io::Result<Waker> {
        let waker = match self.waker.take() {
            Some(waker) => waker,
            None => Waker::new()?,
        };
        Ok(self.waker.insert(waker).clone())
    }

    /// How long [`send`](Self::send) waits while not a byte can be written; 30 s by default.
    pub fn write_limit(&mut self, limit: Duration) {
        self.write_limit = limit;
    }

    /// The largest stanza to deliver, in bytes; never below 10 000 (XM-08).
    pub fn stanza_limit(&mut self, bytes: usize) {
        let framer = std::mem::take(&mut self.incoming);
        self.incoming = framer.limit(bytes);
    }

    /// Sends our header, or whole stanzas. What the peer sends meanwhile is kept for [`receive`](Self::receive).
    ///
    /// # Errors
    /// [`Error::Invalid`] when `xml` does not end between stanzas, or holds a closing tag: nothing of it was sent then.
    /// [`Error::Closed`] after the peer's stream error. [`Error::Io`] when the connection broke, or with
    /// [`TimedOut`](io::ErrorKind::TimedOut) when nothing could be written in time; the rest is then sent by the next
    /// `send`, or by the close.
    pub fn send(&mut self, xml: impl AsRef<[u8]>) -> Result<(), Error> {
        let xml = xml.as_ref();
        if self.stream_error.is_some() {
            return Err(Error::Closed);
        }
        let mut outgoing = self.outgoing.clone();
        let mut rest = xml;
        while let Some(frame) = outgoing.next(&mut rest) {
            match frame {
                Frame::End { .. } => return Err(Error::Invalid("the closing tag is sent by `close`")),
                Frame::Malformed(_) => return Err(Error::Invalid("not well-formed XML for a stream")),
                Frame::Header(_) | Frame::Stanza(_) | Frame::Oversize(_) => {}
            }
        }
        if !outgoing.between_stanzas() {
            return Err(Error::Invalid("not a whole header or stanza"));
        }
        self.outgoing = outgoing;
        self.queued.extend_from_slice(xml);
        self.flush()
    }

    /// Blocks until something came.
    ///
    /// # Errors
    /// [`Error::Io`] when the connection ended or broke; [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) is an end
    /// without closing tag. [`Error::Malformed`] when the peer does not send an XMPP stream. [`Error::Closed`] after
    /// the peer's closing tag.
    pub fn receive(&mut self) -> Result<Incoming, Error> {
        self.receive_until(None)
    }

    /// The same, but returns [`Incoming::Idle`] when nothing whole came within `limit`, whatever trickled in meanwhile.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive).
    pub fn receive_within(&mut self, limit: Duration) -> Result<Incoming, Error> {
        self.receive_until(Instant::now().checked_add(limit))
    }

    fn receive_until(&mut self, deadline: Option<Instant>) -> Result<Incoming, Error> {
        if self.peer_closed {
            return Err(Error::Closed);
        }
        let mut heard = Instant::now();
        loop {
            if let Some(incoming) = self.frame()? {
                return Ok(incoming);
            }
            let now = Instant::now();
            let silence = self.idle_after.map(|silence| silence.saturating_sub(now - heard));
            let time = deadline.map(|deadline| deadline.saturating_duration_since(now));
            let left = [silence, time].into_iter().flatten().min().unwrap_or(Duration::from_secs(3600));
            if left.is_zero() {
                return Ok(Incoming::Idle);
            }
            if self.waker.as_ref().is_some_and(Waker::take) {
                self.pace.moved();
                return Ok(Incoming::Woken);
            }
            match self.read(left) {
                Ok(0) => return Err(Error::Io(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => heard = Instant::now(),
                Err(error) if retry(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A new header follows in both directions: after STARTTLS, SASL or compression (RFC 6120 section 4.3.3, NG-01).
    /// Until ours is sent there is no stream to close (NG-05). What the peer sent before is dropped (F-17).
    pub fn restart(&mut self) {
        self.incoming.restart();
        self.outgoing.restart();
        self.header = Arc::default();
        self.input.take(self.input.rest().len());
    }

    /// [Restarts](Self::restart) the stream over another transport: after `<proceed/>` of STARTTLS, `tls` makes the TLS
    /// session of the socket. Plaintext that came behind `<proceed/>` is dropped.
    ///
    /// # Errors
    /// Those of `tls`; the connection is then gone, without a closing tag (NG-02).
    pub fn upgrade<U: Transport, E>(self, tls: impl FnOnce(T) -> Result<U, E>) -> Result<Stream<U>, E> {
        let mut stream = Stream {
            transport: tls(self.transport)?,
            incoming: self.incoming,
            header: self.header,
            input: self.input,
            outgoing: self.outgoing,
            queued: self.queued,
            peer_closed: self.peer_closed,
            stream_error: self.stream_error,
            idle_after: self.idle_after,
            write_limit: self.write_limit,
            waker: self.waker,
            armed: None,
            pace: Pace::default(),
            end: self.end,
        };
        stream.restart();
        Ok(stream)
    }

    /// Closes the stream; what still arrives is read and counted, but not kept.
    ///
    /// # Errors
    /// [`Error::Invalid`] when our own header was never sent, so that there is no stream to close (HS-11); TCP is
    /// ended all the same.
    pub fn close(self, options: &CloseOptions) -> Result<Report, Error> {
        Ok(self.begin(options)?.finish())
    }

    /// Begins to close the stream; the [`Closing`] hands over what still arrives.
    ///
    /// # Errors
    /// As for [`close`](Self::close).
    pub fn begin(self, options: &CloseOptions) -> Result<Closing<T>, Error> {
        let (transport, options, opened) = self.into_open(options)?;
        options.begin_opened(transport, opened)
    }

    /// What a close needs, once it is known that there is a stream to close.
    pub(crate) fn into_open(self, options: &CloseOptions) -> Result<(T, CloseOptions, Opened), Error> {
        let root = self.outgoing.root().ok_or(Error::Invalid("our own stream header was never sent"))?;
        let mut options = options.clone();
        options.closing_tag.get_or_insert_with(|| format!("</{root}>"));
        Ok(self.hand_over(options))
    }

    /// Sends what is queued, then [detaches](CloseOptions::detach), with the same errors.
    pub fn detach(self, options: &CloseOptions) -> Result<Report, Error> {
        let (transport, options, opened) = self.hand_over(CloseOptions { detach: true, ..options.clone() });
        Ok(options.begin_opened(transport, opened)?.finish())
    }

    fn hand_over(self, mut options: CloseOptions) -> (T, CloseOptions, Opened) {
        let mut residual = self.input.into_rest();
        residual.append(&mut options.residual);
        options.residual = residual;
        options.peer_closed |= self.peer_closed;
        let opened = Opened {
            framer: Some(self.incoming),
            header: self.header,
            queued: self.queued,
            stream_error: self.stream_error,
            end: self.end,
        };
        (self.transport, options, opened)
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
                self.header = header.into();
                Incoming::Header(String::from_utf8_lossy(header).into_owned())
            }
            Some(Frame::Stanza(stanza)) => match xml::stream_error(stanza, &self.header) {
                Some(error) => {
                    self.stream_error = Some(error.clone());
                    Incoming::StreamError(error)
                }
                None => Incoming::Stanza(Stanza::new(stanza.to_vec(), self.header.clone())),
            },
            Some(Frame::Oversize(bytes)) => Incoming::Oversize(bytes),
            Some(Frame::End { .. }) => {
                self.peer_closed = true;
                Incoming::PeerClosed
            }
            Some(Frame::Malformed(malformed)) => return Err(Error::Malformed(malformed.condition())),
        }))
    }

    /// Reads once, waiting `limit` at most, or until the waker is used.
    fn read(&mut self, limit: Duration) -> io::Result<usize> {
        let Self { input, transport, armed, pace, .. } = self;
        let result = match &self.waker {
            None => input.fill(|buf| pace.read_within(transport, buf, limit, armed)),
            Some(waker) => match input.fill(|buf| transport.read(buf)) {
                Err(error) if retry(&error) => {
                    pace.wait(transport, Interest::READ, limit, Some(waker.fd())).and(Err(error))
                }
                result => result.inspect(|_| pace.moved()),
            },
        };
        self.end = End::of(&result);
        result
    }

    fn flush(&mut self) -> Result<(), Error> {
        let mut moved = Instant::now();
        let mut written = 0;
        let mut ahead = true;
        let result = loop {
            if written == self.queued.len() {
                break Ok(());
            }
            match self.transport.write(&self.queued[written..]) {
                Ok(bytes) => {
                    written += bytes;
                    self.pace.moved();
                    moved = Instant::now();
                    continue;
                }
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
        match self.input.fill_behind(|buf| self.transport.read(buf)) {
            Ok(bytes) => {
                self.pace.moved();
                bytes > 0
            }
            Err(error) => retry(&error),
        }
    }
}

fn retry(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl<T: Transport> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer_closed", &self.peer_closed)
            .field("stream_error", &self.stream_error)
            .finish_non_exhaustive()
    }
}
