//! Report
//!
//! ```c
//! #define XMPP_CLOSE_REPORT_INIT                                                 \
//!     { sizeof(xmpp_close_report), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "" }
//! ```

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::ffi::c_char;

use super::{codes::xmpp_close_tls, sized::Versioned};
use crate::report::Report;

/// How it went. Numbers that do not fit are the largest that do.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct xmpp_close_report {
    /// Set by XMPP_CLOSE_REPORT_INIT; never changed, so a report can be used
    /// again and again.
    pub struct_size: usize,
    /// An xmpp_close_outcome.
    pub outcome: u32,
    /// An xmpp_close_initiator.
    pub initiator: u32,
    /// 1: our closing tag, and all before it, was taken by the kernel.
    pub tag_sent: u32,
    /// 1: the peer's closing tag was seen.
    pub tag_received: u32,
    /// Stanzas that arrived while closing, and were handed on or discarded.
    pub stanzas: u32,
    /// Stanzas that arrived while closing and were over stanza_limit.
    pub oversize: u32,
    /// Bytes of the peer's stream read while closing, residual and its closing
    /// tag included.
    pub bytes_read: u64,
    /// Bytes that came after the peer's tag; they were discarded.
    pub bytes_after_tag: u64,
    /// Bytes of ours that the kernel, or the transport, never took.
    pub bytes_unsent: u64,
    /// Bytes of ours that the peer's kernel had not acknowledged at the end.
    /// Linux and TCP only; elsewhere 0.
    pub bytes_unacked: u64,
    /// XMPP_CLOSE_TLS_* bits; 0 in plaintext.
    pub tls: u32,
    /// The first errno that was met, or 0. It explains the outcome, or the
    /// refusal of the descriptor, but may also be mere detail.
    pub os_error: i32,
    /// From the start of the close to its end.
    pub elapsed_ms: u32,
    /// Always 0.
    pub reserved: u32,
    /// The condition of the peer's stream error, ending in NUL, or "". One
    /// that RFC 6120 does not define is "undefined-condition".
    pub stream_error: [c_char; 48],
}

// SAFETY: repr(C), the size comes first, and zero is a number.
unsafe impl Versioned for xmpp_close_report {}

impl xmpp_close_report {
    /// Outcome pending, nothing known.
    pub(super) fn empty() -> Self {
        Self {
            struct_size: size_of::<Self>(),
            outcome: 0,
            initiator: 0,
            tag_sent: 0,
            tag_received: 0,
            stanzas: 0,
            oversize: 0,
            bytes_read: 0,
            bytes_after_tag: 0,
            bytes_unsent: 0,
            bytes_unacked: 0,
            tls: 0,
            os_error: 0,
            elapsed_ms: 0,
            reserved: 0,
            stream_error: [0; 48],
        }
    }
}

impl From<&Report> for xmpp_close_report {
    fn from(report: &Report) -> Self {
        let saturate = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let bit = |is_set, bit: xmpp_close_tls| if is_set { bit as u32 } else { 0 };
        let condition = report.stream_error.as_ref().map_or("", |error| error.condition());
        Self {
            outcome: report.outcome as u32,
            initiator: report.initiator.map_or(0, |initiator| initiator as u32),
            tag_sent: u32::from(report.tag_sent),
            tag_received: u32::from(report.tag_received),
            stanzas: saturate(report.stanzas),
            oversize: saturate(report.oversize),
            bytes_read: report.bytes_read,
            bytes_after_tag: report.bytes_after_tag,
            bytes_unsent: report.bytes_unsent,
            bytes_unacked: report.bytes_unacked,
            tls: bit(report.tls.used, xmpp_close_tls::XMPP_CLOSE_TLS_USED)
                | bit(report.tls.sent, xmpp_close_tls::XMPP_CLOSE_TLS_NOTIFY_SENT)
                | bit(report.tls.received, xmpp_close_tls::XMPP_CLOSE_TLS_NOTIFY_RECEIVED),
            os_error: report.os_error.unwrap_or(0),
            elapsed_ms: u32::try_from(report.elapsed.as_millis()).unwrap_or(u32::MAX),
            stream_error: condition_chars(condition),
            ..Self::empty()
        }
    }
}

/// A stream error condition as C has it: cut off rather than without its NUL.
pub(super) fn condition_chars(condition: &str) -> [c_char; 48] {
    let mut chars = [0; 48];
    for (char, byte) in chars[..47].iter_mut().zip(condition.bytes()) {
        *char = byte as c_char;
    }
    chars
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        handshake::{Event, Handshake},
        options::Limits,
        report::{Initiator, Outcome},
        stream_error::StreamError,
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

    #[test]
    fn counts_saturate() {
        let mut report = Handshake::new(Limits::default()).report(Duration::ZERO);
        report.stanzas = u64::MAX;
        report.elapsed = Duration::MAX;
        let report = xmpp_close_report::from(&report);
        assert_eq!((report.stanzas, report.elapsed_ms), (u32::MAX, u32::MAX));
    }

    #[test]
    fn tls_is_three_bits() {
        let mut handshake = Handshake::new(Limits::default()).over_tls();
        let _ = handshake.handle(Event::Begin, Duration::ZERO);
        let _ = handshake.handle(Event::CloseNotify { inside: false }, Duration::ZERO);
        assert_eq!(xmpp_close_report::from(&handshake.report(Duration::ZERO)).tls, 5);
    }

    #[test]
    fn a_condition_always_ends_in_nul() {
        assert_eq!(condition_chars("")[0], 0);
        let long = condition_chars(&"x".repeat(100));
        assert_eq!((long[46], long[47]), (b'x' as c_char, 0));
    }

    #[test]
    fn an_unknown_condition_is_undefined() {
        let mut report = Handshake::new(Limits::default()).report(Duration::ZERO);
        report.stream_error = Some(StreamError::received("on-a-whim"));
        assert_eq!(xmpp_close_report::from(&report).stream_error, condition_chars("undefined-condition"));
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn there_is_no_padding_in_which_a_later_member_could_land() {
        assert_eq!(size_of::<xmpp_close_report>(), 128);
        assert_eq!(size_of::<super::super::options::xmpp_close_options>(), 176);
    }
}
