//! What comes in: where the peer's header, each stanza and the end of its stream are, and what is known of it.

use std::mem;

use crate::{
    framing::{DEFAULT_STANZA_LIMIT, Framer, Malformed},
    options::DEFAULT_ROOT,
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
    /// `None`: nothing has come yet, and so far all is as [`fresh`] makes it; or the application has a parser of its own.
    pub(super) framer: Option<Box<Framer>>,
    pub(super) own_parser: bool,
    /// The application's parser is inside an element.
    pub(super) parser_inside: bool,
    /// What the peer's header puts in scope.
    pub(super) header: Scope,
    /// The peer's first stream error.
    pub(super) stream_error: Option<Box<StreamError>>,
}

/// Between two stanzas of a stream, of which nothing is known but what our root is called.
pub(super) fn fresh(root: &str) -> Box<Framer> {
    let framer = Framer::inside(None);
    Box::new(if root == DEFAULT_ROOT { framer } else { framer.unknown_root(local_name(root)) })
}

/// A qualified name without its prefix.
fn local_name(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, local)| local)
}

impl Incoming {
    /// Between two stanzas.
    pub(super) fn new() -> Self {
        Self { framer: None, own_parser: false, parser_inside: false, header: Scope::default(), stream_error: None }
    }

    pub(super) fn with(framer: Framer, header: Scope) -> Self {
        Self { framer: Some(Box::new(framer)), header, ..Self::new() }
    }

    /// The application has a parser of its own from now on.
    pub(super) fn use_own_parser(&mut self) {
        (self.framer, self.own_parser) = (None, true);
    }

    /// The largest stanza to deliver, and how our root is called.
    pub(super) fn set(&mut self, stanza_limit: usize, root: &str) {
        if self.framer.is_some() || stanza_limit != DEFAULT_STANZA_LIMIT && !self.own_parser {
            let framer = self.framer.get_or_insert_with(|| fresh(root));
            **framer = mem::take(&mut **framer).limit(stanza_limit).unknown_root(local_name(root));
        }
    }

    /// New headers follow.
    pub(super) fn restart(&mut self) {
        if !self.own_parser {
            self.framer.get_or_insert_with(|| fresh("")).restart();
        }
    }

    pub(super) fn why_malformed(&self) -> Option<Malformed> {
        self.framer.as_ref().and_then(|framer| framer.malformed())
    }

    /// Holds no memory for a large stanza that has come already.
    pub(super) fn shrink(&mut self) {
        if let Some(framer) = &mut self.framer {
            framer.shrink();
        }
    }

    /// An end here would be inside an element or tag.
    pub(super) fn is_inside(&self) -> bool {
        self.framer.as_ref().map_or(self.parser_inside, |framer| !framer.is_over() && !framer.between_stanzas())
    }
}

/// Only UTF-8 passes the framer.
pub(super) fn text(xml: &[u8]) -> &str {
    std::str::from_utf8(xml).unwrap_or_default()
}
