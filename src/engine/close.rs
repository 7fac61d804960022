//! The handshake together with the bytes that go out. Each step of the handshake changes what goes out, and the other way
//! round.

use std::time::Duration;

use super::{
    facts::{Ours, Theirs, Tls},
    handshake::Handshake,
    outgoing::Outgoing,
};
use crate::{condition::Condition, stream_error::StreamError};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Close {
    pub(super) handshake: Handshake,
    pub(super) outgoing: Outgoing,
}

impl Close {
    /// Whether the application may still send.
    pub(super) fn may_send(&self) -> bool {
        self.handshake.ours() == Ours::Open && !self.handshake.is_over()
    }

    /// Whether what comes is still the peer's stream.
    pub(super) fn parses(&self) -> bool {
        self.handshake.theirs() == Theirs::Open && !self.handshake.is_over()
    }

    /// Whether what is queued can still be written.
    pub(super) fn may_write(&self) -> bool {
        self.handshake.ours() != Ours::Lost && !self.handshake.is_over()
    }

    pub(super) fn wrote(&mut self, taken: usize, pending: usize, now: Duration) {
        if self.handshake.is_over() {
            return; // the report does not change any more
        }
        let moved = taken > 0 || pending < self.outgoing.pending();
        self.outgoing.took(taken, pending);
        self.update(moved, now);
    }

    /// Tells the handshake how many bytes are not with the kernel.
    pub(super) fn update(&mut self, moved: bool, now: Duration) {
        let bytes = self.outgoing.unsent();
        self.handshake.unsent_is(bytes, moved, now);
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.outgoing.queue(bytes);
        self.update(false, Duration::ZERO);
    }

    pub(super) fn finish(&mut self, error: Option<&StreamError>, now: Duration) {
        if self.may_send() {
            self.append_tail(error, now);
            self.handshake.finish(now);
        }
    }

    pub(super) fn detach(&mut self, now: Duration) {
        if self.may_send() {
            self.outgoing.detach();
            self.update(false, now);
            self.handshake.detach(now);
        }
    }

    fn append_tail(&mut self, error: Option<&StreamError>, now: Duration) {
        self.outgoing.finish(error);
        self.update(false, now);
    }

    /// What the peer sends is no XMPP stream. A stream error tells the peer so, if our tag is not written yet.
    pub(super) fn malformed(&mut self, condition: Condition, now: Duration) {
        if !self.parses() {
            return;
        }
        let error = StreamError::defined(condition);
        match self.handshake.ours() {
            Ours::Open => self.append_tail(Some(&error), now),
            Ours::Queued => {
                self.outgoing.insert_error(&error);
                self.update(false, now);
            }
            _ => {} // ER-09: nothing may be sent behind our tag
        }
        self.handshake.malformed(now);
    }

    /// The peer's stream error came, so we close in return.
    pub(super) fn peer_error(&mut self, now: Duration) {
        if !self.parses() {
            return;
        }
        if self.handshake.ours() == Ours::Open {
            self.append_tail(None, now);
        }
        self.handshake.peer_error(now);
    }

    /// New headers follow. Returns false when something of the stream before is still to be written, or our tag is due.
    pub(super) fn restart(&mut self, tls: Tls) -> bool {
        let may = self.handshake.ours() == Ours::Open && self.handshake.unsent() == 0;
        if may {
            self.handshake.set_tls(tls);
            self.outgoing.restart();
        }
        may
    }
}
