//! Classes of bytes, and the lengths of runs of them. Long runs are measured eight bytes at a time.
//!
//! Such a step makes a word of flags: one flag, the highest bit, for each of the eight bytes. Only the lowest flag that is set
//! is looked at, and that one is always right. Flags above it may be wrong: the subtraction of a flagged byte borrows from
//! the bytes above it.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// Length of the run of ASCII text that `bytes` begin with. It stops at `<`, `&`, `]`, a control character or a non-ASCII byte.
#[inline]
pub(super) fn text_run(bytes: &[u8]) -> usize {
    run(bytes, |word| unusual(word) | equal(word, b'<') | equal(word, b'&') | equal(word, b']'))
}

/// Length of such a run in a CDATA section. It stops at `]`, a control character or a non-ASCII byte.
#[inline]
pub(super) fn cdata_run(bytes: &[u8]) -> usize {
    run(bytes, |word| unusual(word) | equal(word, b']'))
}

/// Length of such a run in an attribute value. It stops at `quote`, `<`, `&`, a control character or a non-ASCII byte.
#[inline]
pub(super) fn value_run(bytes: &[u8], quote: u8) -> usize {
    run(bytes, |word| unusual(word) | equal(word, quote) | equal(word, b'<') | equal(word, b'&'))
}

/// Length of the run of ASCII name characters that `bytes` begin with.
#[inline]
pub(super) fn name_run(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|&&byte| is_ascii_name(byte)).count()
}

#[inline]
fn run(bytes: &[u8], stops: impl Fn(u64) -> u64) -> usize {
    let flags = |chunk: &[u8; 8]| stops(u64::from_le_bytes(*chunk)) & HIGH;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let flags = flags(chunk);
        if flags != 0 {
            return at + flags.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let mut last = [0; 8]; // NUL stops every kind of run
    last[..bytes.len() - at].copy_from_slice(&bytes[at..]);
    at + flags(&last).trailing_zeros() as usize / 8
}

/// Flags bytes below 0x20 and above 0x7f.
#[inline]
fn unusual(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) | word
}

/// Flags bytes equal to `byte`, and perhaps non-ASCII bytes: [`unusual`] flags these anyway.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    (word ^ (ONES * u64::from(byte))).wrapping_sub(ONES)
}

/// White space as XML defines it (production S).
#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The ASCII part of the production NameStartChar.
#[inline]
pub(super) fn is_ascii_name_start(byte: u8) -> bool {
    NAME_BYTES[usize::from(byte)] == 2
}

/// The ASCII part of the production NameChar.
#[inline]
pub(super) fn is_ascii_name(byte: u8) -> bool {
    NAME_BYTES[usize::from(byte)] > 0
}

/// 2 for a byte that may begin a name, 1 for one that may only follow in a name.
static NAME_BYTES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 0x80 {
        table[byte as usize] = match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | b':' => 2,
            b'0'..=b'9' | b'-' | b'.' => 1,
            _ => 0,
        };
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn every_byte_at_every_place(run: impl Fn(&[u8]) -> usize, filler: u8, passes: impl Fn(u8) -> bool) {
        for byte in 0..=255 {
            for place in 0..20 {
                let mut bytes = [filler; 20];
                bytes[place] = byte;
                let expected = if passes(byte) { 20 } else { place };
                assert_eq!(run(&bytes), expected, "byte {byte:#x} at {place}");
                // The bytes behind the one that stops a run must not move the stop.
                bytes[place + 1..].fill(b'<');
                assert_eq!(run(&bytes[..place + 1]), expected.min(place + 1), "byte {byte:#x} at {place}");
            }
        }
    }

    #[test]
    fn runs_stop_at_the_first_special_byte_and_at_no_other() {
        let printable = |byte: u8| (0x20..0x80).contains(&byte);
        every_byte_at_every_place(text_run, b'a', |byte| printable(byte) && !b"<&]".contains(&byte));
        every_byte_at_every_place(cdata_run, b'a', |byte| printable(byte) && byte != b']');
        every_byte_at_every_place(|b| value_run(b, b'"'), b'\'', |byte| printable(byte) && !b"<&\"".contains(&byte));
        every_byte_at_every_place(|b| value_run(b, b'\''), b'"', |byte| printable(byte) && !b"<&'".contains(&byte));
        every_byte_at_every_place(name_run, b'z', |byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    }
}
