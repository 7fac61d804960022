//! Finds where the stream header, each stanza and the stream end.
//!
//! It is written by hand. A pull parser blocks inside `read` and is
//! finished after its first I/O error, so it can neither be fed by an event loop nor survive a timeout; and it is slower
//! by an order of magnitude, on bytes that the application's own parser reads once more. What needs meaning
//! (namespaces, the stream's attributes, errors) is left to [`xml`](crate::xml).
//!
//! It takes the bytes as they come, in pieces of any size, and needs none beyond the `>` that ends a frame (XM-02).
//! Depth decides where the stream ends, never a search for its closing tag (XM-01). It checks that what passes is
//! well-formed XML as restricted by RFC 6120 section 11, with three exceptions: it does not see a duplicate attribute
//! or an unbound prefix (F-26), and takes the word of an end tag whose start tag is nested deeper than 128
//! elements or whose name, with those around it, is longer than 4 KiB.

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

/// Largest stanza a [`Framer`] buffers unless told otherwise: 1 MiB.
pub const DEFAULT_STANZA_LIMIT: usize = 1024 * 1024;
/// The least that a limit on stanzas may be set to: 10 000 bytes (RFC 6120 section 13.12, XM-08).
pub const MIN_STANZA_LIMIT: usize = 10_000;
/// What an idle stream may keep of a buffer that a larger stanza needed.
const KEPT_BUFFER: usize = 4 * 1024;

/// What [`Framer::next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// The start tag of the root: `<stream:stream …>`.
    Header(&'a [u8]),
    /// A whole first-level element, from its `<` to its `>`.
    Stanza(&'a [u8]),
    /// A first-level element larger than the limit ended; its length. It was passed over in constant memory. So is one for
    /// which the system has no memory.
    Oversize(u64),
    /// The closing tag of the stream, or the `/>` of its header. Any other end tag in its place is
    /// [`Malformed`](Frame::Malformed).
    End,
    /// What came is no XMPP stream; nothing after it is looked at.
    Malformed(Malformed),
}

/// Why something is no XMPP stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Malformed {
    /// It is not well-formed XML, or not valid UTF-8 (RFC 6120 section 11.3).
    NotWellFormed,
    /// It has a comment, processing instruction, DTD, or reference to an entity of its own (section 11.1).
    RestrictedXml,
    /// It declares an encoding other than UTF-8 (section 11.6).
    UnsupportedEncoding,
}

impl Malformed {
    /// The stream error condition RFC 6120 section 4.9.3 has for it.
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
/// let mut input: &[u8] = b"<stream:stream xmlns:stream='http://etherx.jabber.org/streams'><message/></stream:";
/// assert!(matches!(framer.next(&mut input), Some(Frame::Header(_))));
/// assert_eq!(framer.next(&mut input), Some(Frame::Stanza(b"<message/>")));
/// assert_eq!(framer.next(&mut input), None); // all of it is consumed
///
/// let mut input: &[u8] = b"stream>\n";
/// assert_eq!(framer.next(&mut input), Some(Frame::End));
/// assert_eq!(input, b"\n"); // what comes after the end is left to the caller
/// ```
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

    /// Starts between stanzas, for a stream whose header was read by someone else (F-28). `root` is the qualified
    /// name in its header, usually `stream:stream`, and only an end tag with exactly this name closes the stream. With
    /// `None` the header is unknown, and what closes the stream is an end tag with the local name `stream`, with any
    /// prefix or none: `</stream:stream>`, `</stream>`. Where a close is given a
    /// [`closing_tag`](crate::CloseOptions::closing_tag), the local name of that takes the place of `stream`. Every other end
    /// tag between stanzas is [`Malformed`](Frame::Malformed): an element that is closed twice is no end of the stream.
    pub fn inside(root: Option<&str>) -> Self {
        Self::with(Scanner::inside(root))
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

    /// Sets the length of the largest stanza to deliver; a longer one is an [`Oversize`](Frame::Oversize). Less than
    /// [`MIN_STANZA_LIMIT`] counts as that. A header over the limit is [`Malformed`](Frame::Malformed).
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes.max(MIN_STANZA_LIMIT);
        self
    }

    /// Consumes `input` up to the end of the next frame and returns that. `None` means that all of `input` is consumed,
    /// or that the stream [is over](Self::is_over): then `input` is left as it is. After [`Malformed`](Frame::Malformed)
    /// it begins somewhere behind the last frame.
    ///
    /// A frame that lies whole in `input` is a part of it, otherwise it is copied together once. Call it until it returns
    /// `None`, even when `input` is empty: an [`End`](Frame::End) may follow the header without a byte between them.
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

    /// Gives back what a large stanza needed, unless another is on its way. While stanzas follow each other without a gap
    /// they share it.
    pub(crate) fn shrink(&mut self) {
        self.forget_delivered();
        // Far more than is used, or a stanza that grows byte by byte would be copied for each.
        if self.buffer.capacity() > KEPT_BUFFER.max(4 * self.buffer.len()) {
            // Not shrunk but freed: so an allocator learns that such blocks come and go, and keeps their pages at hand.
            self.buffer = self.buffer.to_vec();
        }
    }

    /// The frame goes on in the next input. Once it is over the limit, or the system has refused the memory for it,
    /// nothing of it is kept.
    fn keep(&mut self, part: &[u8]) {
        let all_is_kept = self.buffer.len() as u64 == self.begun;
        self.begun += part.len() as u64;
        if self.begun == 0 {
            self.shrink(); // all is handled, so there may be silence
        } else if !(all_is_kept && self.begun <= self.limit as u64 && self.append(part)) {
            self.buffer = Vec::new();
        }
    }

    /// False when the system refuses the memory: how long a stanza is, its sender decides.
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

    /// Expects a new declaration and header, as they follow STARTTLS, SASL and compression (F-17).
    ///
    /// The document before them never gets an end tag. The boundary is the `>` of the element that agreed to it; bytes
    /// that came after a `<proceed/>` in the clear are not to be fed, but dropped (RFC 6120 section 5.4.3.3). White space
    /// behind that `>` belongs to the old document, also when it comes later.
    pub fn restart(&mut self) {
        *self = Self { limit: self.limit, ..Self::with(Scanner::behind(self.scanner.stray_bytes)) };
    }

    /// Whether an EOF here would be between stanzas, not inside one or inside a tag.
    pub fn between_stanzas(&self) -> bool {
        !self.is_over() && self.scanner.is_between()
    }

    /// Whether [`End`](Frame::End) or [`Malformed`](Frame::Malformed) was returned.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Ended | Stage::Refused(_))
    }

    /// Why it is over, when [`Malformed`](Frame::Malformed) was returned.
    pub fn malformed(&self) -> Option<Malformed> {
        if let Stage::Refused(malformed) = self.stage { Some(malformed) } else { None }
    }

    /// The qualified name of the root, once known. A header whose root has a name longer than 4 KiB is
    /// [`Malformed`](Frame::Malformed).
    pub fn root(&self) -> Option<&str> {
        self.scanner.root.name()
    }

    /// Bytes of text between stanzas that were passed over, not counting white space (F-13, F-20): XMPP allows none.
    /// A byte order mark at the start counts (F-12), and a CDATA section counts whole.
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
