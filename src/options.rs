//! How to close: limits, what to say last, and what was already read.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::{
    cancel::Canceller,
    error::{Error, Invalid},
    framing::{Frame, Framer, Leaves, leaves},
    stream_error::StreamError,
};

/// Default of [`Limits::total`].
///
/// Thirty seconds, because servers read the closing tag only after everything sent before it: with shipped rate
/// limits a healthy Prosody answered after 7.0 s, a healthy ejabberd after 16.8 s, when 73 kB had been sent just before.
pub const DEFAULT_TOTAL: Duration = Duration::from_secs(30);
/// Default of [`Limits::linger`].
pub const DEFAULT_LINGER: Duration = Duration::from_secs(2);
/// Default of [`CloseOptions::output_limit`]: 16 MiB.
pub(crate) const DEFAULT_OUTPUT_LIMIT: usize = 16 << 20;
/// The root when nothing else is known of the stream.
pub(crate) const DEFAULT_ROOT: &str = "stream:stream";

/// The time limits of one handshake, and whether it half-closes early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Limits {
    /// For everything: flushing, the tag, the wait, the TLS alerts and the drain (HS-05). Zero: send the tag and do not wait.
    pub total: Duration,
    /// For any stretch in which not a byte moves, inside `total`. [`Duration::MAX`], the default: off, for healthy peers
    /// and healthy networks pause: TCP itself was silent for 8.7 s after a link had been down for 3 s, and servers with rate
    /// limits read nothing for longer than that. Zero: do not wait for a byte.
    pub no_progress: Duration,
    /// For the end of the TCP connection once both closing tags have been exchanged and ours is written, inside `total`
    /// (TC-03). The same after our last bytes when what the peer sends is malformed; and when our own output is lost, for
    /// any stretch in which the peer sends nothing. Zero: do not wait.
    pub linger: Duration,
    /// Half-close right after our own closing tag (ProtoJEP 2.1, I-01). Off by default: Prosody and jabberd2 drop
    /// half of what they still had to send when they see it, and no TLS peer must get it (TL-04).
    pub half_close: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: DEFAULT_TOTAL, no_progress: Duration::MAX, linger: DEFAULT_LINGER, half_close: false }
    }
}

/// How to close a stream: made by [`new`](Self::new), changed by one call an option, used by [`close`](Self::close) or
/// [`begin`](Self::begin), as often as wanted.
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
    /// Thirty seconds in all, two of linger, `</stream:stream>`, no half-close.
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
            stanza_limit: crate::framing::DEFAULT_STANZA_LIMIT,
            output_limit: DEFAULT_OUTPUT_LIMIT,
            own_parser: false,
            canceller: None,
        }
    }

    /// Sets all [`Limits`] at once, such as those that a program has read from its configuration.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Bounds the whole handshake, not each system call ([`Limits::total`]).
    pub fn total(mut self, limit: Duration) -> Self {
        self.limits.total = limit;
        self
    }

    /// Bounds any stretch in which not a byte moves ([`Limits::no_progress`]); off by default.
    pub fn no_progress(mut self, limit: Duration) -> Self {
        self.limits.no_progress = limit;
        self
    }

    /// Bounds the wait for the end of TCP after both closing tags ([`Limits::linger`]).
    pub fn linger(mut self, limit: Duration) -> Self {
        self.limits.linger = limit;
        self
    }

    /// Bounds the time in which the application answers a peer that has closed, or ended the connection: then our closing
    /// tag is due without its word. Half of the [total](Limits::total) by default. It bounds as well how long what has
    /// arrived is handled, and the last words are asked for, before our tag.
    pub fn answer(mut self, limit: Duration) -> Self {
        self.answer = Some(limit);
        self
    }

    /// Half-closes right after our own closing tag ([`Limits::half_close`]; not over TLS).
    pub fn half_close(mut self, yes: bool) -> Self {
        self.limits.half_close = yes;
        self
    }

    /// The closing tag, when our own header had another name than `stream:stream` (HS-13): `"</stream>"`. Where the peer's
    /// header is unknown, the peer's closing tag must have the same local name, with any prefix or none.
    pub fn closing_tag(mut self, tag: impl Into<String>) -> Self {
        self.closing_tag = Some(tag.into());
        self
    }

    /// Our own stream header, to be sent before all else because it has not been: so does a server that closes a stream
    /// before, or for, the peer's header (RFC 6120 section 4.9.1.2). The closing tag is then that of this header. A
    /// [`Stream`](crate::Stream) sends it only if none of its own is out, and composes one without this option.
    pub fn header(mut self, header: impl Into<String>) -> Self {
        self.header = Some(header.into());
        self
    }

    /// Bytes to send right before the closing tag, in one segment with it where they fit: last stanzas,
    /// unavailable presence (SE-01), a final `<a/>` (SE-03). They must be whole stanzas (HS-12), behind our header if
    /// that was never sent: half of one, text between them, or a closing tag among them is [`Error::Invalid`] when the close
    /// begins.
    pub fn farewell(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.farewell = bytes.into();
        self
    }

    /// Lets `compose` say what goes right before the closing tag, behind the [`farewell`](Self::farewell): replies that are
    /// still owed, or a final XEP-0198 `<a/>` (SE-03), which counts each message, presence and iq that was handled, and nothing
    /// else. It is called once by each close, by the thread that closes, when what was read has been handled, and what had
    /// arrived by then was read. What it says must be whole stanzas, too; anything else is not sent, and stops the close
    /// ([`Cancelled`](crate::Outcome::Cancelled)). Clones of the options share it; it must not close anything with them itself.
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
    /// // To be called for all that is handled, also while the close hands it over. An `<r/>` does not count.
    /// let handle = |stanza: Stanza| {
    ///     if matches!(stanza.name(), "message" | "presence" | "iq") {
    ///         handled.fetch_add(1, Ordering::Relaxed);
    ///     }
    /// };
    /// ```
    pub fn farewell_with(mut self, mut compose: impl FnMut() -> Vec<u8> + Send + 'static) -> Self {
        self.last_words = Some(LastWords::new(move || Said::All(compose())));
        self
    }

    /// Closes with a stream error, sent between the farewell and the closing tag (RFC 6120 section 4.9.1.1).
    pub fn stream_error(mut self, error: StreamError) -> Self {
        self.stream_error = Some(error);
        self
    }

    /// Bytes that were read from the peer but not handled yet, from a boundary between stanzas on (F-28).
    pub fn residual(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.residual = bytes.into();
        self
    }

    /// The peer's closing tag has been seen already, so this is the answer to it (HS-07).
    pub fn peer_closed(mut self, yes: bool) -> Self {
        self.peer_closed = yes;
        self
    }

    /// The start tag of the peer's stream, as it was received when the stream was opened. It tells the name of the peer's
    /// root, and which prefixes stand for which namespaces, so that a stream error is known under any prefix. Without it
    /// the usual header is assumed, in which a stream error is `<stream:error>`. A [`Stream`](crate::Stream) has read
    /// the header itself.
    ///
    /// Closing fails with [`Error::Invalid`] when this is not a start tag.
    pub fn peer_header(mut self, start_tag: impl Into<String>) -> Self {
        self.peer_header = Some(start_tag.into());
        self
    }

    /// Our closing tag has been written already, or ends the [`farewell`](Self::farewell): no other is sent, and the peer's
    /// is awaited (HS-01). A farewell that does not end in the tag is then [`Error::Invalid`].
    pub fn tag_sent(mut self, yes: bool) -> Self {
        self.tag_sent = yes;
        self
    }

    /// The largest stanza to deliver, in bytes; never below 10 000 (XM-08). A larger one is passed over and
    /// counted in [`Report::oversize`](crate::Report::oversize).
    pub fn stanza_limit(mut self, bytes: usize) -> Self {
        self.stanza_limit = bytes;
        self
    }

    /// How many bytes [`Engine::send`](crate::Engine::send) queues at most, 16 MiB by default; farewell, stream error and
    /// closing tag do not count.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Lets another thread stop the close at once.
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

/// What was said when the last words were asked for.
#[allow(dead_code, reason = "the C API is to use all of it")]
pub(crate) enum Said {
    /// These, and that was all.
    All(Vec<u8>),
    /// These, and perhaps more when it is asked again; none: that was all.
    #[cfg(feature = "capi")]
    Some(Vec<u8>),
    /// The first were sent by another way while it was asked, and go in front; perhaps more when it is asked again.
    #[cfg(feature = "capi")]
    Sent(Vec<u8>, Vec<u8>),
    /// Nothing yet: the application will say itself when all is said.
    #[cfg(feature = "capi")]
    Later,
    /// The close is to be stopped.
    #[cfg(feature = "capi")]
    Stop,
}

/// Composes what is said last. Clones of the options share it.
#[derive(Clone)]
pub(crate) struct LastWords(Arc<Mutex<dyn FnMut() -> Said + Send>>);

impl LastWords {
    pub(crate) fn new(compose: impl FnMut() -> Said + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(compose)))
    }

    pub(crate) fn ask(&self) -> Said {
        // One that has panicked is asked again.
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))()
    }
}

impl fmt::Debug for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastWords")
    }
}
