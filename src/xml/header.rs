//! The stream header.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{
    scope::{NS_STREAMS, NS_XML},
    walk::{Piece, Tag, Text, Walk, declared, split},
};
use crate::{
    condition::Condition,
    error::Error,
    framing::{Frame, Framer},
};

const NS_XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The content of a stream header (RFC 6120 section 4.7), such as [`Incoming::Header`](crate::Incoming::Header) hands over.
///
/// ```
/// use xmpp_close::xml::Header;
///
/// # fn main() -> Result<(), xmpp_close::Error> {
/// let header = Header::parse(
///     "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
///      to='capulet.example' version='1.0'>",
/// )?;
/// assert!(header.is_stream);
/// assert_eq!(header.root, "stream:stream"); // so the closing tag is </stream:stream>
/// assert_eq!(header.namespace.as_deref(), Some("jabber:client"));
/// assert_eq!(header.to.as_deref(), Some("capulet.example"));
/// assert_eq!(header.from, None);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Header {
    /// The qualified name as it is written in the header, such as `stream:stream`. The closing tag repeats it.
    pub root: String,
    /// Whether the root is `stream` in the streams namespace. If not, the answer is the stream error `invalid-namespace`.
    pub is_stream: bool,
    /// The default namespace, which is usually that of the stanzas: `jabber:client`, `jabber:server`.
    pub namespace: Option<String>,
    /// `id`: the stream's name, given by the server or by the server that was connected to.
    pub id: Option<String>,
    /// `from`: who the sender claims to be.
    pub from: Option<String>,
    /// `to`: whom the sender wants to reach.
    pub to: Option<String>,
    /// `version`: `1.0`. Old software sends none.
    pub version: Option<String>,
    /// `xml:lang`.
    pub lang: Option<String>,
}

impl Header {
    /// Reads a stream header, with an XML declaration in front of it or without, in time linear in its length.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is no start tag, or not namespace-well-formed.
    pub fn parse(start_tag: &str) -> Result<Self, Error> {
        Self::read(start_tag).ok_or(Error::Malformed(Condition::NotWellFormed))
    }

    fn read(start_tag: &str) -> Option<Self> {
        let mut framer = Framer::new().limit(usize::MAX);
        let Some(Frame::Header(tag)) = framer.next(&mut start_tag.as_bytes()) else { return None };
        let Piece::Start(tag) = Walk::new(std::str::from_utf8(tag).ok()?).next()? else { return None };
        let namespaces = Namespaces::of(&tag)?;
        let is_stream = namespaces.find(tag.name)? == NS_STREAMS && tag.local_name() == "stream";
        let namespace = namespaces.find_default();
        let (root, [id, from, to, version, lang]) = (tag.name.into(), [const { None }; 5]);
        let mut header = Self { root, is_stream, namespace, id, from, to, version, lang };
        // No attribute may be there twice: neither by its name as it is written (XML 1.0 section 3.1), nor by its namespace and
        // local name (Namespaces in XML 1.0 section 6.3).
        let (mut names, mut expanded) = (HashSet::new(), HashSet::new());
        for (name, value) in tag.attributes().filter(|(name, _)| declared(name).is_none()) {
            let is_prefixed = name.contains(':');
            if !names.insert(name) || is_prefixed && !expanded.insert((namespaces.find(name)?, split(name).1)) {
                return None;
            }
            header.take(name, value);
        }
        Some(header)
    }

    fn take(&mut self, name: &str, value: Text) {
        let place = match name {
            "id" => &mut self.id,
            "from" => &mut self.from,
            "to" => &mut self.to,
            "version" => &mut self.version,
            "xml:lang" => &mut self.lang,
            _ => return,
        };
        *place = Some(value.decode().into_owned());
    }
}

/// All namespaces that a tag declares. An attacker may choose their names, so they are hashed with random numbers of the
/// system.
struct Namespaces<'a>(HashMap<&'a str, Cow<'a, str>>);

impl<'a> Namespaces<'a> {
    /// The namespaces of a tag; `None` when a declaration is wrong, or is there twice (Namespaces in XML 1.0 sections 3 to 5).
    fn of(tag: &Tag<'a>) -> Option<Self> {
        let mut namespaces = HashMap::new();
        for (prefix, namespace) in tag.declarations() {
            let namespace = namespace.decode();
            let is_default = prefix.is_empty();
            let is_reserved = prefix == "xmlns" || namespace == NS_XMLNS || (prefix == "xml") != (namespace == NS_XML);
            if is_reserved || prefix.contains(':') || namespace.is_empty() && !is_default {
                return None;
            }
            if namespaces.insert(prefix, namespace).is_some() {
                return None;
            }
        }
        Some(Self(namespaces))
    }

    /// The default namespace; `None` when none is declared.
    fn find_default(&self) -> Option<String> {
        self.0.get("").filter(|namespace| !namespace.is_empty()).map(|namespace| namespace.clone().into_owned())
    }

    /// The namespace of a qualified name; `None` when the name is no qualified name, or its prefix is not declared.
    fn find(&self, name: &str) -> Option<&str> {
        let (prefix, local) = split(name);
        if local.is_empty() || local.contains(':') || name.starts_with(':') {
            return None;
        }
        match self.0.get(prefix) {
            Some(namespace) => Some(namespace),
            None if prefix == "xml" => Some(NS_XML),
            None => prefix.is_empty().then_some(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_tells_its_name_and_attributes() {
        let tag = "<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams' id='a&amp;b'\n\
                   from=\"capulet.example\" to='ü@x' version='1.0' xml:lang='de' s:id='no'>";
        let header = Header::parse(tag).unwrap();
        assert_eq!((header.root.as_str(), header.is_stream), ("s:stream", true));
        assert_eq!(header.namespace.as_deref(), Some("jabber:client"));
        assert_eq!((header.id.as_deref(), header.from.as_deref()), (Some("a&b"), Some("capulet.example")));
        assert_eq!((header.to.as_deref(), header.version.as_deref()), (Some("ü@x"), Some("1.0")));
        assert_eq!(header.lang.as_deref(), Some("de"));
    }

    #[test]
    fn a_header_in_a_default_or_foreign_namespace_is_read() {
        assert!(Header::parse("<stream xmlns='http://etherx.jabber.org/streams'>").unwrap().is_stream);
        assert!(!Header::parse("<stream:stream xmlns:stream='urn:x'/>").unwrap().is_stream);
        assert!(Header::parse("<stream:stream>").is_err(), "an unbound prefix");
        assert!(Header::parse("").is_err());
    }

    #[test]
    fn a_header_that_is_not_namespace_well_formed_is_refused() {
        let streams = NS_STREAMS;
        let header = |attributes: &str| Header::parse(&format!("<s:stream xmlns:s='{streams}'{attributes}>"));
        for attributes in ["", " xmlns=''", " a='' s:a=''", " xml:lang='' lang=''", &format!(" xmlns:xml='{NS_XML}'")] {
            assert!(header(attributes).is_ok(), "{attributes}");
        }
        for attributes in [
            " a='' a=''",
            " xmlns:s='urn:x'",
            " xmlns:x=''",
            " xmlns:xml='urn:x'",
            " xmlns:xmlns='urn:x'",
            " xmlns:a:b='urn:x'",
            " xmlns:='urn:x'",
            " x:a=''",
            " s:a:b=''",
            " :a=''",
            " s:=''",
            " xmlns:x='urn:x' xmlns:y='urn:x' x:a='' y:a=''",
            &format!(" xmlns:x='{NS_XMLNS}'"),
            &format!(" xmlns:x='{NS_XML}'"),
            " a='&nbsp;'",
            " a",
        ] {
            assert!(header(attributes).is_err(), "{attributes}");
        }
        assert!(Header::parse(&format!("<?xml version='1.0'?>\n<s:stream xmlns:s='{streams}'>")).is_ok());
    }
}
