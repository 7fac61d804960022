//! The driver: moves bytes between a transport and the handshake, under its deadlines.

mod input;
mod opened;
mod turn;

use std::{
    borrow::Cow,
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
    error::Error,
    framing::Framer,
    handshake::{Action, Event, Handshake, State},
    options::{CloseOptions, LastWords},
    report::{Outcome, Report},
    stream_error::StreamError,
    transport::{Pace, Transport},
    xml::Scope,
};

pub(crate) struct Driver<T> {
    transport: T,
    handshake: Handshake,
    framer: Option<Framer>,
    /// Without a framer: the caller's parser is inside an element.
    parser_inside: bool,
    header: Scope,
    canceller: Option<Canceller>,
    clock: Instant,
    /// What the clock showed last, from zero: before each turn, and after each wait.
    now: Duration,
    /// Everything still to be sent, the closing tag last.
    output: Vec<u8>,
    written: usize,
    /// Where in `output` the last words go in, and where a stream error, in front of the tag.
    ending_at: usize,
    tag_at: usize,
    /// Still to be composed, to go in at `ending_at`.
    last_words: Option<LastWords>,
    /// The last write was blocked, so TLS may hold its bytes already, encrypted.
    write_blocked: bool,
    /// The root of our own stream, whose prefix a stream error takes.
    root: Cow<'static, str>,
    /// [`Action::EndOutput`] is being carried out.
    ending_output: bool,
    /// `close_notify` was read: what still comes is below TLS, and only discarded.
    below_tls: bool,
    /// Bytes read and not yet handled.
    input: Buffer,
    /// What SO_RCVTIMEO is set to.
    armed: Option<Duration>,
    pace: Pace,
    /// What was moved since the deadline has passed, or since the last words could have been said.
    last_bytes: usize,
    stream_error: Option<StreamError>,
    /// Ours was put in, or cannot be any more.
    error_sent: bool,
    tls_failure_code: Option<i32>,
    /// The TLS layer failed: it is left alone from then on (TL-12).
    tls_failed: bool,
    /// `end_output` found a connection to end.
    fin_sent: bool,
    unacked: u64,
    /// `close_notify` went out although the handshake was over.
    alert_sent: bool,
    /// Known before, to be told the handshake at the start.
    peer_closed: bool,
    tag_sent: bool,
    end: Option<End>,
    detach: bool,
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
    pub(crate) fn new(transport: T, options: CloseOptions, opened: Opened) -> Result<Self, Error> {
        let root = options.root()?;
        let error = options.stream_error.as_ref().map_or_else(String::new, |error| error.to_xml(&root));
        let ending = error.len() + "</>".len() + root.len();
        let mut front = opened.queued;
        if let Some(header) = options.header.as_ref().filter(|_| !options.detach) {
            front.extend_from_slice(header.as_bytes());
        }
        let mut output = options.farewell;
        if front.is_empty() {
            reserve(&mut output, ending)?;
        } else {
            let farewell = mem::replace(&mut output, front);
            reserve(&mut output, farewell.len() + ending)?;
            output.extend_from_slice(&farewell);
        }
        let ending_at = output.len();
        output.extend_from_slice(error.as_bytes());
        let tag_at = output.len();
        if !options.detach && !options.tag_sent {
            for part in ["</", &root, ">"] {
                output.extend_from_slice(part.as_bytes());
            }
        }
        let mut handshake = Handshake::new(options.limits);
        if transport.is_tls() {
            handshake = handshake.over_tls();
        }
        Ok(Self {
            transport,
            handshake,
            framer: opened.framer.map(|framer| framer.limit(options.stanza_limit).unknown_root(local_name(&root))),
            parser_inside: false,
            header: opened.header,
            canceller: options.canceller,
            clock: Instant::now(),
            now: Duration::ZERO,
            output,
            written: 0,
            ending_at,
            tag_at,
            last_words: options.last_words,
            write_blocked: false,
            root,
            ending_output: false,
            below_tls: false,
            input: Buffer::holding(options.residual),
            armed: None,
            pace: Pace::default(),
            last_bytes: 0,
            stream_error: opened.stream_error,
            error_sent: options.stream_error.is_some() || options.tag_sent,
            tls_failure_code: None,
            tls_failed: false,
            fin_sent: false,
            unacked: 0,
            alert_sent: false,
            peer_closed: options.peer_closed,
            tag_sent: options.tag_sent,
            end: opened.end,
            detach: options.detach,
        })
    }

    /// Begins to close. What fits leaves at once.
    pub(crate) fn start(&mut self) {
        let malformed = self.framer.as_ref().and_then(Framer::malformed);
        if self.peer_closed {
            self.tell(Event::PeerClosed);
        }
        if self.detach {
            self.tell(Event::Detach); // nothing is said about what came before; `Begin` is then too late
        } else if let Some(malformed) = malformed {
            self.tell(Event::Malformed);
            self.insert_error(&StreamError::defined(malformed.condition()));
        } else if self.stream_error.is_some() {
            self.tell(Event::StreamError);
        }
        if let Some(end) = self.end {
            self.took(end.again());
        }
        self.tell(Event::Begin);
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
        if quiet && self.handshake.output_pending() {
            self.transport.no_delay(); // it did not leave all at once
        }
    }

    /// Finds out how much has come before our tag is written, by reading: not all transports know otherwise.
    fn look(&mut self, quiet: bool) -> io::Result<usize> {
        let nothing = Err(io::ErrorKind::WouldBlock.into());
        let early = if quiet || self.has_input() || self.end.is_some() { nothing } else { self.fill(None) };
        // An interrupted read says nothing about what is there.
        if self.has_input() || early.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            let arrived = (self.input.rest().len() as u64).saturating_add(self.transport.unread());
            // With our tag written long ago, nobody knows any more what came before it.
            if !self.tag_sent || !self.output.is_empty() {
                self.tell(Event::Arrived(usize::try_from(arrived).unwrap_or(usize::MAX)));
            }
        }
        early
    }

    /// Some of what was read is still to be handled.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.handshake.state() == State::Done
    }

    #[cfg(any(feature = "capi", feature = "batch"))]
    pub(crate) fn cancel(&mut self) {
        self.look_at_clock();
        self.tell(Event::Cancel);
    }

    /// The report; complete once the handshake is done.
    pub(crate) fn report(&self) -> Report {
        let mut report = self.handshake.report(self.now);
        report.bytes_unsent = (self.output.len() - self.written) as u64;
        report.bytes_unacked = self.unacked;
        report.stream_error = self.stream_error.clone();
        report.tls.sent |= self.alert_sent;
        report.os_error = report.os_error.or(self.tls_failure_code);
        report
    }

    /// Says what was wrong in front of our tag (RFC 6120 section 11), unless the tag has been started (ER-09).
    fn insert_error(&mut self, error: &StreamError) {
        let tag_started = self.written > self.tag_at || self.write_blocked && self.transport.is_tls();
        if self.handshake.output_pending() && !tag_started && !self.error_sent {
            self.put_error(error);
        }
    }

    fn put_error(&mut self, error: &StreamError) {
        let error = error.to_xml(&self.root);
        self.error_sent = self.insert(self.tag_at, error.as_bytes());
    }

    /// Puts something into the output; false, with nothing changed, when the system refuses the memory.
    fn insert(&mut self, at: usize, bytes: &[u8]) -> bool {
        let has_room = reserve(&mut self.output, bytes.len()).is_ok();
        if has_room {
            self.output.splice(at..at, bytes.iter().copied());
        }
        has_room
    }

    fn look_at_clock(&mut self) {
        self.now = self.clock.elapsed();
    }

    fn tell(&mut self, event: Event) {
        let was_done = self.is_done();
        match self.handshake.handle(event, self.now) {
            Action::EndOutput => self.ending_output = true,
            Action::Teardown if !was_done => self.teardown(),
            // The tag stands at the end of `output` from the beginning.
            Action::SendTag | Action::Answer | Action::Nothing | Action::Teardown => {}
        }
    }

    /// The handshake is over: what can still be said without waiting is said, and what is only known now is noted.
    fn teardown(&mut self) {
        self.unacked = self.transport.unacked();
        if self.fin_sent {
            self.unacked = self.unacked.saturating_sub(1); // the FIN counts as one (TC-11)
        }
        let report = self.handshake.report(self.now);
        let broken = report.outcome == Outcome::Reset || self.tls_failed;
        // HS-01: nothing can be written to this connection any more, not even by a second close. TL-01: close_notify
        // goes before FIN, also when the time is up; but never behind half of our output.
        let ends = report.tag_sent || (report.outcome == Outcome::Stalled && !report.tls.used);
        if ends && !self.handshake.output_ended() && !broken && self.transport.end_output().is_ok() {
            self.alert_sent = report.tls.used;
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
        let malformed = self.framer.as_ref().is_some_and(|framer| framer.malformed().is_some());
        let known = self.peer_closed || self.end.is_some() || self.stream_error.is_some() || malformed;
        known || self.handshake.state() != State::Open
    }

    /// Starts, with a stream error if the stream is to be closed with one and nothing is wrong with it already; ends
    /// at `deadline` at the latest.
    pub(crate) fn start_by(&mut self, deadline: Instant, error: Option<&StreamError>) {
        self.handshake.bound(deadline.saturating_duration_since(Instant::now()));
        if let Some(error) = error.filter(|_| !self.must_start() && !self.detach && !self.error_sent) {
            self.put_error(error);
        }
        self.look_at_clock();
        self.start();
    }

    /// When it was looked at the clock last.
    pub(crate) fn looked_at(&self) -> Instant {
        self.clock + self.now
    }

    /// Ends it, for its time is up and what has arrived was taken for long enough.
    pub(crate) fn expire(&mut self) {
        self.look_at_clock();
        self.tell(Event::Tick);
        self.tell(Event::Cancel); // nothing, when the time was up for this one, too
    }

    /// When the next deadline is due, if there is one.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.handshake.deadline().and_then(|time| self.clock.checked_add(time))
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
