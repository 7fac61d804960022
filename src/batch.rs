//! Many streams closed in one thread (feature `batch`): [`Batch`].

mod clock;
mod intake;
mod live;
mod member;
mod options;
mod removed;
mod summary;
mod turn;

use std::{
    collections::BTreeMap,
    fmt, io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

pub use intake::BatchHandle;
#[cfg_attr(not(feature = "capi"), allow(unused_imports, reason = "only C has owners"))]
pub(crate) use intake::{Intake, Leaving};
use member::Member;
#[cfg_attr(not(feature = "capi"), allow(unused_imports, reason = "only C has owners"))]
pub(crate) use member::{OnInput, Owner};
pub use options::BatchOptions;
use options::Callbacks;
pub use removed::Removed;
pub use summary::{BatchReport, Summary};

use self::{clock::Schedule, live::Settings, summary::Progress};
use crate::{
    closing::Buffer,
    error::{Error, Invalid},
    options::CloseOptions,
    report::Report,
    stream::Stream,
    transport::Transport,
    xml::Stanza,
};

pub(crate) type AnyTransport<'a> = Box<dyn Transport + Send + 'a>;

/// Streams to be closed together, in one thread: all of a server that goes down, or each as soon as it is idle, while the
/// server goes on.
///
/// Each is closed by the same handshake as by [`CloseOptions::begin`], with options and a limit of its own; all of them are
/// waited for at once, so that the set takes no longer than its slowest stream (BK-05), and what each costs does not grow
/// with their number. Nothing is read or written but by [`turn`](Self::turn) and [`run`](Self::run).
///
/// A program that has nothing else to do runs it:
///
/// ```no_run
/// # fn f(connections: Vec<std::net::TcpStream>) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use xmpp_close::{Condition, Batch, BatchOptions, CloseOptions, StreamError};
///
/// let mut batch = Batch::new()?;
/// for (number, tcp) in connections.into_iter().enumerate() {
///     batch.add(tcp, &CloseOptions::new(), move |stanza| println!("{number}: still came: {stanza}"))?;
/// }
/// let options = BatchOptions::new()
///     .total(Duration::from_secs(10))
///     .stream_error(StreamError::new(Condition::SystemShutdown)?)
///     .on_progress(|so_far| println!("{so_far}"));
/// let report = batch.run(options)?;
/// println!("{}", report.summary); // 9000 streams: 8910 clean, 90 timed-out; 17 late stanzas; 10002 ms
/// # Ok(()) }
/// ```
///
/// One that has an event loop watches the batch's [descriptor](AsFd) there beside its own, and gives it a
/// [`turn`](Self::turn) when that is readable, and at its [`deadline`](Self::deadline):
///
/// ```no_run
/// # fn wait_for(_: impl std::os::fd::AsFd, _: Option<std::time::Instant>) {}
/// # fn f(idle: std::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use xmpp_close::{Batch, BatchOptions, CloseOptions};
///
/// let mut batch = Batch::new()?;
/// batch.set(BatchOptions::new().on_end(|index, report| println!("{index}: {report}")))?;
/// batch.add(idle, &CloseOptions::new(), |stanza| println!("still came: {stanza}"))?; // at any time
/// while batch.turn(Duration::ZERO)? > 0 {
///     wait_for(&batch, batch.deadline()); // and for all else that the program waits for
/// }
/// # Ok(()) }
/// ```
pub struct Batch<'a> {
    intake: Arc<Intake<'a>>,
    /// By their indices, and so in the order in which they came.
    members: BTreeMap<usize, Box<Member<'a>>>,
    schedule: Schedule,
    settings: Settings,
    callbacks: Callbacks<'a>,
    progress: Progress,
    /// Of streams that have ended, and of which nobody was told.
    reports: BTreeMap<usize, Report>,
    /// Lent to the stream that is moved, so that those that wait need none.
    buffer: Buffer,
    /// What the last wait has found.
    ready: Vec<usize>,
}

/// One thread may make it, and another use it.
const _: fn() = || {
    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_send::<Batch<'_>>();
    is_shared::<BatchHandle<'_>>();
};

impl<'a> Batch<'a> {
    /// An empty batch. It holds a few descriptors.
    ///
    /// # Errors
    /// When the system has no more of them.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            intake: Arc::new(Intake::new()?),
            members: BTreeMap::new(),
            schedule: Schedule::default(),
            settings: Settings::none(),
            callbacks: Callbacks::default(),
            progress: Progress::new(),
            reports: BTreeMap::new(),
            buffer: Buffer::default(),
            ready: Vec::new(),
        })
    }

    /// What adds streams from callbacks of the batch, and from other threads.
    pub fn handle(&self) -> BatchHandle<'a> {
        BatchHandle(self.intake.clone())
    }

    /// Where to add, for C.
    #[cfg(feature = "capi")]
    pub(crate) fn intake(&self) -> Arc<Intake<'a>> {
        self.intake.clone()
    }

    /// Adds the open stream on `transport`, and returns its index, which no other ever gets. It is closed as soon as the
    /// batch has a turn, or when its moment comes in the [spread](BatchOptions::spread). What still arrives on it is lent to
    /// `on_stanza`, without a copy; [`Stanza::into_owned`] makes one that can be kept.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the options make no sense, when the transport has no descriptor that can be waited for
    /// ([`Transport::watch`]), or one that is in the batch already, when the time of the batch is up or it was stopped, and in
    /// a forked child of the process that made the batch; [`Error::Io`] when the system has no room for more.
    /// The transport is dropped then.
    pub fn add<T: Transport + Send + 'a>(
        &mut self,
        transport: T,
        options: &CloseOptions,
        on_stanza: impl FnMut(Stanza<&str>) + Send + 'a,
    ) -> Result<usize, Error> {
        self.handle().add(transport, options, on_stanza)
    }

    /// The same for a whole session's [`Stream`], which knows its closing tag and what was read already, and sends our
    /// header in front of that if none is out, as [`Stream::close`] does.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn add_stream<T: Transport + Send + 'a>(
        &mut self,
        stream: Stream<T>,
        options: &CloseOptions,
        on_stanza: impl FnMut(Stanza<&str>) + Send + 'a,
    ) -> Result<usize, Error> {
        self.handle().add_stream(stream, options, on_stanza)
    }

    /// How many streams are in it.
    pub fn len(&self) -> usize {
        self.members.len() + self.intake.waiting()
    }

    /// There is none in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How a stream ended, if it has, and nobody was told by [`BatchOptions::on_end`] or [`run`](Self::run). Such reports are
    /// kept as long as the batch.
    pub fn report(&self, index: usize) -> Option<&Report> {
        self.reports.get(&index)
    }

    fn clear(&mut self) {
        self.let_go();
        let added = self.intake.take().into_iter().map(|(_, member)| member);
        for member in std::mem::take(&mut self.members).into_values().chain(added) {
            self.intake.forget(&member);
            member.give_back();
        }
        self.schedule = Schedule::default();
    }
}

/// The framing is ours, the stanzas are the application's.
fn hand_over<'a>(mut on_stanza: impl FnMut(Stanza<&str>) + Send + 'a) -> OnInput<'a> {
    Box::new(move |driver| {
        driver.frame(Some(&mut on_stanza));
    })
}

/// Readable when a [`turn`](Batch::turn) has something to do; but not at the batch's [`deadline`](Batch::deadline). It is to be
/// watched, by poll(2), epoll(7) or the like, and never read.
impl AsFd for Batch<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.intake.as_fd()
    }
}

/// Streams that were never closed end here, as any socket that is dropped. In a child of the process that made it, the
/// parent still waits for its own.
impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.intake.check_owner().is_ok() {
            self.intake.shut(Some(Invalid::BatchGone));
            self.clear();
        }
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("streams", &self.len()).finish_non_exhaustive()
    }
}
