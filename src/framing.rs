//! Finds where the stream header, each stanza and the stream end.
//!
//! This is written by hand. A pull parser blocks inside `read` and is finished after its first I/O error, so it can neither
//! be fed by an event loop nor survive a timeout. It is also ten times slower, on bytes that the application's own parser
//! reads once more. What needs the meaning of XML (namespaces, the header's attributes, stream errors) is in
//! [`xml`](crate::xml).
//!
//! Depth decides where the stream ends, never a search for its closing tag (XM-01). The bytes may come in pieces of any
//! size, and none behind the `>` of a frame are needed (XM-02).

mod bytes;
mod chars;
mod content;
mod declaration;
mod names;
mod plain;
mod scan;
mod state;
mod whole;

use std::fmt;

use scan::{Scanner, Token};
pub(crate) use whole::{Leaves, leaves};

use crate::condition::Condition;

/// The largest stanza that is delivered, unless another limit is set: 1 MiB.
pub const DEFAULT_STANZA_LIMIT: usize = 1024 * 1024;
/// The smallest limit that can be set for stanzas: 10 000 bytes (RFC 6120 section 13.12).
// XM-08
pub const MIN_STANZA_LIMIT: usize = 10_000;
/// What an idle stream may keep of a buffer that a larger stanza needed.
const KEPT_BUFFER: usize = 4 * 1024;

/// What [`Framer::next`] found.
///
/// ```
/// use xmpp_close::{Frame, Framer};
///
/// let mut framer = Framer::inside(Some("stream:stream"));
/// let mut input: &[u8] = b"<message/> <iq/></stream:stream>";
/// while let Some(frame) = framer.next(&mut input) {
///     match frame {
///         Frame::Stanza(stanza) => println!("{}", stanza.escape_ascii()),
///         Frame::Oversize(bytes) => println!("a stanza of {bytes} bytes was passed over"),
///         Frame::End => println!("the peer has closed the stream"),
///         Frame::Malformed(why) => println!("no XMPP stream: {why}"),
///         _ => {} // a header
///     }
/// }
/// assert!(framer.is_over());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// The start tag of the root: `<stream:stream …>`.
    Header(&'a [u8]),
    /// A whole first-level element, from its `<` to its `>`.
    Stanza(&'a [u8]),
    /// A first-level element of this many bytes has ended. It was passed over in constant memory because it is larger than
    /// the limit, or because the system has no memory for it.
    Oversize(u64),
    /// The closing tag of the stream, or the `/>` of its header. Any other end tag between stanzas is
    /// [`Malformed`](Frame::Malformed).
    End,
    /// What came is no XMPP stream. Nothing behind it is looked at.
    Malformed(Malformed),
}

/// Why what the peer sent is no XMPP stream.
///
/// ```
/// use xmpp_close::{Condition, Frame, Framer, Malformed, StreamError};
///
/// let mut framer = Framer::inside(None);
/// let found = framer.next(&mut &b"<!-- no comments in XMPP -->"[..]);
/// assert_eq!(found, Some(Frame::Malformed(Malformed::RestrictedXml)));
/// let to_the_peer = framer.malformed().map(StreamError::from);
/// assert_eq!(to_the_peer.map(|error| error.condition()), Some(Condition::RestrictedXml));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Malformed {
    /// It is not well-formed XML, or not valid UTF-8 (RFC 6120 section 11.3).
    NotWellFormed,
    /// It has a comment, a processing instruction, a DTD, or a reference to an entity that XML does not define (RFC 6120
    /// section 11.1).
    RestrictedXml,
    /// It declares an encoding other than UTF-8 (RFC 6120 section 11.6).
    UnsupportedEncoding,
}

impl Malformed {
    /// The condition of the stream error that tells the peer.
    pub fn condition(self) -> Condition {
        match self {
            Self::NotWellFormed => Condition::NotWellFormed,
            Self::RestrictedXml => Condition::RestrictedXml,
            Self::UnsupportedEncoding => Condition::UnsupportedEncoding,
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotWellFormed => "not well-formed XML",
            Self::RestrictedXml => {
                "XML with a comment, a processing instruction, a DTD or an entity, which XMPP forbids"
            }
            Self::UnsupportedEncoding => "an encoding other than UTF-8",
        })
    }
}

impl std::error::Error for Malformed {}

/// Splits the bytes of a stream into its header, its stanzas and its end.
///
/// ```
/// use xmpp_close::{Frame, Framer};
///
/// let mut framer = Framer::new();
/// let mut input: &[u8] =
///     b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'><message/></stream:";
/// assert!(matches!(framer.next(&mut input), Some(Frame::Header(_))));
/// assert_eq!(framer.next(&mut input), Some(Frame::Stanza(b"<message/>")));
/// assert_eq!(framer.next(&mut input), None); // all of it is consumed
///
/// let mut input: &[u8] = b"stream>\n";
/// assert_eq!(framer.next(&mut input), Some(Frame::End));
/// assert_eq!(input, b"\n"); // what comes behind the end is left to the caller
/// ```
///
/// The bytes may come in pieces of any size; a frame is found as soon as its `>` has come. What passes is well-formed XML
/// as RFC 6120 section 11 restricts it, with three exceptions:
///
/// - An attribute that stands twice in a tag, and a prefix that is not bound, are not noticed.
/// - Of elements that are nested deeper than 128 levels, the end tag may have any name.
/// - The same holds where the names of all open elements together are longer than 4 KiB.
// F-26
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Framer {
    scanner: Scanner,
    limit: usize,
    /// The beginning of the frame, when it came with earlier input.
    buffer: Vec<u8>,
    /// Bytes of the frame that came with earlier input, buffered or passed over.
    begun: u64,
    /// The frame returned last was the buffer: clear it.
    delivered: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Running,
    /// The header was an empty tag: the end is still to be reported.
    Ends,
    Ended,
    Refused(Malformed),
}

impl Framer {
    /// Starts before the XML declaration and the header.
    pub fn new() -> Self {
        Self::with(Scanner::new())
    }

    /// Starts between stanzas, for a stream whose header was read by someone else. `root` is the qualified name in that
    /// header, usually `stream:stream`: only an end tag with exactly this name closes the stream.
    ///
    /// `None`: the header is unknown. Then an end tag with the local name `stream` closes the stream, with any prefix or
    /// none: `</stream:stream>`, `</stream>`. (In a close, the local name is that of
    /// [`closing_tag`](crate::CloseOptions::closing_tag).)
    ///
    /// Every other end tag between stanzas is [`Malformed`](Frame::Malformed): an element that is closed twice does not end
    /// the stream.
    // F-28
    pub fn inside(root: Option<&str>) -> Self {
        Self::with(Scanner::inside(root))
    }

    /// Starts before the header, or between stanzas if the header came before: what comes first shows it. For the
    /// library's own closes, and for the tests that compare an engine with a framer.
    #[doc(hidden)]
    pub fn perhaps_inside() -> Self {
        Self::with(Scanner::perhaps_inside())
    }

    fn with(scanner: Scanner) -> Self {
        Self {
            scanner,
            limit: DEFAULT_STANZA_LIMIT,
            buffer: Vec::new(),
            begun: 0,
            delivered: false,
            stage: Stage::Running,
        }
    }

    /// The local name of a root of which nothing else is known.
    #[must_use]
    pub(crate) fn unknown_root(mut self, local: &str) -> Self {
        self.scanner.root.assume_local(local);
        self
    }

    /// Sets the length of the largest stanza to deliver, [`MIN_STANZA_LIMIT`] at least. A longer stanza is
    /// [`Oversize`](Frame::Oversize); a longer header is [`Malformed`](Frame::Malformed).
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes.max(MIN_STANZA_LIMIT);
        self
    }

    /// Consumes `input` up to the end of the next frame, and returns the frame. `None`: all of `input` is consumed, or the
    /// stream [is over](Self::is_over) and `input` is left as it is. After [`Malformed`](Frame::Malformed), `input` begins
    /// somewhere behind the last frame.
    ///
    /// Call this until it returns `None`, even when `input` is empty: an [`End`](Frame::End) may follow a header without
    /// another byte. A frame that lies whole in `input` is a part of `input`. Any other frame is put together in a buffer.
    ///
    /// A program that may close inside a stanza keeps the bytes since the last frame, because the framer does not give them back.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Option<Frame<'a>> {
        match self.stage {
            Stage::Running => {}
            Stage::Ends => return Some(self.end()),
            Stage::Ended | Stage::Refused(_) => return None,
        }
        self.forget_delivered();
        match self.advance(input) {
            Err(malformed) => self.fail(malformed),
            Ok((Token::End, _)) => Some(self.end()),
            // Not even an element that was closed twice ends the stream (F-21).
            Ok((Token::StrayEnd, _)) => self.fail(Malformed::NotWellFormed),
            Ok((token @ (Token::Header { .. } | Token::Element), part)) => self.deliver(token, part),
            Ok(_) => None,
        }
    }

    /// Scans to the end of a frame, or of `input`; with the part of the frame that is in `input`.
    #[inline]
    fn advance<'i>(&mut self, input: &mut &'i [u8]) -> Result<(Token, &'i [u8]), Malformed> {
        loop {
            if !self.scanner.is_in_markup() {
                self.scanner.skip_outside(input)?;
            }
            let start = *input;
            let token = self.scanner.scan(input)?;
            let part = &start[..start.len() - input.len()];
            match token {
                Token::Input => {
                    self.keep(part);
                    return Ok((token, part));
                }
                Token::Declaration => {}
                Token::StrayCdata => self.scanner.stray_bytes += self.begun + part.len() as u64,
                Token::Header { .. } | Token::Element | Token::End | Token::StrayEnd => return Ok((token, part)),
            }
            self.buffer.clear();
            self.begun = 0;
        }
    }

    fn deliver<'a>(&'a mut self, token: Token, part: &'a [u8]) -> Option<Frame<'a>> {
        let length = self.begun + part.len() as u64;
        self.begun = 0;
        if token == (Token::Header { empty: true }) {
            self.stage = Stage::Ends;
        }
        let is_header = token != Token::Element;
        let is_nameless = is_header && self.root().is_none(); // so that no end tag could close it
        let is_whole = length == part.len() as u64;
        let is_kept = self.buffer.len() as u64 == length - part.len() as u64;
        if length > self.limit as u64 || is_nameless || !(is_whole || is_kept && self.append(part)) {
            self.buffer.clear();
            return if is_header { self.fail(Malformed::NotWellFormed) } else { Some(Frame::Oversize(length)) };
        }
        self.delivered = !is_whole;
        let frame = if is_whole { part } else { &self.buffer };
        Some(if is_header { Frame::Header(frame) } else { Frame::Stanza(frame) })
    }

    fn end(&mut self) -> Frame<'static> {
        self.stage = Stage::Ended;
        Frame::End
    }

    fn fail(&mut self, malformed: Malformed) -> Option<Frame<'static>> {
        self.stage = Stage::Refused(malformed);
        self.buffer = Vec::new();
        Some(Frame::Malformed(malformed))
    }

    fn forget_delivered(&mut self) {
        if self.delivered {
            self.buffer.clear();
            self.delivered = false;
        }
    }

    /// Frees the buffer of a large stanza, unless another stanza has begun. Stanzas that follow each other without a gap
    /// share the buffer.
    pub(crate) fn shrink(&mut self) {
        self.forget_delivered();
        // Only when far more is kept than used: otherwise a stanza that grows byte by byte would be copied for each byte.
        if self.buffer.capacity() > KEPT_BUFFER.max(4 * self.buffer.len()) {
            // Freed, not shrunk: so the allocator learns that such blocks come and go, and keeps their pages at hand.
            self.buffer = self.buffer.to_vec();
        }
    }

    /// The frame goes on in the next input. Nothing of a frame is kept that is over the limit, or for which the system has
    /// refused the memory.
    fn keep(&mut self, part: &[u8]) {
        let all_is_kept = self.buffer.len() as u64 == self.begun;
        self.begun += part.len() as u64;
        if self.begun == 0 {
            self.shrink(); // all is handled, so there may be silence
        } else if !(all_is_kept && self.begun <= self.limit as u64 && self.append(part)) {
            self.buffer = Vec::new();
        }
    }

    /// False when the system refuses the memory: the sender decides how long a stanza is, so that is no reason to abort.
    fn append(&mut self, part: &[u8]) -> bool {
        let length = self.buffer.len() + part.len();
        if length > self.buffer.capacity() {
            let more = (2 * length).min(self.limit) - self.buffer.len();
            if self.buffer.try_reserve_exact(more).is_err() && self.buffer.try_reserve_exact(part.len()).is_err() {
                return false;
            }
        }
        self.buffer.extend_from_slice(part);
        true
    }

    /// Expects a new XML declaration and header, as they follow after STARTTLS, SASL and compression. The XML document before
    /// has no end tag: it ends with the `>` of the element that agreed (`<proceed/>`, `<success/>`).
    ///
    /// After SASL, what came behind that `>` begins the new document: feed it. After STARTTLS, drop it, because anybody may
    /// have put it there (RFC 6120 section 5.4.3.3). White space behind the `>` belongs to the old document, also when it
    /// comes later.
    // F-17
    pub fn restart(&mut self) {
        *self = Self { limit: self.limit, ..Self::with(Scanner::behind(self.scanner.stray_bytes)) };
    }

    /// Whether an end of the connection here would be between stanzas, and not inside a stanza or tag.
    pub fn between_stanzas(&self) -> bool {
        !self.is_over() && self.scanner.is_between()
    }

    /// Whether [`End`](Frame::End) or [`Malformed`](Frame::Malformed) was returned. Then no other frame comes.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ended | Stage::Refused(_))
    }

    /// Why the stream is over, if [`Malformed`](Frame::Malformed) was returned.
    pub fn malformed(&self) -> Option<Malformed> {
        if let Stage::Refused(malformed) = self.stage { Some(malformed) } else { None }
    }

    /// The qualified name of the root, when it is known. A header with a name longer than 4 KiB is
    /// [`Malformed`](Frame::Malformed).
    pub fn root(&self) -> Option<&str> {
        self.scanner.root.name()
    }

    /// How many bytes of text between stanzas were passed over, white space not counted. XMPP allows none. A byte order
    /// mark at the start counts, and a CDATA section counts whole.
    // F-12, F-13, F-20
    pub fn stray_bytes(&self) -> u64 {
        self.scanner.stray_bytes
    }

    /// Memory held for frames that came in pieces.
    #[doc(hidden)]
    pub fn buffered(&self) -> usize {
        self.buffer.capacity()
    }
}

impl Default for Framer {
    fn default() -> Self {
        Self::new()
    }
}
