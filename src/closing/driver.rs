//! The driver: one stream over a transport. It moves bytes between the transport and the engine, under the engine's deadlines.

mod attempts;
mod input;
mod last_words;
#[cfg(any(feature = "capi", feature = "log"))]
mod log;
mod session;
#[cfg(feature = "capi")]
mod started;
mod turn;

#[cfg(feature = "batch")]
use std::convert::Infallible;
use std::{
    mem,
    time::{Duration, Instant},
};

#[cfg(feature = "capi")]
pub(crate) use input::Parsed;
#[cfg(feature = "batch")]
pub(crate) use input::Progress;
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
/// While it is open, each step reads, hands over, and writes what was sent. Its end is one of three: `finish`, when what has
/// arrived may still be answered; [`close`](Self::close), when nobody can send any more; [`detach`](Self::detach). None of
/// these moves a byte: the steps do.
pub(crate) struct Driver<T> {
    transport: T,
    engine: Engine,
    /// Bytes read and not yet handled.
    input: Buffer,
    clock: Clock,
    canceller: Option<Canceller>,
    pace: Pace,
    words: Words,
    plan: Plan,
    /// What the last step found that it has to wait for. `None`: there is something to do at once.
    blocked: Option<Blocked>,
    /// `close_notify` was read: what still comes is below TLS, and only discarded.
    below_tls: bool,
    noted: Noted,
    #[cfg(any(feature = "capi", feature = "log"))]
    log: Log,
}

struct Clock {
    start: Instant,
    /// What it showed last, from zero: before each turn, and after each wait.
    now: Duration,
    /// What was moved since the deadline has passed, or since our tag could have been due.
    moved: usize,
}

/// What is to be waited for.
#[derive(Clone, Copy, Default)]
struct Blocked {
    /// For what the descriptor must become ready.
    on: Interest,
    /// When it is tried again all the same, because that does not always show.
    until: Option<Duration>,
    /// When that was found.
    at: Duration,
}

/// What is still to come.
#[derive(Default)]
struct Plan {
    /// The close that comes, or goes on, is a detach.
    detach: bool,
    /// The close has begun, and the first step of it is still to be made.
    first_step: bool,
    /// How the last read ended, if there is nothing more to read, and nobody was told.
    end: Option<ReadEnd>,
}

/// What only the report wants to know.
#[derive(Default)]
struct Noted {
    /// The end was noted.
    over: bool,
    /// How TCP's output ended, if it has.
    ended: Option<Ended>,
    tls_failure: Option<i32>,
    unacked: u64,
}

/// How TCP's output ended.
#[derive(Clone, Copy, PartialEq)]
enum Ended {
    /// With a FIN.
    Fin,
    /// There was nothing to end any more.
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
    /// An open stream, between two stanzas. The options [make sense](CloseOptions::check). What may be large in them is taken
    /// over, not copied; memory that the system refuses is an error.
    pub(crate) fn new(transport: T, options: CloseOptions) -> Result<Self, Error> {
        let engine = Engine::between_stanzas(&options, tls_of(&transport))?;
        let mut driver = Self::with(transport, engine);
        driver.set(options)?;
        Ok(driver)
    }

    fn with(transport: T, engine: Engine) -> Self {
        Self {
            transport,
            engine,
            input: Buffer::default(),
            clock: Clock { start: Instant::now(), now: Duration::ZERO, moved: 0 },
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

    /// The same over a transport that is made of this one.
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

    /// Says how it is to be closed.
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
            // Not noted yet: whoever logs is not known before the driver is made.
            let _ = self.engine.tell(Fact::PeerClosed { behind: 0 }, self.clock.now);
        }
        Ok(())
    }

    /// Begins to close a stream on which nobody can send any more: our tag is due at once, but behind the last words.
    pub(crate) fn close(&mut self) {
        self.look_at_clock();
        let now = self.clock.now;
        self.engine.begin_anew(now);
        if self.plan.detach {
            self.detach();
        }
        // What is never written because of the end below is unsent all the same.
        self.engine.queue_farewell(now);
        // An end that came before makes this an answer to the peer.
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

    /// The same, and what fits leaves at once.
    pub(crate) fn begin(&mut self) {
        self.close();
        self.plan.first_step = false;
        self.first_step();
    }

    /// What is queued goes out, with the last words; then TCP is ended without a tag. What still comes is discarded.
    pub(crate) fn detach(&mut self) {
        self.look_at_clock();
        if self.engine.may_send() {
            (self.plan.detach, self.plan.first_step) = (true, true);
            // Where nothing is queued, our output is at its end with the detach: whoever has more to say is asked before.
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

    /// Some of what was read is still to be handled.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.engine.is_over()
    }

    /// Stops at once.
    pub(crate) fn cancel(&mut self) {
        self.look_at_clock();
        self.note_fact(Fact::Cancel);
        self.blocked = None;
    }

    /// When the next step is due, if nothing becomes ready before.
    pub(crate) fn due(&self) -> Option<Instant> {
        let next = match self.blocked {
            None => Some(self.clock.now).filter(|_| !self.is_done()),
            Some(blocked) => [self.engine.deadline(), blocked.until].into_iter().flatten().min(),
        };
        next.and_then(|time| self.clock.start.checked_add(time))
    }

    /// For what the descriptor must become ready, as of the last step.
    pub(crate) fn waits_for(&self) -> Interest {
        self.blocked.map_or_else(Interest::default, |blocked| blocked.on)
    }

    pub(crate) fn into_transport(self) -> T {
        self.transport
    }

    /// The report; complete once the close is over.
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
        let _ = self.engine.tell(fact, self.clock.now); // only a restart can be refused
        self.note();
    }

    /// Our tag is due without the application's word when the time to answer is over.
    fn tick(&mut self) {
        self.engine.tick(self.clock.now);
        self.note();
    }

    /// Behind whatever the engine was told: what comes last is said as soon as our tag is due. When the close is over, what
    /// can still be said without waiting is said, and what is only known now is noted; once.
    fn note(&mut self) {
        self.say_last_words();
        if self.is_done() && !mem::replace(&mut self.noted.over, true) {
            self.note_end();
        }
        #[cfg(any(feature = "capi", feature = "log"))]
        self.log();
    }

    fn note_end(&mut self) {
        self.noted.unacked = self.transport.unacked();
        if self.noted.ended == Some(Ended::Fin) {
            self.noted.unacked = self.noted.unacked.saturating_sub(1); // the FIN counts as one (TC-11)
        }
        // TL-01: close_notify goes before FIN, also when the time is up; but never behind half of our output.
        if self.engine.wants().notify() && self.transport.notify().is_ok() {
            let _ = self.engine.tell(Fact::DidNotify, self.clock.now);
            let _ = self.transport.try_flush();
        }
        // HS-01: nothing can be written to this connection any more, not even by a second close.
        if self.noted.ended.is_none() && self.engine.may_end_output() && self.engine.pending() == 0 {
            let _ = self.transport.shut();
        }
    }
}

/// What only a set of streams needs, which starts each when its turn has come, and waits for all at once.
#[cfg(feature = "batch")]
impl<T: Transport> Driver<T> {
    /// The same over a transport that is made of this one.
    pub(crate) fn map<U>(self, make: impl FnOnce(T) -> U) -> Driver<U> {
        match self.try_map(|transport| Ok::<_, Infallible>(make(transport))) {
            Ok(driver) => driver,
            Err(never) => match never {},
        }
    }

    /// It is not to be closed after all. Returns the name of our root, if our header is out.
    pub(crate) fn unset(&mut self) -> Option<String> {
        self.words = Words::default();
        self.plan.detach = false;
        self.canceller = None;
        let is_out = !self.engine.unset();
        is_out.then(|| self.engine.root().to_owned())
    }

    pub(crate) fn transport(&self) -> &T {
        &self.transport
    }

    pub(crate) fn canceller(&self) -> Option<&Canceller> {
        self.canceller.as_ref()
    }

    pub(crate) fn pace(&mut self) -> &mut Pace {
        &mut self.pace
    }

    /// The closing began, or the peer leaves no choice but to begin.
    pub(crate) fn must_start(&self) -> bool {
        self.plan.end.is_some() || !self.engine.is_open()
    }

    /// Starts, with a stream error if the stream is to be closed with one and nothing is wrong with it already; ends
    /// at `deadline` at the latest. What fits leaves at once.
    pub(crate) fn start_by(&mut self, deadline: Option<Instant>, error: Option<&crate::stream_error::StreamError>) {
        self.look_at_clock();
        self.engine.begin_anew(self.clock.now);
        self.end_by(deadline);
        if let Some(error) = error.filter(|_| !self.must_start() && !self.plan.detach) {
            self.engine.set_error(error);
        }
        self.begin();
    }

    /// Ends at `deadline` at the latest.
    pub(crate) fn end_by(&mut self, deadline: Option<Instant>) {
        self.look_at_clock();
        if let Some(deadline) = deadline {
            self.engine.bound(deadline.saturating_duration_since(self.clock.start), self.clock.now);
        }
    }

    /// When it was looked at the clock last.
    pub(crate) fn looked_at(&self) -> Instant {
        self.clock.start + self.clock.now
    }

    /// Ends it, for its time is up and what has arrived was taken for long enough.
    pub(crate) fn expire(&mut self) {
        self.look_at_clock();
        self.tick();
        self.note_fact(Fact::Cancel); // nothing, when the time was up for this one, too
    }

    /// Takes the buffer that is lent to whoever is moved, unless it has one.
    pub(crate) fn borrow_buffer(&mut self, lent: &mut Buffer) {
        if self.input.is_unused() {
            self.input = mem::take(lent);
        }
    }

    /// Gives it back, once what is in it has been handled: those that wait hold no memory for it.
    pub(crate) fn return_buffer(&mut self, lent: &mut Buffer) {
        if !self.has_input() {
            self.input.shrink();
            if !self.input.is_unused() {
                *lent = mem::take(&mut self.input);
            }
        }
    }

    /// What is to be handled was not all read into the buffer that is lent.
    pub(crate) fn has_large_buffer(&self) -> bool {
        self.input.is_large()
    }
}

#[cfg(all(test, feature = "capi"))]
mod tests;
