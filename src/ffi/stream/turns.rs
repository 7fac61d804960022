//! What a stream wants

#![allow(non_camel_case_types, reason = "the names are those of the C API")]
#![allow(dead_code, reason = "most values are only read in C")]

use std::{
    ffi::c_int,
    time::{Duration, Instant},
};

use super::{
    super::{
        guard::{self, uncancelled},
        report::xmpp_close_report,
        sized::Out,
    },
    ask,
    body::Body,
    call, xmpp_close_stream,
};
use crate::{engine::Wants, report::Report, transport::poll_millis};

/// What is to be done next, and what may be done. Each bit stays until it is
/// done.
///
/// READ and WRITE are what to poll for. With neither, take the descriptor out of
/// the poll set: POLLHUP and POLLERR cannot be masked, and would make the loop
/// spin. When poll reports a descriptor as hung up or failed, try what is wanted:
/// the attempt tells more.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_want {
    /// Engine: hand what comes to _received or _input, and the end to _tell.
    XMPP_CLOSE_READ = 1,
    /// Engine: _output has bytes, or the last _wrote left something pending. Do
    /// not poll for writing while what is pending waits for a TLS handshake.
    XMPP_CLOSE_WRITE = 2,
    /// Stanzas may still be sent. When this bit goes, it never comes back: then
    /// leave the router.
    XMPP_CLOSE_MAY_SEND = 4,
    /// The peer has said its last. Send what it is still owed, replies of other
    /// threads included, then call _finish. When answer_ms is over, the library
    /// does so without you.
    XMPP_CLOSE_ANSWER = 8,
    /// What is read is still the peer's stream. When this bit goes, it never
    /// comes back: the parser must not see a byte more.
    XMPP_CLOSE_PARSE = 16,
    /// What came ends inside an element. Nothing is to be done. Never with
    /// own_parser.
    XMPP_CLOSE_INSIDE = 32,
    /// Engine: send close_notify now, then tell DID_NOTIFY. With OVER: try once,
    /// without waiting.
    XMPP_CLOSE_NOTIFY = 64,
    /// Engine: shutdown(fd, SHUT_WR) now, then tell DID_SHUT. Tell it also when
    /// there is no such call.
    XMPP_CLOSE_SHUT = 128,
    /// The close is over, for ever: read the report, close the socket, free the
    /// stream. No other bit is set then, but perhaps NOTIFY.
    XMPP_CLOSE_OVER = 256,
}

use xmpp_close_want::*;

/// The bits of NULL: an open stream of which the library holds nothing.
const OPEN: u32 = XMPP_CLOSE_READ as u32 | XMPP_CLOSE_PARSE as u32 | XMPP_CLOSE_MAY_SEND as u32;
const OVER: u32 = XMPP_CLOSE_OVER as u32;

fn bits(wants: Wants) -> u32 {
    [
        (wants.read(), XMPP_CLOSE_READ),
        (wants.write(), XMPP_CLOSE_WRITE),
        (wants.may_send(), XMPP_CLOSE_MAY_SEND),
        (wants.answer(), XMPP_CLOSE_ANSWER),
        (wants.parse(), XMPP_CLOSE_PARSE),
        (wants.notify(), XMPP_CLOSE_NOTIFY),
        (wants.shut(), XMPP_CLOSE_SHUT),
        (wants.over(), XMPP_CLOSE_OVER),
    ]
    .into_iter()
    .fold(0, |bits, (is_set, bit)| if is_set { bits | bit as u32 } else { bits })
}

/// A time as poll(2) takes it; -1 without one.
fn millis(left: Option<Duration>) -> c_int {
    left.map_or(-1, poll_millis)
}

fn wants(body: &Body) -> u32 {
    // OVER comes alone, or with NOTIFY.
    let bits =
        |wants: Wants, is_inside| bits(wants) | if is_inside && !wants.over() { XMPP_CLOSE_INSIDE as u32 } else { 0 };
    body.look(
        |lone| bits(lone.engine.wants(), !lone.own_parser && lone.engine.is_inside()),
        |driver| bits(driver.wants(), driver.is_inside()),
        |seen| bits(seen.wants, seen.is_inside) & !OVER,
    )
    .unwrap_or(0)
}

/// Returns XMPP_CLOSE_READ and the other bits. NULL: READ, PARSE and MAY_SEND. In
/// a callback of the stream: the bits as of the call that the callback is in, so
/// never OVER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_wants(s: *const xmpp_close_stream) -> u32 {
    // SAFETY: NULL, or from a function here and used by this thread only, as the header says.
    unsafe { ask(s, OPEN, OVER, |body| wants(body)) }
}

/// Returns in how many milliseconds _tick, or _step, is due, as poll(2) takes
/// them: 0 is at once, and INT_MAX the most. -1 is never: the stream is open, or
/// over, or NULL. To find the first of many, compare them as unsigned numbers and
/// take the least.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_timeout(s: *const xmpp_close_stream, now: u64) -> c_int {
    let left = |due: Option<Instant>| due.map(|due| due.saturating_duration_since(Instant::now()));
    // SAFETY: as above.
    unsafe {
        ask(s, -1, -1, |body| {
            let left = body.look(
                |lone| lone.engine.deadline().map(|due| due.saturating_sub(lone.at(now))),
                |driver| left(driver.due()),
                |seen| left(seen.due),
            );
            millis(left.flatten())
        })
    }
}

/// Engine: applies the limits; nothing else does. First read what has arrived and
/// write what is wanted, or a loop that comes late ends a close that it has not
/// tried. Returns the bits of _wants.
///
/// On a started stream it only returns the bits of _wants.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_tick(s: *mut xmpp_close_stream, now: u64) -> u32 {
    // SAFETY: as above.
    unsafe {
        ask(s, OPEN, OVER, |body| {
            let _ = body.engine(|lone| {
                let now = lone.look_at_clock(now);
                lone.engine.tick(now);
                Ok(())
            });
            wants(body)
        })
    }
}

/// A started stream: does what can be done without waiting, a bounded amount, and
/// calls the callbacks. Call it when the descriptor is ready, at _timeout, or at
/// any time. Returns the bits of _wants.
///
/// READ or WRITE is set only for a direction that was tried and would block, so
/// that edge-triggered loops are safe. When there is more to do, _timeout is 0:
/// the amount was used up, or something was sent, finished or told since.
///
/// In a callback of the stream, on a stream in a batch and on an engine, it only
/// returns the bits of _wants. Do not wait for OVER there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_step(s: *mut xmpp_close_stream) -> u32 {
    uncancelled(|| {
        // SAFETY: as above.
        unsafe {
            ask(s, OPEN, OVER, |body| {
                body.step();
                wants(body)
            })
        }
    })
}

/// Stores how the close went, as of the last call. The report is complete once
/// the close is over. NULL: outcome XMPP_CLOSE_PENDING, and nothing is known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_get_report(s: *const xmpp_close_stream, report: *mut xmpp_close_report) -> c_int {
    // SAFETY: the header says what the pointers must be.
    unsafe {
        if s.is_null() {
            return guard::guard(|| Out::open(report).map(|_| 0));
        }
        call(s, |body| {
            let mut out = Out::open(report)?;
            let report = |report: &Report| xmpp_close_report::from(report);
            let report = body.look(
                |lone| report(&lone.engine.report()),
                |driver| report(&driver.report()),
                |seen| report(&seen.report),
            );
            out.write(&report.unwrap_or_else(xmpp_close_report::empty));
            Ok(0)
        })
    }
}
