//! Which namespaces are in scope of a stanza, as far as the library needs to know.

use std::{borrow::Cow, fmt::Write, sync::Arc};

use super::walk::{Piece, Tag, Walk, split};

/// The namespace of the root, of its error and of its features (RFC 6120 section 4.8.1).
pub(crate) const NS_STREAMS: &str = "http://etherx.jabber.org/streams";
/// The namespace of `xml:lang`.
pub(super) const NS_XML: &str = "http://www.w3.org/XML/1998/namespace";
/// What nearly every stream declares. It counts when the application has read the header, and did not pass it on.
const USUAL: [(&str, &str); 2] = [("", "jabber:client"), ("stream", NS_STREAMS)];
const USUAL_ROOT: &str = "stream:stream";
/// How many prefixes are kept of one tag, beside its default namespace and its own prefix. Real streams declare up to five.
const MAX_PREFIXES: usize = 16;
/// The longest prefix, namespace or root that is kept, in bytes.
const MAX_LENGTH: usize = 256;

/// What the header of a stream puts in scope of its stanzas. Few declarations are kept, however many the peer has sent, so
/// that they make no stanza dearer. The default is the usual header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scope(Option<Arc<Root>>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Root {
    name: Box<str>,
    declarations: Declarations,
}

impl Scope {
    /// Reads the header of a stream. The usual header counts instead when `header` is missing, is an empty tag, or does not
    /// declare its own prefix.
    pub(crate) fn of(header: &[u8]) -> Self {
        let header = std::str::from_utf8(header).unwrap_or_default();
        let Some(Piece::Start(tag)) = Walk::new(header).next() else { return Self::default() };
        let declarations = Declarations::of(&tag);
        let is_bound = tag.prefix().is_empty() || declarations.find(tag.prefix()).is_some();
        let usable = is_bound && !tag.empty && !tag.name.is_empty() && tag.name.len() <= MAX_LENGTH;
        Self(usable.then(|| Arc::new(Root { name: tag.name.into(), declarations })))
    }

    /// The namespace of a prefix.
    pub(super) fn find(&self, prefix: &str) -> Option<&str> {
        match &self.0 {
            Some(root) => root.declarations.find(prefix),
            None => USUAL.iter().find(|(declared, _)| *declared == prefix).map(|(_, namespace)| *namespace),
        }
    }

    /// A start tag that puts the same in scope; empty when the header is unknown.
    pub(crate) fn start_tag(&self) -> String {
        if self.0.is_some() { self.tags().0 } else { String::new() }
    }

    /// A start tag and an end tag that put the same in scope.
    pub(super) fn tags(&self) -> (String, String) {
        let root = self.0.as_ref().map_or(USUAL_ROOT, |root| &root.name);
        let mut start = format!("<{root}");
        let mut declare = |prefix: &str, namespace: &str| {
            let colon = if prefix.is_empty() { "" } else { ":" };
            let namespace = namespace.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;");
            let _ = write!(start, " xmlns{colon}{prefix}='{namespace}'");
        };
        match &self.0 {
            Some(root) => root.declarations.0.iter().for_each(|(prefix, namespace)| declare(prefix, namespace)),
            None => USUAL.iter().for_each(|(prefix, namespace)| declare(prefix, namespace)),
        }
        (start + ">", format!("</{root}>"))
    }
}

/// What one tag declares: its default namespace, its own prefix, and the first [`MAX_PREFIXES`] others.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Declarations(Vec<(Box<str>, Box<str>)>);

impl Declarations {
    pub(super) fn of(tag: &Tag) -> Self {
        let own = tag.prefix();
        let mut declarations = Self::default();
        let mut others = 0;
        for (prefix, namespace) in tag.declarations() {
            let is_other = !prefix.is_empty() && prefix != own;
            if is_other && (others == MAX_PREFIXES || !is_prefix(prefix)) || declarations.find(prefix).is_some() {
                continue;
            }
            let namespace = namespace.decode();
            // Only a default namespace may be taken back (Namespaces in XML 1.0 section 5).
            let is_valid = (!namespace.is_empty() || prefix.is_empty()) && !namespace.contains(['\t', '\n', '\r']);
            if is_valid && prefix.len().max(namespace.len()) <= MAX_LENGTH {
                declarations.0.push((prefix.into(), namespace.into()));
                others += usize::from(is_other);
            }
        }
        declarations
    }

    /// The namespace that this tag declares for a prefix.
    pub(super) fn find(&self, prefix: &str) -> Option<&str> {
        self.0.iter().find(|(declared, _)| **declared == *prefix).map(|(_, namespace)| &**namespace)
    }
}

/// Whether a prefix has no colon and is not reserved.
fn is_prefix(prefix: &str) -> bool {
    !prefix.contains(':') && prefix != "xml" && prefix != "xmlns"
}

/// The namespace of an element. It is declared by the element's own tag, by a tag around it (the innermost is the last), or by
/// the header. `None` when none of them declares its prefix.
pub(super) fn namespace<'a, 'd: 'a>(
    tag: &Tag<'a>,
    around: impl DoubleEndedIterator<Item = &'d Declarations>,
    header: &'a Scope,
) -> Option<Cow<'a, str>> {
    let prefix = split(tag.name).0;
    if let Some((_, namespace)) = tag.declarations().find(|(declared, _)| *declared == prefix) {
        return Some(namespace.decode());
    }
    let found = around.rev().find_map(|declarations| declarations.find(prefix)).or_else(|| header.find(prefix));
    match found {
        Some(namespace) => Some(Cow::Borrowed(namespace)),
        None => prefix.is_empty().then_some(Cow::Borrowed("")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_reduced_to_what_matters() {
        let many: String = (0..100_000).map(|i| format!(" xmlns:a{i}='b'")).collect();
        let header = format!("<s:stream{many} xmlns='jabber:server' xmlns:s='{NS_STREAMS}' xmlns:z='z'>");
        let scope = Scope::of(header.as_bytes());
        assert_eq!(scope.find("s"), Some(NS_STREAMS), "its own prefix, wherever it is declared");
        assert_eq!(scope.find(""), Some("jabber:server"));
        assert_eq!(
            (scope.find("a0"), scope.find("a15"), scope.find("a16"), scope.find("z")),
            (Some("b"), Some("b"), None, None)
        );
        assert!(scope.tags().0.len() < 1000);
    }

    #[test]
    fn what_no_reader_accepts_is_not_put_in_scope() {
        let long = "x".repeat(MAX_LENGTH + 1);
        let header = format!(
            "<s:s xmlns:s='u' xmlns:a:b='u' xmlns:='u' xmlns:xml='u' xmlns:xmlns='u' xmlns:e='' xmlns:long='{long}' \
             xmlns:{long}='u' xmlns:q='&apos;&lt;&amp;\t' xmlns:s='twice'>"
        );
        let (start, end) = Scope::of(header.as_bytes()).tags();
        assert_eq!((start.as_str(), end.as_str()), ("<s:s xmlns:s='u' xmlns:q='&apos;&lt;&amp; '>", "</s:s>"));
    }

    #[test]
    fn a_useless_header_counts_as_the_usual_one() {
        for header in ["", "<a", "<a:b>", "<s/>", "</s>", "<a b='>", "\0", "x", "<stream:stream", "<", "<>"] {
            assert_eq!(Scope::of(header.as_bytes()), Scope::default(), "{header}");
        }
        assert_eq!(Scope::of(b"<a>").find(""), None);
        assert_eq!(Scope::default().find("stream"), Some(NS_STREAMS));
    }
}
