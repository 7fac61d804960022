//! What may happen to a stream, and what each event means for the two halves.

use std::time::Duration;

use super::{super::Fact, Facts, Handshake, Initiator, Ours, Outcome, Theirs, Tls};

impl Handshake {
    /// We close, or answer the peer's tag, as soon as what has arrived is read. The driver then calls
    /// [`finish`](Self::finish).
    pub(in crate::engine) fn finishing(&mut self, now: Duration) {
        self.take_up(now, |this| {
            if this.ours == Ours::Open {
                this.began(Initiator::Us);
                this.facts.add(Facts::FINISHING);
            }
        });
    }

    /// The application sends nothing more: our tag is due.
    pub(in crate::engine) fn finish(&mut self, now: Duration) {
        self.take_up(now, |this| this.queue_tag(Initiator::Us));
    }

    /// TCP is to be ended without a tag.
    pub(in crate::engine) fn detach(&mut self, now: Duration) {
        self.take_up(now, |this| {
            if this.ours == Ours::Open {
                this.queue_tag(Initiator::Us);
                this.facts.add(Facts::DETACHED);
                if this.theirs == Theirs::Open {
                    this.theirs = Theirs::Ignored;
                }
            }
        });
    }

    /// This many bytes of ours are not with the kernel. With `moved`, some have just been taken.
    pub(in crate::engine) fn unsent_is(&mut self, bytes: usize, moved: bool, now: Duration) {
        self.take_up(now, |this| {
            this.unsent = bytes;
            if moved {
                this.times.progress = this.times.now;
            }
        });
    }

    /// What the peer sends is no XMPP stream.
    pub(in crate::engine) fn malformed(&mut self, now: Duration) {
        self.take_up(now, |this| {
            this.end_theirs(Outcome::Malformed);
            this.queue_tag(Initiator::Us);
        });
    }

    /// The peer's stream error was parsed.
    pub(in crate::engine) fn peer_error(&mut self, now: Duration) {
        self.take_up(now, |this| {
            if this.theirs == Theirs::Open {
                this.note_crossing();
                this.queue_tag(Initiator::Peer); // ER-02: close in return
            }
        });
    }

    /// Takes in a fact that concerns neither our bytes nor XML. Telling a fact again changes nothing.
    pub(in crate::engine) fn tell(&mut self, fact: &Fact, now: Duration) {
        if self.is_over() {
            // What was tried once more after the end goes into the report, and is not asked for again.
            match fact {
                Fact::DidNotify => self.facts.add(Facts::DID_NOTIFY),
                Fact::WriteFailed(_) | Fact::TlsFailed => self.facts.add(Facts::BROKEN),
                _ => {}
            }
        }
        self.take_up(now, |this| this.take(fact));
    }

    fn take(&mut self, fact: &Fact) {
        match *fact {
            // Once our tag is written, it is too late to find out what came before it.
            Fact::Arrived(bytes) if matches!(self.ours, Ours::Open | Ours::Queued) => {
                self.counts.arrived = self.counts.arrived.max(self.counts.read.saturating_add(bytes));
            }
            Fact::Arrived(_) => {}
            Fact::PeerClosed { behind } => self.peer_closed(behind),
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
            Fact::DidNotify | Fact::DidShut => {} // not asked for now, so it is no answer to what is asked for later
            Fact::Paused(paused) => {
                self.facts.set(Facts::PAUSED, paused);
                self.times.progress = self.times.now; // while we pause, the peer is not to blame for the silence
            }
            Fact::Stanzas(count) => self.counts.stanzas = self.counts.stanzas.saturating_add(count),
            Fact::Oversize(count) => self.counts.oversize = self.counts.oversize.saturating_add(count),
            Fact::Cancel => self.end(Outcome::Cancelled, None),
            // The engine handles these itself.
            Fact::Malformed | Fact::StreamError(_) | Fact::Restarted { .. } | Fact::HeaderOut => {}
        }
    }

    /// This many bytes came. Returns true when they are the peer's stream, false when they are to be discarded.
    pub(in crate::engine) fn received(&mut self, bytes: u64, now: Duration) -> bool {
        self.clock(now);
        if self.is_over() {
            return false; // what the report says is fixed
        }
        let parse = self.theirs == Theirs::Open;
        let count = if parse { &mut self.counts.read } else { &mut self.counts.discarded };
        *count = count.saturating_add(bytes);
        if parse && bytes > 0 {
            self.times.progress = self.times.now;
            // What the peer sent before the connection broke is read for as long as it comes.
            if self.ours == Ours::Lost {
                self.times.linger = Some(self.times.now);
            }
        }
        self.settle();
        parse
    }

    fn queue_tag(&mut self, initiator: Initiator) {
        if self.ours == Ours::Open {
            self.began(initiator);
            self.times.progress = self.times.now; // until now the application had to act
            self.ours = Ours::Queued;
        }
    }

    /// Notes a crossing when the peer's tag or error came before our tag was written, or lay unread when our tag became
    /// due: then it is no answer to our tag (I-09).
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

    fn input_ended(&mut self, cut: bool) {
        self.began(Initiator::Peer);
        self.end_theirs(if cut { Outcome::Truncated } else { Outcome::PeerEof });
    }

    /// The peer's stream ends without a closing tag. If writing failed before, that first error decides the outcome (TC-04).
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
}
