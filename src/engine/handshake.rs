//! The closing handshake as facts: no I/O, no clock, no bytes, no XML.
//!
//! A stream has two halves, ours and theirs. Each half only ever moves one way, and what else happened is a set of facts
//! that are kept whatever the halves are. All that is asked ([`wants`](Handshake::wants), [`deadline`](Handshake::deadline),
//! [`report`](Handshake::report)) follows from these.
//!
//! ```text
//!   ours:   open ──► queued ──► written ──► ending ──► ended        theirs:   open ──► closed    their tag
//!             └─────────┴──► lost   (writing failed)                            ├────► void      malformed, or ended without tag
//!                                                                               └────► ignored   we detach
//! ```

mod events;
mod questions;

use std::time::Duration;

use super::facts::{Counts, Facts, Ours, Theirs, Times, Tls};
use crate::{
    options::Limits,
    report::{Initiator, Limit, Outcome},
};

/// How many bytes behind the end of the peer's stream, be that its closing tag or what made it malformed, are read and
/// discarded before the peer is left alone with the rest (XM-09).
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

    /// Another TLS layer lies below the stream now: STARTTLS is done, or the connection was handed over.
    pub(super) fn set_tls(&mut self, tls: Tls) {
        self.tls = tls;
    }

    /// Lets the whole close end at `end` at the latest: for a set of streams that has a deadline of its own.
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

    /// Counts from now on, when the close has begun already: until now nobody could do anything about it.
    pub(super) fn begin_anew(&mut self, now: Duration) {
        self.clock(now);
        if self.times.began.is_some() && !self.is_over() {
            self.times.linger = self.times.linger.map(|_| self.times.now);
            self.start_counting();
        }
    }

    /// Nothing of what the peer did has made our tag due: the application detaches instead.
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

    /// There is no `close_notify` of the peer's to wait for, or no longer.
    pub(super) fn awaits_no_alert(&self) -> bool {
        self.tls != Tls::Yes || self.facts.has(Facts::NOTIFIED) || self.facts.has(Facts::EOF)
    }

    /// Our tag is not due yet, although the close has begun.
    pub(super) fn is_finishing(&self) -> bool {
        self.ours == Ours::Open && self.facts.has(Facts::FINISHING)
    }

    /// A clock that goes back stands still.
    pub(super) fn clock(&mut self, now: Duration) {
        self.times.now = self.times.now.max(now);
    }

    /// Takes up what has just happened, and goes on as far as that carries. Nothing once it is over.
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

    /// What is reported is what came since now.
    fn start_counting(&mut self) {
        self.times.began = Some(self.times.now);
        self.times.progress = self.times.now;
        let arrived = self.counts.arrived.saturating_sub(self.counts.read);
        self.counts = Counts { arrived, discarded: self.counts.discarded, ..Counts::default() };
    }

    /// Our tag went out. True for ever once it is.
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

    /// What the close has come to if it ends now.
    fn verdict(&self) -> Outcome {
        self.fixed().unwrap_or(match self.ours {
            Ours::Lost => Outcome::Reset,
            Ours::Open | Ours::Queued => Outcome::Stalled,
            _ => Outcome::TimedOut,
        })
    }

    /// What it comes to whatever follows, unless both tags do.
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

    /// Applies the limits, and only this does. True: the time to answer is over, so our tag is due.
    pub(super) fn tick(&mut self, now: Duration) -> bool {
        self.clock(now);
        if self.is_over() {
            return false;
        }
        let passed = self.limits().into_iter().flatten().filter(|(time, _)| *time <= self.times.now);
        // When more than one has passed, the total counts, since nothing comes after it; otherwise the first.
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
