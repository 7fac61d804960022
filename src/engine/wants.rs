//! What a stream waits for.

/// What is to be done next for a stream. It is level-triggered: what is not acted on is asked for again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Wants {
    /// Wait for the connection to be readable: what comes is handed in, also when it is only to be discarded.
    pub read: bool,
    /// Wait for the connection to be writable: there is something of ours that the kernel has not taken.
    pub write: bool,
    /// Stanzas may still be sent. Once false, it stays so.
    pub may_send: bool,
    /// The peer has said its last: what is still owed is to be sent, and then our closing tag is due.
    pub answer: bool,
    /// What is read is still the peer's stream. Once false, it stays so.
    pub parse: bool,
    /// `close_notify` is to be sent now. Together with `over`: it is tried once, without waiting.
    pub notify: bool,
    /// `shutdown(SHUT_WR)` is to be called now.
    pub shut: bool,
    /// The outcome is fixed: the report is complete, the connection is to be closed.
    pub over: bool,
}
