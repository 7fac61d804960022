//! A whole session's stream on one thread: what is sent, what comes, and the close at the end.

mod header;
mod moving;
mod sender;

use std::{
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::{Duration, Instant},
};

use sender::Mailbox;
pub use sender::Sender;

use crate::{
    cancel::Waker,
    closing::{Closing, Driver},
    error::Error,
    framing::Framer,
    options::CloseOptions,
    report::Report,
    stream_error::StreamError,
    transport::Transport,
    xml::Stanza,
};

/// What [`Stream::receive`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming {
    /// The start tag of the peer's stream header.
    Header(String),
    /// A whole stanza, or another first-level element.
    Stanza(Stanza),
    /// A stanza of this many bytes was over the limit and passed over (XM-08: close with `policy-violation`, or ignore it).
    Oversize(u64),
    /// The peer's stream error; the first one again, when it sends more. Only [`Stream::close`] makes sense now (ER-02).
    StreamError(StreamError),
    /// The peer's closing tag. What is still owed may be sent; then [`Stream::close`] answers (HS-07, HS-08).
    PeerClosed,
    /// Another thread called [`Waker::wake`].
    Woken,
    /// The peer has been silent for as long as [`Stream::idle_after`] says.
    Idle,
    /// Nothing whole came within the limit of [`Stream::receive_within`].
    TimedOut,
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
    /// The same that closes it in the end.
    driver: Driver<T>,
    /// Frames what we send: each call sends whole elements, and our closing tag is that of our own header (HS-12, HS-13).
    outgoing: Framer,
    /// The start tag of the peer's header, until ours is out: who closes before that has to answer it.
    unanswered: Vec<u8>,
    idle_after: Option<Duration>,
    /// When the silence of the peer began: with its last byte, or when it was last told.
    silent_since: Instant,
    write_limit: Duration,
    waker: Option<Waker>,
    /// What other threads send.
    mailbox: Option<Mailbox>,
}

impl<T: Transport> Stream<T> {
    /// A stream on which nothing has been sent or received yet.
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

    /// The transport, to be looked at: its addresses, or its TLS session.
    pub fn get_ref(&self) -> &T {
        self.driver.get_ref()
    }

    /// Makes [`receive`](Self::receive) return [`Incoming::Idle`] when the peer has been silent for this long. `None`, the
    /// default: never, because leaving an idle stream alone is better than closing it without need (HS-15).
    ///
    /// The silence begins with the peer's last byte, and before its first byte when the stream was made or
    /// [upgraded](Self::upgrade). It goes on from call to call, whatever is sent, whoever wakes `receive`, and whenever this
    /// limit is set: a limit that has passed already is told by the next `receive`. Each byte of the stream ends it, be it
    /// white space, a part of a stanza, or read while `send` was waiting; and what has arrived is read before a silence is
    /// told.
    ///
    /// A silence that goes on is told again after as long again, not by each call: who does not close for it can go on
    /// receiving.
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

    /// Lets other threads send, without waiting, while this one receives and writes what they have queued.
    ///
    /// ```no_run
    /// # fn f(mut stream: xmpp_close::Stream<std::net::TcpStream>) -> Result<(), xmpp_close::Error> {
    /// use xmpp_close::{CloseOptions, Incoming, SendError};
    ///
    /// let sender = stream.sender()?;
    /// std::thread::spawn(move || match sender.send("<presence/>") {
    ///     Err(SendError::Refused) => { /* the stream is being closed: to be stored, or bounced */ }
    ///     result => drop(result),
    /// });
    /// while !matches!(stream.receive()?, Incoming::PeerClosed) {}
    /// let report = stream.close(&CloseOptions::new())?; // what was queued leaves in front of our tag
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the system has no more file descriptors.
    pub fn sender(&mut self) -> io::Result<Sender> {
        let waker = self.waker()?;
        Ok(self.mailbox.get_or_insert_with(Mailbox::new).sender(waker))
    }

    /// How long [`send`](Self::send) waits while not a byte can be written; 30 s by default.
    pub fn write_limit(&mut self, limit: Duration) {
        self.write_limit = limit;
    }

    /// The largest stanza to deliver, in bytes; never below 10 000 (XM-08).
    pub fn stanza_limit(&mut self, bytes: usize) {
        self.driver.limit_stanzas(bytes);
    }

    /// Sends our header, or whole stanzas. What the peer sends meanwhile is kept for [`receive`](Self::receive).
    ///
    /// # Errors
    /// [`Error::Invalid`] when `xml` does not end between stanzas, or holds a closing tag, or anything but white space
    /// beside stanzas: nothing of it was sent then.
    /// [`Error::Closed`] after the peer's stream error. [`Error::Io`] when the connection broke, or with
    /// [`TimedOut`](io::ErrorKind::TimedOut) when nothing could be written in time; the rest is then sent by the next
    /// `send`, or by the close.
    pub fn send(&mut self, xml: impl AsRef<[u8]>) -> Result<(), Error> {
        let xml = xml.as_ref();
        if self.driver.stream_error().is_some() {
            return Err(Error::Closed);
        }
        let mut outgoing = self.outgoing.clone();
        sender::check(&mut outgoing, xml).map_err(Error::Invalid)?;
        self.outgoing = outgoing;
        self.unanswered = Vec::new();
        self.driver.send(xml).map_err(|_| Error::Closed)?;
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

    /// The same, but returns [`Incoming::TimedOut`] when nothing whole came within `limit`, whatever trickled in
    /// meanwhile. What has arrived is read first, also when `limit` is zero.
    ///
    /// # Errors
    /// As for [`receive`](Self::receive).
    pub fn receive_within(&mut self, limit: Duration) -> Result<Incoming, Error> {
        self.receive_until(Instant::now().checked_add(limit))
    }

    /// A new header follows in both directions, over the same transport: after SASL (RFC 6120 section 4.3.3, NG-01). What
    /// the peer has sent behind the element that agreed to it is the beginning of its new stream, and is kept: a peer
    /// need not wait for us (XEP-0305). For another transport, as after STARTTLS, see [`upgrade`](Self::upgrade).
    pub fn restart(&mut self) {
        self.driver.restart();
        self.outgoing = Framer::new(); // not even white space of ours comes in front of it
    }

    /// [Restarts](Self::restart) the stream over another transport: after `<proceed/>` of STARTTLS, `tls` makes the TLS
    /// session of the socket, which is as it was when the stream was made. The TLS handshake may block.
    ///
    /// What came behind `<proceed/>` in the clear is dropped, because anybody may have put it there (RFC 6120 section
    /// 5.4.3.3). The same is done for compression (XEP-0138), where nothing can be there: behind `<compress/>` or
    /// `<compressed/>` the peer waits for the other side.
    ///
    /// # Errors
    /// Those of `tls`; the connection is then gone, without a closing tag (NG-02).
    pub fn upgrade<U: Transport, E>(self, tls: impl FnOnce(T) -> Result<U, E>) -> Result<Stream<U>, E> {
        Ok(Stream {
            driver: self.driver.upgrade(tls)?,
            outgoing: Framer::new(), // not even white space of ours comes in front of the new header
            unanswered: self.unanswered,
            idle_after: self.idle_after,
            silent_since: Instant::now(),
            write_limit: self.write_limit,
            waker: self.waker,
            mailbox: self.mailbox,
        })
    }

    /// Closes the stream; what still arrives is read and counted, but not kept.
    ///
    /// If none of our headers has been sent since the stream was made or [restarted](Self::restart), one goes out in front
    /// of the stream error, if there is one, and the closing tag, because neither can stand alone (RFC 6120 section
    /// 4.9.1.2): that of [`CloseOptions::header`], or the least that answers the peer's.
    ///
    /// # Errors
    /// [`Error::Invalid`] for options that make no sense; TCP is ended all the same.
    pub fn close(self, options: &CloseOptions) -> Result<Report, Error> {
        Ok(self.begin(options)?.finish())
    }

    /// Begins to close the stream; the [`Closing`] hands over what still arrives.
    ///
    /// # Errors
    /// As for [`close`](Self::close).
    pub fn begin(self, options: &CloseOptions) -> Result<Closing<T>, Error> {
        Ok(Closing::begin(self.into_driver(options)?))
    }

    /// What a close needs: our tag is that of our header, which is out or goes out with it.
    pub(crate) fn into_driver(self, options: &CloseOptions) -> Result<Driver<T>, Error> {
        let mut options = options.clone();
        match self.outgoing.root() {
            Some(root) => {
                options.header = None;
                options.closing_tag.get_or_insert_with(|| format!("</{root}>"));
            }
            None if options.header.is_none() => {
                // After a restart the peer's new header may be still to come: then it is known what kind of stream it was.
                let before = self.driver.header().start_tag();
                let peer = if self.unanswered.is_empty() { before.as_bytes() } else { &self.unanswered };
                options.header = Some(header::compose(peer, options.stream_error.as_ref()));
                options.closing_tag = None;
            }
            None => {}
        }
        self.hand_over(options)
    }

    /// A session again, that was to be closed and is not.
    #[cfg(feature = "batch")]
    pub(crate) fn of(mut driver: Driver<T>) -> Self {
        let root = driver.unset();
        let unanswered = if root.is_none() { driver.header().start_tag().as_bytes().to_vec() } else { Vec::new() };
        Self {
            outgoing: root.map_or_else(Framer::new, |root| Framer::inside(Some(&root))),
            unanswered,
            driver,
            idle_after: None,
            silent_since: Instant::now(),
            write_limit: crate::DEFAULT_TOTAL,
            waker: None,
            mailbox: None,
        }
    }

    /// Sends what is queued, then [detaches](CloseOptions::detach), with the same errors.
    pub fn detach(self, options: &CloseOptions) -> Result<Report, Error> {
        Ok(Closing::begin(self.hand_over(CloseOptions { detach: true, ..options.clone() })?).finish())
    }

    /// The same driver moves on, as `options` say.
    fn hand_over(mut self, mut options: CloseOptions) -> Result<Driver<T>, Error> {
        if let Some(mailbox) = self.mailbox {
            let mut queued = mailbox.close();
            // Where nothing can be sent any more, or not before our header, it goes out with what the close says first.
            if self.outgoing.root().is_none() || self.driver.send(&queued).is_err() {
                queued.append(&mut options.farewell);
                options.farewell = queued;
            }
        }
        options.is_open = true;
        options.check()?;
        self.driver.set(options)?;
        Ok(self.driver)
    }
}

/// To wait for, not to read from or to write to.
impl<T: Transport + AsFd> AsFd for Stream<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

/// To wait for, not to read from or to write to.
impl<T: Transport + AsRawFd> AsRawFd for Stream<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.get_ref().as_raw_fd()
    }
}

impl<T: Transport> fmt::Debug for Stream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer_closed", &self.driver.is_peer_closed())
            .field("stream_error", &self.driver.stream_error())
            .finish_non_exhaustive()
    }
}
