//! How to close: limits, what to say last, and what was already read.

mod last_words;
mod limits;

use std::{borrow::Cow, time::Duration};

pub(crate) use last_words::{LastWords, Said};
pub use limits::{DEFAULT_LINGER, DEFAULT_TOTAL, Limits};

use crate::{
    cancel::Canceller,
    error::{Error, Invalid},
    framing::{DEFAULT_STANZA_LIMIT, Frame, Framer, Leaves, leaves},
    stream_error::StreamError,
};

/// Default of [`CloseOptions::output_limit`]: 16 MiB.
pub(crate) const DEFAULT_OUTPUT_LIMIT: usize = 16 << 20;
/// The root when nothing else is known of the stream.
pub(crate) const DEFAULT_ROOT: &str = "stream:stream";

/// How to close a stream: made by [`new`](Self::new), changed by one call an option, and used by
/// [`close`](Self::close), [`begin`](Self::begin) or [`detach`](Self::detach), as often as wanted. A
/// [`Stream`](crate::Stream), a `Batch` and an [`Engine`](crate::Engine) take options too.
///
/// | group | options |
/// |---|---|
/// | how long it may take | [`limits`](Self::limits), [`total`](Self::total), [`no_progress`](Self::no_progress), [`linger`](Self::linger), [`answer`](Self::answer), [`half_close`](Self::half_close) |
/// | what we say last | [`farewell`](Self::farewell), [`farewell_with`](Self::farewell_with), [`stream_error`](Self::stream_error) |
/// | our header and tag | [`header`](Self::header), [`closing_tag`](Self::closing_tag), [`tag_sent`](Self::tag_sent) |
/// | what is known of the peer's stream | [`peer_header`](Self::peer_header), [`residual`](Self::residual), [`peer_closed`](Self::peer_closed) |
/// | how much is kept in memory | [`stanza_limit`](Self::stanza_limit), [`output_limit`](Self::output_limit) |
/// | who may stop it | [`canceller`](Self::canceller) |
///
/// A server that shuts down gives its client ten seconds, says goodbye, and names the reason:
///
/// ```
/// use std::{io::{Read, Write}, net::Shutdown, os::unix::net::UnixStream, time::Duration};
/// use xmpp_close::{CloseOptions, Condition, StreamError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (tcp, mut client) = UnixStream::pair()?;
/// # client.write_all(b"<iq type='get' id='1'/></stream:stream>")?;
/// # client.shutdown(Shutdown::Write)?;
/// let report = CloseOptions::new()
///     .total(Duration::from_secs(10))
///     .farewell("<presence type='unavailable'/>")
///     .stream_error(StreamError::new(Condition::SystemShutdown)?)
///     .close(tcp)?;
/// assert!(report.is_clean());
///
/// let mut received = String::new();
/// client.read_to_string(&mut received)?;
/// assert_eq!(
///     received,
///     "<presence type='unavailable'/>\
///     <stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>\
///     </stream:stream>"
/// );
/// # Ok(()) }
/// ```
///
/// A program that has read from the connection by itself says what it knows of the peer's stream, so that nothing of
/// that is lost. Its own stream has another root here, and stanzas of the peer are expected to be small:
///
/// ```
/// # use std::{io::Write, net::Shutdown, os::unix::net::UnixStream};
/// use xmpp_close::{CloseOptions, MIN_STANZA_LIMIT};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (tcp, mut peer) = UnixStream::pair()?;
/// # peer.write_all(b"age/></s:stream>")?;
/// # peer.shutdown(Shutdown::Write)?;
/// let mut closing = CloseOptions::new()
///     .closing_tag("</stream>")
///     .peer_header("<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>")
///     .residual("<mess") // read, but not handled yet
///     .stanza_limit(MIN_STANZA_LIMIT)
///     .begin(tcp)?;
/// assert_eq!(closing.next().map(|stanza| stanza.to_string()).as_deref(), Some("<message/>"));
/// assert!(closing.finish().is_clean());
/// # Ok(()) }
/// ```
///
/// Another thread may stop the close:
///
/// ```
/// use xmpp_close::{Canceller, CloseOptions, Outcome};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (tcp, _silent) = std::os::unix::net::UnixStream::pair()?;
///
/// let canceller = Canceller::new()?;
/// let options = CloseOptions::new().canceller(&canceller);
/// std::thread::spawn(move || canceller.cancel());
/// assert_eq!(options.close(tcp)?.outcome, Outcome::Cancelled);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `close` or `begin`"]
pub struct CloseOptions {
    pub(crate) limits: Limits,
    /// `None`: half of the total.
    pub(crate) answer: Option<Duration>,
    pub(crate) header: Option<String>,
    pub(crate) closing_tag: Option<String>,
    pub(crate) farewell: Vec<u8>,
    /// What `farewell` begins with may be the rest of a stanza that was begun before.
    pub(crate) farewell_begun: bool,
    /// Our header is out, or goes out by itself, so that none is in `farewell`.
    pub(crate) is_open: bool,
    pub(crate) last_words: Option<LastWords>,
    pub(crate) stream_error: Option<StreamError>,
    pub(crate) residual: Vec<u8>,
    pub(crate) peer_closed: bool,
    pub(crate) peer_header: Option<String>,
    pub(crate) tag_sent: bool,
    /// End TCP without a closing tag.
    pub(crate) detach: bool,
    pub(crate) stanza_limit: usize,
    pub(crate) output_limit: usize,
    /// The application finds the end of the peer's stream itself.
    pub(crate) own_parser: bool,
    pub(crate) canceller: Option<Canceller>,
}

impl Default for CloseOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl CloseOptions {
    /// The defaults: 30 s in all, 2 s of linger, no half-close, and `</stream:stream>` as our closing tag.
    pub fn new() -> Self {
        Self {
            limits: Limits::default(),
            answer: None,
            header: None,
            closing_tag: None,
            farewell: Vec::new(),
            farewell_begun: false,
            is_open: false,
            last_words: None,
            stream_error: None,
            residual: Vec::new(),
            peer_closed: false,
            peer_header: None,
            tag_sent: false,
            detach: false,
            stanza_limit: DEFAULT_STANZA_LIMIT,
            output_limit: DEFAULT_OUTPUT_LIMIT,
            own_parser: false,
            canceller: None,
        }
    }

    /// Sets all [`Limits`] at once.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Bounds the whole close, not each system call: see [`Limits::total`].
    ///
    /// A peer that has not answered for a while will hardly answer the close: after
    /// [`Incoming::TimedOut`](crate::Incoming::TimedOut), choose a few seconds.
    pub fn total(mut self, limit: Duration) -> Self {
        self.limits.total = limit;
        self
    }

    /// Bounds each time in which not a byte moves: see [`Limits::no_progress`]. Off by default.
    pub fn no_progress(mut self, limit: Duration) -> Self {
        self.limits.no_progress = limit;
        self
    }

    /// Bounds the wait for the end of TCP after both closing tags: see [`Limits::linger`].
    pub fn linger(mut self, limit: Duration) -> Self {
        self.limits.linger = limit;
        self
    }

    /// Bounds the time that the application has before our closing tag; half of the [total](Limits::total) by default. After
    /// that, our closing tag is sent without a word of the application. The limit bounds:
    ///
    /// - the time in which the application answers a peer that has closed, or has ended the connection;
    /// - the time in which the application handles what has arrived, and is asked for its last words.
    pub fn answer(mut self, limit: Duration) -> Self {
        self.answer = Some(limit);
        self
    }

    /// Ends our half of TCP right after our closing tag: see [`Limits::half_close`]. [`Error::Invalid`] over TLS.
    pub fn half_close(mut self, yes: bool) -> Self {
        self.limits.half_close = yes;
        self
    }

    /// Our closing tag, when our header has another name than `stream:stream`: `"</stream>"`.
    ///
    /// When the peer's header is unknown, the peer's closing tag must have the same local name, with any prefix or none.
    // HS-13
    pub fn closing_tag(mut self, tag: impl Into<String>) -> Self {
        self.closing_tag = Some(tag.into());
        self
    }

    /// Our stream header, when it has not been sent: it goes out first, and the closing tag is that of this header. A server
    /// that closes a stream before the peer's header came, or because of that header, has to send its own (RFC 6120 section
    /// 4.9.1.2).
    ///
    /// A [`Stream`](crate::Stream) knows whether its header is out. If it is, this option changes nothing; if not, the stream
    /// composes a header unless this option is set.
    pub fn header(mut self, header: impl Into<String>) -> Self {
        self.header = Some(header.into());
        self
    }

    /// What to send right before the closing tag, in one segment with it if both fit: last stanzas, an unavailable presence,
    /// a final XEP-0198 `<a/>`.
    ///
    /// These must be whole stanzas, behind our header if that was never sent. Half of a stanza, text beside stanzas or a
    /// closing tag is [`Error::Invalid`] when the close begins.
    // HS-12, SE-01, SE-03
    pub fn farewell(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.farewell = bytes.into();
        self
    }

    /// Lets `compose` say what to send right before the closing tag, behind the [`farewell`](Self::farewell): replies that
    /// are still owed, or a final XEP-0198 `<a/>`, which counts each message, presence and iq that was handled.
    ///
    /// Each close calls `compose` once, on the thread that closes. What had arrived by then was read and handled before.
    /// `compose` must return whole stanzas or nothing. Anything else is not sent and stops the close, which is then
    /// [`Cancelled`](crate::Outcome::Cancelled). Clones of these options share `compose`, so `compose` must not close a
    /// stream with one of them.
    ///
    /// ```
    /// use std::sync::{Arc, atomic::{AtomicU32, Ordering}};
    /// use xmpp_close::Stanza;
    ///
    /// let handled = Arc::new(AtomicU32::new(0));
    /// let count = handled.clone();
    /// let options = xmpp_close::CloseOptions::new().farewell_with(move || {
    ///     format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", count.load(Ordering::Relaxed)).into_bytes()
    /// });
    /// // Call this for each stanza that is handled, also for those that come during the close.
    /// // An `<r/>` does not count.
    /// let handle = |stanza: Stanza| {
    ///     if matches!(stanza.name(), "message" | "presence" | "iq") {
    ///         handled.fetch_add(1, Ordering::Relaxed);
    ///     }
    /// };
    /// ```
    // SE-03
    pub fn farewell_with(mut self, mut compose: impl FnMut() -> Vec<u8> + Send + 'static) -> Self {
        self.last_words = Some(LastWords::new(move || Said::All(compose())));
        self
    }

    /// Closes with this stream error, which is sent between the farewell and the closing tag (RFC 6120 section 4.9.1.1).
    pub fn stream_error(mut self, error: StreamError) -> Self {
        self.stream_error = Some(error);
        self
    }

    /// Bytes of the peer's stream that were read and not handled yet. They must begin between two stanzas. They are handed over
    /// first, before our closing tag is written, so that the peer is told when they are malformed.
    /// [`answer`](Self::answer) limits the time for that.
    // F-28
    pub fn residual(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.residual = bytes.into();
        self
    }

    /// The peer's closing tag has been seen already, so that ours is the answer.
    // HS-07
    pub fn peer_closed(mut self, yes: bool) -> Self {
        self.peer_closed = yes;
        self
    }

    /// The start tag of the peer's stream, as it came when the stream was opened. A [`Stream`](crate::Stream) knows that
    /// header itself.
    ///
    /// The header tells the name of the peer's root, and which prefixes stand for which namespaces, so that a stream error is
    /// found under any prefix. Without this option a stream error must be `<stream:error>`, as in the usual header.
    ///
    /// [`Error::Invalid`] when the close begins, if this is not a start tag.
    pub fn peer_header(mut self, start_tag: impl Into<String>) -> Self {
        self.peer_header = Some(start_tag.into());
        self
    }

    /// Our closing tag has been written already, or ends the [`farewell`](Self::farewell). No other closing tag is sent, and
    /// the peer's is awaited. A farewell that does not end in the tag is then [`Error::Invalid`].
    // HS-01
    pub fn tag_sent(mut self, yes: bool) -> Self {
        self.tag_sent = yes;
        self
    }

    /// The largest stanza to deliver, in bytes: 1 MiB by default, and never less than 10 000. A larger stanza is passed over
    /// and counted in [`Report::oversize`](crate::Report::oversize).
    // XM-08
    pub fn stanza_limit(mut self, bytes: usize) -> Self {
        self.stanza_limit = bytes;
        self
    }

    /// How many bytes [`Engine::send`](crate::Engine::send) queues at most: 16 MiB by default. The farewell, the stream error
    /// and the closing tag do not count.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Lets this canceller stop the close at once, from any thread.
    pub fn canceller(mut self, canceller: &Canceller) -> Self {
        self.canceller = Some(canceller.clone());
        self
    }

    pub(crate) fn answer_limit(&self) -> Duration {
        self.answer.unwrap_or(self.limits.total / 2)
    }

    /// The qualified name of our own root, from our header if it is still to be sent, or from the closing tag.
    pub(crate) fn root(&self) -> Result<Cow<'static, str>, Error> {
        if let Some(header) = &self.header {
            return root_of(header.as_bytes()).ok_or(Invalid::Header.into());
        }
        let Some(tag) = &self.closing_tag else { return Ok(DEFAULT_ROOT.into()) };
        let name = tag.strip_prefix("</").and_then(|rest| rest.strip_suffix('>')).unwrap_or_default();
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"<>/&'\"=".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(Invalid::ClosingTag.into());
        }
        Ok(name.to_owned().into())
    }

    /// Whether they make sense together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let root = self.root()?;
        if self.detach && self.stream_error.is_some() {
            return Err(Invalid::ErrorInDetach.into());
        }
        if self.tag_sent
            && (self.detach || self.header.is_some() || self.stream_error.is_some() || self.last_words.is_some())
        {
            return Err(Invalid::BehindTag.into());
        }
        self.check_farewell(&root)
    }

    /// Our tag must not come inside a stanza, nor twice.
    fn check_farewell(&self, root: &str) -> Result<(), Error> {
        if self.farewell.is_empty() {
            return Ok(());
        }
        let is_open = self.is_open || self.header.is_some();
        match (leaves(&self.farewell, root, is_open, self.farewell_begun), self.tag_sent) {
            (Leaves::Between, false) | (Leaves::Closed, true) => Ok(()),
            // The beginning of the tag was written before.
            (_, true) if self.farewell_begun && format!("</{root}>").as_bytes().ends_with(&self.farewell) => Ok(()),
            (_, true) => Err(Invalid::FarewellWithoutTag.into()),
            (Leaves::Closed, false) => Err(Invalid::FarewellWithTag.into()),
            (..) => Err(Invalid::Farewell.into()),
        }
    }
}

/// The qualified name of the root that `header` opens, if it does nothing else.
fn root_of(header: &[u8]) -> Option<Cow<'static, str>> {
    let (mut framer, mut rest) = (Framer::new(), header);
    let opens = matches!(framer.next(&mut rest), Some(Frame::Header(_)));
    // Nothing but white space follows; and `<stream:stream/>` would close as well.
    let opens = opens && framer.next(&mut rest).is_none() && framer.between_stanzas() && framer.stray_bytes() == 0;
    framer.root().filter(|_| opens).map(|root| root.to_owned().into())
}
