//! Where the header, the stanzas and the stream end: by the framer, and by the `xml` crate.

use super::Seen;
use xml_rs::reader::{EventReader, ParserConfig, XmlEvent};
use xmpp_close::Framer;

/// Something that ended, and the byte behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Landmark {
    Header(usize),
    Stanza(usize),
    End(usize),
    Error,
}

pub(crate) fn landmarks_of_the_framer(input: &[u8]) -> Vec<Landmark> {
    let (mut framer, mut rest, mut landmarks) = (Framer::new().limit(usize::MAX), input, Vec::new());
    while let Some(frame) = framer.next(&mut rest).map(Seen::from) {
        let at = input.len() - rest.len();
        landmarks.push(match frame {
            Seen::Header(_) => Landmark::Header(at),
            Seen::Stanza(_) | Seen::Oversize(_) => Landmark::Stanza(at),
            Seen::End => Landmark::End(at),
            Seen::Bad(_) => Landmark::Error,
        });
    }
    landmarks
}

/// The crate reads byte by byte and not ahead, so what is left of its source tells where it is.
pub(crate) fn landmarks_of_the_xml_crate(input: &[u8]) -> Vec<Landmark> {
    let mut reader = EventReader::new_with_config(input, ParserConfig::new().allow_multiple_root_elements(false));
    let (mut depth, mut landmarks) = (0, Vec::new());
    loop {
        let event = reader.next();
        let at = input.len() - reader.source().len();
        match event {
            Ok(XmlEvent::StartElement { .. }) => {
                depth += 1;
                if depth == 1 {
                    landmarks.push(Landmark::Header(at));
                }
            }
            Ok(XmlEvent::EndElement { .. }) => {
                depth -= 1;
                match depth {
                    0 => landmarks.push(Landmark::End(at)),
                    1 => landmarks.push(Landmark::Stanza(at)),
                    _ => continue,
                }
                if depth == 0 {
                    return landmarks;
                }
            }
            Ok(_) => {}
            Err(error) => {
                let error = error.to_string();
                if !error.contains("end of stream") && !error.contains("Unclosed") {
                    landmarks.push(Landmark::Error);
                }
                return landmarks;
            }
        }
    }
}
