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

mod questions;

use std::time::Duration;

use super::facts::{Counts, Fact, Facts, Ours, Theirs, Times, Tls};
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

    /// Takes a fact. One that is no news changes nothing.
    pub(super) fn tell(&mut self, fact: Fact, now: Duration) {
        self.clock(now);
        if self.is_over() {
            // What was still tried behind the end belongs into the report, and is not asked for again.
            match fact {
                Fact::DidNotify => self.facts.add(Facts::DID_NOTIFY),
                Fact::WriteFailed(_) | Fact::TlsFailed => self.facts.add(Facts::BROKEN),
                _ => {}
            }
            return;
        }
        match fact {
            Fact::Finishing if self.ours == Ours::Open => {
                self.began(Initiator::Us);
                self.facts.add(Facts::FINISHING);
            }
            Fact::Finishing => {}
            Fact::Finish => self.finish(Initiator::Us),
            Fact::Detach => self.detach(),
            Fact::Unsent { bytes, moved } => {
                self.unsent = bytes;
                if moved {
                    self.times.progress = self.times.now;
                }
            }
            // Once our tag is written, nobody knows any more what came before it.
            Fact::Arrived(bytes) if matches!(self.ours, Ours::Open | Ours::Queued) => {
                self.counts.arrived = self.counts.arrived.max(self.counts.read.saturating_add(bytes));
            }
            Fact::Arrived(_) => {}
            Fact::PeerClosed { behind } => self.peer_closed(behind),
            Fact::Malformed => self.malformed(),
            Fact::PeerError => self.peer_error(),
            Fact::Eof { inside } => {
                let cut = inside || self.tls != Tls::No && !self.facts.has(Facts::NOTIFIED);
                self.facts.add(Facts::EOF);
                self.input_ended(cut);
            }
            Fact::Notified { inside } => {
                self.facts.add(Facts::NOTIFIED);
                self.input_ended(inside);
            }
            Fact::ReadFailed(code) => self.broken(Outcome::Reset, code),
            Fact::TlsFailed => self.broken(Outcome::TlsFailed, 0),
            Fact::WriteFailed(code) => self.write_failed(code),
            Fact::DidNotify if self.wants().notify() => self.facts.add(Facts::DID_NOTIFY),
            Fact::DidShut if self.wants().shut() => self.facts.add(Facts::DID_SHUT),
            Fact::DidNotify | Fact::DidShut => {} // nobody asked, so it means something else
            Fact::Paused(paused) => {
                self.facts.set(Facts::PAUSED, paused);
                self.times.progress = self.times.now; // a pause of ours is no silence of the peer's
            }
            Fact::Stanzas(count) => self.counts.stanzas = self.counts.stanzas.saturating_add(count),
            Fact::Oversize(count) => self.counts.oversize = self.counts.oversize.saturating_add(count),
            Fact::Cancel => self.end(Outcome::Cancelled, None),
        }
        self.settle();
    }

    /// So many bytes came; true: they are the peer's stream, false: they are to be discarded.
    pub(super) fn received(&mut self, bytes: u64, now: Duration) -> bool {
        self.clock(now);
        if self.is_over() {
            return false; // what the report says is fixed
        }
        let parse = self.theirs == Theirs::Open;
        let count = if parse { &mut self.counts.read } else { &mut self.counts.discarded };
        *count = count.saturating_add(bytes);
        if parse && bytes > 0 {
            self.times.progress = self.times.now;
            // What came before the connection broke is read as long as it comes.
            if self.ours == Ours::Lost {
                self.times.linger = Some(self.times.now);
            }
        }
        self.settle();
        parse
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

    fn finish(&mut self, initiator: Initiator) {
        if self.ours == Ours::Open {
            self.began(initiator);
            self.times.progress = self.times.now; // until now it was the application's turn
            self.ours = Ours::Queued;
        }
    }

    fn detach(&mut self) {
        if self.ours == Ours::Open {
            self.finish(Initiator::Us);
            self.facts.add(Facts::DETACHED);
            if self.theirs == Theirs::Open {
                self.theirs = Theirs::Ignored;
            }
        }
    }

    /// The peer's tag or error came before ours was written, or lay unread when ours was due: it is no answer (I-09).
    fn note_crossing(&mut self) {
        let lay_unread = self.counts.arrived > 0 && self.counts.read <= self.counts.arrived;
        if !self.is_sent() || lay_unread {
            self.facts.add(Facts::CROSSED);
        }
    }

    fn peer_closed(&mut self, behind: u64) {
        if self.theirs == Theirs::Open {
            let behind = behind.min(self.counts.read);
            self.counts.read -= behind;
            self.counts.discarded = self.counts.discarded.saturating_add(behind);
            self.note_crossing();
            self.began(Initiator::Peer);
            self.theirs = Theirs::Closed;
        }
    }

    fn peer_error(&mut self) {
        if self.theirs == Theirs::Open {
            self.note_crossing();
            self.finish(Initiator::Peer); // ER-02: close in return
        }
    }

    fn malformed(&mut self) {
        self.end_theirs(Outcome::Malformed);
        self.finish(Initiator::Us);
    }

    fn input_ended(&mut self, cut: bool) {
        self.began(Initiator::Peer);
        self.end_theirs(if cut { Outcome::Truncated } else { Outcome::PeerEof });
    }

    /// The peer's stream ends without its tag. Where writing has failed before, that counts (TC-04: the first error).
    fn end_theirs(&mut self, verdict: Outcome) {
        if self.theirs == Theirs::Open {
            self.theirs = Theirs::Void(if self.ours == Ours::Lost { Outcome::Reset } else { verdict });
        }
    }

    fn broken(&mut self, outcome: Outcome, code: i32) {
        self.note_error(code);
        self.began(Initiator::Peer);
        self.facts.add(Facts::BROKEN);
        self.end(self.fixed().unwrap_or(outcome), None);
    }

    fn write_failed(&mut self, code: i32) {
        self.note_error(code);
        self.facts.add(Facts::BROKEN);
        if matches!(self.ours, Ours::Open | Ours::Queued) {
            self.began(Initiator::Peer);
            self.ours = Ours::Lost;
            self.times.linger = Some(self.times.now);
        }
    }

    fn note_error(&mut self, code: i32) {
        if code != 0 {
            self.os_error.get_or_insert(code);
        }
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
