//! Options
//!
//! ```c
//! #define XMPP_CLOSE_OPTIONS_INIT                                                \
//!     { sizeof(xmpp_close_options), 0, 0, 0, 0, 0, 0, NULL, NULL, 0, NULL, 0,    \
//!       NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, 0, 0, 0, NULL,   \
//!       NULL, 0, NULL, 0, 0, NULL, 0, 0 }
//! ```

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

mod taken;

use std::{
    ffi::{c_char, c_int, c_void},
    mem,
};

pub(super) use taken::{Logger, Taker, User, parsed, read};

use super::sized::Versioned;
use crate::cancel::Canceller;

/// Returned by on_data: your parser has seen the end of the peer's stream.
pub const XMPP_CLOSE_PEER_CLOSED: c_int = 11;
/// Returned by on_data: your parser refuses what the peer sent, since it is not
/// well-formed, or no XMPP stream.
pub const XMPP_CLOSE_NOT_XMPP: c_int = 12;
/// Returned by on_data instead of 0: go on, and the bytes ended inside an element
/// of the stream. For bytes that your parser got before the call, set parsed.
pub const XMPP_CLOSE_MID_ELEMENT: c_int = 13;

/// Returned by on_farewell on a started stream: not yet. It is called again when
/// xmpp_close_finish() is called again, so call that when all is said.
pub const XMPP_CLOSE_LATER: c_int = 1;

/// A phase of a close, for on_log. Each phase comes once at most. The last one comes
/// in each close that goes on to its end.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_phase {
    /// You or the peer began to close.
    XMPP_CLOSE_PHASE_BEGUN = 1,
    /// Our closing tag, and all before it, was taken by the kernel.
    XMPP_CLOSE_PHASE_TAG_SENT = 2,
    /// The peer's closing tag came.
    XMPP_CLOSE_PHASE_TAG_RECEIVED = 3,
    /// The close is over. The line is that of xmpp_close_describe().
    XMPP_CLOSE_PHASE_ENDED = 4,
}

/// Stops closes from another thread: see xmpp_close_canceller_new().
pub struct xmpp_close_canceller(pub(super) Canceller);

/// How to close. NULL in place of a pointer to it means all defaults. Each
/// function says which members it refuses.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct xmpp_close_options {
    /// Set by XMPP_CLOSE_OPTIONS_INIT.
    pub struct_size: usize,
    /// The limit for the whole close: what is still to be written, our tag, the
    /// wait for the peer's tag, the end of TLS and TCP. 0: 30000, so when this is
    /// what is left of a deadline, and nothing is left, set 1. When much was
    /// sent just before the close, a healthy server may need 7 to 17 s with the
    /// rate limits that it is shipped with.
    pub total_ms: u32,
    /// The limit for any time in which no byte moves, inside total_ms; a silent
    /// peer is waited for so long. 0: no such limit. Set it with care, since
    /// healthy peers pause: after a network was down for 3 s, TCP was silent for
    /// 8.7 s more, and servers with rate limits stop reading for longer than
    /// that.
    pub no_progress_ms: u32,
    /// The limit for the end of TCP once both tags are exchanged, inside
    /// total_ms. When our output is lost, it is the limit for any time in which
    /// the peer sends nothing. 0: 2000.
    pub linger_ms: u32,
    /// 1: shutdown(SHUT_WR) right after our tag. 0: only after the peer's tag,
    /// since widespread servers drop what they still had to send when TCP ends
    /// earlier. Over TLS, 1 is XMPP_CLOSE_ERR_INVALID. On a stream that goes over
    /// to TLS later, by RESTARTED, it has no effect.
    pub half_close: u32,
    /// 1: your parser has seen the peer's tag already, so our tag is the answer
    /// to it. What still comes is discarded. With on_data, parsed says the same:
    /// set that one.
    pub peer_closed: u32,
    /// For xmpp_close_new() only. 1: the stream runs over TLS. 2: it runs over a
    /// TLS layer that neither shows the peer's close_notify nor lets you send
    /// ours. (xmpp_close_transport has a member of its own; a plain descriptor
    /// has no TLS.)
    pub tls: u32,
    /// The closing tag that matches *your* header. NULL: "</stream:stream>".
    /// Where the library looks for the peer's tag without knowing the peer's
    /// header, it takes any end tag with the same local name, whatever its
    /// prefix.
    pub closing_tag: *const c_char,
    /// Bytes that are sent directly in front of our tag: whole stanzas, such as
    /// unavailable presence or a last <a/>. In a blocking call and in _batch_add,
    /// what your program has queued and not written belongs here, too. So farewell
    /// may begin with the rest of a stanza that is half written, or with your
    /// header, if that was never sent. A stream with a handle takes the queue by
    /// xmpp_close_send() instead: what its callbacks send goes out behind that, and
    /// in front of farewell.
    ///
    /// farewell is XMPP_CLOSE_ERR_INVALID when it ends inside a stanza, or has text
    /// or a closing tag between stanzas.
    pub farewell: *const c_void,
    /// Length of farewell in bytes.
    pub farewell_len: usize,
    /// Bytes that you have read from the peer and not handled yet. They begin
    /// between two stanzas. With on_data: bytes that you have not fed to your
    /// parser.
    pub residual: *const c_void,
    /// Length of residual in bytes.
    pub residual_len: usize,
    /// Called with each whole stanza that still arrives, in order. Handle it as
    /// ever, but do not answer it. `xml` is valid during the call and does not
    /// end in NUL. Return 0 to go on, anything else to stop at once
    /// (XMPP_CLOSE_CANCELLED). NULL: stanzas are counted and discarded.
    pub on_stanza: Option<unsafe extern "C" fn(userdata: *mut c_void, xml: *const u8, len: usize) -> c_int>,
    /// Instead of on_stanza, for a program with a parser: called with the bytes
    /// that arrive, in pieces of any size, residual first. The library does not
    /// look into the bytes then: it counts no stanzas and sees no stream error.
    /// Not together with on_stanza.
    ///
    /// Return 0 to go on, or XMPP_CLOSE_MID_ELEMENT to go on from inside an
    /// element. Return XMPP_CLOSE_PEER_CLOSED once the parser has seen the peer's
    /// tag. Return XMPP_CLOSE_NOT_XMPP when the parser refuses the bytes; the
    /// library answers with stream_error, or else with not-well-formed, unless a
    /// part of our tag is written. A blocking call writes our tag as soon as
    /// residual is handled, so it can answer residual, and seldom what it reads.
    /// Return anything else to stop at once. When the peer ends TCP without its
    /// tag, the outcome is XMPP_CLOSE_TRUNCATED after XMPP_CLOSE_MID_ELEMENT,
    /// otherwise XMPP_CLOSE_PEER_EOF.
    ///
    /// A stream error of the peer's has no result of its own: return 0, since the
    /// peer's tag is still awaited. The report does not show the error. On a
    /// started stream, call xmpp_close_peer_error() instead.
    ///
    /// Bytes that your parser got before the call are not shown again: set
    /// parsed to what the parser said of them.
    ///
    /// Never return what XML_Parse() returned: XML_STATUS_ERROR is 0, which here
    /// means to go on. (XML_STATUS_OK stops the close.)
    ///
    /// With expat, call XML_SetReparseDeferralEnabled(parser, XML_FALSE) first,
    /// or a tag that comes in pieces is seen too late. An expat without this
    /// function needs no call. Let your build find out whether expat.h declares
    /// it: the version does not tell, since patched older versions have it, too.
    pub on_data: Option<unsafe extern "C" fn(userdata: *mut c_void, data: *const u8, len: usize) -> c_int>,
    /// Passed to the callbacks as it is.
    pub userdata: *mut c_void,
    /// Stops this close. NULL: nothing can. It may be freed during the close.
    pub canceller: *const xmpp_close_canceller,
    /// Close with a stream error, sent between farewell and tag: a condition of
    /// RFC 6120 section 4.9.3, such as "system-shutdown". Do not use it for mere
    /// idleness, nor in an answer to the peer's tag: it would be sent there, too.
    /// NULL: no error.
    pub stream_error: *const c_char,
    /// A text for people to go with stream_error. It is escaped. NULL: none.
    pub stream_error_text: *const c_char,
    /// An element of your own to go with stream_error, sent as it is.
    /// "undefined-condition" needs one. NULL: none.
    pub stream_error_element: *const c_char,
    /// The longest stanza for on_stanza. A longer one is passed over and counted
    /// in xmpp_close_report.oversize. 0: 1048576. Less than 10000 counts as
    /// 10000.
    pub stanza_limit: usize,
    /// Composes the last words: called when everything that had arrived is
    /// handled and our tag is next. It stores up to len (4096) bytes in buf and
    /// their number in `*n`; they are sent behind farewell, directly in front of
    /// our tag. Whole stanzas only. NULL: no last words.
    ///
    /// It is called once. On a started stream it is called again and again, until
    /// it stores nothing.
    ///
    /// Return 0 to go on, on a started stream also XMPP_CLOSE_LATER. Anything
    /// else stops the close at once, and so do bytes that are no whole stanzas;
    /// then nothing of them is sent.
    ///
    /// It is meant for a final <a/> of XEP-0198. Such an <a/> counts each
    /// message, presence and iq that was handled, and nothing else: an <r/> does
    /// not count.
    pub on_farewell:
        Option<unsafe extern "C" fn(userdata: *mut c_void, buf: *mut u8, len: usize, n: *mut usize) -> c_int>,
    /// 1: TCP is ended without our tag once farewell is sent, so that an XEP-0198
    /// session stays resumable. What still arrives is discarded; the peer sends
    /// it again when the session is resumed. The outcome is XMPP_CLOSE_CANCELLED,
    /// with tag_sent 0. Not with stream_error.
    pub detach: u32,
    /// 1: you have written our tag already, or farewell ends in it, so that no
    /// other is sent. farewell is then empty, or ends in the tag. Not with
    /// detach, stream_error or on_farewell.
    pub tag_sent: u32,
    /// The limit for what you still owe the peer: when the peer closes first, or
    /// when something has arrived as you close. After it our tag is sent all the
    /// same, so that it goes out in time. Without a handle nothing can be answered:
    /// there it is the limit for your callbacks with residual, and for on_farewell
    /// with what has arrived. 0: half of total_ms.
    pub answer_ms: u32,
    /// For xmpp_close_new() only. 1: your program has a parser, so it calls
    /// xmpp_close_received(), not xmpp_close_input().
    pub own_parser: u32,
    /// Where the peer is to go instead. stream_error "see-other-host" needs it,
    /// and no other condition has one. NULL: none.
    pub stream_error_address: *const c_char,
    /// The peer's header as you received it. It tells the name of the peer's root
    /// and what the prefixes mean, so that a stream error is recognised under any
    /// prefix. NULL: only <stream:error> is a stream error, as in nearly every
    /// stream. With on_data it is not needed.
    pub peer_header: *const c_void,
    /// Length of peer_header in bytes.
    pub peer_header_len: usize,
    /// *Your* header, if it has not been sent. It goes in front of whatever is
    /// sent first, as when a stream is refused before its header (RFC 6120
    /// section 4.9.1.2). closing_tag is not needed then. The peer's header may
    /// not have come either: if it is what comes first, it is no stanza. NULL: your
    /// header has been sent, and the peer's has come.
    pub header: *const c_void,
    /// Length of header in bytes.
    pub header_len: usize,
    /// How many bytes xmpp_close_send() queues at most. 0: 16777216. farewell,
    /// stream error and tag do not count.
    pub output_limit: usize,
    /// Called once for each xmpp_close_phase that the close reaches, with a line
    /// of text for your log. The line ends in NUL, has no newline, and is valid
    /// during the call. NULL: nothing is logged.
    pub on_log: Option<unsafe extern "C" fn(userdata: *mut c_void, phase: c_int, line: *const c_char)>,
    /// What on_data would return now, after the bytes that you gave to your
    /// parser before this call: 0, XMPP_CLOSE_PEER_CLOSED, XMPP_CLOSE_NOT_XMPP or
    /// XMPP_CLOSE_MID_ELEMENT. So a thread stores here what its parser said last.
    /// Anything but 0 needs on_data, and does not contradict peer_closed. NOT_XMPP
    /// is refused with detach. On a started stream it answers with
    /// not-well-formed: for another condition leave this 0, call _finish with it,
    /// then _tell MALFORMED.
    pub parsed: u32,
    /// Always 0.
    pub reserved: u32,
}

// SAFETY: repr(C), the size comes first, and zero is a number, NULL, or no function.
unsafe impl Versioned for xmpp_close_options {
    const EARLIER: &'static [usize] = &[mem::offset_of!(xmpp_close_options, stream_error_address)];
}
