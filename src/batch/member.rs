//! One stream of a batch.

use std::{os::fd::BorrowedFd, time::Instant};

use super::AnyTransport;
use crate::{
    cancel::Canceller,
    closing::Driver,
    stream_error::StreamError,
    transport::{Interest, Transport, holds_back},
};

/// Handles what was read from one stream.
pub(crate) type OnInput<'a> = Box<dyn FnMut(&mut Driver<AnyTransport<'a>>) + Send + 'a>;

/// Whoever goes on using a stream while it is in the batch, as programs do in C.
pub(crate) trait Owner<'a>: Send {
    /// The batch takes the stream up: what was asked of it meanwhile is carried out. False: its owner has no use for it any
    /// more, so it leaves, and nobody is told.
    fn enter(&self, driver: &mut Driver<AnyTransport<'a>>) -> bool;

    /// The same while the batch has it, behind each callback. False: no other is to be called.
    fn exchange(&self, driver: &mut Driver<AnyTransport<'a>>) -> bool;

    /// The batch lets it rest. False as for [`enter`](Self::enter).
    fn leave(&self, driver: &mut Driver<AnyTransport<'a>>) -> bool;

    /// It is not in the batch any more.
    fn take_back(&self, driver: Driver<AnyTransport<'a>>);
}

pub(super) struct Member<'a> {
    pub(super) driver: Driver<AnyTransport<'a>>,
    pub(super) on_input: OnInput<'a>,
    /// `None`: nobody uses it but the batch.
    pub(super) owner: Option<Box<dyn Owner<'a> + 'a>>,
    pub(super) begun: bool,
    /// Its next turn will come, whether it becomes ready or not.
    pub(super) put_off: bool,
    /// When its time is looked at next.
    pub(super) timer: Option<Instant>,
    pub(super) watch: Watch,
}

/// How it is found out that a stream can move.
pub(super) struct Watch {
    /// What its descriptor is watched for, if it is.
    pub(super) on: Option<Interest>,
    /// What has come does not always show: it is tried again and again, with pauses.
    pub(super) holds_back: bool,
    /// When its pause ends, if it has one.
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

    /// Its close begins, with an error if it is to have one, and ends at `deadline` at the latest.
    pub(super) fn start_by(&mut self, deadline: Option<Instant>, error: Option<&StreamError>) {
        #[cfg(feature = "capi")]
        if self.owner.is_some() {
            return self.driver.finish_by(deadline, error); // its owner may still answer what has arrived
        }
        self.driver.start_by(deadline, error);
    }

    /// To its owner, or it ends here.
    pub(super) fn give_back(self: Box<Self>) {
        if let Some(owner) = self.owner {
            owner.take_back(self.driver);
        }
    }

    /// True when the batch may move it.
    pub(super) fn enter(&mut self) -> bool {
        self.owner.as_ref().is_none_or(|owner| owner.enter(&mut self.driver))
    }

    /// Behind whatever may have called a callback. True when the batch may go on.
    pub(super) fn exchange(&mut self) -> bool {
        self.owner.as_ref().is_none_or(|owner| owner.exchange(&mut self.driver))
    }

    /// True when it stays.
    pub(super) fn leave(&mut self) -> bool {
        self.owner.as_ref().is_none_or(|owner| owner.leave(&mut self.driver))
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.driver.transport().watch(Interest::READ).map(|(fd, _)| fd)
    }

    /// Something is to be done before anything comes: what the application has read already is handled first, and whoever
    /// was closed by its peer is answered.
    pub(super) fn is_urgent(&self) -> bool {
        self.driver.must_start() || self.driver.has_input() || self.watch.holds_back || self.is_cancelled()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.driver.canceller().is_some_and(Canceller::is_cancelled)
    }

    /// One of its times.
    pub(super) fn waits_for(&self, time: Instant) -> bool {
        self.timer == Some(time) || self.watch.pause == Some(time)
    }
}
