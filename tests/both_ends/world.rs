//! Two engines, each with an application and a kernel, and the two directions of the connection between them.

use std::{collections::VecDeque, fmt, time::Duration};

use super::peer::{Act, Behaviour, Peer};
use xmpp_close::{CloseOptions, Engine, Fact, Initiator, Outcome, StreamError, Tls, Wants};

const TAG: &[u8] = b"</stream:stream>";
/// Half of the total, and the linger limit, as they are by default.
const ANSWER: Duration = Duration::from_secs(15);
const LINGER: Duration = Duration::from_secs(2);
const ERROR_END: &[u8] = b"</stream:error>";

/// What is under way: the smallest parts between which TCP may cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The first half of a stanza.
    Begins,
    /// Its second half.
    Ends,
    /// A whole stream error.
    Error(usize),
    Tag,
    /// What is no XML.
    Garbage,
    Notify,
    Fin,
    Reset,
}

impl Part {
    fn is_data(self) -> bool {
        !matches!(self, Self::Fin | Self::Reset)
    }

    fn len(self) -> usize {
        match self {
            Self::Begins | Self::Ends | Self::Garbage => 1,
            Self::Error(length) => length,
            Self::Tag => TAG.len(),
            Self::Notify | Self::Fin | Self::Reset => 0,
        }
    }

    /// The part that `bytes` begin with.
    fn first(bytes: &[u8]) -> Self {
        match bytes {
            [b'(', ..] => Self::Begins,
            [b')', ..] => Self::Ends,
            _ if bytes.starts_with(TAG) => Self::Tag,
            _ => {
                let end = bytes.windows(ERROR_END.len()).position(|part| part == ERROR_END).expect("a stream error");
                Self::Error(end + ERROR_END.len())
            }
        }
    }
}

/// What the worlds of one exploration have in common.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub tls: Tls,
    pub half_close: [bool; 2],
    /// How many stanzas each application has to send.
    pub stanzas: u8,
    /// How many parts the kernels hold in each direction.
    pub room: usize,
    /// The connection may break.
    pub faults: bool,
    /// Applications may cancel and detach.
    pub stops: bool,
    pub time: Time,
}

/// When time passes until the next limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Never: whatever is needed happens before.
    Stands,
    /// When nothing else can happen.
    AtLast,
    /// At any moment.
    Runs,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Side {
    pub engine: Engine,
    /// Stanzas that its application has still to send, has sent, and was handed.
    left: u8,
    pub sent: u8,
    pub delivered: u8,
    inside: bool,
    half_close: bool,
    /// Tags that it has written.
    tags: u8,
    /// `close(2)` was called.
    pub closed: bool,
    fin: bool,
    /// The other's tag or error was there before ours was written.
    crossed: bool,
    seen: Seen,
}

/// What one side has read, apart from stanzas.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Seen {
    /// The other's tag, and when.
    tag: Option<Duration>,
    /// Its `close_notify`, or the end of TCP.
    end: bool,
    /// The end of TCP.
    eof: bool,
    /// A RST.
    reset: bool,
    /// What is no XML.
    garbage: bool,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub sides: [Side; 2],
    /// Takes the place of the second engine.
    peer: Option<Peer>,
    /// From each side to the other.
    wires: [VecDeque<Part>; 2],
    now: Duration,
    /// Something happened after which an end need not be clean.
    pub disturbed: bool,
}

/// What can happen next. The number is the side that it happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Send(usize),
    Finish(usize),
    Detach(usize),
    Cancel(usize),
    /// The kernel takes one part.
    Write(usize),
    /// One part is read and handled.
    Read(usize),
    Notify(usize),
    Shut(usize),
    /// `close(2)`; true: what is under way to the peer is destroyed, if it can be.
    Close(usize, bool),
    /// The connection breaks for both sides; true: with all that is under way.
    Break(bool),
    /// What a peer does that others have built.
    Peer(Act),
    /// Time passes until the next limit.
    Tick,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |side: &usize| if *side == 0 { "A" } else { "B" };
        match self {
            Self::Send(side) => write!(f, "{} sends a stanza", name(side)),
            Self::Finish(side) => write!(f, "{} says its last", name(side)),
            Self::Detach(side) => write!(f, "{} detaches", name(side)),
            Self::Cancel(side) => write!(f, "{} cancels", name(side)),
            Self::Write(side) => write!(f, "{}'s kernel takes a part", name(side)),
            Self::Read(side) => write!(f, "{} reads a part", name(side)),
            Self::Notify(side) => write!(f, "{} sends close_notify", name(side)),
            Self::Shut(side) => write!(f, "{} calls shutdown(SHUT_WR)", name(side)),
            Self::Close(side, false) => write!(f, "{} calls close(2)", name(side)),
            Self::Close(side, true) => {
                write!(f, "{} calls close(2), and the RST destroys what is under way", name(side))
            }
            Self::Break(false) => f.write_str("the connection breaks"),
            Self::Break(true) => f.write_str("the connection breaks, and what is under way is lost"),
            Self::Peer(act) => write!(f, "the peer: {act:?}"),
            Self::Tick => f.write_str("time passes until the next limit"),
        }
    }
}

impl World {
    pub fn new(rules: &Rules) -> Self {
        let side = |number: usize| {
            let options = CloseOptions::new().half_close(rules.half_close[number]);
            let engine = Engine::new(&options, rules.tls).unwrap();
            let (left, sent, delivered, tags) = (rules.stanzas, 0, 0, 0);
            let (inside, closed, fin, crossed) = (false, false, false, false);
            Side {
                engine,
                half_close: rules.half_close[number],
                left,
                sent,
                delivered,
                inside,
                tags,
                closed,
                fin,
                crossed,
                seen: Seen::default(),
            }
        };
        let wires = [VecDeque::new(), VecDeque::new()];
        Self { sides: [side(0), side(1)], peer: None, wires, now: Duration::ZERO, disturbed: false }
    }

    /// One engine, and a peer that others have built.
    pub fn against(behaviour: Behaviour, rules: &Rules) -> Self {
        Self { peer: Some(Peer::new(behaviour, rules.stanzas)), ..Self::new(rules) }
    }

    /// How many of the sides are engines.
    fn engines(&self) -> usize {
        if self.peer.is_some() { 1 } else { 2 }
    }

    fn wants(&self, side: usize) -> Wants {
        self.sides[side].engine.wants()
    }

    /// All that can happen next.
    pub fn moves(&self, rules: &Rules) -> Vec<Move> {
        let mut moves = Vec::new();
        for side in 0..self.engines() {
            if self.sides[side].closed {
                continue;
            }
            let wants = self.wants(side);
            if wants.may_send {
                if self.sides[side].left > 0 {
                    moves.push(Move::Send(side));
                }
                moves.push(Move::Finish(side));
                if rules.stops {
                    moves.push(Move::Detach(side));
                }
            }
            if rules.stops && !wants.over {
                moves.push(Move::Cancel(side));
            }
            let free = self.wires[side].len() < rules.room || self.sides[1 - side].closed || self.is_reset(side);
            if wants.write && free {
                moves.push(Move::Write(side));
            }
            if wants.read && !self.wires[1 - side].is_empty() {
                moves.push(Move::Read(side));
            }
            if wants.notify && !wants.over {
                moves.push(Move::Notify(side));
            }
            if wants.shut {
                moves.push(Move::Shut(side));
            }
            if wants.over {
                moves.push(Move::Close(side, false));
                if self.has_unread(side) {
                    moves.push(Move::Close(side, true));
                }
            }
        }
        if let Some(peer) = &self.peer {
            let room = self.wires[1].len() < rules.room || self.sides[0].closed;
            let acts = peer.acts(!self.wires[0].is_empty()).into_iter();
            moves.extend(acts.filter(|act| room || !matches!(act, Act::Say(_))).map(Move::Peer));
        }
        if rules.faults && !self.disturbed {
            moves.extend([Move::Break(false), Move::Break(true)]);
        }
        let due = self.sides.iter().any(|side| side.engine.deadline().is_some());
        if due && (rules.time == Time::Runs || rules.time == Time::AtLast && moves.is_empty()) {
            moves.push(Move::Tick);
        }
        moves
    }

    /// A RST has come to this side.
    fn is_reset(&self, side: usize) -> bool {
        self.wires[1 - side].contains(&Part::Reset)
    }

    /// `close(2)` would find something that was not read.
    fn has_unread(&self, side: usize) -> bool {
        self.wires[1 - side].iter().any(|part| part.is_data())
    }

    pub fn make(&mut self, step: Move) {
        let now = self.now;
        match step {
            Move::Send(side) => {
                let side = &mut self.sides[side];
                side.left -= 1;
                if side.engine.send(b"()").is_ok() {
                    side.sent += 1;
                }
            }
            Move::Finish(side) => {
                // Who does not read until it would block says what lies there.
                let lies_there = &self.wires[1 - side];
                let unread = lies_there.iter().map(|part| part.len() as u64).sum();
                self.sides[side].crossed |= lies_there.iter().any(|part| matches!(part, Part::Tag | Part::Error(_)));
                self.tell(side, Fact::Arrived(unread));
                self.sides[side].engine.finish(None, now);
            }
            Move::Detach(side) => {
                self.sides[side].engine.detach(now);
                self.disturbed = true;
            }
            Move::Cancel(side) => {
                self.tell(side, Fact::Cancel);
                self.disturbed = true;
            }
            Move::Write(side) => self.write(side),
            Move::Read(side) => self.read(side),
            Move::Notify(side) => {
                self.may_end_output(side);
                self.put(side, Part::Notify);
                self.tell(side, Fact::DidNotify);
            }
            Move::Shut(side) => {
                self.may_end_output(side);
                let me = &self.sides[side];
                assert!(
                    !me.engine.report().tls.used || me.seen.end,
                    "FIN goes before the peer's close_notify has come"
                );
                self.fin(side);
                self.tell(side, Fact::DidShut);
            }
            Move::Close(side, destroys) => self.close(side, destroys),
            Move::Peer(act) => self.act(act),
            Move::Break(loses) => {
                self.disturbed = true;
                for side in 0..2 {
                    if loses {
                        self.wires[side].clear();
                    }
                    self.wires[side].push_back(Part::Reset);
                }
            }
            Move::Tick => {
                self.disturbed = true;
                let due = self.sides.iter().filter_map(|side| side.engine.deadline()).min();
                self.now = self.now.max(due.expect("a limit"));
                for side in &mut self.sides {
                    side.engine.tick(self.now);
                    assert!(side.engine.deadline().is_none_or(|limit| limit > self.now), "a limit that moves nothing");
                    if side.seen.tag.is_some_and(|at| self.now >= at + ANSWER) {
                        assert!(!side.engine.wants().may_send, "the peer's tag is not answered in time");
                    }
                }
            }
        }
    }

    fn tell(&mut self, side: usize, fact: Fact) {
        self.sides[side].engine.tell(fact, self.now).unwrap();
    }

    /// No output ends before the peer's tag, or its end, has come (unless that was asked for).
    fn may_end_output(&self, side: usize) {
        let me = &self.sides[side];
        let allowed =
            me.seen.tag.is_some() || me.seen.end || me.seen.garbage || self.disturbed || me.half_close && me.tags == 1;
        assert!(allowed, "our output ends before the peer's tag");
    }

    fn put(&mut self, side: usize, part: Part) {
        if self.sides[1 - side].closed {
            // Nobody is there: the kernel answers with a RST.
            if !self.is_reset(side) {
                self.wires[1 - side].push_back(Part::Reset);
            }
        } else if !self.wires[side].contains(&Part::Reset) {
            self.wires[side].push_back(part);
        }
    }

    fn fin(&mut self, side: usize) {
        if !std::mem::replace(&mut self.sides[side].fin, true) && !self.sides[1 - side].closed {
            self.put(side, Part::Fin);
        }
    }

    fn write(&mut self, side: usize) {
        if self.is_reset(side) {
            self.sides[side].seen.reset = true;
            return self.tell(side, Fact::WriteFailed(32));
        }
        let part = Part::first(self.sides[side].engine.output());
        assert_eq!(self.sides[side].tags, 0, "something is written behind the tag");
        self.sides[side].tags += u8::from(part == Part::Tag);
        self.put(side, part);
        self.sides[side].engine.wrote(part.len(), 0, self.now);
    }

    fn read(&mut self, side: usize) {
        let part = self.wires[1 - side].pop_front().expect("a part");
        let me = &mut self.sides[side];
        let parse = me.engine.received(part.len(), self.now);
        let inside = me.inside;
        me.crossed |= me.tags == 0 && parse && matches!(part, Part::Tag | Part::Error(_));
        match part {
            Part::Begins if parse => me.inside = true,
            Part::Ends if parse => {
                me.inside = false;
                me.delivered += 1;
            }
            Part::Tag if parse => {
                me.seen.tag = Some(self.now);
                self.tell(side, Fact::PeerClosed { behind: 0 });
            }
            Part::Error(_) if parse => {
                let error = StreamError::new("not-well-formed").unwrap();
                self.tell(side, Fact::StreamError(error));
            }
            Part::Garbage if parse => {
                me.seen.garbage = true;
                self.tell(side, Fact::Malformed);
            }
            Part::Begins | Part::Ends | Part::Tag | Part::Error(_) | Part::Garbage => {}
            Part::Notify => {
                me.seen.end = true;
                self.tell(side, Fact::Notified { inside });
            }
            Part::Fin => {
                (me.seen.end, me.seen.eof) = (true, true);
                self.tell(side, Fact::Eof { inside });
            }
            Part::Reset => {
                me.seen.reset = true;
                self.tell(side, Fact::ReadFailed(104));
            }
        }
    }

    fn act(&mut self, act: Act) {
        let mut peer = self.peer.expect("a peer");
        match act {
            Act::Read => peer.read(self.wires[0].pop_front().expect("a part")),
            Act::Say(part) => {
                self.put(1, part);
                peer.said(part);
            }
            Act::HalfClose => {
                self.fin(1);
                peer.half_closed();
            }
            Act::Close => {
                if self.has_unread(1) {
                    self.put(1, Part::Reset);
                } else {
                    self.fin(1);
                }
                peer.closed = true;
            }
        }
        if peer.closed {
            self.sides[1].closed = true;
            self.wires[0].clear();
        }
        self.peer = Some(peer);
    }

    fn close(&mut self, side: usize, destroys: bool) {
        let seen = self.sides[side].seen;
        assert!(self.disturbed || seen.eof || seen.reset, "TCP is not read to its end");
        if self.wants(side).notify {
            self.put(side, Part::Notify);
            self.tell(side, Fact::DidNotify);
        }
        if self.has_unread(side) {
            if destroys {
                self.wires[side].clear();
            }
            self.put(side, Part::Reset);
        } else {
            self.fin(side);
        }
        self.sides[side].closed = true;
        self.wires[1 - side].clear();
    }

    /// What must hold now, whatever has happened.
    pub fn check(&self) {
        let [a, b] = &self.sides;
        let reports = [a.engine.report(), b.engine.report()];
        for (me, report) in self.sides.iter().zip(&reports).take(self.engines()) {
            assert!(me.tags <= 1, "more than one tag");
            assert!(!report.tag_sent || me.tags == 1, "a tag is said to be sent that is not");
            let over = me.engine.wants().over;
            assert!(over || me.engine.deadline().is_some() || me.engine.wants().may_send, "somebody waits for ever");
            assert_eq!(over, report.outcome != Outcome::Pending);
            let both = report.tag_sent && me.seen.tag.is_some();
            assert_eq!(
                over && both,
                report.outcome == Outcome::Clean,
                "clean means both tags, and both tags mean clean"
            );
            if both && !over {
                let latest = self.now + LINGER;
                assert!(me.engine.deadline().is_some_and(|limit| limit <= latest), "nothing ends the wait for the end");
            }
            match report.initiator {
                Some(Initiator::Us) if report.tag_received => {
                    assert!(!me.crossed, "what was there before is taken for an answer")
                }
                Some(Initiator::Crossing) => assert!(me.crossed, "an answer is taken for a tag that crossed ours"),
                _ => {}
            }
        }
        if self.peer.is_none() && reports.iter().all(|report| report.outcome == Outcome::Clean) {
            assert_eq!((a.delivered, b.delivered), (b.sent, a.sent), "clean on both sides, and stanzas were lost");
        }
    }

    /// What must hold when nothing more can happen.
    pub fn check_end(&self) {
        for side in &self.sides[..self.engines()] {
            assert!(side.closed, "a connection is never closed");
        }
        if !self.disturbed && self.peer.is_none() {
            for side in &self.sides {
                assert_eq!(
                    side.engine.report().outcome,
                    Outcome::Clean,
                    "nothing went wrong, and the end is not clean"
                );
            }
        }
    }
}
