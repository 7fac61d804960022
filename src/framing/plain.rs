//! The fast way through the common case: a start tag that lies whole in the input and is written as everyone writes
//! them, with one space before each attribute and nothing in its values but ASCII. It is what most of a stream
//! consists of. Any other tag, and every wrong one, is left to the state machine, which does not know of this.

use super::bytes::{is_ascii_name_start, name_run, value_run};

/// A start tag, measured without its `<`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StartTag {
    pub name: usize,
    pub length: usize,
    pub empty: bool,
}

/// Measures the start tag whose name `bytes` begins with; `None`: this one is not plain.
#[inline]
pub(super) fn start_tag(bytes: &[u8]) -> Option<StartTag> {
    let name = name(bytes)?;
    let mut at = name;
    loop {
        match *bytes.get(at)? {
            b' ' => {
                at += 1;
                at += self::name(&bytes[at..])?;
                let [b'=', quote @ (b'\'' | b'"'), value @ ..] = &bytes[at..] else { return None };
                at += 2 + value_run(value, *quote);
                if bytes.get(at) != Some(quote) {
                    return None;
                }
                at += 1;
            }
            b'>' => return Some(StartTag { name, length: at + 1, empty: false }),
            b'/' if bytes.get(at + 1) == Some(&b'>') => return Some(StartTag { name, length: at + 2, empty: true }),
            _ => return None,
        }
    }
}

#[inline]
fn name(bytes: &[u8]) -> Option<usize> {
    is_ascii_name_start(*bytes.first()?).then(|| name_run(bytes))
}
