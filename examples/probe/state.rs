//! How far a handshake is.

use xmpp_close::Engine;

/// The states of the closing handshake, as the two halves of a stream make them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Neither closing tag was sent or seen.
    Open,
    /// The peer's tag was seen first, and is still to be answered.
    Answer,
    /// We close, and our tag is not written yet.
    Flush,
    /// Our tag is written; the peer's is awaited.
    Wait,
    /// Both tags are known; ours is not written yet.
    Reply,
    /// Both tags are done; our output is to be ended.
    Bye,
    /// Reading and discarding until the end of TCP.
    Linger,
    /// The peer's stream is malformed, or has ended without its tag; or we detach.
    Void,
    /// Over.
    Done,
}

impl State {
    pub fn of(engine: &Engine) -> Self {
        let (wants, report) = (engine.wants(), engine.report());
        match (report.tag_sent, report.tag_received) {
            _ if wants.over() => Self::Done,
            (true, true) if wants.notify() || wants.shut() && !report.tls.used => Self::Bye,
            (true, true) => Self::Linger,
            (false, true) if wants.may_send() => Self::Answer,
            (false, true) => Self::Reply,
            _ if !wants.parse() => Self::Void,
            (true, false) => Self::Wait,
            (false, false) if wants.may_send() => Self::Open,
            (false, false) => Self::Flush,
        }
    }
}
