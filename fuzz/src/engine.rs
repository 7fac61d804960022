//! The engine: any calls in any order, beside a model that knows only what happened.

use std::time::Duration;

use xmpp_close::{CloseOptions, Engine, Fact, Initiator, Outcome, Report, StreamError, Tls, Wants};

use super::bytes::Bytes;

const TAG: &str = "</stream:stream>";
const NOT_WELL_FORMED: &str =
    "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
const RESET: &str = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// What goes out, byte for byte.
#[derive(Default)]
struct Output {
    header: &'static str,
    farewell: &'static str,
    /// All that was said so far; the last of it is the tag, once that is due.
    said: Vec<u8>,
    /// Where an error still fits in.
    error_at: Option<usize>,
    /// So many were handed out at most, and so many taken.
    handed: usize,
    taken: usize,
    /// Taken, but not with the kernel.
    pending: usize,
}

impl Output {
    fn say(&mut self, bytes: &[u8]) {
        self.said.extend_from_slice(std::mem::take(&mut self.header).as_bytes());
        self.said.extend_from_slice(bytes);
    }

    fn finish(&mut self, error: &str, tag: &str) {
        let tail = [self.farewell, error, tag].concat();
        if !tail.is_empty() {
            self.say(tail.as_bytes());
        }
        self.error_at = Some(self.said.len() - tag.len()).filter(|_| error.is_empty() && !tag.is_empty());
    }

    fn insert(&mut self, error: &str) {
        if let Some(at) = self.error_at.take_if(|at| self.handed <= *at) {
            self.said.splice(at..at, error.bytes());
        }
    }

    fn unsent(&self) -> usize {
        self.said.len() - self.taken + self.pending
    }
}

/// What happened.
#[derive(Default)]
struct Model {
    began: Option<Duration>,
    initiator: Option<Initiator>,
    crossed: bool,
    /// Our last words are said; all of it is with the kernel; it cannot be any more.
    due: bool,
    written: bool,
    lost: bool,
    detached: bool,
    closed: bool,
    /// What their stream ended in, if not in its tag.
    verdict: Option<Outcome>,
    eof: bool,
    notified: bool,
    paused: bool,
    did_shut: bool,
    /// Bytes of their stream since the close began; how many of them had come before our tag was written; others.
    read: u64,
    early: u64,
    discarded: u64,
}

impl Model {
    fn begins(&mut self, who: Initiator, now: Duration) {
        self.initiator.get_or_insert(who);
        if self.began.is_none() {
            self.began = Some(now);
            self.early = self.early.saturating_sub(self.read);
            self.read = 0;
        }
    }

    fn parses(&self) -> bool {
        !self.closed && !self.detached_from() && self.verdict.is_none()
    }

    fn detached_from(&self) -> bool {
        self.detached
    }

    fn sent(&self) -> bool {
        self.written && !self.detached
    }

    fn crosses(&mut self) {
        self.crossed |= !self.sent() || self.early > 0 && self.read <= self.early;
    }

    /// What it comes to, ended by `cause`.
    fn outcome(&self, cause: Option<Outcome>) -> Outcome {
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

struct Run<'a> {
    bytes: Bytes<'a>,
    engine: Engine,
    tls: Tls,
    half_close: bool,
    total: Duration,
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
        let tls = [Tls::No, Tls::Yes, Tls::Hidden, Tls::No][usize::from(flags & 3)];
        let half_close = tls == Tls::No && flags & 4 != 0;
        let mut output = Output::default();
        output.header = if flags & 8 == 0 { "" } else { "<H>" };
        output.farewell = if flags & 16 == 0 { "" } else { "<f/>" };
        let mut times = || ms(1 + u64::from(bytes.u16()));
        let (total, linger) = (times(), times());
        let mut options =
            CloseOptions::new().total(total).linger(linger).half_close(half_close).farewell(output.farewell);
        if flags & 32 != 0 {
            options = options.no_progress(times());
        }
        let mut model = Model::default();
        if flags & 64 != 0 {
            options = options.peer_closed(true);
            model.crosses();
            model.begins(Initiator::Peer, Duration::ZERO);
            model.closed = true;
        }
        let engine = Engine::new(&options, output.header.as_bytes(), tls).unwrap();
        let (wants, report) = (engine.wants(), engine.report());
        Self { bytes, engine, tls, half_close, total, now: Duration::ZERO, output, model, wants, report }
    }

    /// One call. What ended it, if it is one that ends it at once.
    fn call(&mut self) -> Option<Outcome> {
        let (now, over) = (self.now, self.wants.over);
        let call = self.bytes.byte();
        match call % 32 {
            0..=2 => self.send(),
            3..=5 => self.finish(),
            6 => {
                self.engine.detach(now);
                if self.wants.may_send {
                    self.output.finish("", "");
                    (self.model.due, self.model.detached) = (true, true);
                    self.model.begins(Initiator::Us, now);
                }
            }
            7..=11 => self.write(),
            12..=14 => self.receive(),
            15..=17 => self.tick(now),
            18 | 19 => {
                for (wanted, fact) in [(self.wants.notify, Fact::DidNotify), (self.wants.shut, Fact::DidShut)] {
                    self.model.did_shut |= wanted && fact == Fact::DidShut;
                    if wanted {
                        self.tell(fact);
                    }
                }
            }
            20 => {
                // Nobody asked.
                for (wanted, fact) in [(self.wants.notify, Fact::DidNotify), (self.wants.shut, Fact::DidShut)] {
                    if !wanted {
                        self.tell(fact);
                    }
                }
            }
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
                self.model.paused = paused;
            }
            23 => {
                self.tell(Fact::Stanzas(call.into()));
                self.tell(Fact::Oversize(call.into()));
            }
            24 => self.restart(),
            25 | 26 => {
                let behind = u64::from(self.bytes.byte());
                self.tell(Fact::PeerClosed { behind });
                if !over && self.model.parses() {
                    let behind = behind.min(self.model.read);
                    (self.model.read, self.model.discarded) = (self.model.read - behind, self.model.discarded + behind);
                    self.model.crosses();
                    self.model.begins(Initiator::Peer, now);
                    self.model.closed = true;
                }
            }
            27 => self.bad(call),
            28 => self.ends(Fact::Eof { inside: call & 32 != 0 }),
            29 if self.tls == Tls::Yes => self.ends(Fact::Notified { inside: call & 32 != 0 }),
            30 if call & 32 == 0 => {
                self.tell(Fact::WriteFailed(32));
                if !over && !self.model.written {
                    self.model.begins(Initiator::Peer, now);
                    self.model.lost = true;
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
                self.tell(fact);
                if !over && cancel {
                    self.model.began.get_or_insert(now);
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
        self.engine.tell(fact, self.now).unwrap();
    }

    fn send(&mut self) {
        let length = [0, 1, 20, 30_000][usize::from(self.bytes.byte() % 4)];
        let sent = self.engine.send(&vec![b'A'; length]);
        assert_eq!(sent.is_ok(), self.wants.may_send);
        if sent.is_ok() {
            self.output.say(&vec![b'A'; length]);
        }
    }

    fn finish(&mut self) {
        let error = (self.bytes.byte() % 2 == 0).then(|| StreamError::new("reset").unwrap());
        self.engine.finish(error.as_ref(), self.now);
        if self.wants.may_send {
            self.output.finish(if error.is_some() { RESET } else { "" }, TAG);
            self.model.due = true;
            self.model.begins(Initiator::Us, self.now);
        }
    }

    fn write(&mut self) {
        let out = self.engine.output().to_vec();
        assert_eq!(self.engine.output(), out, "asked twice");
        if self.wants.over || self.model.lost {
            assert!(out.is_empty());
            self.engine.wrote(0, 5, self.now);
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
        self.output.pending = match self.bytes.byte() {
            _ if count == 0 && self.output.pending == 0 => 0,
            pending @ 200.. => pending.into(),
            _ => 0,
        };
        self.engine.wrote(count, self.output.pending, self.now);
    }

    fn receive(&mut self) {
        let count = u64::from(self.bytes.byte()) << (self.bytes.byte() % 18);
        let parse = self.engine.received(count as usize, self.now);
        assert_eq!(parse, self.wants.parse);
        if parse {
            self.model.read += count;
        } else if !self.wants.over {
            self.model.discarded += count;
        }
    }

    /// The application begins anew, which it may only do when nothing of ours is under way.
    fn restart(&mut self) {
        let may = self.wants.may_send && self.output.unsent() == 0;
        let restarted = self.engine.tell(Fact::Restarted { tls: self.tls }, self.now);
        assert_eq!(restarted.is_ok(), may);
    }

    fn bad(&mut self, call: u8) {
        let error = call & 32 != 0;
        self.tell(if error { Fact::StreamError(StreamError::new("conflict").unwrap()) } else { Fact::Malformed });
        if self.wants.over || !self.model.parses() {
            return;
        }
        let (now, is_open) = (self.now, !self.model.due && !self.model.lost);
        let said = if error { "" } else { NOT_WELL_FORMED };
        if is_open {
            self.output.finish(said, TAG);
        } else if !error && !self.model.written && !self.model.lost {
            self.output.insert(said);
        }
        if error {
            self.model.crosses();
            self.model.begins(Initiator::Peer, now);
        } else {
            self.model.verdict = Some(if self.model.lost { Outcome::Reset } else { Outcome::Malformed });
            self.model.begins(Initiator::Us, now);
        }
        self.model.due = true;
    }

    fn ends(&mut self, fact: Fact) {
        self.tell(fact.clone());
        if self.wants.over {
            return;
        }
        let is_eof = matches!(fact, Fact::Eof { .. });
        let inside = matches!(fact, Fact::Eof { inside: true } | Fact::Notified { inside: true });
        let cut = inside || is_eof && self.tls != Tls::No && !self.model.notified;
        if self.model.parses() {
            let kind = if cut { Outcome::Truncated } else { Outcome::PeerEof };
            self.model.verdict = Some(if self.model.lost { Outcome::Reset } else { kind });
        }
        self.model.begins(Initiator::Peer, self.now);
        self.model.eof |= is_eof;
        self.model.notified |= !is_eof;
    }

    fn tick(&mut self, now: Duration) {
        let deadline = self.engine.deadline();
        let before = (self.engine.wants(), self.engine.report().outcome);
        self.engine.tick(now);
        let wants = self.engine.wants();
        if deadline.is_none_or(|deadline| now < deadline) {
            assert_eq!((wants, self.engine.report().outcome), before, "a tick before the deadline did something");
            return;
        }
        assert!(wants.over || self.engine.deadline().is_some_and(|next| next > now), "a limit that moves nothing");
        if before.0.may_send && !wants.may_send && !wants.over {
            // The time to answer is up.
            assert!(before.0.answer);
            self.output.finish("", TAG);
            self.model.due = true;
        }
    }

    /// Looks at it after a call; `cause`: what ended it if it is over now.
    fn look(&mut self, cause: Option<Outcome>) {
        let engine = self.engine.clone();
        let (had, wants, report) = (self.wants, self.engine.wants(), self.engine.report());
        let deadline = self.engine.deadline();
        assert_eq!(wants, self.engine.wants(), "asked twice");
        assert_eq!(engine, self.engine, "a question changes something");
        let over = wants.over;
        if self.model.due && !self.model.lost && self.output.unsent() == 0 && !had.over {
            self.model.written = true;
        }

        assert!(had.may_send || !wants.may_send, "nobody may send again");
        assert!(had.parse || !wants.parse, "nothing is the peer's stream again");
        assert!(!had.over || over, "over is for ever");
        if had.over {
            let mut fixed = report.clone();
            fixed.tls = self.report.tls; // the last attempt at close_notify
            assert_eq!(fixed, self.report, "an outcome changed");
        }
        assert_eq!(wants.may_send, !over && !self.model.due && !self.model.lost);
        assert_eq!(wants.parse, !over && self.model.parses());
        assert_eq!(wants.answer, wants.may_send && !wants.parse);
        if over {
            let mut nothing = Wants::default();
            (nothing.over, nothing.notify) = (true, wants.notify);
            assert_eq!(wants, nothing, "over comes alone, or with one attempt at close_notify");
            assert!(!wants.notify || self.tls == Tls::Yes && self.model.written);
        } else {
            assert_eq!(wants.write, !self.model.lost && self.output.unsent() > 0);
            let flooded = self.model.discarded > xmpp_close::TRAILING_LIMIT;
            assert_eq!(wants.read, !self.model.eof && !self.model.paused && !flooded);
            assert!(!wants.notify || self.tls == Tls::Yes && self.model.written && !wants.parse);
            assert!(!wants.shut || self.model.written && !self.model.did_shut && !wants.notify);
            assert!(!wants.shut || !wants.parse || self.half_close, "no end of output before the peer's tag");
            assert!(!wants.shut || self.tls != Tls::Yes || report.tls.sent && report.tls.received);
        }
        self.look_at_report(&report, cause, over && !had.over);

        assert_eq!(deadline.is_some(), self.model.began.is_some() && !over);
        let last = self.model.began.map(|began| began + self.total);
        assert!(deadline.is_none_or(|deadline| Some(deadline) <= last), "nothing outlives the total");
        (self.wants, self.report) = (wants, report);
    }

    fn look_at_report(&self, report: &Report, cause: Option<Outcome>, ended: bool) {
        let (model, over) = (&self.model, report.outcome != Outcome::Pending);
        assert_eq!(over, self.engine.wants().over);
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
        let Some(deadline) = run.engine.deadline() else { break };
        run.now = run.now.max(deadline);
        run.tick(run.now);
        run.look(None);
    }
    assert!(run.wants.over || run.model.began.is_none());
    let said = &run.output.said[..run.output.taken];
    let tags = said.windows(TAG.len()).filter(|window| *window == TAG.as_bytes()).count();
    assert!(tags <= 1 && (tags == 0 || said.ends_with(TAG.as_bytes()) && !run.model.detached));
}
