//! The XML declaration, `<?xml version='1.0' encoding='UTF-8'?>`.

use super::Malformed::{self, NotWellFormed, UnsupportedEncoding};
use super::bytes::is_space;

/// The longest declaration that is accepted: far longer than any real one.
pub(super) const MAX_DECLARATION: usize = 1024;

/// Checks what stands between `<?xml` and `>`.
///
/// XMPP is UTF-8 (RFC 6120 section 11.6), so any other encoding is refused. `standalone` has no effect.
pub(super) fn check(declaration: &[u8]) -> Result<(), Malformed> {
    let mut rest = declaration.strip_suffix(b"?").ok_or(NotWellFormed)?;
    let version = attribute(&mut rest, b"version").ok_or(NotWellFormed)?;
    if !version.strip_prefix(b"1.").is_some_and(|minor| !minor.is_empty() && minor.iter().all(u8::is_ascii_digit)) {
        return Err(NotWellFormed);
    }
    let encoding = attribute(&mut rest, b"encoding");
    if attribute(&mut rest, b"standalone").is_some_and(|value| value != b"yes" && value != b"no") {
        return Err(NotWellFormed);
    }
    match encoding {
        _ if !rest.iter().all(|&byte| is_space(byte)) => Err(NotWellFormed),
        Some(name) if !is_encoding_name(name) => Err(NotWellFormed),
        Some(name) if !name.eq_ignore_ascii_case(b"utf-8") => Err(UnsupportedEncoding),
        _ => Ok(()),
    }
}

/// Takes ` name = 'value'` off the front of `rest`, if it is there.
fn attribute<'a>(rest: &mut &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let spaced = trim(rest);
    if spaced.len() == rest.len() {
        return None;
    }
    let value = trim(trim(spaced.strip_prefix(name)?).strip_prefix(b"=")?);
    let (&quote, value) = value.split_first().filter(|(quote, _)| matches!(quote, b'\'' | b'"'))?;
    let length = value.iter().position(|&byte| byte == quote)?;
    *rest = &value[length + 1..];
    Some(&value[..length])
}

fn trim(bytes: &[u8]) -> &[u8] {
    &bytes[bytes.iter().take_while(|&&byte| is_space(byte)).count()..]
}

fn is_encoding_name(name: &[u8]) -> bool {
    name.first().is_some_and(u8::is_ascii_alphabetic)
        && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}
