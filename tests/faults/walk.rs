//! Random walks through the pure state machine, each step compared with a model that knows facts instead of states.

use std::time::Duration;

use proptest::{collection::vec, prelude::*, test_runner::RngAlgorithm};
use xmpp_close::{Action, Event, Handshake, Initiator, Limits, Outcome, State, TRAILING_LIMIT};

use crate::times;

/// What is known of a stream: facts only, from which all that may be asked and all that may be reported follows.
#[derive(Debug, Default)]
struct Model {
    over_tls: bool,
    half_close: bool,
    /// Who began, and when.
    begun: Option<(Initiator, u64)>,
    /// Our tag was asked for; our output was written to its end, tag included; the peer's tag came.
    asked: bool,
    written: bool,
    theirs: bool,
    detached: bool,
    /// Output failed before our tag was written.
    lost: bool,
    /// `EndOutput` was carried out.
    finished: bool,
    notified: bool,
    ended: bool,
    /// What the peer's stream ended in, if not in its tag.
    verdict: Option<Outcome>,
    trailing: u64,
    /// Bytes of the peer's stream since we began, and how many of them had come before our tag was written.
    read: u64,
    early: u64,
    /// When our output last moved although the peer's had ended, or something came although ours was lost.
    steady: Option<u64>,
    /// When there was a sign of life last, and since when both tags are done.
    alive: u64,
    both: Option<u64>,
}

impl Model {
    fn reads(&self) -> bool {
        !self.theirs && !self.ended && self.verdict.is_none()
    }

    fn begins(&mut self, who: Initiator, now: u64) {
        self.begun.get_or_insert((who, now));
    }

    fn asks(&mut self) -> Action {
        let first = !self.asked && !self.detached && !self.lost;
        self.asked |= first;
        if first { Action::SendTag } else { Action::Nothing }
    }

    /// What must be answered, or how it must end.
    fn step(&mut self, event: Event, now: u64) -> Result<Action, Outcome> {
        use Event::*;
        let both = self.written && self.theirs;
        let ending = |other| if both { Outcome::Clean } else { self.verdict.unwrap_or(other) };
        let nothing = Ok(Action::Nothing);
        match event {
            Cancel => Err(Outcome::Cancelled),
            TlsFailed => Err(ending(Outcome::TlsFailed)),
            Failed(_) => Err(ending(Outcome::Reset)),
            Begin => {
                let action = if self.verdict.is_some() { Action::Nothing } else { self.asks() };
                if action == Action::SendTag {
                    self.begins(Initiator::Us, now);
                    self.alive = now;
                }
                Ok(action)
            }
            Detach if self.asked || self.detached || self.lost => nothing,
            Detach => {
                self.begins(Initiator::Us, now);
                (self.detached, self.verdict, self.alive) = (true, Some(Outcome::Cancelled), now);
                nothing
            }
            Arrived(bytes) => {
                let flushing = self.asked && !self.written && !self.lost && self.reads();
                if self.begun.is_none() || flushing {
                    self.early = self.early.max(self.read + bytes as u64);
                }
                nothing
            }
            StreamError if self.begun.is_none() => {
                self.begins(Initiator::Peer, now);
                self.alive = now;
                Ok(self.asks())
            }
            PeerClosed if self.reads() => {
                self.alive = now;
                self.crosses();
                if self.lost {
                    return Err(Outcome::Reset);
                }
                self.theirs = true;
                match &mut self.begun {
                    None => {
                        self.begins(Initiator::Peer, now);
                        Ok(Action::Answer)
                    }
                    _ if !self.written => nothing,
                    _ => self.finish(now),
                }
            }
            StreamError if self.reads() => {
                self.crosses();
                nothing
            }
            Malformed if self.reads() => {
                if self.lost {
                    return Err(Outcome::Reset);
                }
                self.begins(Initiator::Us, now);
                self.verdict = Some(Outcome::Malformed);
                if self.written { self.finish(now) } else { Ok(self.asks()) }
            }
            CloseNotify { .. } if both => {
                self.notified = true;
                nothing
            }
            CloseNotify { inside } => {
                self.notified = true;
                self.end_of_input(if inside { Outcome::Truncated } else { Outcome::PeerEof }, now)
            }
            Eof { inside: false } if !self.over_tls || self.notified => self.end_of_input(Outcome::PeerEof, now),
            Eof { .. } | Truncated => self.end_of_input(Outcome::Truncated, now),
            Flushed => {
                let pending = (self.asked && !self.written || self.detached && !self.finished) && !self.lost;
                if pending {
                    self.alive = now;
                    self.written = self.asked;
                    return self.finish(now);
                }
                if both {
                    self.finished = true;
                    return if self.ended { Err(Outcome::Clean) } else { nothing };
                }
                nothing
            }
            OutputFailed(_) => {
                if self.verdict.is_some() || self.theirs && (!both || self.ended) {
                    return Err(ending(Outcome::Reset));
                }
                self.begins(Initiator::Peer, now);
                (self.lost, self.finished) = (!self.written, self.finished || both);
                nothing
            }
            Received(bytes) => {
                self.alive = if bytes > 0 { now } else { self.alive };
                if self.lost && bytes > 0 {
                    self.steady = Some(now);
                }
                let is_over = self.theirs || self.verdict.is_some();
                *(if is_over { &mut self.trailing } else { &mut self.read }) += bytes as u64;
                if self.begun.is_none() {
                    (self.read, self.early) = (0, self.early.saturating_sub(bytes as u64));
                }
                let too_much = self.trailing > TRAILING_LIMIT;
                match self.verdict {
                    Some(verdict) if too_much && self.finished => Err(verdict),
                    _ if too_much && both => Err(Outcome::Clean),
                    _ => nothing,
                }
            }
            Written(bytes) => {
                let owes = (self.asked || self.detached) && !self.written && !self.finished && !self.lost;
                if owes && self.ended && self.verdict.is_some() && bytes > 0 {
                    self.steady = Some(now);
                }
                self.alive = if bytes > 0 { now } else { self.alive };
                nothing
            }
            _ => nothing,
        }
    }

    /// The peer's tag or error, if it came before our tag was written.
    fn crosses(&mut self) {
        let had_come = self.early > 0 && self.read <= self.early;
        match &mut self.begun {
            Some((who @ Initiator::Us, _)) if had_come || !self.written && !self.lost => *who = Initiator::Crossing,
            _ => {}
        }
    }

    /// All of our output is written, or the peer's tag came after it.
    fn finish(&mut self, now: u64) -> Result<Action, Outcome> {
        let asks_end = !self.finished && (self.theirs || self.verdict.is_some() || self.half_close);
        if self.theirs && self.written {
            self.both = Some(now);
            if self.ended && !self.over_tls {
                return Err(Outcome::Clean);
            }
        } else {
            if let (Some(verdict), true) = (self.verdict, self.ended) {
                return Err(verdict);
            }
            self.finished |= asks_end;
        }
        Ok(if asks_end { Action::EndOutput } else { Action::Nothing })
    }

    fn end_of_input(&mut self, kind: Outcome, now: u64) -> Result<Action, Outcome> {
        self.ended = true;
        if self.written || self.lost || self.detached && self.finished {
            let before_the_tag = if self.lost { Outcome::Reset } else { kind };
            return Err(if self.theirs && self.written {
                Outcome::Clean
            } else {
                self.verdict.unwrap_or(before_the_tag)
            });
        }
        if !self.theirs && self.verdict.is_none() {
            self.begins(Initiator::Peer, now);
            self.verdict = Some(kind);
            return Ok(self.asks());
        }
        Ok(Action::Nothing)
    }

    /// What a tick must end in, if it may end it, given the limits.
    fn tick(&self) -> Outcome {
        match (self.written && self.theirs, self.verdict, self.lost, self.written) {
            (true, ..) => Outcome::Clean,
            (_, Some(verdict), ..) => verdict,
            (.., true, _) => Outcome::Reset,
            (.., true) => Outcome::TimedOut,
            _ => Outcome::Stalled,
        }
    }
}

/// One event, and how long after the last; small numbers are simple, so that proptest shrinks towards them.
fn event(code: u32) -> (Event, u64) {
    let bytes = [0, 1, 700, 9 << 20][(code >> 8 & 3) as usize];
    let inside = code >> 8 & 1 == 1;
    let event = match code % 64 {
        0..8 => Event::Tick,
        8..16 => Event::Received(bytes),
        16..24 => Event::Flushed,
        24..30 => Event::Begin,
        30..36 => Event::PeerClosed,
        36..40 => Event::Stanza,
        40..44 => Event::Written(bytes),
        44..46 => Event::Eof { inside },
        46..48 => Event::CloseNotify { inside },
        48..50 => Event::StreamError,
        50..52 => Event::Malformed,
        52..54 => Event::OutputFailed(32),
        54 => Event::Oversize,
        55 => Event::Arrived(bytes),
        56 => Event::Detach,
        57 => Event::Truncated,
        58 => Event::Failed(104),
        59 => Event::TlsFailed,
        60 => Event::Cancel,
        _ => Event::PeerClosed,
    };
    (event, [0, 1, 9, 60][(code >> 16 & 3) as usize])
}

const TOTAL: u64 = 300;
const NO_PROGRESS: u64 = 100;
const LINGER: u64 = 50;

fn walk(flags: u8, codes: &[u32]) {
    let ms = Duration::from_millis;
    let (over_tls, half_close, answer) = (flags & 1 != 0, flags & 2 != 0, (flags & 4 != 0).then_some(40));
    let mut handshake =
        Handshake::new(Limits { total: ms(TOTAL), no_progress: ms(NO_PROGRESS), linger: ms(LINGER), half_close });
    let mut model = Model { over_tls, half_close: half_close && !over_tls, ..Model::default() };
    if over_tls {
        handshake = handshake.over_tls();
    }
    if let Some(limit) = answer {
        handshake = handshake.answer_within(ms(limit));
    }
    let (mut now, mut tags, mut ends, mut could_write) = (0, 0, 0, true);
    let mut last = handshake.report(ms(0));
    // In the end only time passes.
    let events = codes.iter().map(|code| event(*code)).chain([(Event::Tick, TOTAL), (Event::Tick, TOTAL)]);
    for (event, pause) in events {
        now += pause;
        let action = handshake.handle(event, ms(now));
        let report = handshake.report(ms(now));
        tags += u32::from(action == Action::SendTag);
        ends += u32::from(action == Action::EndOutput);
        assert!(tags <= 1 && ends <= 1, "asked twice at {event:?}");
        assert!(could_write || !handshake.may_write(), "writable again after {event:?}");
        could_write = handshake.may_write();
        assert!(!(tags > 0 && could_write), "writable after the tag");
        let counts = [report.stanzas, report.oversize, report.bytes_read, report.bytes_after_tag];
        let before = [last.stanzas, last.oversize, last.bytes_read, last.bytes_after_tag];
        assert!(counts.iter().zip(before).all(|(after, before)| *after >= before), "counted backwards at {event:?}");
        if event == Event::Tick {
            assert_tick(&mut model, answer, &handshake, action, now);
        } else {
            match model.step(event, now) {
                Ok(expected) => {
                    assert_eq!(action, expected, "at {event:?}: {model:?}");
                    assert_ne!(handshake.state(), State::Done, "at {event:?}: {model:?}");
                }
                Err(outcome) => {
                    assert_eq!(action, Action::Teardown, "at {event:?}: {model:?}");
                    assert_eq!(report.outcome, outcome, "at {event:?}: {model:?}");
                }
            }
        }
        if handshake.state() == State::Done {
            assert_fixed(handshake, now);
            assert!(report.outcome != Outcome::Clean || report.tag_sent && report.tag_received, "{report}");
            assert_eq!(
                (report.tag_sent, report.tag_received),
                (model.written, model.theirs || lost_all(&model, event))
            );
            assert_eq!(report.initiator, model.begun.map(|(who, _)| who).or(unbegun(event)), "{model:?}");
            return;
        }
        assert_eq!(report.outcome, Outcome::Pending);
        last = report;
    }
    assert!(model.begun.is_none(), "no end although the time is up: {model:?}");
}

/// Our output was lost already when their tag came.
fn lost_all(model: &Model, event: Event) -> bool {
    model.lost && event == Event::PeerClosed
}

/// Who is said to have ended a stream that nobody closed.
fn unbegun(event: Event) -> Option<Initiator> {
    matches!(event, Event::Failed(_)).then_some(Initiator::Peer)
}

/// A tick ends what is late, nothing that is not, and begins an answer that is due.
fn assert_tick(model: &mut Model, answer: Option<u64>, handshake: &Handshake, action: Action, now: u64) {
    let Some((_, began)) = model.begun else { return assert_eq!(action, Action::Nothing) };
    let turn = model.theirs && !model.asked && !model.detached; // of the application
    let late = now >= began + TOTAL
        || model.both.is_some_and(|both| now >= both + LINGER)
        || !turn && model.both.is_none() && now >= model.alive.max(began) + NO_PROGRESS.max(LINGER);
    let steady = model.steady.map_or(0, |moment| moment + if model.lost { LINGER } else { NO_PROGRESS });
    let early = !turn && now < (began + LINGER).max(steady).min(began + TOTAL);
    match action {
        Action::Teardown => {
            assert!(!early, "ended early: {model:?}");
            assert_eq!(handshake.report(Duration::ZERO).outcome, model.tick(), "{model:?}");
        }
        Action::SendTag => {
            assert!(turn && answer.is_some_and(|limit| now >= began + limit), "answered by itself: {model:?}");
            assert_eq!(model.asks(), Action::SendTag);
            model.alive = now;
        }
        other => assert!(other == Action::Nothing && !late, "not ended although late: {other:?} {model:?}"),
    }
}

/// What is over changes no more.
fn assert_fixed(mut handshake: Handshake, now: u64) {
    let now = Duration::from_millis(now);
    let text = handshake.report(now).to_string();
    for code in 0..64 {
        assert_eq!(handshake.handle(event(code).0, now * 2), Action::Teardown);
    }
    assert_eq!(handshake.report(now * 2).to_string(), text);
    assert!(!handshake.may_write() && !handshake.wants_input() && handshake.deadline().is_none());
}

#[test]
fn no_walk_through_the_machine_breaks_a_rule() {
    let config = ProptestConfig {
        cases: 300_000 * times(),
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift, // the default is slow without optimisation
        ..ProptestConfig::default()
    };
    let steps = std::cell::Cell::new(0);
    let result = proptest::test_runner::TestRunner::new(config).run(
        &(any::<u8>(), vec(any::<u32>(), 0..40)),
        |(flags, codes)| {
            steps.set(steps.get() + codes.len() + 2);
            walk(flags, &codes);
            Ok(())
        },
    );
    if let Err(proptest::test_runner::TestError::Fail(why, (flags, codes))) = &result {
        let events: Vec<_> = codes.iter().map(|code| event(*code)).collect();
        panic!("{why}\nflags {flags}, events and the ms before them: {events:?}");
    }
    result.unwrap();
    println!("{} steps", steps.get());
}
