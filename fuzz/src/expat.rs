//! Where expat sees the header, the stanzas and the end.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_long, c_void};

use super::framing::Mark;

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
    fn XML_StopParser(parser: Parser, resumable: u8) -> c_int;
    fn XML_GetErrorCode(parser: Parser) -> c_int;
    fn XML_GetCurrentByteIndex(parser: Parser) -> c_long;
    fn XML_GetCurrentByteCount(parser: Parser) -> c_int;
}

struct Seen {
    parser: Parser,
    depth: usize,
    marks: Vec<Mark>,
}

impl Seen {
    fn here(&self) -> usize {
        // SAFETY: called by a handler, inside XML_Parse.
        let (index, count) = unsafe { (XML_GetCurrentByteIndex(self.parser), XML_GetCurrentByteCount(self.parser)) };
        usize::try_from(index).unwrap() + usize::try_from(count).unwrap()
    }
}

extern "C" fn start(userdata: *mut c_void, _: *const c_char, _: *mut *const c_char) {
    // SAFETY: `marks` below passes it, and does not use it meanwhile.
    let seen = unsafe { &mut *userdata.cast::<Seen>() };
    seen.depth += 1;
    if seen.depth == 1 {
        seen.marks.push(Mark::Header(seen.here()));
    }
}

extern "C" fn end(userdata: *mut c_void, _: *const c_char) {
    // SAFETY: as above.
    let seen = unsafe { &mut *userdata.cast::<Seen>() };
    seen.depth -= 1;
    match seen.depth {
        1 => seen.marks.push(Mark::Stanza(seen.here())),
        0 => {
            seen.marks.push(Mark::End(seen.here()));
            // SAFETY: inside XML_Parse; what follows the end is nobody's business.
            unsafe { XML_StopParser(seen.parser, 0) };
        }
        _ => {}
    }
}

/// What expat sees, and the XML_Error that ended it.
pub(crate) fn marks(data: &[u8]) -> (Vec<Mark>, c_int) {
    // SAFETY: the parser lives until its end, and the handlers' data as long; the bytes outlive the call.
    unsafe {
        let parser = XML_ParserCreate(c"UTF-8".as_ptr());
        assert!(!parser.is_null());
        let mut seen = Seen { parser, depth: 0, marks: Vec::new() };
        let userdata = &raw mut seen;
        XML_SetUserData(parser, userdata.cast());
        XML_SetElementHandler(parser, start, end);
        XML_Parse(parser, data.as_ptr().cast(), c_int::try_from(data.len()).unwrap(), 1);
        let error = XML_GetErrorCode(parser);
        XML_ParserFree(parser);
        ((*userdata).marks.clone(), error)
    }
}
