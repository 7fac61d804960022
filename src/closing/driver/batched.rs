//! What only a batch needs. A batch starts each stream when its moment has come, and waits for all of them at once.

use std::{convert::Infallible, mem, time::Instant};

use super::{Driver, Words};
use crate::{
    cancel::Canceller,
    closing::Buffer,
    engine::Fact,
    stream_error::StreamError,
    transport::{Pace, Transport},
};

impl<T: Transport> Driver<T> {
    /// The same driver over another transport, which `make` makes of this one.
    pub(crate) fn map<U>(self, make: impl FnOnce(T) -> U) -> Driver<U> {
        match self.try_map(|transport| Ok::<_, Infallible>(make(transport))) {
            Ok(driver) => driver,
            Err(never) => match never {},
        }
    }

    /// Forgets how the stream was to be closed, because it is not closed after all. Returns the name of our root if our
    /// header is out.
    pub(crate) fn unset(&mut self) -> Option<String> {
        self.words = Words::default();
        self.plan.detach = false;
        self.canceller = None;
        let is_out = !self.engine.unset();
        is_out.then(|| self.engine.root().to_owned())
    }

    pub(crate) fn transport(&self) -> &T {
        &self.transport
    }

    pub(crate) fn canceller(&self) -> Option<&Canceller> {
        self.canceller.as_ref()
    }

    pub(crate) fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    /// Whether the close has begun, or must begin now because the peer has ended its stream.
    pub(crate) fn must_start(&self) -> bool {
        self.plan.end.is_some() || !self.engine.is_open()
    }

    /// Begins the close, which ends at `deadline` at the latest, and writes what can be written without waiting. `error` is
    /// sent unless the peer has ended its stream, or we detach.
    pub(crate) fn start_by(&mut self, deadline: Option<Instant>, error: Option<&StreamError>) {
        self.look_at_clock();
        self.engine.begin_anew(self.clock.now);
        self.end_by(deadline);
        if let Some(error) = error.filter(|_| !self.must_start() && !self.plan.detach) {
            self.engine.set_error(error);
        }
        self.begin();
    }

    /// Makes the close end at `deadline` at the latest.
    pub(crate) fn end_by(&mut self, deadline: Option<Instant>) {
        self.look_at_clock();
        if let Some(deadline) = deadline {
            self.engine.bound(deadline.saturating_duration_since(self.clock.start), self.clock.now);
        }
    }

    /// The time of the last look at the clock.
    pub(crate) fn looked_at(&self) -> Instant {
        self.clock.start + self.clock.now
    }

    /// Ends the close because the time of the batch is up, and its grace for what has arrived as well.
    pub(crate) fn expire(&mut self) {
        self.look_at_clock();
        if mem::take(&mut self.plan.first_step) {
            self.first_step(); // our tag has waited for bytes that were read before
        }
        self.tick();
        self.note_fact(Fact::Cancel); // does nothing when `tick` has ended this close
    }

    /// Takes the buffer that the batch lends to the stream that it moves. A stream that has a buffer keeps its own.
    pub(crate) fn borrow_buffer(&mut self, lent: &mut Buffer) {
        if self.input.is_unused() {
            self.input = mem::take(lent);
        }
    }

    /// Gives the buffer back when what is in it has been handled, so that streams that wait hold no buffer.
    pub(crate) fn return_buffer(&mut self, lent: &mut Buffer) {
        if !self.has_input() {
            self.input.shrink();
            if !self.input.is_unused() {
                *lent = mem::take(&mut self.input);
            }
        }
    }

    /// Whether the buffer is larger than the one that is lent.
    pub(crate) fn has_large_buffer(&self) -> bool {
        self.input.is_large()
    }
}
