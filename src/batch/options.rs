//! How to close the streams of a batch.

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

/// Options for all streams of a [`Batch`](super::Batch), for [`run`](super::Batch::run) or [`set`](super::Batch::set).
///
/// ```
/// use std::time::Duration;
/// use xmpp_close::{Batch, BatchOptions, Condition, StreamError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = BatchOptions::new()
///     .total(Duration::from_secs(20)) // all streams have ended by then
///     .spread(Duration::from_secs(5)) // the closing tags go out over 5 s
///     .stream_error(StreamError::new(Condition::SystemShutdown)?)
///     .on_progress(|so_far| println!("{so_far}"))
///     .on_end(|index, report| println!("stream {index}: {report}"));
/// let report = Batch::new()?.run(options)?;
/// assert_eq!(report.summary.streams, 0);
/// # Ok(()) }
/// ```
#[must_use = "options do nothing until `Batch::run` or `Batch::set`"]
pub struct BatchOptions<'a> {
    pub(super) total: Option<Duration>,
    pub(super) spread: Duration,
    pub(super) stream_error: Option<StreamError>,
    pub(super) canceller: Option<Canceller>,
    pub(super) callbacks: Callbacks<'a>,
}

/// The application's callbacks.
#[derive(Default)]
pub(super) struct Callbacks<'a> {
    /// Returning false stops the batch.
    pub(super) on_progress: Option<OnProgress<'a>>,
    pub(super) on_end: Option<OnEnd<'a>>,
}

impl Default for BatchOptions<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> BatchOptions<'a> {
    /// The defaults: all closing tags go out at once, no stream error, no canceller, no callbacks, and the
    /// [total](Self::total) as said there.
    pub fn new() -> Self {
        Self {
            total: None,
            spread: Duration::ZERO,
            stream_error: None,
            canceller: None,
            callbacks: Callbacks::default(),
        }
    }

    /// Bounds the whole batch, counted from [`run`](super::Batch::run) or [`set`](super::Batch::set): by then every stream has
    /// ended, and none can be added any more. The limits of each stream still hold. The default is 30 s for `run`, and no
    /// limit for `set`.
    ///
    /// Behind it, what had arrived is still read and handed over. This takes a tenth of a second at most for all streams
    /// together, and longer only when a callback does.
    pub fn total(mut self, limit: Duration) -> Self {
        self.total = Some(limit);
        self
    }

    /// Spreads the closing tags over this time, evenly and in random order, so that not all peers reconnect at once. It must be
    /// shorter than the [`total`](Self::total). Zero, the default: all tags go out at once.
    ///
    /// - A stream whose moment has not come is read like an open stream, and its stanzas are not counted as late. When its
    ///   peer closes first, it is answered at once.
    /// - A stream that is added later begins at once in [`run`](super::Batch::run), and after [`set`](super::Batch::set) at a
    ///   random moment of the time that is left.
    pub fn spread(mut self, time: Duration) -> Self {
        self.spread = time;
        self
    }

    /// Closes with this stream error, such as `system-shutdown`, every stream whose own options have none. A stream whose peer
    /// has closed already is answered without it.
    pub fn stream_error(mut self, error: StreamError) -> Self {
        self.stream_error = Some(error);
        self
    }

    /// Lets another thread stop all streams of the batch at once.
    pub fn canceller(mut self, canceller: &Canceller) -> Self {
        self.canceller = Some(canceller.clone());
        self
    }

    /// Sets what is called about ten times a second while there are streams, and once more when the last one has ended.
    pub fn on_progress(mut self, mut tell: impl FnMut(&Summary) + Send + 'a) -> Self {
        self.callbacks.on_progress = Some(Box::new(move |so_far| {
            tell(so_far);
            true
        }));
        self
    }

    /// Sets what is called as soon as a stream has ended, with the stream's index and report. The transport is dropped by then.
    /// Without this callback, the reports are kept for [`Batch::report`](super::Batch::report).
    ///
    /// The index is the one that [`Batch::add`](super::Batch::add) returns, so it is known only after the stream was added. A
    /// program that wants names shares a map with the callback (`Arc<Mutex<…>>`), or sets no callback and asks
    /// [`Batch::report`](super::Batch::report) at the end.
    pub fn on_end(mut self, tell: impl FnMut(usize, &Report) + Send + 'a) -> Self {
        self.callbacks.on_end = Some(Box::new(tell));
        self
    }

    /// As `on_progress`, but a callback that returns false stops the batch.
    #[cfg(feature = "capi")]
    pub(crate) fn while_progress(mut self, tell: impl FnMut(&Summary) -> bool + Send + 'a) -> Self {
        self.callbacks.on_progress = Some(Box::new(tell));
        self
    }

    /// Checks that the spread is shorter than `total`; a run always has one.
    pub(super) fn check(&self, total: Option<Duration>) -> Result<(), Error> {
        match self.spread.is_zero() || total.is_none_or(|total| self.spread < total) {
            true => Ok(()),
            false => Err(Invalid::Spread.into()),
        }
    }

    /// The total of a run.
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
