//! Characters that are more than one byte long: UTF-8 sequences and references.

use super::Malformed::{self, NotWellFormed, RestrictedXml};
use super::bytes::{is_ascii_name, is_ascii_name_start};

/// The UTF-8 sequence that is being read. Overlong forms, surrogates and values above U+10FFFF are refused at their second
/// byte: for each first byte, the range of the second is limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Utf8 {
    missing: u8,
    low: u8,
    high: u8,
    value: u32,
}

impl Utf8 {
    pub fn is_pending(&self) -> bool {
        self.missing > 0
    }

    /// Takes one non-ASCII character off `rest`. `None`: only a part of it is there, and is taken.
    #[inline]
    pub fn take(&mut self, rest: &mut &[u8]) -> Result<Option<u32>, Malformed> {
        while let Some((&byte, tail)) = rest.split_first() {
            if self.missing == 0 {
                let (missing, low, high, bits) = match byte {
                    0xc2..=0xdf => (1, 0x80, 0xbf, byte & 0x1f),
                    0xe0 => (2, 0xa0, 0xbf, 0),
                    0xed => (2, 0x80, 0x9f, 0xd),
                    0xe1..=0xef => (2, 0x80, 0xbf, byte & 0xf),
                    0xf0 => (3, 0x90, 0xbf, 0),
                    0xf1..=0xf3 => (3, 0x80, 0xbf, byte & 7),
                    0xf4 => (3, 0x80, 0x8f, 4),
                    _ => return Err(NotWellFormed),
                };
                *self = Self { missing, low, high, value: bits.into() };
            } else if (self.low..=self.high).contains(&byte) {
                let value = self.value << 6 | u32::from(byte & 0x3f);
                *self = Self { missing: self.missing - 1, low: 0x80, high: 0xbf, value };
            } else {
                return Err(NotWellFormed);
            }
            *rest = tail;
            if self.missing == 0 {
                return if is_char(self.value) { Ok(Some(self.value)) } else { Err(NotWellFormed) };
            }
        }
        Ok(None)
    }
}

/// Length of the run of whole non-ASCII characters and spaces that `bytes` begin with. It may stop early, but never takes
/// anything else.
#[inline]
pub(super) fn wide_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    loop {
        at += match bytes[at..] {
            [b' ', ..] => 1,
            [0xc2..=0xdf, 0x80..=0xbf, ..] => 2,
            [0xe1..=0xec | 0xee, 0x80..=0xbf, 0x80..=0xbf, ..] => 3,
            [0xe0, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3,
            [0xed, 0x80..=0x9f, 0x80..=0xbf, ..] => 3,
            [0xef, 0x80..=0xbe, 0x80..=0xbf, ..] => 3,
            [0xf1..=0xf3, 0x80..=0xbf, 0x80..=0xbf, 0x80..=0xbf, ..] => 4,
            [0xf0, 0x90..=0xbf, 0x80..=0xbf, 0x80..=0xbf, ..] => 4,
            _ => return at,
        }
    }
}

/// Length of the rest of a reference to a predefined entity, `;` included, if `bytes` begin with one.
#[inline]
pub(super) fn predefined_reference(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'l' | b'g', b't', b';', ..] => Some(3),
        [b'a', b'm', b'p', b';', ..] => Some(4),
        [b'a', b'p', b'o', b's', b';', ..] | [b'q', b'u', b'o', b't', b';', ..] => Some(5),
        _ => None,
    }
}

/// The reference that is being read, from behind its `&` up to its `;`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reference {
    Begun,
    /// The name, if it is short enough to be one of the five predefined ones.
    Named([u8; 4], usize),
    Hash,
    HexBegun,
    Decimal(u32),
    Hex(u32),
}

impl Reference {
    /// Takes in one ASCII byte. `true`: this was the `;` of a reference to a legal character.
    pub fn push(&mut self, byte: u8) -> Result<bool, Malformed> {
        *self = match (&*self, byte) {
            (Self::Begun, b'#') => Self::Hash,
            (Self::Begun, _) if is_ascii_name_start(byte) => Self::Named([byte, 0, 0, 0], 1),
            (Self::Named(name, length), b';') => {
                let known: [&[u8]; 5] = [b"amp", b"lt", b"gt", b"quot", b"apos"];
                let predefined = name.get(..*length).is_some_and(|name| known.contains(&name));
                // RFC 6120 section 11.1: no references to other entities.
                return if predefined { Ok(true) } else { Err(RestrictedXml) };
            }
            (&Self::Named(mut name, length), _) if is_ascii_name(byte) => {
                if let Some(slot) = name.get_mut(length) {
                    *slot = byte;
                }
                Self::Named(name, (length + 1).min(5))
            }
            (Self::Hash, b'x') => Self::HexBegun,
            (&Self::Decimal(value) | &Self::Hex(value), b';') => {
                return if is_char(value) { Ok(true) } else { Err(NotWellFormed) };
            }
            (Self::Hash, _) => Self::Decimal(digit(0, 10, byte)?),
            (Self::HexBegun, _) => Self::Hex(digit(0, 16, byte)?),
            (&Self::Decimal(value), _) => Self::Decimal(digit(value, 10, byte)?),
            (&Self::Hex(value), _) => Self::Hex(digit(value, 16, byte)?),
            _ => return Err(NotWellFormed),
        };
        Ok(false)
    }

    /// Takes in a non-ASCII character, which can only be part of a name. Returns whether it is the first of the name.
    pub fn push_wide(&mut self) -> Result<bool, Malformed> {
        let first = match self {
            Self::Begun => true,
            Self::Named(..) => false,
            _ => return Err(NotWellFormed),
        };
        *self = Self::Named([0; 4], 5);
        Ok(first)
    }
}

/// Appends a digit. A number that is too large for any character stays too large.
fn digit(value: u32, radix: u32, byte: u8) -> Result<u32, Malformed> {
    let digit = char::from(byte).to_digit(radix).ok_or(NotWellFormed)?;
    Ok(value.saturating_mul(radix).saturating_add(digit))
}

/// The production Char.
fn is_char(c: u32) -> bool {
    matches!(c, 9 | 10 | 13 | 0x20..=0xd7ff | 0xe000..=0xfffd | 0x10000..=0x10ffff)
}

/// The production NameStartChar, beyond ASCII.
pub(super) fn is_name_start(c: u32) -> bool {
    matches!(c, 0xc0..=0xd6 | 0xd8..=0xf6 | 0xf8..=0x2ff | 0x370..=0x37d | 0x37f..=0x1fff | 0x200c..=0x200d
        | 0x2070..=0x218f | 0x2c00..=0x2fef | 0x3001..=0xd7ff | 0xf900..=0xfdcf | 0xfdf0..=0xfffd | 0x10000..=0xeffff)
}

/// The production NameChar, beyond ASCII.
pub(super) fn is_name(c: u32) -> bool {
    is_name_start(c) || matches!(c, 0xb7 | 0x300..=0x36f | 0x203f..=0x2040)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All bytes of `sequence` must be one character.
    fn decode(mut sequence: &[u8]) -> Option<u32> {
        let value = Utf8::default().take(&mut sequence).ok()??;
        sequence.is_empty().then_some(value)
    }

    #[test]
    fn every_character_beyond_ascii_is_taken_unless_xml_forbids_it() {
        for c in '\u{80}'..=char::MAX {
            let expected = (!matches!(c, '\u{fffe}' | '\u{ffff}')).then_some(c as u32);
            assert_eq!(decode(c.encode_utf8(&mut [0; 4]).as_bytes()), expected, "{c:?}");
        }
    }

    #[test]
    fn a_run_of_characters_takes_nothing_that_is_not_a_character() {
        for first in 0x80..=255 {
            for second in 0..=255 {
                for tail in [[0x80, 0x80], [0xbe, 0x80], [0xbf, 0xbf], [0x80, 0x7f], [0x7f, 0x80], [0xc0, 0x80]] {
                    let bytes = [first, second, tail[0], tail[1]];
                    for length in 1..=4 {
                        let run = &bytes[..wide_run(&bytes[..length])];
                        let text = std::str::from_utf8(run).expect("a run is UTF-8");
                        assert!(!text.contains(['\u{fffe}', '\u{ffff}']) && !text.contains(|c: char| c.is_ascii()));
                    }
                }
            }
        }
        let text = "дай ей 光 \u{800} \u{d000} \u{f900} 😀 \u{40000} "; // each kind of sequence
        assert_eq!(wide_run(text.as_bytes()), text.len());
    }

    #[test]
    fn the_five_predefined_references_are_measured_and_no_other() {
        for reference in ["lt;", "gt;", "amp;", "apos;", "quot;"] {
            assert_eq!(predefined_reference(reference.as_bytes()), Some(reference.len()));
            assert_eq!(predefined_reference(&[reference.as_bytes(), b"lt;"].concat()), Some(reference.len()));
            assert_eq!(predefined_reference(&reference.as_bytes()[..reference.len() - 1]), None);
        }
        for reference in ["", "lt ", "xlt;", "#60;", "apo;"] {
            assert_eq!(predefined_reference(reference.as_bytes()), None, "{reference}");
        }
    }

    #[test]
    fn what_the_standard_library_refuses_is_refused() {
        for first in 0x80..=255 {
            for second in 0..=255 {
                // Bytes that can become no character are refused at the second byte.
                let refused = std::str::from_utf8(&[first, second]).is_err_and(|error| error.error_len().is_some());
                let refused_here = Utf8::default().take(&mut &[first, second][..]).is_err();
                assert!(second < 0x80 || refused_here == refused, "{first:x} {second:x}");
                for tail in [[0x80, 0x80], [0xbf, 0xbf], [0x80, 0x7f], [0x7f, 0x80], [0xc0, 0x80]] {
                    let bytes = [first, second, tail[0], tail[1]];
                    for length in 1..=4 {
                        let std = std::str::from_utf8(&bytes[..length]).ok().filter(|text| text.chars().count() == 1);
                        let std = std.filter(|text| !matches!(*text, "\u{fffe}" | "\u{ffff}"));
                        assert_eq!(decode(&bytes[..length]).is_some(), std.is_some(), "{:x?}", &bytes[..length]);
                    }
                }
            }
        }
    }
}
