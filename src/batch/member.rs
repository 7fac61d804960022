//! One stream of a batch.

use std::{os::fd::BorrowedFd, time::Instant};

use super::AnyTransport;
use crate::{
    cancel::Canceller,
    closing::Driver,
    transport::{Interest, Transport, holds_back},
};

/// Handles what was read from one stream.
pub(crate) type OnInput<'a> = Box<dyn FnMut(&mut Driver<AnyTransport<'a>>) + Send + 'a>;

pub(super) struct Member<'a> {
    pub(super) driver: Driver<AnyTransport<'a>>,
    pub(super) on_input: OnInput<'a>,
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
    pub(super) fn new(driver: Driver<AnyTransport<'a>>, on_input: OnInput<'a>) -> Self {
        let holds_back = driver.transport().watch(Interest::READ).is_some_and(|(fd, _)| holds_back(fd));
        let watch = Watch { on: Some(Interest::READ), holds_back, pause: None };
        Self { driver, on_input, begun: false, put_off: false, timer: None, watch }
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
