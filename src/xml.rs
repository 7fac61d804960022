//! What needs XML's meaning and not only its boundaries: the stream header, stream errors, limits, reading a stanza.
//!
//! The only door to the `xml` crate, which was called `xml-rs` for its first ten years.

mod header;
mod limits;

use std::fmt;
use std::io::{Cursor, Read};
use std::sync::Arc;

pub use header::Header;
pub use limits::idle_seconds;
use xml_rs::reader::ParserConfig;
pub use xml_rs::reader::{EventReader, XmlEvent};

use crate::stream_error::{NS_STREAM_ERRORS, StreamError};

/// The namespace of the root, of its error and of its features (RFC 6120 section 4.8.1).
pub(crate) const NS_STREAMS: &str = "http://etherx.jabber.org/streams";
/// The header of nearly every stream, for when it was read by someone else.
const USUAL_HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
/// What is looked at of a stream error.
const MAX_ERROR: usize = 16 * 1024;
/// What is kept of each text in it.
const MAX_TEXT: usize = 1024;

/// Reads a first-level element as a stream error, if it is one. `header` is the start tag of the root, or empty.
///
/// It comes from a peer that something went wrong with, so it is taken as far as it can be read (F-30).
pub(crate) fn stream_error(stanza: &[u8], header: &[u8]) -> Option<StreamError> {
    // Nearly every stanza is none: tell it without parsing.
    if local_name(stanza) != b"error" {
        return None;
    }
    let mut reader = reader_of(header, &stanza[..stanza.len().min(MAX_ERROR)]);
    match reader.next() {
        Ok(XmlEvent::StartElement { name, .. }) if name.namespace.as_deref() == Some(NS_STREAMS) => {}
        _ => return None,
    }
    let mut parts = ErrorParts::default();
    let mut nothing = None;
    // Where character data goes; directly inside the error it is what servers sent before RFC 3920.
    let mut into = &mut parts.loose;
    let mut depth = 1;
    loop {
        match reader.next() {
            Ok(XmlEvent::StartElement { name, .. }) => {
                depth += 1;
                into = if depth == 2 { parts.child(name) } else { None }.unwrap_or(&mut nothing);
            }
            Ok(XmlEvent::EndElement { .. }) if depth == 1 => break,
            Ok(XmlEvent::EndElement { .. }) => {
                depth -= 1;
                into = if depth == 1 { &mut parts.loose } else { &mut nothing };
            }
            Ok(XmlEvent::Characters(text) | XmlEvent::CData(text) | XmlEvent::Whitespace(text)) => {
                let kept = into.get_or_insert_default();
                kept.push_str(start(&text, MAX_TEXT - kept.len()));
            }
            Ok(XmlEvent::EndDocument) | Err(_) => break,
            Ok(_) => {}
        }
    }
    Some(parts.into_error())
}

/// The parts of a stream error; each is the first of its kind.
#[derive(Default)]
struct ErrorParts {
    condition: Option<String>,
    detail: Option<String>,
    text: Option<String>,
    loose: Option<String>,
    application: Option<String>,
}

impl ErrorParts {
    /// A child of the error; with the place for its character data.
    fn child(&mut self, name: xml_rs::name::OwnedName) -> Option<&mut Option<String>> {
        let defined = name.namespace.as_deref() == Some(NS_STREAM_ERRORS);
        if defined && name.local_name == "text" {
            return self.text.is_none().then_some(&mut self.text);
        }
        if defined && self.condition.is_none() {
            self.condition = Some(start(&name.local_name, MAX_TEXT).to_owned());
            return Some(&mut self.detail);
        }
        if !defined && self.application.is_none() {
            let element = format!("{{{}}}{}", name.namespace.unwrap_or_default(), name.local_name);
            self.application = Some(start(&element, MAX_TEXT).to_owned());
        }
        None
    }

    fn into_error(self) -> StreamError {
        let said = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let mut error = StreamError::received(self.condition.as_deref().unwrap_or("undefined-condition"));
        if let Some(text) = said(self.text).or(said(self.loose)) {
            error = error.text(text);
        }
        if let Some(detail) = said(self.detail) {
            error = error.detail(detail.trim());
        }
        if let Some(application) = self.application {
            error = error.application(application);
        }
        error
    }
}

/// The beginning of `text`, of at most `length` bytes.
fn start(text: &str, length: usize) -> &str {
    let mut end = text.len().min(length);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The local name of the element that `element` begins with.
fn local_name(element: &[u8]) -> &[u8] {
    let name = element.get(1..).unwrap_or_default();
    let end = name.iter().position(|byte| b" \t\r\n/>".contains(byte)).unwrap_or(name.len());
    name[..end].rsplit(|&byte| byte == b':').next().unwrap_or_default()
}

/// The crate's own limits are for documents; here the framer has set one already.
fn config(length: usize) -> ParserConfig {
    ParserConfig::new()
        .max_name_length(length)
        .max_attributes(length)
        .max_attribute_length(length)
        .max_data_length(length)
}

/// A reader that stands before `stanza`, in the scope of `header`.
fn reader_of<'a>(header: &'a [u8], stanza: &'a [u8]) -> EventReader<impl Read + 'a> {
    let open = |header: &'a [u8]| {
        let end = header.iter().position(|byte| b" \t\r\n/>".contains(byte)).unwrap_or(header.len());
        let end_tag = [b"</", header.get(1..end).unwrap_or_default(), b">"].concat();
        let source = header.chain(stanza).chain(Cursor::new(end_tag));
        let mut reader = EventReader::new_with_config(source, config(header.len() + stanza.len()));
        let document = reader.next();
        let root = reader.next();
        (matches!(document, Ok(XmlEvent::StartDocument { .. })) && matches!(root, Ok(XmlEvent::StartElement { .. })))
            .then_some(reader)
    };
    // A header that is missing, was an empty tag or has unbound prefixes puts nothing in scope.
    let usable = header.starts_with(b"<") && !header.ends_with(b"/>");
    match usable.then(|| open(header)).flatten() {
        Some(reader) => reader,
        None => open(USUAL_HEADER).expect("the usual header is well-formed"),
    }
}

/// A whole first-level element of a stream: a message, presence or iq, or any other.
///
/// A `Stanza` owns its text. A `Stanza<&str>` is lent for the time of a call, by a [`Batch`](crate::Batch).
#[derive(Clone, PartialEq, Eq)]
pub struct Stanza<T = String> {
    xml: T,
    header: Arc<[u8]>,
}

impl Stanza {
    /// `xml` is one element as the framer found it, `header` the start tag of its stream, or empty.
    pub(crate) fn new(xml: Vec<u8>, header: Arc<[u8]>) -> Self {
        // The framer lets nothing pass but UTF-8.
        let xml = String::from_utf8(xml).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Self { xml, header }
    }

    /// The element as it came, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.xml.into_bytes()
    }
}

#[cfg(feature = "batch")]
impl<'a> Stanza<&'a str> {
    pub(crate) fn lent(xml: &'a str, header: &Arc<[u8]>) -> Self {
        Self { xml, header: header.clone() }
    }
}

impl Stanza<&str> {
    /// A copy that can be kept.
    pub fn into_owned(self) -> Stanza {
        Stanza { xml: self.xml.to_owned(), header: self.header }
    }
}

impl<T: AsRef<str>> Stanza<T> {
    /// The element as it came, from its `<` to its `>`.
    pub fn as_bytes(&self) -> &[u8] {
        self.as_str().as_bytes()
    }

    /// The element as it came, from its `<` to its `>`.
    pub fn as_str(&self) -> &str {
        self.xml.as_ref()
    }

    /// The element's name without its prefix: `message`.
    pub fn name(&self) -> &str {
        let xml = self.as_str();
        let length = local_name(xml.as_bytes()).len();
        let end = xml.find([' ', '\t', '\r', '\n', '/', '>']).unwrap_or(xml.len());
        &xml[end - length..end]
    }

    /// A reader of the `xml` crate with the namespaces of the stream in scope. Its first event is the start of this
    /// element; after its end come the end of the stream's root and that of the document.
    ///
    /// A stanza is well-formed, but may not be namespace-well-formed or have an attribute twice: then the reader
    /// returns an error. Its time grows with the square of the depth of nesting, so look at the depth of what
    /// strangers send while reading it.
    pub fn reader(&self) -> EventReader<impl Read + '_> {
        reader_of(&self.header, self.as_bytes())
    }
}

impl<T: AsRef<str>> fmt::Display for Stanza<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<T: AsRef<str>> fmt::Debug for Stanza<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stanza").field(&self.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";

    fn stanza(xml: &str, header: &[u8]) -> Stanza {
        Stanza::new(xml.into(), header.into())
    }

    fn error(children: &str) -> StreamError {
        stream_error(format!("<stream:error>{children}</stream:error>").as_bytes(), b"").unwrap()
    }

    fn first_name(stanza: &Stanza) -> String {
        match stanza.reader().next() {
            Ok(XmlEvent::StartElement { name, .. }) => name.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_stream_error_carries_condition_text_and_application_element() {
        let error = error(&format!(
            "<undefined-condition {NS}/><text {NS} xml:lang='en'>too <![CDATA[<high>]]> &amp; so</text>\
             <handled-count-too-high xmlns='urn:xmpp:sm:3' h='10'/>"
        ));
        assert_eq!(error.condition(), "undefined-condition");
        assert_eq!((error.unknown_condition(), error.get_text()), (None, Some("too <high> & so")));
        assert_eq!(error.get_application(), Some("{urn:xmpp:sm:3}handled-count-too-high"));
    }

    #[test]
    fn a_stream_error_is_known_by_its_namespace_and_not_by_its_prefix() {
        let header = b"<x:stream xmlns:x='http://etherx.jabber.org/streams' xmlns='jabber:server'>";
        let prefixed = "<x:error><e:reset xmlns:e='urn:ietf:params:xml:ns:xmpp-streams'/></x:error>";
        assert_eq!(stream_error(prefixed.as_bytes(), header).unwrap().condition(), "reset");
        let default = format!("<error xmlns='http://etherx.jabber.org/streams'><reset {NS}/></error>");
        assert_eq!(stream_error(default.as_bytes(), b"").unwrap().condition(), "reset");
        assert!(stream_error(b"<error><reset/></error>", b"").is_none(), "an error in jabber:client");
        assert!(stream_error(b"<message type='error'><error/></message>", b"").is_none());
        assert!(stream_error(b"<stream:errors/>", b"").is_none());
        assert!(stream_error(b"", b"").is_none());
    }

    #[test]
    fn an_unknown_or_missing_condition_is_undefined() {
        let unknown = error(&format!("<fizzbuzz {NS}/>"));
        assert_eq!((unknown.condition(), unknown.unknown_condition()), ("undefined-condition", Some("fizzbuzz")));
        assert_eq!(error("").condition(), "undefined-condition");
        let before_rfc_3920 = error("Disconnected");
        assert_eq!(
            (before_rfc_3920.condition(), before_rfc_3920.get_text()),
            ("undefined-condition", Some("Disconnected"))
        );
    }

    #[test]
    fn see_other_host_keeps_its_address() {
        let error = error(&format!("<see-other-host {NS}> [2001:db8::1]:5222\n</see-other-host>"));
        assert_eq!((error.condition(), error.get_detail()), ("see-other-host", Some("[2001:db8::1]:5222")));
    }

    #[test]
    fn a_long_text_is_cut_on_a_character() {
        let long = error(&format!("<reset {NS}/><text {NS}>x{}</text>", "é".repeat(3000)));
        assert_eq!(long.get_text().map(str::len), Some(1023));
        let endless = error(&format!("<reset {NS}/><text {NS}>{}</text>", "x".repeat(100_000)));
        assert_eq!((endless.condition(), endless.get_text().map(str::len)), ("reset", Some(1024)));
    }

    #[test]
    fn a_broken_stream_error_gives_what_could_be_read() {
        let broken = error(&format!("<conflict {NS}/><no:prefix/>"));
        assert_eq!(broken.condition(), "conflict");
    }

    #[test]
    fn a_stanza_is_read_with_the_namespaces_of_its_stream() {
        let header =
            b"<stream:stream xmlns='jabber:server' xmlns:db='urn:db' xmlns:stream='http://etherx.jabber.org/streams'>";
        assert_eq!(first_name(&stanza("<message/>", header)), "{jabber:server}message");
        assert_eq!(first_name(&stanza("<db:result>x</db:result>", header)), "{urn:db}db:result");
        let stanza = stanza("<iq><q a='1'/> t</iq>", header);
        let rest: Vec<_> = stanza.reader().into_iter().skip(1).map(|event| format!("{:?}", event.unwrap())).collect();
        assert_eq!(rest.len(), 6, "q, /q, text, /iq, /stream, end: {rest:?}");
    }

    #[test]
    fn a_stanza_whose_header_is_missing_or_useless_is_read_as_jabber_client() {
        for header in ["", "<a", "<a:b>", "<s/>", "</s>", "<a b='>", "\0", "x", "<stream:stream"] {
            assert_eq!(first_name(&stanza("<message/>", header.as_bytes())), "{jabber:client}message", "{header}");
        }
    }

    #[test]
    fn a_large_stanza_is_read_whole() {
        let text = "x".repeat(3_000_000);
        let name = "n".repeat(300_000);
        let attributes: String = (0..70_000).map(|i| format!(" a{i}=''")).collect();
        let stanza = stanza(&format!("<{name} v='{text}'{attributes}>{text}</{name}>"), b"");
        assert!(stanza.reader().into_iter().all(|event| event.is_ok()));
    }

    #[test]
    fn a_stanza_knows_its_name_and_bytes() {
        let named = |xml| stanza(xml, b"").name().to_owned();
        assert_eq!((named("<message/>"), named("<db:result\n>")), ("message".into(), "result".into()));
        assert_eq!((named("<a>b</a>"), named("")), ("a".into(), "".into()));
        let stanza = stanza("<a>é</a>", b"");
        assert_eq!((stanza.to_string(), format!("{stanza:?}")), ("<a>é</a>".into(), "Stanza(\"<a>é</a>\")".into()));
        assert_eq!((stanza.as_str(), stanza.as_bytes()), ("<a>é</a>", "<a>é</a>".as_bytes()));
        assert_eq!(stanza.into_bytes(), "<a>é</a>".as_bytes());
    }

    #[test]
    #[cfg(feature = "batch")]
    fn a_lent_stanza_is_like_one_that_is_owned() {
        let header = b"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>";
        let lent = Stanza::lent("<db:result/>", &header.as_slice().into());
        assert_eq!((lent.name(), lent.as_bytes()), ("result", "<db:result/>".as_bytes()));
        assert_eq!((lent.to_string(), format!("{lent:?}")), ("<db:result/>".into(), "Stanza(\"<db:result/>\")".into()));
        assert_eq!(lent.into_owned(), stanza("<db:result/>", header));
    }
}
