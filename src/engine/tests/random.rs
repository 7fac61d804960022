//! What holds whatever is called, and in whatever order.

use super::{
    super::facts::{Ours, Theirs},
    *,
};

/// xorshift: any seed gives the same walk again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// An engine, what was seen of it, and what its bytes must add up to.
struct Walk {
    random: Random,
    engine: Engine,
    now: Duration,
    tls: Tls,
    half_close: bool,
    /// All that the application queued, the header first.
    queued: Vec<u8>,
    /// All that was taken.
    taken: Vec<u8>,
    pending: usize,
    wants: Wants,
    /// It was clean already.
    clean: bool,
    detached: bool,
    /// When the close began.
    began: Option<Duration>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let tls = random.one_of(&[Tls::No, Tls::No, Tls::Yes, Tls::Hidden]);
        let half_close = tls == Tls::No && random.once_in(2);
        let header = random.one_of(&["", HEADER]);
        let mut options = CloseOptions::new().half_close(half_close).farewell(random.one_of(&["", "<f/>"]));
        if random.once_in(2) {
            options = options.no_progress(ms(20_000));
        }
        if !header.is_empty() {
            options = options.header(header);
        }
        let engine = Engine::new(&options, tls).unwrap();
        let wants = engine.wants();
        Self {
            random,
            engine,
            now: Duration::ZERO,
            tls,
            half_close,
            queued: header.into(),
            taken: Vec::new(),
            pending: 0,
            wants,
            clean: false,
            detached: false,
            began: None,
        }
    }

    fn call(&mut self) {
        self.now += ms(self.random.one_of(&[0, 0, 1, 50, 3000, 16_000]));
        match self.random.below(10) {
            0 => {
                let bytes = vec![b'A'; self.random.one_of(&[1, 20, 20_000])];
                if self.engine.send(&bytes).is_ok() {
                    assert!(self.wants.may_send);
                    self.queued.extend(bytes);
                }
            }
            1 => {
                let error = self.random.once_in(2).then(|| StreamError::defined("reset"));
                self.engine.finish(error.as_ref(), self.now);
            }
            2 if self.random.once_in(5) => {
                self.detached |= self.engine.wants().may_send;
                self.engine.detach(self.now);
            }
            3 | 4 => self.write(),
            5 => {
                let bytes = self.random.below(30) as usize;
                assert_eq!(self.engine.received(bytes, self.now), self.wants.parse);
            }
            6 => self.engine.tick(self.now),
            7 => {
                for (wanted, fact) in [(self.wants.notify, Fact::DidNotify), (self.wants.shut, Fact::DidShut)] {
                    if wanted {
                        self.engine.tell(fact, self.now).unwrap();
                    }
                }
            }
            _ => self.fact(),
        }
    }

    fn write(&mut self) {
        let out = self.engine.output().to_vec();
        assert_eq!(self.engine.output(), out, "asked twice");
        let count = self.random.below(out.len() as u64 + 1) as usize;
        if count > 0 || self.pending > 0 {
            self.pending = self.random.one_of(&[0, 0, count, 7]);
        }
        let over = self.wants.over;
        self.engine.wrote(count, self.pending, self.now);
        if !over {
            self.taken.extend(&out[..count]);
        }
        if self.random.once_in(2) && !self.engine.wants().over {
            assert!(self.engine.output().starts_with(&out[count..]), "what was handed out has changed");
        }
    }

    fn fact(&mut self) {
        let inside = self.random.once_in(2);
        let rare = [
            Fact::Malformed,
            Fact::Eof { inside },
            Fact::Notified { inside },
            Fact::ReadFailed(104),
            Fact::WriteFailed(32),
            Fact::TlsFailed,
            Fact::Arrived(9),
            Fact::StreamError(StreamError::defined("conflict")),
            Fact::Cancel,
        ];
        let fact = match self.random.below(6) {
            0 => Fact::PeerClosed { behind: self.random.below(9) },
            1 => rare[self.random.below(rare.len() as u64) as usize].clone(),
            _ => Fact::Paused(inside),
        };
        if fact == (Fact::Notified { inside }) && self.tls != Tls::Yes {
            return;
        }
        self.engine.tell(fact, self.now).unwrap();
    }

    fn look(&mut self) {
        let (had, wants) = (self.wants, self.engine.wants());
        assert_eq!(wants, self.engine.wants(), "asked twice");
        assert!(had.may_send || !wants.may_send, "nobody may send again");
        assert!(had.parse || !wants.parse, "nothing is the peer's stream again");
        assert!(!had.over || wants.over, "over is for ever");
        if wants.over {
            let notify = wants.notify;
            assert_eq!(wants, Wants { over: true, notify, ..Wants::default() });
        } else if wants.notify || wants.shut {
            assert_eq!(self.engine.close.outgoing.unsent(), 0, "the output is ended when all of it is written");
            assert!(!wants.parse || wants.shut && self.half_close, "no end of output before the peer's tag");
            assert!(!(wants.shut && self.tls == Tls::Yes) || self.engine.report().tls.received);
        }
        let (ours, theirs) = (self.engine.close.handshake.ours(), self.engine.close.handshake.theirs());
        let untouched = ours == Ours::Open && theirs == Theirs::Open;
        let deadline = self.engine.deadline();
        if deadline.is_some() {
            self.began.get_or_insert(self.now);
        }
        assert_eq!(deadline.is_none(), wants.over || untouched, "{ours:?} {theirs:?}");
        let report = self.engine.report();
        let clean = report.tag_sent && report.tag_received;
        assert!(clean || !self.clean, "what was clean stays clean");
        if wants.over {
            assert_eq!(report.outcome == Outcome::Clean, clean, "clean means both tags");
            assert_ne!(report.outcome, Outcome::Pending);
        }
        if report.tag_sent && !wants.over {
            assert_eq!(report.bytes_unsent, self.pending as u64 * u64::from(!self.is_written()));
        }
        (self.wants, self.clean) = (wants, clean);
    }

    fn is_written(&self) -> bool {
        matches!(self.engine.close.handshake.ours(), Ours::Written | Ours::Ending | Ours::Ended) && self.pending == 0
    }

    /// By the limits alone it comes to its end.
    fn end(&mut self) {
        let Some(began) = self.began.filter(|_| !self.wants.over) else { return };
        for _ in 0..4 {
            let Some(deadline) = self.engine.deadline() else { break };
            let at = deadline.max(self.now);
            self.engine.tick(at);
            assert!(self.engine.wants().over || self.engine.deadline().unwrap() > at, "a tick that moves nothing");
        }
        assert!(self.engine.wants().over);
        assert!(self.engine.report().elapsed <= ms(30_000).max(self.now - began), "nothing outlives the total");
    }

    /// All bytes taken are the header, the queue, the farewell, one error at most, and one tag at most, which is the last.
    fn bytes(&self) {
        let taken = String::from_utf8(self.taken.clone()).unwrap();
        let tags = taken.matches(TAG).count();
        assert!(tags <= 1 && (tags == 0 || taken.ends_with(TAG)), "{taken:.200}");
        assert!(!self.engine.report().tag_sent || tags == 1);
        assert!(!self.detached || tags == 0);
        let begun = self.taken.len().min(self.queued.len());
        if self.queued == HEADER.as_bytes() && self.taken.is_empty() {
            return;
        }
        assert_eq!(self.taken[..begun], self.queued[..begun]);
        let tail = taken[begun..].replace("<f/>", "");
        assert!(tail.is_empty() || tail.starts_with(['<']), "{tail}");
    }
}

#[test]
fn the_rules_hold_in_random_walks() {
    let walks = std::env::var("XMPP_CLOSE_WALKS").map_or(20_000, |walks| walks.parse().unwrap());
    let mut outcomes = std::collections::BTreeMap::new();
    for seed in 1..=walks {
        let walk = std::panic::catch_unwind(|| {
            let mut walk = Walk::new(seed);
            for _ in 0..=walk.random.below(40) {
                walk.call();
                walk.look();
            }
            walk.end();
            walk.bytes();
            walk.engine.report().outcome
        });
        let outcome = walk.unwrap_or_else(|_| panic!("walk {seed}"));
        *outcomes.entry(outcome.name()).or_insert(0) += 1;
    }
    println!("{outcomes:?}");
    assert!(outcomes.len() >= 9, "{outcomes:?}");
}

/// What happens on our half and what happens on theirs do not depend on their order, but for the initiator.
#[test]
fn the_halves_do_not_depend_on_each_other() {
    let ours: [fn(&mut Trace); 4] =
        [|t| _ = t.finish(), |t| _ = t.writes(), |t| _ = t.tell(Fact::DidNotify), |t| _ = t.tell(Fact::DidShut)];
    let theirs: [fn(&mut Trace); 3] =
        [|t| _ = t.closed(), |t| _ = t.tell(Fact::Notified { inside: false }), |t| _ = t.eof()];
    for tls in [Tls::No, Tls::Yes] {
        let mut seen = Vec::new();
        // Each bit of `order` says whose step is next.
        for order in 0_u32..1 << 7 {
            if order.count_ones() != 3 || tls == Tls::No && order >> 7 != 0 {
                continue;
            }
            let mut t = Trace::with(&CloseOptions::new(), tls);
            let (mut mine, mut peers) = (ours.iter(), theirs.iter());
            for bit in 0..7 {
                let step = if order >> bit & 1 == 1 { peers.next() } else { mine.next() };
                (step.unwrap())(&mut t);
                // What could not be done yet is done as soon as it is wanted.
            }
            for _ in 0..3 {
                if t.engine.wants().notify {
                    t.tell(Fact::DidNotify);
                }
                if t.engine.wants().shut {
                    t.tell(Fact::DidShut);
                }
            }
            let report = t.engine.report();
            seen.push((report.outcome, report.tag_sent, report.tag_received, t.engine.wants().over));
        }
        seen.dedup();
        assert_eq!(seen, [(Outcome::Clean, true, true, true)], "{tls:?}");
    }
}
