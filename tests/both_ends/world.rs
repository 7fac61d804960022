//! Two engines, each with an application and a kernel, and the two directions of the connection between them.

use std::{collections::VecDeque, time::Duration};

use xmpp_close::{CloseOptions, Engine, Fact, Tls, Wants};

use crate::{
    part::{HEADER, Part},
    peer::{Act, Behaviour, Peer},
    step::Move,
};

/// What the worlds of one exploration have in common.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub tls: Tls,
    pub half_close: [bool; 2],
    /// How many stanzas each application has to send.
    pub stanzas: u8,
    /// How many parts the kernels hold in each direction.
    pub room: usize,
    /// How many the applications hold in queues of their own, in front of their kernels.
    pub queue: usize,
    /// How often each application does not read for a while.
    pub pauses: u8,
    /// TLS may begin in the middle of the stream, by STARTTLS.
    pub starttls: bool,
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
    /// Takes in what comes by itself; else its application has a parser.
    pub parses: bool,
    /// Stanzas that its application has still to send, has sent, and was handed.
    pub left: u8,
    pub sent: u8,
    pub delivered: u8,
    /// Between the halves of a stanza.
    pub inside: bool,
    pub half_close: bool,
    /// The application's own queue.
    pub queue: VecDeque<Part>,
    pub pauses: u8,
    pub paused: bool,
    /// Its application detached before its tag was due.
    pub detached: bool,
    /// Tags that its kernel took.
    pub tags: u8,
    /// `close(2)` was called.
    pub closed: bool,
    pub fin: bool,
    /// The other's tag or error was there before ours was written.
    pub crossed: bool,
    pub seen: Seen,
}

/// What one side has read, apart from stanzas.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The other's tag, and when.
    pub tag: Option<Duration>,
    /// Its `close_notify`, or the end of TCP.
    pub end: bool,
    /// The end of TCP.
    pub eof: bool,
    /// A RST.
    pub reset: bool,
    /// What is no XML.
    pub garbage: bool,
}

impl Side {
    /// The first parses, and the second has its engine do that.
    fn new(number: usize, rules: &Rules) -> Self {
        let options = CloseOptions::new().half_close(rules.half_close[number]).header(HEADER);
        let mut engine = Engine::new(&options, rules.tls).unwrap();
        engine.tell(Fact::HeaderOut, Duration::ZERO).unwrap();
        Self {
            engine,
            parses: number == 1,
            left: rules.stanzas,
            sent: 0,
            delivered: 0,
            inside: false,
            half_close: rules.half_close[number],
            queue: VecDeque::new(),
            pauses: rules.pauses,
            paused: false,
            detached: false,
            tags: 0,
            closed: false,
            fin: false,
            crossed: false,
            seen: Seen::default(),
        }
    }

    pub fn wants(&self) -> Wants {
        self.engine.wants()
    }

    /// How much its own queue holds.
    pub fn pending(&self) -> usize {
        self.queue.iter().map(|part| part.len().max(1)).sum()
    }

    /// Neither half has ended, and nothing of ours is under way.
    fn is_quiet(&self) -> bool {
        let wants = self.wants();
        wants.may_send() && wants.parse() && !wants.write() && !self.inside
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub sides: [Side; 2],
    /// Takes the place of the second engine.
    pub peer: Option<Peer>,
    /// From each side to the other.
    pub wires: [VecDeque<Part>; 2],
    pub now: Duration,
    /// Something happened after which an end need not be clean.
    pub disturbed: bool,
}

impl World {
    pub fn new(rules: &Rules) -> Self {
        let sides = [Side::new(0, rules), Side::new(1, rules)];
        let wires = [VecDeque::new(), VecDeque::new()];
        Self { sides, peer: None, wires, now: Duration::ZERO, disturbed: false }
    }

    /// One engine, and a peer that others have built.
    pub fn against(behaviour: Behaviour, rules: &Rules) -> Self {
        Self { peer: Some(Peer::new(behaviour, rules.stanzas)), ..Self::new(rules) }
    }

    /// How many of the sides are engines.
    pub fn engines(&self) -> usize {
        if self.peer.is_some() { 1 } else { 2 }
    }

    /// All that can happen next.
    pub fn moves(&self, rules: &Rules) -> Vec<Move> {
        let mut moves = Vec::new();
        for side in (0..self.engines()).filter(|side| !self.sides[*side].closed) {
            self.moves_of(side, rules, &mut moves);
        }
        if let Some(peer) = &self.peer {
            let room = self.wires[1].len() < rules.room || self.sides[0].closed;
            let acts = peer.acts(!self.wires[0].is_empty()).into_iter();
            moves.extend(acts.filter(|act| room || !matches!(act, Act::Say(_))).map(Move::Peer));
        }
        let is_plain = !self.sides[0].engine.report().tls.used;
        let is_quiet = self.sides.iter().all(Side::is_quiet) && self.wires.iter().all(VecDeque::is_empty);
        if rules.starttls && is_plain && is_quiet {
            moves.push(Move::StartTls);
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

    /// What the application and the kernel of one side can do.
    fn moves_of(&self, number: usize, rules: &Rules, moves: &mut Vec<Move>) {
        let side = &self.sides[number];
        let wants = side.wants();
        if wants.may_send() {
            if side.left > 0 {
                moves.push(Move::Send(number));
            }
            moves.push(Move::Finish(number));
            if rules.stops {
                moves.push(Move::Detach(number));
            }
        }
        if rules.stops && !wants.over() {
            moves.push(Move::Cancel(number));
        }
        let has_output = wants.write() && !side.engine.clone().output().is_empty();
        let has_room = self.wires[number].len() < rules.room || self.sides[1 - number].closed || self.is_reset(number);
        if has_output && if rules.queue == 0 { has_room } else { side.queue.len() < rules.queue } {
            moves.push(Move::Write(number));
        }
        if wants.write() && !side.queue.is_empty() && has_room {
            moves.push(Move::Flush(number));
        }
        if wants.read() && !self.wires[1 - number].is_empty() {
            moves.push(Move::Read(number));
        }
        if side.paused {
            moves.push(Move::Pause(number, false));
        } else if side.pauses > 0 && wants.read() {
            moves.push(Move::Pause(number, true));
        }
        if wants.notify() && !wants.over() {
            moves.push(Move::Notify(number));
        }
        if wants.shut() {
            moves.push(Move::Shut(number));
        }
        if wants.over() {
            moves.push(Move::Close(number, false));
            if self.has_unread(number) {
                moves.push(Move::Close(number, true));
            }
        }
    }

    /// A RST has come to this side.
    pub fn is_reset(&self, side: usize) -> bool {
        self.wires[1 - side].contains(&Part::Reset)
    }

    /// `close(2)` would find something that was not read.
    pub fn has_unread(&self, side: usize) -> bool {
        self.wires[1 - side].iter().any(|part| part.is_data())
    }
}
