//! The fast way through the common case: a start tag that lies whole in the input, with one space before each attribute and
//! none around its `=`. Nearly all tags are written so. Any other tag, and every malformed one, is left to the state machine,
//! whose result for a plain tag would be the same.

use super::bytes::{is_ascii_name_start, name_run, value_run};
use super::chars::{predefined_reference, wide_run};

/// The lengths of a start tag and its name, both without the `<`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartTag {
    pub name: usize,
    pub length: usize,
    pub empty: bool,
}

/// Measures the start tag whose name `bytes` begin with. `None`: it is not plain.
#[inline]
pub(super) fn start_tag(bytes: &[u8]) -> Option<StartTag> {
    let name = name(bytes)?;
    let mut at = name;
    loop {
        match *bytes.get(at)? {
            b' ' => {
                at += 1;
                at += self::name(&bytes[at..])?;
                let [b'=', quote @ (b'\'' | b'"'), behind @ ..] = &bytes[at..] else { return None };
                at += 2 + value(behind, *quote)?;
            }
            b'>' => return Some(StartTag { name, length: at + 1, empty: false }),
            b'/' if bytes.get(at + 1) == Some(&b'>') => return Some(StartTag { name, length: at + 2, empty: true }),
            _ => return None,
        }
    }
}

/// Length of the name that `bytes` begin with, if they do.
#[inline]
pub(super) fn name(bytes: &[u8]) -> Option<usize> {
    is_ascii_name_start(*bytes.first()?).then(|| name_run(bytes))
}

/// Length of an attribute value, its closing quote included.
#[inline]
fn value(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += value_run(&bytes[at..], quote);
        at += match *bytes.get(at)? {
            byte if byte == quote => return Some(at + 1),
            b'&' => 1 + predefined_reference(&bytes[at + 1..])?,
            _ => Some(wide_run(&bytes[at..])).filter(|&length| length > 0)?,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_as_everyone_writes_it_is_measured_whole() {
        for (tag, name) in [
            ("a>", 1),
            ("message/>", 7),
            ("x:iq type='get' id=\"1\">", 4),
            ("a b=''/>", 1),
            ("a b='>'>", 1),
            ("a b='x>y' c='\"/>' d=\"'\"/>", 1),
            ("a b='&lt;&gt;&amp;&apos;&quot;'>", 1),
            ("a b='1 &amp; 2 дай ей 光 😀 x'/>", 1),
        ] {
            let expected = StartTag { name, length: tag.len(), empty: tag.ends_with("/>") };
            assert_eq!(start_tag(tag.as_bytes()), Some(expected), "{tag}");
            assert_eq!(start_tag(&[tag.as_bytes(), b"<b c='d'>"].concat()), Some(expected), "{tag}");
            for cut in 0..tag.len() {
                assert_eq!(start_tag(&tag.as_bytes()[..cut]), None, "{tag} cut at {cut}");
            }
        }
    }

    #[test]
    fn every_other_tag_is_left_to_the_state_machine() {
        for tag in [
            " a>",
            "1>",
            "ä>",
            "aä>",
            "a >",
            "a  b=''>",
            "a b>",
            "a b =''>",
            "a b= ''>",
            "a b=c>",
            "a b=''c=''>",
            "a/b>",
            "a / >",
            "a b='<'>",
            "a b='&x;'>",
            "a b='&#65;'>",
            "a b='\t'>",
            "a b='\u{ffff}'>",
        ] {
            assert_eq!(start_tag(tag.as_bytes()), None, "{tag}");
        }
    }
}
