//! The rest of a peer's stream, when we close in the middle of it; and stream headers.

use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

use xmpp_close::{BorrowedSocket, CloseOptions, Frame, Framer, Interest, Outcome, Transport, xml};

use super::bytes::{Bytes, Dice};

const FAREWELL: &[u8] = b"<presence type='unavailable'/>";
const TAG: &[u8] = b"</stream:stream>";

/// A peer that says `input` in pieces, and takes what it is told in pieces.
struct Peer<'a> {
    input: &'a [u8],
    dice: Dice,
    is_tls: bool,
    /// How its side ends.
    end: Option<ErrorKind>,
    /// After so many bytes of ours it takes no more.
    takes: usize,
    output: &'a mut Vec<u8>,
    output_ended: bool,
}

impl Transport for Peer<'_> {
    fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.dice.below(4) == 0 {
            return Err(if self.dice.below(2) == 0 { ErrorKind::WouldBlock } else { ErrorKind::Interrupted }.into());
        }
        if self.input.is_empty() {
            return self.end.map_or(Ok(0), |kind| Err(kind.into()));
        }
        let count = (1 + self.dice.below(64)).min(self.input.len()).min(buf.len());
        let (piece, rest) = self.input.split_at(count);
        buf[..count].copy_from_slice(piece);
        self.input = rest;
        Ok(count)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(!self.output_ended, "output after its end");
        if self.dice.below(4) == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = (1 + self.dice.below(50)).min(bytes.len()).min(self.takes - self.output.len());
        if count == 0 && !bytes.is_empty() {
            return Err(ErrorKind::BrokenPipe.into());
        }
        self.output.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn shut(&mut self) -> io::Result<()> {
        if self.dice.below(4) == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.output_ended = true;
        Ok(())
    }

    fn wait(&mut self, interest: Interest, _: Duration, _: Option<BorrowedSocket<'_>>) -> io::Result<Interest> {
        Ok(interest)
    }

    fn is_tls(&self) -> bool {
        self.is_tls
    }
}

/// Whether it may be a stream error, which is for the report; only its namespace tells.
fn is_error(xml: &[u8]) -> bool {
    let name = xml[1..].split(|byte| b" \t\r\n/>".contains(byte)).next().unwrap();
    name == b"error" || name.ends_with(b":error")
}

/// What `input` holds from between two stanzas on, and whether it ends the stream.
fn stanzas(mut input: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let (mut framer, mut stanzas) = (Framer::inside(None), Vec::new());
    loop {
        match framer.next(&mut input) {
            Some(Frame::Stanza(xml)) if is_error(xml) => {}
            Some(Frame::Stanza(xml)) => stanzas.push(xml.to_vec()),
            Some(Frame::End) => return (stanzas, true),
            Some(_) | None => return (stanzas, false),
        }
    }
}

pub fn session(data: &[u8]) {
    let mut bytes = Bytes(data);
    let flags = bytes.byte();
    let is_tls = flags & 1 != 0;
    let end =
        [None, Some(ErrorKind::ConnectionReset), None, Some(ErrorKind::UnexpectedEof)][usize::from(flags >> 1 & 3)];
    let takes = if flags & 8 == 0 { usize::MAX } else { usize::from(flags >> 4) * 3 };
    let (input, mut output) = (bytes.0, Vec::new());
    let peer = Peer { input, dice: Dice::of(data), is_tls, end, takes, output: &mut output, output_ended: false };
    let (expected, ends) = stanzas(input);

    let began = Instant::now();
    let mut closing =
        CloseOptions::new().farewell(FAREWELL).half_close(!is_tls && flags & 16 != 0).begin(peer).unwrap();
    let (mut seen, mut count) = (Vec::new(), 0);
    for stanza in &mut closing {
        read(&stanza);
        count += 1;
        if !is_error(stanza.as_bytes()) {
            seen.push(stanza.into_bytes());
        }
    }
    let report = closing.finish();

    assert!(began.elapsed() < Duration::from_secs(9), "it waited for nothing: {report}");
    check_output(&output, report.tag_sent);
    assert!(expected.starts_with(&seen), "{seen:?} of {expected:?}");
    assert_eq!(report.stanzas, count);
    assert!(!report.tag_received || ends && seen == expected, "{seen:?} of {expected:?}");
    assert_ne!(report.outcome, Outcome::Pending);
    assert_eq!(report.outcome == Outcome::Clean, report.tag_sent && report.tag_received, "{report}");
    // Nothing lost: all that the peer said before its tag was handed on, unless TCP itself broke.
    let broke = takes < usize::MAX || report.os_error.is_some();
    assert!(broke || seen == expected, "{seen:?} of {expected:?}");
    assert!(broke || report.tag_received == ends, "{report}");
    if let Some(error) = report.stream_error {
        assert!(!error.to_string().is_empty());
    }
}

/// The farewell, a stream error if what came was malformed and it could still be said, one tag, and nothing behind it.
fn check_output(output: &[u8], tag_sent: bool) {
    let text = String::from_utf8_lossy(output);
    let (farewell, rest) = output.split_at(output.len().min(FAREWELL.len()));
    assert!(FAREWELL.starts_with(farewell), "{text:?}");
    let (before, tag) = if tag_sent { rest.split_at(rest.len() - TAG.len()) } else { (rest, TAG) };
    assert!(tag == TAG, "{text:?}");
    assert!(
        before.is_empty()
            || !tag_sent && TAG.starts_with(before)
            || b"<stream:error>".starts_with(&before[..before.len().min(14)]),
        "{text:?}"
    );
    assert!(tag_sent || !rest.ends_with(TAG), "{text:?}");
    assert!(!before.windows(TAG.len()).any(|part| part == TAG), "{text:?}");
}

/// A stanza can be read to its end, or to an error.
fn read(stanza: &xml::Stanza) {
    let _ = xml::idle_seconds(stanza);
    let name = stanza.name();
    assert!(stanza.as_str()[1..].split([' ', '\t', '\r', '\n', '/', '>']).next().unwrap().ends_with(name));
    let most = stanza.as_bytes().len() + 10;
    assert!(stanza.reader().into_iter().take(most).count() < most, "it does not end");
}

pub fn header(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = xml::Header::parse(&text);
    let (mut framer, mut rest) = (Framer::new(), text.as_bytes());
    let Some(Frame::Header(tag)) = framer.next(&mut rest) else { return };
    let tag = std::str::from_utf8(tag).expect("a frame is UTF-8").to_owned();
    // The crate is more lenient: it takes one prefix declared twice.
    if let Ok(header) = xml::Header::parse(&tag) {
        assert_eq!(Some(header.root.as_str()), framer.root());
        assert!(!header.is_stream || header.root.ends_with("stream"));
        // The crate is stricter, too: it refuses a root like <xml:a>, which Namespaces in XML section 3 allows.
        if !header.root.starts_with("xml:") {
            assert_eq!(Some(said(header)), said_by_the_crate(&tag), "{tag}");
        }
    }
}

/// Whether it is a stream, and what else a header says.
type Said = (bool, [Option<String>; 5]);

fn said(header: xml::Header) -> Said {
    (header.is_stream, [header.id, header.from, header.to, header.version, header.lang])
}

/// The same as the `xml` crate reads it.
fn said_by_the_crate(tag: &str) -> Option<Said> {
    use xml::XmlEvent;
    let (name, attributes) = xml_rs::EventReader::new(tag.as_bytes()).into_iter().find_map(|event| match event {
        Ok(XmlEvent::StartDocument { .. }) => None,
        Ok(XmlEvent::StartElement { name, attributes, .. }) => Some(Some((name, attributes))),
        _ => Some(None),
    })??;
    let of = |name: &str| attributes.iter().find(|a| a.name.borrow().to_repr() == name).map(|a| a.value.clone());
    let is_stream =
        name.namespace.as_deref() == Some("http://etherx.jabber.org/streams") && name.local_name == "stream";
    Some((is_stream, ["id", "from", "to", "version", "xml:lang"].map(of)))
}
