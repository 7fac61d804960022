//! What can happen next in a world, and what the world is then.

use std::{fmt, mem, time::Duration};

use xmpp_close::{Condition, Fact, Found, StreamError, Tls};

use crate::{
    part::{Part, STANZA},
    peer::Act,
    world::World,
};

/// Half of the total, as it is by default.
const ANSWER: Duration = Duration::from_secs(15);

/// What can happen next. The number is the side that it happens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    Send(usize),
    Finish(usize),
    Detach(usize),
    Cancel(usize),
    /// One part is taken: by the kernel, or by the application's own queue.
    Write(usize),
    /// The kernel takes one part of that queue.
    Flush(usize),
    /// One part is read and handled.
    Read(usize),
    /// The application does not read for a while, or does again.
    Pause(usize, bool),
    Notify(usize),
    Shut(usize),
    /// `close(2)`; true: what is under way to the peer is destroyed, if it can be.
    Close(usize, bool),
    /// Both sides go on over TLS, with new headers.
    StartTls,
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
            Self::Write(side) => write!(f, "a part of {}'s output is taken", name(side)),
            Self::Flush(side) => write!(f, "{}'s kernel takes a part of its queue", name(side)),
            Self::Read(side) => write!(f, "{} reads a part", name(side)),
            Self::Pause(side, true) => write!(f, "{} pauses its reading", name(side)),
            Self::Pause(side, false) => write!(f, "{} reads again", name(side)),
            Self::Notify(side) => write!(f, "{} sends close_notify", name(side)),
            Self::Shut(side) => write!(f, "{} calls shutdown(SHUT_WR)", name(side)),
            Self::Close(side, false) => write!(f, "{} calls close(2)", name(side)),
            Self::Close(side, true) => {
                write!(f, "{} calls close(2), and the RST destroys what is under way", name(side))
            }
            Self::StartTls => f.write_str("both go on over TLS"),
            Self::Break(false) => f.write_str("the connection breaks"),
            Self::Break(true) => f.write_str("the connection breaks, and what is under way is lost"),
            Self::Peer(act) => write!(f, "the peer: {act:?}"),
            Self::Tick => f.write_str("time passes until the next limit"),
        }
    }
}

impl World {
    pub fn make(&mut self, step: Move, has_queue: bool) {
        let now = self.now;
        match step {
            Move::Send(side) => {
                let side = &mut self.sides[side];
                side.left -= 1;
                if side.engine.send(STANZA).is_ok() {
                    side.sent += 1;
                }
            }
            Move::Finish(side) => {
                // An application that does not read until it would block tells how much lies unread.
                let lies_there = &self.wires[1 - side];
                let unread = lies_there.iter().map(|part| part.len() as u64).sum();
                self.sides[side].crossed |= lies_there.iter().any(|part| matches!(part, Part::Tag | Part::Error));
                self.tell(side, Fact::Arrived(unread));
                self.sides[side].engine.finish(None, now);
            }
            Move::Detach(side) => {
                self.sides[side].detached = true;
                self.sides[side].engine.detach(now);
                self.disturbed = true;
            }
            Move::Cancel(side) => {
                self.tell(side, Fact::Cancel);
                self.disturbed = true;
            }
            Move::Write(side) => self.write(side, has_queue),
            Move::Flush(side) => self.flush(side),
            Move::Read(side) => self.read(side),
            Move::Pause(side, paused) => {
                let me = &mut self.sides[side];
                (me.paused, me.pauses) = (paused, me.pauses - u8::from(paused));
                self.tell(side, Fact::Paused(paused));
                let me = &self.sides[side];
                assert!(!paused || !me.wants().read(), "it reads while it pauses");
                assert!(paused || me.wants().read() || me.wants().over() || me.seen.eof, "it does not read again");
            }
            Move::Notify(side) => {
                self.may_end_output(side);
                self.tell(side, Fact::DidNotify);
                if has_queue {
                    self.sides[side].queue.push_back(Part::Notify);
                    let pending = self.sides[side].pending();
                    self.sides[side].engine.wrote(0, pending, now);
                } else {
                    self.put(side, Part::Notify);
                }
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
            Move::StartTls => (0..2).for_each(|side| self.tell(side, Fact::Restarted { tls: Tls::Yes })),
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
            Move::Tick => self.tick(),
        }
    }

    fn tick(&mut self) {
        self.disturbed = true;
        let due = self.sides.iter().filter_map(|side| side.engine.deadline()).min();
        self.now = self.now.max(due.expect("a limit"));
        for side in &mut self.sides {
            side.engine.tick(self.now);
            assert!(side.engine.deadline().is_none_or(|limit| limit > self.now), "a limit that moves nothing");
            if side.seen.tag.is_some_and(|at| self.now >= at + ANSWER) {
                assert!(!side.engine.wants().may_send(), "the peer's tag is not answered in time");
            }
        }
    }

    fn tell(&mut self, side: usize, fact: Fact) {
        self.sides[side].engine.tell(fact, self.now).unwrap();
    }

    /// No output ends before the peer's tag, or its end, has come (unless that was asked for), nor while some is left.
    fn may_end_output(&self, side: usize) {
        let me = &self.sides[side];
        let asked = me.half_close && me.tags == 1 && !me.engine.report().tls.used;
        let allowed = me.seen.tag.is_some() || me.seen.end || me.seen.garbage || self.disturbed || asked;
        assert!(allowed, "our output ends before the peer's tag");
        assert!(me.queue.is_empty(), "our output ends while some of it is in the application's queue");
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
        if !mem::replace(&mut self.sides[side].fin, true) && !self.sides[1 - side].closed {
            self.put(side, Part::Fin);
        }
    }

    fn write(&mut self, side: usize, has_queue: bool) {
        let part = Part::first(self.sides[side].engine.output());
        if has_queue {
            let me = &mut self.sides[side];
            me.queue.push_back(part);
            let pending = me.pending();
            return me.engine.wrote(part.len(), pending, self.now);
        }
        if self.kernel_takes(side, part) {
            self.sides[side].engine.wrote(part.len(), 0, self.now);
        }
    }

    fn flush(&mut self, side: usize) {
        let part = self.sides[side].queue[0];
        if self.kernel_takes(side, part) {
            let me = &mut self.sides[side];
            me.queue.pop_front();
            let pending = me.pending();
            me.engine.wrote(0, pending, self.now);
        }
    }

    /// False: writing fails.
    fn kernel_takes(&mut self, side: usize, part: Part) -> bool {
        if self.is_reset(side) {
            self.sides[side].seen.reset = true;
            self.tell(side, Fact::WriteFailed(32));
            return false;
        }
        assert!(self.sides[side].tags == 0 || part == Part::Notify, "something is written behind the tag");
        self.sides[side].tags += u8::from(part == Part::Tag);
        self.put(side, part);
        true
    }

    fn read(&mut self, side: usize) {
        let part = self.wires[1 - side].pop_front().expect("a part");
        let now = self.now;
        let me = &mut self.sides[side];
        let (parse, inside) = (me.wants().parse(), me.inside);
        me.crossed |= me.tags == 0 && parse && matches!(part, Part::Tag | Part::Error);
        if parse {
            me.inside = part == Part::Begins || inside && part != Part::Ends;
            me.delivered += u8::from(part == Part::Ends);
            me.seen.garbage |= part == Part::Garbage;
            if part == Part::Tag {
                me.seen.tag = Some(now);
            }
        }
        match part {
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
            _ if me.parses => self.take_in(side, part, parse),
            _ => {
                assert_eq!(me.engine.received(part.len(), now), parse);
                let fact = match part {
                    Part::Tag => Fact::PeerClosed { behind: 0 },
                    Part::Error => Fact::StreamError(StreamError::new(Condition::NotWellFormed).unwrap()),
                    Part::Garbage => Fact::Malformed,
                    Part::Ends => Fact::Stanzas(1),
                    _ => return,
                };
                if parse {
                    self.tell(side, fact);
                }
            }
        }
    }

    /// The engine itself finds what it is.
    fn take_in(&mut self, side: usize, part: Part, parse: bool) {
        let (engine, mut data) = (&mut self.sides[side].engine, part.bytes());
        let expected = match (parse, part) {
            (true, Part::Header | Part::Ends | Part::Tag | Part::Error | Part::Garbage) => Some(part),
            _ => None,
        };
        let found = engine.input(&mut data, self.now).map(|found| match found {
            Found::Header(_) => Part::Header,
            Found::Stanza(_) => Part::Ends,
            Found::StreamError(_) => Part::Error,
            Found::PeerClosed => Part::Tag,
            Found::Malformed(_) => Part::Garbage,
            other => panic!("{other:?}"),
        });
        assert_eq!(found, expected, "something else was found than came");
        assert!(engine.input(&mut data, self.now).is_none() && data.is_empty());
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
        if self.sides[side].wants().notify() {
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
}
