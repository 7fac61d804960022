//! What is said and told
//!
//! ```c
//! #define XMPP_CLOSE_ERROR_INIT                                                  \
//!     { sizeof(xmpp_close_error), NULL, NULL, NULL, NULL }
//! ```

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::ffi::{CStr, c_char, c_int, c_void};

use super::{
    super::{
        guard::{self, INVALID, NULL, Refusal},
        sized::{self, Versioned},
        stream_error::Words,
    },
    call,
    mail::Order,
    xmpp_close_stream,
};
use crate::{
    engine::{Fact, SendError, Tls},
    stream_error::StreamError,
};

/// A stream error.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct xmpp_close_error {
    /// Set by XMPP_CLOSE_ERROR_INIT.
    pub struct_size: usize,
    /// A condition of RFC 6120 section 4.9.3, such as "system-shutdown". The
    /// peer's may have any name.
    pub condition: *const c_char,
    /// A text for people. Ours is escaped. NULL: none.
    pub text: *const c_char,
    /// Where to go instead. "see-other-host" needs it, and no other condition has
    /// one. NULL: none.
    pub address: *const c_char,
    /// An element of the application. Ours is sent as it is, and
    /// "undefined-condition" needs one. Of the peer's, this is the name as
    /// "{namespace}name". NULL: none.
    pub element: *const c_char,
}

// SAFETY: repr(C), the size comes first, and zero is a number or NULL.
unsafe impl Versioned for xmpp_close_error {}

/// A fact about the stream or its connection, and what `detail` says of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_fact {
    /// The close stops at once.
    XMPP_CLOSE_FACT_CANCEL = 1,
    /// Your parser saw the peer's tag. detail: how many of the bytes of the last
    /// _received lie behind the tag.
    XMPP_CLOSE_FACT_PEER_CLOSED = 2,
    /// Your parser refuses what came. Our tag is due, behind the stream error
    /// not-well-formed. For another stream error, call _finish with it before.
    XMPP_CLOSE_FACT_MALFORMED = 3,
    /// detail 1: you do not read now, for example because of a rate limit. READ
    /// is not wanted, and no_progress_ms does not count this time. 0: you read
    /// again.
    XMPP_CLOSE_FACT_PAUSED = 4,
    /// New headers follow in both directions, as after STARTTLS and SASL. The
    /// header of the options has not been sent on the new stream. detail: as
    /// options.tls. Before this, everything that was sent must be written, or it
    /// is XMPP_CLOSE_ERR_INVALID.
    XMPP_CLOSE_FACT_RESTARTED = 5,
    /// Your program has written our header itself.
    XMPP_CLOSE_FACT_HEADER_OUT = 6,
    /// This fact and all below are for engines only.
    ///
    /// detail: how many bytes of the peer's stream have arrived and are unread.
    /// Tell it directly before _finish, if you do not read until nothing comes: a
    /// tag of the peer among these bytes came before ours, so it is no answer to
    /// ours, and the initiator is XMPP_CLOSE_INITIATOR_CROSSING.
    ///
    /// Over TLS, detail is how many bytes are decrypted and unread, as from
    /// SSL_pending(). FIONREAD of the socket is no measure there, since it counts
    /// encrypted bytes. Bytes of records that are not decrypted yet are unknown,
    /// so when more than one record lies in front of the peer's tag, the
    /// initiator is still XMPP_CLOSE_INITIATOR_US. To be certain, read until
    /// nothing comes.
    XMPP_CLOSE_FACT_ARRIVED = 7,
    /// TCP was read to its end. detail 1: the end is inside an element. Over TLS,
    /// the stream was cut off, unless NOTIFIED was told before.
    XMPP_CLOSE_FACT_EOF = 8,
    /// The peer's close_notify was read. detail 1: the end is inside an element.
    /// From now on READ means the socket below TLS: read and discard until TCP
    /// ends.
    XMPP_CLOSE_FACT_NOTIFIED = 9,
    /// Reading failed. detail: errno. Everything that came before has been handed
    /// in.
    XMPP_CLOSE_FACT_READ_FAILED = 10,
    /// Writing failed. detail: errno. What the peer sent before may still be
    /// read.
    XMPP_CLOSE_FACT_WRITE_FAILED = 11,
    /// The TLS layer failed. Write its alert, if it has one, before you tell
    /// this.
    XMPP_CLOSE_FACT_TLS_FAILED = 12,
    /// Your TLS layer has our close_notify. If the kernel does not have it yet,
    /// tell by _wrote how much is pending.
    XMPP_CLOSE_FACT_DID_NOTIFY = 13,
    /// shutdown(fd, SHUT_WR) was called, or there is no such call.
    XMPP_CLOSE_FACT_DID_SHUT = 14,
    /// detail: how many more stanzas your parser found. The report counts those
    /// that came after the close began.
    XMPP_CLOSE_FACT_STANZAS = 15,
    /// detail: how many more stanzas were over a limit of yours, and passed over.
    XMPP_CLOSE_FACT_OVERSIZE = 16,
}

impl xmpp_close_fact {
    const ALL: [Self; 16] = [
        Self::XMPP_CLOSE_FACT_CANCEL,
        Self::XMPP_CLOSE_FACT_PEER_CLOSED,
        Self::XMPP_CLOSE_FACT_MALFORMED,
        Self::XMPP_CLOSE_FACT_PAUSED,
        Self::XMPP_CLOSE_FACT_RESTARTED,
        Self::XMPP_CLOSE_FACT_HEADER_OUT,
        Self::XMPP_CLOSE_FACT_ARRIVED,
        Self::XMPP_CLOSE_FACT_EOF,
        Self::XMPP_CLOSE_FACT_NOTIFIED,
        Self::XMPP_CLOSE_FACT_READ_FAILED,
        Self::XMPP_CLOSE_FACT_WRITE_FAILED,
        Self::XMPP_CLOSE_FACT_TLS_FAILED,
        Self::XMPP_CLOSE_FACT_DID_NOTIFY,
        Self::XMPP_CLOSE_FACT_DID_SHUT,
        Self::XMPP_CLOSE_FACT_STANZAS,
        Self::XMPP_CLOSE_FACT_OVERSIZE,
    ];

    /// For a started stream the library finds these facts out by itself.
    fn is_for_engines(self) -> bool {
        self as u32 >= Self::XMPP_CLOSE_FACT_ARRIVED as u32
    }

    fn with(self, detail: u64) -> Result<Fact, Refusal> {
        let code = || i32::try_from(detail).unwrap_or(0);
        Ok(match self {
            Self::XMPP_CLOSE_FACT_CANCEL => Fact::Cancel,
            Self::XMPP_CLOSE_FACT_PEER_CLOSED => Fact::PeerClosed { behind: detail },
            Self::XMPP_CLOSE_FACT_MALFORMED => Fact::Malformed,
            Self::XMPP_CLOSE_FACT_PAUSED => Fact::Paused(detail != 0),
            Self::XMPP_CLOSE_FACT_RESTARTED => Fact::Restarted { tls: tls(detail)? },
            Self::XMPP_CLOSE_FACT_HEADER_OUT => Fact::HeaderOut,
            Self::XMPP_CLOSE_FACT_ARRIVED => Fact::Arrived(detail),
            Self::XMPP_CLOSE_FACT_EOF => Fact::Eof { inside: detail != 0 },
            Self::XMPP_CLOSE_FACT_NOTIFIED => Fact::Notified { inside: detail != 0 },
            Self::XMPP_CLOSE_FACT_READ_FAILED => Fact::ReadFailed(code()),
            Self::XMPP_CLOSE_FACT_WRITE_FAILED => Fact::WriteFailed(code()),
            Self::XMPP_CLOSE_FACT_TLS_FAILED => Fact::TlsFailed,
            Self::XMPP_CLOSE_FACT_DID_NOTIFY => Fact::DidNotify,
            Self::XMPP_CLOSE_FACT_DID_SHUT => Fact::DidShut,
            Self::XMPP_CLOSE_FACT_STANZAS => Fact::Stanzas(detail),
            Self::XMPP_CLOSE_FACT_OVERSIZE => Fact::Oversize(detail),
        })
    }
}

fn tls(detail: u64) -> Result<Tls, Refusal> {
    [Tls::No, Tls::Yes, Tls::Hidden].get(usize::try_from(detail).unwrap_or(usize::MAX)).copied().ok_or(INVALID)
}

/// Queues a copy of all the bytes, or nothing. The bytes are whole stanzas; the
/// first may be the rest of a stanza that is half written. Returns XMPP_CLOSE_OK,
/// XMPP_CLOSE_REFUSED or XMPP_CLOSE_FULL.
///
/// s NULL is XMPP_CLOSE_ERR_NULL, since there the library has no queue: ask
/// _wants for MAY_SEND, and use your own queue.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_send(s: *mut xmpp_close_stream, bytes: *const c_void, len: usize) -> c_int {
    // SAFETY: the header says what the pointers must be.
    unsafe {
        call(s, |body| {
            let bytes = guard::bytes(bytes, len)?;
            Ok(match body.send(bytes) {
                Ok(()) => 0,
                Err(SendError::Refused) => 1,
                Err(SendError::Full) => 2,
                Err(SendError::Invalid(_)) => return Err(guard::INVALID),
            })
        })
    }
}

/// Says that all is said: we close, or answer the peer's tag. Our tag is due,
/// behind what was sent, farewell and error. Only the first call has an effect.
/// error NULL: no stream error. An error whose condition is not in RFC 6120, or
/// that lacks what its condition needs, is XMPP_CLOSE_ERR_INVALID; the close has
/// not begun then.
///
/// A started stream first reads, without waiting, what has arrived, hands it
/// over, and lets you answer it by _send. Then it calls on_farewell, until that
/// has nothing more to say. Both take 256 KiB and answer_ms at most; after them
/// MAY_SEND is gone.
///
/// With an engine, read until nothing comes, and answer it, before you call this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_finish(
    s: *mut xmpp_close_stream,
    error: *const xmpp_close_error,
    now: u64,
) -> c_int {
    // SAFETY: the header says what the pointers must be.
    unsafe {
        call(s, |body| {
            let error = ours(error)?;
            body.order(Order::Finish(error), now)
        })
    }
}

/// Ends TCP without our tag, so that an XEP-0198 session stays resumable. What
/// was sent still goes out. What comes is discarded; the peer sends it again when
/// the session is resumed. The outcome is XMPP_CLOSE_CANCELLED, with tag_sent 0.
/// Without effect once MAY_SEND is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_detach(s: *mut xmpp_close_stream, now: u64) -> c_int {
    // SAFETY: NULL, or from a function here and used by this thread only, as the header says.
    unsafe { call(s, |body| body.order(Order::Detach, now)) }
}

/// Tells an xmpp_close_fact, at any time. A fact that is no news changes nothing.
/// detail is not looked at where the fact has none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_tell(s: *mut xmpp_close_stream, fact: u32, detail: u64, now: u64) -> c_int {
    // SAFETY: NULL, or from a function here and used by this thread only, as the header says.
    unsafe {
        call(s, |body| {
            let fact = xmpp_close_fact::ALL.into_iter().find(|known| *known as u32 == fact).ok_or(INVALID)?;
            if fact.is_for_engines() && !body.is_engine() {
                return Err(INVALID);
            }
            body.order(Order::Tell(fact.with(detail)?), now)
        })
    }
}

/// Says that your parser saw the peer's stream error: our tag is due, and nothing
/// more is sent. error NULL: an error that you cannot name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_peer_error(
    s: *mut xmpp_close_stream,
    error: *const xmpp_close_error,
    now: u64,
) -> c_int {
    // SAFETY: the header says what the pointers must be.
    unsafe { call(s, |body| body.order(Order::Tell(Fact::StreamError(theirs(error)?)), now)) }
}

/// A stream error that we send. It must be complete.
///
/// # Safety
/// `error` is NULL, or what the header says.
unsafe fn ours(error: *const xmpp_close_error) -> Result<Option<StreamError>, Refusal> {
    if error.is_null() {
        return Ok(None);
    }
    // SAFETY: as the caller promises.
    unsafe {
        let error = sized::copy_in(error)?;
        let words =
            Words { condition: error.condition, text: error.text, address: error.address, element: error.element };
        words.to_rust()?.ok_or(NULL).map(Some)
    }
}

/// The peer's stream error, which may say anything. Bytes that are no UTF-8 are replaced, so that the rest is not lost.
///
/// # Safety
/// `error` is NULL, or what the header says.
unsafe fn theirs(error: *const xmpp_close_error) -> Result<StreamError, Refusal> {
    if error.is_null() {
        return Ok(StreamError::received("undefined-condition"));
    }
    // SAFETY: as the caller promises; the strings end in NUL.
    unsafe {
        let error = sized::copy_in(error)?;
        let text = |word: *const c_char| (!word.is_null()).then(|| CStr::from_ptr(word).to_string_lossy().into_owned());
        let mut read = StreamError::received(&text(error.condition).unwrap_or_else(|| "undefined-condition".into()));
        if let Some(address) = text(error.address) {
            read = read.with_detail(address);
        }
        if let Some(words) = text(error.text) {
            read = read.with_text(words);
        }
        if let Some(element) = text(error.element) {
            read = read.with_application(element);
        }
        Ok(read)
    }
}
