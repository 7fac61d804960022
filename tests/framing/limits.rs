//! What the framer hands over, what it passes over, and how much memory that takes.

use xmpp_close::{Frame, Framer, Malformed};

use crate::{Seen, feed, see};

/// Feeds `pieces`, and says how much memory the framer held at most.
fn peak<'i>(framer: &mut Framer, pieces: impl IntoIterator<Item = &'i [u8]>) -> (Vec<Seen>, usize) {
    let (mut seen, mut peak) = (Vec::new(), 0);
    for piece in pieces {
        feed(framer, piece, &mut seen);
        peak = peak.max(framer.buffered());
    }
    (seen, peak)
}

#[test]
fn a_stanza_over_the_limit_is_passed_over_in_constant_memory() {
    // F-27
    let mut framer = Framer::inside(None).limit(20_000);
    let block = "x".repeat(4096);
    let pieces = [b"<a><b>".as_slice()].into_iter().chain(std::iter::repeat_n(block.as_bytes(), 10_000));
    let (seen, memory) = peak(&mut framer, pieces);
    assert_eq!(seen, []);
    assert!(memory <= 20_000, "{memory} bytes were held");
    assert_eq!(framer.buffered(), 0);
    let (seen, _) = peak(&mut framer, [&b"</b></a><c/></stream>"[..]]);
    assert_eq!(seen, [Seen::Oversize(6 + 40_960_000 + 8), Seen::Stanza("<c/>".into()), Seen::End]);
}

#[test]
fn a_long_tag_value_or_cdata_section_is_passed_over_as_well() {
    let block = "x".repeat(4096);
    for (before, after) in
        [("<a b='", "'/>"), ("<", "/>"), ("<a ", "=''/>"), ("<a><![CDATA[", "]]></a>"), ("<a>&", ";</a>")]
    {
        let mut framer = Framer::inside(None).limit(10_000);
        let pieces = [before.as_bytes()].into_iter().chain(std::iter::repeat_n(block.as_bytes(), 100));
        let (seen, memory) = peak(&mut framer, pieces.chain([after.as_bytes()]));
        let length = (before.len() + 409_600 + after.len()) as u64;
        let expected = if before.ends_with('&') { Seen::Bad(Malformed::RestrictedXml) } else { Seen::Oversize(length) };
        assert_eq!(seen, [expected], "{before}");
        assert!(memory <= 10_000, "{before}: {memory} bytes were held");
    }
}

#[test]
fn the_limit_is_the_largest_stanza_that_passes_and_at_least_ten_thousand_bytes() {
    // XM-08
    let stanza = |length: usize| format!("<a>{}</a>", "x".repeat(length - 7));
    for (limit, length, passes) in
        [(0, 9_999, true), (1, 10_000, true), (1, 10_001, false), (12_345, 12_345, true), (12_345, 12_346, false)]
    {
        let xml = stanza(length);
        for size in [1, 1000, length] {
            let (seen, _) = see(&mut Framer::inside(None).limit(limit), xml.as_bytes().chunks(size));
            let expected = if passes { Seen::Stanza(xml.clone()) } else { Seen::Oversize(length as u64) };
            assert_eq!(seen, [expected], "limit {limit}, length {length}, pieces of {size}");
        }
    }
    let megabyte = stanza(xmpp_close::DEFAULT_STANZA_LIMIT);
    assert_eq!(see(&mut Framer::inside(None), [megabyte.as_bytes()]).0, [Seen::Stanza(megabyte.clone())]);
}

#[test]
fn a_header_over_the_limit_is_malformed() {
    let header = format!("<s a='{}'>", "x".repeat(20_000));
    for size in [1000, header.len()] {
        let (seen, _) = see(&mut Framer::new().limit(0), header.as_bytes().chunks(size));
        assert_eq!(seen, [Seen::Bad(Malformed::NotWellFormed)]);
    }
    assert_eq!(see(&mut Framer::new(), [header.as_bytes()]).0, [Seen::Header(header.clone())]);
}

#[test]
fn a_declaration_or_space_without_end_takes_no_memory() {
    let endless = "<?xml ".to_owned() + &" ".repeat(100_000);
    assert_eq!(see(&mut Framer::new(), [endless.as_bytes()]).0, [Seen::Bad(Malformed::NotWellFormed)]);
    let space = " ".repeat(100_000);
    let (seen, memory) = peak(&mut Framer::new(), [space.as_bytes(), b"<s>", space.as_bytes(), space.as_bytes()]);
    assert_eq!((seen, memory), (vec![Seen::Header("<s>".into())], 0));
}

#[test]
fn a_restart_keeps_the_limit() {
    let mut framer = Framer::new().limit(10_000);
    framer.restart();
    let xml = format!("<s><a>{}</a>", "x".repeat(10_000));
    assert_eq!(see(&mut framer, [xml.as_bytes()]).0, [Seen::Header("<s>".into()), Seen::Oversize(10_007)]);
}

#[test]
fn a_large_stanza_leaves_little_memory_behind_and_an_ordinary_one_its_buffer() {
    let mut framer = Framer::inside(None);
    for (length, held) in [(500_000, 0..=4096), (2_000, 2_000..=4096)] {
        let xml = format!("<a>{}</a>", "x".repeat(length));
        see(&mut framer, xml.as_bytes().chunks(4096).chain(xml.as_bytes().chunks(1000)));
        assert!(held.contains(&framer.buffered()), "{} bytes are held", framer.buffered());
    }
}

#[test]
fn large_stanzas_that_follow_each_other_without_a_gap_share_a_buffer() {
    let mut framer = Framer::inside(None);
    let xml = format!("<a>{}</a>", "x".repeat(500_000)).repeat(5);
    let held = xml.as_bytes().chunks(4096).map(|piece| {
        see(&mut framer, [piece]);
        framer.buffered()
    });
    let mut held: Vec<_> = held.collect();
    assert!(held.pop() <= Some(4096), "all has come");
    assert!(held.is_sorted(), "{held:?}");
}

#[test]
fn a_stanza_in_pieces_takes_memory_as_it_comes_and_is_not_copied_at_each() {
    for piece in [1, 7, 64, 1000] {
        let mut framer = Framer::inside(None).limit(50_000);
        let (mut length, mut held, mut copies) = (0, 0, 0);
        for bytes in format!("<a>{}", "x".repeat(49_000)).as_bytes().chunks(piece) {
            see(&mut framer, [bytes]);
            length += bytes.len();
            assert!(
                framer.buffered() >= length && framer.buffered() <= (2 * length).min(50_000),
                "{length} in {piece}s"
            );
            copies += usize::from(framer.buffered() > held);
            held = framer.buffered();
        }
        assert!(copies <= 17, "{copies} copies in pieces of {piece}"); // 2 to the power of 16 is more than the limit
    }
}

#[test]
fn nesting_has_no_limit() {
    let depth = 1_000_000;
    let xml = "<a>".repeat(depth) + &"</a>".repeat(depth) + "</s>";
    let (seen, memory) = peak(&mut Framer::inside(Some("s")), xml.as_bytes().chunks(4096));
    assert_eq!(seen, [Seen::Oversize(7 * depth as u64), Seen::End]);
    assert!(memory <= xmpp_close::DEFAULT_STANZA_LIMIT);
    let (seen, _) = see(&mut Framer::inside(Some("s")).limit(usize::MAX), [xml.as_bytes()]);
    assert_eq!(seen.len(), 2);
}

#[test]
fn end_tags_are_held_against_their_start_tags_within_bounds() {
    let nested = |depth: usize, name: &str, wrong: usize| {
        let close = |level| if level == wrong { "</wrong>".to_owned() } else { format!("</{name}>") };
        format!("<{name}>").repeat(depth) + &(0..depth).rev().map(close).collect::<String>()
    };
    let long = "n".repeat(3000);
    for (xml, noticed) in [
        (nested(128, "a", 127), true),
        (nested(129, "a", 128), false), // deeper than names are kept
        (nested(129, "a", 127), true),
        (nested(1, &"n".repeat(4096), 0), true),
        (nested(1, &"n".repeat(4097), 0), false),
        (nested(2, &long, 0), true),
        (nested(2, &long, 1), false), // longer than names are kept
        (nested(3, &long, 2), false),
    ] {
        for size in [1, 100, xml.len()] {
            let (seen, _) = see(&mut Framer::inside(None), xml.as_bytes().chunks(size));
            let expected = if noticed { Seen::Bad(Malformed::NotWellFormed) } else { Seen::Stanza(xml.clone()) };
            assert_eq!(seen, [expected]);
        }
    }
}

#[test]
fn many_attributes_are_no_trouble() {
    let attributes: String = (0..50_000).map(|i| format!(" a{i}='{i}'")).collect();
    let xml = format!("<a{attributes}/>");
    assert_eq!(see(&mut Framer::inside(None), xml.as_bytes().chunks(4096)).0, [Seen::Stanza(xml.clone())]);
}

#[test]
fn a_frame_that_lies_whole_in_the_input_is_not_copied() {
    let (mut framer, input) = (Framer::new(), b"<s><a>hi</a><b/>".as_slice());
    let mut rest = input;
    for expected in [&input[..3], &input[3..12], &input[12..]] {
        match framer.next(&mut rest) {
            Some(Frame::Header(bytes) | Frame::Stanza(bytes)) => {
                assert_eq!(bytes.as_ptr_range(), expected.as_ptr_range())
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(framer.buffered(), 0);
}
