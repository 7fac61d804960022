//! The closing handshake as facts: no I/O, no clock, no bytes, no XML.
//!
//! A stream has two halves, [ours](Ours) and [theirs](Theirs); the diagram stands at [`Engine`](crate::Engine). Each half
//! only ever moves one way. Whatever else happens is a fact that is kept, whatever the halves are. The answers to all
//! questions ([`wants`](Handshake::wants), [`deadline`](Handshake::deadline), [`report`](Handshake::report)) follow from
//! the two halves and the facts.

mod events;
mod questions;

use std::time::Duration;

use super::facts::{Counts, Facts, Ours, Theirs, Times, Tls};
use crate::{
    options::Limits,
    report::{Initiator, Limit, Outcome},
};

/// How many bytes are read and discarded behind the end of the peer's stream: 16 MiB. A peer that sends more is not read
/// any further. The stream ends with the peer's closing tag, or with what makes it malformed.
// XM-09
pub const TRAILING_LIMIT: u64 = 16 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Handshake {
    limits: Limits,
    answer: Duration,
    tls: Tls,
    ours: Ours,
    theirs: Theirs,
    facts: Facts,
    initiator: Option<Initiator>,
    os_error: Option<i32>,
    unsent: usize,
    counts: Counts,
    times: Times,
    over: Option<(Outcome, Option<Limit>)>,
}

impl Handshake {
    pub(super) fn new(limits: Limits, answer: Duration, tls: Tls) -> Self {
        Self {
            limits,
            answer,
            tls,
            ours: Ours::Open,
            theirs: Theirs::Open,
            facts: Facts::default(),
            initiator: None,
            os_error: None,
            unsent: 0,
            counts: Counts::default(),
            times: Times::default(),
            over: None,
        }
    }

    pub(super) fn ours(&self) -> Ours {
        self.ours
    }

    pub(super) fn theirs(&self) -> Theirs {
        self.theirs
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    pub(super) fn outcome(&self) -> Outcome {
        self.over.map_or(Outcome::Pending, |(outcome, _)| outcome)
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    pub(super) fn tls(&self) -> Tls {
        self.tls
    }

    /// Says what lies below the stream now: TLS after STARTTLS, for example.
    pub(super) fn set_tls(&mut self, tls: Tls) {
        self.tls = tls;
    }

    /// Makes the whole close end at `end` at the latest, for a batch that has a deadline of its own.
    #[cfg(feature = "batch")]
    pub(super) fn bound(&mut self, end: Duration, now: Duration) {
        let total = end.saturating_sub(self.times.began.unwrap_or(now));
        if total < self.limits.total {
            self.limits.total = total;
            self.answer = self.answer.min(total / 2);
            self.facts.add(Facts::BOUNDED);
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits, answer: Duration) {
        (self.limits, self.answer) = (limits, answer);
    }

    /// Lets the limits count from now on, if the peer has begun to close already: until now the application could do nothing
    /// about it.
    pub(super) fn begin_anew(&mut self, now: Duration) {
        self.clock(now);
        if self.times.began.is_some() && !self.is_over() {
            self.times.linger = self.times.linger.map(|_| self.times.now);
            self.start_counting();
        }
    }

    /// Forgets that the peer made our tag due: the application detaches instead.
    pub(super) fn reopen(&mut self) {
        if self.ours == Ours::Queued {
            (self.ours, self.theirs, self.initiator) = (Ours::Open, Theirs::Open, None);
        }
    }

    #[cfg(feature = "batch")]
    pub(super) fn has_begun(&self) -> bool {
        self.times.began.is_some()
    }

    /// A read, a write or TLS failed.
    pub(super) fn is_broken(&self) -> bool {
        self.facts.has(Facts::BROKEN)
    }

    /// Whether no `close_notify` of the peer's is awaited: it came, or it cannot come.
    pub(super) fn awaits_no_alert(&self) -> bool {
        self.tls != Tls::Yes || self.facts.has(Facts::NOTIFIED) || self.facts.has(Facts::EOF)
    }

    /// Whether the close has begun, but our tag is not due yet.
    pub(super) fn is_finishing(&self) -> bool {
        self.ours == Ours::Open && self.facts.has(Facts::FINISHING)
    }

    /// Takes over the time. Where the program's clock goes back, ours stands still.
    pub(super) fn clock(&mut self, now: Duration) {
        self.times.now = self.times.now.max(now);
    }

    /// Does `what`, then moves the halves as far as the new facts carry them. Once the close is over, it does nothing.
    fn take_up(&mut self, now: Duration, what: impl FnOnce(&mut Self)) {
        self.clock(now);
        if !self.is_over() {
            what(self);
            self.settle();
        }
    }

    fn began(&mut self, initiator: Initiator) {
        self.start_clock();
        self.initiator.get_or_insert(initiator);
    }

    fn start_clock(&mut self) {
        if self.times.began.is_none() {
            self.start_counting();
        }
    }

    /// The report counts what comes from now on.
    fn start_counting(&mut self) {
        self.times.began = Some(self.times.now);
        self.times.progress = self.times.now;
        let arrived = self.counts.arrived.saturating_sub(self.counts.read);
        self.counts = Counts { arrived, discarded: self.counts.discarded, ..Counts::default() };
    }

    /// Whether our tag went out. Once true, this stays true.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self.ours, Ours::Written | Ours::Ending | Ours::Ended) && !self.facts.has(Facts::DETACHED)
    }

    /// Moves each half as far as the facts carry it.
    fn settle(&mut self) {
        if self.is_over() {
            return;
        }
        let closing = self.theirs != Theirs::Open;
        if self.ours == Ours::Queued && self.unsent == 0 {
            self.ours = Ours::Written;
        }
        // TL-04: over TLS nothing ends our output before the peer's tag.
        if self.ours == Ours::Written && (closing || self.limits.half_close && self.tls == Tls::No) {
            self.ours = Ours::Ending;
        }
        if matches!(self.ours, Ours::Ending | Ours::Ended) && closing {
            self.times.linger.get_or_insert(self.times.now);
        }
        let eof = self.facts.has(Facts::EOF);
        if self.ours == Ours::Ending && (eof || self.facts.has(Facts::DID_SHUT) || self.facts.has(Facts::BROKEN)) {
            self.ours = Ours::Ended;
        }
        let drained = eof || self.counts.discarded > TRAILING_LIMIT;
        if closing && (self.ours == Ours::Ended && drained || self.ours == Ours::Lost) {
            self.end(self.verdict(), None);
        }
    }

    /// The outcome if the close ends now.
    fn verdict(&self) -> Outcome {
        self.fixed().unwrap_or(match self.ours {
            Ours::Lost => Outcome::Reset,
            Ours::Open | Ours::Queued => Outcome::Stalled,
            _ => Outcome::TimedOut,
        })
    }

    /// The outcome that is certain already, whatever follows; only an exchange of both tags still makes it clean.
    fn fixed(&self) -> Option<Outcome> {
        match self.theirs {
            Theirs::Void(verdict) => Some(verdict),
            _ => self.facts.has(Facts::DETACHED).then_some(Outcome::Cancelled),
        }
    }

    fn end(&mut self, outcome: Outcome, limit: Option<Limit>) {
        if self.is_over() {
            return;
        }
        let clean = self.is_sent() && self.theirs == Theirs::Closed;
        self.over = Some((if clean { Outcome::Clean } else { outcome }, limit));
        self.start_clock();
        self.times.over = Some(self.times.now);
    }

    /// Applies the limits; no other call does. Returns true when the time to answer is over, which makes our tag due.
    pub(super) fn tick(&mut self, now: Duration) -> bool {
        self.clock(now);
        if self.is_over() {
            return false;
        }
        let passed = self.limits().into_iter().flatten().filter(|(time, _)| *time <= self.times.now);
        // When more than one limit has passed, the total counts, because it ends everything; otherwise the earliest.
        match passed.min_by_key(|(time, limit)| (*limit != Limit::Total, *time)) {
            Some((_, Limit::Answer)) => {
                self.facts.add(Facts::UNANSWERED);
                true
            }
            Some((_, limit)) => {
                self.end(self.verdict(), Some(limit));
                false
            }
            None => false,
        }
    }
}
