//! What is known of a stream: facts. What the engine may want, and what it may report, follows from them.

use std::time::Duration;

use xmpp_close::{Initiator, Outcome};

/// What goes out, byte for byte.
#[derive(Default)]
pub struct Output {
    pub header: &'static str,
    pub farewell: &'static str,
    /// All that was said so far; the last of it is the tag, once that is due.
    pub said: Vec<u8>,
    /// Where an error still fits in.
    error_at: Option<usize>,
    /// So many were handed out at most, and so many taken.
    pub handed: usize,
    pub taken: usize,
    /// Taken, but not with the kernel.
    pub pending: usize,
}

impl Output {
    pub fn say(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(std::mem::take(&mut self.header).as_bytes());
        self.said.extend_from_slice(bytes);
    }

    pub fn finish(&mut self, error: &str, tag: &str) {
        let tail = [self.farewell, error, tag].concat();
        if !tail.is_empty() {
            self.say(tail.as_bytes());
        }
        self.error_at = Some(self.said.len() - tag.len()).filter(|_| error.is_empty() && !tag.is_empty());
    }

    pub fn insert(&mut self, error: &str) {
        if let Some(at) = self.error_at.filter(|at| self.handed <= *at) {
            self.said.splice(at..at, error.bytes());
            self.error_at = None;
        }
    }

    pub fn queued(&self) -> usize {
        self.said.len() - self.taken
    }

    pub fn unsent(&self) -> usize {
        self.queued() + self.pending
    }
}

#[derive(Clone, Copy)]
pub struct Limits {
    pub total: Duration,
    pub linger: Duration,
    pub answer: Duration,
    pub no_progress: Option<Duration>,
}

/// What happened.
pub struct Model {
    limits: Limits,
    pub began: Option<Duration>,
    pub initiator: Option<Initiator>,
    pub crossed: bool,
    /// Our last words are said; all of it is with the kernel; it cannot be any more.
    pub due: bool,
    pub written: bool,
    pub lost: bool,
    pub detached: bool,
    pub closed: bool,
    /// What their stream ended in, if not in its tag.
    pub verdict: Option<Outcome>,
    pub eof: bool,
    pub notified: bool,
    pub paused: bool,
    pub did_notify: bool,
    pub did_shut: bool,
    /// A read, a write or TLS failed.
    pub broken: bool,
    /// Bytes of their stream since the close began; how many of them had come before our tag was written; others.
    pub read: u64,
    pub early: u64,
    pub discarded: u64,
    pub stanzas: u64,
    pub oversize: u64,
    /// When a byte moved last, and since when nothing but the end of TCP is awaited.
    pub progress: Duration,
    lingers: Option<Duration>,
}

impl Model {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            began: None,
            initiator: None,
            crossed: false,
            due: false,
            written: false,
            lost: false,
            detached: false,
            closed: false,
            verdict: None,
            eof: false,
            notified: false,
            paused: false,
            did_notify: false,
            did_shut: false,
            broken: false,
            read: 0,
            early: 0,
            discarded: 0,
            stanzas: 0,
            oversize: 0,
            progress: Duration::ZERO,
            lingers: None,
        }
    }

    pub fn begins(&mut self, who: Initiator, now: Duration) {
        self.starts(now);
        self.initiator.get_or_insert(who);
    }

    /// What is counted is counted from here.
    pub fn starts(&mut self, now: Duration) {
        if self.began.is_none() {
            self.began = Some(now);
            self.progress = now;
            self.early = self.early.saturating_sub(self.read);
            (self.read, self.stanzas, self.oversize) = (0, 0, 0);
        }
    }

    /// Our last words are said.
    pub fn finishes(&mut self, who: Initiator, now: Duration) {
        self.begins(who, now);
        (self.due, self.progress) = (true, now);
    }

    /// Their tag came.
    pub fn closes(&mut self, behind: u64, now: Duration) {
        let behind = behind.min(self.read);
        self.read -= behind;
        self.discarded += behind;
        self.crosses();
        self.begins(Initiator::Peer, now);
        self.closed = true;
    }

    /// Their stream ended without it.
    pub fn voids(&mut self, verdict: Outcome) {
        self.verdict = Some(if self.lost { Outcome::Reset } else { verdict });
    }

    /// Nothing of ours can be written any more.
    pub fn loses(&mut self, now: Duration) {
        self.begins(Initiator::Peer, now);
        (self.lost, self.lingers) = (true, Some(now));
    }

    pub fn receives(&mut self, bytes: u64, now: Duration) {
        self.read += bytes;
        if bytes > 0 {
            self.progress = now;
            self.lingers = self.lingers.map(|_| now);
        }
    }

    pub fn parses(&self) -> bool {
        !self.closed && !self.detached && self.verdict.is_none()
    }

    pub fn sent(&self) -> bool {
        self.written && !self.detached
    }

    /// Their tag or error came.
    pub fn crosses(&mut self) {
        self.crossed |= !self.sent() || self.early > 0 && self.read <= self.early;
    }

    /// So much of ours is not with the kernel.
    pub fn settle(&mut self, unsent: usize, now: Duration) {
        self.written |= self.due && !self.lost && unsent == 0;
        if self.written && !self.parses() {
            self.lingers.get_or_insert(now);
        }
    }

    /// When a limit is due.
    pub fn deadline(&self) -> Option<Duration> {
        let began = self.began?;
        let Limits { total, linger, answer, no_progress } = self.limits;
        let open = !self.due && !self.lost;
        // Both ways: our output, or their answer.
        let moves = self.due && !self.lost && (!self.written || self.parses());
        let all = [
            Some(began + total),
            (open && !self.parses()).then_some(began + answer),
            self.lingers.map(|from| from + linger),
            no_progress.filter(|_| moves && !self.paused).map(|limit| self.progress + limit),
        ];
        all.into_iter().flatten().min()
    }

    /// What it comes to, ended by `cause`.
    pub fn outcome(&self, cause: Option<Outcome>) -> Outcome {
        if self.sent() && self.closed {
            return Outcome::Clean;
        }
        if cause == Some(Outcome::Cancelled) {
            return Outcome::Cancelled;
        }
        let fixed = self.verdict.or(self.detached.then_some(Outcome::Cancelled));
        fixed.or(cause).unwrap_or(match (self.lost, self.written) {
            (true, _) => Outcome::Reset,
            (_, true) => Outcome::TimedOut,
            _ => Outcome::Stalled,
        })
    }
}
