//! Options
//!
//! ```c
//! #define XMPP_CLOSE_OPTIONS_INIT                                                \
//!     { sizeof(xmpp_close_options), 0, 0, 0, 0, 0, 0, NULL, NULL, 0, NULL, 0,    \
//!       NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, 0, 0, 0, NULL,   \
//!       NULL, 0, NULL, 0, 0 }
//! ```

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::{
    ffi::{c_char, c_int, c_void},
    mem,
    time::Duration,
};

use super::{
    guard::{self, INVALID, Refusal, SYSTEM},
    sized::{self, Versioned, flag},
    stream_error::Words,
};
use crate::{
    cancel::Canceller,
    engine::Tls,
    options::{CloseOptions, LastWords, Limits, Said},
    transport::Transport,
};

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
}

// SAFETY: repr(C), the size comes first, and zero is a number, NULL, or no function.
unsafe impl Versioned for xmpp_close_options {
    const EARLIER: &'static [usize] = &[mem::offset_of!(xmpp_close_options, stream_error_address)];
}

type Compose = unsafe extern "C" fn(*mut c_void, *mut u8, usize, *mut usize) -> c_int;

/// What usually follows the farewell, a tag and perhaps an error, so that it need not be moved for them.
const ENDING: usize = 256;
/// How much on_farewell may say.
const LAST_WORDS: usize = 4096;

struct Userdata(*mut c_void);

// SAFETY: it is only ever handed back to the program, on the thread that called the function whose options it is in.
unsafe impl Send for Userdata {}

/// On a started stream, whose program may send to the last, it is asked again and again.
fn last_words(compose: Compose, userdata: *mut c_void, user: User) -> LastWords {
    let userdata = Userdata(userdata);
    LastWords::new(move || {
        let userdata = &userdata;
        let mut words = vec![0; LAST_WORDS];
        let mut count = 0;
        // SAFETY: the header says what the function must be; the buffer is as long as it is told.
        let answer = unsafe { compose(userdata.0, words.as_mut_ptr(), words.len(), &raw mut count) };
        words.truncate(count);
        match (answer, user) {
            _ if count > LAST_WORDS => Said::Stop,
            (0, User::Started) => Said::Some(words),
            (0, _) => Said::All(words),
            (XMPP_CLOSE_LATER, User::Started) => Said::Later,
            _ => Said::Stop,
        }
    })
}

/// Who takes the options. What it has no use for is refused, never ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    /// `xmpp_close_new()`, which reads nothing and calls nothing back.
    Engine,
    /// `xmpp_close_start()` and `xmpp_close_start_with()`: how it is closed is said later.
    Started,
    /// A close that nobody finishes: the blocking calls, and what is added to a batch.
    Call,
}

pub(super) type Callback = unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int;

/// Who gets what still arrives.
#[derive(Clone, Copy)]
pub(super) enum Taker {
    Nobody,
    Stanzas(Callback, *mut c_void),
    Data(Callback, *mut c_void),
}

// SAFETY: the header says that the program uses one object in one thread at a time, whichever that is.
unsafe impl Send for Taker {}

impl xmpp_close_options {
    pub(super) fn defaults() -> Self {
        // SAFETY: as `Versioned` says; and zero means the default.
        unsafe { mem::zeroed() }
    }

    pub(super) fn limits(&self) -> Result<Limits, Refusal> {
        let defaults = Limits::default();
        let or = |millis, default| if millis == 0 { default } else { Duration::from_millis(u64::from(millis)) };
        Ok(Limits {
            total: or(self.total_ms, defaults.total),
            no_progress: or(self.no_progress_ms, defaults.no_progress),
            linger: or(self.linger_ms, defaults.linger),
            half_close: flag(self.half_close)?,
        })
    }

    fn has_error(&self) -> bool {
        [self.stream_error, self.stream_error_text, self.stream_error_element, self.stream_error_address]
            .iter()
            .any(|word| !word.is_null())
    }

    fn has_callbacks(&self) -> bool {
        let on_farewell = self.on_farewell.is_some();
        on_farewell || self.on_stanza.is_some() || self.on_data.is_some() || !self.userdata.is_null()
    }

    fn check_user(&self, user: User) -> Result<(), Refusal> {
        let residual = self.residual_len != 0;
        let engine_only = self.tls != 0 || self.own_parser != 0;
        let said_later = self.has_error() || self.detach != 0;
        let useless = match user {
            User::Engine => said_later || residual || self.has_callbacks() || !self.canceller.is_null(),
            User::Started => said_later || engine_only,
            User::Call => engine_only || self.output_limit != 0,
        };
        if useless { Err(INVALID) } else { Ok(()) }
    }

    /// What lies below the stream of an engine.
    pub(super) fn tls(&self) -> Result<Tls, Refusal> {
        match self.tls {
            0 => Ok(Tls::No),
            1 => Ok(Tls::Yes),
            2 => Ok(Tls::Hidden),
            _ => Err(INVALID),
        }
    }

    pub(super) fn taker(&self) -> Result<Taker, Refusal> {
        match (self.on_stanza, self.on_data) {
            (None, None) => Ok(Taker::Nobody),
            (Some(callback), None) => Ok(Taker::Stanzas(callback, self.userdata)),
            (None, Some(callback)) => Ok(Taker::Data(callback, self.userdata)),
            (Some(_), Some(_)) => Err(INVALID),
        }
    }

    /// The options as Rust has them; nothing in the result points into the program's memory.
    ///
    /// # Safety
    /// The pointers are what the header says.
    pub(super) unsafe fn to_rust(self, user: User) -> Result<CloseOptions, Refusal> {
        self.check_user(user)?;
        let mut options = CloseOptions::new();
        options.limits = self.limits()?;
        options.answer = Some(self.answer_ms).filter(|ms| *ms != 0).map(|ms| Duration::from_millis(ms.into()));
        options.peer_closed = flag(self.peer_closed)?;
        options.detach = flag(self.detach)?;
        options.tag_sent = flag(self.tag_sent)?;
        options.own_parser = flag(self.own_parser)? || self.on_data.is_some();
        options.last_words = self.on_farewell.map(|compose| last_words(compose, self.userdata, user));
        // SAFETY: as the caller promises, for this and the pointers below.
        unsafe {
            options.closing_tag = guard::text(self.closing_tag)?.map(str::to_owned);
            options.farewell_begun = true;
            options.farewell = copy(guard::bytes(self.farewell, self.farewell_len)?, ENDING)?;
            options.residual = copy(guard::bytes(self.residual, self.residual_len)?, 0)?;
            options.peer_header = tag(guard::bytes(self.peer_header, self.peer_header_len)?)?;
            options.header = tag(guard::bytes(self.header, self.header_len)?)?;
            options.canceller = self.canceller.as_ref().map(|canceller| canceller.0.clone());
            options.stream_error = Words {
                condition: self.stream_error,
                text: self.stream_error_text,
                address: self.stream_error_address,
                element: self.stream_error_element,
            }
            .to_rust()?;
        }
        if self.stanza_limit != 0 {
            options.stanza_limit = self.stanza_limit;
        }
        if self.output_limit != 0 {
            options.output_limit = self.output_limit;
        }
        options.check()?;
        Ok(options)
    }
}

/// A transport for which the options make sense.
pub(super) fn fit<T: Transport>(transport: T, options: &CloseOptions) -> Result<T, Refusal> {
    if options.limits.half_close && transport.is_tls() { Err(INVALID) } else { Ok(transport) }
}

/// Reads a program's options; all defaults for NULL.
///
/// # Safety
/// `options` is NULL, or as long as it says.
pub(super) unsafe fn read(options: *const xmpp_close_options) -> Result<xmpp_close_options, Refusal> {
    if options.is_null() {
        return Ok(xmpp_close_options::defaults());
    }
    // SAFETY: as the caller promises.
    unsafe { sized::copy_in(options) }
}

/// A copy of a start tag; none for no bytes.
fn tag(bytes: &[u8]) -> Result<Option<String>, Refusal> {
    if bytes.is_empty() {
        return Ok(None);
    }
    String::from_utf8(copy(bytes, 0)?).map(Some).map_err(|_| INVALID)
}

/// A copy, with room for so much more.
fn copy(bytes: &[u8], more: usize) -> Result<Vec<u8>, Refusal> {
    let mut copy = Vec::new();
    if bytes.is_empty() {
        return Ok(copy);
    }
    copy.try_reserve_exact(bytes.len() + more).map_err(|_| SYSTEM.because(libc::ENOMEM))?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::{super::guard::NULL, *};

    fn to_rust(options: xmpp_close_options) -> Result<CloseOptions, Refusal> {
        // SAFETY: the tests below use literals, and lengths that fit.
        unsafe { options.to_rust(User::Call) }
    }

    #[test]
    fn zero_means_the_default() {
        let options = to_rust(xmpp_close_options::defaults()).unwrap();
        assert_eq!(options.limits, Limits::default());
        assert_eq!(options.root().unwrap(), "stream:stream");
        assert_eq!(options.stanza_limit, crate::framing::DEFAULT_STANZA_LIMIT);
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        let refused: [fn(&mut xmpp_close_options); 18] = [
            |options| options.half_close = 2,
            |options| options.peer_closed = 2,
            |options| options.tls = 1,
            |options| options.detach = 2,
            |options| options.tag_sent = 2,
            |options| options.own_parser = 1,
            |options| (options.tag_sent, options.detach) = (1, 1),
            |options| {
                options.detach = 1;
                options.stream_error = c"reset".as_ptr();
            },
            |options| options.closing_tag = c"<stream:stream>".as_ptr(),
            |options| options.closing_tag = c"</\xff>".as_ptr(),
            |options| options.stream_error = c"no-such-condition".as_ptr(),
            |options| options.stream_error = c"undefined-condition".as_ptr(),
            |options| options.stream_error_text = c"a text without an error".as_ptr(),
            |options| options.stream_error_address = c"an.address.without.an.error".as_ptr(),
            |options| options.stream_error = c"see-other-host".as_ptr(),
            |options| {
                options.stream_error = c"see-other-host".as_ptr();
                options.stream_error_address = c" ".as_ptr();
            },
            |options| {
                options.stream_error = c"reset".as_ptr();
                options.stream_error_address = c"an.address.of.another.error".as_ptr();
            },
            |options| {
                options.stream_error = c"reset".as_ptr();
                options.stream_error_element = c"<a/></stream:stream>".as_ptr();
            },
        ];
        for (index, change) in refused.iter().enumerate() {
            let mut options = xmpp_close_options::defaults();
            change(&mut options);
            assert_eq!(to_rust(options).err(), Some(INVALID), "number {index}");
        }
    }

    #[test]
    fn a_stream_error_has_its_text_and_element() {
        let mut options = xmpp_close_options::defaults();
        options.stream_error = c"undefined-condition".as_ptr();
        options.stream_error_text = c"no".as_ptr();
        options.stream_error_element = c"<too-many xmlns='urn:example'/>".as_ptr();
        let error = to_rust(options).unwrap().stream_error.unwrap();
        assert_eq!((error.condition(), error.get_text()), ("undefined-condition", Some("no")));
        assert_eq!(error.get_application(), Some("<too-many xmlns='urn:example'/>"));
    }

    #[test]
    fn see_other_host_has_its_address() {
        let mut options = xmpp_close_options::defaults();
        options.stream_error = c"see-other-host".as_ptr();
        options.stream_error_address = c"[2001:db8::1]:5222".as_ptr();
        let error = to_rust(options).unwrap().stream_error.unwrap();
        assert_eq!((error.condition(), error.get_detail()), ("see-other-host", Some("[2001:db8::1]:5222")));
    }

    #[test]
    fn bytes_are_copied() {
        let farewell = *b"<presence type='unavailable'/>";
        let mut options = xmpp_close_options::defaults();
        options.farewell = farewell.as_ptr().cast();
        options.farewell_len = farewell.len();
        assert_eq!(to_rust(options).unwrap().farewell, farewell);
        options.farewell = ptr::null();
        assert_eq!(to_rust(options).err(), Some(NULL));
    }
}
