//! What an application may send directly in front of our tag: whole stanzas, and our header if it was never sent.

use super::{Frame, Framer};

/// Where bytes that are sent leave the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// Between two stanzas.
    Between,
    /// Behind the closing tag, with nothing but white space behind it.
    Closed,
    /// Inside an element or a tag; or the bytes are no part of a stream.
    Broken,
}

/// Where `bytes`, whole stanzas and white space, leave the stream whose root has the name `root`. Unless `is_open`, the
/// stream's own header may come first. (A header that was never sent goes out before a stream error: RFC 6120 section
/// 4.9.1.2.)
///
/// With `begun`, the first stanza may have been begun before. Then `bytes` may have end tags without a start tag, and text in
/// front of such an end tag: they belong to elements that are open already. How many are open is unknown, so an end tag that
/// is missing is not noticed.
pub(crate) fn leaves(bytes: &[u8], root: &str, is_open: bool, begun: bool) -> Leaves {
    let read = |bytes| read(if is_open { bytes } else { behind_header(bytes, root) }, root, begun);
    match read(if begun { behind_tag(bytes) } else { bytes }) {
        Leaves::Broken if begun => cdata_end(bytes).map_or(Leaves::Broken, read),
        leaves => leaves,
    }
}

fn read(bytes: &[u8], root: &str, begun: bool) -> Leaves {
    let mut rest = bytes;
    loop {
        // The limit counts for copied stanzas only, and nothing is copied here.
        let mut framer = Framer::inside(Some(root)).limit(0);
        let mut input = rest;
        let is_whole = loop {
            match framer.next(&mut input) {
                None => break true,
                Some(Frame::Stanza(_) | Frame::Oversize(_)) => rest = input,
                Some(_) => break false,
            }
        };
        if is_whole {
            let is_between = framer.between_stanzas() && framer.stray_bytes() == 0;
            return if is_between { Leaves::Between } else { Leaves::Broken };
        }
        let Some((name, behind)) = end_tag(rest, begun) else { return Leaves::Broken };
        match name == root.as_bytes() {
            true if behind.trim_ascii().is_empty() => return Leaves::Closed,
            true => return Leaves::Broken,
            false if !begun => return Leaves::Broken,
            false => rest = behind,
        }
    }
}

/// What comes behind the start tag of the root, if `bytes` begin with one.
fn behind_header<'a>(bytes: &'a [u8], root: &str) -> &'a [u8] {
    let mut framer = Framer::new();
    let mut input = bytes;
    let is_open = matches!(framer.next(&mut input), Some(Frame::Header(header)) if !header.ends_with(b"/>"));
    if is_open && framer.root() == Some(root) { input } else { bytes }
}

/// What comes behind a tag of which only the end is there. An attribute value may contain `>`, but not `<`.
fn behind_tag(bytes: &[u8]) -> &[u8] {
    let tag = bytes.iter().position(|byte| *byte == b'<').unwrap_or(bytes.len());
    let end = bytes[..tag].iter().rposition(|byte| *byte == b'>').map_or(0, |last| last + 1);
    &bytes[end..]
}

/// For a CDATA section of which only the end is there: that end from its last `]` on, and what follows. What is left of the end
/// is text, which needs an element around it, as the section did.
fn cdata_end(bytes: &[u8]) -> Option<&[u8]> {
    let end = find(bytes, b"]]>")?;
    find(&bytes[..end], CDATA).is_none().then(|| &bytes[end + 1..])
}

const CDATA: &[u8] = b"<![CDATA[";

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The name of the next end tag, and what follows the tag. White space may stand before the tag, and with `text` any text.
fn end_tag(mut bytes: &[u8], text: bool) -> Option<(&[u8], &[u8])> {
    loop {
        let start = bytes.iter().position(|byte| *byte == b'<' || !text && !byte.is_ascii_whitespace())?;
        bytes = &bytes[start..];
        if !text || !bytes.starts_with(CDATA) {
            break;
        }
        bytes = &bytes[find(bytes, b"]]>")?..];
    }
    let tag = bytes.strip_prefix(b"</")?;
    let end = tag.iter().position(|byte| *byte == b'>')?;
    Some((tag[..end].trim_ascii_end(), &tag[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::{Leaves::*, *};

    fn whole(xml: &str) -> Leaves {
        leaves(xml.as_bytes(), "stream:stream", false, false)
    }

    fn begun(xml: &str) -> Leaves {
        leaves(xml.as_bytes(), "stream:stream", false, true)
    }

    #[test]
    fn whole_stanzas_leave_the_stream_between_two() {
        for xml in ["", " \n", "<a/>", "<a/> <b>text<c/></b>\n<stream/>", "<a>]]&gt;<![CDATA[<]]></a>"] {
            assert_eq!((whole(xml), begun(xml)), (Between, Between), "{xml}");
        }
        let large = format!("<a>{}</a>", "x".repeat(100_000));
        assert_eq!(whole(&large), Between);
    }

    #[test]
    fn our_own_header_may_come_first() {
        let header = "<?xml version='1.0'?>\n<stream:stream xmlns='jabber:client' id='a>b'>";
        for rest in ["", "<stream:features/>", "<a/> <b/>"] {
            let xml = format!("{header}{rest}");
            assert_eq!((whole(&xml), begun(&xml)), (Between, Between), "{xml}");
            assert_eq!(leaves(xml.as_bytes(), "stream:stream", true, false), Broken, "it is open: {xml}");
            for cut in 1..header.len() {
                assert_eq!(begun(&xml[cut..]), Between, "{}", &xml[cut..]);
            }
        }
        for rest in ["<a>", "text", "<stream:stream>"] {
            let xml = format!("{header}{rest}");
            assert_eq!((whole(&xml), begun(&xml)), (Broken, Broken), "{xml}");
        }
        assert_eq!(whole(&format!("{header}</stream:stream>")), Closed);
        assert_eq!(whole("<a/><stream:stream>"), Broken);
    }

    #[test]
    fn half_a_stanza_and_stray_text_are_no_stanzas() {
        let half = ["<", "<a", "<a>", "<a><b/>", "<a>text", "<a/><b>", "<a/>text", "text", "<a/>text<b/>", "<a></b>"];
        for xml in half.into_iter().chain(["<!-- -->", "<a/><?b?>", "&lt;", "<stream>"]) {
            assert_eq!((whole(xml), begun(xml)), (Broken, Broken), "{xml}");
        }
        let large = format!("<a>{}", "x".repeat(100_000));
        assert_eq!(whole(&large), Broken);
    }

    #[test]
    fn the_rest_of_a_stanza_is_one_where_it_was_begun() {
        let rests = [
            "</a>",
            "text</b></a>",
            "text</b>text<c/></a> <d/>",
            "<b/></a>",
            "/>",
            ">",
            "' id='1'/><b/>",
            "a > b'/>",
            "x='a>b'>text</b ></a>",
            "essage><b/>",
            "a>text</a></b><c/>",
            "if a < b && c]]></a>",
            "<b>]]></a><c/>",
            "<![CDATA[<]]>text<![CDATA[</b>]]></a>",
        ];
        for xml in rests {
            assert_eq!((whole(xml), begun(xml)), (Broken, Between), "{xml}");
        }
        for xml in [
            "text</a",
            "text</a>text",
            "text</a><b>",
            "</a>text<b/>",
            "text",
            "' id='1",
            "<]]>",
            "<]]><b/>",
            "<a><![CDATA[<]]>",
        ] {
            assert_eq!((whole(xml), begun(xml)), (Broken, Broken), "{xml}");
        }
    }

    #[test]
    fn the_end_of_the_stream_is_told_and_nothing_may_follow() {
        for xml in ["</stream:stream>", "<a/></stream:stream >\n"] {
            assert_eq!((whole(xml), begun(xml)), (Closed, Closed), "{xml}");
        }
        assert_eq!(begun("text</a></stream:stream>"), Closed);
        for xml in ["</stream:stream><a/>", "</stream:stream></stream:stream>", "<a></stream:stream>"] {
            assert_eq!((whole(xml), begun(xml)), (Broken, Broken), "{xml}");
        }
        assert_eq!(whole("</stream>"), Broken);
    }

    #[test]
    fn time_is_linear_in_the_length() {
        let rest = "x</a>".repeat(200_000);
        assert_eq!(begun(&rest), Between);
    }
}
