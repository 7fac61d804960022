//! Turns of a batch

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::{
    ffi::c_int,
    mem,
    time::{Duration, Instant},
};

use super::{
    super::{
        guard::{self, guard_or, guard_pure},
        sized::Out,
        socket::xmpp_close_socket,
    },
    lock, read_options, set_nothing, to_rust, turn, xmpp_close_batch, xmpp_close_batch_options, xmpp_close_summary,
};
use crate::transport::{NO_SOCKET, poll_millis};

/// Returns a descriptor that is readable when _turn has something to do, except
/// at _timeout. Watch it with poll, epoll or the like, beside your own. Never
/// read or close it. It stays the same. XMPP_CLOSE_NO_SOCKET for NULL, and on
/// Windows, where _turn itself has to wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_fd(batch: *const xmpp_close_batch) -> xmpp_close_socket {
    guard_or(NO_SOCKET, || {
        // SAFETY: the header says what the pointer must be.
        unsafe { guard::shared(batch) }.map_or(NO_SOCKET, |batch| batch.intake.descriptor())
    })
}

/// Returns in how many milliseconds the next _turn is due, as poll(2) takes them:
/// 0 is at once. -1: only the descriptor can tell, also for NULL. In a callback
/// of the batch: 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_timeout(batch: *const xmpp_close_batch) -> c_int {
    guard_pure(|| {
        // SAFETY: the header says what the pointer must be.
        let batch = unsafe { guard::shared(batch) }?;
        if batch.in_turn.get() {
            return Ok(0);
        }
        let Some(members) = batch.batch.take() else { return Ok(-1) };
        let deadline = members.deadline();
        batch.batch.set(Some(members));
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Ok(left.map_or(-1, poll_millis))
    })
}

/// Does what can be done now for all streams of the batch, a bounded amount, and
/// calls on_end for each stream that ended. Waits only while there are streams
/// and nothing can be done, for wait_ms at most: 0 is not at all, -1 until
/// something can be done.
///
/// Returns how many streams are left, or an error. In a callback of the batch it
/// is XMPP_CLOSE_ERR_INVALID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_turn(batch: *mut xmpp_close_batch, wait_ms: c_int) -> c_int {
    let wait = u64::try_from(wait_ms).map_or(Duration::MAX, Duration::from_millis);
    turn(
        batch,
        || Ok(()),
        |_, members, ()| {
            let left = members.turn_and(wait, false)?; // no other thread can add a stream meanwhile
            Ok(c_int::try_from(left).unwrap_or(c_int::MAX))
        },
    )
}

/// Closes all streams and blocks until all have ended, for total_ms at most. This
/// is _set, and _turn until the batch is empty; afterwards nothing is set any
/// more. It can be run again and again. In a callback of the batch, and when
/// options make no sense, it is XMPP_CLOSE_ERR_INVALID; nothing was sent then,
/// and nothing has changed.
///
/// A stream that a callback adds is closed by the same _run, and begins as soon
/// as the callback has returned, whatever spread_ms is.
///
/// options NULL: all defaults. summary NULL: not wanted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_run(
    batch: *mut xmpp_close_batch,
    options: *const xmpp_close_batch_options,
    summary: *mut xmpp_close_summary,
) -> c_int {
    // SAFETY: the header says what the pointers must be.
    turn(
        batch,
        || unsafe { Ok((Out::open_or_null(summary)?, read_options(options)?)) },
        |batch, members, (mut out, options)| {
            // SAFETY: as above.
            let options = unsafe { to_rust(&options, &batch.known, true) }?;
            let before = mem::take(&mut lock(&batch.known).of_run);
            match members.run(options) {
                Ok(done) => {
                    set_nothing(members, &batch.known)?;
                    if let Some(out) = &mut out {
                        out.write(&xmpp_close_summary::from(&done.summary));
                    }
                    Ok(0)
                }
                Err(error) => {
                    lock(&batch.known).of_run = before; // nothing was begun
                    Err(error.into())
                }
            }
        },
    )
}
