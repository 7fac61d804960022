//! Many streams closed in one thread, under one deadline (feature `batch`): [`Batch`].

mod clock;
mod options;
mod run;
mod summary;

use std::{fmt, io, os::fd::BorrowedFd, time::Instant};

pub use options::BatchOptions;
pub use summary::{BatchReport, Summary};

use crate::{
    cancel::Canceller,
    closing::{Driver, Opened},
    error::Error,
    options::CloseOptions,
    report::Report,
    stream::Stream,
    transport::{Interest, Readiness, Transport},
    xml::Stanza,
};

type AnyTransport<'a> = Box<dyn Transport + 'a>;
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
    readiness: Readiness,
    members: Vec<Slot<'a>>,
    cancellers: Vec<Canceller>,
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
    /// When its pause ends, if it has one.
    pause: Option<Instant>,
    /// Times in a row that it was ready and nothing moved.
    fruitless: u32,
}

impl Slot<'_> {
    /// Something is to be done before anything comes.
    fn is_urgent(&self) -> bool {
        match self {
            Self::Running(member) => member.driver.must_start() || member.driver.has_input(),
            Self::Ended(_) => false,
        }
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
        Ok(Self { readiness: Readiness::new()?, members: Vec::new(), cancellers: Vec::new() })
    }

    /// Adds the open stream on `transport`, and returns its index. What still arrives on it is lent to `on_stanza`,
    /// without a copy; [`Stanza::into_owned`] makes one that can be kept.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the options make no sense, when the transport has no descriptor that can be waited for
    /// ([`Transport::watch`]), or one that is in the batch already; [`Error::Io`] when the system has no room for more.
    /// The transport is dropped then.
    pub fn add<T: Transport + 'a>(
        &mut self,
        transport: T,
        options: &CloseOptions,
        on_stanza: impl FnMut(Stanza<&str>) + 'a,
    ) -> Result<usize, Error> {
        self.add_opened(Box::new(transport), options, Opened::between_stanzas(options)?, hand_over(on_stanza))
    }

    /// The same for a whole session's [`Stream`], which knows its closing tag and what was read already.
    ///
    /// # Errors
    /// As for [`add`](Self::add), and as for [`Stream::begin`].
    pub fn add_stream<T: Transport + 'a>(
        &mut self,
        stream: Stream<T>,
        options: &CloseOptions,
        on_stanza: impl FnMut(Stanza<&str>) + 'a,
    ) -> Result<usize, Error> {
        let (transport, options, opened) = stream.into_open(options)?;
        self.add_opened(Box::new(transport), &options, opened, hand_over(on_stanza))
    }

    pub(crate) fn add_opened(
        &mut self,
        transport: AnyTransport<'a>,
        options: &CloseOptions,
        opened: Opened,
        handle: Handle<'a>,
    ) -> Result<usize, Error> {
        let index = self.members.len();
        let driver = Driver::new(transport, options, opened)?;
        let watched = Some(Interest::READ);
        let member =
            Member { driver, handle, started: false, put_off: false, watched, timer: None, pause: None, fruitless: 0 };
        match member.fd().map(|fd| self.readiness.watch(fd, index, None, watched)) {
            Some(Ok(())) => {}
            Some(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::Invalid("this descriptor is in the batch already"));
            }
            // So epoll says of a file; where kqueue can wait for one, it may be in a batch.
            Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::Invalid("nothing can wait for this kind of descriptor"));
            }
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Error::Invalid("this transport has no descriptor that a batch could wait for")),
        }
        if let Some(canceller) = &options.canceller {
            if let Err(error) = self.watch_canceller(canceller) {
                member.fd().inspect(|fd| self.readiness.forget(*fd));
                return Err(error.into());
            }
        }
        self.members.push(Slot::Running(Box::new(member)));
        Ok(index)
    }

    /// How many streams are in it.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// There is none in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Lets a canceller wake the batch.
    fn watch_canceller(&mut self, canceller: &Canceller) -> io::Result<()> {
        let key = CANCELLERS + self.cancellers.len();
        match self.readiness.watch(canceller.wake(), key, None, Some(Interest::READ)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                self.cancellers.push(canceller.clone());
                Ok(())
            }
        }
    }
}

/// The framing is ours, the stanzas are the application's.
fn hand_over<'a>(mut on_stanza: impl FnMut(Stanza<&str>) + 'a) -> Handle<'a> {
    Box::new(move |driver| {
        driver.frame(Some(&mut |xml, header| on_stanza(Stanza::lent(&String::from_utf8_lossy(xml), header))));
    })
}

/// Streams that were never closed end here, as any socket that is dropped.
impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for slot in &self.members {
            if let Slot::Running(member) = slot {
                member.fd().inspect(|fd| self.readiness.forget(*fd));
            }
        }
        for canceller in &self.cancellers {
            self.readiness.forget(canceller.wake());
        }
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("streams", &self.members.len()).finish_non_exhaustive()
    }
}
