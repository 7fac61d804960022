//! What the peer sends: read, framed, and handed on.

use super::{Driver, Incoming};
use crate::{
    engine::Fact,
    framing::{Frame, Malformed},
    transport::{Interest, Transport},
    xml::{self, Scope},
};

/// Takes a stanza, and what its stream puts in scope.
pub(crate) type Take<'a> = &'a mut dyn FnMut(&[u8], &Scope);

/// How far [`Driver::step`] came.
pub(crate) enum Step {
    /// There are bytes of the peer's stream to handle.
    Input,
    /// Something moved; there may be more to do.
    Moved,
    /// Nothing can move before a direction is ready, or the next deadline.
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
    pub(crate) fn step(&mut self, patient: bool) -> Step {
        if self.has_input() && self.engine.parses() {
            return Step::Input;
        }
        self.discard();
        if self.is_done() {
            return Step::Over;
        }
        self.input.shrink();
        if patient && self.input.is_drained() {
            self.shrink(); // the read itself may wait
        }
        match self.turn(patient) {
            Some(interest) => {
                self.shrink();
                Step::Blocked(interest)
            }
            None => {
                self.discard();
                Step::Moved
            }
        }
    }

    /// Behind the end of the peer's stream there is nothing to handle, and so nothing that would be better finished before
    /// others get their turn.
    fn discard(&mut self) {
        if self.has_input() && !self.engine.parses() {
            let bytes = self.input.rest().len();
            let _ = self.engine.received(bytes, self.clock.now);
            self.note_end();
            self.input.take(bytes);
        }
    }

    /// Those that wait hold no memory for a large stanza that has come already.
    fn shrink(&mut self) {
        if let Some(framer) = &mut self.incoming.framer {
            framer.shrink();
        }
    }

    /// Makes sure that there are bytes of the peer's stream to handle, however long it takes; false when there will be
    /// no more.
    pub(crate) fn next_chunk(&mut self) -> bool {
        loop {
            match self.step(true) {
                Step::Input => return true,
                Step::Over => return false,
                Step::Moved => {}
                Step::Blocked(interest) => self.wait(interest),
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
    #[cfg(feature = "capi")]
    pub(crate) fn parse(&mut self, parse: &mut dyn FnMut(&[u8]) -> Parsed) {
        let bytes = self.input.rest().len();
        let _ = self.engine.received(bytes, self.clock.now);
        let parsed = parse(self.input.rest());
        self.look_at_clock(); // that, too, may have taken time
        self.incoming.parser_inside = matches!(parsed, Parsed::Inside);
        match parsed {
            Parsed::Open | Parsed::Inside => {}
            Parsed::PeerClosed => self.tell(Fact::PeerClosed { behind: 0 }),
            Parsed::Malformed => self.refuse(Malformed::NotWellFormed),
            Parsed::Stop => self.tell(Fact::Cancel),
        }
        self.input.take(bytes);
    }

    /// What came is no XMPP stream.
    pub(super) fn refuse(&mut self, malformed: Malformed) {
        if self.engine.may_send() {
            self.compose();
        }
        self.engine.malformed(malformed.condition(), self.clock.now);
        self.note_end();
    }

    /// Frames the input up to the next event; true when that was a stanza.
    pub(crate) fn frame(&mut self, take: Option<Take<'_>>) -> bool {
        self.look_at_clock(); // whoever took the last stanza may have taken his time
        let now = self.clock.now;
        let Incoming { framer: Some(framer), header, .. } = &mut self.incoming else { return false };
        let (mut rest, taken) = self.input.parts();
        let before = rest.len();
        let frame = framer.next(&mut rest);
        let consumed = before - rest.len();
        *taken += consumed;
        let _ = self.engine.received(consumed, now);
        match frame {
            None => {}
            Some(Frame::Header(tag)) => {
                *header = Scope::of(tag);
                return self.frame(take); // `<stream:stream/>` is over without another byte (F-05)
            }
            // Only the first is read: a peer can send as many as it likes.
            Some(Frame::Stanza(stanza)) if self.engine.has_stream_error() && xml::is_stream_error(stanza, header) => {}
            Some(Frame::Stanza(stanza)) if xml::is_stream_error(stanza, header) => {
                let error = xml::stream_error(stanza, header);
                self.compose();
                self.engine.peer_error(error, now);
                self.note_end();
            }
            Some(Frame::Stanza(stanza)) => {
                let _ = self.engine.tell(Fact::Stanzas(1), now);
                if let Some(take) = take {
                    take(stanza, header);
                }
                return true;
            }
            Some(Frame::Oversize(_)) => self.tell(Fact::Oversize(1)),
            Some(Frame::End) => self.tell(Fact::PeerClosed { behind: 0 }),
            Some(Frame::Malformed(malformed)) => self.refuse(malformed),
        }
        false
    }
}
