//! The `xml` crate's reader for a stanza, which stops where it would become too dear.

use std::io::{self, Cursor, Read};

use xml_rs::reader::{EventReader, ParserConfig, XmlEvent};

use super::{
    scope::Scope,
    walk::{Piece, Walk},
};

/// How deep elements may be nested for a reader, with the stanza itself.
const MAX_DEPTH: usize = 100;
/// How many namespaces may be in scope for a reader, beside those of the header.
const MAX_NAMESPACES: usize = 32;
/// How many bytes these namespaces may have, prefixes included.
const MAX_NAMESPACE_BYTES: usize = 4096;

/// A reader that stands before `stanza`, in the scope of `header`.
pub(super) fn reader_of<'a>(header: &Scope, stanza: &'a str) -> EventReader<impl Read + use<'a>> {
    let readable = readable(stanza);
    let open = |header: &Scope| {
        let (start, end) = header.tags();
        // No limits of the crate's own: the framer has limited the length already.
        let length = start.len() + stanza.len();
        let config = ParserConfig::new()
            .max_name_length(length)
            .max_attributes(length)
            .max_attribute_length(length)
            .max_data_length(length);
        let behind = if readable == stanza.len() { End::Tag(Cursor::new(end)) } else { End::TooMuch };
        let source = Cursor::new(start).chain(&stanza.as_bytes()[..readable]).chain(behind);
        let mut reader = EventReader::new_with_config(source, config);
        let document = reader.next();
        let root = reader.next();
        (matches!(document, Ok(XmlEvent::StartDocument { .. })) && matches!(root, Ok(XmlEvent::StartElement { .. })))
            .then_some(reader)
    };
    match open(header) {
        Some(reader) => reader,
        None => open(&Scope::default()).expect("the usual header is well-formed"),
    }
}

/// How many bytes of a stanza a reader gets: all, or those in front of the first element that would cost too much.
fn readable(stanza: &str) -> usize {
    let mut walk = Walk::new(stanza);
    // For each open element: how many namespaces are in scope, and their bytes.
    let mut open = vec![(0, 0)];
    loop {
        let at = stanza.len() - walk.rest().len();
        match walk.next() {
            Some(Piece::Start(tag)) => {
                let (mut count, mut bytes) = *open.last().unwrap_or(&(0, 0));
                for (prefix, namespace) in tag.declarations() {
                    count += 1;
                    bytes += prefix.len() + namespace.written();
                }
                if open.len() > MAX_DEPTH || count > MAX_NAMESPACES || bytes > MAX_NAMESPACE_BYTES {
                    return at;
                }
                if !tag.empty {
                    open.push((count, bytes));
                }
            }
            Some(Piece::End) => drop(open.pop()),
            Some(Piece::Text(_)) => {}
            None => return stanza.len(),
        }
    }
}

/// What its reader gets behind a stanza.
enum End {
    /// The end of the stream's root.
    Tag(Cursor<String>),
    /// An error: the rest of the stanza is not read.
    TooMuch,
}

impl Read for End {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tag(tag) => tag.read(buf),
            Self::TooMuch => Err(io::Error::other("nested too deep, or too many namespaces")),
        }
    }
}
