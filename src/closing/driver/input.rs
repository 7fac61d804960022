//! What the peer sends: read, framed, and handed on.

use std::time::Duration;

use super::{Blocked, Driver};
use crate::{
    engine::Found,
    transport::{Interest, PAUSE, Transport, holds_back},
    xml::Stanza,
};

/// How many steps, and how many bytes of what was read, make the bounded amount of work that [`Driver::advance`] does.
const STEPS: u32 = 32;
const BYTES: usize = 256 * 1024;

/// Takes a stanza.
pub(crate) type Take<'a> = &'a mut dyn FnMut(Stanza<&str>);

/// How far [`Driver::step`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There are bytes of the peer's stream to handle.
    Input,
    /// Something moved; there may be more to do.
    Moved,
    /// Nothing can move before a direction is ready, or the next deadline. Only directions that would block are told.
    Blocked(Interest),
    /// The close is over.
    Over,
}

/// What a parser of the caller's made of some bytes.
#[cfg(feature = "capi")]
pub(crate) enum Parsed {
    /// The peer's stream goes on, between stanzas or nobody knows.
    Open,
    /// It goes on, inside an element.
    Inside,
    /// It saw the peer's closing tag.
    PeerClosed,
    /// It refuses what the peer sent.
    Malformed,
    /// The close is to be stopped.
    Stop,
}

impl<T: Transport> Driver<T> {
    /// Goes one step. With `patient`, a read may wait until the next deadline.
    pub(crate) fn step(&mut self, patient: bool) -> Progress {
        self.blocked = None;
        let progress = self.try_step(patient);
        match progress {
            Progress::Blocked(on) => self.blocked = Some(Blocked { on, until: None, at: self.clock.now }),
            Progress::Over => self.blocked = Some(Blocked::default()),
            Progress::Input | Progress::Moved => {}
        }
        progress
    }

    /// Does all that can be done without waiting, a bounded amount of it. `handle` is called behind each step, with whether
    /// something was read that it is to handle, and says whether that is enough for now.
    pub(crate) fn advance(&mut self, mut handle: impl FnMut(&mut Self, bool) -> bool) {
        let (mut steps, mut bytes) = (0, 0);
        let waited = self.blocked.map(|blocked| blocked.at);
        while steps < STEPS && bytes < BYTES {
            match self.step(false) {
                Progress::Input => {
                    let before = self.input.rest().len();
                    if handle(self, true) {
                        return;
                    }
                    bytes += before - self.input.rest().len();
                }
                Progress::Moved => {
                    if handle(self, false) {
                        return;
                    }
                    steps += 1;
                }
                Progress::Blocked(interest) => {
                    self.judge(waited.filter(|_| steps == 0 && bytes == 0));
                    return self.watch(interest);
                }
                Progress::Over => return,
            }
        }
    }

    /// Nothing was moved after a wait since then, if that was so.
    fn judge(&mut self, since: Option<Duration>) {
        match since {
            Some(since) if self.clock.now < since + PAUSE => self.pace.fruitless(),
            _ => self.pace.moved(),
        }
    }

    /// What is to be waited for on the descriptor, where there is one. Nothing of it where that has ended in vain too often.
    fn watch(&mut self, interest: Interest) {
        if interest == Interest::NEITHER {
            return;
        }
        let watched = self.transport.watch(interest);
        let mut on = watched.map_or(interest, |(_, on)| on);
        let mut shows = on != Interest::NEITHER && !watched.is_some_and(|(fd, on)| on.read && holds_back(fd));
        if self.pace.wants_pause() {
            self.pace.paused();
            (on, shows) = (Interest::NEITHER, false);
        }
        let now = self.clock.now;
        self.blocked = Some(Blocked { on, until: (!shows).then(|| now + PAUSE), at: now });
    }

    fn try_step(&mut self, patient: bool) -> Progress {
        if std::mem::take(&mut self.plan.first_step) {
            self.look_at_clock();
            self.first_step();
            return Progress::Moved;
        }
        if self.has_input() && self.engine.parses() {
            return Progress::Input;
        }
        self.discard();
        if self.is_done() {
            return Progress::Over;
        }
        self.input.shrink();
        if patient && self.input.is_drained() {
            self.engine.shrink(); // the read itself may wait
        }
        match self.turn(patient) {
            Some(interest) => {
                self.engine.shrink();
                Progress::Blocked(interest)
            }
            None => {
                self.discard();
                Progress::Moved
            }
        }
    }

    /// Behind the end of the peer's stream there is nothing to handle, and so nothing that would be better finished before
    /// others get their turn.
    fn discard(&mut self) {
        if self.has_input() && !self.engine.parses() {
            let bytes = self.input.rest().len();
            let _ = self.engine.received(bytes, self.clock.now);
            self.note();
            self.input.take(bytes);
        }
    }

    /// Makes sure that there are bytes of the peer's stream to handle, however long it takes; false when there will be
    /// no more.
    pub(crate) fn next_chunk(&mut self) -> bool {
        loop {
            match self.step(true) {
                Progress::Input => return true,
                Progress::Over => return false,
                Progress::Moved => {}
                Progress::Blocked(interest) => self.wait(interest),
            }
        }
    }

    /// Hands the next late stanza to `take`; false when there will be no more.
    pub(crate) fn next_stanza(&mut self, take: Take<'_>) -> bool {
        while self.next_chunk() {
            if self.frame(Some(&mut *take)) {
                return true;
            }
        }
        false
    }

    /// Hands the next bytes of the peer's stream to `take`, up to its closing tag; false when there will be no more.
    pub(crate) fn next_bytes(&mut self, take: &mut dyn FnMut(&[u8])) -> bool {
        if !self.next_chunk() {
            return false;
        }
        let before = self.input.rest().len();
        while self.has_input() && self.engine.parses() {
            self.frame(None);
        }
        take(self.input.handled(before - self.input.rest().len()));
        true
    }

    /// Hands the input to a parser of the caller's (`on_data` in C), which answers whether it saw the peer's closing tag.
    /// What it has asked of the stream meanwhile comes first: `carry_out` does that.
    #[cfg(feature = "capi")]
    pub(crate) fn parse(&mut self, parse: &mut dyn FnMut(&[u8]) -> Parsed, carry_out: &mut dyn FnMut(&mut Self)) {
        use crate::engine::Fact;
        let bytes = self.input.rest().len();
        let _ = self.engine.received(bytes, self.clock.now);
        let parsed = parse(self.input.rest());
        self.look_at_clock(); // that, too, may have taken time
        self.engine.set_inside(matches!(parsed, Parsed::Inside));
        carry_out(self);
        match parsed {
            Parsed::Open | Parsed::Inside => {}
            Parsed::PeerClosed => self.note_fact(Fact::PeerClosed { behind: 0 }),
            Parsed::Malformed => self.note_fact(Fact::Malformed),
            Parsed::Stop => self.note_fact(Fact::Cancel),
        }
        self.input.take(bytes);
    }

    /// What is next in the input. Behind what the peer has said last, call [`note`](Self::note).
    pub(crate) fn find(&mut self) -> Option<Found<'_>> {
        self.look_at_clock(); // whoever took the last stanza may have taken his time
        let (mut rest, taken) = self.input.parts();
        let before = rest.len();
        let found = self.engine.input(&mut rest, self.clock.now);
        *taken += before - rest.len();
        found
    }

    /// Frames the input up to the next event; true when that was a stanza.
    pub(crate) fn frame(&mut self, take: Option<Take<'_>>) -> bool {
        let is_stanza = loop {
            match self.find() {
                Some(Found::Header(_)) => {} // `<stream:stream/>` is over without another byte (F-05)
                Some(Found::Stanza(stanza)) => {
                    if let Some(take) = take {
                        take(stanza);
                    }
                    break true;
                }
                _ => break false,
            }
        };
        self.note();
        is_stanza
    }
}
