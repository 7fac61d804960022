//! The stream header.

use super::{EventReader, NS_STREAMS, XmlEvent, config};
use crate::error::Error;

/// What the start tag of a stream says (RFC 6120 section 4.7), as in [`Incoming::Header`](crate::Incoming::Header).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// The qualified name as it was written, which the closing tag repeats: `stream:stream`.
    pub root: String,
    /// The root is in the streams namespace; otherwise the answer is `invalid-namespace` (XM-07).
    pub is_stream: bool,
    /// The default namespace, which as a rule is that of the stanzas: `jabber:client`, `jabber:server`.
    pub namespace: Option<String>,
    /// `id`: the responding side's name for the stream.
    pub id: Option<String>,
    /// `from`: who the sender says it is.
    pub from: Option<String>,
    /// `to`: whom the sender wants to reach.
    pub to: Option<String>,
    /// `version`: `1.0`, or absent in old software.
    pub version: Option<String>,
    /// `xml:lang`.
    pub lang: Option<String>,
}

impl Header {
    /// Reads the start tag of a stream.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is not namespace-well-formed.
    pub fn parse(start_tag: &str) -> Result<Self, Error> {
        let start_tag = start_tag.as_bytes();
        let mut reader = EventReader::new_with_config(start_tag, config(start_tag.len()));
        let (name, attributes, namespace) = loop {
            match reader.next() {
                Ok(XmlEvent::StartDocument { .. }) => {}
                Ok(XmlEvent::StartElement { name, attributes, namespace }) => break (name, attributes, namespace),
                _ => return Err(Error::Malformed("not-well-formed")),
            }
        };
        let attribute = |prefix: Option<&str>, local: &str| {
            let is_wanted =
                |name: &xml_rs::name::OwnedName| name.prefix.as_deref() == prefix && name.local_name == local;
            attributes.iter().find(|attribute| is_wanted(&attribute.name)).map(|attribute| attribute.value.clone())
        };
        Ok(Self {
            is_stream: name.namespace.as_deref() == Some(NS_STREAMS) && name.local_name == "stream",
            namespace: namespace.get("").filter(|namespace| !namespace.is_empty()).map(str::to_owned),
            root: name.borrow().to_repr(),
            id: attribute(None, "id"),
            from: attribute(None, "from"),
            to: attribute(None, "to"),
            version: attribute(None, "version"),
            lang: attribute(Some("xml"), "lang"),
        })
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
}
