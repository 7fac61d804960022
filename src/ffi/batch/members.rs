//! The streams of a batch

#![allow(non_camel_case_types, reason = "the names are those of the C API")]

use std::{
    cell::Cell,
    ffi::c_int,
    rc::Rc,
    sync::{Arc, Mutex},
};

use super::{
    super::{
        blocking::connected_socket,
        callbacks::{Callbacks, xmpp_close_transport},
        guard::{self, INVALID, Refusal, SYSTEM, Userdata, guard},
        options::{self, Taker, User, xmpp_close_options},
        report::xmpp_close_report,
        sized::Out,
        socket::xmpp_close_socket,
        stream::{self, Body, Driven, Host, Started, xmpp_close_stream},
    },
    Known, lock, xmpp_close_batch,
};
use crate::{
    batch::{AnyTransport, Intake, Leaving, Owner},
    cancel::Canceller,
    closing::Driver,
    transport::{Interest, NO_SOCKET, Transport, codes, number, numbered},
};

/// What is known of one stream in the batch.
pub(super) struct Member {
    pub(super) userdata: Userdata,
    place: Rc<Place>,
    /// The handle, if there is one.
    handle: Option<(*mut xmpp_close_stream, Rc<Body>)>,
    taker: Taker,
}

// SAFETY: the header says that a program uses a batch and its streams in one thread at a time.
unsafe impl Send for Member {}

/// Where the stream of a handle is: in this batch, at this index.
struct Place {
    intake: Arc<Intake<'static>>,
    known: Arc<Mutex<Known>>,
    index: usize,
    fd: xmpp_close_socket,
    canceller: Option<Canceller>,
    /// The stream is on its way out.
    left: Cell<bool>,
}

impl Place {
    /// The stream leaves the batch without on_end. Soon it goes to `to`.
    fn release(&self, to: Leaving<'static>) {
        if !self.left.replace(true) {
            lock(&self.known).members.remove(&self.index);
            // SAFETY: its stream is in the batch, so the header demands that it is open. If it is not, system calls fail.
            if let Some(fd) = unsafe { numbered(self.fd) } {
                self.intake.release(self.index, fd, self.canceller.as_ref(), to);
            }
        }
    }
}

impl Host for Place {
    fn ring(&self) {
        self.intake.call(self.index);
    }

    fn forget(&self) {
        self.release(Box::new(drop));
    }
}

/// A stream in the batch that its program goes on using.
struct Lent {
    body: Rc<Body>,
    taker: Taker,
    userdata: Userdata,
}

// SAFETY: as for `Member`.
unsafe impl Send for Lent {}

impl Lent {
    fn hand_over(&self, driver: &mut Driven) {
        self.body.hand_over(&self.taker, driver);
    }
}

impl Owner<'static> for Lent {
    fn enter(&self, driver: &mut Driven) -> bool {
        self.body.enter(driver)
    }

    fn exchange(&self, driver: &mut Driven) -> bool {
        self.body.exchange(driver);
        !self.body.is_freed()
    }

    fn leave(&self, driver: &mut Driven) -> bool {
        self.body.leave(driver)
    }

    fn take_back(&self, driver: Driven) {
        self.body.came_home(Box::new(Started { driver, taker: self.taker, userdata: self.userdata.get() }));
    }
}

/// Adds a stream on a connected stream socket, as for xmpp_close_fd(): between
/// turns, or in a callback. Its close begins as soon as the batch has a turn, or
/// when its moment in the spread comes. Nothing is read or written before. Until
/// the stream has ended, or until _free, its descriptor must stay open, and its
/// callbacks and their userdata valid.
///
/// Stores the stream's index, unless index is NULL: the first is 0, the next 1,
/// and no index is used twice.
///
/// XMPP_CLOSE_ERR_INVALID, beside the usual reasons: the descriptor is in the
/// batch already, or the time of the batch is up, or the batch was stopped.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_add(
    batch: *mut xmpp_close_batch,
    fd: xmpp_close_socket,
    options: *const xmpp_close_options,
    index: *mut usize,
) -> c_int {
    // SAFETY: the header says what the pointers must be.
    guard(|| unsafe { add(batch, options, index, || connected_socket(fd)) })
}

/// Adds a stream over a transport of your own, as for xmpp_close_with(). epoll or
/// kqueue must be able to wait for its descriptor.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_add_with(
    batch: *mut xmpp_close_batch,
    transport: *const xmpp_close_transport,
    options: *const xmpp_close_options,
    index: *mut usize,
) -> c_int {
    // SAFETY: the header says what the pointers must be.
    guard(|| unsafe { add(batch, options, index, || Callbacks::new(transport)) })
}

/// # Safety
/// The pointers are NULL, or what the header says.
unsafe fn add<T: Transport + Send + 'static>(
    batch: *mut xmpp_close_batch,
    options: *const xmpp_close_options,
    index: *mut usize,
    open: impl FnOnce() -> Result<T, Refusal>,
) -> Result<c_int, Refusal> {
    // SAFETY: as the caller promises.
    let (batch, options) = unsafe { (guard::shared(batch)?, options::read(options)?) };
    let (taker, parsed) = (options.taker()?, options.parsed()?);
    // SAFETY: as the caller promises.
    let rust = unsafe { options.to_rust(User::Call) }?;
    let mut driver = Driver::new(Box::new(open()?) as AnyTransport<'static>, rust)?;
    driver.stands(&parsed);
    driver.log_to(options.logger().map(|logger| logger.until(|| false)));
    reserve(batch)?;
    let (fd, canceller) = (descriptor(&driver), driver.canceller().cloned());
    let added =
        batch.intake.add(driver, Box::new(move |driver| taker.take(driver, &Cell::new(false), &mut |_| ())), None)?;
    let place = Rc::new(place(batch, added, fd, canceller));
    let member = Member { userdata: Userdata(options.userdata), place, handle: None, taker };
    lock(&batch.known).members.insert(added, member);
    // SAFETY: as the caller promises.
    unsafe { store(index, added) }
}

/// Adds a started stream. From now on the batch steps the stream. It finishes the
/// stream when its turn comes, or when its peer closes; you may have finished it
/// already. You can do everything with it as before: send, finish, detach and
/// tell it, ask it, and free it, which takes it out. Only _step does nothing.
/// When the stream has ended, it leaves the batch, and then on_end is called with
/// the userdata of its options.
///
/// XMPP_CLOSE_ERR_INVALID, beside the reasons of _add: s is an engine, is in a
/// batch already, or is over, or this is one of its own callbacks.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_add_stream(
    batch: *mut xmpp_close_batch,
    s: *mut xmpp_close_stream,
    index: *mut usize,
) -> c_int {
    guard(|| {
        // SAFETY: the header says what the pointers must be.
        let (batch, body) = unsafe { (guard::shared(batch)?, stream::body(s)?) };
        reserve(batch)?;
        let Started { driver, taker, userdata } = *body.lend()?;
        let userdata = Userdata(userdata);
        let lent = Lent { body: body.clone(), taker, userdata };
        let handed = Lent { body: body.clone(), taker, userdata };
        let on_input = Box::new(move |driver: &mut Driven| handed.hand_over(driver));
        let fd = descriptor(&driver);
        let canceller = driver.canceller().cloned();
        let added = batch.intake.add(driver, on_input, Some(Box::new(lent)))?; // on failure the driver has gone home
        let place = Rc::new(place(batch, added, fd, canceller));
        body.went(place.clone());
        let member = Member { userdata, place, handle: Some((s, body)), taker };
        lock(&batch.known).members.insert(added, member);
        // SAFETY: as above.
        unsafe { store(index, added) }
    })
}

fn descriptor(driver: &Driven) -> xmpp_close_socket {
    driver.transport().watch(Interest::READ).map_or(NO_SOCKET, |(fd, _)| number(fd))
}

fn place(batch: &xmpp_close_batch, index: usize, fd: xmpp_close_socket, canceller: Option<Canceller>) -> Place {
    let (intake, known) = (batch.intake.clone(), batch.known.clone());
    Place { intake, known, index, fd, canceller, left: Cell::new(false) }
}

fn reserve(batch: &xmpp_close_batch) -> Result<(), Refusal> {
    lock(&batch.known).members.try_reserve(1).map_err(|_| SYSTEM.because(codes::ENOMEM))
}

/// # Safety
/// `index` is NULL, or can be written.
unsafe fn store(index: *mut usize, added: usize) -> Result<c_int, Refusal> {
    if !index.is_null() {
        // SAFETY: as the caller promises.
        unsafe { index.write(added) };
    }
    Ok(0)
}

/// Takes a stream out before its end, whether its close has begun or not. The
/// stream goes on where it was, nothing is lost, and on_end is not called.
/// MAY_SEND among its wants means that its close has not begun.
///
/// Stores the stream's handle, which is yours to step or to free. A stream that
/// was added by _add or _add_with gets a new handle; its descriptor must stay
/// open until you free that.
///
/// In a callback of the batch, the stream can be stepped once the callback has
/// returned; everything else can be done with it at once. XMPP_CLOSE_ERR_INVALID:
/// no such stream is in the batch.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_remove(
    batch: *mut xmpp_close_batch,
    index: usize,
    out: *mut *mut xmpp_close_stream,
) -> c_int {
    guard(|| {
        // SAFETY: the header says what the pointers must be.
        let batch = unsafe { guard::shared(batch)? };
        guard::writable(out)?;
        let (place, handle, taker, userdata) = {
            let known = lock(&batch.known);
            let member = known.members.get(&index).ok_or(INVALID)?;
            (member.place.clone(), member.handle.clone(), member.taker, member.userdata)
        };
        let body = match handle {
            Some((handle, body)) => {
                // SAFETY: as above.
                unsafe { out.write(handle) };
                body
            }
            None => {
                let body = Rc::new(Body::away(place.clone()));
                // SAFETY: as above.
                unsafe { stream::give(body.clone(), out)? };
                body
            }
        };
        let lent = Lent { body, taker, userdata };
        place.release(Box::new(move |mut driver: Driven| {
            let _ = lent.leave(&mut driver); // for a release in one of its own callbacks
            lent.take_back(driver);
        }));
        // Between two turns the stream is home at once.
        if let Some(mut members) = batch.batch.take() {
            members.let_go();
            batch.batch.set(Some(members));
        }
        Ok(0)
    })
}

/// Stores how a stream ended. While the stream is in the batch, the outcome is
/// XMPP_CLOSE_PENDING. Without on_end, reports are kept until _free. With on_end,
/// only those of _run are kept, until the next _run. Any other index is
/// XMPP_CLOSE_ERR_INVALID.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn xmpp_close_batch_report(
    batch: *const xmpp_close_batch,
    index: usize,
    report: *mut xmpp_close_report,
) -> c_int {
    guard(|| {
        // SAFETY: the header says what the pointers must be.
        let (mut out, batch) = unsafe { (Out::open(report)?, guard::shared(batch)?) };
        let known = lock(&batch.known);
        let ended = known.of_run.get(&index).or_else(|| known.kept.get(&index));
        if ended.is_none() && !known.members.contains_key(&index) {
            return Err(INVALID);
        }
        out.write(&ended.map_or_else(xmpp_close_report::empty, xmpp_close_report::from));
        Ok(0)
    })
}
