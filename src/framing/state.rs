//! The places in the grammar where the input may be cut.

/// Where in the grammar the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// At the start of the document, after `matched` bytes of a byte order mark.
    Start {
        matched: usize,
    },
    /// Before the root, after an XML declaration or white space.
    Prolog,
    /// Between tags; at depth 1, between stanzas.
    Text,
    /// After `<`. `declaration`: it is the first byte of the document, so an XML declaration may follow.
    Markup {
        declaration: bool,
    },
    /// In the name of a start tag.
    StartName,
    /// After the element's name or an attribute value. White space must come before the next attribute.
    StartTag,
    /// After white space in a start tag.
    Attributes,
    AttributeName,
    /// Before the `=` of an attribute.
    Equals,
    /// Before the opening quote of an attribute value.
    Quote,
    /// In an attribute value, before its closing `quote`.
    Value {
        quote: u8,
    },
    /// After `/` in a start tag.
    EmptyTag,
    /// In the name of an end tag. Its first `matched` bytes are those of the start tag.
    EndName {
        matched: usize,
    },
    /// In the name of an end tag that no name in the stack can be compared with, such as that of the root.
    FreeEndName,
    /// After the name of an end tag.
    EndTag,
    /// After `<!`.
    Bang,
    /// After `matched` bytes of `<![CDATA[`.
    CdataStart {
        matched: usize,
    },
    /// In a CDATA section.
    Cdata,
    /// After `<?` and `matched` bytes of `xml`. `declaration`: an XML declaration may stand here.
    Target {
        matched: usize,
        declaration: bool,
    },
    /// In the XML declaration.
    Declaration,
}
