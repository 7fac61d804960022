//! The blocking driver: moves bytes between a transport and the handshake, under its deadlines.

mod turn;

use std::{io, sync::Arc, time::Instant};

use crate::{
    cancel::Canceller,
    error::Error,
    framing::{Frame, Framer},
    handshake::{Action, Event, Handshake},
    options::CloseOptions,
    report::{Initiator, Outcome, Report},
    stream_error::StreamError,
    transport::Transport,
    xml,
};

/// What was begun before the close: how far both sides of the stream have come.
pub(crate) struct Opened {
    /// Frames the peer's stream; `None` when the caller's parser finds its end.
    pub(crate) framer: Option<Framer>,
    /// The start tag of the peer's header, for the namespaces; empty when unknown.
    pub(crate) header: Arc<[u8]>,
    /// Queued before the close, so sent before all else.
    pub(crate) queued: Vec<u8>,
    /// The peer's stream error, if it was seen already.
    pub(crate) stream_error: Option<StreamError>,
    /// How the last read ended, when there is nothing more to read.
    pub(crate) end: Option<End>,
    /// End TCP without a closing tag.
    pub(crate) detach: bool,
}

/// What a read said last: the end, or an error, which the system reports only once (TC-04).
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Eof,
    Failed(io::ErrorKind, Option<i32>),
}

impl End {
    /// `None` when reading goes on.
    pub(crate) fn of(result: &io::Result<usize>) -> Option<Self> {
        match result {
            Ok(0) => Some(Self::Eof),
            Ok(_) => None,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => None,
                kind => Some(Self::Failed(kind, error.raw_os_error())),
            },
        }
    }

    fn again(self) -> io::Result<usize> {
        match self {
            Self::Eof => Ok(0),
            Self::Failed(_, Some(code)) => Err(io::Error::from_raw_os_error(code)),
            Self::Failed(kind, None) => Err(kind.into()),
        }
    }
}

impl Opened {
    /// Nothing is known but that both headers have been exchanged.
    pub(crate) fn between_stanzas() -> Self {
        Self {
            framer: Some(Framer::inside(None)),
            header: Arc::default(),
            queued: Vec::new(),
            stream_error: None,
            end: None,
            detach: false,
        }
    }
}

/// Takes a stanza, or some bytes.
type Take<'a> = &'a mut dyn FnMut(&[u8]);

pub(crate) struct Driver<T> {
    transport: T,
    handshake: Handshake,
    framer: Option<Framer>,
    header: Arc<[u8]>,
    canceller: Option<Canceller>,
    clock: Instant,
    /// Everything still to be sent, the closing tag last.
    output: Vec<u8>,
    written: usize,
    tag_at: usize,
    /// The last write was blocked, so TLS may hold its bytes already, encrypted.
    write_blocked: bool,
    /// The root of our own stream, whose prefix a stream error takes.
    root: String,
    /// [`Action::EndOutput`] is being carried out.
    ending_output: bool,
    /// `close_notify` was read: what still comes is below TLS, and only discarded.
    below_tls: bool,
    /// Bytes read and not yet handled.
    input: Vec<u8>,
    taken: usize,
    /// How much of the peer's stream had arrived when we began: a closing tag in it came before ours (I-09).
    arrived: u64,
    last_chunks: u32,
    stream_error: Option<StreamError>,
    error_sent: bool,
    tls_failure_code: Option<i32>,
    /// The TLS layer failed: it is left alone from then on (TL-12).
    tls_failed: bool,
    /// How far the peer's stream had been read when its stream error came.
    error_at: Option<u64>,
    /// `end_output` found a connection to end.
    fin_sent: bool,
    unacked: u64,
    /// `close_notify` went out although the handshake was over.
    alert_sent: bool,
}

impl<T: Transport> Driver<T> {
    pub(crate) fn begin(transport: T, options: &CloseOptions, opened: Opened) -> Result<Self, Error> {
        let root = options.root()?.to_owned();
        let (last, tag_at_in_last) = options.last_bytes()?;
        let mut output = opened.queued;
        let tag_at = output.len() + tag_at_in_last;
        output.extend_from_slice(if opened.detach { &last[..tag_at_in_last] } else { &last });
        let mut handshake = Handshake::new(options.limits);
        if transport.is_tls() {
            handshake = handshake.over_tls();
        }
        let mut driver = Self {
            transport,
            handshake,
            framer: opened.framer.map(|framer| framer.limit(options.stanza_limit)),
            header: opened.header,
            canceller: options.canceller.clone(),
            clock: Instant::now(),
            output,
            written: 0,
            tag_at,
            write_blocked: false,
            root,
            ending_output: false,
            below_tls: false,
            input: options.residual.clone(),
            taken: 0,
            arrived: options.residual.len() as u64,
            last_chunks: 0,
            stream_error: opened.stream_error,
            error_sent: options.stream_error.is_some(),
            tls_failure_code: None,
            tls_failed: false,
            error_at: None,
            fin_sent: false,
            unacked: 0,
            alert_sent: false,
        };
        let malformed = driver.framer.as_ref().and_then(Framer::malformed);
        if options.peer_closed {
            driver.tell(Event::PeerClosed);
        }
        if opened.detach {
            driver.tell(Event::Detach); // nothing is said about what came before; `Begin` is then too late
        } else if let Some(malformed) = malformed {
            driver.tell(Event::Malformed);
            driver.insert_error(malformed.condition());
        } else if driver.stream_error.is_some() {
            driver.tell(Event::StreamError);
        }
        if let Some(end) = opened.end {
            driver.took(end.again());
        }
        driver.tell(Event::Begin);
        if !driver.canceller.as_ref().is_some_and(Canceller::is_cancelled) {
            driver.transport.no_delay();
            if driver.transport.is_tls() && driver.input.is_empty() {
                driver.read(None); // what has come is known only once it is decrypted
                driver.arrived = driver.input.len() as u64;
            }
            driver.arrived += driver.transport.unread();
            driver.move_output(); // what fits leaves at once
        }
        Ok(driver)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.handshake.state() == crate::State::Done
    }

    #[cfg(feature = "capi")]
    pub(crate) fn cancel(&mut self) {
        self.tell(Event::Cancel);
    }

    pub(crate) fn header(&self) -> &Arc<[u8]> {
        &self.header
    }

    /// Hands the next late stanza to `take`; false when there will be no more.
    pub(crate) fn next_stanza(&mut self, take: Take<'_>) -> bool {
        while self.next_chunk() {
            if self.frame(Some(&mut *take)) {
                return true;
            }
        }
        false
    }

    /// Hands the next bytes of the peer's stream to `take`, up to its closing tag; false when there will be no more.
    pub(crate) fn next_bytes(&mut self, take: Take<'_>) -> bool {
        if !self.next_chunk() {
            return false;
        }
        let start = self.taken;
        while self.taken < self.input.len() && self.handshake.expects_stanzas() {
            self.frame(None);
        }
        take(&self.input[start..self.taken]);
        true
    }

    /// Hands the next bytes to a parser of the caller's (`on_data` in C), which answers whether it saw the peer's closing tag.
    #[cfg(feature = "capi")]
    pub(crate) fn next_chunk_to(&mut self, parse: &mut dyn FnMut(&[u8]) -> Parsed) -> bool {
        if !self.next_chunk() {
            return false;
        }
        let bytes = self.input.len() - self.taken;
        self.tell(Event::Received(bytes));
        match parse(&self.input[self.taken..]) {
            Parsed::Open => {}
            Parsed::PeerClosed => self.tell(Event::PeerClosed),
            Parsed::Stop => self.tell(Event::Cancel),
        }
        self.taken = self.input.len();
        true
    }

    /// The report; complete once the handshake is done.
    pub(crate) fn report(&self) -> Report {
        let mut report = self.handshake.report(self.clock.elapsed());
        let had_ended = report.tag_received && report.bytes_read <= self.arrived;
        let had_failed = self.error_at.is_some_and(|position| position <= self.arrived);
        if report.initiator == Some(Initiator::Us) && (had_ended || had_failed) {
            report.initiator = Some(Initiator::Crossing);
        }
        report.bytes_unsent = (self.output.len() - self.written) as u64;
        report.bytes_unacked = self.unacked;
        report.stream_error = self.stream_error.clone();
        report.tls.sent |= self.alert_sent;
        report.os_error = report.os_error.or(self.tls_failure_code);
        report
    }

    /// Frames the input up to the next event; true when that was a stanza.
    fn frame(&mut self, take: Option<Take<'_>>) -> bool {
        let Some(framer) = &mut self.framer else { return false };
        let now = self.clock.elapsed();
        let mut rest = &self.input[self.taken..];
        let before = rest.len();
        let frame = framer.next(&mut rest);
        let consumed = before - rest.len();
        self.taken += consumed;
        let _ = self.handshake.handle(Event::Received(consumed), now);
        let event = match frame {
            None => return false,
            Some(Frame::Header(header)) => {
                self.header = header.into();
                return self.frame(take); // `<stream:stream/>` is over without another byte (F-05)
            }
            Some(Frame::Stanza(stanza)) => match xml::stream_error(stanza, &self.header) {
                Some(error) => {
                    self.stream_error.get_or_insert(error);
                    self.error_at.get_or_insert(self.handshake.report(now).bytes_read);
                    Event::StreamError
                }
                None => {
                    let _ = self.handshake.handle(Event::Stanza, now);
                    if let Some(take) = take {
                        take(stanza);
                    }
                    return true;
                }
            },
            Some(Frame::Oversize(_)) => Event::Oversize,
            Some(Frame::End { .. }) => Event::PeerClosed,
            Some(Frame::Malformed(malformed)) => {
                let condition = malformed.condition();
                self.insert_error(condition);
                Event::Malformed
            }
        };
        self.tell(event);
        false
    }

    /// Makes sure that there are bytes of the peer's stream to handle; false when there will be no more.
    fn next_chunk(&mut self) -> bool {
        loop {
            if self.taken < self.input.len() {
                if self.handshake.expects_stanzas() {
                    return true;
                }
                self.tell(Event::Received(self.input.len() - self.taken));
                self.taken = self.input.len();
            }
            if self.is_done() {
                return false;
            }
            self.turn();
        }
    }

    /// RFC 6120 section 11: what was wrong is said in front of our tag, unless the tag has been started (ER-09).
    fn insert_error(&mut self, condition: &'static str) {
        let tag_started = self.written > self.tag_at || self.write_blocked && self.transport.is_tls();
        if self.handshake.output_pending() && !tag_started && !self.error_sent {
            let error = StreamError::defined(condition).to_xml(&self.root);
            self.output.splice(self.tag_at..self.tag_at, error.bytes());
            self.error_sent = true;
        }
    }

    fn tell(&mut self, event: Event) {
        let was_done = self.is_done();
        match self.handshake.handle(event, self.clock.elapsed()) {
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
        let report = self.report();
        let broken = report.outcome == Outcome::Reset || self.tls_failed;
        // HS-01: nothing can be written to this connection any more, not even by a second close. TL-01: close_notify
        // goes before FIN, also when the time is up; but never behind half of our output.
        let ends = report.tag_sent || (report.outcome == Outcome::Stalled && !report.tls.used);
        if ends && !self.handshake.output_ended() && !broken && self.transport.end_output().is_ok() {
            self.alert_sent = report.tls.used;
        }
    }
}

/// What a parser of the caller's made of some bytes.
#[cfg(feature = "capi")]
pub(crate) enum Parsed {
    /// The peer's stream goes on.
    Open,
    /// It saw the peer's closing tag.
    PeerClosed,
    /// The close is to be stopped.
    Stop,
}
