//! What comes in: the framer that finds the peer's header, each stanza and the end of the stream, and what is known about
//! that stream.

use std::mem;

use crate::{
    framing::{DEFAULT_STANZA_LIMIT, Framer, Malformed},
    options::DEFAULT_ROOT,
    stream_error::StreamError,
    xml::{Scope, Stanza},
};

/// What [`Engine::input`](crate::Engine::input) found in the peer's stream. It borrows the bytes that were handed in.
///
/// ```
/// use std::time::Duration;
/// use xmpp_close::{CloseOptions, Engine, Found, Tls};
///
/// # fn main() -> Result<(), xmpp_close::Error> {
/// let mut engine = Engine::new(&CloseOptions::new(), Tls::No)?;
/// let mut data: &[u8] = b"<iq type='get' id='1'/><stream:error><reset \
///     xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
/// while let Some(found) = engine.input(&mut data, Duration::ZERO) {
///     match found {
///         Found::Header(tag) => println!("the peer's header: {tag}"),
///         Found::Stanza(stanza) => println!("a stanza: {stanza}"),
///         Found::Oversize(bytes) => println!("a stanza of {bytes} bytes was passed over"),
///         Found::StreamError(error) => println!("the peer closes with an error: {error}"),
///         Found::PeerClosed => println!("the peer's closing tag"),
///         Found::Malformed(why) => println!("no XMPP stream: {why}"),
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Found<'a> {
    /// The start tag of the peer's stream header.
    Header(&'a str),
    /// A whole stanza, or another first-level element that is no stream error.
    Stanza(Stanza<&'a str>),
    /// A stanza of this many bytes was larger than [`CloseOptions::stanza_limit`](crate::CloseOptions::stanza_limit), and was
    /// passed over.
    Oversize(u64),
    /// The peer's stream error: the engine closes in return, so our closing tag is due. A peer that sends more errors: the
    /// first one again.
    StreamError(&'a StreamError),
    /// The peer's closing tag.
    PeerClosed,
    /// What came is no XMPP stream: the engine answers with a stream error and our closing tag.
    Malformed(Malformed),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Incoming {
    /// `None`: nothing has come yet, so the framer is still as [`fresh`] makes it; or the application has its own parser.
    pub(super) framer: Option<Box<Framer>>,
    pub(super) own_parser: bool,
    /// The application's parser is inside an element.
    pub(super) parser_inside: bool,
    /// The namespaces that the peer's header declares.
    pub(super) header: Scope,
    /// The peer's first stream error.
    pub(super) stream_error: Option<Box<StreamError>>,
}

/// A framer between two stanzas of a stream whose header was not seen. Only the name of our own root is known.
pub(super) fn fresh(root: &str) -> Box<Framer> {
    let framer = Framer::inside(None);
    Box::new(if root == DEFAULT_ROOT { framer } else { framer.unknown_root(local_name(root)) })
}

/// A qualified name without its prefix.
fn local_name(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, local)| local)
}

impl Incoming {
    /// The peer is between two stanzas, and its header was not seen.
    pub(super) fn new() -> Self {
        Self { framer: None, own_parser: false, parser_inside: false, header: Scope::default(), stream_error: None }
    }

    pub(super) fn with(framer: Framer, header: Scope) -> Self {
        Self { framer: Some(Box::new(framer)), header, ..Self::new() }
    }

    /// From now on the application's own parser reads what comes.
    pub(super) fn use_own_parser(&mut self) {
        (self.framer, self.own_parser) = (None, true);
    }

    /// Sets the size in bytes of the largest stanza to deliver, and the name of our root.
    pub(super) fn set(&mut self, stanza_limit: usize, root: &str) {
        if self.framer.is_some() || stanza_limit != DEFAULT_STANZA_LIMIT && !self.own_parser {
            let framer = self.framer.get_or_insert_with(|| fresh(root));
            **framer = mem::take(&mut **framer).limit(stanza_limit).unknown_root(local_name(root));
        }
    }

    /// The peer's next header follows.
    pub(super) fn restart(&mut self) {
        if !self.own_parser {
            self.framer.get_or_insert_with(|| fresh("")).restart();
        }
    }

    pub(super) fn why_malformed(&self) -> Option<Malformed> {
        self.framer.as_ref().and_then(|framer| framer.malformed())
    }

    /// Gives back the memory that a large stanza needed.
    pub(super) fn shrink(&mut self) {
        if let Some(framer) = &mut self.framer {
            framer.shrink();
        }
    }

    /// Whether the stream would be cut inside an element or tag if it ended now.
    pub(super) fn is_inside(&self) -> bool {
        self.framer.as_ref().map_or(self.parser_inside, |framer| !framer.is_over() && !framer.between_stanzas())
    }
}

/// What the framer found, as text: the framer lets only UTF-8 pass.
pub(super) fn text(xml: &[u8]) -> &str {
    std::str::from_utf8(xml).unwrap_or_default()
}
