//! Where streams enter the batch: before it runs, from its callbacks, and from other threads.

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{AnyTransport, Member, OnInput, Owner, hand_over};
use crate::{
    cancel::{Canceller, Waker},
    closing::Driver,
    error::{Error, Invalid},
    options::CloseOptions,
    process,
    stream::Stream,
    transport::{BorrowedSocket, Interest, RawSocket, Readiness, Transport, number},
    xml::Stanza,
};

#[cfg(unix)]
use crate::transport::AsSocket;

/// The key under which the bell is watched.
const BELL: usize = usize::MAX;
/// Keys from here on belong to cancellers: this number and their descriptor.
const CANCELLERS: usize = usize::MAX / 2;

/// Adds streams to a [`Batch`](super::Batch) from the batch's own callbacks and from other threads, and wakes the batch. Clones
/// belong to the same batch. A handle may outlive its batch; then it adds nothing any more.
///
/// ```
/// use std::{io::Write, net::Shutdown, os::unix::net::UnixStream};
/// use std::{sync::mpsc, thread, time::Duration};
/// use xmpp_close::{Batch, BatchOptions, CloseOptions, Outcome};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (idle, mut peer) = UnixStream::pair()?;
/// # peer.write_all(b"</stream:stream>")?;
/// # peer.shutdown(Shutdown::Write)?;
/// let (reports, ended) = mpsc::channel();
/// let mut batch = Batch::new()?;
/// batch.set(BatchOptions::new().on_end(move |_, report| _ = reports.send(report.clone())))?;
/// let handle = batch.handle();
/// // This thread closes the streams that the other threads are done with.
/// thread::spawn(move || while batch.turn(Duration::MAX).is_ok() {});
///
/// handle.add(idle, &CloseOptions::new(), |stanza| println!("still came: {stanza}"))?;
/// assert_eq!(ended.recv()?.outcome, Outcome::Clean);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BatchHandle<'a>(pub(super) Arc<Intake<'a>>);

impl<'a> BatchHandle<'a> {
    /// Adds the open stream on `transport`, as [`Batch::add`](super::Batch::add) does.
    ///
    /// # Errors
    /// As for [`Batch::add`](super::Batch::add), and [`Error::Invalid`] when the batch was dropped.
    pub fn add<T: Transport + Send + 'a>(
        &self,
        transport: T,
        options: &CloseOptions,
        on_stanza: impl FnMut(Stanza<&str>) + Send + 'a,
    ) -> Result<usize, Error> {
        options.check()?;
        let driver = Driver::new(Box::new(transport) as AnyTransport<'a>, options.clone())?;
        self.0.add(driver, hand_over(on_stanza), None)
    }

    /// Adds a whole session's stream, as [`Batch::add_stream`](super::Batch::add_stream) does.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn add_stream<T: Transport + Send + 'a>(
        &self,
        stream: Stream<T>,
        options: &CloseOptions,
        on_stanza: impl FnMut(Stanza<&str>) + Send + 'a,
    ) -> Result<usize, Error> {
        let driver = stream.into_driver(options)?.map(|transport| Box::new(transport) as AnyTransport<'a>);
        self.0.add(driver, hand_over(on_stanza), None)
    }
}

impl BatchHandle<'_> {
    /// Ends the wait of a [`turn`](super::Batch::turn), or makes the next turn not wait, so that the thread that calls `turn`
    /// can look after other things.
    pub fn wake(&self) {
        self.0.ring();
    }
}

impl fmt::Debug for BatchHandle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchHandle").finish_non_exhaustive()
    }
}

/// Shared by the batch and its handles. While a callback runs, the batch itself is busy with a stream, so a callback adds
/// streams here.
pub(crate) struct Intake<'a> {
    readiness: Readiness,
    /// Rings when there is something to do that no stream's descriptor shows.
    bell: Waker,
    process: process::Owner,
    /// Whether a stream among the entries is to leave.
    leaves: AtomicBool,
    entries: Mutex<Entries<'a>>,
}

/// Takes a stream that leaves the batch.
pub(crate) type Leaving<'a> = Box<dyn FnOnce(Driver<AnyTransport<'a>>) + Send + 'a>;

struct Entries<'a> {
    /// Streams that were added, and that the batch has not taken yet.
    added: Vec<(usize, Box<Member<'a>>)>,
    /// Streams of which their owners asked something.
    called: Vec<usize>,
    /// Streams that are to leave, and where they go.
    leaving: Vec<(usize, Leaving<'a>)>,
    /// The descriptors of all streams that have not ended, also of those that are not watched during a pause.
    descriptors: HashSet<RawSocket>,
    /// The cancellers that wake the batch, each with the number of its users.
    cancellers: HashMap<RawSocket, (Canceller, usize)>,
    next_index: usize,
    /// Why no stream can be added any more.
    shut: Option<Invalid>,
}

/// What is ready.
pub(super) enum Ready {
    Stream(usize),
    Canceller,
    Bell,
}

impl<'a> Intake<'a> {
    pub(super) fn new() -> io::Result<Self> {
        let (readiness, bell) = (Readiness::new()?, Waker::new()?);
        readiness.watch(bell.fd(), BELL, None, Some(Interest::READ))?;
        let entries = Entries {
            added: Vec::new(),
            called: Vec::new(),
            leaving: Vec::new(),
            descriptors: HashSet::new(),
            cancellers: HashMap::new(),
            next_index: 0,
            shut: None,
        };
        Ok(Self {
            readiness,
            bell,
            process: process::Owner::this_process(),
            leaves: AtomicBool::new(false),
            entries: Mutex::new(entries),
        })
    }

    /// No callback may be called while this lock is held.
    fn entries(&self) -> MutexGuard<'_, Entries<'a>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a forked child of the process that made the batch: a descriptor that the child watches would be watched by
    /// the parent.
    pub(super) fn check_owner(&self) -> Result<(), Error> {
        if self.process.is_this_process() { Ok(()) } else { Err(Invalid::Forked.into()) }
    }

    /// Adds a stream. A stream from C has an owner, which goes on using it.
    pub(crate) fn add(
        &self,
        driver: Driver<AnyTransport<'a>>,
        on_input: OnInput<'a>,
        owner: Option<Box<dyn Owner<'a> + 'a>>,
    ) -> Result<usize, Error> {
        self.check_owner()?;
        let mut member = Some(Box::new(Member::new(driver, on_input, owner)));
        let result = self.insert(&mut member);
        if let Some(refused) = member {
            refused.give_back();
        }
        result
    }

    /// Takes the member, or refuses it and leaves it where it is.
    fn insert(&self, member: &mut Option<Box<Member<'a>>>) -> Result<usize, Error> {
        let Some(added) = member.as_deref() else { return Err(Error::Closed) };
        let canceller = added.driver.canceller().cloned();
        let Some(fd) = added.fd() else {
            return Err(Invalid::NoDescriptor.into());
        };
        let mut entries = self.entries();
        if let Some(reason) = entries.shut {
            return Err(reason.into());
        }
        let no_memory = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        entries.added.try_reserve(1).map_err(no_memory)?;
        entries.descriptors.try_reserve(1).map_err(no_memory)?;
        let number = number(fd);
        if !entries.descriptors.insert(number) {
            return Err(Invalid::SecondTime.into());
        }
        let index = entries.next_index;
        let watching = self.readiness.watch(fd, index, None, added.watch.on);
        let all =
            watching.and_then(|()| canceller.iter().try_for_each(|each| self.watch_canceller(&mut entries, each)));
        if let Err(error) = all {
            self.readiness.forget(fd);
            entries.descriptors.remove(&number);
            return Err(match error.kind() {
                // This is what epoll says about a file. Where kqueue can wait for a file, it may be in a batch.
                io::ErrorKind::PermissionDenied => Invalid::Unwaitable.into(),
                _ => error.into(),
            });
        }
        entries.added.extend(member.take().map(|added| (index, added)));
        entries.next_index += 1;
        drop(entries);
        self.bell.wake();
        Ok(index)
    }

    /// Forgets a stream that is not in the batch any more.
    pub(super) fn forget(&self, member: &Member<'_>) {
        let (fd, canceller) = (member.fd(), member.driver.canceller());
        self.leave(&mut self.entries(), fd, canceller);
    }

    fn leave(&self, entries: &mut Entries<'_>, fd: Option<BorrowedSocket<'_>>, canceller: Option<&Canceller>) {
        if let Some(fd) = fd {
            self.readiness.forget(fd);
            entries.descriptors.remove(&number(fd));
        }
        if let Some(canceller) = canceller {
            self.unwatch_canceller(entries, canceller);
        }
    }

    /// The owner has asked something of a stream, so the stream gets a turn soon.
    #[cfg(feature = "capi")]
    pub(crate) fn call(&self, index: usize) {
        self.entries().called.push(index);
        self.bell.wake();
    }

    /// A stream leaves, and no callback is called. `to` gets it as soon as the batch is not busy with another stream. Its
    /// descriptor is forgotten at once, because the owner may close it.
    #[cfg(feature = "capi")]
    pub(crate) fn release(&self, index: usize, fd: BorrowedSocket<'_>, canceller: Option<&Canceller>, to: Leaving<'a>) {
        let mut entries = self.entries();
        self.leave(&mut entries, Some(fd), canceller);
        entries.leaving.push((index, to));
        self.leaves.store(true, Relaxed);
        drop(entries);
        self.bell.wake();
    }

    /// Takes the streams of which something was asked.
    pub(super) fn take_called(&self) -> Vec<usize> {
        std::mem::take(&mut self.entries().called)
    }

    /// Takes the streams that are to leave.
    pub(super) fn take_leaving(&self) -> Vec<(usize, Leaving<'a>)> {
        if self.leaves.swap(false, Relaxed) { std::mem::take(&mut self.entries().leaving) } else { Vec::new() }
    }

    /// Takes the streams that were added, in the order of their indices.
    pub(super) fn take(&self) -> Vec<(usize, Box<Member<'a>>)> {
        std::mem::take(&mut self.entries().added)
    }

    /// Whether streams were added, are to leave, or were asked for something.
    pub(super) fn has_news(&self) -> bool {
        let entries = self.entries();
        !(entries.added.is_empty() && entries.called.is_empty() && entries.leaving.is_empty())
    }

    /// How many streams were added, and not taken yet.
    pub(super) fn waiting(&self) -> usize {
        self.entries().added.len()
    }

    /// Lets a canceller wake the batch.
    pub(super) fn add_canceller(&self, canceller: &Canceller) -> io::Result<()> {
        self.watch_canceller(&mut self.entries(), canceller)
    }

    /// Lets a canceller not wake the batch any more, unless a stream needs it.
    pub(super) fn drop_canceller(&self, canceller: &Canceller) {
        self.unwatch_canceller(&mut self.entries(), canceller);
    }

    fn watch_canceller(&self, entries: &mut Entries<'_>, canceller: &Canceller) -> io::Result<()> {
        let fd = number(canceller.wake());
        if let Some((_, users)) = entries.cancellers.get_mut(&fd) {
            *users += 1;
            return Ok(());
        }
        self.readiness.watch(canceller.wake(), CANCELLERS + fd as usize, None, Some(Interest::READ))?;
        entries.cancellers.insert(fd, (canceller.clone(), 1));
        Ok(())
    }

    fn unwatch_canceller(&self, entries: &mut Entries<'_>, canceller: &Canceller) {
        let fd = number(canceller.wake());
        if let Some((_, users)) = entries.cancellers.get_mut(&fd) {
            *users -= 1;
            if *users == 0 {
                self.readiness.forget(canceller.wake());
                entries.cancellers.remove(&fd);
            }
        }
    }

    /// Watches the descriptor of a stream for other directions than before.
    pub(super) fn watch(
        &self,
        fd: BorrowedSocket<'_>,
        index: usize,
        before: Option<Interest>,
        now: Option<Interest>,
    ) -> io::Result<()> {
        self.readiness.watch(fd, index, before, now)
    }

    /// Waits until something is ready, or `limit` has passed; stores the keys of what is ready.
    pub(super) fn wait(&self, limit: Duration, ready: &mut Vec<usize>) -> io::Result<()> {
        self.readiness.wait(limit, ready)
    }

    /// What a key stands for. A canceller that was used stays readable for ever, so it is not watched any more.
    pub(super) fn ready(&self, key: usize) -> Ready {
        if key < CANCELLERS {
            return Ready::Stream(key);
        }
        if key == BELL {
            self.bell.take();
            return Ready::Bell;
        }
        if let Some((canceller, _)) = self.entries().cancellers.get(&((key - CANCELLERS) as RawSocket)) {
            self.readiness.forget(canceller.wake());
        }
        Ready::Canceller
    }

    /// Makes the descriptor readable until the next turn.
    pub(super) fn ring(&self) {
        self.bell.wake();
    }

    pub(super) fn silence(&self) {
        self.bell.take();
    }

    /// Refuses all streams that are added from now on, for this reason. `None` takes them again.
    pub(super) fn shut(&self, reason: Option<Invalid>) {
        self.entries().shut = reason;
    }
}

#[cfg(feature = "capi")]
impl Intake<'_> {
    /// The number of the descriptor that is readable when a turn has something to do.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> RawSocket {
        number(self.readiness.as_fd())
    }

    /// Windows has no such socket.
    #[cfg(windows)]
    pub(crate) fn descriptor(&self) -> RawSocket {
        crate::transport::NO_SOCKET
    }
}

/// Readable when a turn has something to do.
#[cfg(unix)]
impl AsSocket for Intake<'_> {
    fn as_fd(&self) -> BorrowedSocket<'_> {
        self.readiness.as_fd()
    }
}
