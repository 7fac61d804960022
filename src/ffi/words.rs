//! Words and versions

use std::{
    ffi::{CStr, c_char, c_int},
    ptr,
};

use super::{
    guard::{self, guard_pure},
    report::xmpp_close_report,
    sized,
};
use crate::report::{Outcome, Report};

/// Returns one English sentence for an xmpp_close_result, or for any other
/// number. Never NULL. It is never freed.
#[unsafe(no_mangle)]
pub extern "C" fn xmpp_close_strerror(result: c_int) -> *const c_char {
    sentence(result).as_ptr()
}

/// Returns a short name for an xmpp_close_outcome, for logs and statistics, such
/// as "clean" or "timed-out"; for any other number "unknown". Never NULL. It is
/// never freed.
#[unsafe(no_mangle)]
pub extern "C" fn xmpp_close_outcome_name(outcome: u32) -> *const c_char {
    name(outcome).as_ptr()
}

/// Stores one line about a report, for a log: "clean: both closing tags were
/// exchanged; begun by us; ...". As with snprintf(3), at most len bytes are
/// stored in buf, a NUL among them if len is not 0, and the length of the whole
/// line is returned. No character is cut in two.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_describe(report: *const xmpp_close_report, buf: *mut c_char, len: usize) -> c_int {
    guard_pure(|| {
        // SAFETY: the header says what the pointer must be.
        let line = Report::from(&unsafe { sized::copy_in(report) }?).to_string();
        if len > 0 {
            let buf = guard::writable(buf)?;
            let kept = (0..=line.len().min(len - 1)).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
            // SAFETY: `buf` has room for `len` bytes, as the header says, and `kept` is less.
            unsafe {
                ptr::copy_nonoverlapping(line.as_ptr(), buf.cast(), kept);
                buf.add(kept).write(0);
            }
        }
        Ok(c_int::try_from(line.len()).unwrap_or(c_int::MAX))
    })
}

/// Returns the XMPP_CLOSE_VERSION_NUMBER of the library in use. The header may be
/// that of another version.
#[unsafe(no_mangle)]
pub extern "C" fn xmpp_close_version_number() -> u32 {
    const VERSION: u32 = part(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + part(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + part(env!("CARGO_PKG_VERSION_PATCH"));
    VERSION
}

const fn part(digits: &str) -> u32 {
    match u32::from_str_radix(digits, 10) {
        Ok(number) => number,
        Err(_) => panic!("Cargo's version parts are numbers"),
    }
}

fn sentence(result: c_int) -> &'static CStr {
    match result {
        0 => c"the stream was closed as far as it could be; the report says how it ended",
        1 => c"nothing more is sent on this stream: its closing tag is due, or writing failed",
        2 => c"too much is queued for sending",
        -1 => c"a pointer that is needed was NULL",
        -2 => {
            c"a value makes no sense, a struct was not initialized, the descriptor is no connected stream socket, or the \
              call is not for this stream or moment"
        }
        -3 => c"the system refused memory or descriptors",
        -4 => c"there was a panic in xmpp_close, which is a bug",
        _ => c"not a result of xmpp_close",
    }
}

fn name(outcome: u32) -> &'static CStr {
    match Outcome::ALL.iter().copied().find(|known| *known as u32 == outcome) {
        Some(Outcome::Pending) => c"pending",
        Some(Outcome::Clean) => c"clean",
        Some(Outcome::PeerEof) => c"peer-eof",
        Some(Outcome::Truncated) => c"truncated",
        Some(Outcome::Reset) => c"reset",
        Some(Outcome::TimedOut) => c"timed-out",
        Some(Outcome::Stalled) => c"stalled",
        Some(Outcome::Malformed) => c"malformed",
        Some(Outcome::TlsFailed) => c"tls-failed",
        Some(Outcome::Cancelled) => c"cancelled",
        None => c"unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::{super::codes::xmpp_close_result, *};

    #[test]
    fn outcomes_have_the_names_of_rust() {
        for &outcome in Outcome::ALL {
            assert_eq!(name(outcome as u32).to_str(), Ok(outcome.as_str()));
        }
        assert_eq!(name(10), c"unknown");
        assert_eq!(name(u32::MAX), c"unknown");
    }

    #[test]
    fn every_result_has_a_sentence_of_its_own() {
        let results = [
            xmpp_close_result::XMPP_CLOSE_OK,
            xmpp_close_result::XMPP_CLOSE_REFUSED,
            xmpp_close_result::XMPP_CLOSE_FULL,
            xmpp_close_result::XMPP_CLOSE_ERR_NULL,
            xmpp_close_result::XMPP_CLOSE_ERR_INVALID,
            xmpp_close_result::XMPP_CLOSE_ERR_SYSTEM,
            xmpp_close_result::XMPP_CLOSE_ERR_PANIC,
        ];
        let mut sentences: Vec<_> = results.iter().map(|result| sentence(*result as c_int)).collect();
        sentences.push(sentence(c_int::MIN));
        sentences.sort_unstable();
        sentences.dedup();
        assert_eq!(sentences.len(), results.len() + 1);
        assert_eq!(sentence(3), sentence(c_int::MAX));
    }

    #[test]
    fn the_version_is_that_of_the_package() {
        let number = xmpp_close_version_number();
        let text = format!("{}.{}.{}", number / 1_000_000, number / 1_000 % 1_000, number % 1_000);
        assert_eq!(text, env!("CARGO_PKG_VERSION"));
    }
}
