//! The framer against the framing cases of docs/requirements.md, against every way to cut them, and against the `xml`
//! crate.

#[path = "../data/framing/cases.rs"]
mod cases;
#[path = "../data/framing/landmarks.rs"]
mod landmarks;
mod limits;
#[path = "../data/framing/random.rs"]
mod random;

use cases::Case;
use landmarks::{landmarks_of_the_framer, landmarks_of_the_xml_crate};
use random::Random;
use xmpp_close::{Frame, Framer, Malformed, StreamError};

/// A [`Frame`] that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Header(String),
    Stanza(String),
    Oversize(u64),
    End,
    Bad(Malformed),
}

impl From<Frame<'_>> for Seen {
    fn from(frame: Frame<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("frames are UTF-8");
        match frame {
            Frame::Header(tag) => Self::Header(text(tag)),
            Frame::Stanza(element) => Self::Stanza(text(element)),
            Frame::Oversize(length) => Self::Oversize(length),
            Frame::End => Self::End,
            Frame::Malformed(why) => Self::Bad(why),
            other => panic!("{other:?}"),
        }
    }
}

/// Feeds a piece; with what was left of it when the stream was over.
fn feed<'i>(framer: &mut Framer, mut piece: &'i [u8], seen: &mut Vec<Seen>) -> &'i [u8] {
    while let Some(frame) = framer.next(&mut piece) {
        seen.push(frame.into());
    }
    assert!(piece.is_empty() || framer.is_over(), "input is left although the stream goes on");
    piece
}

/// What a framer sees in the pieces, and what is left over when it has seen the end.
fn see<'i>(framer: &mut Framer, pieces: impl IntoIterator<Item = &'i [u8]>) -> (Vec<Seen>, Vec<u8>) {
    let (mut seen, mut left) = (Vec::new(), Vec::new());
    for piece in pieces {
        left.extend_from_slice(feed(framer, piece, &mut seen));
    }
    (seen, left)
}

fn check<'i>(case: &Case, pieces: impl IntoIterator<Item = &'i [u8]>, how: impl std::fmt::Debug) {
    let mut framer = Framer::new();
    let (seen, left) = see(&mut framer, pieces);
    let input = String::from_utf8_lossy(&case.input);
    assert_eq!(seen, case.seen, "{}: {input:?} cut at {how:?}", case.id);
    if !matches!(seen.last(), Some(Seen::Bad(_))) {
        assert_eq!(String::from_utf8_lossy(&left), case.left, "{}: {input:?} cut at {how:?}", case.id);
        assert_eq!(framer.stray_bytes(), case.stray, "{}: {input:?} cut at {how:?}", case.id);
    }
    let why = seen.last().and_then(|last| if let Seen::Bad(why) = last { Some(*why) } else { None });
    assert_eq!(framer.malformed(), why, "{}", case.id);
}

#[test]
fn every_case_is_seen_whole_and_byte_by_byte() {
    for case in cases::all() {
        check(&case, [&case.input[..]], "nothing");
        check(&case, case.input.chunks(1), "every byte");
    }
}

#[test]
fn every_case_is_seen_the_same_at_every_cut() {
    for case in cases::all() {
        for cut in 0..=case.input.len() {
            let (first, second) = case.input.split_at(cut);
            check(&case, [first, second], cut);
        }
    }
}

#[test]
fn every_short_case_is_seen_the_same_at_every_pair_of_cuts() {
    for case in cases::all().iter().filter(|case| case.input.len() <= 64) {
        for one in 0..=case.input.len() {
            for two in one..=case.input.len() {
                check(case, [&case.input[..one], &case.input[one..two], &case.input[two..]], (one, two));
            }
        }
    }
}

#[test]
fn the_xml_crate_sees_the_same_except_where_a_case_says_why_not() {
    let mut wrong = Vec::new();
    for case in cases::all() {
        let (ours, theirs) = (landmarks_of_the_framer(&case.input), landmarks_of_the_xml_crate(&case.input));
        if (ours == theirs) != case.differs.is_none() {
            let input = String::from_utf8_lossy(&case.input);
            wrong.push(format!("{}: {input:?}: {ours:?}, the xml crate: {theirs:?}", case.id));
        }
    }
    assert!(wrong.is_empty(), "an unexplained difference, or an explanation without one:\n{}", wrong.join("\n"));
}

#[test]
fn random_streams_are_seen_as_they_were_made_however_they_are_cut() {
    let mut random = Random(1);
    for round in 0..2_000 {
        let (xml, expected) = random.stream();
        let largest = [1, 3, 20, 200, 4096][round % 5];
        let pieces = random.cut(xml.as_bytes(), largest);
        let (seen, left) = see(&mut Framer::new(), pieces);
        assert_eq!((seen, left), (expected, vec![]), "{xml:?} in pieces of up to {largest}");
        if !xml.starts_with('\u{feff}') {
            assert_eq!(landmarks_of_the_framer(xml.as_bytes()), landmarks_of_the_xml_crate(xml.as_bytes()), "{xml:?}");
        }
    }
}

#[test]
fn damaged_streams_are_seen_the_same_however_they_are_cut() {
    let mut random = Random(2);
    for _ in 0..5_000 {
        let mut xml = random.stream().0.into_bytes();
        for _ in 0..1 + random.below(3) {
            let (place, with) = (random.below(xml.len()), b"<>/'\"&;=]![?- x1:\n\0\x80\xc3\xff"[random.below(22)]);
            match random.below(3) {
                0 => xml[place] = with,
                1 => xml.insert(place, with),
                _ => drop(xml.remove(place)),
            }
        }
        let (whole, _) = see(&mut Framer::new(), [&xml[..]]);
        let (bytes, _) = see(&mut Framer::new(), xml.chunks(1));
        assert_eq!(whole, bytes, "{:?} byte by byte", String::from_utf8_lossy(&xml));
        let pieces = random.cut(&xml, 30);
        assert_eq!(whole, see(&mut Framer::new(), pieces).0, "{:?}", String::from_utf8_lossy(&xml));
    }
}

#[test]
fn a_framer_starts_in_mid_stream() {
    // F-28: the header was read by someone else.
    let input = "<a/>x</stream:stream>".as_bytes();
    let no_end = Seen::Bad(Malformed::NotWellFormed);
    for (root, end) in [(Some("stream:stream"), Seen::End), (Some("s:stream"), no_end), (None, Seen::End)] {
        for size in [1, input.len()] {
            let mut framer = Framer::inside(root);
            assert!(framer.between_stanzas());
            assert_eq!(framer.root(), root);
            let (seen, _) = see(&mut framer, input.chunks(size));
            assert_eq!(seen, [Seen::Stanza("<a/>".into()), end.clone()], "{root:?}");
            assert_eq!(framer.stray_bytes(), 1);
        }
    }
    let refused = see(&mut Framer::inside(None), [&b"<?xml version='1.0'?><s>"[..]]).0;
    assert_eq!(refused, [Seen::Bad(Malformed::NotWellFormed)]);
}

#[test]
fn an_end_tag_that_is_not_the_roots_is_malformed_wherever_the_stream_was_joined() {
    // F-21: the root is known by its header, by its name, or not at all: then "stream" with any prefix closes it.
    let header = "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>";
    let cases: [(&str, [bool; 3]); 14] = [
        ("</stream:stream>", [true; 3]),
        ("</stream:stream \n>", [true; 3]),
        ("</stream>", [false, false, true]),
        ("</s:stream>", [false, false, true]),
        ("</ströme:stream>", [false, false, true]),
        ("</x>", [false; 3]),
        ("</message>", [false; 3]),
        ("</body>", [false; 3]),
        ("</xstream>", [false; 3]),
        ("</streamx>", [false; 3]),
        ("</stream:x>", [false; 3]),
        ("</:stream>", [false; 3]),
        ("</a:b:stream>", [false; 3]),
        ("</Stream>", [false; 3]),
    ];
    for (tag, closes) in cases {
        for (framer, closes) in
            [Framer::new(), Framer::inside(Some("stream:stream")), Framer::inside(None)].iter().zip(closes)
        {
            let start = if framer.between_stanzas() { "" } else { header };
            let input = [start, "<message/>", tag, "<message/></stream:stream>"].concat();
            for size in [1, 7, input.len()] {
                let mut framer = framer.clone();
                let (seen, left) = see(&mut framer, input.as_bytes().chunks(size));
                let end = if closes { Seen::End } else { Seen::Bad(Malformed::NotWellFormed) };
                let stanza = Seen::Stanza("<message/>".into());
                assert_eq!(seen[seen.len() - 2..], [stanza, end], "{tag} after {start:?} in pieces of {size}");
                assert!(framer.is_over() && left.ends_with(b"<message/></stream:stream>"), "{tag}");
            }
        }
    }
}

#[test]
fn a_root_whose_name_is_too_long_to_be_kept_is_closed_by_none() {
    for length in [4096, 4097, 100_000] {
        let name = "s".repeat(length);
        let input = format!("<{name}><a/></{name}>");
        for size in [1000, input.len()] {
            let mut framer = Framer::new();
            let (seen, _) = see(&mut framer, input.as_bytes().chunks(size));
            if length <= 4096 {
                assert_eq!(seen[1..], [Seen::Stanza("<a/>".into()), Seen::End]);
                assert_eq!(framer.root(), Some(&*name));
            } else {
                assert_eq!(seen, [Seen::Bad(Malformed::NotWellFormed)], "{length}");
            }
        }
    }
}

#[test]
fn a_restart_expects_a_new_document_and_no_end_of_the_old_one() {
    // F-17
    let mut framer = Framer::new();
    let first = "<?xml version='1.0'?><s:s xmlns:s='n'>x<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    let (seen, _) = see(&mut framer, [first.as_bytes()]);
    assert_eq!(seen.len(), 2);
    assert_eq!(framer.root(), Some("s:s"));
    framer.restart();
    assert_eq!((framer.root(), framer.between_stanzas(), framer.is_over()), (None, false, false));
    let (seen, _) = see(&mut framer, ["\u{feff}<?xml version='1.0'?><t xmlns='n'></t>".as_bytes()]);
    assert_eq!(seen, [Seen::Header("<t xmlns='n'>".into()), Seen::End]);
    assert_eq!(framer.stray_bytes(), 4, "what came before the restart counts as well");
}

/// The end of a line behind the element that agreed may come by itself.
#[test]
fn white_space_behind_the_old_document_may_come_after_a_restart() {
    let new = "<?xml version='1.0'?><t>";
    for space in ["", "\n", " \r\n\t"] {
        let said = format!("{space}{new}");
        for cut in 0..said.len() {
            let mut framer = Framer::new();
            see(&mut framer, [&b"<s><success/>"[..]]);
            framer.restart();
            let (seen, _) = see(&mut framer, [&said.as_bytes()[..cut], &said.as_bytes()[cut..]]);
            assert_eq!((seen, framer.stray_bytes()), (vec![Seen::Header("<t>".into())], 0), "{said:?} at {cut}");
        }
    }
    let (seen, _) = see(&mut Framer::new(), [format!("\n{new}").as_bytes()]);
    assert!(matches!(seen[..], [Seen::Bad(_)]), "before the first document there is nothing: {seen:?}");
}

#[test]
fn a_restart_forgets_what_was_begun() {
    let mut framer = Framer::new();
    see(&mut framer, [&b"<s><a><b c='&#x"[..]]);
    framer.restart();
    assert_eq!(see(&mut framer, [&b"<t/>"[..]]).0, [Seen::Header("<t/>".into()), Seen::End]);
}

#[test]
fn a_framer_is_between_stanzas_only_where_nothing_is_begun() {
    let pieces: [(&[u8], bool); 20] = [
        (b"<?xml version='1.0'?>", false),
        (b" ", false),
        (b"<s", false),
        (b">", true),
        (b"\n", true),
        (b"<", false),
        (b"a>", false),
        (b"<b/></a", false),
        (b">", true),
        (b"&am", false),
        (b"p;", true),
        (b"\xc3", false),
        (b"\xa9]", true),
        (b"<![CDATA", false),
        (b"[]]", false),
        (b">", true),
        (b"<a>&#", false),
        (b"9;</a>", true),
        (b"</", false),
        (b"s>", false),
    ];
    let mut framer = Framer::new();
    for (piece, between) in pieces {
        see(&mut framer, [piece]);
        assert_eq!(framer.between_stanzas(), between, "after {:?}", String::from_utf8_lossy(piece));
    }
    assert!(framer.is_over());
}

#[test]
fn half_a_byte_order_mark_is_no_space() {
    // F-12
    for input in [&b"\xef<s>"[..], b"\xef\xbb<s>", b"\xef\xbb \xbf<s>", b"\xef\xbb\xef"] {
        for size in [1, input.len()] {
            let (seen, _) = see(&mut Framer::new(), input.chunks(size));
            assert_eq!(seen, [Seen::Bad(Malformed::NotWellFormed)], "{input:?}");
        }
    }
}

#[test]
fn what_xml_would_allow_is_restricted_and_the_rest_not_well_formed() {
    use Malformed::{NotWellFormed, RestrictedXml};
    for (input, why) in [
        ("&x;", RestrictedXml),
        ("&ä;", RestrictedXml),
        ("&xä1;", RestrictedXml),
        ("&xä ;", NotWellFormed),
        ("&#ä;", NotWellFormed),
        ("<?x?>", RestrictedXml),
        ("<?ä?>", RestrictedXml),
        ("<?xm ?>", RestrictedXml),
        ("<? x?>", NotWellFormed),
        ("<??>", NotWellFormed),
    ] {
        for size in [1, input.len()] {
            let (seen, _) = see(&mut Framer::inside(None), input.as_bytes().chunks(size));
            assert_eq!(seen, [Seen::Bad(why)], "{input}");
        }
    }
}

#[test]
fn nothing_is_looked_at_after_the_end() {
    for (input, left) in [("<s></s>\0<", "\0<"), ("<s/>x", "x")] {
        let mut framer = Framer::new();
        let (_, behind) = see(&mut framer, [input.as_bytes()]);
        assert!(framer.is_over() && !framer.between_stanzas());
        assert_eq!(behind, left.as_bytes());
        let mut more: &[u8] = b"<s>";
        assert_eq!(framer.next(&mut more), None);
        assert_eq!(more, b"<s>");
    }
    let mut framer = Framer::new();
    let (_, behind) = see(&mut framer, [&b"<s><a></b>"[..], b"<c/>"]);
    assert!(framer.is_over() && behind.ends_with(b"<c/>"));
}

#[test]
fn malformed_names_the_stream_error_condition() {
    let conditions = [Malformed::NotWellFormed, Malformed::RestrictedXml, Malformed::UnsupportedEncoding];
    assert_eq!(
        conditions.map(|why| why.condition().as_str()),
        ["not-well-formed", "restricted-xml", "unsupported-encoding"]
    );
    for why in conditions {
        assert_eq!(StreamError::from(why).condition(), why.condition());
    }
}
