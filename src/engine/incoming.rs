//! What comes in: where the peer's header, each stanza and the end of its stream are, and what is known of it.

use crate::{
    framing::{Framer, Malformed},
    stream_error::StreamError,
    xml::{Scope, Stanza},
};

/// What [`Engine::input`](crate::Engine::input) found in the peer's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found<'a> {
    /// The start tag of the peer's stream header.
    Header(&'a str),
    /// A whole stanza, or another first-level element that is no stream error.
    Stanza(Stanza<&'a str>),
    /// A stanza of this many bytes was over the limit, and was passed over.
    Oversize(u64),
    /// The peer's stream error: our tag is due. When it sends more of them, the first one again.
    StreamError(&'a StreamError),
    /// The peer's closing tag.
    PeerClosed,
    /// What came is no XMPP stream: it is told so, and our tag is due.
    Malformed(Malformed),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Incoming {
    /// `None`: the application has a parser of its own. Boxed, so that its engine is small.
    pub(super) framer: Option<Box<Framer>>,
    /// The application's parser is inside an element.
    pub(super) parser_inside: bool,
    /// What the peer's header puts in scope.
    pub(super) header: Scope,
    /// The peer's first stream error.
    pub(super) stream_error: Option<StreamError>,
}

impl Incoming {
    pub(super) fn with(framer: Option<Framer>, header: Scope) -> Self {
        Self { framer: framer.map(Box::new), parser_inside: false, header, stream_error: None }
    }

    /// An end here would be inside an element or tag.
    pub(super) fn is_inside(&self) -> bool {
        self.framer.as_ref().map_or(self.parser_inside, |framer| !framer.between_stanzas())
    }
}

/// Only UTF-8 passes the framer.
pub(super) fn text(xml: &[u8]) -> &str {
    std::str::from_utf8(xml).unwrap_or_default()
}
