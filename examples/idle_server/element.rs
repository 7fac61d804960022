//! What the server has to know of an element, and the answers to it.

use std::{
    hash::{BuildHasher, RandomState},
    io::Read,
};

use xmpp_close::{
    Condition, Stanza,
    xml::{EventReader, XmlEvent},
};

use crate::{
    DOMAIN,
    session::{Stop, stop},
};

/// What is in scope in our own streams, and so for every stanza that is passed on.
pub const NAMESPACES: &str = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";
/// How deep a stanza may be nested; no extension needs more.
const MAX_DEPTH: u32 = 100;
/// How many attributes, and how many namespaces in scope, an element may have: the reader copies them for each.
const MAX_ATTRIBUTES: usize = 100;

/// Names are `{namespace}local`.
#[derive(Default)]
pub struct Element {
    pub name: String,
    attributes: Vec<(String, String)>,
    /// The first element inside this one.
    pub child: String,
    /// All character data inside this one.
    pub text: String,
}

impl Element {
    /// Reads a stanza as if it stood in one of our own streams, because it may be passed on. A prefix that only the
    /// sender's header declares would break the stream of the addressee.
    pub fn read(stanza: &Stanza) -> Result<Self, Stop> {
        let root = format!("<stream:stream {NAMESPACES}>");
        let mut element = Self::default();
        let mut depth = 0;
        for event in EventReader::new(root.as_bytes().chain(stanza.as_bytes())) {
            match event {
                Ok(XmlEvent::StartElement { attributes, namespace, .. })
                    if attributes.len() > MAX_ATTRIBUTES || namespace.0.len() > MAX_ATTRIBUTES =>
                {
                    return Err(stop(Condition::PolicyViolation));
                }
                Ok(XmlEvent::StartElement { name, attributes, .. }) => {
                    let name = format!("{{{}}}{}", name.namespace.unwrap_or_default(), name.local_name);
                    match depth {
                        0 => {} // our root
                        1 => {
                            element.name = name;
                            let pairs = attributes.into_iter().map(|a| (a.name.to_string(), a.value));
                            element.attributes = pairs.collect();
                        }
                        MAX_DEPTH => return Err(stop(Condition::PolicyViolation)),
                        _ if element.child.is_empty() => element.child = name,
                        _ => {}
                    }
                    depth += 1;
                }
                Ok(XmlEvent::EndElement { .. }) if depth == 2 => return Ok(element),
                Ok(XmlEvent::EndElement { .. }) => depth -= 1,
                Ok(XmlEvent::Characters(text) | XmlEvent::CData(text)) => element.text += &text,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Err(stop(Condition::BadNamespacePrefix))
    }

    pub fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == attribute).map(|(_, value)| value.as_str())
    }

    /// The answer to an iq that has one.
    pub fn result(&self, payload: &str) -> String {
        let id = escape(self.get("id").unwrap_or_default());
        let from = self.get("to").map_or_else(String::new, |to| format!(" from='{}'", escape(to)));
        format!("<iq type='result' id='{id}'{from}>{payload}</iq>")
    }

    /// The answer to an iq or a message (`name`) that nobody takes.
    pub fn error(&self, name: &str) -> String {
        let id = escape(self.get("id").unwrap_or_default());
        let from = escape(self.get("to").unwrap_or(DOMAIN));
        format!(
            "<{name} type='error' id='{id}' from='{from}'><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></{name}>"
        )
    }
}

pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}

/// An identifier that nobody can guess, and that does not come twice.
pub fn random() -> String {
    format!("{:016x}", RandomState::new().hash_one(0))
}
