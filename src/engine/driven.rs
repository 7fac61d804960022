//! What only the library's own driver needs, which owns the socket as well.

use std::time::Duration;

use super::{Engine, Half, Handshake, Ours, Outgoing, Theirs, Tls};
use crate::{error::Error, options::CloseOptions, report::Outcome};

impl Engine {
    /// An engine for a driver: `output`, farewell included, is queued already; `options` make sense.
    pub(crate) fn driven(options: &mut CloseOptions, output: Vec<u8>, tls: Tls) -> Result<Self, Error> {
        let mut engine = Self {
            handshake: Handshake::new(options.limits, options.answer_limit(), tls),
            outgoing: Outgoing::new(options.root()?, Vec::new(), output),
            output_limit: options.output_limit,
            farewell: Vec::new(),
            error: options.stream_error.take(),
            tag: !options.tag_sent,
            stream_error: None,
            refused: 0,
        };
        engine.update(false, Duration::ZERO);
        Ok(engine)
    }

    /// The close begins, and our tag is due when what has arrived is handled: then comes [`finish`](Self::finish).
    pub(crate) fn finishing(&mut self, now: Duration) {
        self.handshake.tell(Half::Finishing, now);
    }

    /// All that is queued is written, and [`finish`](Self::finish) is awaited.
    pub(crate) fn awaits_finish(&self) -> bool {
        self.handshake.is_finishing() && self.outgoing.unsent() == 0
    }

    /// What goes right in front of error and tag.
    pub(crate) fn set_farewell(&mut self, farewell: Vec<u8>) {
        self.farewell = farewell;
    }

    /// The qualified name of our root.
    pub(crate) fn root(&self) -> &str {
        self.outgoing.root()
    }

    /// The close has begun, and our last bytes are not written yet.
    pub(crate) fn owes_output(&self) -> bool {
        self.handshake.ours() == Ours::Queued || self.handshake.is_finishing()
    }

    /// What was handed out and not taken may change again: a plain socket keeps nothing of a write that is blocked.
    pub(crate) fn take_back(&mut self) {
        self.outgoing.take_back();
    }

    /// The peer's stream error was seen.
    pub(crate) fn has_stream_error(&self) -> bool {
        self.stream_error.is_some()
    }

    /// The outcome is fixed.
    pub(crate) fn is_over(&self) -> bool {
        self.handshake.is_over()
    }

    /// What comes is still the peer's stream.
    pub(crate) fn parses(&self) -> bool {
        !self.is_over() && self.handshake.theirs() == Theirs::Open
    }

    /// It is over, and nothing keeps the last bytes of ours from ending with a FIN. Over TLS, that waits for the end of
    /// what the peer sends (TL-02).
    pub(crate) fn may_end_output(&self) -> bool {
        let outcome = self.handshake.outcome();
        let complete = self.handshake.is_sent() || outcome == Outcome::Stalled;
        outcome != Outcome::Reset && complete && !self.handshake.is_broken() && self.handshake.awaits_no_alert()
    }

    /// Neither is it over, nor did anything fail that would keep bytes from going out.
    pub(crate) fn may_write(&self) -> bool {
        !self.is_over() && !self.handshake.is_broken()
    }

    /// How much of what was taken is not with the kernel.
    pub(crate) fn pending(&self) -> usize {
        self.outgoing.pending()
    }
}

/// What only a set of streams needs.
#[cfg(feature = "batch")]
impl Engine {
    /// Lets the whole close end at `end` at the latest.
    pub(crate) fn bound(&mut self, end: Duration, now: Duration) {
        self.handshake.bound(end, now);
    }

    /// Our error, unless there is one, or our tag has gone out already.
    pub(crate) fn set_error(&mut self, error: &crate::stream_error::StreamError) {
        if self.tag {
            self.error.get_or_insert_with(|| error.clone());
        }
    }

    /// Nothing has begun.
    pub(crate) fn is_open(&self) -> bool {
        !self.handshake.has_begun()
    }
}
