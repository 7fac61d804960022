//! What only C's started streams need. Their application may send until the end, knows facts of its own, and does the
//! waiting.

use std::time::Instant;

use super::Driver;
use crate::{
    engine::{Fact, Wants},
    error::Error,
    stream_error::StreamError,
    transport::Transport,
};

impl<T: Transport> Driver<T> {
    /// The application sends nothing more of its own. What has arrived is handled, and may still be answered; then the last
    /// words, `error` and our tag go out.
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

    /// As [`finish`](Self::finish), in a batch: its deadline bounds the close, and its error is sent unless the peer has ended
    /// its stream.
    pub(crate) fn finish_by(&mut self, deadline: Option<Instant>, error: Option<&StreamError>) {
        let error = error.filter(|_| !self.must_start());
        self.finish(error);
        self.end_by(deadline);
    }

    /// Takes in a fact that the application knows.
    ///
    /// # Errors
    /// Those of [`Engine::tell`](crate::Engine::tell).
    pub(crate) fn tell(&mut self, fact: Fact) -> Result<(), Error> {
        self.look_at_clock();
        let result = self.engine.tell(fact, self.clock.now);
        self.note();
        self.blocked = None;
        result
    }

    /// How many bytes may still be queued; `None`: nothing may be sent any more.
    pub(crate) fn room(&self) -> Option<usize> {
        self.engine.room()
    }

    /// Queues bytes of which the application was told already that they are queued.
    pub(crate) fn send_anyway(&mut self, bytes: &[u8]) {
        self.engine.send_anyway(bytes, self.clock.now);
        self.blocked = None;
    }

    /// Whether the peer's stream is inside an element.
    pub(crate) fn is_inside(&self) -> bool {
        self.engine.parses() && self.engine.is_inside()
    }

    /// What the application has to do next: wait for the descriptor, or send. The steps do everything else.
    pub(crate) fn wants(&self) -> Wants {
        let on = self.waits_for();
        let wants = self.engine.wants().with(Wants::READ, on.read).with(Wants::WRITE, on.write);
        wants.with(Wants::NOTIFY, false).with(Wants::SHUT, false)
    }
}
