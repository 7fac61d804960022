//! The state machine by itself, for event loops
//!
//! Tell it what happened, and when; do what it answers. It does no I/O, has no
//! clock, calls nothing back and allocates nothing but its handle, which may be
//! kept in structs that are copied. now_ms comes from one monotonic clock of
//! yours. Ticks may be seconds apart, and reading may pause.
//!
//! With expat, switch reparse deferral off, as said at on_data.
//!
//! An open stream needs no handle yet: one made when the close begins knows
//! whether there is TLS by then, and costs the other streams nothing.
//!
//! ```text
//! you want to close     read, handle and answer what has arrived, or say how
//!                       much that is: _arrived. Then _begin, which answers
//!                       DO_SEND_TAG: queue the tag
//! every writer          asks _may_write first; if not, the stanza is to be
//!                       stored or bounced, not dropped. Any event may end it
//! queue went empty      _flushed, which may answer DO_END_OUTPUT
//! bytes were read       as long as _wants_input: _received; then, if
//!                       _expects_stanzas, feed your parser and handle stanzas
//!                       as ever; otherwise discard them
//! peer's closing tag    _peer_closed, which may answer DO_ANSWER: send what is
//!                       still owed, then _begin
//! end of the stream     _eof, _truncated, _failed
//! now and then          _tick, at the latest at _deadline
//! DO_TEARDOWN           read the report, close the socket, _free
//! ```

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::{
    ffi::{CStr, c_char, c_int},
    time::Duration,
};

use super::{
    guard::{self, Refusal, guard, guard_pure},
    options::{self, xmpp_close_options},
    sized::flag,
};
use crate::handshake::{Event, Handshake};

/// What to do next.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the values are those of `Action`; these are their names in C")]
pub enum xmpp_close_action {
    /// Nothing.
    XMPP_CLOSE_DO_NOTHING = 0,
    /// Queue the closing tag behind what is queued already, as the last bytes
    /// ever; report _flushed when all is written, at once if it is. In answer
    /// to _malformed: a stream error, then the tag. A final <a/> of XEP-0198 is
    /// computed now, and goes in front. If your own header was never sent, it
    /// goes first (RFC 6120 section 4.9.1.2).
    XMPP_CLOSE_DO_SEND_TAG = 1,
    /// The peer closed. Send what you still owe it, replies of other threads
    /// included; when that is queued, and before _deadline, call _begin. Until
    /// then _must_answer is 1.
    XMPP_CLOSE_DO_ANSWER = 2,
    /// Plaintext: shutdown(fd, SHUT_WR), then report _flushed. TLS: queue
    /// close_notify and report _flushed when it is written, or cannot be;
    /// shutdown(fd, SHUT_WR) once the peer's has come, too. Go on reading.
    XMPP_CLOSE_DO_END_OUTPUT = 3,
    /// It is over: read the report, close the socket. Over TLS, when no
    /// DO_END_OUTPUT came before and all output is written, close_notify first,
    /// if it can be written at once.
    XMPP_CLOSE_DO_TEARDOWN = 4,
}

/// One stream's closing handshake.
pub struct xmpp_close_handshake {
    pub(super) machine: Handshake,
    /// The time of the last event, for the report.
    pub(super) now: Duration,
    /// The name of the peer's stream error as it was told, filled up with zeros; longer than this is none that is known.
    pub(super) stream_error: [u8; 48],
}

/// For the names that RFC 6120 does not know.
const UNDEFINED: &str = "undefined-condition";

impl xmpp_close_handshake {
    fn handle(&mut self, event: Event, now_ms: u64) -> c_int {
        // A clock that goes back is taken to stand still.
        self.now = self.now.max(Duration::from_millis(now_ms));
        self.machine.handle(event, self.now) as c_int
    }
}

/// # Safety
/// `h` is NULL, or a handshake that nobody else uses now.
unsafe fn event(h: *mut xmpp_close_handshake, event: Event, now_ms: u64) -> c_int {
    // SAFETY: as the caller promises.
    guard_pure(|| Ok(unsafe { guard::exclusive(h) }?.handle(event, now_ms)))
}

/// Stores a handshake for an open stream, at any time before its close. Of the
/// options it takes total_ms, no_progress_ms, linger_ms, answer_ms, half_close,
/// peer_closed and tls; the others are not looked at. NULL: all defaults. With
/// peer_closed it begins where _peer_closed leads: send what is still owed,
/// then _begin. It fails only for arguments that make no sense.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_new(
    options: *const xmpp_close_options,
    now_ms: u64,
    out: *mut *mut xmpp_close_handshake,
) -> c_int {
    guard(|| {
        // SAFETY: the header says what the pointers must be.
        unsafe {
            guard::writable(out)?;
            guard::give(make(&options::read(options)?, now_ms)?, out)
        }
    })
}

fn make(options: &xmpp_close_options, now_ms: u64) -> Result<xmpp_close_handshake, Refusal> {
    let mut machine = Handshake::new(options.limits()?);
    if flag(options.tls)? {
        machine = machine.over_tls();
    }
    if options.answer_ms != 0 {
        machine = machine.answer_within(Duration::from_millis(u64::from(options.answer_ms)));
    }
    let mut handshake = xmpp_close_handshake { machine, now: Duration::from_millis(now_ms), stream_error: [0; 48] };
    if flag(options.peer_closed)? {
        handshake.handle(Event::PeerClosed, now_ms);
    }
    Ok(handshake)
}

/// Frees it; NULL is fine. It never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_free(h: *mut xmpp_close_handshake) {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and not freed, as the header says.
    unsafe { guard::take_back(h) }
}

/// We close, or answer the peer's closing tag. The functions from here to
/// _tick return an xmpp_close_action, or a negative xmpp_close_result.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_begin(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Begin, now_ms) }
}

/// Ends TCP without a closing tag, so that an XEP-0198 session stays
/// resumable: report _flushed when what is queued is written. The outcome is
/// then XMPP_CLOSE_CANCELLED, with tag_sent 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_detach(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Detach, now_ms) }
}

/// n bytes of the peer's stream have arrived, but were not told by _received
/// yet. To be said right before _begin, or before the tag is written: a closing
/// tag, or stream error, among them came before ours, which makes the initiator
/// XMPP_CLOSE_INITIATOR_CROSSING, and proves nothing about what we sent last.
///
/// Plaintext: n is what ioctl(fd, FIONREAD, &n) stores, and what you have read
/// but not handled. Over TLS that number counts encrypted bytes: instead of
/// this, read between _begin and the first write, and tell as ever.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_arrived(h: *mut xmpp_close_handshake, n: usize, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Arrived(n), now_ms) }
}

/// n bytes of our output were taken by the kernel. Optional: shows progress
/// while a long queue is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_written(h: *mut xmpp_close_handshake, n: usize, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Written(n), now_ms) }
}

/// All of our output was taken by the kernel; after DO_SEND_TAG that includes
/// the tag. After DO_END_OUTPUT: that is done.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_flushed(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Flushed, now_ms) }
}

/// n bytes came from the peer. Report them before your parser is fed. Those
/// behind the peer's tag that came with it count as bytes_read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_received(h: *mut xmpp_close_handshake, n: usize, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Received(n), now_ms) }
}

/// One more late stanza was handled. Optional: only the report counts them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_stanza(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Stanza, now_ms) }
}

/// One more late stanza was over your limit, and passed over. Optional: only
/// the report counts them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_oversize(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Oversize, now_ms) }
}

/// The peer sent a stream error with this condition; NULL: one you cannot
/// name. If nothing was begun, DO_SEND_TAG is the answer: close in return.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_stream_error(
    h: *mut xmpp_close_handshake,
    condition: *const c_char,
    now_ms: u64,
) -> c_int {
    guard_pure(|| {
        // SAFETY: the header says what the pointers must be.
        let (h, condition) = unsafe {
            let name = if condition.is_null() { c"" } else { CStr::from_ptr(condition) };
            (guard::exclusive(h)?, name.to_bytes())
        };
        if h.stream_error[0] == 0 {
            let name = if condition.is_empty() { UNDEFINED.as_bytes() } else { condition };
            let kept = name.len().min(h.stream_error.len());
            h.stream_error[..kept].copy_from_slice(&name[..kept]);
        }
        Ok(h.handle(Event::StreamError, now_ms))
    })
}

/// Your parser saw the peer's closing tag.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_peer_closed(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::PeerClosed, now_ms) }
}

/// Your parser refuses what the peer sent. The stream error that tells it so is
/// queued before, if _may_write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_malformed(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Malformed, now_ms) }
}

/// The peer ended TCP, between stanzas or you cannot tell. All that was read
/// before has been handled. Over TLS, without a _close_notify before it, this
/// is _truncated. Should the socket report EPOLLHUP or EPOLLERR after that,
/// while our last bytes are still queued: _failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_eof(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Eof { inside: false }, now_ms) }
}

/// The peer ended TCP inside an element, or TLS without close_notify.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_truncated(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Truncated, now_ms) }
}

/// The peer's TLS close_notify came. TCP goes on until _eof. If your parser is
/// inside an element, it is _truncated instead.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_close_notify(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::CloseNotify { inside: false }, now_ms) }
}

/// Reading failed with this errno. All that was read before has been handled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_failed(
    h: *mut xmpp_close_handshake,
    os_error: c_int,
    now_ms: u64,
) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Failed(os_error), now_ms) }
}

/// Writing failed with this errno; what is queued can be dropped. What the peer
/// sent before may still be readable: go on reading if _wants_input.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_output_failed(
    h: *mut xmpp_close_handshake,
    os_error: c_int,
    now_ms: u64,
) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::OutputFailed(os_error), now_ms) }
}

/// The TLS layer failed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_tls_failed(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::TlsFailed, now_ms) }
}

/// Stop at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_cancel(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Cancel, now_ms) }
}

/// Time passed. Only this applies the time limits. Read what has arrived
/// before the last one, so that nothing is left behind.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_tick(h: *mut xmpp_close_handshake, now_ms: u64) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and used by this thread only, as the header says.
    unsafe { event(h, Event::Tick, now_ms) }
}

#[cfg(test)]
mod tests {
    use super::{super::queries::xmpp_close_handshake_deadline, *};

    fn new() -> xmpp_close_handshake {
        make(&xmpp_close_options::defaults(), 1000).unwrap()
    }

    #[test]
    fn a_handle_is_small() {
        assert!(size_of::<xmpp_close_handshake>() <= 512, "{}", size_of::<xmpp_close_handshake>());
    }

    #[test]
    fn the_numbers_of_c_are_those_of_rust() {
        use crate::handshake::Action;
        assert_eq!(Action::Nothing as c_int, xmpp_close_action::XMPP_CLOSE_DO_NOTHING as c_int);
        assert_eq!(Action::SendTag as c_int, xmpp_close_action::XMPP_CLOSE_DO_SEND_TAG as c_int);
        assert_eq!(Action::Answer as c_int, xmpp_close_action::XMPP_CLOSE_DO_ANSWER as c_int);
        assert_eq!(Action::EndOutput as c_int, xmpp_close_action::XMPP_CLOSE_DO_END_OUTPUT as c_int);
        assert_eq!(Action::Teardown as c_int, xmpp_close_action::XMPP_CLOSE_DO_TEARDOWN as c_int);
    }

    #[test]
    fn a_clock_that_goes_back_stands_still() {
        let options = xmpp_close_options { no_progress_ms: 10_000, ..xmpp_close_options::defaults() };
        let h = &mut make(&options, 1000).unwrap();
        h.handle(Event::Begin, 5000);
        assert_eq!(h.handle(Event::Flushed, 4000), 0);
        assert_eq!(h.handle(Event::Tick, 0), 0);
        assert_eq!(h.now, Duration::from_secs(5));
        // SAFETY: a handshake of this test's own.
        assert_eq!(unsafe { xmpp_close_handshake_deadline(h) }, 15_000);
    }

    #[test]
    fn times_at_the_end_of_time_do_not_overflow() {
        let h = &mut new();
        h.handle(Event::Begin, u64::MAX);
        // SAFETY: a handshake of this test's own.
        assert_eq!(unsafe { xmpp_close_handshake_deadline(h) }, u64::MAX);
        assert_eq!(h.handle(Event::Tick, u64::MAX), 0);
    }
}
