//! How to close a set of streams.

use std::{fmt, time::Duration};

use super::Summary;
use crate::{
    cancel::Canceller,
    error::{Error, Invalid},
    options::DEFAULT_TOTAL,
    report::Report,
    stream_error::StreamError,
};

type OnProgress<'a> = Box<dyn FnMut(&Summary) -> bool + Send + 'a>;
type OnEnd<'a> = Box<dyn FnMut(usize, &Report) + Send + 'a>;

/// What holds for all streams of a [`Batch`](super::Batch).
#[must_use = "options do nothing until `Batch::run` or `Batch::set`"]
pub struct BatchOptions<'a> {
    pub(super) total: Option<Duration>,
    pub(super) spread: Duration,
    pub(super) stream_error: Option<StreamError>,
    pub(super) canceller: Option<Canceller>,
    pub(super) callbacks: Callbacks<'a>,
}

/// What the application is told.
#[derive(Default)]
pub(super) struct Callbacks<'a> {
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
    /// All closing tags at once; nobody is told of anything.
    pub fn new() -> Self {
        Self {
            total: None,
            spread: Duration::ZERO,
            stream_error: None,
            canceller: None,
            callbacks: Callbacks::default(),
        }
    }

    /// Bounds the whole set, from [`run`](super::Batch::run) or [`set`](super::Batch::set) on: all that is in it, or is added,
    /// ends by then. The limits of each stream hold inside it. The default: 30 s for `run`, none for `set`.
    pub fn total(mut self, limit: Duration) -> Self {
        self.total = Some(limit);
        self
    }

    /// Sends the closing tags over this time, evenly and in random order, so that not all peers come back at once (BK-04).
    /// It must be shorter than the [`total`](Self::total). A stream whose turn has not come is read like an open one, and
    /// its stanzas are not counted as late; if its peer closes first, it is answered at once. What is added later begins at
    /// once in [`run`](super::Batch::run), and after [`set`](super::Batch::set) at a random moment of what is left of it.
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

    /// Called about ten times a second while there are streams, and once when there are none any more.
    pub fn on_progress(mut self, mut tell: impl FnMut(&Summary) + Send + 'a) -> Self {
        self.callbacks.on_progress = Some(Box::new(move |so_far| {
            tell(so_far);
            true
        }));
        self
    }

    /// Called with its index as soon as a stream has ended; its transport is gone by then. Where there is no such callback,
    /// the reports are kept for [`Batch::report`](super::Batch::report).
    pub fn on_end(mut self, tell: impl FnMut(usize, &Report) + Send + 'a) -> Self {
        self.callbacks.on_end = Some(Box::new(tell));
        self
    }

    /// The same as `on_progress`; false stops all.
    #[cfg(feature = "capi")]
    pub(crate) fn while_progress(mut self, tell: impl FnMut(&Summary) -> bool + Send + 'a) -> Self {
        self.callbacks.on_progress = Some(Box::new(tell));
        self
    }

    /// For a run there is always a total.
    pub(super) fn check(&self, total: Option<Duration>) -> Result<(), Error> {
        match self.spread.is_zero() || total.is_none_or(|total| self.spread < total) {
            true => Ok(()),
            false => Err(Invalid::Spread.into()),
        }
    }

    /// Of a run.
    pub(super) fn total_of_run(&self) -> Duration {
        self.total.unwrap_or(DEFAULT_TOTAL)
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
