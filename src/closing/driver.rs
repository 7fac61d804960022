//! The driver: one stream over a transport. It moves bytes between the transport and the engine, under the deadlines that
//! the engine sets.

mod attempts;
#[cfg(feature = "batch")]
mod batched;
mod input;
mod last_words;
#[cfg(any(feature = "capi", feature = "log"))]
mod log;
mod session;
#[cfg(feature = "capi")]
mod started;
mod turn;

use std::{
    mem,
    time::{Duration, Instant},
};

#[cfg(feature = "capi")]
pub(crate) use input::Parsed;
#[cfg(feature = "batch")]
pub(crate) use input::Progress;
pub(crate) use input::Spent;
use last_words::Words;
#[cfg(any(feature = "capi", feature = "log"))]
use log::Log;
#[cfg(feature = "capi")]
pub(crate) use log::OnLog;
use session::ReadEnd;

use super::Buffer;
use crate::{
    cancel::Canceller,
    engine::{Engine, Fact, SendError, Tls},
    error::Error,
    options::CloseOptions,
    report::Report,
    transport::{Interest, Pace, Transport},
};

/// A stream over a transport, from its beginning to its end. Nothing is read or written before the first step.
///
/// While the stream is open, each step reads, hands over what came, and writes what was sent. There are three ways to end it:
///
/// - `finish`, when what has arrived may still be answered;
/// - [`close`](Self::close), when the application cannot send any more;
/// - [`detach`](Self::detach), which sends no closing tag.
///
/// None of these three moves a byte: the steps that follow do.
pub(crate) struct Driver<T> {
    transport: T,
    engine: Engine,
    /// Bytes that were read, and are not handled yet.
    input: Buffer,
    clock: Clock,
    canceller: Option<Canceller>,
    pace: Pace,
    words: Words,
    plan: Plan,
    /// What the last step has to wait for. `None`: there is something to do at once.
    blocked: Option<Blocked>,
    /// The peer's `close_notify` was read. What still comes, comes below TLS, and is discarded.
    below_tls: bool,
    noted: Noted,
    #[cfg(any(feature = "capi", feature = "log"))]
    log: Log,
}

struct Clock {
    start: Instant,
    /// The time since `start`, as of the last look at the clock: before each turn, and after each wait.
    now: Duration,
    /// How many bytes were moved since the deadline passed, or since our tag could have been due.
    moved: usize,
    /// How much of what had arrived at the deadline is still to be read; `None` while no deadline has passed.
    left: Option<usize>,
}

/// What the next step waits for.
#[derive(Clone, Copy, Default)]
struct Blocked {
    /// The directions in which the descriptor must become ready.
    on: Interest,
    /// When the step is tried again anyway, because the descriptor does not always show that it is ready.
    until: Option<Duration>,
    /// When the step found that it has to wait.
    at: Duration,
}

/// What is still to be done.
#[derive(Default)]
struct Plan {
    /// The close is, or will be, a detach.
    detach: bool,
    /// The close has begun, and its first step is still to be done.
    first_step: bool,
    /// The end that the last read found, when the engine was not told of it yet.
    end: Option<ReadEnd>,
}

/// What is kept for the report alone.
#[derive(Default)]
struct Noted {
    /// The close is over, and all that belongs to the end is done.
    over: bool,
    /// How our output on TCP ended, if it has.
    ended: Option<Ended>,
    tls_failure: Option<i32>,
    unacked: u64,
}

/// How our output on TCP ended.
#[derive(Clone, Copy, PartialEq)]
enum Ended {
    /// With a FIN.
    Fin,
    /// The connection was gone before.
    Gone,
}

fn tls_of<T: Transport>(transport: &T) -> Tls {
    match (transport.is_tls(), transport.hides_alerts()) {
        (false, _) => Tls::No,
        (true, false) => Tls::Yes,
        (true, true) => Tls::Hidden,
    }
}

impl<T: Transport> Driver<T> {
    /// An open stream, between two stanzas. The options have been [checked](CloseOptions::check). The large parts of them are
    /// moved, not copied. It is an error when the system refuses memory.
    pub(crate) fn new(transport: T, options: CloseOptions) -> Result<Self, Error> {
        let engine = Engine::between_stanzas(&options, tls_of(&transport))?;
        let mut driver = Self::with(transport, engine);
        driver.set(options)?;
        Ok(driver)
    }

    /// An open stream, between two stanzas, that is closed with the default options.
    pub(crate) fn usual(transport: T) -> Self {
        let engine = Engine::usual(tls_of(&transport));
        Self::with(transport, engine)
    }

    fn with(transport: T, engine: Engine) -> Self {
        Self {
            transport,
            engine,
            input: Buffer::default(),
            clock: Clock { start: Instant::now(), now: Duration::ZERO, moved: 0, left: None },
            canceller: None,
            pace: Pace::default(),
            words: Words::default(),
            plan: Plan::default(),
            blocked: None,
            below_tls: false,
            noted: Noted::default(),
            #[cfg(any(feature = "capi", feature = "log"))]
            log: Log::default(),
        }
    }

    /// The same driver over another transport, which `make` makes of this one.
    fn try_map<U, E>(self, make: impl FnOnce(T) -> Result<U, E>) -> Result<Driver<U>, E> {
        Ok(Driver {
            transport: make(self.transport)?,
            engine: self.engine,
            input: self.input,
            clock: self.clock,
            canceller: self.canceller,
            pace: self.pace,
            words: self.words,
            plan: self.plan,
            blocked: self.blocked,
            below_tls: self.below_tls,
            noted: self.noted,
            #[cfg(any(feature = "capi", feature = "log"))]
            log: self.log,
        })
    }

    /// Sets how the stream is to be closed.
    pub(crate) fn set(&mut self, mut options: CloseOptions) -> Result<(), Error> {
        self.engine.set(&mut options, self.clock.now)?;
        if self.input.is_empty() {
            self.input = Buffer::holding(options.residual);
        } else {
            self.input.append(&options.residual);
        }
        self.canceller = options.canceller;
        self.words = Words::of(options.last_words);
        self.plan.detach = options.detach;
        if options.peer_closed {
            // `note` comes later: nothing can be logged before the driver is made and knows where to log.
            let _ = self.engine.tell(Fact::PeerClosed { behind: 0 }, self.clock.now);
        }
        Ok(())
    }

    /// Begins to close a stream on which the application cannot send any more: our tag is due as soon as the last words have
    /// been asked for.
    pub(crate) fn close(&mut self) {
        self.look_at_clock();
        let now = self.clock.now;
        self.engine.begin_anew(now);
        if self.plan.detach {
            self.detach();
        }
        // The farewell is queued before the engine learns of the end below: if it is never written, it counts as unsent.
        self.engine.queue_farewell(now);
        // When the peer's stream ended before, the close is an answer to the peer.
        if let Some(end) = self.plan.end.take() {
            self.on_read(end.again());
        }
        if self.words.are_due() {
            self.engine.finishing(now);
        } else {
            self.engine.finish(None, now);
        }
        self.note();
        self.plan.first_step = true;
        self.blocked = None;
    }

    /// Begins to [close](Self::close), and writes at once what can be written without waiting. Bytes that were read before are
    /// handled first, so that a stream error can answer them.
    pub(crate) fn begin(&mut self) {
        self.close();
        if !self.handles_residual() {
            self.plan.first_step = false;
            self.first_step();
        }
    }

    /// Begins to detach: what is queued goes out, and the last words; then TCP ends without a closing tag. What still comes
    /// is discarded.
    pub(crate) fn detach(&mut self) {
        self.look_at_clock();
        if self.engine.may_send() {
            (self.plan.detach, self.plan.first_step) = (true, true);
            // When nothing is queued, the detach ends our output at once. So the last words are asked for before.
            while self.words.are_due() && !self.words.wait() {
                self.ask();
            }
            self.engine.detach(self.clock.now);
        }
        self.note();
        self.blocked = None;
    }

    /// Queues what the application sends.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.engine.send(bytes)?;
        self.blocked = None;
        Ok(())
    }

    /// Whether bytes that were read are still to be handled.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.engine.is_over()
    }

    /// Stops the close at once.
    pub(crate) fn cancel(&mut self) {
        self.look_at_clock();
        self.note_fact(Fact::Cancel);
        self.blocked = None;
    }

    /// When the next step is due even though nothing has become ready.
    pub(crate) fn due(&self) -> Option<Instant> {
        let next = match self.blocked {
            None => Some(self.clock.now).filter(|_| !self.is_done()),
            Some(blocked) => [self.engine.deadline(), blocked.until].into_iter().flatten().min(),
        };
        next.and_then(|time| self.clock.start.checked_add(time))
    }

    /// The directions in which the descriptor must become ready, as of the last step.
    pub(crate) fn waits_for(&self) -> Interest {
        self.blocked.map_or_else(Interest::default, |blocked| blocked.on)
    }

    pub(crate) fn into_transport(self) -> T {
        self.transport
    }

    /// What is known so far; complete when the close is over.
    pub(crate) fn report(&self) -> Report {
        let mut report = self.engine.report();
        report.bytes_unacked = self.noted.unacked;
        report.os_error = report.os_error.or(self.noted.tls_failure);
        report
    }

    fn look_at_clock(&mut self) {
        self.clock.now = self.clock.start.elapsed();
    }

    fn note_fact(&mut self, fact: Fact) {
        let _ = self.engine.tell(fact, self.clock.now); // only `Restarted` can be refused, and it is not told here
        self.note();
    }

    /// Applies the limits. When the time to answer is over, our tag becomes due without the application.
    fn tick(&mut self) {
        self.engine.tick(self.clock.now);
        self.note();
    }

    /// To be called each time the engine was told something: asks for the last words as soon as our tag is due, does what
    /// belongs to the end when the close is over, and logs.
    fn note(&mut self) {
        self.say_last_words();
        if self.is_done() && !mem::replace(&mut self.noted.over, true) {
            self.note_end();
        }
        #[cfg(any(feature = "capi", feature = "log"))]
        self.log();
    }

    /// When the close is over, asks how much the peer has not acknowledged, and sends `close_notify` and FIN as far as that is
    /// possible without waiting.
    fn note_end(&mut self) {
        self.noted.unacked = self.transport.unacked();
        if self.noted.ended == Some(Ended::Fin) {
            self.noted.unacked = self.noted.unacked.saturating_sub(1); // the kernel counts the FIN as one byte (TC-11)
        }
        // TL-01: close_notify goes out before the FIN even when the time is up, but never after only a part of our output.
        if self.engine.wants().notify() && self.transport.notify().is_ok() {
            let _ = self.engine.tell(Fact::DidNotify, self.clock.now);
            let _ = self.transport.try_flush();
        }
        // HS-01: from now on nothing can be written to this connection, not even by a second close.
        if self.noted.ended.is_none() && self.engine.may_end_output() && self.engine.pending() == 0 {
            let _ = self.transport.shut();
        }
    }
}

#[cfg(all(test, feature = "capi"))]
mod tests;
