//! The framer: the same in pieces of any size, and the same as other parsers see it.

use std::iter;

use xml_rs::reader::{EventReader, XmlEvent};
use xmpp_close::{Frame, Framer, MIN_STANZA_LIMIT, Malformed};

use super::bytes::Dice;
#[cfg(unix)]
use super::expat;

/// A frame, and the byte behind it; where something stops being XML is not part of the promise.
#[derive(Debug, PartialEq)]
enum Seen {
    Header(usize, Vec<u8>),
    Stanza(usize, Vec<u8>),
    Oversize(usize, u64),
    End(usize),
    Malformed(Malformed),
}

/// What is seen in `data` from `start` on, when it comes in `pieces`.
fn see<'a>(framer: &mut Framer, start: usize, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Seen> {
    let (mut fed, mut seen) = (start, Vec::new());
    for piece in pieces {
        let mut rest = piece;
        while let Some(frame) = framer.next(&mut rest) {
            let at = fed + piece.len() - rest.len();
            seen.push(match frame {
                Frame::Header(xml) => Seen::Header(at, xml.to_vec()),
                Frame::Stanza(xml) => Seen::Stanza(at, xml.to_vec()),
                Frame::Oversize(length) => Seen::Oversize(at, length),
                Frame::End => Seen::End(at),
                Frame::Malformed(why) => Seen::Malformed(why),
                other => panic!("{other:?}"),
            });
        }
        if framer.is_over() {
            assert!(!framer.between_stanzas());
            return seen;
        }
        assert!(rest.is_empty(), "input is left although the stream goes on");
        assert!(framer.buffered() <= MIN_STANZA_LIMIT, "{} bytes are held", framer.buffered());
        fed += piece.len();
    }
    seen
}

fn random_pieces(mut rest: &[u8], mut dice: Dice) -> impl Iterator<Item = &[u8]> {
    let largest = [2, 7, 60, 900][dice.below(4)];
    iter::from_fn(move || {
        let (piece, left) = rest.split_at_checked(1 + dice.below(largest)).unwrap_or((rest, &[]));
        rest = left;
        (!piece.is_empty()).then_some(piece)
    })
}

pub fn framing(data: &[u8]) {
    let new = || Framer::new().limit(MIN_STANZA_LIMIT);
    let mut framer = new();
    let whole = see(&mut framer, 0, iter::once(data));
    for frame in &whole {
        if let Seen::Header(at, xml) | Seen::Stanza(at, xml) = frame {
            assert!(data[..*at].ends_with(xml) && std::str::from_utf8(xml).is_ok(), "{frame:?}");
        }
    }
    check_pieces(&framer, &whole, new(), data.chunks(1));
    check_pieces(&framer, &whole, new(), random_pieces(data, Dice::of(data)));
    if let Some(Seen::Malformed(why)) = whole.last() {
        assert!(!why.to_string().is_empty());
    }
    // F-17: after a restart all is as before it, but for white space in front, which belongs to the document before.
    if !data.first().is_some_and(u8::is_ascii_whitespace) {
        let (root, stray) = (framer.root().map(str::to_owned), framer.stray_bytes());
        framer.restart();
        assert_eq!(see(&mut framer, 0, iter::once(data)), whole);
        assert_eq!((framer.root(), framer.stray_bytes()), (root.as_deref(), 2 * stray));
    }
    // F-28: someone else may read the header.
    if let Some(Seen::Header(at, xml)) = whole.first() {
        if !xml.ends_with(b"/>") {
            let mut inside = Framer::inside(framer.root()).limit(MIN_STANZA_LIMIT);
            assert_eq!(see(&mut inside, *at, iter::once(&data[*at..])), whole[1..]);
        }
    }
    agree(data);
}

fn check_pieces<'a>(one: &Framer, whole: &[Seen], mut other: Framer, pieces: impl Iterator<Item = &'a [u8]>) {
    assert_eq!(see(&mut other, 0, pieces), whole);
    assert_eq!((one.root(), one.between_stanzas()), (other.root(), other.between_stanzas()));
    assert_eq!(one.malformed(), other.malformed());
    if one.malformed().is_none() {
        assert_eq!(one.stray_bytes(), other.stray_bytes());
    }
}

/// Something that ended, and the byte behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    Header(usize),
    Stanza(usize),
    End(usize),
}

/// There is no expat for Windows among Debian's packages.
#[cfg(unix)]
fn agree_with_expat(data: &[u8], ours: &[Mark], why: Option<Malformed>, unchecked: bool) {
    let (theirs, error) = expat::marks(data);
    let stricter = match error {
        4 => !data.is_ascii(), // XML_ERROR_INVALID_TOKEN: it knows the names of XML's fourth edition
        7 => unchecked,        // XML_ERROR_TAG_MISMATCH
        8 => true,             // XML_ERROR_DUPLICATE_ATTRIBUTE, F-26
        _ => false,
    };
    let agrees = match why {
        _ if stricter && ours.starts_with(&theirs) => true,
        None => *ours == theirs,
        Some(Malformed::NotWellFormed) if !ours.is_empty() => *ours == theirs,
        // Restricted by RFC 6120, or a version of XML other than 1.
        Some(_) => theirs.starts_with(ours),
    };
    assert!(agrees, "{:?}: {ours:?} {why:?}, expat: {theirs:?} {error}", String::from_utf8_lossy(data));
}

fn agree(data: &[u8]) {
    let mut framer = Framer::default().limit(usize::MAX);
    let (mut rest, mut ours) = (data, Vec::new());
    while let Some(frame) = framer.next(&mut rest) {
        let at = data.len() - rest.len();
        match frame {
            Frame::Header(_) => ours.push(Mark::Header(at)),
            Frame::Stanza(_) | Frame::Oversize(_) => ours.push(Mark::Stanza(at)),
            Frame::End => ours.push(Mark::End(at)),
            _ => {}
        }
    }
    // Names are not remembered at any depth and length.
    let unchecked = data.len() > 4096 || data.iter().filter(|&&byte| byte == b'<').count() > 128;
    let why = framer.malformed();
    #[cfg(unix)]
    agree_with_expat(data, &ours, why, unchecked);

    // Its time grows with the square of the depth; and it does not count a byte order mark.
    if data.len() <= 4096 && !data.starts_with(b"\xef") {
        let (theirs, error) = marks_of_the_xml_crate(data);
        // It then refuses U+007F to U+009F; for XMPP, which is XML 1.0, that version means nothing.
        let is_1_1 = data.trim_ascii_start().starts_with(b"<?xml") && data.windows(3).any(|part| part == b"1.1");
        let stricter = unchecked
            || is_1_1
            || ["prefix", "namespace", "ttribute", "ualified name"].iter().any(|word| error.contains(word));
        let lenient = why.is_some();
        let agrees = ours == theirs || stricter && ours.starts_with(&theirs) || lenient && theirs.starts_with(&ours);
        assert!(agrees, "{:?}: {ours:?} {why:?}, xml: {theirs:?} {error}", String::from_utf8_lossy(data));
    }
}

/// The crate reads byte by byte and not ahead, so what is left of its source tells where it is.
fn marks_of_the_xml_crate(data: &[u8]) -> (Vec<Mark>, String) {
    let (mut reader, mut depth, mut marks) = (EventReader::new(data), 0, Vec::new());
    loop {
        let event = reader.next();
        let at = data.len() - reader.source().len();
        match event {
            Ok(XmlEvent::StartElement { .. }) => {
                depth += 1;
                if depth == 1 {
                    marks.push(Mark::Header(at));
                }
            }
            Ok(XmlEvent::EndElement { .. }) => {
                depth -= 1;
                match depth {
                    0 => return (marks.into_iter().chain([Mark::End(at)]).collect(), String::new()),
                    1 => marks.push(Mark::Stanza(at)),
                    _ => {}
                }
            }
            Ok(XmlEvent::EndDocument) => return (marks, String::new()),
            Ok(_) => {}
            Err(error) => return (marks, error.to_string()),
        }
    }
}
