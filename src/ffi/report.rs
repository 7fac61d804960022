//! Report
//!
//! ```c
//! #define XMPP_CLOSE_REPORT_INIT                                                 \
//!     { sizeof(xmpp_close_report), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "",     \
//!       "", "", "", "", 0, 0 }
//! ```

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::{
    ffi::c_char,
    mem::{offset_of, zeroed},
    time::Duration,
};

use super::{codes::xmpp_close_tls, sized::Versioned};
use crate::{
    condition::Condition,
    report::{Initiator, Limit, Outcome, Report, TlsAlerts},
    stream_error::StreamError,
};

/// How a close went. A number that does not fit is the largest that does.
///
/// Counts begin with the close. An engine that is made at the close, or with
/// peer_closed, has not seen what came before, so it counts 0 for that.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct xmpp_close_report {
    /// Set by XMPP_CLOSE_REPORT_INIT, and never changed: a report can be used
    /// again.
    pub struct_size: usize,
    /// An xmpp_close_outcome.
    pub outcome: u32,
    /// An xmpp_close_initiator.
    pub initiator: u32,
    /// 1: the kernel has our tag, and all bytes in front of it.
    pub tag_sent: u32,
    /// 1: the peer's tag came.
    pub tag_received: u32,
    /// Late stanzas: those that arrived while closing, handed over or discarded.
    /// 0 with on_data, where your parser counts them.
    pub stanzas: u32,
    /// Late stanzas that were longer than stanza_limit.
    pub oversize: u32,
    /// Bytes of the peer's stream that were read while closing, with residual and
    /// the peer's tag.
    pub bytes_read: u64,
    /// Bytes that came behind the peer's tag. They were discarded.
    pub bytes_after_tag: u64,
    /// Our bytes that neither the kernel nor the transport took.
    pub bytes_unsent: u64,
    /// Our bytes that the peer's kernel had not acknowledged at the end. Known on
    /// Linux over TCP only, otherwise 0.
    pub bytes_unacked: u64,
    /// XMPP_CLOSE_TLS_* bits; 0 without TLS.
    pub tls: u32,
    /// The first errno that occurred, or 0. It may explain the outcome, or why
    /// the descriptor was refused, or be a mere detail.
    pub os_error: i32,
    /// The time from the beginning of the close to its end.
    pub elapsed_ms: u32,
    /// Always 0.
    pub reserved: u32,
    /// The condition of the peer's stream error, or "". A condition that RFC 6120
    /// does not define is "undefined-condition". This string and those below are
    /// UTF-8 and end in NUL. A string that is too long is cut between two
    /// characters.
    pub stream_error: [c_char; 48],
    /// The text for people of the peer's stream error, or "".
    pub stream_error_text: [c_char; 256],
    /// Where to go instead, if the condition is "see-other-host", or "". It is
    /// not checked: whoever could send the error could send any address.
    pub stream_error_address: [c_char; 256],
    /// The name of the application's element in the stream error, as
    /// "{namespace}name", or "".
    pub stream_error_element: [c_char; 512],
    /// The condition's name as it came, if RFC 6120 does not define it, or "".
    pub stream_error_name: [c_char; 48],
    /// An xmpp_close_limit: the limit that ended the close.
    pub limit: u32,
    /// How often xmpp_close_send() returned XMPP_CLOSE_REFUSED.
    pub refused: u32,
}

// SAFETY: repr(C), the size comes first, and zero is a number.
unsafe impl Versioned for xmpp_close_report {
    const EARLIER: &'static [usize] = &[offset_of!(xmpp_close_report, stream_error_text)];
}

impl xmpp_close_report {
    /// Outcome pending, nothing known.
    pub(super) fn empty() -> Self {
        // SAFETY: as `Versioned` says.
        Self { struct_size: size_of::<Self>(), ..unsafe { zeroed() } }
    }

    /// The peer's stream error, as far as the report has it.
    fn error(&self) -> Option<StreamError> {
        let name =
            [text(&self.stream_error_name), text(&self.stream_error)].into_iter().find(|name| !name.is_empty())?;
        let mut error = StreamError::received(&name);
        let said = |chars: &[c_char]| Some(text(chars)).filter(|text| !text.is_empty());
        if let Some(words) = said(&self.stream_error_text) {
            error = error.with_text(words);
        }
        if let Some(address) = said(&self.stream_error_address) {
            error = error.with_detail(address);
        }
        if let Some(element) = said(&self.stream_error_element) {
            error = error.with_application(element);
        }
        Some(error)
    }

    /// Stores what is known of the peer's stream error.
    pub(super) fn set_error(&mut self, error: &StreamError) {
        let address = if error.condition() == Condition::SeeOtherHost { error.detail() } else { None };
        self.stream_error = chars(error.condition().as_str());
        self.stream_error_text = chars(error.text().unwrap_or_default());
        self.stream_error_address = chars(address.unwrap_or_default());
        self.stream_error_element = chars(error.application().unwrap_or_default());
        self.stream_error_name = chars(error.unknown_condition().unwrap_or_default());
    }
}

impl From<&Report> for xmpp_close_report {
    #[inline] // so that it is made in its place
    fn from(report: &Report) -> Self {
        let saturate = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let bit = |is_set, bit: xmpp_close_tls| if is_set { bit as u32 } else { 0 };
        let mut made = Self::empty();
        made.outcome = report.outcome as u32;
        made.initiator = report.initiator.map_or(0, |initiator| initiator as u32);
        made.tag_sent = u32::from(report.tag_sent);
        made.tag_received = u32::from(report.tag_received);
        made.stanzas = saturate(report.stanzas);
        made.oversize = saturate(report.oversize);
        made.bytes_read = report.bytes_read;
        made.bytes_after_tag = report.bytes_after_tag;
        made.bytes_unsent = report.bytes_unsent;
        made.bytes_unacked = report.bytes_unacked;
        made.tls = bit(report.tls.used, xmpp_close_tls::XMPP_CLOSE_TLS_USED)
            | bit(report.tls.sent, xmpp_close_tls::XMPP_CLOSE_TLS_NOTIFY_SENT)
            | bit(report.tls.received, xmpp_close_tls::XMPP_CLOSE_TLS_NOTIFY_RECEIVED);
        made.os_error = report.os_error.unwrap_or(0);
        made.elapsed_ms = u32::try_from(report.elapsed.as_millis()).unwrap_or(u32::MAX);
        made.limit = report.limit.map_or(0, |limit| limit as u32);
        made.refused = report.refused;
        if let Some(error) = &report.stream_error {
            made.set_error(error);
        }
        made
    }
}

/// The report in its Rust form, which has the words for a log.
impl From<&xmpp_close_report> for Report {
    fn from(report: &xmpp_close_report) -> Self {
        let find = |number: u32| Initiator::ALL.iter().copied().find(|known| *known as u32 == number);
        let bit = |bit: xmpp_close_tls| report.tls & bit as u32 != 0;
        Self {
            outcome: Outcome::ALL
                .iter()
                .copied()
                .find(|known| *known as u32 == report.outcome)
                .unwrap_or(Outcome::Pending),
            initiator: find(report.initiator),
            tag_sent: report.tag_sent != 0,
            tag_received: report.tag_received != 0,
            stanzas: report.stanzas.into(),
            oversize: report.oversize.into(),
            bytes_read: report.bytes_read,
            bytes_after_tag: report.bytes_after_tag,
            bytes_unsent: report.bytes_unsent,
            bytes_unacked: report.bytes_unacked,
            tls: TlsAlerts {
                used: bit(xmpp_close_tls::XMPP_CLOSE_TLS_USED),
                sent: bit(xmpp_close_tls::XMPP_CLOSE_TLS_NOTIFY_SENT),
                received: bit(xmpp_close_tls::XMPP_CLOSE_TLS_NOTIFY_RECEIVED),
            },
            stream_error: report.error(),
            os_error: Some(report.os_error).filter(|code| *code != 0),
            elapsed: Duration::from_millis(report.elapsed_ms.into()),
            limit: Limit::ALL.iter().copied().find(|known| *known as u32 == report.limit),
            refused: report.refused,
        }
    }
}

/// The text in an array of a struct, up to its NUL; all of the array, if there is no NUL.
fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|char| *char as u8).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A text for C, with its NUL. If it is too long, it is cut between two characters.
fn chars<const ROOM: usize>(text: &str) -> [c_char; ROOM] {
    let mut chars = [0; ROOM];
    let length = (0..text.len().min(ROOM - 1) + 1).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    for (char, byte) in chars.iter_mut().zip(text[..length].bytes()) {
        *char = byte as c_char;
    }
    chars
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::{Engine, Fact, Tls},
        options::CloseOptions,
    };

    #[test]
    fn the_numbers_of_c_are_those_of_rust() {
        use super::super::codes::{xmpp_close_initiator as initiator, xmpp_close_outcome as outcome};
        assert_eq!(outcome::XMPP_CLOSE_PENDING as u32, Outcome::Pending as u32);
        assert_eq!(outcome::XMPP_CLOSE_CLEAN as u32, Outcome::Clean as u32);
        assert_eq!(outcome::XMPP_CLOSE_PEER_EOF as u32, Outcome::PeerEof as u32);
        assert_eq!(outcome::XMPP_CLOSE_TRUNCATED as u32, Outcome::Truncated as u32);
        assert_eq!(outcome::XMPP_CLOSE_RESET as u32, Outcome::Reset as u32);
        assert_eq!(outcome::XMPP_CLOSE_TIMED_OUT as u32, Outcome::TimedOut as u32);
        assert_eq!(outcome::XMPP_CLOSE_STALLED as u32, Outcome::Stalled as u32);
        assert_eq!(outcome::XMPP_CLOSE_MALFORMED as u32, Outcome::Malformed as u32);
        assert_eq!(outcome::XMPP_CLOSE_TLS_FAILED as u32, Outcome::TlsFailed as u32);
        assert_eq!(outcome::XMPP_CLOSE_CANCELLED as u32, Outcome::Cancelled as u32);
        assert_eq!(initiator::XMPP_CLOSE_INITIATOR_US as u32, Initiator::Us as u32);
        assert_eq!(initiator::XMPP_CLOSE_INITIATOR_PEER as u32, Initiator::Peer as u32);
        assert_eq!(initiator::XMPP_CLOSE_INITIATOR_CROSSING as u32, Initiator::Crossing as u32);
    }

    fn report() -> Report {
        Engine::new(&CloseOptions::new(), Tls::No).unwrap().report()
    }

    #[test]
    fn counts_saturate() {
        let mut report = report();
        report.stanzas = u64::MAX;
        report.elapsed = Duration::MAX;
        let report = xmpp_close_report::from(&report);
        assert_eq!((report.stanzas, report.elapsed_ms), (u32::MAX, u32::MAX));
    }

    #[test]
    fn tls_is_three_bits() {
        let mut engine = Engine::new(&CloseOptions::new(), Tls::Yes).unwrap();
        engine.tell(Fact::Notified { inside: false }, Duration::ZERO).unwrap();
        assert_eq!(xmpp_close_report::from(&engine.report()).tls, 5);
    }

    #[test]
    fn a_text_is_cut_between_characters_and_always_ends_in_nul() {
        let text = |chars: [c_char; 8]| chars.map(|char| char as u8);
        assert_eq!(text(chars("")), [0; 8]);
        assert_eq!(text(chars("1234567")), *b"1234567\0");
        assert_eq!(text(chars("12345678")), *b"1234567\0");
        assert_eq!(text(chars("12345\u{e4}")), *b"12345\xc3\xa4\0");
        assert_eq!(text(chars("123456\u{e4}")), *b"123456\0\0");
        assert_eq!(text(chars("\u{10000}\u{10000}")), *b"\xf0\x90\x80\x80\0\0\0\0");
    }

    #[test]
    fn an_unknown_condition_is_undefined() {
        let mut report = report();
        report.stream_error = Some(StreamError::received("on-a-whim"));
        let report = xmpp_close_report::from(&report);
        assert_eq!(report.stream_error, chars("undefined-condition"));
        assert_eq!(report.stream_error_name, chars("on-a-whim"));
    }

    #[test]
    fn all_of_a_stream_error_is_told() {
        let mut report = report();
        let error =
            StreamError::see_other_host("[2001:db8::1]:5222").unwrap().with_text("gone").with_application("{urn:x}why");
        report.stream_error = Some(error);
        let report = xmpp_close_report::from(&report);
        assert_eq!(report.stream_error, chars("see-other-host"));
        assert_eq!(report.stream_error_text, chars("gone"));
        assert_eq!(report.stream_error_address, chars("[2001:db8::1]:5222"));
        assert_eq!(report.stream_error_element, chars("{urn:x}why"));
        assert_eq!(report.stream_error_name, chars(""));
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn there_is_no_padding_in_which_a_later_member_could_land() {
        assert_eq!(size_of::<xmpp_close_report>(), 1208);
        assert_eq!(size_of::<super::super::options::xmpp_close_options>(), 224);
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_sizes_of_version_0_1_0_stay_what_they_were() {
        use super::super::{batch::xmpp_close_batch_options, options::xmpp_close_options};
        assert_eq!(xmpp_close_report::EARLIER, [128]);
        assert_eq!(xmpp_close_options::EARLIER, [160]);
        assert_eq!(xmpp_close_batch_options::EARLIER, [64]);
    }
}
