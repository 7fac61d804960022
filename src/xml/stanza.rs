//! A stanza.

use std::{borrow::Cow, fmt, io::Read};

use xml_rs::reader::EventReader;

use super::{
    local_name,
    reader::reader_of,
    scope::{Scope, namespace},
    walk::{Piece, Walk},
};

/// A whole first-level element of a stream: a message, presence or iq, or any other.
///
/// A `Stanza` owns its text. A `Batch` lends a `Stanza<&str>` for the time of a call; [`into_owned`](Stanza::into_owned) makes
/// a copy that can be kept.
///
/// ```
/// use xmpp_close::{CloseOptions, Stanza};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use std::{io::Write, os::unix::net::UnixStream};
/// # let (socket, mut peer) = UnixStream::pair()?;
/// # peer.write_all(b"<message id='1'/></stream:stream>")?;
/// # std::thread::spawn(move || std::io::copy(&mut peer, &mut std::io::sink()));
/// let mut late: Vec<Stanza> = Vec::new();
/// let mut closing = CloseOptions::new().begin(socket)?;
/// late.extend(&mut closing);
///
/// let message = &late[0];
/// assert_eq!(message.as_str(), "<message id='1'/>");
/// assert_eq!(message.name(), "message");
/// assert_eq!(message.namespace().as_deref(), Some("jabber:client"));
/// # Ok(()) }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Stanza<T = String> {
    xml: T,
    header: Scope,
}

impl Stanza {
    /// The bytes of the element as they came, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.xml.into_bytes()
    }
}

impl<'a> Stanza<&'a str> {
    /// Lends `xml`, one element as the framer found it. `header` is what its stream puts in scope.
    pub(crate) fn lent(xml: &'a str, header: &Scope) -> Self {
        Self { xml, header: header.clone() }
    }
}

impl Stanza<&str> {
    /// A copy that can be kept.
    pub fn into_owned(self) -> Stanza {
        Stanza { xml: self.xml.to_owned(), header: self.header }
    }
}

impl<T> Stanza<T> {
    /// What the header of its stream puts in scope.
    pub(super) fn header(&self) -> &Scope {
        &self.header
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

    /// The value of an attribute of the element, with its references replaced: `&amp;` is `&`. `None` when the element has no
    /// such attribute. `name` is the name as the peer wrote it, so `lang` does not find `xml:lang`. The cost is linear in the
    /// length of the start tag.
    ///
    /// ```
    /// use xmpp_close::Stanza;
    ///
    /// fn is_bound(answer: &Stanza) -> bool {
    ///     answer.name() == "iq" && answer.attribute("type").as_deref() == Some("result")
    /// }
    /// ```
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        match Walk::new(self.as_str()).next()? {
            Piece::Start(tag) => {
                tag.attributes().find(|attribute| attribute.0 == name).map(|(_, value)| value.decode())
            }
            _ => None,
        }
    }

    /// The namespace of the element, such as `jabber:client`: declared by the element itself, or by the header of its stream.
    /// Empty when the element is in no namespace. `None` when its prefix is not declared, so that the stanza is not
    /// namespace-well-formed.
    ///
    /// Of the header's prefixes only the first sixteen are known, and the header's own.
    pub fn namespace(&self) -> Option<Cow<'_, str>> {
        match Walk::new(self.as_str()).next()? {
            Piece::Start(tag) => namespace(&tag, [].iter(), &self.header),
            _ => None,
        }
    }

    /// The default namespace of its stream: `jabber:client`, `jabber:server`. Names without a prefix are in it, unless the
    /// stanza declares another default. Empty when the peer's header declares none.
    pub fn default_namespace(&self) -> &str {
        self.header.find("").unwrap_or_default()
    }

    /// A start tag that declares the namespaces of its stream. Put it in front of the stanza, and a parser of another crate can
    /// resolve its prefixes.
    ///
    /// The tag has the name of the peer's header, and its declarations: the default namespace, the header's own prefix, and the
    /// first sixteen others. If the library does not know the peer's header, it is `<stream:stream xmlns='jabber:client' …>`.
    pub fn stream_start_tag(&self) -> String {
        self.header.tags().0
    }

    /// A reader of the `xml` crate. The namespaces of the stream are in scope, as far as
    /// [`stream_start_tag`](Self::stream_start_tag) declares them. The reader is no iterator, and its `next` returns a
    /// `Result`: a `for` loop, or `.into_iter()`, makes an iterator of it.
    ///
    /// The first event is the start of this element. After the end of this element come two more events: the end of the
    /// stream's root, and the end of the document.
    ///
    /// ```
    /// use xmpp_close::{Stanza, xml::XmlEvent};
    ///
    /// /// The text of a message's `<body/>`.
    /// fn body<T: AsRef<str>>(message: &Stanza<T>) -> Option<String> {
    ///     let (mut depth, mut is_body, mut body) = (0, false, None);
    ///     for event in message.reader() {
    ///         match event.ok()? {
    ///             XmlEvent::StartElement { name, .. } => {
    ///                 depth += 1;
    ///                 let is_client = name.namespace_ref() == Some("jabber:client");
    ///                 is_body = depth == 2 && is_client && name.local_name == "body";
    ///             }
    ///             XmlEvent::EndElement { .. } => (depth, is_body) = (depth - 1, false),
    ///             XmlEvent::Characters(text) | XmlEvent::CData(text) if is_body => {
    ///                 body.get_or_insert_with(String::new).push_str(&text);
    ///             }
    ///             _ => {}
    ///         }
    ///     }
    ///     body
    /// }
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use std::{io::Write, os::unix::net::UnixStream};
    /// # let (socket, mut peer) = UnixStream::pair()?;
    /// # peer.write_all(b"<message><body>Good night, &amp; good luck!</body></message></stream:stream>")?;
    /// # std::thread::spawn(move || std::io::copy(&mut peer, &mut std::io::sink()));
    /// let mut closing = xmpp_close::CloseOptions::new().begin(socket)?;
    /// let late = closing.next().ok_or("no stanza came")?;
    /// assert_eq!(body(&late).as_deref(), Some("Good night, & good luck!"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// This function returns no error; its reader does so as an event, in two cases:
    ///
    /// - The stanza is not namespace-well-formed, or has an attribute twice. (That it is well-formed was checked before.)
    /// - The reader comes to an element that is nested deeper than 100 levels, or for which the stanza has declared more than
    ///   32 namespaces or 4 KiB of them. The `xml` crate copies all namespaces in scope for each element, so without these
    ///   bounds a peer could cause any amount of work. With them, a byte costs about a microsecond at most, and twice as many
    ///   bytes cost twice as much.
    pub fn reader(&self) -> EventReader<impl Read + '_> {
        reader_of(&self.header, self.as_str())
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
    use xml_rs::reader::XmlEvent;

    use super::*;

    fn stanza(xml: &str, header: &[u8]) -> Stanza {
        Stanza::lent(xml, &Scope::of(header)).into_owned()
    }

    fn first_name(stanza: &Stanza) -> String {
        match stanza.reader().next() {
            Ok(XmlEvent::StartElement { name, .. }) => name.to_string(),
            other => panic!("{other:?}"),
        }
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
    fn a_reader_stops_where_it_would_become_too_dear() {
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        let declared = |count: usize| {
            let declarations: String = (0..count).map(|number| format!(" xmlns:a{number}='b'")).collect();
            format!("<a{declarations}><b/></a>")
        };
        let long = |length: usize| format!("<a xmlns='{}'><b/></a>", "x".repeat(length));
        let read = |xml: &str| stanza(xml, b"").reader().into_iter().collect::<Result<Vec<_>, _>>();
        for xml in [nested(100), declared(32), long(4096), "<a/>".to_owned()] {
            assert!(read(&xml).is_ok(), "{xml}");
        }
        for xml in [nested(101), declared(33), long(4097)] {
            let error = read(&xml).unwrap_err();
            assert!(error.to_string().contains("nested too deep, or too many namespaces"), "{error}: {xml}");
        }
        let siblings = format!("<m>{}</m>", declared(32).repeat(3));
        assert!(read(&siblings).is_ok(), "what is not in scope any more does not count");
        let events = stanza(&format!("<m><x/>{}</m>", declared(33)), b"").reader().into_iter().count();
        assert_eq!(events, 4, "what stands in front of it is read: m, x, its end, the error");
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
    fn a_stanza_knows_its_attributes() {
        let xml = "<iq xml:lang='de' a:type='no' type=\"result\"\n\tid = 'a\"&amp;&#x3c;&lt;é' to='\"' xmlns='urn:a'><b from='x'/></iq>";
        let stanza = stanza(xml, b"");
        for (name, value) in [
            ("type", Some("result")),
            ("id", Some("a\"&<<é")),
            ("to", Some("\"")),
            ("xml:lang", Some("de")),
            ("a:type", Some("no")),
            ("lang", None),
            ("from", None),
            ("", None),
        ] {
            assert_eq!(stanza.attribute(name).as_deref(), value, "{name}");
        }
        assert!(matches!(stanza.attribute("type"), Some(Cow::Borrowed(_))), "what needs no decoding is not copied");
        assert_eq!(super::tests::stanza("<a b='>' c='/'/>", b"").attribute("c").as_deref(), Some("/"));
        assert_eq!(super::tests::stanza("<a/>", b"").attribute("c"), None);
    }

    #[test]
    fn a_stanza_knows_its_namespaces() {
        let server = b"<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'>";
        let of = |xml, header: &[u8]| stanza(xml, header).namespace().map(Cow::into_owned);
        for (xml, header, expected) in [
            ("<message/>", &b""[..], Some("jabber:client")),
            ("<stream:features/>", b"", Some("http://etherx.jabber.org/streams")),
            ("<message/>", server, Some("jabber:server")),
            ("<db:result/>", server, Some("jabber:server:dialback")),
            ("<a xmlns='urn:&#x61;'/>", server, Some("urn:a")),
            ("<db:a xmlns:db='urn:b'><db:c/></db:a>", server, Some("urn:b")),
            ("<a xmlns=''/>", server, Some("")),
            ("<x:a/>", server, None),
            ("<stream:error/>", server, None),
            ("<a/>", b"<s:stream xmlns:s='http://etherx.jabber.org/streams'>", Some("")),
        ] {
            assert_eq!(of(xml, header).as_deref(), expected, "{xml} in {}", String::from_utf8_lossy(header));
        }
        assert_eq!(stanza("<a xmlns='urn:a'/>", server).default_namespace(), "jabber:server");
        assert_eq!(stanza("<a/>", b"").default_namespace(), "jabber:client");
        assert_eq!(stanza("<a/>", b"<s:stream xmlns:s='http://etherx.jabber.org/streams'>").default_namespace(), "");
        let again = stanza("<a/>", server).stream_start_tag();
        assert_eq!(stanza("<db:a/>", again.as_bytes()), stanza("<db:a/>", server), "{again}");
    }

    #[test]
    #[cfg(feature = "batch")]
    fn a_lent_stanza_is_like_one_that_is_owned() {
        let header = b"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>";
        let lent = Stanza::lent("<db:result/>", &Scope::of(header));
        assert_eq!((lent.name(), lent.as_bytes()), ("result", "<db:result/>".as_bytes()));
        assert_eq!((lent.to_string(), format!("{lent:?}")), ("<db:result/>".into(), "Stanza(\"<db:result/>\")".into()));
        assert_eq!(lent.into_owned(), stanza("<db:result/>", header));
    }
}
