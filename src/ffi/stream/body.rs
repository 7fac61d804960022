// What a handle stands for.

use std::{
    cell::{Cell, RefCell, RefMut},
    thread,
    time::Duration,
};

use super::super::guard::Refusal;
use crate::engine::Engine;

pub(super) struct Body {
    machine: RefCell<Machine>,
    /// A panic has left it in a state that nobody knows.
    is_dead: Cell<bool>,
}

pub(super) enum Machine {
    Engine(Lone),
}

/// An engine, whose program does all the rest.
pub(super) struct Lone {
    pub(super) engine: Engine,
    pub(super) own_parser: bool,
    /// The latest time that was told.
    pub(super) now: Duration,
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
}

/// Gives the stream up when `work` panics.
struct Witness<'a>(&'a Cell<bool>);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.set(true);
        }
    }
}

impl Body {
    pub(super) fn new(machine: Machine) -> Self {
        Self { machine: RefCell::new(machine), is_dead: Cell::new(false) }
    }

    /// `None` for a stream that is dead.
    pub(super) fn alive<R>(&self, work: impl FnOnce() -> R) -> Option<R> {
        if self.is_dead.get() {
            return None;
        }
        let _witness = Witness(&self.is_dead);
        Some(work())
    }

    pub(super) fn machine(&self) -> RefMut<'_, Machine> {
        self.machine.borrow_mut()
    }

    /// The engine of a stream that has one to itself.
    pub(super) fn engine<R>(&self, work: impl FnOnce(&mut Lone) -> Result<R, Refusal>) -> Result<R, Refusal> {
        match &mut *self.machine() {
            Machine::Engine(lone) => work(lone),
        }
    }
}
