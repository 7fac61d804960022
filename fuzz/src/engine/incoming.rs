//! What comes from the peer, for an engine that parses it. The framer, which has targets of its own, says what each
//! piece is.

use xmpp_close::{Fact, Frame, Framer, Initiator, Outcome, Tls};

use super::{Run, TAG};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Header,
    Stanza,
    Oversize,
    Error,
    End,
    Malformed,
}

/// The application's framer, and what its header says.
pub struct Parser {
    framer: Framer,
    /// The prefix `stream` stands for streams.
    knows_errors: bool,
}

impl Parser {
    /// As the engine's own is at first. Where our header has not been sent, the peer's may still come.
    pub(super) fn new(our_header: &str) -> Self {
        let framer = if our_header.is_empty() { Framer::inside(None) } else { Framer::perhaps_inside() };
        Self { framer: framer.limit(10_000), knows_errors: true }
    }

    /// What is found next, and the condition if that is malformed.
    fn next(&mut self, input: &mut &[u8]) -> Option<(Kind, &'static str)> {
        let found = match self.framer.next(input)? {
            Frame::Header(xml) => {
                self.knows_errors = xml == HEADER.as_bytes();
                (Kind::Header, "")
            }
            frame => Kind::of(frame, self.knows_errors),
        };
        Some(found)
    }
}

impl Kind {
    fn of(frame: Frame<'_>, knows_errors: bool) -> (Self, &'static str) {
        match frame {
            Frame::Header(_) => (Self::Header, ""),
            Frame::Stanza(xml) if knows_errors && xml.starts_with(b"<stream:error") => (Self::Error, ""),
            Frame::Stanza(_) => (Self::Stanza, ""),
            Frame::Oversize(_) => (Self::Oversize, ""),
            Frame::End => (Self::End, ""),
            Frame::Malformed(why) => (Self::Malformed, why.condition().as_str()),
            other => panic!("{other:?}"),
        }
    }
}

impl Run<'_> {
    pub(super) fn input(&mut self) {
        let large = "x".repeat(9000);
        let pieces = [
            "<a/>",
            "<a>",
            "</a>",
            "<b>x",
            "</b>",
            " ",
            "<",
            "/a>",
            HEADER,
            TAG,
            "</stream:",
            "stream>",
            &large,
            "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
            "\0",
            "<!-- -->",
        ];
        let many = 1 + usize::from(self.bytes.byte() % 4);
        let input: String = (0..many).map(|_| pieces[usize::from(self.bytes.byte()) % pieces.len()]).collect();
        let mut parser = self.parser.take().expect("an engine that parses");
        let (mut rest, mut found) = (input.as_bytes(), Vec::new());
        loop {
            let parses = self.engine.rust.wants().parse();
            let over = self.engine.rust.wants().over();
            let before = rest.len();
            let kind = self.engine.input(&mut rest, self.now);
            let count = (before - rest.len()) as u64;
            if parses {
                self.model.receives(count, self.now);
            } else if !over {
                self.model.discarded += count;
            }
            let mut same = &input.as_bytes()[input.len() - before..];
            let expected = if parses { parser.next(&mut same) } else { None };
            assert_eq!(kind, expected.map(|(kind, _)| kind));
            assert!(!parses || same.len() == rest.len());
            let Some((kind, condition)) = expected else { break };
            found.push(kind);
            if over {
                continue;
            }
            self.output_is_settled();
            match kind {
                Kind::Header => {}
                Kind::Stanza => self.model.stanzas += 1,
                Kind::Oversize => self.model.oversize += 1,
                Kind::Error => self.errs(),
                Kind::End => self.model.closes(0, self.now),
                Kind::Malformed => self.refuses(condition),
            }
            self.output_is_settled();
        }
        assert!(rest.is_empty());
        let inside = !parser.framer.is_over() && !parser.framer.between_stanzas();
        assert!(!self.engine.rust.wants().parse() || self.engine.rust.is_inside() == inside);
        self.engine.input_in_c(input.as_bytes(), &found, self.now);
        self.parser = Some(parser);
    }

    pub(super) fn bad(&mut self, call: u8) {
        let error = call & 32 != 0;
        if error {
            self.engine.peer_error(self.now);
        } else {
            self.tell(Fact::Malformed);
        }
        if self.wants.over() || !self.model.parses() {
            return;
        }
        if error {
            self.errs();
        } else {
            self.refuses("not-well-formed");
        }
    }

    pub(super) fn ends(&mut self, fact: Fact) {
        self.tell(fact.clone());
        if self.wants.over() {
            return;
        }
        let is_eof = matches!(fact, Fact::Eof { .. });
        let inside = matches!(fact, Fact::Eof { inside: true } | Fact::Notified { inside: true });
        let cut = inside || is_eof && self.tls != Tls::No && !self.model.notified;
        if self.model.parses() {
            self.model.voids(if cut { Outcome::Truncated } else { Outcome::PeerEof });
        }
        self.model.begins(Initiator::Peer, self.now);
        self.model.eof |= is_eof;
        self.model.notified |= !is_eof;
    }

    /// The peer's stream error came.
    pub(super) fn errs(&mut self) {
        let is_open = self.is_open();
        if is_open {
            self.output.finish("", TAG);
        }
        self.model.crosses();
        if is_open {
            self.model.finishes(Initiator::Peer, self.now);
        }
    }

    /// What came is no stream.
    pub(super) fn refuses(&mut self, condition: &str) {
        let said = format!("<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
        let is_open = self.is_open();
        if is_open {
            self.output.finish(&said, TAG);
        } else if !self.model.written && !self.model.lost {
            self.output.insert(&said);
        }
        self.model.voids(Outcome::Malformed);
        if is_open {
            self.model.finishes(Initiator::Us, self.now);
        }
    }

    fn is_open(&self) -> bool {
        !self.model.due && !self.model.lost
    }

    fn output_is_settled(&mut self) {
        self.model.settle(self.output.unsent(), self.now);
    }

    pub(super) fn restart_input(&mut self) {
        if let Some(parser) = &mut self.parser {
            parser.framer.restart();
        }
    }
}
