//! The driver: moves bytes between a transport and the handshake, under its deadlines.

mod input;
mod opened;
mod turn;

use std::{
    io, mem,
    time::{Duration, Instant},
};

#[cfg(feature = "capi")]
pub(crate) use input::Parsed;
#[cfg(feature = "batch")]
pub(crate) use input::Step;
pub(crate) use opened::{End, Opened};

use super::Buffer;
use crate::{
    cancel::Canceller,
    engine::{Engine, Fact, Tls},
    error::Error,
    framing::{Framer, Malformed},
    options::{CloseOptions, LastWords},
    report::Report,
    stream_error::StreamError,
    transport::{Pace, Transport},
    xml::Scope,
};

pub(crate) struct Driver<T> {
    transport: T,
    engine: Engine,
    incoming: Incoming,
    /// Bytes read and not yet handled.
    input: Buffer,
    clock: Clock,
    canceller: Option<Canceller>,
    pace: Pace,
    /// Still to be composed, when all in front of them is written and what has arrived is handled.
    last_words: Option<LastWords>,
    /// What was known before, to be told at the start.
    known: Known,
    /// `close_notify` was read: what still comes is below TLS, and only discarded.
    below_tls: bool,
    noted: Noted,
}

/// What the peer sends, and what is known of its stream.
struct Incoming {
    /// Frames the peer's stream; `None` when the caller's parser does.
    framer: Option<Framer>,
    /// The caller's parser is inside an element.
    parser_inside: bool,
    header: Scope,
}

impl Incoming {
    /// An end here would be inside an element or tag.
    fn is_inside(&self) -> bool {
        self.framer.as_ref().map_or(self.parser_inside, |framer| !framer.between_stanzas())
    }

    fn malformed(&self) -> Option<Malformed> {
        self.framer.as_ref().and_then(Framer::malformed)
    }
}

struct Clock {
    start: Instant,
    /// What it showed last, from zero: before each turn, and after each wait.
    now: Duration,
    /// What was moved since the deadline has passed, or since the last words could have been said.
    moved: usize,
}

/// How far both sides had come before the close.
struct Known {
    peer_closed: bool,
    detach: bool,
    stream_error: Option<StreamError>,
    end: Option<End>,
}

/// What only the report wants to know.
#[derive(Default)]
struct Noted {
    /// The end was noted.
    over: bool,
    tls_failure: Option<i32>,
    /// Our output has ended, or there was nothing to end any more.
    ended: bool,
    /// It ended with a FIN: over TLS, that may wait for the peer's `close_notify`.
    fin_sent: bool,
    unacked: u64,
}

/// A qualified name without its prefix.
fn local_name(name: &str) -> &str {
    name.split_once(':').map_or(name, |(_, local)| local)
}

fn reserve(output: &mut Vec<u8>, bytes: usize) -> io::Result<()> {
    output.try_reserve_exact(bytes).map_err(|_| io::ErrorKind::OutOfMemory.into())
}

impl<T: Transport> Driver<T> {
    /// A stream that is still open. Nothing is read or written before the first step, nothing said before the start.
    ///
    /// The options [make sense](CloseOptions::check). What may be large in them is taken over, not copied; memory that the
    /// system refuses is an error.
    pub(crate) fn new(transport: T, mut options: CloseOptions, opened: Opened) -> Result<Self, Error> {
        let root = options.root()?;
        let error = options.stream_error.as_ref().map_or(0, |error| error.to_xml(&root).len());
        let ending = error + "</>".len() + root.len();
        let mut front = opened.queued;
        if let Some(header) = options.header.as_ref().filter(|_| !options.detach) {
            front.extend_from_slice(header.as_bytes());
        }
        let mut output = mem::take(&mut options.farewell);
        if front.is_empty() {
            reserve(&mut output, ending)?;
        } else {
            let farewell = mem::replace(&mut output, front);
            reserve(&mut output, farewell.len() + ending)?;
            output.extend_from_slice(&farewell);
        }
        let framer = opened.framer.map(|framer| framer.limit(options.stanza_limit).unknown_root(local_name(&root)));
        let tls = if transport.is_tls() { Tls::Yes } else { Tls::No };
        Ok(Self {
            engine: Engine::driven(&mut options, output, tls)?,
            transport,
            incoming: Incoming { framer, parser_inside: false, header: opened.header },
            input: Buffer::holding(options.residual),
            clock: Clock { start: Instant::now(), now: Duration::ZERO, moved: 0 },
            canceller: options.canceller,
            pace: Pace::default(),
            last_words: options.last_words,
            known: Known {
                peer_closed: options.peer_closed,
                detach: options.detach,
                stream_error: opened.stream_error,
                end: opened.end,
            },
            below_tls: false,
            noted: Noted::default(),
        })
    }

    /// Begins to close. What fits leaves at once.
    pub(crate) fn start(&mut self) {
        let now = self.clock.now;
        if self.known.peer_closed {
            self.tell(Fact::PeerClosed { behind: 0 });
        }
        if self.known.detach {
            self.compose(); // nothing that comes from now on is handled
            self.engine.detach(now); // nothing is said about what came before
        } else if let Some(malformed) = self.incoming.malformed() {
            self.refuse(malformed);
        } else if let Some(error) = self.known.stream_error.take() {
            self.compose();
            self.engine.peer_error(error, now);
        }
        if let Some(end) = self.known.end {
            self.took(end.again());
        }
        if self.last_words.is_some() {
            self.engine.finishing(now);
        } else {
            self.engine.finish(None, now);
        }
        self.note_end();
        if self.canceller.as_ref().is_some_and(Canceller::is_cancelled) {
            return;
        }
        let quiet = self.transport.is_quiet();
        if !quiet {
            self.transport.no_delay();
        }
        let early = self.look(quiet);
        // A broken session writes no more; but whether a peer that ended TCP still takes our tag, only the write tells.
        if self.transport.is_tls() {
            self.took(early);
            self.move_output();
        } else {
            self.move_output();
            self.took(early);
        }
        if quiet && self.engine.owes_output() {
            self.transport.no_delay(); // it did not leave all at once
        }
    }

    /// Finds out how much has come before our tag is written, by reading: not all transports know otherwise.
    fn look(&mut self, quiet: bool) -> io::Result<usize> {
        let nothing = Err(io::ErrorKind::WouldBlock.into());
        let early = if quiet || self.has_input() || self.known.end.is_some() { nothing } else { self.fill(None) };
        // An interrupted read says nothing about what is there.
        if self.has_input() || early.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            let arrived = (self.input.rest().len() as u64).saturating_add(self.transport.unread());
            // With our tag written long ago, nobody knows any more what came before it.
            if self.engine.owes_output() {
                self.tell(Fact::Arrived(arrived));
            }
        }
        early
    }

    /// Some of what was read is still to be handled.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.engine.is_over()
    }

    #[cfg(any(feature = "capi", feature = "batch"))]
    pub(crate) fn cancel(&mut self) {
        self.look_at_clock();
        self.tell(Fact::Cancel);
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

    fn tell(&mut self, fact: Fact) {
        let _ = self.engine.tell(fact, self.clock.now); // only a restart can be refused
        self.note_end();
    }

    fn tick(&mut self) {
        self.engine.tick(self.clock.now);
        self.note_end();
    }

    /// When the close is over: what can still be said without waiting is said, and what is only known now is noted. Once.
    fn note_end(&mut self) {
        if !self.is_done() || mem::replace(&mut self.noted.over, true) {
            return;
        }
        self.noted.unacked = self.transport.unacked();
        if self.noted.fin_sent {
            self.noted.unacked = self.noted.unacked.saturating_sub(1); // the FIN counts as one (TC-11)
        }
        let is_tls = self.transport.is_tls();
        // HS-01: nothing can be written to this connection any more, not even by a second close. TL-01: close_notify
        // goes before FIN, also when the time is up; but never behind half of our output.
        let ends = if is_tls { self.engine.wants().notify } else { !self.noted.ended && self.engine.may_end_output() };
        if ends && self.transport.end_output().is_ok() && is_tls {
            self.tell(Fact::DidNotify);
        }
    }
}

/// What only a set of streams needs, which starts each when its turn has come, and waits for all at once.
#[cfg(feature = "batch")]
impl<T: Transport> Driver<T> {
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
        let Known { peer_closed, stream_error, end, .. } = &self.known;
        let known = *peer_closed || end.is_some() || stream_error.is_some() || self.incoming.malformed().is_some();
        known || !self.engine.is_open()
    }

    /// Starts, with a stream error if the stream is to be closed with one and nothing is wrong with it already; ends
    /// at `deadline` at the latest.
    pub(crate) fn start_by(&mut self, deadline: Instant, error: Option<&StreamError>) {
        self.engine.bound(deadline.saturating_duration_since(Instant::now()));
        if let Some(error) = error.filter(|_| !self.must_start() && !self.known.detach) {
            self.engine.set_error(error);
        }
        self.look_at_clock();
        self.start();
    }

    /// When it was looked at the clock last.
    pub(crate) fn looked_at(&self) -> Instant {
        self.clock.start + self.clock.now
    }

    /// Ends it, for its time is up and what has arrived was taken for long enough.
    pub(crate) fn expire(&mut self) {
        self.look_at_clock();
        self.tick();
        self.tell(Fact::Cancel); // nothing, when the time was up for this one, too
    }

    /// When the next deadline is due, if there is one.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.engine.deadline().and_then(|time| self.clock.start.checked_add(time))
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
