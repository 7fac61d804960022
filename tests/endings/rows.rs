//! The wires, and the report that each of them must lead to.

use xmpp_close::{
    Initiator::{self, *},
    Limit::{self, *},
    Outcome::{self, *},
};

use crate::{
    case::Ending,
    far::Far,
    peer::{TAG, stanzas},
    toy_tls::FATAL_ALERT,
};

/// What a row sets beside the scripts of the peer.
#[derive(Clone, Copy, PartialEq)]
pub enum Setting {
    Plain,
    /// The application has seen the peer's tag.
    PeerClosed,
    /// The peer has closed, and we owe it a reply.
    ReplyOwed,
    /// Our last bytes do not fit into any buffer.
    BigFarewell,
    /// The application stops at the first late stanza.
    Stop,
    /// TCP's output ends right behind our tag.
    HalfClose,
}
use Setting::*;

impl Setting {
    pub fn peer_closed(self) -> bool {
        matches!(self, PeerClosed | ReplyOwed)
    }
}

/// What a row runs over.
#[derive(Clone, Copy)]
pub enum Line {
    Tcp,
    Tls,
    Both,
}
use Line::*;

impl Line {
    /// Whether it is TLS.
    pub fn transports(self) -> &'static [bool] {
        match self {
            Tcp => &[false],
            Tls => &[true],
            Both => &[false, true],
        }
    }
}

pub struct Row {
    pub name: &'static str,
    pub line: Line,
    pub setting: Setting,
    /// What has arrived before we close.
    pub before: fn() -> String,
    /// What the peer does from then on.
    pub script: fn(&mut Far),
    pub ends: Ending,
}

const fn row(name: &'static str, line: Line, setting: Setting, script: fn(&mut Far), ends: Ending) -> Row {
    Row { name, line, setting, before: String::new, script, ends }
}

impl Row {
    const fn behind(self, before: fn() -> String) -> Self {
        Self { before, ..self }
    }
}

const OURS: (bool, bool) = (true, false);
const THEIRS: (bool, bool) = (false, true);
const BOTH: (bool, bool) = (true, true);

/// With this many stanzas, and bytes up to their end.
const fn ends(outcome: Outcome, initiator: Initiator, tags: (bool, bool), stanzas: u64, bytes_read: u64) -> Ending {
    let alerts = (false, false, false); // as the first API says
    let initiator = Some(initiator);
    Ending { outcome, initiator, tags, stanzas, bytes_read, bytes_after_tag: 0, limit: None, error: false, alerts }
}

impl Ending {
    const fn by(self, limit: Limit) -> Self {
        Self { limit: Some(limit), ..self }
    }

    const fn with_error(self) -> Self {
        Self { error: true, ..self }
    }

    const fn and_behind(self, bytes_after_tag: u64) -> Self {
        Self { bytes_after_tag, ..self }
    }
}

const ERROR: &str = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
const ERROR_LEN: u64 = ERROR.len() as u64;
const TAG_LEN: u64 = TAG.len() as u64;

#[rustfmt::skip]
pub const ROWS: [Row; 40] = [
    row("both tags, ours first", Both, Plain, |far| { far.read_tag().send("<message/>").send(TAG).notify().expect_end(); },
        ends(Clean, Us, BOTH, 1, 10 + TAG_LEN)),
    row("both tags, theirs first", Both, PeerClosed, |far| { far.read_tag().notify().expect_end(); },
        ends(Clean, Peer, BOTH, 0, 0)),
    row("both tags, theirs first, a reply is owed", Both, ReplyOwed, |far| { far.read_tag().got("<r/>").notify().expect_end(); },
        ends(Clean, Peer, BOTH, 0, 0)),
    row("both tags, and bytes behind theirs", Both, Plain, |far| { far.read_tag().send([TAG, "<x/>"].concat()).notify().expect_end(); },
        ends(Clean, Us, BOTH, 0, TAG_LEN).and_behind(4)),
    row("both tags, and their half-close", Tcp, Plain, |far| { far.read_tag().send(TAG).half_close().expect_end(); },
        ends(Clean, Us, BOTH, 0, TAG_LEN)),
    row("both tags, behind our half-close", Tcp, HalfClose, |far| { far.expect_end().send("<message/>").send(TAG); },
        ends(Clean, Us, BOTH, 1, 10 + TAG_LEN)),
    row("both tags, and TCP does not end", Both, Plain, |far| far.read_tag().send(TAG).notify().hold(),
        ends(Clean, Us, BOTH, 0, TAG_LEN).by(Linger)),
    row("both tags, and TCP ends without close_notify", Tls, Plain, |far| { far.read_tag().send(TAG); },
        ends(Clean, Us, BOTH, 0, TAG_LEN)),
    row("both tags, and a failure of TLS", Tls, Plain, |far| far.read_tag().send(TAG).read_notify().send(FATAL_ALERT).hold(),
        ends(Clean, Us, BOTH, 0, TAG_LEN)),
    // What has arrived before our tag is sent.
    row("their tag had arrived, and ours is blocked", Both, BigFarewell, |far| { far.read_tag().notify().expect_end(); },
        ends(Clean, Crossing, BOTH, 0, TAG_LEN)).behind(|| TAG.to_owned()),
    row("their tag had arrived", Both, Plain, |far| { far.read_tag().notify().expect_end(); },
        ends(Clean, Crossing, BOTH, 0, TAG_LEN)).behind(|| TAG.to_owned()),
    row("stanzas and their tag had arrived", Both, Plain, |far| { far.read_tag().notify().expect_end(); },
        ends(Clean, Crossing, BOTH, 10, 440 + TAG_LEN)).behind(|| stanzas(10) + TAG),
    row("more than one read gives, and their tag had arrived", Tcp, Plain, |far| { far.read_tag().expect_end(); },
        ends(Clean, Crossing, BOTH, 1000, 45_890 + TAG_LEN)).behind(|| stanzas(1000) + TAG),
    row("their error and their tag had arrived", Both, Plain, |far| { far.read_tag().notify().expect_end(); },
        ends(Clean, Crossing, BOTH, 0, ERROR_LEN + TAG_LEN).with_error()).behind(|| ERROR.to_owned() + TAG),
    row("their error had arrived", Both, Plain, |far| { far.read_tag().send(TAG).notify().expect_end(); },
        ends(Clean, Crossing, BOTH, 0, ERROR_LEN + TAG_LEN).with_error()).behind(|| ERROR.to_owned()),
    row("half of their tag had arrived", Both, Plain, |far| { far.read_tag().send("eam>").notify().expect_end(); },
        ends(Clean, Us, BOTH, 0, TAG_LEN)).behind(|| "</stream:str".to_owned()),
    row("a stanza had arrived", Both, Plain, |far| { far.read_tag().send(TAG).notify().expect_end(); },
        ends(Clean, Us, BOTH, 1, 10 + TAG_LEN)).behind(|| "<message/>".to_owned()),
    row("half of a stanza had arrived", Both, Plain, |far| { far.read_tag().send("e/>").send(TAG).notify().expect_end(); },
        ends(Clean, Us, BOTH, 1, 10 + TAG_LEN)).behind(|| "<messag".to_owned()),
    row("nothing but a tag came", Both, Plain, |far| { far.read_tag().send(TAG).notify().expect_end(); },
        ends(Clean, Us, BOTH, 0, TAG_LEN)),
    row("their error, and their tag", Both, Plain, |far| { far.read_tag().send(ERROR).send(TAG).notify().expect_end(); },
        ends(Clean, Us, BOTH, 0, ERROR_LEN + TAG_LEN).with_error()),
    row("their error, and an end", Tcp, Plain, |far| { far.read_tag().send(ERROR); },
        ends(PeerEof, Us, OURS, 0, ERROR_LEN).with_error()),
    row("an end between stanzas", Tcp, Plain, |far| { far.read_tag().send("<message/>"); },
        ends(PeerEof, Us, OURS, 1, 10)),
    row("an end between stanzas by close_notify", Tls, Plain, |far| { far.read_tag().send("<message/>").notify().expect_end(); },
        ends(PeerEof, Us, OURS, 1, 10)),
    row("an end inside a stanza", Both, Plain, |far| { far.read_tag().send("<message/><message><body>"); },
        ends(Truncated, Us, OURS, 1, 25)),
    row("an end inside a stanza by close_notify", Tls, Plain, |far| { far.read_tag().send("<message/><message><body>").notify().expect_end(); },
        ends(Truncated, Us, OURS, 1, 25)),
    row("an end inside the tag", Both, Plain, |far| { far.read_tag().send("</stream:stream"); },
        ends(Truncated, Us, OURS, 0, 15)),
    row("an end of TCP without close_notify", Tls, Plain, |far| { far.read_tag().send("<message/>"); },
        ends(Truncated, Us, OURS, 1, 10)),
    row("a reset", Both, Plain, |far| far.read_tag().reset(),
        ends(Reset, Us, OURS, 0, 0)),
    row("silence", Both, Plain, |far| far.read_tag().hold(),
        ends(TimedOut, Us, OURS, 0, 0).by(Total)),
    row("silence behind a stanza", Both, Plain, |far| far.read_tag().send("<message/>").hold(),
        ends(TimedOut, Us, OURS, 1, 10).by(NoProgress)),
    row("a peer that does not read", Both, BigFarewell, |far| far.hold(),
        ends(Stalled, Us, (false, false), 0, 0).by(Total)),
    row("a peer that closes, and does not read", Both, BigFarewell, |far| far.hold(),
        ends(Stalled, Crossing, THEIRS, 0, TAG_LEN).by(Total)).behind(|| TAG.to_owned()),
    row("what is not XML", Both, Plain, |far| { far.read_tag().send("<a></b>").notify().expect_end(); },
        ends(Malformed, Us, OURS, 0, 7)),
    // Whether a stream error stands in front of our tag is not compared where that had arrived: a started stream, and a
    // loop that reads first, know of it before their tag is written; whatever writes its tag at once does not.
    row("what is not XML had arrived", Both, Plain, |far| { far.read_tag().notify().expect_end(); },
        ends(Malformed, Us, OURS, 0, 7)).behind(|| "<a></b>".to_owned()),
    row("what is not XML behind stanzas", Both, Plain, |far| { far.read_tag().send("<message/><iq/><a></b>").notify().expect_end(); },
        ends(Malformed, Us, OURS, 2, 22)),
    row("what is not XML behind stanzas, and more", Both, Plain, |far| { far.read_tag().send(["<message/><iq/><a></b><message/>", TAG].concat()).notify().expect_end(); },
        ends(Malformed, Us, OURS, 2, 32 + TAG_LEN)),
    row("what is not XML behind stanzas had arrived", Both, Plain, |far| { far.read_tag().notify().expect_end(); },
        ends(Malformed, Us, OURS, 2, 22)).behind(|| "<message/><iq/><a></b>".to_owned()),
    row("what is not XMPP", Both, Plain, |far| { far.read_tag().send("<!-- x -->").notify().expect_end(); },
        ends(Malformed, Us, OURS, 0, 10)),
    row("a failure of TLS", Tls, Plain, |far| far.read_tag().send(["<message/>", FATAL_ALERT].concat()).hold(),
        ends(TlsFailed, Us, OURS, 1, 10)),
    // Of what else had come by then, the wire does not say how much is still handed over: a canceller is asked at the
    // next turn.
    row("the application stops it", Both, Stop, |far| far.read_tag().send("<a/>").hold(),
        ends(Cancelled, Us, OURS, 1, 4)),
];
