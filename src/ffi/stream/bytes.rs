//! The bytes of an engine
//!
//! On a started stream these functions are XMPP_CLOSE_ERR_INVALID, or answer that
//! there is nothing.

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::{ffi::c_int, ptr, time::Duration};

use super::{
    super::{
        framer::{Found as FrameFound, condition, xmpp_close_frame::*},
        guard::{self, INVALID},
    },
    ask,
    body::Lone,
    call, xmpp_close_stream,
};
use crate::engine::{Engine, Found};

/// Stores where the next bytes to write are, and returns how many; 0: none, also
/// for NULL. The last bytes that ever come are our tag. bytes NULL: only the
/// number is wanted.
///
/// Bytes that were handed out stay the same until they are taken, however often
/// you ask (TLS insists on that); more may be appended. So ask when you can
/// write, not earlier: a stream error can go in front of our tag only while the
/// tag was not handed out.
///
/// The pointer is valid until the next call on s that changes the stream. A long
/// queue comes in pieces of 64 KiB. What is said last comes in one piece.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_output(s: *mut xmpp_close_stream, bytes: *mut *const u8) -> usize {
    const NOTHING: (*const u8, usize) = (ptr::null(), 0);
    let look = |lone: &mut Lone| {
        let output = lone.engine.output();
        if output.is_empty() { NOTHING } else { (output.as_ptr(), output.len()) }
    };
    // SAFETY: NULL, or from a function here and used by this thread only, as the header says.
    let (start, len) =
        unsafe { ask(s, NOTHING, NOTHING, |body| body.engine(|lone| Ok(look(lone))).unwrap_or(NOTHING)) };
    if !bytes.is_null() {
        // SAFETY: it can be written, as the header says.
        unsafe { bytes.write(start) };
    }
    len
}

/// Says that you took `taken` bytes of the last _output. They are not handed out
/// again.
///
/// `pending` is how many bytes are not with the kernel yet: of all that you ever
/// took, and of what lies in your own queue or TLS layer besides. With a plain
/// write(2) it is 0. With a queue of your own, or a memory BIO, it is the length
/// of that. Then call this again whenever the length changes, with taken 0. Our
/// tag counts as sent once pending is 0; NOTIFY and SHUT are not wanted before.
///
/// XMPP_CLOSE_ERR_INVALID: more was taken than was handed out. s NULL:
/// XMPP_CLOSE_OK.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_wrote(s: *mut xmpp_close_stream, taken: usize, pending: usize, now: u64) -> c_int {
    if s.is_null() {
        return 0;
    }
    // SAFETY: from a function here and used by this thread only, as the header says.
    unsafe {
        call(s, |body| {
            body.engine(|lone| {
                if taken > lone.engine.handed() || isize::try_from(pending).is_err() {
                    return Err(INVALID);
                }
                let now = lone.look_at_clock(now);
                lone.engine.wrote(taken, pending, now);
                Ok(0)
            })
        })
    }
}

/// Says that n bytes came, for a program with a parser (own_parser). Call it
/// before you parse them. Returns 1 when they are the peer's stream: parse them.
/// Returns 0 when they are to be discarded. s NULL: 1.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_received(s: *mut xmpp_close_stream, n: usize, now: u64) -> c_int {
    if s.is_null() {
        return 1;
    }
    // SAFETY: from a function here and used by this thread only, as the header says.
    unsafe {
        call(s, |body| {
            body.engine(|lone| {
                if !lone.own_parser {
                    return Err(INVALID);
                }
                let now = lone.look_at_clock(now);
                Ok(c_int::from(lone.engine.received(n, now)))
            })
        })
    }
}

/// Takes in bytes that came, for a program without a parser: `*len` bytes from
/// `*data` on. Returns an xmpp_close_frame, or a negative xmpp_close_result, and
/// moves `*data` and `*len` behind what it took. Call it until it returns
/// XMPP_CLOSE_FRAME_MORE, even if nothing is left.
///
/// `*xml` and `*xml_len` are the header or the stanza, valid as in
/// xmpp_close_framer_next(). xml and xml_len may be NULL.
///
/// The engine itself takes in the peer's tag (XMPP_CLOSE_FRAME_END), what is
/// malformed, and a stream error, which is returned as no frame. It discards what
/// follows.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_input(
    s: *mut xmpp_close_stream,
    data: *mut *const u8,
    len: *mut usize,
    now: u64,
    xml: *mut *const u8,
    xml_len: *mut usize,
) -> c_int {
    // SAFETY: the header says what the pointers must be.
    unsafe {
        call(s, |body| {
            let (data, len) = (guard::writable(data)?, guard::writable(len)?);
            let mut rest = guard::bytes(data.read().cast(), len.read())?;
            let found = body.engine(|lone| {
                if lone.own_parser {
                    return Err(INVALID);
                }
                let now = lone.look_at_clock(now);
                Ok(next(&mut lone.engine, &mut rest, now))
            })?;
            // When no byte is left, `rest` may point anywhere.
            data.write(if rest.is_empty() { data.read().wrapping_add(len.read()) } else { rest.as_ptr() });
            len.write(rest.len());
            if !xml.is_null() {
                xml.write(found.xml);
            }
            if !xml_len.is_null() {
                xml_len.write(found.len);
            }
            Ok(found.frame as c_int)
        })
    }
}

fn next(engine: &mut Engine, rest: &mut &[u8], now: Duration) -> FrameFound {
    loop {
        let mut input = *rest;
        let found = match engine.input(&mut input, now) {
            Some(Found::Header(xml)) => FrameFound::bytes(XMPP_CLOSE_FRAME_HEADER, xml.as_bytes()),
            Some(Found::Stanza(stanza)) => FrameFound::bytes(XMPP_CLOSE_FRAME_STANZA, stanza.as_bytes()),
            Some(Found::Oversize(length)) => FrameFound::oversize(length),
            Some(Found::StreamError(_)) => FrameFound::NOTHING, // the report has it
            Some(Found::PeerClosed) => FrameFound::last((XMPP_CLOSE_FRAME_END, c"")),
            Some(Found::Malformed(malformed)) => FrameFound::last((XMPP_CLOSE_FRAME_MALFORMED, condition(malformed))),
            None => {
                *rest = &[];
                return FrameFound::NOTHING;
            }
        };
        *rest = &rest[rest.len() - input.len()..];
        if found.frame != XMPP_CLOSE_FRAME_MORE {
            return found;
        }
    }
}
