// The stream behind a handle, and who holds it: nobody, a call that has not returned yet, or a batch.

use std::{
    cell::{Cell, RefCell},
    ffi::{c_int, c_void},
    mem, ptr,
    rc::Rc,
    thread,
    time::Duration,
};

use super::{
    super::{
        guard::{self, INVALID, Refusal},
        options::{Logger, Taker},
    },
    mail::{Mail, Order, Seen},
    xmpp_close_stream,
};
use crate::{
    batch::AnyTransport,
    closing::{Driver, Spent},
    engine::{Engine, SendError},
    error::Error,
    phase::{Phase, Phases},
};

pub(in crate::ffi) type Driven = Driver<AnyTransport<'static>>;

pub(in crate::ffi) struct Body {
    kind: RefCell<Kind>,
    /// `None` for an engine.
    mail: Option<Rc<Mail>>,
    /// A panic has left the stream in an unknown state.
    is_dead: Cell<bool>,
    /// A batch is moving the stream now.
    is_moving: Cell<bool>,
    /// The handle, if it was freed in a callback. It is released when the call with that callback ends.
    doomed: Cell<*mut xmpp_close_stream>,
}

pub(super) enum Kind {
    Engine(Box<Lone>),
    Started(Box<Started>),
    /// A started stream that a call holds. One of its callbacks may be running.
    Lent,
    /// A started stream that is in a batch.
    Away(Rc<dyn Host>),
}

/// An engine. The program does the rest.
pub(super) struct Lone {
    pub(super) engine: Engine,
    pub(super) own_parser: bool,
    /// The latest `now` that was passed.
    pub(super) now: Duration,
    pub(super) logger: Option<Logger>,
    /// The phases that it was told.
    pub(super) told: Phases,
}

/// A stream that the library moves.
pub(in crate::ffi) struct Started {
    pub(in crate::ffi) driver: Driven,
    pub(in crate::ffi) taker: Taker,
    /// The userdata of its options.
    pub(in crate::ffi) userdata: *mut c_void,
}

/// The batch that a stream is in.
pub(in crate::ffi) trait Host {
    /// Something was asked of the stream, so the batch has to move it soon.
    fn ring(&self);
    /// The handle is being freed, and the descriptor may be closed next. The stream leaves the batch, without on_end. Not called
    /// while the batch moves this very stream: [`Body::leave`] tells it then.
    fn forget(&self);
}

impl Lone {
    /// A clock that goes back stands still.
    pub(super) fn at(&self, now: u64) -> Duration {
        self.now.max(Duration::from_millis(now))
    }

    pub(super) fn look_at_clock(&mut self, now: u64) -> Duration {
        self.now = self.at(now);
        self.now
    }

    /// What is to be logged next.
    fn next_phase(&mut self) -> Option<(Logger, Phase, String)> {
        let logger = self.logger?;
        let phase = self.told.next(self.engine.phases())?;
        Some((logger, phase, phase.line(&self.engine.report())))
    }

    fn carry_out(&mut self, order: Order, now: Duration) -> Result<(), Error> {
        match order {
            Order::Send(_) | Order::Refuse => {}
            Order::Finish(error) => self.engine.finish(error.as_ref(), now),
            Order::Detach => self.engine.detach(now),
            Order::Tell(fact) => return self.engine.tell(fact, now),
        }
        Ok(())
    }
}

/// Marks the stream as dead when a panic unwinds.
struct Witness<'a>(&'a Cell<bool>);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.set(true);
        }
    }
}

impl Body {
    pub(super) fn new(kind: Kind, mail: Option<Rc<Mail>>) -> Self {
        Self {
            kind: RefCell::new(kind),
            mail,
            is_dead: Cell::new(false),
            is_moving: Cell::new(false),
            doomed: Cell::new(ptr::null_mut()),
        }
    }

    /// Does `work`, unless the stream is dead (`None`).
    pub(super) fn alive<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        if self.is_dead.get() {
            return None;
        }
        let _witness = Witness(&self.is_dead);
        Some(work())
    }

    /// Does `work` with an engine. A started stream is `INVALID`.
    pub(super) fn engine<R>(&self, work: impl FnOnce(&mut Lone) -> Result<R, Refusal>) -> Result<R, Refusal> {
        let (result, logs) = match &mut *self.kind.borrow_mut() {
            Kind::Engine(lone) => (work(lone), lone.logger.is_some()),
            _ => return Err(INVALID),
        };
        if logs {
            self.log();
        }
        result
    }

    /// Tells who logs an engine each phase that is new. The callback may use the engine.
    pub(super) fn log(&self) {
        let next = || match &mut *self.kind.borrow_mut() {
            Kind::Engine(lone) => lone.next_phase(),
            _ => None,
        };
        while let Some((logger, phase, line)) = next() {
            logger.tell(phase, &line);
        }
    }

    pub(super) fn is_engine(&self) -> bool {
        matches!(*self.kind.borrow(), Kind::Engine(_))
    }

    /// Answers a question about either kind of stream. If somebody else holds the stream, the answer is what was seen of it
    /// last.
    pub(super) fn look<R>(
        &self,
        engine: impl FnOnce(&Lone) -> R,
        driver: impl FnOnce(&Driven) -> R,
        seen: impl FnOnce(&Seen) -> R,
    ) -> Option<R> {
        match &*self.kind.borrow() {
            Kind::Engine(lone) => Some(engine(lone)),
            Kind::Started(started) => Some(driver(&started.driver)),
            Kind::Lent | Kind::Away(_) => self.mail.as_ref()?.ask(seen),
        }
    }

    /// Takes a started stream, and its mail. `None`: somebody else holds it.
    fn take(&self) -> Option<(Box<Started>, &Mail)> {
        let mail = self.mail.as_deref()?;
        let mut kind = self.kind.borrow_mut();
        match mem::replace(&mut *kind, Kind::Lent) {
            Kind::Started(started) => {
                mail.look(&started.driver);
                Some((started, mail))
            }
            other => {
                *kind = other;
                None
            }
        }
    }

    /// Does `work` with a started stream. `None`: somebody else holds it.
    fn with<R>(&self, work: impl FnOnce(&mut Started, &Mail) -> R) -> Option<R> {
        let (mut started, mail) = self.take()?;
        let result = work(&mut started, mail);
        mail.exchange(&mut started.driver);
        *self.kind.borrow_mut() = Kind::Started(started);
        self.bury();
        Some(result)
    }

    /// Queues bytes, whoever holds the stream.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<(), SendError> {
        match &mut *self.kind.borrow_mut() {
            Kind::Engine(lone) => return lone.engine.send(bytes),
            Kind::Started(started) => return started.driver.send(bytes), // this calls no callback
            Kind::Lent | Kind::Away(_) => {}
        }
        self.post(|mail| mail.send(bytes))
    }

    /// Gives the stream an order. Only engines look at `now`.
    pub(super) fn order(&self, order: Order, now: u64) -> Result<c_int, Refusal> {
        if self.is_engine() {
            return self.engine(|lone| {
                let now = lone.look_at_clock(now);
                Ok(lone.carry_out(order, now).map(|()| 0)?)
            });
        }
        // Only one of the two closures is called, and takes the order.
        let order = Cell::new(Some(order));
        let result = self
            .with(|started, _| order.take().map_or(Ok(()), |order| order.carry_out(&mut started.driver)))
            .unwrap_or_else(|| self.post(|mail| order.take().map_or(Ok(()), |order| mail.order(order))));
        Ok(result.map(|()| 0)?)
    }

    /// Puts something into the mail of whoever holds the stream.
    fn post<E>(&self, put: impl FnOnce(&Mail) -> Result<(), E>) -> Result<(), E> {
        let result = self.mail.as_ref().map_or(Ok(()), |mail| put(mail));
        if let Kind::Away(host) = &*self.kind.borrow() {
            host.ring();
        }
        result
    }

    /// Does what can be done without waiting, a bounded amount. Nothing, if somebody else holds the stream.
    pub(super) fn step(&self) {
        self.with(|Started { driver, taker, .. }, mail| {
            driver.advance(&mut Spent::default(), |driver, is_input| {
                if is_input {
                    taker.take(driver, &mail.is_freed, &mut |driver| mail.exchange(driver));
                }
                mail.exchange(driver);
                mail.is_freed.get()
            });
        });
    }

    /// Frees the handle. If a call holds the stream, that call frees the handle at its end.
    ///
    /// # Safety
    /// `handle` is that of this stream, and used by nobody after that.
    pub(super) unsafe fn free(&self, handle: *mut xmpp_close_stream) {
        if let Kind::Engine(lone) = &mut *self.kind.borrow_mut() {
            lone.logger = None;
        }
        let host = match &*self.kind.borrow() {
            Kind::Lent if !self.is_dead.get() => None,
            Kind::Away(_) if self.is_moving.get() => None,
            Kind::Away(host) => Some(Some(host.clone())),
            Kind::Engine(_) | Kind::Started(_) | Kind::Lent => Some(None),
        };
        self.doomed.set(handle);
        if let Some(mail) = &self.mail {
            mail.is_freed.set(true);
        }
        if let Some(host) = host {
            if let Some(host) = host {
                host.forget();
            }
            self.bury();
        }
    }

    pub(in crate::ffi) fn is_freed(&self) -> bool {
        self.mail.as_ref().is_some_and(|mail| mail.is_freed.get())
    }

    /// Frees the handle, if its program has asked for that. The caller holds this body by an `Rc` of its own.
    fn bury(&self) {
        let handle = self.doomed.replace(ptr::null_mut());
        if !handle.is_null() {
            // SAFETY: it came from `guard::give`, and the program that freed it does not use it any more.
            unsafe { guard::take_back(handle) };
        }
    }
}

/// What a batch does with a stream that was added to it.
///
/// 1. The batch takes the stream by [`lend`](Self::lend), then calls [`went`](Self::went).
/// 2. Each time that it moves the stream, it calls [`enter`](Self::enter) before and [`leave`](Self::leave) after, and
///    [`exchange`](Self::exchange) after each step in which a callback may have been called.
/// 3. When the stream leaves the batch or is over, the batch gives it back by [`came_home`](Self::came_home). That comes before
///    `on_end`, in which the program may use the stream again.
impl Body {
    /// # Errors
    /// `INVALID` for an engine, for a stream that is in a batch already or is over, and in one of its own callbacks.
    pub(in crate::ffi) fn lend(&self) -> Result<Box<Started>, Refusal> {
        let (started, _) = self.alive(|| self.take()).ok_or(guard::PANIC)?.ok_or(INVALID)?;
        if started.driver.is_done() {
            self.came_home(started);
            return Err(INVALID);
        }
        Ok(started)
    }

    /// A stream in a batch that gets its first handle.
    pub(in crate::ffi) fn away(host: Rc<dyn Host>) -> Self {
        Self::new(Kind::Away(host), Some(Rc::default()))
    }

    pub(in crate::ffi) fn went(&self, host: Rc<dyn Host>) {
        *self.kind.borrow_mut() = Kind::Away(host);
    }

    pub(in crate::ffi) fn came_home(&self, mut started: Box<Started>) {
        self.exchange(&mut started.driver);
        *self.kind.borrow_mut() = Kind::Started(started);
    }

    /// The batch begins to move the stream. False: its handle was freed, so it leaves the batch without on_end.
    #[must_use]
    pub(in crate::ffi) fn enter(&self, driver: &mut Driven) -> bool {
        if self.is_freed() || self.is_dead.get() {
            return false;
        }
        self.is_moving.set(true);
        self.exchange(driver);
        true
    }

    /// Hands what was read to the program.
    pub(in crate::ffi) fn hand_over(&self, taker: &Taker, driver: &mut Driven) {
        if let Some(mail) = &self.mail {
            taker.take(driver, &mail.is_freed, &mut |driver| mail.exchange(driver));
        }
    }

    /// Carries out what callbacks have asked of the stream.
    pub(in crate::ffi) fn exchange(&self, driver: &mut Driven) {
        if let Some(mail) = &self.mail {
            mail.exchange(driver);
        }
    }

    /// The batch stops moving the stream. False as for [`enter`](Self::enter).
    #[must_use]
    pub(in crate::ffi) fn leave(&self, driver: &mut Driven) -> bool {
        self.exchange(driver);
        self.is_moving.set(false);
        self.bury();
        !self.is_freed()
    }
}
