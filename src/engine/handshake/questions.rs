//! The questions that the handshake answers. Asking changes nothing.

use std::time::Duration;

use super::{super::wants::Wants, Facts, Handshake, Ours, TRAILING_LIMIT, Theirs, Tls};
#[cfg(any(feature = "capi", feature = "log"))]
use crate::phase::{Phase, Phases};
use crate::report::{Initiator, Limit, Report, TlsAlerts};

impl Handshake {
    /// What the program has to do next.
    pub(in crate::engine) fn wants(&self) -> Wants {
        let has = |fact| self.facts.has(fact);
        let (open, tls) = (self.theirs == Theirs::Open, self.tls == Tls::Yes);
        if self.is_over() {
            // TL-01: close_notify goes out before the FIN even when the time is up, but never after only a part of our output.
            let complete = matches!(self.ours, Ours::Written | Ours::Ending | Ours::Ended);
            let notify = tls && complete && !has(Facts::BROKEN) && !has(Facts::DID_NOTIFY);
            return Wants::OVER.with(Wants::NOTIFY, notify);
        }
        let may_send = self.ours == Ours::Open;
        let ending = self.ours == Ours::Ending && self.unsent == 0;
        let notify = ending && tls && !has(Facts::DID_NOTIFY);
        let reads = !has(Facts::EOF) && !has(Facts::PAUSED) && self.counts.discarded <= TRAILING_LIMIT;
        Wants::default()
            .with(Wants::READ, reads)
            .with(Wants::WRITE, self.ours != Ours::Lost && self.unsent > 0)
            .with(Wants::MAY_SEND, may_send)
            // HS-08: what is still owed may be sent before our tag answers the peer's.
            .with(Wants::ANSWER, may_send && !open && !has(Facts::FINISHING))
            .with(Wants::PARSE, open)
            .with(Wants::NOTIFY, notify)
            .with(Wants::SHUT, ending && !notify && !has(Facts::DID_SHUT) && (!tls || has(Facts::NOTIFIED)))
    }

    /// Whether the limit for answers has not passed.
    pub(in crate::engine) fn has_time_to_answer(&self) -> bool {
        self.times.began.is_none_or(|began| self.times.now < began.saturating_add(self.answer))
    }

    pub(super) fn limits(&self) -> [Option<(Duration, Limit)>; 4] {
        let after = |from: Duration, time| from.saturating_add(time);
        let began = self.times.began;
        let answer = self.ours == Ours::Open && (self.theirs != Theirs::Open || self.facts.has(Facts::FINISHING));
        // After a half-close, too, the peer's tag is awaited.
        let awaited = match self.ours {
            Ours::Queued | Ours::Written => true,
            Ours::Ending | Ours::Ended => self.theirs == Theirs::Open,
            Ours::Open | Ours::Lost => false,
        };
        let moves = awaited && !self.facts.has(Facts::PAUSED);
        [
            began.map(|began| (after(began, self.limits.total), Limit::Total)),
            began.filter(|_| answer).map(|began| (after(began, self.answer), Limit::Answer)),
            self.times.linger.map(|from| (after(from, self.limits.linger), Limit::Linger)),
            began.filter(|_| moves).map(|_| (after(self.times.progress, self.limits.no_progress), Limit::NoProgress)),
        ]
    }

    /// When [`tick`](Self::tick) is due; `None` before the close begins, and when it is over.
    pub(in crate::engine) fn deadline(&self) -> Option<Duration> {
        self.limits().into_iter().flatten().map(|(time, _)| time).min().filter(|_| !self.is_over())
    }

    /// The phases that the close has reached.
    #[cfg(any(feature = "capi", feature = "log"))]
    pub(in crate::engine) fn phases(&self) -> Phases {
        Phases::default()
            .with(Phase::Begun, self.times.began.is_some())
            .with(Phase::TagSent, self.is_sent())
            .with(Phase::TagReceived, self.theirs == Theirs::Closed)
            .with(Phase::Ended, self.is_over())
    }

    /// What is known so far. Three members are left for others to fill in: the peer's stream error, the unacknowledged
    /// bytes, and what was refused.
    pub(in crate::engine) fn report(&self) -> Report {
        let has = |fact| self.facts.has(fact);
        let closed = self.theirs == Theirs::Closed;
        let (read, after) = if closed { (0, self.counts.discarded) } else { (self.counts.discarded, 0) };
        let end = self.times.over.unwrap_or(self.times.now);
        Report {
            outcome: self.outcome(),
            initiator: match self.initiator {
                Some(Initiator::Us) if has(Facts::CROSSED) => Some(Initiator::Crossing),
                initiator => initiator,
            },
            tag_sent: self.is_sent(),
            tag_received: closed,
            stanzas: self.counts.stanzas,
            oversize: self.counts.oversize,
            bytes_read: self.counts.read.saturating_add(read),
            bytes_after_tag: after,
            bytes_unsent: self.unsent as u64,
            bytes_unacked: 0,
            tls: TlsAlerts { used: self.tls != Tls::No, sent: has(Facts::DID_NOTIFY), received: has(Facts::NOTIFIED) },
            stream_error: None,
            os_error: self.os_error,
            elapsed: self.times.began.map_or(Duration::ZERO, |began| end.saturating_sub(began)),
            limit: match self.over.and_then(|(_, limit)| limit) {
                Some(Limit::Total) if has(Facts::BOUNDED) => Some(Limit::Batch),
                None if has(Facts::UNANSWERED) => Some(Limit::Answer),
                limit => limit,
            },
            refused: 0,
        }
    }
}
