//! The framing by itself, for programs without a parser
//!
//! A framer takes the peer's bytes as they come. It finds where the header, each
//! stanza and the stream end.
//!
//! In a thread, one function hands the bytes to the framer: what the thread's own
//! recv() reads, and as on_data what xmpp_close_fd() reads. What the function
//! returned last goes into parsed of the options:
//!
//! ```example
//! int take(void *userdata, const uint8_t *in, size_t len)
//! {
//!     xmpp_close_framer *f = (xmpp_close_framer *)userdata;
//!     const uint8_t *xml;
//!     size_t used, n;
//!     int frame;
//!     while ((frame = xmpp_close_framer_next(f, in, len, &used, &xml, &n)) > 0) {
//!         in += used, len -= used;
//!         if (frame == XMPP_CLOSE_FRAME_STANZA)
//!             printf("%.*s\n", (int)n, (const char *)xml);
//!         else if (frame == XMPP_CLOSE_FRAME_END)
//!             return XMPP_CLOSE_PEER_CLOSED;
//!         else if (frame == XMPP_CLOSE_FRAME_MALFORMED)
//!             return XMPP_CLOSE_NOT_XMPP; // xml is the condition
//!     }
//!     return xmpp_close_framer_between_stanzas(f) ? 0 : XMPP_CLOSE_MID_ELEMENT;
//! }
//!
//! void serve(int fd, xmpp_close_framer *f)
//! {
//!     xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
//!     uint8_t buf[4096];
//!     ssize_t n;
//!     int said = 0; // while nothing has come, nothing can be cut off
//!     while ((said == 0 || said == XMPP_CLOSE_MID_ELEMENT) &&
//!            (n = recv(fd, buf, sizeof buf, 0)) > 0)
//!         said = take(f, buf, (size_t)n);
//!     options.on_data = take;
//!     options.userdata = f;
//!     options.parsed = (uint32_t)said;
//!     xmpp_close_fd(fd, &options, NULL);
//! }
//! ```

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
};

use super::{
    guard::{self, Refusal, guard, guard_or, guard_pure},
    sized::int,
};
use crate::{
    framing::{DEFAULT_STANZA_LIMIT, Frame, Framer, Malformed},
    options::CloseOptions,
};

/// What was found.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_frame {
    /// Nothing yet. All bytes are consumed: hand in more.
    XMPP_CLOSE_FRAME_MORE = 0,
    /// The peer's header: the start tag of the root, whatever its name and
    /// namespace. Whether it is a stream of XMPP is yours to check.
    XMPP_CLOSE_FRAME_HEADER = 1,
    /// A whole stanza, or another first-level element, such as a stream error.
    XMPP_CLOSE_FRAME_STANZA = 2,
    /// The end of a stanza over the limit, which was passed over. `*xml` is NULL,
    /// `*xml_len` is its length.
    XMPP_CLOSE_FRAME_OVERSIZE = 3,
    /// The peer's tag. Every later call finds it again, and consumes nothing.
    XMPP_CLOSE_FRAME_END = 4,
    /// What came is not well-formed, or has what XMPP forbids, such as a comment.
    /// Text between stanzas is no error: it is passed over.
    /// Names and namespaces are not looked at. `*xml` is the stream error condition
    /// to answer with, such as "not-well-formed", and ends in NUL. Every later call
    /// finds this again, and consumes nothing.
    XMPP_CLOSE_FRAME_MALFORMED = 5,
}

use xmpp_close_frame::*;

/// The peer's half of one stream.
pub struct xmpp_close_framer {
    framer: Framer,
    /// The end that was found.
    last: Option<(xmpp_close_frame, &'static CStr)>,
}

/// What a framer found. The pointer points into the framer or the input.
pub(super) struct Found {
    pub(super) frame: xmpp_close_frame,
    pub(super) xml: *const u8,
    pub(super) len: usize,
}

impl Found {
    pub(super) const NOTHING: Self = Self { frame: XMPP_CLOSE_FRAME_MORE, xml: ptr::null(), len: 0 };

    pub(super) fn bytes(frame: xmpp_close_frame, xml: &[u8]) -> Self {
        Self { frame, xml: xml.as_ptr(), len: xml.len() }
    }

    pub(super) fn oversize(length: u64) -> Self {
        let len = usize::try_from(length).unwrap_or(usize::MAX);
        Self { frame: XMPP_CLOSE_FRAME_OVERSIZE, xml: ptr::null(), len }
    }

    pub(super) fn last((frame, words): (xmpp_close_frame, &'static CStr)) -> Self {
        Self { frame, xml: words.as_ptr().cast(), len: words.count_bytes() }
    }
}

impl xmpp_close_framer {
    fn next(&mut self, input: &mut &[u8]) -> Found {
        if let Some(last) = self.last {
            return Found::last(last);
        }
        let last = match self.framer.next(input) {
            None => return Found::NOTHING,
            Some(Frame::Header(xml)) => return Found::bytes(XMPP_CLOSE_FRAME_HEADER, xml),
            Some(Frame::Stanza(xml)) => return Found::bytes(XMPP_CLOSE_FRAME_STANZA, xml),
            Some(Frame::Oversize(length)) => return Found::oversize(length),
            Some(Frame::End) => (XMPP_CLOSE_FRAME_END, c""),
            Some(Frame::Malformed(malformed)) => (XMPP_CLOSE_FRAME_MALFORMED, condition(malformed)),
        };
        self.last = Some(last);
        Found::last(last)
    }
}

/// `Malformed::condition` with a NUL.
pub(super) fn condition(malformed: Malformed) -> &'static CStr {
    match malformed {
        Malformed::NotWellFormed => c"not-well-formed",
        Malformed::RestrictedXml => c"restricted-xml",
        Malformed::UnsupportedEncoding => c"unsupported-encoding",
    }
}

/// # Safety
/// `out` is NULL or can be written.
unsafe fn give(framer: Framer, stanza_limit: usize, out: *mut *mut xmpp_close_framer) -> Result<c_int, Refusal> {
    let limit = if stanza_limit == 0 { DEFAULT_STANZA_LIMIT } else { stanza_limit };
    let framer = xmpp_close_framer { framer: framer.limit(limit), last: None };
    // SAFETY: as the caller promises.
    unsafe {
        guard::writable(out)?;
        guard::give(framer, out)
    }
}

/// Stores a framer for a stream from its first byte on. stanza_limit is the
/// longest stanza to find, as in xmpp_close_options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_framer_new(stanza_limit: usize, out: *mut *mut xmpp_close_framer) -> c_int {
    // SAFETY: the header says what the pointer must be.
    guard(|| unsafe { give(Framer::new(), stanza_limit, out) })
}

/// Stores a framer for a stream from between two stanzas on. root is the name in
/// the peer's header, usually "stream:stream": only an end tag with this name is
/// the peer's tag. NULL: the name is unknown, and an end tag with the name
/// "stream", with any prefix or none, is the peer's tag. Any other end tag
/// between stanzas is XMPP_CLOSE_FRAME_MALFORMED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_framer_new_inside(
    root: *const c_char,
    stanza_limit: usize,
    out: *mut *mut xmpp_close_framer,
) -> c_int {
    guard(|| {
        // SAFETY: the header says what the pointers must be.
        unsafe {
            let root = guard::text(root)?;
            if let Some(root) = root {
                CloseOptions::new().closing_tag(format!("</{root}>")).root()?;
            }
            give(Framer::inside(root), stanza_limit, out)
        }
    })
}

/// Frees it; NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_framer_free(f: *mut xmpp_close_framer) {
    // SAFETY: NULL, or from xmpp_close_framer_new() and not freed, as the header says.
    unsafe { guard::take_back(f) }
}

/// Looks at up to len bytes, stores in `*consumed` how many it took, and returns
/// an xmpp_close_frame, or a negative xmpp_close_result. Call it again with the
/// rest until it returns XMPP_CLOSE_FRAME_MORE, even if the rest is empty.
///
/// `*xml` and `*xml_len` are the header or the stanza. They are valid until the
/// next call on f, and as long as data is. xml and xml_len may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_framer_next(
    f: *mut xmpp_close_framer,
    data: *const c_void,
    len: usize,
    consumed: *mut usize,
    xml: *mut *const u8,
    xml_len: *mut usize,
) -> c_int {
    guard_pure(|| {
        // SAFETY: the header says what the pointers must be.
        let (f, consumed, mut rest) = unsafe {
            let consumed = guard::writable(consumed)?;
            (guard::exclusive(f)?, consumed, guard::bytes(data, len)?)
        };
        let found = f.next(&mut rest);
        // SAFETY: as above.
        unsafe {
            consumed.write(len - rest.len());
            if !xml.is_null() {
                xml.write(found.xml);
            }
            if !xml_len.is_null() {
                xml_len.write(found.len);
            }
        }
        Ok(found.frame as c_int)
    })
}

/// Expects a new header, as after STARTTLS, SASL and compression. You may have
/// read bytes behind the element that agreed to it. After SASL, hand them in:
/// they begin the new stream. After STARTTLS, drop them (RFC 6120 section
/// 5.4.3.3). After compression, they are compressed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_framer_restart(f: *mut xmpp_close_framer) -> c_int {
    guard(|| {
        // SAFETY: NULL, or from xmpp_close_framer_new() and used by this thread only, as the header says.
        let f = unsafe { guard::exclusive(f) }?;
        f.framer.restart();
        f.last = None;
        Ok(0)
    })
}

/// Returns 1 if what was consumed ends between two stanzas, and 0 if it ends
/// inside a stanza or a tag. Also 0 before the header is complete, and after
/// XMPP_CLOSE_FRAME_END and XMPP_CLOSE_FRAME_MALFORMED. NULL: 0. So ask it only
/// when a byte has come: before that, nothing can be cut off.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_framer_between_stanzas(f: *const xmpp_close_framer) -> c_int {
    // SAFETY: NULL, or from xmpp_close_framer_new() and changed by nobody now, as the header says.
    guard_or(0, || unsafe { guard::shared(f) }.map_or(0, |f| int(f.framer.between_stanzas())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conditions_are_those_of_rust() {
        for malformed in [Malformed::NotWellFormed, Malformed::RestrictedXml, Malformed::UnsupportedEncoding] {
            assert_eq!(condition(malformed).to_str(), Ok(malformed.condition().as_str()));
        }
    }

    #[test]
    fn the_end_stays_the_end() {
        let mut framer = xmpp_close_framer { framer: Framer::inside(None), last: None };
        let mut input = &b"<a/></stream:stream><b/>"[..];
        assert_eq!(framer.next(&mut input).frame, XMPP_CLOSE_FRAME_STANZA);
        for _ in 0..2 {
            assert_eq!(framer.next(&mut input).frame, XMPP_CLOSE_FRAME_END);
            assert_eq!(input, b"<b/>");
        }
    }
}
