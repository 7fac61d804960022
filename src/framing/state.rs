//! The places in the grammar where the input may be cut.

/// Where in the grammar the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// At the start of the document, with so much of a byte order mark.
    Start {
        matched: usize,
    },
    /// Before the root, and after something else.
    Prolog,
    /// Between tags; at depth 1, between stanzas.
    Text,
    /// After `<`; `declaration`: which is the first thing in the document.
    Markup {
        declaration: bool,
    },
    /// In the name of a start tag.
    StartName,
    /// After the element's name or an attribute value: white space must come before the next attribute.
    StartTag,
    /// After white space in a start tag.
    Attributes,
    AttributeName,
    /// Before the `=` of an attribute.
    Equals,
    /// Before its opening quote.
    Quote,
    /// Before its closing `quote`.
    Value {
        quote: u8,
    },
    /// After `/` in a start tag.
    EmptyTag,
    /// In the name of an end tag, of which `matched` bytes were those of the start tag.
    EndName {
        matched: usize,
    },
    /// In the name of an end tag whose start tag's name is not in the stack, such as the root's.
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
    /// After `<?` and `matched` bytes of `xml`.
    Target {
        matched: usize,
        declaration: bool,
    },
    /// In the XML declaration.
    Declaration,
}
