// What is asked of a started stream while a call or a batch holds it.
//
// While a call holds a stream, its callbacks may ask something of the stream; while a batch holds it, anybody may. That waits
// here as an order. The holder carries out the orders before it goes on: after each callback, and when it begins to move the
// stream. Such a function can answer at once, from what the holder has seen of the stream last, since only the holder moves the
// stream.

use std::{
    cell::{Cell, RefCell},
    mem,
    rc::Rc,
    time::Instant,
};

use super::body::Driven;
use crate::{
    engine::{Fact, SendError, Wants},
    error::{Error, Invalid},
    report::Report,
    stream_error::StreamError,
};

pub(super) enum Order {
    Send(Vec<u8>),
    /// Something was sent too late, which the report counts.
    Refuse,
    Finish(Option<StreamError>),
    Detach,
    Tell(Fact),
}

impl Order {
    pub(super) fn carry_out(self, driver: &mut Driven) -> Result<(), Error> {
        match self {
            Self::Send(bytes) => driver.send_anyway(&bytes),
            Self::Refuse => drop(driver.send(b"")),
            Self::Finish(error) => driver.finish(error.as_ref()),
            Self::Detach => driver.detach(),
            Self::Tell(fact) => return driver.tell(fact),
        }
        Ok(())
    }

    /// Whether nothing may be sent after this order.
    fn ends_sending(&self) -> bool {
        match self {
            Self::Detach => true,
            Self::Tell(fact) => matches!(fact, Fact::Cancel | Fact::Malformed | Fact::StreamError(_)),
            Self::Send(_) | Self::Refuse | Self::Finish(_) => false,
        }
    }
}

/// What the holder has seen of the stream last.
pub(super) struct Seen {
    pub(super) wants: Wants,
    pub(super) is_inside: bool,
    pub(super) due: Option<Instant>,
    pub(super) report: Report,
}

#[derive(Default)]
pub(in crate::ffi) struct Mail {
    orders: RefCell<Vec<Order>>,
    /// `None`: nobody has looked yet.
    seen: RefCell<Option<Seen>>,
    /// How many bytes may still be sent after these orders. `None`: nothing may be sent any more.
    room: Cell<Option<usize>>,
    /// Not all that was sent is written.
    unwritten: Cell<bool>,
    /// A callback has freed the stream. Nothing more is done with it, and no callback is called.
    pub(super) is_freed: Rc<Cell<bool>>,
}

impl Mail {
    /// Carries out the orders, and looks at the stream.
    pub(super) fn exchange(&self, driver: &mut Driven) {
        while !self.is_freed.get() {
            let orders = mem::take(&mut *self.orders.borrow_mut());
            if orders.is_empty() {
                break;
            }
            for order in orders {
                // An order may call callbacks, and they may give more orders. An order that could fail was refused before.
                let _ = order.carry_out(driver);
            }
        }
        self.look(driver);
    }

    pub(super) fn look(&self, driver: &Driven) {
        self.room.set(driver.room());
        self.unwritten.set(driver.queued() > 0);
        *self.seen.borrow_mut() = Some(Seen {
            wants: driver.wants(),
            is_inside: driver.is_inside(),
            due: driver.due(),
            report: driver.report(),
        });
    }

    /// Answers a question.
    pub(super) fn ask<R>(&self, question: impl FnOnce(&Seen) -> R) -> Option<R> {
        self.seen.borrow().as_ref().map(question)
    }

    pub(super) fn send(&self, bytes: &[u8]) -> Result<(), SendError> {
        let Some(room) = self.room.get() else {
            self.orders.borrow_mut().push(Order::Refuse);
            return Err(SendError::Refused);
        };
        self.room.set(Some(room.checked_sub(bytes.len()).ok_or(SendError::Full)?));
        self.unwritten.set(true);
        self.orders.borrow_mut().push(Order::Send(bytes.to_vec()));
        Ok(())
    }

    /// Takes any order but `Send` and `Refuse`.
    pub(super) fn order(&self, order: Order) -> Result<(), Error> {
        if matches!(order, Order::Tell(Fact::Restarted { .. })) && (self.unwritten.get() || self.room.get().is_none()) {
            return Err(Invalid::UnwrittenAtRestart.into());
        }
        if order.ends_sending() {
            self.room.set(None);
        }
        self.orders.borrow_mut().push(order);
        Ok(())
    }

    /// Takes out what on_farewell has sent, which goes in front of what it stores.
    pub(super) fn sent(&self) -> Vec<u8> {
        let mut sent = Vec::new();
        self.orders.borrow_mut().retain_mut(|order| match order {
            Order::Send(bytes) => {
                sent.append(bytes);
                false
            }
            _ => true,
        });
        sent
    }
}
