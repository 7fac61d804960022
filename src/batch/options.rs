//! How to close a set of streams.

use std::{fmt, time::Duration};

use super::Summary;
use crate::{cancel::Canceller, error::Error, options::DEFAULT_TOTAL, report::Report, stream_error::StreamError};

type OnProgress<'a> = Box<dyn FnMut(&Summary) -> bool + 'a>;
type OnEnd<'a> = Box<dyn FnMut(usize, &Report) + 'a>;

/// What holds for all streams of a [`Batch`](super::Batch).
#[must_use = "options do nothing until `Batch::run`"]
pub struct BatchOptions<'a> {
    pub(super) total: Duration,
    pub(super) spread: Duration,
    pub(super) stream_error: Option<StreamError>,
    pub(super) canceller: Option<Canceller>,
    /// False stops all.
    pub(super) on_progress: Option<OnProgress<'a>>,
    pub(super) on_end: Option<OnEnd<'a>>,
}

impl Default for BatchOptions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> BatchOptions<'a> {
    /// Thirty seconds in all, all closing tags at once.
    pub fn new() -> Self {
        Self {
            total: DEFAULT_TOTAL,
            spread: Duration::ZERO,
            stream_error: None,
            canceller: None,
            on_progress: None,
            on_end: None,
        }
    }

    /// Bounds the whole set, from [`run`](super::Batch::run) on. The limits of each stream hold inside it.
    pub fn total(mut self, limit: Duration) -> Self {
        self.total = limit;
        self
    }

    /// Sends the closing tags over this time, evenly and in random order, so that not all peers come back at once (BK-04).
    /// It must be shorter than the [`total`](Self::total). A stream whose turn has not come is read like an open one, and
    /// its stanzas are not counted as late; if its peer closes first, it is answered at once.
    pub fn spread(mut self, time: Duration) -> Self {
        self.spread = time;
        self
    }

    /// Closes every stream whose options have no stream error with this one: `system-shutdown` (BK-05). Not those whose
    /// peer has closed already.
    pub fn stream_error(mut self, error: StreamError) -> Self {
        self.stream_error = Some(error);
        self
    }

    /// Lets another thread stop all at once.
    pub fn canceller(mut self, canceller: &Canceller) -> Self {
        self.canceller = Some(canceller.clone());
        self
    }

    /// Called about ten times a second, and once at the end.
    pub fn on_progress(mut self, mut tell: impl FnMut(&Summary) + 'a) -> Self {
        self.on_progress = Some(Box::new(move |so_far| {
            tell(so_far);
            true
        }));
        self
    }

    /// Called with its index as soon as a stream has ended; its transport is gone by then.
    pub fn on_end(mut self, tell: impl FnMut(usize, &Report) + 'a) -> Self {
        self.on_end = Some(Box::new(tell));
        self
    }

    /// The same as `on_progress`; false stops all.
    #[cfg(feature = "capi")]
    pub(crate) fn while_progress(mut self, tell: impl FnMut(&Summary) -> bool + 'a) -> Self {
        self.on_progress = Some(Box::new(tell));
        self
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.spread.is_zero() || self.spread < self.total {
            true => Ok(()),
            false => Err(Error::Invalid("the closing tags cannot be spread over the whole time there is")),
        }
    }
}

impl fmt::Debug for BatchOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchOptions")
            .field("total", &self.total)
            .field("spread", &self.spread)
            .field("stream_error", &self.stream_error)
            .finish_non_exhaustive()
    }
}
