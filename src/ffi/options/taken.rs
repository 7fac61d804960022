// A program's options in their Rust form, and which function has a use for which of them.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    mem,
    time::Duration,
};

use super::{
    super::{
        guard::{self, INVALID, Refusal, SYSTEM, Userdata},
        sized::{self, flag},
        stream_error::Words,
    },
    XMPP_CLOSE_LATER, XMPP_CLOSE_MID_ELEMENT, XMPP_CLOSE_NOT_XMPP, XMPP_CLOSE_PEER_CLOSED, xmpp_close_options,
};
use crate::{
    closing::{OnLog, Parsed},
    engine::Tls,
    options::{CloseOptions, LastWords, Limits, Said},
    phase::Phase,
    transport::codes,
};

type Compose = unsafe extern "C" fn(*mut c_void, *mut u8, usize, *mut usize) -> c_int;

/// Room for what usually follows the farewell, our tag and perhaps an error, so that the farewell need not be moved.
const ENDING: usize = 256;
/// How many bytes on_farewell may store.
const LAST_WORDS: usize = 4096;

/// The last words by on_farewell. On a started stream it is asked again and again, since its program may send until then.
fn last_words(compose: Compose, userdata: *mut c_void, user: User) -> LastWords {
    let userdata = Userdata(userdata);
    LastWords::new(move || {
        let mut words = vec![0; LAST_WORDS];
        let mut count = 0;
        // SAFETY: the header says what the function must be; the buffer is as long as it is told.
        let answer = unsafe { compose(userdata.get(), words.as_mut_ptr(), words.len(), &raw mut count) };
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

/// The function that takes the options. An option that it has no use for is refused, never ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ffi) enum User {
    /// `xmpp_close_new()`, which reads nothing and calls nothing back.
    Engine,
    /// `xmpp_close_start()` and `xmpp_close_start_with()`. How the stream is closed is said later.
    Started,
    /// A close that no _finish follows: the blocking calls, and streams that are added to a batch.
    Call,
}

pub(in crate::ffi) type Callback = unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int;

/// Who is told of each phase.
#[derive(Clone, Copy)]
pub(in crate::ffi) struct Logger {
    callback: unsafe extern "C" fn(*mut c_void, c_int, *const c_char),
    userdata: Userdata,
}

impl Logger {
    pub(in crate::ffi) fn tell(&self, phase: Phase, line: &str) {
        let line = CString::new(line).unwrap_or_default(); // a line has no control characters
        // The thread cannot be cancelled inside, although some functions of an engine let it be.
        // SAFETY: the header says what the function must be; the line outlives the call.
        guard::uncancelled(|| unsafe { (self.callback)(self.userdata.get(), phase as c_int, line.as_ptr()) });
    }

    /// For a driver, which asks `is_freed` before each phase.
    pub(in crate::ffi) fn until(self, is_freed: impl Fn() -> bool + Send + 'static) -> OnLog {
        Box::new(move |phase, line| {
            if !is_freed() {
                self.tell(phase, line);
            }
        })
    }
}

/// What a result of on_data means.
pub(in crate::ffi) fn parsed(result: c_int) -> Parsed {
    match result {
        0 => Parsed::Open,
        XMPP_CLOSE_PEER_CLOSED => Parsed::PeerClosed,
        XMPP_CLOSE_NOT_XMPP => Parsed::Malformed,
        XMPP_CLOSE_MID_ELEMENT => Parsed::Inside,
        _ => Parsed::Stop,
    }
}

/// The callback that gets what still arrives.
#[derive(Clone, Copy)]
pub(in crate::ffi) enum Taker {
    Nobody,
    Stanzas(Callback, *mut c_void),
    Data(Callback, *mut c_void),
}

// SAFETY: the header says that a program uses an object in one thread at a time.
unsafe impl Send for Taker {}

impl xmpp_close_options {
    pub(in crate::ffi) fn defaults() -> Self {
        // SAFETY: as `Versioned` says; and zero means the default.
        unsafe { mem::zeroed() }
    }

    pub(in crate::ffi) fn limits(&self) -> Result<Limits, Refusal> {
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

    /// All but on_log, which an engine has, too.
    fn has_callbacks(&self) -> bool {
        let userdata = !self.userdata.is_null() && self.on_log.is_none();
        userdata || self.on_farewell.is_some() || self.on_stanza.is_some() || self.on_data.is_some()
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

    pub(in crate::ffi) fn logger(&self) -> Option<Logger> {
        self.on_log.map(|callback| Logger { callback, userdata: Userdata(self.userdata) })
    }

    /// What lies below the stream of an engine.
    pub(in crate::ffi) fn tls(&self) -> Result<Tls, Refusal> {
        match self.tls {
            0 => Ok(Tls::No),
            1 => Ok(Tls::Yes),
            2 => Ok(Tls::Hidden),
            _ => Err(INVALID),
        }
    }

    pub(in crate::ffi) fn taker(&self) -> Result<Taker, Refusal> {
        match (self.on_stanza, self.on_data) {
            (None, None) => Ok(Taker::Nobody),
            (Some(callback), None) => Ok(Taker::Stanzas(callback, self.userdata)),
            (None, Some(callback)) => Ok(Taker::Data(callback, self.userdata)),
            (Some(_), Some(_)) => Err(INVALID),
        }
    }

    /// Where the application's own parser stands: what on_data would return.
    pub(in crate::ffi) fn parsed(&self) -> Result<Parsed, Refusal> {
        let result = self.parsed as c_int;
        let is_refused = result == XMPP_CLOSE_NOT_XMPP && self.detach != 0
            || self.peer_closed != 0 && ![0, XMPP_CLOSE_PEER_CLOSED].contains(&result);
        if self.parsed != 0 && self.on_data.is_none() || self.reserved != 0 || is_refused {
            return Err(INVALID);
        }
        match i32::try_from(self.parsed).map(parsed) {
            Ok(Parsed::Stop) | Err(_) => Err(INVALID),
            Ok(parsed) => Ok(parsed),
        }
    }

    /// The options in their Rust form. Nothing in the result points into the program's memory.
    ///
    /// # Safety
    /// The pointers are what the header says.
    pub(in crate::ffi) unsafe fn to_rust(self, user: User) -> Result<CloseOptions, Refusal> {
        self.check_user(user)?;
        self.parsed()?;
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

/// Reads a program's options; all defaults for NULL.
///
/// # Safety
/// `options` is NULL, or as long as it says.
pub(in crate::ffi) unsafe fn read(options: *const xmpp_close_options) -> Result<xmpp_close_options, Refusal> {
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
    copy.try_reserve_exact(bytes.len() + more).map_err(|_| SYSTEM.because(codes::ENOMEM))?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::{super::super::guard::NULL, *};
    use crate::condition::Condition;

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
        assert_eq!((error.condition(), error.text()), (Condition::UndefinedCondition, Some("no")));
        assert_eq!(error.application(), Some("<too-many xmlns='urn:example'/>"));
    }

    #[test]
    fn see_other_host_has_its_address() {
        let mut options = xmpp_close_options::defaults();
        options.stream_error = c"see-other-host".as_ptr();
        options.stream_error_address = c"[2001:db8::1]:5222".as_ptr();
        let error = to_rust(options).unwrap().stream_error.unwrap();
        assert_eq!((error.condition(), error.detail()), (Condition::SeeOtherHost, Some("[2001:db8::1]:5222")));
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
