//! What a started stream needs, whose application may send to the last, knows facts of its own, and waits by itself.

use std::time::Instant;

use super::Driver;
use crate::{
    engine::{Fact, Wants},
    error::Error,
    stream_error::StreamError,
    transport::Transport,
};

impl<T: Transport> Driver<T> {
    /// All is said: what has arrived is handled, and may still be answered; then come the last words, `error` and our tag.
    pub(crate) fn finish(&mut self, error: Option<&StreamError>) {
        self.look_at_clock();
        if let Some(error) = error.filter(|_| !self.engine.is_finishing()) {
            self.engine.set_error(error);
        }
        self.plan.first_step |= self.engine.may_send() && !self.engine.is_finishing();
        self.engine.finishing(self.clock.now);
        self.words.go_on();
        self.note();
        self.blocked = None;
    }

    /// The same in a set of streams, which has an error for those that have none and a deadline.
    pub(crate) fn finish_by(&mut self, deadline: Option<Instant>, error: Option<&StreamError>) {
        let error = error.filter(|_| !self.must_start());
        self.finish(error);
        self.end_by(deadline);
    }

    /// Takes a fact that the application knows.
    ///
    /// # Errors
    /// Those of [`Engine::tell`].
    pub(crate) fn tell(&mut self, fact: Fact) -> Result<(), Error> {
        self.look_at_clock();
        let result = self.engine.tell(fact, self.clock.now);
        self.note();
        self.blocked = None;
        result
    }

    /// How much may still be sent; `None`: nothing may.
    pub(crate) fn room(&self) -> Option<usize> {
        self.engine.room()
    }

    /// Queues what its application was told is queued.
    pub(crate) fn send_anyway(&mut self, bytes: &[u8]) {
        self.engine.send_anyway(bytes, self.clock.now);
        self.blocked = None;
    }

    /// The peer's stream is inside an element.
    pub(crate) fn is_inside(&self) -> bool {
        self.engine.parses() && self.engine.is_inside()
    }

    /// What is to be done next: the descriptor is to be waited for, or the application may send. All else the steps do.
    pub(crate) fn wants(&self) -> Wants {
        let on = self.waits_for();
        let wants = self.engine.wants().with(Wants::READ, on.read).with(Wants::WRITE, on.write);
        wants.with(Wants::NOTIFY, false).with(Wants::SHUT, false)
    }
}
