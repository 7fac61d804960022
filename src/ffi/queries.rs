//! What the state machine can be asked

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::{ffi::c_int, time::Duration};

use super::{
    guard::{self, guard, guard_or},
    handshake::xmpp_close_handshake,
    report::xmpp_close_report,
    sized::{Out, int},
};
use crate::{handshake::Handshake, stream_error::StreamError};

/// # Safety
/// `h` is NULL, or a handshake that nobody changes now.
unsafe fn query<R: Copy>(h: *const xmpp_close_handshake, otherwise: R, ask: impl FnOnce(&Handshake) -> R) -> R {
    // SAFETY: as the caller promises.
    guard_or(otherwise, || unsafe { guard::shared(h) }.map_or(otherwise, |h| ask(&h.machine)))
}

/// 1 while stanzas may still be sent: until a close begins other than by
/// DO_ANSWER, or until writing failed. NULL: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_may_write(h: *const xmpp_close_handshake) -> c_int {
    // SAFETY: NULL, or from xmpp_close_handshake_new() and changed by nobody now, as the header says.
    unsafe { query(h, 0, |machine| int(machine.may_write())) }
}

/// 1 between DO_ANSWER and _begin: what is still owed is to be queued, then
/// _begin is due. NULL: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_must_answer(h: *const xmpp_close_handshake) -> c_int {
    // SAFETY: as above.
    unsafe { query(h, 0, |machine| int(machine.must_answer())) }
}

/// 1 while what the peer sends is still its stream, for your parser; once 0, the
/// parser must not see any more of it. NULL: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_expects_stanzas(h: *const xmpp_close_handshake) -> c_int {
    // SAFETY: as above.
    unsafe { query(h, 0, |machine| int(machine.expects_stanzas())) }
}

/// 1 while the peer's bytes are still to be read, be it to discard them. NULL:
/// 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_wants_input(h: *const xmpp_close_handshake) -> c_int {
    // SAFETY: as above.
    unsafe { query(h, 0, |machine| int(machine.wants_input())) }
}

/// When _tick is due at the latest, on your clock. UINT64_MAX: never, as no
/// close is going on; and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_deadline(h: *const xmpp_close_handshake) -> u64 {
    let millis = |time: Duration| u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
    // SAFETY: as above.
    unsafe { query(h, u64::MAX, |machine| machine.deadline().map_or(u64::MAX, millis)) }
}

/// How it went, as of the last event. bytes_unsent and bytes_unacked are 0, for
/// only you know them; of the peer's stream error it has the condition that
/// _stream_error was told.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_handshake_report(
    h: *const xmpp_close_handshake,
    report: *mut xmpp_close_report,
) -> c_int {
    guard(|| {
        // SAFETY: the header says what the pointers must be.
        let (mut out, h) = unsafe { (Out::open(report)?, guard::shared(h)?) };
        let mut report = xmpp_close_report::from(&h.machine.report(h.now));
        if let Some(error) = h.stream_error() {
            report.set_error(&error);
        }
        out.write(&report);
        Ok(0)
    })
}

impl xmpp_close_handshake {
    /// For the report, since an event has no time to look it up.
    fn stream_error(&self) -> Option<StreamError> {
        let name = self.stream_error.split(|byte| *byte == 0).next().filter(|name| !name.is_empty())?;
        Some(StreamError::received(&String::from_utf8_lossy(name)))
    }
}
