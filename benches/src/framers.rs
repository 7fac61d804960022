//! The contenders that can tell where stanzas end. Each gets a whole stream in pieces of one size, and returns how many
//! stanzas it found. None of them looks at what it found.

use std::{
    io::{self, BufRead, BufReader, Read},
    slice::Chunks,
};

use rxml::{Parse, RawEvent, error::EndOrError};
use xmpp_close::{Frame, Framer};

use crate::expat;

/// Counts the stanzas of a stream that comes in pieces of this size.
pub type Stanzas = fn(&[u8], usize) -> usize;

pub const FRAMERS: [(&str, Stanzas); 6] = [
    ("xmpp-close", framer),
    ("memchr", floor),
    ("expat", |stream, size| expat::stanzas(stream.chunks(size))),
    ("quick-xml", quick_xml),
    ("rxml", rxml),
    ("xml", xml),
];

fn framer(stream: &[u8], size: usize) -> usize {
    let (mut framer, mut stanzas) = (Framer::new(), 0);
    for mut piece in stream.chunks(size) {
        while let Some(frame) = framer.next(&mut piece) {
            match frame {
                Frame::Stanza(_) => stanzas += 1,
                Frame::Header(_) | Frame::End => {}
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(framer.is_over());
    stanzas
}

/// The floor: finds every `<` and `>`, does nothing with them, and returns half of their number.
fn floor(stream: &[u8], size: usize) -> usize {
    stream.chunks(size).map(|piece| memchr::memchr2_iter(b'<', b'>', piece).count()).sum::<usize>() / 2
}

/// quick-xml, with its default checks: it looks neither at entities nor at UTF-8.
fn quick_xml(stream: &[u8], size: usize) -> usize {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_reader(Pieces::of(stream, size));
    let (mut buffer, mut depth, mut stanzas) = (Vec::new(), 0, 0);
    loop {
        match reader.read_event_into(&mut buffer).unwrap() {
            Event::Start(_) => depth += 1,
            Event::Empty(_) => stanzas += usize::from(depth == 1),
            Event::End(_) => {
                depth -= 1;
                stanzas += usize::from(depth == 1);
            }
            Event::Eof => return stanzas,
            _ => {}
        }
        buffer.clear();
    }
}

/// rxml's faster half, without namespaces.
fn rxml(stream: &[u8], size: usize) -> usize {
    let (mut parser, mut depth, mut stanzas) = (rxml::RawParser::new(), 0, 0);
    for mut piece in stream.chunks(size) {
        loop {
            match parser.parse(&mut piece, false) {
                Ok(Some(RawEvent::ElementHeadOpen(..))) => depth += 1,
                Ok(Some(RawEvent::ElementFoot(_))) => {
                    depth -= 1;
                    stanzas += usize::from(depth == 1);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(EndOrError::NeedMoreData) => break,
                Err(EndOrError::Error(error)) => panic!("{error}"),
            }
        }
    }
    stanzas
}

fn xml(stream: &[u8], size: usize) -> usize {
    use xml::reader::{EventReader, ParserConfig, XmlEvent};
    // It asks for each byte by itself, so its documentation recommends this.
    let source = BufReader::with_capacity(size.min(8192), Pieces::of(stream, size));
    let config = ParserConfig::new().max_data_length(1 << 30);
    let mut reader = EventReader::new_with_config(source, config);
    let (mut depth, mut stanzas) = (0, 0);
    loop {
        match reader.next().unwrap() {
            XmlEvent::StartElement { .. } => depth += 1,
            XmlEvent::EndElement { .. } => {
                depth -= 1;
                stanzas += usize::from(depth == 1);
            }
            XmlEvent::EndDocument => return stanzas,
            _ => {}
        }
    }
}

/// A buffered source of pieces, for the pull parsers.
struct Pieces<'a> {
    here: &'a [u8],
    rest: Chunks<'a, u8>,
}

impl<'a> Pieces<'a> {
    fn of(stream: &'a [u8], size: usize) -> Self {
        Self { here: &[], rest: stream.chunks(size) }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(into)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.here.is_empty() {
            self.here = self.rest.next().unwrap_or_default();
        }
        Ok(self.here)
    }

    fn consume(&mut self, count: usize) {
        self.here = &self.here[count..];
    }
}
