//! Options
//!
//! ```c
//! #define XMPP_CLOSE_OPTIONS_INIT                                                \
//!     { sizeof(xmpp_close_options), 0, 0, 0, 0, 0, 0, NULL, NULL, 0, NULL, 0,    \
//!       NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, 0, 0, 0, NULL,   \
//!       NULL, 0, NULL, 0, 0, NULL }
//! ```

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

mod taken;

use std::{
    ffi::{c_char, c_int, c_void},
    mem,
};

pub(super) use taken::{Logger, Taker, User, fit, read};

use super::sized::Versioned;
use crate::cancel::Canceller;

/// What on_data returns when its parser has seen the end of the peer's stream.
pub const XMPP_CLOSE_PEER_CLOSED: c_int = 1;
/// What on_data returns when its parser refuses what the peer sent: it is not
/// well-formed, or no XMPP stream.
pub const XMPP_CLOSE_NOT_XMPP: c_int = 2;
/// What on_data may return instead of 0 when the stream goes on and its parser
/// is inside an element, deeper than the stream's root.
pub const XMPP_CLOSE_MID_ELEMENT: c_int = 3;

/// What on_farewell may return on a started stream: ask again when _finish is
/// called again, which I shall do when all is said.
pub const XMPP_CLOSE_LATER: c_int = 1;

/// What on_log is told. Each comes once at most, and the last one in every close
/// that is not given up by _free.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_phase {
    /// You or the peer began to close.
    XMPP_CLOSE_PHASE_BEGUN = 1,
    /// Our closing tag, and all before it, was taken by the kernel.
    XMPP_CLOSE_PHASE_TAG_SENT = 2,
    /// The peer's closing tag came.
    XMPP_CLOSE_PHASE_TAG_RECEIVED = 3,
    /// It is over. The line is what xmpp_close_describe() makes of the report.
    XMPP_CLOSE_PHASE_ENDED = 4,
}

/// Stops closes from another thread; see xmpp_close_canceller_new().
pub struct xmpp_close_canceller(pub(super) Canceller);

/// How to close. NULL in place of a pointer to it means all defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct xmpp_close_options {
    /// Set by XMPP_CLOSE_OPTIONS_INIT.
    pub struct_size: usize,
    /// For everything: what is still to be written, the closing tag, the wait
    /// for the peer's, the end of TLS and TCP. 0: 30000. A healthy server may
    /// take 7 to 17 s with its shipped rate limits, when much was sent to it
    /// just before the close.
    pub total_ms: u32,
    /// For any stretch in which not a byte moves, inside total_ms: a peer that
    /// stays silent is waited for so long. 0: there is no such limit, and only
    /// total_ms bounds the wait. Healthy peers pause: after a network was down
    /// for 3 s, TCP was silent for 8.7 s more, and servers with rate limits
    /// stop reading for longer than that.
    pub no_progress_ms: u32,
    /// For the end of TCP once both tags were exchanged and ours is written,
    /// inside total_ms. When our output is lost: for any stretch in which the
    /// peer sends nothing. 0: 2000.
    pub linger_ms: u32,
    /// 1: shutdown(SHUT_WR) right after our closing tag. 0: only after the
    /// peer's, since widespread servers drop what they still had to send when
    /// they see it earlier. Over TLS it is XMPP_CLOSE_ERR_INVALID.
    pub half_close: u32,
    /// 1: your parser has seen the peer's closing tag already, so this is the
    /// answer to it. What still comes is then discarded.
    pub peer_closed: u32,
    /// For xmpp_close_new() only: xmpp_close_transport has a member of its own,
    /// and a plain fd has none. 1: the stream runs over TLS. 2: it does, over a
    /// layer that neither shows the peer's close_notify nor lets you send ours.
    pub tls: u32,
    /// The end tag of *your* stream header. NULL: "</stream:stream>". Where the
    /// library looks for the peer's without knowing its header, it takes any end
    /// tag with the same local name, whatever its prefix.
    pub closing_tag: *const c_char,
    /// To be sent right in front of the tag: whole stanzas, such as unavailable
    /// presence or a last <a/>. What your program still has queued goes here,
    /// too, for it comes after what was written to the socket: so the first may
    /// be the rest of a stanza that is half written, or your stream header, if
    /// that was never sent. What ends inside a stanza, or has text between them
    /// or a closing tag, is XMPP_CLOSE_ERR_INVALID.
    pub farewell: *const c_void,
    /// Length of farewell in bytes.
    pub farewell_len: usize,
    /// Bytes you have read from the peer and not handled yet, beginning
    /// between two stanzas; with on_data: not fed to your parser yet.
    pub residual: *const c_void,
    /// Length of residual in bytes.
    pub residual_len: usize,
    /// Called with each whole stanza that still arrives, in order; handle it
    /// as ever, but do not answer it. `xml` is valid during the call and does
    /// not end in NUL. Return 0 to go on, anything else to stop at once
    /// (XMPP_CLOSE_CANCELLED). NULL: stanzas are counted and discarded.
    pub on_stanza: Option<unsafe extern "C" fn(userdata: *mut c_void, xml: *const u8, len: usize) -> c_int>,
    /// Instead of on_stanza, for programs with a parser: called with the bytes
    /// that arrive, in pieces of any size, residual first. Return 0 to go on, or
    /// XMPP_CLOSE_MID_ELEMENT to go on from inside an element;
    /// XMPP_CLOSE_PEER_CLOSED once the parser has seen the peer's closing tag;
    /// XMPP_CLOSE_NOT_XMPP when it refuses what came, which is then answered by
    /// the stream error not-well-formed, if our tag has not been started;
    /// anything else to stop at once. The library does not look into the bytes
    /// then: it counts no stanzas and sees no stream error. An end without a tag
    /// is XMPP_CLOSE_TRUNCATED after XMPP_CLOSE_MID_ELEMENT, otherwise
    /// XMPP_CLOSE_PEER_EOF. Bytes that you have parsed before the call are not
    /// shown again: those that made your parser fail belong into residual, so
    /// that on_data can say so. With expat, call
    /// XML_SetReparseDeferralEnabled(parser, XML_FALSE) first, or a tag that
    /// comes in pieces is seen too late; an expat that lacks the function does
    /// not need it. Whether expat.h declares it is found out when the program
    /// is built, and not by the version: patched older ones have it, too.
    pub on_data: Option<unsafe extern "C" fn(userdata: *mut c_void, data: *const u8, len: usize) -> c_int>,
    /// Passed to the callbacks as it is.
    pub userdata: *mut c_void,
    /// NULL: cannot be cancelled.
    pub canceller: *const xmpp_close_canceller,
    /// Close with a stream error, sent between farewell and tag: a condition
    /// of RFC 6120 section 4.9.3, such as "system-shutdown". NULL: none. Never
    /// for idleness alone.
    pub stream_error: *const c_char,
    /// A text for people to go with stream_error; it is escaped. NULL: none.
    pub stream_error_text: *const c_char,
    /// An element of your own to go with stream_error, sent as it is;
    /// "undefined-condition" needs one. NULL: none.
    pub stream_error_element: *const c_char,
    /// The longest stanza for on_stanza, in bytes. A longer one is passed over
    /// and counted in xmpp_close_report.oversize. 0: 1048576; less than 10000
    /// counts as 10000.
    pub stanza_limit: usize,
    /// Called when all that had arrived was handled and the tag is next: once,
    /// but on a started stream again and again, until it stores nothing. Stores
    /// up to len (4096) bytes in buf and their number in `*n`, to be sent behind
    /// farewell and right in front of the tag: whole stanzas. For a final <a/> of
    /// XEP-0198, which counts each message, presence and iq that was handled, and
    /// nothing else: an <r/> is no stanza. Return 0 to go on, on a started stream
    /// also XMPP_CLOSE_LATER, anything else to stop at once, as do bytes that are
    /// no whole stanzas; they are not sent. NULL: nothing.
    pub on_farewell:
        Option<unsafe extern "C" fn(userdata: *mut c_void, buf: *mut u8, len: usize, n: *mut usize) -> c_int>,
    /// 1: TCP is ended without a closing tag, once farewell is sent, so that an
    /// XEP-0198 session stays resumable. What still arrives is discarded, and
    /// comes again when the session is resumed. The outcome is
    /// XMPP_CLOSE_CANCELLED, with tag_sent 0. Not with stream_error.
    pub detach: u32,
    /// 1: your closing tag has been written already, or ends farewell, so that
    /// no other is sent; farewell is then empty, or ends in the tag. Not with
    /// detach, stream_error or on_farewell.
    pub tag_sent: u32,
    /// For what you owe the peer when it closes first, or what has still arrived
    /// when you close: after it our tag is sent all the same, so that it goes out
    /// in time. 0: half of total_ms.
    pub answer_ms: u32,
    /// For xmpp_close_new() only. 1: your program has a parser, and calls
    /// xmpp_close_received(), not xmpp_close_input().
    pub own_parser: u32,
    /// Where the peer is to go instead, to go with stream_error
    /// "see-other-host", which needs it; no other condition has one. NULL: none.
    pub stream_error_address: *const c_char,
    /// The start tag of the peer's stream, as you received it. It tells the
    /// name of the peer's root, and which prefixes stand for which namespaces,
    /// so that a stream error is known under any prefix. NULL: a stream error
    /// is <stream:error>, as in nearly every stream. With on_data it is not
    /// needed.
    pub peer_header: *const c_void,
    /// Length of peer_header in bytes.
    pub peer_header_len: usize,
    /// The start tag of *your* stream, if it has not been sent: it goes in front
    /// of whatever is said first, as when a stream is refused before its header
    /// (RFC 6120 section 4.9.1.2). closing_tag is then not needed. NULL: it has.
    pub header: *const c_void,
    /// Length of header in bytes.
    pub header_len: usize,
    /// How many bytes xmpp_close_send() queues at most. 0: 16777216. Farewell,
    /// stream error and tag do not count.
    pub output_limit: usize,
    /// Called once for each xmpp_close_phase that the close reaches, in the call
    /// in which it does, with a line of text for your log. The line ends in NUL,
    /// has no newline, and is valid during the call. NULL: nothing is logged.
    pub on_log: Option<unsafe extern "C" fn(userdata: *mut c_void, phase: c_int, line: *const c_char)>,
}

// SAFETY: repr(C), the size comes first, and zero is a number, NULL, or no function.
unsafe impl Versioned for xmpp_close_options {
    const EARLIER: &'static [usize] = &[mem::offset_of!(xmpp_close_options, stream_error_address)];
}
