//! What the peer sends: it is read, framed, and handed on.

use std::time::Duration;

use super::{Blocked, Driver};
#[cfg(feature = "capi")]
use crate::engine::Fact;
use crate::{
    engine::Found,
    transport::{Interest, PAUSE, Transport, holds_back},
    xml::Stanza,
};

/// How many steps one turn has at most.
const STEPS: u32 = 32;
/// After how many bytes of input a turn ends.
const BYTES: usize = 256 * 1024;
/// After how many stanzas that were handed over one by one a turn ends. One read may bring thousands of tiny ones.
const STANZAS: u32 = 256;

/// What a turn has used up: all that is done until the other streams of an event loop have their turn.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spent {
    steps: u32,
    bytes: usize,
    stanzas: u32,
}

impl Spent {
    fn is_all(self) -> bool {
        self.steps >= STEPS || self.bytes >= BYTES || self.stanzas >= STANZAS
    }
}

/// Takes a stanza.
pub(crate) type Take<'a> = &'a mut dyn FnMut(Stanza<&str>);

/// How far [`Driver::step`] came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There are bytes of the peer's stream to handle.
    Input,
    /// Something moved; there may be more to do.
    Moved,
    /// Nothing can move before the next deadline, or before one of these directions is ready. Both of them would block now.
    Blocked(Interest),
    /// The close is over.
    Over,
}

/// What the application's own parser made of some bytes.
#[cfg(feature = "capi")]
pub(crate) enum Parsed {
    /// The peer's stream goes on. It is between stanzas, or the parser cannot tell.
    Open,
    /// The peer's stream goes on, and is inside an element.
    Inside,
    /// The parser saw the peer's closing tag.
    PeerClosed,
    /// The parser refuses what the peer sent.
    Malformed,
    /// The application stops the close.
    Stop,
}

#[cfg(feature = "capi")]
impl Parsed {
    fn fact(&self) -> Option<Fact> {
        match self {
            Self::Open | Self::Inside => None,
            Self::PeerClosed => Some(Fact::PeerClosed { behind: 0 }),
            Self::Malformed => Some(Fact::Malformed),
            Self::Stop => Some(Fact::Cancel),
        }
    }
}

impl<T: Transport> Driver<T> {
    /// Does one step. With `patient`, a read may wait until the next deadline.
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

    /// Does what can be done without waiting, until the turn of which `spent` is used up is over. After each step it calls
    /// `handle`, which learns whether there is input to handle, and returns true when that is enough for now: a stanza was
    /// found, and the same turn goes on with the next call.
    pub(crate) fn advance(&mut self, spent: &mut Spent, mut handle: impl FnMut(&mut Self, bool) -> bool) {
        let waited = self.blocked.map(|blocked| blocked.at);
        while !spent.is_all() {
            match self.step(false) {
                Progress::Input => {
                    let before = self.input.rest().len();
                    let enough = handle(self, true);
                    spent.bytes += before.saturating_sub(self.input.rest().len());
                    if enough {
                        spent.stanzas += 1;
                        return;
                    }
                }
                Progress::Moved => {
                    if handle(self, false) {
                        return;
                    }
                    spent.steps += 1;
                }
                Progress::Blocked(interest) => {
                    self.judge(waited.filter(|_| spent.steps == 0 && spent.bytes == 0));
                    return self.watch(interest);
                }
                Progress::Over => return,
            }
        }
    }

    /// Tells the pace whether the last wait was of use. `since` says when it began, if nothing could be moved after it; a
    /// wait that was shorter than a pause and moved nothing was fruitless.
    fn judge(&mut self, since: Option<Duration>) {
        match since {
            Some(since) if self.clock.now < since + PAUSE => self.pace.fruitless(),
            _ => self.pace.moved(),
        }
    }

    /// Notes what is waited for on the descriptor, if the transport has one. After too many fruitless waits, nothing: a pause
    /// takes the place of the wait.
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
        if self.plan.first_step && !self.handles_residual() {
            self.plan.first_step = false;
            self.input.shrink();
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
            self.engine.shrink(); // `turn` may wait inside the read, so memory is given back before
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

    /// Discards the input behind the end of the peer's stream. Nobody handles these bytes, so nothing has to be finished
    /// before other streams of a batch get their turn.
    fn discard(&mut self) {
        if self.has_input() && !self.engine.parses() {
            let bytes = self.input.rest().len();
            let _ = self.engine.received(bytes, self.clock.now);
            self.note();
            self.input.take(bytes);
        }
    }

    /// Blocks until there are bytes of the peer's stream to handle. Returns false when no more will come.
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

    /// Blocks, and hands the next late stanza to `take`. Returns false when no more will come.
    pub(crate) fn next_stanza(&mut self, take: Take<'_>) -> bool {
        while self.next_chunk() {
            if self.frame(Some(&mut *take)) {
                return true;
            }
        }
        false
    }

    /// Blocks, and hands the next bytes of the peer's stream to `take`, up to and with its closing tag. Returns false when
    /// no more will come.
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

    /// Hands the input to the application's own parser (`on_data` in C). The parser may call functions of the stream;
    /// `carry_out` does what they asked for, before what the parser returned takes effect.
    #[cfg(feature = "capi")]
    pub(crate) fn parse(&mut self, parse: &mut dyn FnMut(&[u8]) -> Parsed, carry_out: &mut dyn FnMut(&mut Self)) {
        let bytes = self.input.rest().len();
        let _ = self.engine.received(bytes, self.clock.now);
        let parsed = parse(self.input.rest());
        self.look_at_clock(); // the parser may have taken time
        self.engine.set_inside(matches!(parsed, Parsed::Inside));
        carry_out(self);
        if let Some(fact) = parsed.fact() {
            self.note_fact(fact);
        }
        self.input.take(bytes);
    }

    /// The application's own parser stands here before the first step.
    #[cfg(feature = "capi")]
    pub(crate) fn stands(&mut self, parsed: &Parsed) {
        self.engine.set_inside(matches!(parsed, Parsed::Inside));
        if let Some(fact) = parsed.fact() {
            // `note` comes later: nothing can be logged before the driver knows where to log.
            let _ = self.engine.tell(fact, self.clock.now);
        }
    }

    /// Finds what is next in the input. When the peer's stream has ended, the caller must then call [`note`](Self::note).
    pub(crate) fn find(&mut self) -> Option<Found<'_>> {
        self.look_at_clock(); // the application may have taken time for the last stanza
        let (mut rest, taken) = self.input.parts();
        let before = rest.len();
        let found = self.engine.input(&mut rest, self.clock.now);
        *taken += before - rest.len();
        found
    }

    /// Frames the input up to the next thing found; true when that was a stanza, which `take` gets.
    pub(crate) fn frame(&mut self, take: Option<Take<'_>>) -> bool {
        let is_stanza = loop {
            match self.find() {
                Some(Found::Header(_)) => {} // behind `<stream:stream/>` the end is found without another byte (F-05)
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
