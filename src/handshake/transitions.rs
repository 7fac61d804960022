//! What each event does in each state: the table of RFC 6120 section 4.4, spelled out.

use std::time::Duration;

use super::{Action, Handshake, State, TRAILING_LIMIT};
use crate::report::{Initiator, Outcome};

impl Handshake {
    pub(super) fn begin(&mut self, now: Duration) -> Action {
        match self.state {
            State::Open => self.start(State::Flush, Initiator::Us, now),
            State::Answer => {
                self.progress = now;
                self.state = State::Reply;
            }
            _ => return Action::Nothing, // the first call wins
        }
        Action::SendTag
    }

    pub(super) fn detach(&mut self, now: Duration) -> Action {
        if self.may_write() {
            let initiator = self.initiator.unwrap_or(Initiator::Us);
            self.start(State::Void, initiator, now);
            self.verdict = Outcome::Cancelled;
            self.detached = true;
        }
        Action::Nothing
    }

    fn start(&mut self, state: State, initiator: Initiator, now: Duration) {
        self.state = state;
        self.initiator = Some(initiator);
        self.began.get_or_insert(now); // a detach that follows the peer's tag has no time of its own (HS-05)
        self.progress = now;
    }

    pub(super) fn written(&mut self, bytes: usize, now: Duration) -> Action {
        if bytes > 0 {
            self.progress = now;
        }
        Action::Nothing
    }

    pub(super) fn flushed(&mut self, now: Duration) -> Action {
        if self.output_pending() {
            self.progress = now; // an event loop may say so again and again, and then nothing moves
        }
        match self.state {
            State::Flush => {
                self.tag_sent = true;
                self.state = State::Wait;
                self.output_ended = self.limits.half_close;
                if self.output_ended { Action::EndOutput } else { Action::Nothing }
            }
            State::Reply => {
                self.tag_sent = true;
                self.bye(now)
            }
            State::Bye => {
                self.tls.sent = self.tls.used;
                self.output_ended = true;
                self.state = State::Linger;
                if self.input_ended { self.done(Outcome::Clean, now) } else { Action::Nothing }
            }
            State::Void if !self.output_ended => {
                self.tag_sent = !self.detached;
                self.void_written(now)
            }
            State::Void => {
                self.tls.sent = self.tls.used;
                Action::Nothing
            }
            State::Open | State::Answer | State::Wait | State::Linger | State::Done => Action::Nothing,
        }
    }

    pub(super) fn received(&mut self, bytes: u64, now: Duration) -> Action {
        match self.state {
            State::Open => self.arrived = self.arrived.saturating_sub(bytes), // handled before the closing began
            State::Flush | State::Wait => {
                self.bytes_read = self.bytes_read.saturating_add(bytes);
                if bytes > 0 {
                    self.progress = now;
                    if self.output_lost {
                        self.linger_from(now); // nothing else can happen, so whoever goes on sending is heard out
                    }
                }
            }
            // Once the peer's stream is over nothing that it sends is progress any more.
            State::Answer | State::Reply | State::Bye | State::Linger | State::Void | State::Done => {
                self.discarded = self.discarded.saturating_add(bytes);
                if self.discarded > TRAILING_LIMIT {
                    match self.state {
                        State::Bye | State::Linger => return self.done(Outcome::Clean, now),
                        State::Void if !self.output_pending() => return self.done(self.verdict, now),
                        _ => {} // ours is still to be written, and who does not read must not stop the peer's reading
                    }
                }
            }
        }
        Action::Nothing
    }

    pub(super) fn count(&mut self, counter: impl FnOnce(&mut Self) -> &mut u64) -> Action {
        if matches!(self.state, State::Flush | State::Wait) {
            let counter = counter(self);
            *counter = counter.saturating_add(1);
        }
        Action::Nothing
    }

    pub(super) fn arrived(&mut self, bytes: u64) -> Action {
        if matches!(self.state, State::Open | State::Flush) {
            self.arrived = self.arrived.max(self.bytes_read.saturating_add(bytes));
        }
        Action::Nothing
    }

    /// The peer's tag or stream error came: a crossing, if that was before our tag was written (I-09).
    fn look_for_crossing(&mut self) {
        let had_arrived = self.arrived > 0 && self.bytes_read <= self.arrived;
        if self.initiator == Some(Initiator::Us) && (self.state == State::Flush || had_arrived) {
            self.initiator = Some(Initiator::Crossing);
        }
    }

    pub(super) fn stream_error(&mut self, now: Duration) -> Action {
        match self.state {
            State::Open => {
                self.start(State::Flush, Initiator::Peer, now); // ER-02: "close in return"
                return Action::SendTag;
            }
            State::Flush | State::Wait => self.look_for_crossing(),
            _ => {}
        }
        Action::Nothing
    }

    pub(super) fn peer_closed(&mut self, now: Duration) -> Action {
        match self.state {
            State::Open => {
                self.start(State::Answer, Initiator::Peer, now);
                self.tag_received = true;
                Action::Answer
            }
            State::Flush => {
                self.look_for_crossing();
                self.progress = now;
                self.tag_received = true;
                self.state = State::Reply;
                Action::Nothing
            }
            State::Wait => {
                self.look_for_crossing();
                self.tag_received = true;
                if self.output_lost { self.done(Outcome::Reset, now) } else { self.bye(now) }
            }
            _ => Action::Nothing,
        }
    }

    pub(super) fn malformed(&mut self, now: Duration) -> Action {
        match self.state {
            State::Open => {
                self.start(State::Void, Initiator::Us, now);
                self.verdict = Outcome::Malformed;
                Action::SendTag
            }
            State::Flush => {
                self.state = State::Void;
                self.verdict = Outcome::Malformed;
                Action::Nothing
            }
            State::Wait if self.output_lost => self.done(Outcome::Reset, now),
            State::Wait => {
                // ER-09: nothing may be written any more; what comes is drained so that our last bytes arrive.
                self.state = State::Void;
                self.verdict = Outcome::Malformed;
                self.void_written(now)
            }
            _ => Action::Nothing,
        }
    }

    pub(super) fn close_notify(&mut self, inside: bool, now: Duration) -> Action {
        self.tls.received = true;
        match self.state {
            // Both tags are done, so this is the textbook order (TL-03); TCP itself is still read to its end.
            State::Bye | State::Linger => Action::Nothing,
            _ => self.input_ended(if inside { Outcome::Truncated } else { Outcome::PeerEof }, now),
        }
    }

    /// The peer's data ended: by EOF, by `close_notify`, or cut off. `outcome` is what that is before its tag.
    pub(super) fn input_ended(&mut self, outcome: Outcome, now: Duration) -> Action {
        self.input_ended = true;
        match self.state {
            State::Open | State::Flush => {
                // The peer may have half-closed: it gets the rest and our tag, as long as it takes them.
                let opened = self.state == State::Open;
                if opened {
                    self.start(State::Void, Initiator::Peer, now);
                }
                self.state = State::Void;
                self.verdict = outcome;
                if opened { Action::SendTag } else { Action::Nothing }
            }
            State::Wait if self.output_lost => self.done(Outcome::Reset, now), // TC-04: the first error counts
            State::Wait => self.done(outcome, now),
            State::Answer | State::Reply => Action::Nothing, // a half-closed peer still reads
            State::Bye | State::Linger => self.done(Outcome::Clean, now),
            State::Void if self.output_ended => self.done(self.verdict, now),
            State::Void | State::Done => Action::Nothing,
        }
    }

    pub(super) fn output_failed(&mut self, code: i32, now: Duration) -> Action {
        self.os_error.get_or_insert(code);
        self.output_lost = true;
        match self.state {
            // What the peer sent before is still to be read, up to its tag or the end (TC-05), or until it falls silent.
            State::Open | State::Flush => {
                if self.state == State::Open {
                    self.start(State::Wait, Initiator::Peer, now);
                }
                self.state = State::Wait;
                self.linger_from(now);
                Action::Nothing
            }
            State::Answer | State::Reply => self.done(Outcome::Reset, now),
            State::Wait => {
                self.output_lost = !self.tag_sent;
                Action::Nothing
            }
            State::Bye => {
                self.output_ended = true;
                self.state = State::Linger;
                if self.input_ended { self.done(Outcome::Clean, now) } else { Action::Nothing }
            }
            State::Linger => Action::Nothing,
            State::Void | State::Done => self.done(self.verdict, now),
        }
    }

    pub(super) fn tick(&mut self, now: Duration) -> Action {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return Action::Nothing;
        }
        let total_is_left = self.began.is_some_and(|began| now < began.saturating_add(self.limits.total));
        let outcome = match self.state {
            State::Answer if total_is_left => return self.begin(now), // `answer_within`
            State::Answer | State::Flush | State::Reply => Outcome::Stalled,
            State::Wait if self.output_lost => Outcome::Reset,
            State::Wait => Outcome::TimedOut,
            State::Bye | State::Linger => Outcome::Clean,
            State::Void => self.verdict,
            State::Open | State::Done => return Action::Nothing,
        };
        self.done(outcome, now)
    }

    /// Both tags are done: end our output, then wait for the end of TCP.
    fn bye(&mut self, now: Duration) -> Action {
        self.linger_from(now);
        if self.input_ended && !self.tls.used {
            return self.done(Outcome::Clean, now);
        }
        if self.output_ended {
            self.state = State::Linger;
            return Action::Nothing;
        }
        self.state = State::Bye;
        Action::EndOutput
    }

    /// In `Void`, our output is written: end it, and drain what still comes.
    fn void_written(&mut self, now: Duration) -> Action {
        if self.input_ended {
            return self.done(self.verdict, now);
        }
        self.linger_from(now);
        let ended = std::mem::replace(&mut self.output_ended, true);
        if ended { Action::Nothing } else { Action::EndOutput }
    }

    fn linger_from(&mut self, now: Duration) {
        self.linger_until = Some(now.saturating_add(self.limits.linger));
    }

    /// What a failure of the connection amounts to: both tags stay clean, a fixed verdict stays fixed.
    pub(super) fn broken(&self, failure: Outcome) -> Outcome {
        match self.state {
            State::Bye | State::Linger => Outcome::Clean,
            State::Void => self.verdict,
            _ => failure,
        }
    }

    pub(super) fn done(&mut self, outcome: Outcome, now: Duration) -> Action {
        self.state = State::Done;
        self.outcome = outcome;
        self.ended = Some(now);
        self.began.get_or_insert(now);
        Action::Teardown
    }
}
