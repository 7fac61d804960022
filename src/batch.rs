//! Many streams closed in one thread, under one deadline (feature `batch`): [`Batch`].

mod clock;
mod intake;
mod options;
mod run;
mod summary;

use std::{fmt, io, os::fd::BorrowedFd, rc::Rc, time::Instant};

pub(crate) use intake::Intake;
pub use options::BatchOptions;
pub use summary::{BatchReport, Summary};

use crate::{
    closing::Driver,
    error::Error,
    options::CloseOptions,
    report::Report,
    stream::Stream,
    transport::{Interest, Transport},
    xml::Stanza,
};

pub(crate) type AnyTransport<'a> = Box<dyn Transport + 'a>;
/// Handles what was read from one stream.
pub(crate) type Handle<'a> = Box<dyn FnMut(&mut Driver<AnyTransport<'a>>) + 'a>;

/// Streams to be closed together: by a server that goes down, say.
///
/// Each is closed by the same handshake as by [`CloseOptions::begin`], with options and a limit of its own; all of them are
/// waited for at once, so that the set takes no longer than its slowest stream (BK-05), and what each costs does not grow
/// with their number. Nothing is read or written before [`run`](Self::run).
///
/// ```no_run
/// # fn f(connections: Vec<std::net::TcpStream>) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use xmpp_close::{Batch, BatchOptions, CloseOptions, StreamError};
///
/// let mut batch = Batch::new()?;
/// for (number, tcp) in connections.into_iter().enumerate() {
///     batch.add(tcp, &CloseOptions::new(), move |stanza| println!("{number}: still came: {stanza}"))?;
/// }
/// let options = BatchOptions::new()
///     .total(Duration::from_secs(10))
///     .stream_error(StreamError::new("system-shutdown")?)
///     .on_progress(|so_far| println!("{so_far}"));
/// let report = batch.run(options)?;
/// println!("{}", report.summary); // 9000 streams: 8910 clean, 90 timed-out; 17 late stanzas; 10002 ms
/// # Ok(()) }
/// ```
pub struct Batch<'a> {
    intake: Rc<Intake<'a>>,
    members: Vec<Slot<'a>>,
}

/// Keys above this are those of cancellers.
const CANCELLERS: usize = usize::MAX / 2;

enum Slot<'a> {
    Running(Box<Member<'a>>),
    Ended(Report),
}

struct Member<'a> {
    driver: Driver<AnyTransport<'a>>,
    handle: Handle<'a>,
    started: bool,
    /// Its next turn will come, whether it becomes ready or not.
    put_off: bool,
    /// What its descriptor is watched for, if it is.
    watched: Option<Interest>,
    /// When its time is looked at next.
    timer: Option<Instant>,
    /// What has come does not always show: it is tried again and again, with pauses.
    holds_back: bool,
    /// When its pause ends, if it has one.
    pause: Option<Instant>,
}

impl Slot<'_> {
    /// True when something is to be done before anything comes: then its turn will come.
    fn put_off_if_urgent(&mut self) -> bool {
        let Self::Running(member) = self else { return false };
        member.put_off = member.driver.must_start() || member.driver.has_input() || member.holds_back;
        member.put_off
    }
}

impl Member<'_> {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.driver.transport().watch(Interest::READ).map(|(fd, _)| fd)
    }
}

impl<'a> Batch<'a> {
    /// An empty batch. It holds a few descriptors.
    ///
    /// # Errors
    /// When the system has no more of them.
    pub fn new() -> io::Result<Self> {
        Ok(Self { intake: Rc::new(Intake::new()?), members: Vec::new() })
    }

    /// Where to add, also while it runs.
    #[cfg(feature = "capi")]
    pub(crate) fn intake(&self) -> Rc<Intake<'a>> {
        self.intake.clone()
    }

    /// Adds the open stream on `transport`, and returns its index. What still arrives on it is lent to `on_stanza`,
    /// without a copy; [`Stanza::into_owned`] makes one that can be kept.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the options make no sense, when the transport has no descriptor that can be waited for
    /// ([`Transport::watch`]), or one that is in the batch already, and in a forked child of the process that made the
    /// batch; [`Error::Io`] when the system has no room for more.
    /// The transport is dropped then.
    pub fn add<T: Transport + 'a>(
        &mut self,
        transport: T,
        options: &CloseOptions,
        on_stanza: impl FnMut(Stanza<&str>) + 'a,
    ) -> Result<usize, Error> {
        options.check()?;
        let driver = Driver::new(Box::new(transport) as AnyTransport<'a>, options.clone())?;
        self.intake.add(driver, hand_over(on_stanza))
    }

    /// The same for a whole session's [`Stream`], which knows its closing tag and what was read already, and sends our
    /// header in front of that if none is out, as [`Stream::close`] does.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn add_stream<T: Transport + 'a>(
        &mut self,
        stream: Stream<T>,
        options: &CloseOptions,
        on_stanza: impl FnMut(Stanza<&str>) + 'a,
    ) -> Result<usize, Error> {
        let driver = stream.into_driver(options)?.map(|transport| Box::new(transport) as AnyTransport<'a>);
        self.intake.add(driver, hand_over(on_stanza))
    }

    /// How many streams are in it.
    pub fn len(&self) -> usize {
        self.intake.count()
    }

    fn clear(&mut self) {
        for slot in self.members.drain(..).chain(self.intake.take()) {
            if let Slot::Running(member) = slot {
                member.fd().inspect(|fd| self.intake.forget(*fd));
            }
        }
        self.intake.reset();
    }

    /// There is none in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The framing is ours, the stanzas are the application's.
fn hand_over<'a>(mut on_stanza: impl FnMut(Stanza<&str>) + 'a) -> Handle<'a> {
    Box::new(move |driver| {
        driver.frame(Some(&mut on_stanza));
    })
}

/// Streams that were never closed end here, as any socket that is dropped. In a child of the process that made it, the
/// parent still waits for its own.
impl Drop for Batch<'_> {
    fn drop(&mut self) {
        if self.intake.check_owner().is_ok() {
            self.clear();
        }
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("streams", &self.len()).finish_non_exhaustive()
    }
}
