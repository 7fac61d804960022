//! Many streams closed in one thread (feature `batch`): [`Batch`].

mod clock;
mod intake;
mod live;
mod member;
mod options;
mod removed;
mod summary;
mod turn;

use std::{collections::BTreeMap, fmt, io, sync::Arc};

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

/// Streams that are closed in one thread: all streams of a server that shuts down, or each stream as soon as it is idle,
/// while the server goes on.
///
/// Each stream is closed by the same handshake as with [`CloseOptions::begin`], with its own options and its own limits. The
/// batch waits for all streams at once, so it takes no longer than its slowest stream, and the cost of a stream does not
/// grow with their number. Only [`turn`](Self::turn) and [`run`](Self::run) read and write. The batch owns the transports,
/// and drops each when its stream has ended.
///
/// A program that has nothing else to do runs the batch to its end:
///
/// ```
/// use std::{io::Write, net::Shutdown, os::unix::net::UnixStream, time::Duration};
/// use xmpp_close::{Batch, BatchOptions, CloseOptions, Condition, Outcome, StreamError};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (mut connections, mut peers) = (Vec::new(), Vec::new());
/// # for _ in 0..3 {
/// #     let (socket, mut peer) = UnixStream::pair()?;
/// #     peer.write_all(b"</stream:stream>")?;
/// #     peer.shutdown(Shutdown::Write)?;
/// #     connections.push(socket);
/// #     peers.push(peer);
/// # }
/// let mut batch = Batch::new()?;
/// for (number, socket) in connections.into_iter().enumerate() {
///     batch.add(socket, &CloseOptions::new(), move |stanza| {
///         println!("stream {number}: still came: {stanza}");
///     })?;
/// }
/// let options = BatchOptions::new()
///     .total(Duration::from_secs(10))
///     .stream_error(StreamError::new(Condition::SystemShutdown)?)
///     .on_progress(|so_far| println!("{so_far}"));
/// let report = batch.run(options)?;
/// println!("{}", report.summary); // 3 streams: 3 clean; 0 late stanzas; 1 ms
/// # assert_eq!(report.summary.count(Outcome::Clean), 3);
/// # Ok(()) }
/// ```
///
/// A program with an event loop waits for the batch's [descriptor](crate::AsSocket) beside its own descriptors. It calls
/// [`turn`](Self::turn) when that is readable, and at the batch's [`deadline`](Self::deadline):
///
/// ```
/// use std::{io::Write, net::Shutdown, os::unix::net::UnixStream, time::{Duration, Instant}};
/// use rustix::event::{PollFd, PollFlags, Timespec, poll};
/// use xmpp_close::{Batch, BatchOptions, CloseOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (idle, mut peer) = UnixStream::pair()?;
/// # peer.write_all(b"</stream:stream>")?;
/// # peer.shutdown(Shutdown::Write)?;
/// let mut batch = Batch::new()?;
/// batch.set(BatchOptions::new().on_end(|index, report| println!("{index}: {report}")))?;
/// // At any time:
/// batch.add(idle, &CloseOptions::new(), |stanza| println!("still came: {stanza}"))?;
/// while batch.turn(Duration::ZERO)? > 0 {
///     let now = Instant::now();
///     let left = batch.deadline().map(|deadline| deadline.saturating_duration_since(now));
///     let timeout = left.and_then(|left| Timespec::try_from(left).ok());
///     // A server waits for its own descriptors as well.
///     poll(&mut [PollFd::new(&batch, PollFlags::IN)], timeout.as_ref())?;
/// }
/// # Ok(()) }
/// ```
pub struct Batch<'a> {
    intake: Arc<Intake<'a>>,
    /// The streams by their indices, which is the order in which they were added.
    members: BTreeMap<usize, Box<Member<'a>>>,
    schedule: Schedule,
    settings: Settings,
    callbacks: Callbacks<'a>,
    progress: Progress,
    /// The reports of streams that have ended, of which the application was not told yet.
    reports: BTreeMap<usize, Report>,
    /// The buffer that is lent to the stream that is moved, so that streams that wait need none.
    buffer: Buffer,
    /// The keys that the last wait found ready.
    ready: Vec<usize>,
}

/// One thread may make a batch, and another use it.
const _: fn() = || {
    fn is_send<T: Send>() {}
    fn is_shared<T: Send + Sync>() {}
    is_send::<Batch<'_>>();
    is_shared::<BatchHandle<'_>>();
};

impl<'a> Batch<'a> {
    /// An empty batch. It holds a few file descriptors.
    ///
    /// # Errors
    /// When the system has no file descriptor left.
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

    /// A handle, which adds streams from callbacks of the batch, and from other threads.
    pub fn handle(&self) -> BatchHandle<'a> {
        BatchHandle(self.intake.clone())
    }

    /// The place where streams are added, for C.
    #[cfg(feature = "capi")]
    pub(crate) fn intake(&self) -> Arc<Intake<'a>> {
        self.intake.clone()
    }

    /// Adds the open stream on `transport`, and returns its index, which no other stream of this batch ever gets. The close
    /// begins in the next turn, or at its moment in the [spread](BatchOptions::spread). `on_stanza` gets the stanzas that
    /// still arrive, for the time of the call; [`Stanza::into_owned`] makes a copy that can be kept.
    ///
    /// ```compile_fail,E0521
    /// # fn f(tcp: std::net::TcpStream) -> Result<(), xmpp_close::Error> {
    /// # let (mut late, options) = (Vec::new(), xmpp_close::CloseOptions::new());
    /// # let mut batch = xmpp_close::Batch::new()?;
    /// batch.add(tcp, &options, |stanza| late.push(stanza))?; // `stanza` escapes
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The transport is dropped then:
    ///
    /// - [`Error::Invalid`] when the options are wrong, as for [`CloseOptions::close`];
    /// - [`Error::Invalid`] when the transport has no descriptor to wait for ([`Transport::watch`]), or its descriptor is in
    ///   the batch already;
    /// - [`Error::Invalid`] when the time of the batch is up, or the batch was stopped;
    /// - [`Error::Invalid`] in a forked child of the process that made the batch;
    /// - [`Error::Io`] when the system has no memory or descriptor left.
    pub fn add<T: Transport + Send + 'a>(
        &mut self,
        transport: T,
        options: &CloseOptions,
        on_stanza: impl FnMut(Stanza<&str>) + Send + 'a,
    ) -> Result<usize, Error> {
        self.handle().add(transport, options, on_stanza)
    }

    /// Adds a whole session's [`Stream`]. The stream knows its closing tag and what was read already, and sends our header
    /// first when that is not out, as [`Stream::close`] does.
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

    /// How many streams are in the batch: those that have not ended, and were not [removed](Self::remove).
    pub fn len(&self) -> usize {
        self.members.len() + self.intake.waiting()
    }

    /// Whether no stream is in the batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The report of a stream that has ended. `None` when the stream has not ended, or its report went to
    /// [`BatchOptions::on_end`] or to [`run`](Self::run). Other reports are kept until the batch is dropped.
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

/// Frames the input of a stream, and hands its stanzas to the application.
fn hand_over<'a>(mut on_stanza: impl FnMut(Stanza<&str>) + Send + 'a) -> OnInput<'a> {
    Box::new(move |driver| {
        driver.frame(Some(&mut on_stanza));
    })
}

/// For poll(2), epoll(7) and the like: readable when a [`turn`](Batch::turn) has something to do. At the batch's
/// [`deadline`](Batch::deadline) it need not be readable. Never read from the descriptor.
#[cfg(unix)]
impl crate::transport::AsSocket for Batch<'_> {
    fn as_fd(&self) -> crate::transport::BorrowedSocket<'_> {
        self.intake.as_fd()
    }
}

/// Streams that are still in the batch are dropped, which ends their connections without a closing tag. In a forked child this
/// disturbs nothing that the parent waits for.
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
