//! One step of a close, for an event loop that waits by itself.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::Instant,
};

use super::{Closing, driver::Driver};
use crate::{report::Report, transport::Transport, xml::Stanza};

/// How far [`Closing::step`] came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// A stanza still came. There may be more to do: step again.
    Stanza(Stanza),
    /// Nothing is left to do at once, or the step has done enough for now.
    Wait(Wait),
    /// The close is over, and so it stays.
    Over(Report),
}

/// What to wait for before the next [`Closing::step`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wait {
    /// Until there is something to read: this very step has found that there was nothing.
    pub read: bool,
    /// Until something can be written: this very step has found that nothing could be. Neither this nor [`read`](Self::read):
    /// the descriptor is to be taken out of the set, for one that has hung up would be ready all the time.
    pub write: bool,
    /// But no longer than until then. In the past: the step has done enough for now, so that others get their turn.
    pub deadline: Option<Instant>,
}

impl<T: Transport> Closing<T> {
    /// Does all that can be done without waiting, but a bounded amount of it: 32 reads and writes at most. Call it when the
    /// connection is ready, at the deadline, or at any other time; it may be level-triggered or edge-triggered readiness.
    ///
    /// ```no_run
    /// # fn f(tcp: std::net::TcpStream) -> Result<(), xmpp_close::Error> {
    /// use xmpp_close::{CloseOptions, Step};
    ///
    /// let mut closing = CloseOptions::new().begin(tcp)?;
    /// loop {
    ///     match closing.step() {
    ///         Step::Stanza(stanza) => println!("still came: {stanza}"),
    ///         Step::Wait(wait) => { /* poll(2) for wait.read and wait.write, until wait.deadline */ }
    ///         Step::Over(report) => break println!("{report}"),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    pub fn step(&mut self) -> Step {
        let mut stanza = None;
        self.driver
            .advance(|driver, is_input| is_input && driver.frame(Some(&mut |lent| stanza = Some(lent.into_owned()))));
        match stanza {
            Some(stanza) => Step::Stanza(stanza),
            None if self.driver.is_done() => Step::Over(self.driver.report()),
            None => Step::Wait(self.driver.waits()),
        }
    }

    /// Stops at once, if it is not over.
    pub fn cancel(&mut self) {
        self.driver.cancel();
    }

    /// What is known so far; complete once it is over.
    pub fn report(&self) -> Report {
        self.driver.report()
    }

    /// The transport, once it is over: for what is to be done before it is dropped. `None` before, for nothing may be written
    /// to it then; it is dropped in that case, which abandons the handshake.
    pub fn into_transport(self) -> Option<T> {
        if self.driver.is_done() { Some(self.driver.into_transport()) } else { None }
    }
}

impl<T: Transport> Driver<T> {
    fn waits(&self) -> Wait {
        let on = self.waits_for();
        Wait { read: on.read, write: on.write, deadline: self.due() }
    }
}

/// To wait for, not to read from or to write to.
impl<T: Transport + AsFd> AsFd for Closing<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.driver.get_ref().as_fd()
    }
}

/// To wait for, not to read from or to write to.
impl<T: Transport + AsRawFd> AsRawFd for Closing<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.driver.get_ref().as_raw_fd()
    }
}
