//! What the peer says about idleness
//!
//! A server may announce how long you may send nothing before it calls the stream
//! idle, and then probes or ends it (XEP-0478). Every byte that you send counts,
//! be it white space between stanzas. Act before the limit is reached: send
//! something to keep the stream, or close it by handshake. Half of the limit, or
//! 30 seconds before its end, whichever is later, is early enough.

use std::{
    ffi::{c_int, c_void},
    str,
    time::Duration,
};

use super::guard::{self, guard};
use crate::{
    framing::{Frame, Framer},
    xml::{self, Scope},
};

/// Looks for idle-seconds in the peer's `<stream:features/>`, or in the `<bidi/>`
/// of another server: features is the whole element, len bytes long. Each
/// announcement replaces the one before, so take the features after the login.
///
/// Returns 1 and stores the seconds, never 0, if they are announced. Returns 0 if
/// they are not, or make no sense: then the limit is unknown, which does not mean
/// that there is none. More than UINT32_MAX is stored as UINT32_MAX.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_idle_seconds(features: *const c_void, len: usize, seconds: *mut u32) -> c_int {
    guard(|| {
        let seconds = guard::writable(seconds)?;
        // SAFETY: the header says what the pointer must be.
        let features = unsafe { guard::bytes(features, len) }?;
        let Some(idle) = find(features) else { return Ok(0) };
        let idle = u32::try_from(idle.as_secs()).unwrap_or(u32::MAX);
        // SAFETY: not NULL, and the header says what else it must be.
        unsafe { seconds.write(idle) };
        Ok(1)
    })
}

fn find(mut features: &[u8]) -> Option<Duration> {
    let mut framer = Framer::inside(None).limit(usize::MAX);
    let Some(Frame::Stanza(features)) = framer.next(&mut features) else { return None };
    xml::idle_seconds_in(str::from_utf8(features).ok()?, &Scope::default())
}
