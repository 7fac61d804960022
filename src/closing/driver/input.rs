//! What the peer sends: read, framed, and handed on.

use super::Driver;
use crate::{
    framing::{Frame, Malformed},
    handshake::Event,
    stream_error::StreamError,
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
        if self.has_input() && self.handshake.expects_stanzas() {
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
        if self.has_input() && !self.handshake.expects_stanzas() {
            let bytes = self.input.rest().len();
            self.tell(Event::Received(bytes));
            self.input.take(bytes);
        }
    }

    /// Those that wait hold no memory for a large stanza that has come already.
    fn shrink(&mut self) {
        if let Some(framer) = &mut self.framer {
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
        while self.has_input() && self.handshake.expects_stanzas() {
            self.frame(None);
        }
        take(self.input.handled(before - self.input.rest().len()));
        true
    }

    /// Hands the input to a parser of the caller's (`on_data` in C), which answers whether it saw the peer's closing tag.
    #[cfg(feature = "capi")]
    pub(crate) fn parse(&mut self, parse: &mut dyn FnMut(&[u8]) -> Parsed) {
        let bytes = self.input.rest().len();
        self.tell(Event::Received(bytes));
        let parsed = parse(self.input.rest());
        self.look_at_clock(); // that, too, may have taken time
        self.parser_inside = matches!(parsed, Parsed::Inside);
        match parsed {
            Parsed::Open | Parsed::Inside => {}
            Parsed::PeerClosed => self.tell(Event::PeerClosed),
            Parsed::Malformed => self.refuse(Malformed::NotWellFormed),
            Parsed::Stop => self.tell(Event::Cancel),
        }
        self.input.take(bytes);
    }

    /// What came is no XMPP stream.
    fn refuse(&mut self, malformed: Malformed) {
        self.tell(Event::Malformed);
        self.insert_error(&StreamError::defined(malformed.condition()));
    }

    /// Frames the input up to the next event; true when that was a stanza.
    pub(crate) fn frame(&mut self, take: Option<Take<'_>>) -> bool {
        self.look_at_clock(); // whoever took the last stanza may have taken his time
        let Some(framer) = &mut self.framer else { return false };
        let now = self.now;
        let (mut rest, taken) = self.input.parts();
        let before = rest.len();
        let frame = framer.next(&mut rest);
        let consumed = before - rest.len();
        *taken += consumed;
        let _ = self.handshake.handle(Event::Received(consumed), now);
        let event = match frame {
            None => return false,
            Some(Frame::Header(header)) => {
                self.header = Scope::of(header);
                return self.frame(take); // `<stream:stream/>` is over without another byte (F-05)
            }
            Some(Frame::Stanza(stanza)) if xml::is_stream_error(stanza, &self.header) => {
                // Only the first is read: a peer can send as many as it likes.
                self.stream_error.get_or_insert_with(|| xml::stream_error(stanza, &self.header));
                Event::StreamError
            }
            Some(Frame::Stanza(stanza)) => {
                let _ = self.handshake.handle(Event::Stanza, now);
                if let Some(take) = take {
                    take(stanza, &self.header);
                }
                return true;
            }
            Some(Frame::Oversize(_)) => Event::Oversize,
            Some(Frame::End) => Event::PeerClosed,
            Some(Frame::Malformed(malformed)) => {
                self.refuse(malformed);
                return false;
            }
        };
        self.tell(event);
        false
    }
}
