//! A stream of an event loop
//!
//! There are two kinds of streams, with one kind of handle. Each function says
//! what it does with either.
//!
//! ```text
//! xmpp_close_start()  a started stream: the library reads and writes, and hands
//!                     over what came. You poll the descriptor and call
//!                     xmpp_close_step(). The library has its own clock: pass 0
//!                     for each `now`
//! xmpp_close_new()    an engine: bytes in, bytes out, your clock. It does no I/O,
//!                     calls nothing back but on_log, and knows no descriptor. You
//!                     read and write, and tell the engine what happened
//! ```
//!
//! A stream may be made when your XMPP stream begins, or as late as its close.
//! What a stream wants, it wants until it is done: events may come in any order,
//! and nothing is missed by looking later.
//!
//! NULL in place of a stream means an open stream of which the library holds
//! nothing. Questions are answered for such a stream, _wrote is XMPP_CLOSE_OK,
//! and what would change the stream is XMPP_CLOSE_ERR_NULL.
//!
//! A started stream:
//!
//! ```text
//! to close  xmpp_close_start(fd, &options, &s), if it was not started before;
//!           xmpp_close_send(s, queue, len) for what you have queued;
//!           xmpp_close_finish(s, NULL, 0);
//! to send   xmpp_close_send(s, xml, len); if it is refused, store or bounce it
//!
//! fd is ready, or xmpp_close_timeout(s, 0) ms have passed
//!     wants = xmpp_close_step(s);
//!     if (wants & XMPP_CLOSE_OVER)
//!         xmpp_close_get_report(s, &report), xmpp_close_free(s), close(fd);
//!     else
//!         poll fd for READ and WRITE among wants; with neither, do not poll it
//! ```
//!
//! An engine:
//!
//! ```text
//! to send   xmpp_close_send(s, xml, len); if it is refused, store or bounce it
//! to close  read and answer what has arrived, then xmpp_close_finish()
//! readable  n bytes came: xmpp_close_received(s, n, now) ? parse : discard;
//!           the peer's tag, TCP's end, an error: xmpp_close_tell()
//! writable  len = xmpp_close_output(s, &bytes);
//!           n = write(fd, bytes, len); // an error that stays: tell WRITE_FAILED
//!           xmpp_close_wrote(s, n, 0, now);
//! timer     xmpp_close_tick(s, now);
//!
//! after each of them, again and again
//!     wants = xmpp_close_wants(s);
//!     if (!(wants & XMPP_CLOSE_MAY_SEND))
//!         leave the router, if that was not done;
//!     if (wants & XMPP_CLOSE_NOTIFY)
//!         send close_notify, then tell DID_NOTIFY;
//!     else if (wants & XMPP_CLOSE_SHUT)
//!         shutdown(fd, SHUT_WR), then tell DID_SHUT;
//!     else if ((wants & XMPP_CLOSE_ANSWER) && nothing is owed to the peer)
//!         xmpp_close_finish(s, NULL, now);
//!     else
//!         break;
//! if (wants & XMPP_CLOSE_OVER)
//!     xmpp_close_get_report(s, &report), xmpp_close_free(s), close(fd);
//! else
//!     poll fd for READ and WRITE among wants, for xmpp_close_timeout(s, now) ms;
//!     with neither, do not poll it
//! ```
//!
//! An engine beside a queue of your own, made when the close begins:
//!
//! ```text
//! every writer         MAY_SEND ? push : store or bounce. What is queued when
//!                      MAY_SEND goes still goes out
//! your queue is empty  push what _output says; _wrote(s, len, pending, now)
//! after each write     _wrote(s, 0, pending, now): what lies in your queue and
//!                      in your TLS layer
//! ```
//!
//! `now` is the time in milliseconds of one monotonic clock of yours, from any
//! zero. A time earlier than the one before counts as the one before. The limits
//! count from the first _finish, or from the peer's last word if that comes
//! first.

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

pub(super) mod body;
mod bytes;
mod mail;
mod turns;
mod verbs;

use std::{ffi::c_int, rc::Rc, time::Duration};

pub(in crate::ffi) use body::{Body, Driven, Host, Started};
use body::{Kind, Lone};
pub use bytes::*;
use mail::Mail;
pub use turns::*;
pub use verbs::*;

use super::{
    blocking::connected_socket,
    callbacks::{Callbacks, xmpp_close_transport},
    guard::{self, PANIC, Refusal, guard, guard_or, uncancelled},
    options::{self, User, xmpp_close_options},
    socket::xmpp_close_socket,
};
use crate::{
    batch::AnyTransport,
    closing::Driver,
    engine::{Engine, Fact},
    options::{LastWords, Said},
    phase::Phases,
    transport::Transport,
};

/// One stream, and how it is closed.
pub struct xmpp_close_stream {
    pub(super) body: Rc<Body>,
}

/// Stores an engine for an open stream that stands between two stanzas of the
/// peer. options NULL: all defaults. Refused as XMPP_CLOSE_ERR_INVALID: residual,
/// on_stanza, on_data, on_farewell, canceller, detach and stream_error, and userdata
/// without on_log.
///
/// With peer_closed, the engine begins as after the fact PEER_CLOSED. With
/// tag_sent, it begins as after _finish.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_new(
    options: *const xmpp_close_options,
    now: u64,
    out: *mut *mut xmpp_close_stream,
) -> c_int {
    guard(|| {
        // SAFETY: the header says what the pointers must be.
        unsafe {
            guard::writable(out)?;
            let lone = engine(options::read(options)?, Duration::from_millis(now))?;
            let body = Rc::new(Body::new(Kind::Engine(Box::new(lone)), None));
            guard::give(xmpp_close_stream { body: body.clone() }, out)?;
            body.log();
            Ok(0)
        }
    })
}

/// # Safety
/// The options' pointers are what the header says.
unsafe fn engine(options: xmpp_close_options, now: Duration) -> Result<Lone, Refusal> {
    let (tls, own_parser, logger) = (options.tls()?, options.own_parser != 0, options.logger());
    // SAFETY: as the caller promises.
    let mut options = unsafe { options.to_rust(User::Engine) }?;
    // Limits count from now, not from the clock's zero.
    let (peer_closed, tag_sent) = (std::mem::take(&mut options.peer_closed), options.tag_sent);
    let mut engine = Engine::new(&options, tls)?;
    if peer_closed {
        engine.tell(Fact::PeerClosed { behind: 0 }, now)?;
    }
    if tag_sent {
        engine.finish(None, now);
    }
    Ok(Lone { engine, own_parser, now, logger, told: Phases::default() })
}

/// Stores a started stream on a connected stream socket, as for xmpp_close_fd().
/// Nothing is read or written before the first _step, and _timeout is 0 until
/// then. The descriptor must stay open until the stream is freed, and the
/// callbacks and their userdata must stay valid until then.
///
/// options NULL: all defaults. Refused as XMPP_CLOSE_ERR_INVALID: tls and
/// own_parser, which are for engines; detach and stream_error, since _detach and
/// _finish say so later.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_start(
    fd: xmpp_close_socket,
    options: *const xmpp_close_options,
    out: *mut *mut xmpp_close_stream,
) -> c_int {
    // SAFETY: the header says what the pointers must be.
    guard(|| unsafe { start(options, out, |_| connected_socket(fd)) })
}

/// Stores a started stream over a transport of your own, as for
/// xmpp_close_with(). The struct is copied.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_start_with(
    transport: *const xmpp_close_transport,
    options: *const xmpp_close_options,
    out: *mut *mut xmpp_close_stream,
) -> c_int {
    // SAFETY: the header says what the pointers must be.
    guard(|| unsafe { start(options, out, |mail| Ok(Callbacks::new(transport)?.until(mail.is_freed.clone()))) })
}

/// # Safety
/// The pointers are NULL, or what the header says.
pub(super) unsafe fn start<T: Transport + Send + 'static>(
    options: *const xmpp_close_options,
    out: *mut *mut xmpp_close_stream,
    open: impl FnOnce(&Mail) -> Result<T, Refusal>,
) -> Result<c_int, Refusal> {
    guard::writable(out)?;
    // SAFETY: as the caller promises.
    let (taker, parsed, logger, userdata, mut options) = unsafe {
        let options = options::read(options)?;
        let (taker, parsed) = (options.taker()?, options.parsed()?);
        (taker, parsed, options.logger(), options.userdata, options.to_rust(User::Started)?)
    };
    let mail = Rc::new(Mail::default());
    options.last_words = options.last_words.map(|words| with_what_was_sent(words, &mail));
    let is_said = options.tag_sent;
    let transport: AnyTransport<'static> = Box::new(open(&mail)?);
    let mut driver = Driver::new(transport, options)?;
    driver.stands(&parsed);
    let witness = OneThread(mail.clone());
    driver.log_to(logger.map(|logger| logger.until(move || witness.get().is_freed.get())));
    if is_said {
        driver.close();
    }
    let body = Body::new(Kind::Started(Box::new(Started { driver, taker, userdata })), Some(mail));
    // SAFETY: as the caller promises.
    unsafe { guard::give(xmpp_close_stream { body: Rc::new(body) }, out) }
}

/// What on_farewell sends by xmpp_close_send() goes out in front of what it stores.
fn with_what_was_sent(words: LastWords, mail: &Rc<Mail>) -> LastWords {
    let mail = OneThread(mail.clone());
    LastWords::new(move || {
        let mail = mail.get();
        match if mail.is_freed.get() { Said::All(Vec::new()) } else { words.ask() } {
            Said::Some(words) => match mail.sent() {
                sent if sent.is_empty() => Said::Some(words),
                sent => Said::Sent(sent, words),
            },
            said => said, // what was sent is queued as usual
        }
    })
}

/// Something that one thread uses at a time.
struct OneThread(Rc<Mail>);

// SAFETY: as the header says, a stream is used by one thread at a time, its callbacks included.
unsafe impl Send for OneThread {}

impl OneThread {
    fn get(&self) -> &Mail {
        &self.0
    }
}

/// Frees it; NULL is fine. Never waits, writes nothing, and leaves the descriptor
/// open. After this no callback of the stream is called any more. In a callback
/// of the stream, the handle is freed when that has returned. A stream in a batch
/// first leaves the batch, without on_end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_free(s: *mut xmpp_close_stream) {
    uncancelled(|| {
        // SAFETY: NULL, or from a function here and not freed, as the header says.
        if let Some(stream) = unsafe { s.as_ref() } {
            let body = stream.body.clone();
            // SAFETY: `s` is the handle of this body.
            guard_or((), || unsafe { body.free(s) });
        }
    });
}

/// The stream behind a handle.
///
/// # Safety
/// `s` is NULL, or a stream that no other thread uses now.
pub(in crate::ffi) unsafe fn body(s: *const xmpp_close_stream) -> Result<Rc<Body>, Refusal> {
    // SAFETY: as the caller promises.
    Ok(unsafe { guard::shared(s) }?.body.clone())
}

/// Makes a handle.
///
/// # Safety
/// `out` can be written.
pub(in crate::ffi) unsafe fn give(body: Rc<Body>, out: *mut *mut xmpp_close_stream) -> Result<c_int, Refusal> {
    // SAFETY: as the caller promises.
    unsafe { guard::give(xmpp_close_stream { body }, out) }
}

/// Does `work` on a stream, for a function that returns a result.
///
/// # Safety
/// `s` is NULL, or a stream that no other thread uses now.
unsafe fn call(s: *const xmpp_close_stream, work: impl FnOnce(&Rc<Body>) -> Result<c_int, Refusal>) -> c_int {
    guard(|| {
        // SAFETY: as the caller promises.
        let body = unsafe { guard::shared(s) }?.body.clone();
        body.alive(|| work(&body)).ok_or(PANIC)?
    })
}

/// Does `work` on a stream, for a function that returns something else: `null` for NULL, and `dead` for a dead stream.
///
/// # Safety
/// As for `call`.
unsafe fn ask<R: Copy>(s: *const xmpp_close_stream, null: R, dead: R, work: impl FnOnce(&Rc<Body>) -> R) -> R {
    guard_or(dead, || {
        // SAFETY: as the caller promises.
        let Ok(stream) = (unsafe { guard::shared(s) }) else { return null };
        let body = stream.body.clone();
        body.alive(|| work(&body)).unwrap_or(dead)
    })
}
