//! One row through one API: what is closed, and which parts of the report are compared.

use std::{net::TcpStream, time::Duration};

use xmpp_close::{Initiator, Limit, Outcome, Report, Transport, ffi::xmpp_close_report};

use crate::{
    peer::PATIENCE,
    rows::{Row, Setting},
    toy_tls,
};

pub struct Case<'a> {
    pub tcp: &'a TcpStream,
    pub row: &'a Row,
    pub tls: bool,
}

impl<'a> Case<'a> {
    pub fn transport(&self) -> Box<dyn Transport + Send + 'a> {
        toy_tls::transport(self.tcp, self.tls)
    }

    pub fn is(&self, setting: Setting) -> bool {
        self.row.setting == setting
    }

    /// A short limit, if this limit is to end the close.
    pub fn limit(&self, limit: Limit) -> Duration {
        if self.row.ends.limit == Some(limit) { Duration::from_secs(1) } else { PATIENCE }
    }

    pub fn farewell(&self) -> Vec<u8> {
        match self.row.setting {
            Setting::BigFarewell => b"<presence/>".repeat(60_000),
            Setting::ReplyOwed => b"<r/>".to_vec(),
            _ => Vec::new(),
        }
    }
}

/// What the wire determines of a report. It does not determine how long it took, what the peer's kernel has
/// acknowledged, nor of which system call the first errno was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ending {
    pub outcome: Outcome,
    pub initiator: Option<Initiator>,
    /// Whether our tag was sent, and the peer's received.
    pub tags: (bool, bool),
    pub stanzas: u64,
    pub bytes_read: u64,
    pub bytes_after_tag: u64,
    pub limit: Option<Limit>,
    /// The peer sent a stream error.
    pub error: bool,
    /// Whether TLS was used, our `close_notify` sent, and the peer's received.
    pub alerts: (bool, bool, bool),
}

impl From<&Report> for Ending {
    fn from(report: &Report) -> Self {
        // Our tag is the last that leaves.
        assert_eq!(report.tag_sent, report.bytes_unsent == 0, "{report}");
        Self {
            outcome: report.outcome,
            initiator: report.initiator,
            tags: (report.tag_sent, report.tag_received),
            stanzas: report.stanzas,
            bytes_read: report.bytes_read,
            bytes_after_tag: report.bytes_after_tag,
            limit: report.limit,
            error: report.stream_error.is_some(),
            alerts: (report.tls.used, report.tls.sent, report.tls.received),
        }
    }
}

impl From<&xmpp_close_report> for Ending {
    fn from(report: &xmpp_close_report) -> Self {
        assert_eq!(report.tag_sent == 1, report.bytes_unsent == 0);
        Self {
            outcome: Outcome::ALL[report.outcome as usize],
            initiator: Initiator::ALL.iter().copied().find(|initiator| *initiator as u32 == report.initiator),
            tags: (report.tag_sent == 1, report.tag_received == 1),
            stanzas: report.stanzas.into(),
            bytes_read: report.bytes_read,
            bytes_after_tag: report.bytes_after_tag,
            limit: Limit::ALL.iter().copied().find(|limit| *limit as u32 == report.limit),
            error: report.stream_error[0] != 0,
            alerts: (report.tls & 1 != 0, report.tls & 2 != 0, report.tls & 4 != 0),
        }
    }
}
