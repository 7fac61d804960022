//! expat, as jabberd uses it: elements counted by their depth.

use std::ffi::{c_char, c_int, c_void};

type Parser = *mut c_void;

#[link(name = "expat")]
unsafe extern "C" {
    fn XML_ParserCreate(encoding: *const c_char) -> Parser;
    fn XML_ParserFree(parser: Parser);
    fn XML_SetUserData(parser: Parser, userdata: *mut c_void);
    fn XML_SetElementHandler(
        parser: Parser,
        start: extern "C" fn(*mut c_void, *const c_char, *mut *const c_char),
        end: extern "C" fn(*mut c_void, *const c_char),
    );
    fn XML_Parse(parser: Parser, data: *const c_char, len: c_int, is_final: c_int) -> c_int;
}

#[derive(Default)]
struct Seen {
    depth: usize,
    stanzas: usize,
}

extern "C" fn start(userdata: *mut c_void, _: *const c_char, _: *mut *const c_char) {
    // SAFETY: `stanzas` below passes it, and does not use it meanwhile.
    unsafe { (*userdata.cast::<Seen>()).depth += 1 };
}

extern "C" fn end(userdata: *mut c_void, _: *const c_char) {
    // SAFETY: as above.
    let seen = unsafe { &mut *userdata.cast::<Seen>() };
    seen.depth -= 1;
    seen.stanzas += usize::from(seen.depth == 1);
}

/// How many stanzas a stream has that comes in such pieces.
pub fn stanzas<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> usize {
    let mut seen = Seen::default();
    let userdata = &raw mut seen;
    // SAFETY: the parser lives until its end, and the handlers' data as long; the bytes outlive the call.
    unsafe {
        let parser = XML_ParserCreate(c"UTF-8".as_ptr());
        XML_SetUserData(parser, userdata.cast());
        XML_SetElementHandler(parser, start, end);
        for piece in pieces {
            assert_eq!(XML_Parse(parser, piece.as_ptr().cast(), c_int::try_from(piece.len()).unwrap(), 0), 1);
        }
        assert_eq!(XML_Parse(parser, std::ptr::null(), 0, 1), 1);
        XML_ParserFree(parser);
        (*userdata).stanzas
    }
}
