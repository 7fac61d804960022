//! The engine: any calls in any order, beside a model that knows only what happened.

mod both;
mod incoming;
mod model;

use std::time::Duration;

use both::{Both, Set};
use incoming::Parser;
use model::{Limits, Model, Output};
use xmpp_close::{Fact, Initiator, Outcome, Report, SendError, Tls, Wants};

use super::bytes::Bytes;

const TAG: &str = "</stream:stream>";
const RESET: &str = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";

const TLS: [Tls; 4] = [Tls::No, Tls::Yes, Tls::Hidden, Tls::No];

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

struct Run<'a> {
    bytes: Bytes<'a>,
    engine: Both,
    tls: Tls,
    half_close: bool,
    header: &'static str,
    output_limit: usize,
    /// Of an engine that parses; else its application does.
    parser: Option<Parser>,
    now: Duration,
    output: Output,
    model: Model,
    /// As of the last look.
    wants: Wants,
    report: Report,
}

impl<'a> Run<'a> {
    fn new(data: &'a [u8]) -> Self {
        let mut bytes = Bytes(data);
        let flags = bytes.byte();
        let tls = TLS[usize::from(flags & 3)];
        let half_close = tls == Tls::No && flags & 4 != 0;
        let mut output = Output::default();
        let header = if flags & 8 == 0 { "" } else { "<stream:stream>" };
        output.header = header;
        output.farewell = if flags & 16 == 0 { "" } else { "<f/>" };
        let more = bytes.byte();
        let mut times = || ms(1 + u64::from(bytes.u16()));
        let (total, linger) = (times(), times());
        let mut limits =
            Limits { total, linger, answer: ms(total.as_millis() as u64 / 2).max(ms(1)), no_progress: None };
        if more & 1 != 0 {
            limits.no_progress = Some(times());
        }
        if more & 2 != 0 {
            limits.answer = times();
        }
        let output_limit = if more & 4 == 0 { 16 << 20 } else { 40_000 };
        let parser = (more & 8 != 0).then(|| Parser::new(header));
        let (peer_closed, farewell, parses) = (flags & 32 != 0, output.farewell, parser.is_some());
        let mut model = Model::new(limits);
        if peer_closed {
            model.closes(0, Duration::ZERO);
        }
        let engine = Both::new(&Set { limits, tls, half_close, peer_closed, header, farewell, output_limit, parses });
        let (wants, report) = (engine.rust.wants(), engine.rust.report());
        Self {
            bytes,
            engine,
            tls,
            half_close,
            header,
            output_limit,
            parser,
            now: Duration::ZERO,
            output,
            model,
            wants,
            report,
        }
    }

    /// One call. What ended it, if it is one that ends it at once.
    fn call(&mut self) -> Option<Outcome> {
        let (now, over) = (self.now, self.wants.over());
        let call = self.bytes.byte();
        match call % 32 {
            0..=2 => self.send(),
            3..=5 => self.finish(),
            6 => {
                self.engine.detach(now);
                if self.wants.may_send() {
                    self.output.finish("", "");
                    self.model.detached = true;
                    self.model.finishes(Initiator::Us, now);
                }
            }
            7..=11 => self.write(),
            12..=14 | 25..=27 if self.parser.is_some() => self.input(),
            12..=14 => self.receive(),
            15..=17 => self.tick(now),
            18..=20 => self.end_output(call % 32 != 20),
            21 => {
                let arrived = u64::from(self.bytes.byte());
                self.tell(Fact::Arrived(arrived));
                if !self.model.written {
                    self.model.early = self.model.early.max(self.model.read + arrived);
                }
            }
            22 => {
                let paused = self.bytes.byte() % 2 == 0;
                self.tell(Fact::Paused(paused));
                (self.model.paused, self.model.progress) = (paused, now);
            }
            23 => {
                self.tell(Fact::Stanzas(1));
                self.tell(Fact::Oversize(2));
                self.model.stanzas += u64::from(!over);
                self.model.oversize += 2 * u64::from(!over);
            }
            24 if call & 32 == 0 => self.restart(),
            24 => {
                self.tell(Fact::HeaderOut);
                self.output.header = "";
            }
            25 | 26 => {
                let behind = u64::from(self.bytes.byte());
                self.tell(Fact::PeerClosed { behind });
                if !over && self.model.parses() {
                    self.model.closes(behind, now);
                }
            }
            27 => self.bad(call),
            28 => self.ends(Fact::Eof { inside: call & 32 != 0 }),
            29 if self.tls == Tls::Yes => self.ends(Fact::Notified { inside: call & 32 != 0 }),
            30 if call & 32 == 0 => {
                self.tell(Fact::WriteFailed(32));
                self.model.broken = true;
                if !over && !self.model.written && !self.model.lost {
                    self.model.loses(now);
                }
            }
            31 => {
                let (fact, outcome) = match call / 32 {
                    0 => (Fact::Cancel, Outcome::Cancelled),
                    1 => (Fact::TlsFailed, Outcome::TlsFailed),
                    2 => (Fact::ReadFailed(104), Outcome::Reset),
                    _ => return None,
                };
                let cancel = fact == Fact::Cancel;
                // Behind the end a read is none of a stream's, and says nothing about it.
                self.model.broken |= fact == Fact::TlsFailed || !over && !cancel;
                self.tell(fact);
                if !over && cancel {
                    self.model.starts(now);
                } else if !over {
                    self.model.begins(Initiator::Peer, now);
                }
                return Some(outcome);
            }
            _ => {}
        }
        None
    }

    fn tell(&mut self, fact: Fact) {
        assert!(self.engine.tell(fact, self.now));
    }

    /// Does what is wanted, or says it is done although nobody asked.
    fn end_output(&mut self, wanted: bool) {
        let (notify, shut) = (self.wants.notify(), self.wants.shut());
        for (is_wanted, fact) in [(notify, Fact::DidNotify), (shut, Fact::DidShut)] {
            self.model.did_shut |= wanted && is_wanted && fact == Fact::DidShut;
            self.model.did_notify |= wanted && is_wanted && fact == Fact::DidNotify;
            if is_wanted == wanted {
                self.tell(fact);
            }
        }
    }

    fn send(&mut self) {
        let length = [0, 1, 20, 30_000][usize::from(self.bytes.byte() % 4)];
        let sent = self.engine.send(&vec![b'A'; length]);
        let expected = match self.wants.may_send() {
            false => Err(SendError::Refused),
            true if self.output.queued() + length > self.output_limit => Err(SendError::Full),
            true => Ok(()),
        };
        assert_eq!(sent, expected);
        let refused = u32::from(sent == Err(SendError::Refused));
        assert_eq!(self.engine.rust.report().refused, self.report.refused + refused);
        if sent.is_ok() {
            self.output.say(&vec![b'A'; length]);
        }
    }

    fn finish(&mut self) {
        let error = (self.bytes.byte() % 2 == 0).then_some("reset");
        self.engine.finish(error, self.now);
        if self.wants.may_send() {
            self.output.finish(if error.is_some() { RESET } else { "" }, TAG);
            self.model.finishes(Initiator::Us, self.now);
        }
    }

    fn write(&mut self) {
        let out = self.engine.output();
        assert_eq!(self.engine.output(), out, "asked twice");
        if self.wants.over() || self.model.lost {
            assert!(out.is_empty());
            self.engine.wrote(0, 5, self.now);
            self.output.pending = 5;
            return;
        }
        let Output { said, handed, taken, .. } = &mut self.output;
        assert!(said[*taken..].starts_with(&out), "something else is handed out than was said");
        assert!(out.len() >= *handed - *taken, "what was handed out is gone");
        assert!(!out.is_empty() || *taken == said.len(), "nothing is handed out");
        *handed = (*handed).max(*taken + out.len());
        let count = match self.bytes.byte() {
            count @ ..64 => out.len().min(count.into()),
            _ => out.len(),
        };
        *taken += count;
        let before = self.output.pending;
        self.output.pending = match self.bytes.byte() {
            _ if count == 0 && before == 0 => 0,
            pending @ 200.. => pending.into(),
            _ => 0,
        };
        if count > 0 || self.output.pending < before {
            self.model.progress = self.now;
        }
        self.engine.wrote(count, self.output.pending, self.now);
    }

    fn receive(&mut self) {
        let count = u64::from(self.bytes.byte()) << (self.bytes.byte() % 18);
        let parse = self.engine.received(count as usize, self.now);
        assert_eq!(parse, self.wants.parse());
        if parse {
            self.model.receives(count, self.now);
        } else if !self.wants.over() {
            self.model.discarded += count;
        }
    }

    /// Allowed only while nothing of ours is under way.
    fn restart(&mut self) {
        let may = self.wants.may_send() && self.output.unsent() == 0;
        let tls = TLS[usize::from(self.bytes.byte() & 3)];
        let restarted = self.engine.tell(Fact::Restarted { tls }, self.now);
        assert_eq!(restarted, may || self.wants.over());
        if may {
            (self.tls, self.output.header) = (tls, self.header);
            self.restart_input();
        }
    }

    fn tick(&mut self, now: Duration) {
        let deadline = self.engine.rust.deadline();
        let before = (self.engine.rust.wants(), self.engine.rust.report().outcome);
        self.engine.tick(now);
        let wants = self.engine.rust.wants();
        if deadline.is_none_or(|deadline| now < deadline) {
            assert_eq!((wants, self.engine.rust.report().outcome), before, "a tick before the deadline did something");
            return;
        }
        assert!(
            wants.over() || self.engine.rust.deadline().is_some_and(|next| next > now),
            "a limit that moves nothing"
        );
        if before.0.may_send() && !wants.may_send() && !wants.over() {
            // The time to answer is up.
            assert!(before.0.answer());
            self.output.finish("", TAG);
            self.model.finishes(Initiator::Us, now);
        }
    }

    /// Looks at it after a call; `cause`: what ended it if it is over now.
    fn look(&mut self, cause: Option<Outcome>) {
        let engine = self.engine.rust.clone();
        let (had, wants, report) = (self.wants, self.engine.rust.wants(), self.engine.rust.report());
        let deadline = self.engine.rust.deadline();
        assert_eq!(wants, self.engine.rust.wants(), "asked twice");
        assert_eq!(engine, self.engine.rust, "a question changes something");
        let over = wants.over();
        if !had.over() {
            self.model.settle(self.output.unsent(), self.now);
        }

        assert!(had.may_send() || !wants.may_send(), "nobody may send again");
        assert!(had.parse() || !wants.parse(), "nothing is the peer's stream again");
        assert!(!had.over() || over, "over is for ever");
        if had.over() {
            let mut fixed = report.clone();
            // But for the last attempt at close_notify, and for who still tries to send.
            (fixed.tls, fixed.refused) = (self.report.tls, self.report.refused);
            assert_eq!(fixed, self.report, "an outcome changed");
        }
        assert_eq!(wants.may_send(), !over && !self.model.due && !self.model.lost);
        assert_eq!(wants.parse(), !over && self.model.parses());
        assert_eq!(wants.answer(), wants.may_send() && !wants.parse());
        if over {
            let expected = if wants.notify() { "NOTIFY | OVER" } else { "OVER" };
            assert_eq!(format!("{wants:?}"), expected, "over comes alone, or with one attempt at close_notify");
            assert_eq!(wants.notify(), self.may_notify());
        } else {
            assert_eq!(wants.write(), !self.model.lost && self.output.unsent() > 0);
            let flooded = self.model.discarded > xmpp_close::TRAILING_LIMIT;
            assert_eq!(wants.read(), !self.model.eof && !self.model.paused && !flooded);
            // Nothing ends our output before the peer's tag, unless asked for, nor while some of it is left.
            let due = !self.model.parses() || self.half_close && self.tls == Tls::No;
            let ended = self.model.did_shut || self.model.eof || self.model.broken;
            let ending = self.model.written && due && !ended && self.output.unsent() == 0;
            let alerts = self.tls != Tls::Yes || !wants.notify() && self.model.notified;
            assert_eq!(wants.notify(), ending && self.may_notify());
            assert_eq!(wants.shut(), ending && alerts);
        }
        self.engine.compare(self.now, &report);
        self.look_at_report(&report, cause, over && !had.over());

        assert_eq!(deadline, self.model.deadline().filter(|_| !over));
        (self.wants, self.report) = (wants, report);
    }

    fn may_notify(&self) -> bool {
        self.tls == Tls::Yes && self.model.written && !self.model.broken && !self.model.did_notify
    }

    fn look_at_report(&self, report: &Report, cause: Option<Outcome>, ended: bool) {
        let (model, over) = (&self.model, report.outcome != Outcome::Pending);
        assert_eq!(over, self.engine.rust.wants().over());
        if ended {
            assert_eq!(report.outcome, model.outcome(cause), "{report:?}");
        }
        assert_eq!((report.tag_sent, report.tag_received), (model.sent(), model.closed));
        if over {
            assert_eq!(report.outcome == Outcome::Clean, report.tag_sent && report.tag_received);
        } else {
            assert_eq!(report.bytes_unsent, self.output.unsent() as u64, "a byte is not conserved");
        }
        let initiator = match model.initiator {
            Some(Initiator::Us) if model.crossed => Some(Initiator::Crossing),
            initiator => initiator,
        };
        assert_eq!(report.initiator, initiator);
        if model.began.is_some() {
            assert_eq!(report.bytes_read + report.bytes_after_tag, model.read + model.discarded);
            assert!(report.bytes_after_tag == 0 || model.closed);
            assert_eq!((report.stanzas, report.oversize), (model.stanzas, model.oversize));
        }
    }
}

pub fn engine(data: &[u8]) {
    let mut run = Run::new(data);
    run.look(None);
    while !run.bytes.0.is_empty() {
        let wait = run.bytes.byte();
        run.now += if wait < 128 { Duration::ZERO } else { ms(u64::from(wait - 127).pow(2)) };
        let cause = run.call();
        run.look(cause);
    }
    // Whatever happened, a close that began is over once ticks have passed its deadlines: the answer's, and one more.
    for _ in 0..2 {
        let Some(deadline) = run.engine.rust.deadline() else { break };
        run.now = run.now.max(deadline);
        run.tick(run.now);
        run.look(None);
    }
    assert!(run.wants.over() || run.model.began.is_none());
    let said = &run.output.said[..run.output.taken];
    let tags = said.windows(TAG.len()).filter(|window| *window == TAG.as_bytes()).count();
    assert!(tags <= 1 && (tags == 0 || said.ends_with(TAG.as_bytes()) && !run.model.detached));
}
