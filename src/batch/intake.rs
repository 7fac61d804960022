//! Where streams come in: before the batch runs, and from the callbacks of those that are in it.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    io,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
};

use super::{AnyTransport, CANCELLERS, Handle, Member, Slot};
use crate::{
    cancel::Canceller,
    closing::Driver,
    error::Error,
    process::Owner,
    transport::{Interest, Readiness, holds_back},
};

/// Shared by the batch and whoever adds to it, so that nobody needs the batch itself, which is moving a stream when a
/// callback is called.
pub(crate) struct Intake<'a> {
    pub(super) readiness: Readiness,
    pub(super) cancellers: RefCell<Vec<Canceller>>,
    /// The descriptors of those that have not ended; in a pause none is watched, but it is in the batch.
    descriptors: RefCell<HashSet<RawFd>>,
    /// Added, and not looked at by the batch yet.
    added: RefCell<Vec<Slot<'a>>>,
    /// How many were added, and so the next index.
    count: Cell<usize>,
    /// The time is up, or all was stopped: nothing can begin any more.
    is_shut: Cell<bool>,
    owner: Owner,
}

impl<'a> Intake<'a> {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            readiness: Readiness::new()?,
            cancellers: RefCell::default(),
            descriptors: RefCell::default(),
            added: RefCell::default(),
            count: Cell::new(0),
            is_shut: Cell::new(false),
            owner: Owner::this_process(),
        })
    }

    /// What is waited for in a child of the process that made it, the parent would wait for.
    pub(super) fn check_owner(&self) -> Result<(), Error> {
        let invalid = Error::Invalid("this batch belongs to the parent process");
        if self.owner.is_this_process() { Ok(()) } else { Err(invalid) }
    }

    pub(crate) fn add(&self, driver: Driver<AnyTransport<'a>>, handle: Handle<'a>) -> Result<usize, Error> {
        self.check_owner()?;
        if self.is_shut.get() {
            return Err(Error::Invalid("the batch is over"));
        }
        let index = self.count.get();
        let canceller = driver.canceller().cloned();
        self.added.borrow_mut().try_reserve(1).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let watched = Some(Interest::READ);
        let holds_back = driver.transport().watch(Interest::READ).is_some_and(|(fd, _)| holds_back(fd));
        let member =
            Member { driver, handle, started: false, put_off: false, watched, timer: None, pause: None, holds_back };
        let Some(fd) = member.fd() else {
            return Err(Error::Invalid("this transport has no descriptor that a batch could wait for"));
        };
        self.descriptors.borrow_mut().try_reserve(1).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        if !self.descriptors.borrow_mut().insert(fd.as_raw_fd()) {
            return Err(Error::Invalid("this descriptor is in the batch already"));
        }
        let watching = self.readiness.watch(fd, index, None, watched);
        if let Err(error) = watching.and_then(|()| canceller.iter().try_for_each(|each| self.watch_canceller(each))) {
            self.forget(fd);
            return Err(match error.kind() {
                // So epoll says of a file; where kqueue can wait for one, it may be in a batch.
                io::ErrorKind::PermissionDenied => Error::Invalid("nothing can wait for this kind of descriptor"),
                _ => error.into(),
            });
        }
        self.added.borrow_mut().push(Slot::Running(Box::new(member)));
        self.count.set(index + 1);
        Ok(index)
    }

    /// A stream has ended.
    pub(super) fn forget(&self, fd: BorrowedFd<'_>) {
        self.readiness.forget(fd);
        self.descriptors.borrow_mut().remove(&fd.as_raw_fd());
    }

    /// How many are in the batch.
    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// What was added since the last time, in the order of its indices.
    pub(super) fn take(&self) -> Vec<Slot<'a>> {
        self.added.take()
    }

    /// Lets a canceller wake the batch.
    pub(super) fn watch_canceller(&self, canceller: &Canceller) -> io::Result<()> {
        let mut cancellers = self.cancellers.borrow_mut();
        let key = CANCELLERS + cancellers.len();
        match self.readiness.watch(canceller.wake(), key, None, Some(Interest::READ)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                cancellers.push(canceller.clone());
                Ok(())
            }
        }
    }

    /// Refuses all that comes now.
    pub(super) fn shut(&self) {
        self.is_shut.set(true);
    }

    /// The batch is empty again.
    pub(super) fn reset(&self) {
        for canceller in self.cancellers.take() {
            self.readiness.forget(canceller.wake());
        }
        self.count.set(0);
        self.is_shut.set(false);
    }
}
