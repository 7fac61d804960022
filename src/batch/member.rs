//! One stream of a batch.

use std::time::Instant;

use super::AnyTransport;
use crate::{
    cancel::Canceller,
    closing::Driver,
    stream_error::StreamError,
    transport::{BorrowedSocket, Interest, Transport, holds_back},
};

/// Handles what was read from one stream.
pub(crate) type OnInput<'a> = Box<dyn FnMut(&mut Driver<AnyTransport<'a>>) + Send + 'a>;

/// The owner of a stream that goes on using the stream while it is in the batch, as programs do in C.
pub(crate) trait Owner<'a>: Send {
    /// Called when the batch begins to work on the stream: carries out what the program asked for since. False: the owner has
    /// no use for the stream any more, so the stream leaves, and no callback is called.
    fn enter(&self, driver: &mut Driver<AnyTransport<'a>>) -> bool;

    /// Called after each callback while the batch works on the stream: carries out what the program asked for since. False: no
    /// other callback may be called.
    fn exchange(&self, driver: &mut Driver<AnyTransport<'a>>) -> bool;

    /// Called when the batch has done its work on the stream for now. False as for [`enter`](Self::enter).
    fn leave(&self, driver: &mut Driver<AnyTransport<'a>>) -> bool;

    /// Called when the stream is not in the batch any more.
    fn take_back(&self, driver: Driver<AnyTransport<'a>>);
}

pub(super) struct Member<'a> {
    pub(super) driver: Driver<AnyTransport<'a>>,
    pub(super) on_input: OnInput<'a>,
    /// `None`: only the batch uses the stream.
    pub(super) owner: Option<Box<dyn Owner<'a> + 'a>>,
    /// The close has begun.
    pub(super) begun: bool,
    /// The stream is among the unfinished: it gets its next turn whether it becomes ready or not.
    pub(super) put_off: bool,
    /// When the limits of the stream are looked at next.
    pub(super) timer: Option<Instant>,
    pub(super) watch: Watch,
}

/// How the batch finds out that a stream can move.
pub(super) struct Watch {
    /// The directions for which the descriptor is watched; `None`: it is not watched.
    pub(super) on: Option<Interest>,
    /// The descriptor does not always show what has come, so the stream is tried again after pauses.
    pub(super) holds_back: bool,
    /// When the pause of the stream ends, if it pauses.
    pub(super) pause: Option<Instant>,
}

impl<'a> Member<'a> {
    pub(super) fn new(
        driver: Driver<AnyTransport<'a>>,
        on_input: OnInput<'a>,
        owner: Option<Box<dyn Owner<'a> + 'a>>,
    ) -> Self {
        let holds_back = driver.transport().watch(Interest::READ).is_some_and(|(fd, _)| holds_back(fd));
        let watch = Watch { on: Some(Interest::READ), holds_back, pause: None };
        Self { driver, on_input, owner, begun: false, put_off: false, timer: None, watch }
    }

    /// Begins the close, which ends at `deadline` at the latest. `error` is sent unless the peer has ended its stream.
    pub(super) fn start_by(&mut self, deadline: Option<Instant>, error: Option<&StreamError>) {
        #[cfg(feature = "capi")]
        if self.owner.is_some() {
            return self.driver.finish_by(deadline, error); // the owner may still answer what has arrived
        }
        self.driver.start_by(deadline, error);
    }

    /// Gives the stream back to its owner. A stream without one is dropped.
    pub(super) fn give_back(self: Box<Self>) {
        if let Some(owner) = self.owner {
            owner.take_back(self.driver);
        }
    }

    /// To be called before the batch works on the stream. True when it may.
    pub(super) fn enter(&mut self) -> bool {
        self.owner.as_ref().is_none_or(|owner| owner.enter(&mut self.driver))
    }

    /// To be called after whatever may have called a callback. True when the batch may go on.
    pub(super) fn exchange(&mut self) -> bool {
        self.owner.as_ref().is_none_or(|owner| owner.exchange(&mut self.driver))
    }

    /// To be called when the batch has done its work on the stream for now. True when the stream stays in the batch.
    pub(super) fn leave(&mut self) -> bool {
        self.owner.as_ref().is_none_or(|owner| owner.leave(&mut self.driver))
    }

    pub(super) fn fd(&self) -> Option<BorrowedSocket<'_>> {
        self.driver.transport().watch(Interest::READ).map(|(fd, _)| fd)
    }

    /// Whether there is something to do at once: the application has read input that is to be handled, the peer has closed and
    /// is to be answered, the descriptor does not always show what has come, or the close was cancelled.
    pub(super) fn is_urgent(&self) -> bool {
        self.driver.must_start() || self.driver.has_input() || self.watch.holds_back || self.is_cancelled()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.driver.canceller().is_some_and(Canceller::is_cancelled)
    }

    /// Whether the stream is to be looked at at this time.
    pub(super) fn waits_for(&self, time: Instant) -> bool {
        self.timer == Some(time) || self.watch.pause == Some(time)
    }
}
