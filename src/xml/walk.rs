//! A walk over an element that the framer has found well-formed.
//!
//! The library reads all that it needs to know of the peer's XML by this walk. Each byte is looked at a fixed number of times,
//! whatever the peer sends. (The `xml` crate copies every namespace in scope for every element, so only applications use it.)
//! XML that is not well-formed ends the walk early, and harms nothing.

use std::borrow::Cow;

/// What comes next in an element.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'a> {
    /// A start tag, or an empty tag. No `End` follows an empty tag.
    Start(Tag<'a>),
    End,
    Text(Text<'a>),
}

/// The pieces of an element, in order.
pub(super) struct Walk<'a> {
    rest: &'a str,
}

impl<'a> Walk<'a> {
    pub(super) fn new(xml: &'a str) -> Self {
        Self { rest: xml }
    }

    /// The text that has not been walked over yet.
    pub(super) fn rest(&self) -> &'a str {
        self.rest
    }

    fn piece(&mut self) -> Option<Piece<'a>> {
        if let Some(rest) = self.rest.strip_prefix("<![CDATA[") {
            let (raw, behind) = rest.split_once("]]>")?;
            self.rest = behind;
            return Some(Piece::Text(Text { raw, kind: Kind::Cdata }));
        }
        if let Some(rest) = self.rest.strip_prefix("</") {
            (_, self.rest) = rest.split_once('>')?;
            return Some(Piece::End);
        }
        if let Some(rest) = self.rest.strip_prefix('<') {
            let (inside, behind) = rest.split_at(tag_length(rest)?);
            self.rest = &behind[1..];
            return Some(Piece::Start(Tag::new(inside)));
        }
        let (raw, rest) = self.rest.split_at(self.rest.find('<').unwrap_or(self.rest.len()));
        self.rest = rest;
        (!raw.is_empty()).then_some(Piece::Text(Text { raw, kind: Kind::Characters }))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let piece = self.piece();
        if piece.is_none() {
            self.rest = "";
        }
        piece
    }
}

/// Length of a tag without its `<` and `>`. A `>` in an attribute value does not end the tag.
fn tag_length(tag: &str) -> Option<usize> {
    let bytes = tag.as_bytes();
    let mut at = 0;
    loop {
        at += position(&bytes[at..], |byte| matches!(byte, b'>' | b'\'' | b'"'))?;
        if bytes[at] == b'>' {
            return Some(at);
        }
        at += 2 + position(&bytes[at + 1..], |byte| byte == bytes[at])?;
    }
}

fn position(bytes: &[u8], is_wanted: impl Fn(u8) -> bool) -> Option<usize> {
    bytes.iter().position(|byte| is_wanted(*byte))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A start tag or an empty tag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag<'a> {
    /// The qualified name.
    pub(super) name: &'a str,
    pub(super) empty: bool,
    rest: &'a str,
}

impl<'a> Tag<'a> {
    fn new(inside: &'a str) -> Self {
        let (inside, empty) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
        let (name, rest) = inside.split_at(position(inside.as_bytes(), is_space).unwrap_or(inside.len()));
        Self { name, empty, rest }
    }

    pub(super) fn prefix(&self) -> &'a str {
        split(self.name).0
    }

    pub(super) fn local_name(&self) -> &'a str {
        split(self.name).1
    }

    /// The attributes in the order in which they were written, declarations of namespaces included.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (&'a str, Text<'a>)> + use<'a> {
        let mut rest = self.rest;
        std::iter::from_fn(move || {
            let bytes = rest.as_bytes();
            let start = position(bytes, |byte| !is_space(byte))?;
            let name = start + position(&bytes[start..], |byte| byte == b'=' || is_space(byte))?;
            let open = name + position(&bytes[name..], |byte| byte != b'=' && !is_space(byte))?;
            let quote = bytes[open];
            if !matches!(quote, b'\'' | b'"') {
                return None;
            }
            let close = open + 1 + position(&bytes[open + 1..], |byte| byte == quote)?;
            let attribute = (&rest[start..name], Text { raw: &rest[open + 1..close], kind: Kind::Value });
            rest = &rest[close + 1..];
            Some(attribute)
        })
    }

    /// The prefixes that the tag declares, with their namespaces; the default namespace has the prefix "".
    pub(super) fn declarations(&self) -> impl Iterator<Item = (&'a str, Text<'a>)> + use<'a> {
        self.attributes().filter_map(|(name, value)| Some((declared(name)?, value)))
    }
}

/// The prefix and the local name of a qualified name.
pub(super) fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or(("", name))
}

/// What an attribute of this name declares: a prefix, or "" for the default namespace.
pub(super) fn declared(attribute: &str) -> Option<&str> {
    match attribute.strip_prefix("xmlns")? {
        "" => Some(""),
        rest => rest.strip_prefix(':').filter(|prefix| !prefix.is_empty()),
    }
}

/// Character data or an attribute value, as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    raw: &'a str,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Characters,
    Cdata,
    Value,
}

impl<'a> Text<'a> {
    /// Its length in bytes as it was written.
    pub(super) fn written(self) -> usize {
        self.raw.len()
    }

    /// The text that it stands for, with references replaced.
    pub(super) fn decode(self) -> Cow<'a, str> {
        let plain = !self.raw.bytes().any(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r'));
        if plain {
            return Cow::Borrowed(self.raw);
        }
        let mut text = String::new();
        self.append_to(&mut text, usize::MAX);
        Cow::Owned(text)
    }

    /// Appends the text that it stands for to `text`, in whole characters, until `text` has `limit` bytes.
    pub(super) fn append_to(self, text: &mut String, limit: usize) {
        let mut rest = self.raw;
        while let Some(first) = rest.chars().next() {
            let (meant, length) = match first {
                '&' if self.kind != Kind::Cdata => match reference(rest) {
                    Some(found) => found,
                    None => return, // not well-formed
                },
                // Ends of lines (XML 1.0 section 2.11), and white space in values (section 3.3.3).
                '\r' => {
                    let length = if rest.starts_with("\r\n") { 2 } else { 1 };
                    (if self.kind == Kind::Value { ' ' } else { '\n' }, length)
                }
                '\t' | '\n' if self.kind == Kind::Value => (' ', 1),
                other => (other, other.len_utf8()),
            };
            if text.len() + meant.len_utf8() > limit {
                return;
            }
            text.push(meant);
            rest = &rest[length..];
        }
    }
}

/// The character that a reference stands for, and the reference's length.
fn reference(text: &str) -> Option<(char, usize)> {
    let (name, _) = text[1..].split_once(';')?;
    let meant = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "apos" => '\'',
        "quot" => '"',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((meant, name.len() + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(xml: &str) -> Vec<String> {
        let describe = |piece| match piece {
            Piece::Start(tag) => {
                let attributes: String =
                    tag.attributes().map(|(name, value)| format!(" {name}=[{}]", value.decode())).collect();
                format!("{}{attributes}{}", tag.name, if tag.empty { "/" } else { "" })
            }
            Piece::End => "end".to_owned(),
            Piece::Text(text) => format!("[{}]", text.decode()),
        };
        Walk::new(xml).map(describe).collect()
    }

    #[test]
    fn elements_and_text_come_in_order() {
        let xml = "<a b='1' c = \"2\"\n><d/>x<![CDATA[<y>]]><e:f g='>'  >&lt;</e:f\t></a>";
        let expected = ["a b=[1] c=[2]", "d/", "[x]", "[<y>]", "e:f g=[>]", "[<]", "end", "end"];
        assert_eq!(describe(xml), expected);
        assert_eq!(describe("<a/ b='/'/>"), ["a/ b=[/]/"], "whatever is not well-formed");
        assert_eq!(describe("<a b='/'/>"), ["a b=[/]/"]);
    }

    #[test]
    fn text_is_what_xml_says_it_means() {
        let text = "a\r\nb\rc\td&#13;&#xA;&amp;lt;&apos;&quot;&gt;&#x1F600;é";
        assert_eq!(describe(text), ["[a\nb\nc\td\r\n&lt;'\">\u{1f600}é]"]);
        assert_eq!(describe(&format!("<a b=\"{text}\"/>")), ["a b=[a b c d\r\n&lt;'\">\u{1f600}é]/"]);
        assert_eq!(describe("<![CDATA[a\r\nb\rc&amp;]]>"), ["[a\nb\nc&amp;]"]);
    }

    #[test]
    fn text_is_cut_between_characters() {
        let mut text = String::from("x");
        Text { raw: "éé&amp;é", kind: Kind::Characters }.append_to(&mut text, 6);
        assert_eq!(text, "xéé&");
    }

    #[test]
    fn what_is_not_well_formed_ends_the_walk() {
        for xml in ["", "<", "<a", "<a b='", "<a b='>", "</", "<![CDATA[x", "<![CDATA[x]]"] {
            assert!(describe(xml).is_empty(), "{xml}");
        }
        for (xml, pieces) in [("<a><b", 1), ("x<", 1), ("<a b c='1'>", 1), ("<a b=c>&x;&#0;&", 2), ("<!-- -->", 1)] {
            assert_eq!(describe(xml).len(), pieces, "{xml}");
        }
    }
}
