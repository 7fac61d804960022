//! One step of a close, for a program whose event loop does the waiting.

use std::time::Instant;

use super::{Closing, Spent, driver::Driver};
use crate::{
    report::Report,
    transport::{Transport, lends_socket},
    xml::Stanza,
};

/// What [`Closing::step`] has to say.
///
/// ```
/// use std::{io::Write, net::Shutdown, os::unix::net::UnixStream};
/// use xmpp_close::{CloseOptions, Outcome, Step};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (socket, mut peer) = UnixStream::pair()?;
/// # peer.write_all(b"<message/></stream:stream>")?;
/// # peer.shutdown(Shutdown::Write)?;
/// let mut closing = CloseOptions::new().begin(socket)?;
/// let report = loop {
///     match closing.step() {
///         Step::Stanza(stanza) => println!("still came: {stanza}"),
///         Step::Wait(wait) => { /* poll(2), as `wait` says */ }
///         Step::Over(report) => break report,
///         _ => {}
///     }
/// };
/// assert_eq!(report.outcome, Outcome::Clean);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// A stanza still came. There may be more to do at once: call `step` again. A [`Wait`](Self::Wait) comes even when the peer
    /// sends without end.
    Stanza(Stanza),
    /// Nothing is left to do at once, or the steps since the last `Wait` have done enough for one turn. Wait before the next
    /// step.
    Wait(Wait),
    /// The close is over. Each further step says so again.
    Over(Report),
}

/// What to wait for before the next [`Closing::step`]: until the descriptor is ready, or the deadline has passed.
///
/// As a call of poll(2), with the `rustix` crate:
///
/// ```
/// use std::{io, os::fd::AsFd, time::Instant};
/// use rustix::event::{PollFd, PollFlags, Timespec, poll};
/// use xmpp_close::{Closing, Transport, Wait};
///
/// fn wait_for<T: Transport + AsFd>(closing: &Closing<T>, wait: Wait) -> io::Result<()> {
///     let mut events = PollFlags::empty();
///     events.set(PollFlags::IN, wait.read);
///     events.set(PollFlags::OUT, wait.write);
///     // With neither, the descriptor is left out: a connection that hung up is always ready.
///     let mut set = if events.is_empty() { vec![] } else { vec![PollFd::new(closing, events)] };
///     let left = wait.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
///     let timeout = left.and_then(|left| Timespec::try_from(left).ok());
///     poll(&mut set, timeout.as_ref())?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Wait {
    /// Wait until there is something to read, because this step has found nothing.
    pub read: bool,
    /// Wait until something can be written: in this step nothing could be. When both `write` and `read` are false, take the
    /// descriptor out of the set, because a connection that hung up is ready all the time.
    pub write: bool,
    /// Call `step` at this time at the latest. A time in the past means that there is more to do, but others are to have
    /// their turn first.
    pub deadline: Option<Instant>,
}

impl<T: Transport> Closing<T> {
    /// Does what can be done without waiting, and returns early with each stanza. Call it when the connection is ready, at the
    /// deadline, or at any other time. Readiness may be level-triggered or edge-triggered. [`Step`] has an example, [`Wait`]
    /// one with poll(2).
    ///
    /// The steps from one [`Step::Wait`] to the next do 32 reads and writes, and hand over 256 stanzas, at most. So a program
    /// may step until a `Wait` comes: a peer that sends without end does not hold up the other streams of the loop.
    pub fn step(&mut self) -> Step {
        let mut stanza = None;
        self.driver.advance(&mut self.spent, |driver, is_input| {
            is_input && driver.frame(Some(&mut |lent| stanza = Some(lent.into_owned())))
        });
        match stanza {
            Some(stanza) => Step::Stanza(stanza),
            None if self.driver.is_done() => Step::Over(self.driver.report()),
            None => {
                self.spent = Spent::default();
                Step::Wait(self.driver.waits())
            }
        }
    }

    /// Stops the close at once; the outcome is then [`Cancelled`](crate::Outcome::Cancelled). Once the close is over, this
    /// does nothing.
    pub fn cancel(&mut self) {
        self.driver.cancel();
    }

    /// What is known so far. The report is complete when the close is over.
    pub fn report(&self) -> Report {
        self.driver.report()
    }

    /// The transport, when the close is over: a program may want to look at it before it is dropped. `None` when the close is
    /// not over, because nothing may be written to the transport then; it is dropped, which abandons the handshake.
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

lends_socket! {
    /// For poll(2) and its like. Nothing may be read from the descriptor, or written to it.
    impl<[T: Transport]> Closing<T>, of T, |closing| closing.driver.get_ref()
}
