//! Callbacks that tell the truth most of the time, and otherwise return and store whatever they like; what the header
//! promises them is checked.

#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr, slice,
};

use xmpp_close::ffi::xmpp_close_report;

use super::{
    bytes::Bytes,
    local::codes::{EAGAIN, EINTR},
};

/// What a callback may return beside an errno value.
const WANT_READ: c_int = -1;
const WANT_WRITE: c_int = -2;
const TLS_ERROR: c_int = -4;
/// What on_data may return beside 0, and what stops it.
const PEER_CLOSED: c_int = 11;
const NOT_XMPP: c_int = 12;
const MID_ELEMENT: c_int = 13;

/// The userdata of a stream.
pub(super) struct Liar<'a> {
    /// Decisions; once they are used up, it is honest.
    pub(super) script: Bytes<'a>,
    /// What the peer says, after which its side of TCP ends.
    input: &'a [u8],
    pub(super) is_tls: bool,
    /// How much was read, or so it was told.
    pub(super) given: u64,
    /// What was not taken, and has to come again.
    refused: Option<Vec<u8>>,
    /// Nothing can be written any more.
    output_is_over: bool,
    tls_failed: bool,
    /// What the last flush has left, or so it said.
    pending: usize,
    /// The peer's stream is over, or all is to stop: there may be no more of it.
    is_fed: bool,
    /// A callback wanted to stop.
    pub(super) stopped: bool,
    asked_for_farewell: bool,
    /// The phases that on_log was told.
    logged: Vec<c_int>,
    /// What on_end was told.
    pub(super) ended: Option<(usize, xmpp_close_report)>,
}

/// What to return, and what to store as a count; `None`: how much was really moved.
type Answer = (c_int, Option<usize>);

impl<'a> Liar<'a> {
    pub(super) fn new(bytes: &mut Bytes<'a>, input: &'a [u8]) -> Self {
        let is_tls = bytes.byte() % 4 == 1;
        let length = usize::from(bytes.byte() % 32);
        Self {
            script: Bytes(bytes.take(length)),
            input,
            is_tls,
            given: 0,
            refused: None,
            output_is_over: false,
            tls_failed: false,
            pending: 0,
            is_fed: true,
            stopped: false,
            asked_for_farewell: false,
            logged: Vec::new(),
            ended: None,
        }
    }

    pub(super) fn pointer(&mut self) -> *mut c_void {
        ptr::from_mut(self).cast()
    }

    /// For an attempt to move `len` bytes.
    fn answer(&mut self, len: usize) -> Answer {
        let code = match self.script.byte() {
            220.. => match self.script.byte() {
                byte @ ..128 => c_int::from(byte),
                byte @ 128..250 => 127 - c_int::from(byte),
                250 => c_int::MIN,
                251 => c_int::MAX,
                _ => EAGAIN,
            },
            200..220 => return (0, Some(len + 1 + usize::from(self.script.byte()))),
            190..200 => return (0, Some(usize::MAX)),
            _ => return (0, None),
        };
        // What is stored beside a code means nothing.
        (code, Some(self.script.byte().into()))
    }

    fn piece(&mut self, len: usize) -> usize {
        match self.script.byte() {
            0 => len,
            byte => len.min(byte.into()),
        }
    }

    /// Whether this ends the connection, or TLS.
    fn is_fatal(&mut self, (code, count): Answer, len: usize) -> bool {
        self.tls_failed |= self.is_tls && code == TLS_ERROR;
        match code {
            0 => count.is_some_and(|count| count > len),
            WANT_READ | WANT_WRITE | EINTR | EAGAIN => false,
            _ => true,
        }
    }

    fn end(&mut self) -> c_int {
        let answer = self.answer(0);
        if answer.0 == 0 || self.is_fatal(answer, 0) {
            self.output_is_over = true;
        }
        answer.0
    }

    fn take(&mut self) -> c_int {
        assert!(self.is_fed && !self.stopped, "more after the end");
        match self.script.byte() {
            240.. => [PEER_CLOSED, -1, NOT_XMPP, c_int::MIN, MID_ELEMENT][usize::from(self.script.byte() % 5)],
            _ => 0,
        }
    }
}

/// # Safety
/// `userdata` is NULL, or a [`Liar`] that nobody else uses meanwhile.
unsafe fn liar<'a>(userdata: *mut c_void) -> Option<&'a mut Liar<'a>> {
    // SAFETY: as the caller promises.
    unsafe { userdata.cast::<Liar<'a>>().as_mut() }
}

pub(super) unsafe extern "C" fn read(userdata: *mut c_void, buf: *mut u8, len: usize, n: *mut usize) -> c_int {
    // SAFETY: the header promises `len` bytes at `buf`, and a count that is 0.
    let (liar, buf, n) = unsafe { (liar(userdata).unwrap(), slice::from_raw_parts_mut(buf, len), &mut *n) };
    assert!(*n == 0 && len > 0);
    let answer = liar.answer(len);
    liar.is_fatal(answer, len);
    *n = answer.1.unwrap_or_else(|| {
        let count = liar.piece(len).min(liar.input.len());
        let (piece, rest) = liar.input.split_at(count);
        buf[..count].copy_from_slice(piece);
        liar.input = rest;
        count
    });
    if answer.0 == 0 && *n <= len {
        liar.given += *n as u64; // true or not, it cannot be known
    }
    answer.0
}

pub(super) unsafe extern "C" fn write(userdata: *mut c_void, buf: *const u8, len: usize, n: *mut usize) -> c_int {
    // SAFETY: as above.
    let (liar, buf, n) = unsafe { (liar(userdata).unwrap(), slice::from_raw_parts(buf, len), &mut *n) };
    assert!(*n == 0 && !liar.output_is_over, "output after its end");
    if let Some(refused) = liar.refused.take() {
        assert!(!liar.is_tls || buf.starts_with(&refused), "other bytes than those that could not be taken");
    }
    let answer = liar.answer(len);
    *n = answer.1.unwrap_or_else(|| liar.piece(len));
    if liar.is_fatal(answer, len) {
        liar.output_is_over = true;
    } else if answer.0 != 0 {
        liar.refused = Some(buf.to_vec());
    }
    answer.0
}

pub(super) unsafe extern "C" fn notify(userdata: *mut c_void) -> c_int {
    // SAFETY: as above.
    let liar = unsafe { liar(userdata) }.unwrap();
    assert!(liar.is_tls && !liar.output_is_over && !liar.tls_failed, "close_notify behind the end");
    liar.end()
}

pub(super) unsafe extern "C" fn shut(userdata: *mut c_void) -> c_int {
    // SAFETY: as above.
    let liar = unsafe { liar(userdata) }.unwrap();
    assert!(
        !liar.tls_failed && liar.pending == 0,
        "the end of output after TLS failed, or in front of what is pending"
    );
    liar.end()
}

pub(super) unsafe extern "C" fn flush(userdata: *mut c_void, pending: *mut usize) -> c_int {
    // SAFETY: as above.
    let (liar, pending) = unsafe { (liar(userdata).unwrap(), &mut *pending) };
    let (code, count) = liar.answer(0);
    liar.pending = count.unwrap_or(0);
    *pending = liar.pending;
    if ![0, WANT_READ, WANT_WRITE, EINTR, EAGAIN].contains(&code) {
        liar.output_is_over = true;
    }
    code
}

pub(super) unsafe extern "C" fn stanza(userdata: *mut c_void, xml: *const u8, len: usize) -> c_int {
    // SAFETY: as the header promises.
    let (liar, xml) = unsafe { (liar(userdata), slice::from_raw_parts(xml, len)) };
    assert!(xml.starts_with(b"<") && xml.ends_with(b">"));
    let Some(liar) = liar else { return 0 };
    let answer = liar.take();
    liar.stopped = answer != 0;
    answer
}

pub(super) unsafe extern "C" fn data(userdata: *mut c_void, data: *const u8, len: usize) -> c_int {
    // SAFETY: as the header promises.
    let (liar, data) = unsafe { (liar(userdata), slice::from_raw_parts(data, len)) };
    assert!(!data.is_empty());
    std::hint::black_box(data.iter().fold(0, |sum, byte| sum ^ byte));
    let Some(liar) = liar else { return 0 };
    let answer = liar.take();
    liar.is_fed = [0, MID_ELEMENT].contains(&answer);
    liar.stopped = ![0, PEER_CLOSED, NOT_XMPP, MID_ELEMENT].contains(&answer);
    answer
}

pub(super) unsafe extern "C" fn farewell(userdata: *mut c_void, buf: *mut u8, len: usize, n: *mut usize) -> c_int {
    // SAFETY: as the header promises.
    let (buf, n) = unsafe { (slice::from_raw_parts_mut(buf, len), &mut *n) };
    assert!(*n == 0 && len == 4096);
    // SAFETY: as above.
    let Some(liar) = (unsafe { liar(userdata) }) else { return 0 };
    assert!(!std::mem::replace(&mut liar.asked_for_farewell, true), "asked twice");
    buf.fill(b' ');
    let (code, count) = liar.answer(len);
    *n = count.unwrap_or_else(|| liar.piece(len));
    liar.stopped |= code != 0 || *n > len;
    code
}

pub(super) unsafe extern "C" fn log(userdata: *mut c_void, phase: c_int, line: *const c_char) {
    // SAFETY: the header promises a NUL at the end.
    let line = unsafe { CStr::from_ptr(line) }.to_str().expect("UTF-8");
    assert!((1..=4).contains(&phase) && !line.is_empty() && !line.contains(char::is_control), "{phase}: {line:?}");
    // SAFETY: as above.
    let Some(liar) = (unsafe { liar(userdata) }) else { return };
    assert_eq!(liar.logged.is_empty(), phase == 1, "the first is that it has begun");
    assert!(!liar.logged.contains(&phase) && !liar.logged.contains(&4), "{phase} behind {:?}", liar.logged);
    liar.logged.push(phase);
}

pub(super) unsafe extern "C" fn end(userdata: *mut c_void, index: usize, report: *const xmpp_close_report) {
    // SAFETY: as the header promises.
    let report = unsafe { *report };
    assert_ne!(report.outcome, 0);
    // SAFETY: as above.
    let Some(liar) = (unsafe { liar(userdata) }) else { return };
    assert!(liar.ended.replace((index, report)).is_none(), "it ended twice");
}
