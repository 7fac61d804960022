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

/// What is to be done next, and what may be. Each is asked for again until it is
/// done. READ and WRITE are what to poll for: with neither, take the descriptor
/// out of the poll set, for POLLHUP and POLLERR cannot be masked and would spin.
/// When a descriptor polls as hung-up or failed, try whatever is wanted: the
/// attempt tells.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_want {
    /// Engine: hand what comes to _received or _input, and the end to _tell.
    XMPP_CLOSE_READ = 1,
    /// Engine: _output has bytes, or the last _wrote left something pending. Do
    /// not poll for it while what is pending waits for a TLS handshake.
    XMPP_CLOSE_WRITE = 2,
    /// Stanzas may still be sent. Once gone it never comes back: that is when to
    /// leave the router.
    XMPP_CLOSE_MAY_SEND = 4,
    /// The peer has said its last. Send what it is still owed, replies of other
    /// threads included; then _finish. When answer_ms is over, that is done
    /// without you.
    XMPP_CLOSE_ANSWER = 8,
    /// What is read is still the peer's stream. Once gone it never comes back:
    /// the parser must not see a byte more.
    XMPP_CLOSE_PARSE = 16,
    /// What came ends inside an element: a fact, not a wish. Not with own_parser.
    XMPP_CLOSE_INSIDE = 32,
    /// Engine: send close_notify now, then tell DID_NOTIFY. With OVER: one
    /// attempt, without waiting.
    XMPP_CLOSE_NOTIFY = 64,
    /// Engine: shutdown(fd, SHUT_WR) now, then tell DID_SHUT, also when there is
    /// no such call.
    XMPP_CLOSE_SHUT = 128,
    /// It is over, for ever: read the report, close the socket, free the stream.
    /// Beside it stands nothing, or NOTIFY.
    XMPP_CLOSE_OVER = 256,
}

use xmpp_close_want::*;

/// An open stream of which the library holds nothing.
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

/// -1 for no time at all.
fn millis(left: Option<Duration>) -> c_int {
    left.map_or(-1, poll_millis)
}

fn wants(body: &Body) -> u32 {
    // Over comes alone, or with NOTIFY.
    let bits =
        |wants: Wants, is_inside| bits(wants) | if is_inside && !wants.over() { XMPP_CLOSE_INSIDE as u32 } else { 0 };
    body.look(
        |lone| bits(lone.engine.wants(), !lone.own_parser && lone.engine.is_inside()),
        |driver| bits(driver.wants(), driver.is_inside()),
        |seen| bits(seen.wants, seen.is_inside) & !OVER,
    )
    .unwrap_or(0)
}

/// XMPP_CLOSE_READ and the other bits. NULL: READ, PARSE and MAY_SEND. From a
/// callback of the stream: as of the call that it is in, so never OVER.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_wants(s: *const xmpp_close_stream) -> u32 {
    // SAFETY: NULL, or from a function here and used by this thread only, as the header says.
    unsafe { ask(s, OPEN, OVER, |body| wants(body)) }
}

/// How many milliseconds from now _tick, or _step, is due, as poll(2) takes them:
/// 0 is at once, INT_MAX the most, and -1 never, for the stream is open, or over,
/// or NULL. Compared as unsigned numbers, the least of many is the first that is
/// due.
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

/// Engine: applies the limits, and only this does. Before it, read what has arrived
/// and write what is wanted, so that nothing is left behind: a loop that comes late
/// may find that the limit of a close is over which it has not tried yet. Returns
/// what _wants does, as it also does, and does nothing else, on a started stream.
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

/// A started stream: does all that can be done without waiting, a bounded amount
/// of it, and calls the callbacks. Call it when the descriptor is ready, at
/// _timeout, or at any time.
///
/// Returns what _wants does. READ and WRITE are there only for a direction that was
/// tried and would block, so that edge-triggered loops are safe; if there is more
/// to do, be it because the amount was used up, or because something was sent,
/// finished or told since, _timeout is 0.
///
/// From a callback of the stream, and on an engine, it does nothing, and answers
/// as _wants: do not wait for OVER there.
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

/// Stores how it went, as of the last call; complete once it is over. NULL: an
/// XMPP_CLOSE_PENDING of which nothing is known.
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
