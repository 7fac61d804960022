//! Where streams come in: before the batch runs, from its callbacks, and from other threads.

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
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
    transport::{Interest, Readiness, Transport},
    xml::Stanza,
};

/// The key of the bell.
const BELL: usize = usize::MAX;
/// Keys from here on are those of cancellers, by their descriptors.
const CANCELLERS: usize = usize::MAX / 2;

/// Puts streams into a [`Batch`](super::Batch) from its own callbacks, and from other threads: it wakes the batch. Clones
/// are for the same batch; once that is gone, nothing can be added any more.
///
/// ```no_run
/// # fn f(idle: std::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
/// use std::{thread, time::Duration};
/// use xmpp_close::{Batch, CloseOptions};
///
/// let mut batch = Batch::new()?;
/// let handle = batch.handle();
/// // One thread closes what the others are done with.
/// thread::spawn(move || while batch.turn(Duration::MAX).is_ok() {});
/// handle.add(idle, &CloseOptions::new(), |stanza| println!("still came: {stanza}"))?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct BatchHandle<'a>(pub(super) Arc<Intake<'a>>);

impl<'a> BatchHandle<'a> {
    /// As [`Batch::add`](super::Batch::add).
    ///
    /// # Errors
    /// As there; and [`Error::Invalid`] when the time of the batch is up, or it was stopped, or is gone.
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

    /// As [`Batch::add_stream`](super::Batch::add_stream).
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
    /// Ends the wait of a [`turn`](super::Batch::turn), or lets the next one not wait: so that the thread that turns it looks
    /// at what else there is.
    pub fn wake(&self) {
        self.0.ring();
    }
}

impl fmt::Debug for BatchHandle<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchHandle").finish_non_exhaustive()
    }
}

/// Shared by the batch and whoever adds to it, so that nobody needs the batch itself, which is moving a stream when a
/// callback is called.
pub(crate) struct Intake<'a> {
    readiness: Readiness,
    /// Rings when something is to be done that shows on no descriptor.
    bell: Waker,
    process: process::Owner,
    /// There is one among the entries that is to leave.
    leaves: AtomicBool,
    entries: Mutex<Entries<'a>>,
}

/// Takes a stream that leaves the batch.
pub(crate) type Leaving<'a> = Box<dyn FnOnce(Driver<AnyTransport<'a>>) + Send + 'a>;

struct Entries<'a> {
    /// Added, and not looked at by the batch yet.
    added: Vec<(usize, Box<Member<'a>>)>,
    /// Something was asked of these.
    called: Vec<usize>,
    /// These are to leave, and where they go.
    leaving: Vec<(usize, Leaving<'a>)>,
    /// The descriptors of those that have not ended; in a pause none is watched, but it is in the batch.
    descriptors: HashSet<RawFd>,
    /// Those that wake the batch, and how many need each.
    cancellers: HashMap<RawFd, (Canceller, usize)>,
    next_index: usize,
    /// Why nothing can begin any more.
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

    /// No callback is called while it is held.
    fn entries(&self) -> MutexGuard<'_, Entries<'a>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is waited for in a child of the process that made it, the parent would wait for.
    pub(super) fn check_owner(&self) -> Result<(), Error> {
        if self.process.is_this_process() { Ok(()) } else { Err(Invalid::Forked.into()) }
    }

    /// In C with an owner, who goes on using it.
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

    /// Takes it, unless it is refused.
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
        let number = fd.as_raw_fd();
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
                // So epoll says of a file; where kqueue can wait for one, it may be in a batch.
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

    /// A stream is not in the batch any more.
    pub(super) fn forget(&self, member: &Member<'_>) {
        let (fd, canceller) = (member.fd(), member.driver.canceller());
        self.leave(&mut self.entries(), fd, canceller);
    }

    fn leave(&self, entries: &mut Entries<'_>, fd: Option<BorrowedFd<'_>>, canceller: Option<&Canceller>) {
        if let Some(fd) = fd {
            self.readiness.forget(fd);
            entries.descriptors.remove(&fd.as_raw_fd());
        }
        if let Some(canceller) = canceller {
            self.unwatch_canceller(entries, canceller);
        }
    }

    /// Something was asked of a stream: it has a turn soon.
    #[cfg(feature = "capi")]
    pub(crate) fn call(&self, index: usize) {
        self.entries().called.push(index);
        self.bell.wake();
    }

    /// A stream leaves, and nobody is told. It goes to `to` as soon as the batch is not busy with another; its descriptor is
    /// forgotten at once, for its owner may close that.
    #[cfg(feature = "capi")]
    pub(crate) fn release(&self, index: usize, fd: BorrowedFd<'_>, canceller: Option<&Canceller>, to: Leaving<'a>) {
        let mut entries = self.entries();
        self.leave(&mut entries, Some(fd), canceller);
        entries.leaving.push((index, to));
        self.leaves.store(true, Relaxed);
        drop(entries);
        self.bell.wake();
    }

    /// Of what something was asked since the last time.
    pub(super) fn take_called(&self) -> Vec<usize> {
        std::mem::take(&mut self.entries().called)
    }

    /// Which are to leave, if there are any.
    pub(super) fn take_leaving(&self) -> Vec<(usize, Leaving<'a>)> {
        if self.leaves.swap(false, Relaxed) { std::mem::take(&mut self.entries().leaving) } else { Vec::new() }
    }

    /// What was added since the last time, in the order of its indices.
    pub(super) fn take(&self) -> Vec<(usize, Box<Member<'a>>)> {
        std::mem::take(&mut self.entries().added)
    }

    /// Something was added or asked since.
    pub(super) fn has_news(&self) -> bool {
        let entries = self.entries();
        !(entries.added.is_empty() && entries.called.is_empty() && entries.leaving.is_empty())
    }

    /// How many were added since.
    pub(super) fn waiting(&self) -> usize {
        self.entries().added.len()
    }

    /// Lets a canceller wake the batch.
    pub(super) fn add_canceller(&self, canceller: &Canceller) -> io::Result<()> {
        self.watch_canceller(&mut self.entries(), canceller)
    }

    /// Nobody needs it for this any more.
    pub(super) fn drop_canceller(&self, canceller: &Canceller) {
        self.unwatch_canceller(&mut self.entries(), canceller);
    }

    fn watch_canceller(&self, entries: &mut Entries<'_>, canceller: &Canceller) -> io::Result<()> {
        let fd = canceller.wake().as_raw_fd();
        if let Some((_, users)) = entries.cancellers.get_mut(&fd) {
            *users += 1;
            return Ok(());
        }
        self.readiness.watch(canceller.wake(), CANCELLERS + fd as usize, None, Some(Interest::READ))?;
        entries.cancellers.insert(fd, (canceller.clone(), 1));
        Ok(())
    }

    fn unwatch_canceller(&self, entries: &mut Entries<'_>, canceller: &Canceller) {
        let fd = canceller.wake().as_raw_fd();
        if let Some((_, users)) = entries.cancellers.get_mut(&fd) {
            *users -= 1;
            if *users == 0 {
                self.readiness.forget(canceller.wake());
                entries.cancellers.remove(&fd);
            }
        }
    }

    /// Watches the descriptor of a stream for something else than before.
    pub(super) fn watch(
        &self,
        fd: BorrowedFd<'_>,
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

    /// What a key stands for. A canceller that was used goes on ringing, so it is not watched any more.
    pub(super) fn ready(&self, key: usize) -> Ready {
        if key < CANCELLERS {
            return Ready::Stream(key);
        }
        if key == BELL {
            self.bell.take();
            return Ready::Bell;
        }
        if let Some((canceller, _)) = self.entries().cancellers.get(&((key - CANCELLERS) as RawFd)) {
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

    /// Refuses all that comes now, for a reason; `None` ends that.
    pub(super) fn shut(&self, reason: Option<Invalid>) {
        self.entries().shut = reason;
    }
}

/// Readable when a turn has something to do.
impl AsFd for Intake<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readiness.as_fd()
    }
}
