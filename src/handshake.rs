//! The state machine of the closing handshake: no I/O, no clock, no XML.
//!
//! ```text
//!                      ours sent                       theirs seen
//!  OPEN ── Begin ──► FLUSH ── Flushed ──► WAIT ── PeerClosed ──► BYE ── Flushed ──► LINGER ── Eof ──► DONE
//!    │                 └── PeerClosed ──┐                         ▲
//!    └── PeerClosed ──► ANSWER ── Begin ─┴─► REPLY ── Flushed ────┘
//!
//!  VOID: what the peer sends is no stream any more, or has ended without its tag; our last bytes are still going out.
//! ```

mod transitions;

use std::time::Duration;

use crate::{
    options::Limits,
    report::{Initiator, Outcome, Report, TlsAlerts},
};

/// How many bytes behind the end of the peer's stream are swallowed.
const TRAILING_LIMIT: u64 = 16 << 20;

/// Where a handshake stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Neither closing tag was sent or seen.
    Open,
    /// The peer's tag was seen first; the application may still send what it owes, then begins.
    Answer,
    /// We began; our output, tag included, is not all written.
    Flush,
    /// Our tag is written; theirs is awaited.
    Wait,
    /// Both tags are known; our output, tag included, is not all written.
    Reply,
    /// Both tags are done; our output is being ended (`close_notify`, `SHUT_WR`).
    Bye,
    /// Reading and discarding until the end of TCP.
    Linger,
    /// The peer's stream is malformed or has ended without its tag; our last bytes may still be going out.
    Void,
    /// Over; the outcome is fixed.
    Done,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The application closes the stream, or answers the peer's closing tag.
    Begin,
    /// The application ends TCP without a closing tag, so that an XEP-0198 session stays resumable (SE-04).
    Detach,
    /// This many bytes of our output were taken by the kernel; only needed to show progress.
    Written(usize),
    /// All of our output was taken by the kernel. In [`State::Bye`]: the output is ended.
    Flushed,
    /// So many bytes of the peer's stream had arrived, but were not yet [received](Self::Received), when our closing tag was
    /// about to be written. The peer's closing tag, or its stream error, in them came before our tag, so that it
    /// acknowledges nothing ([`Initiator::Crossing`]). To be told right before or after [`Event::Begin`].
    Arrived(usize),
    /// This many bytes came from the peer.
    Received(usize),
    /// A stanza among them was handed to the application.
    Stanza,
    /// A stanza among them was over the limit, and passed over.
    Oversize,
    /// The peer sent a stream error.
    StreamError,
    /// The peer's closing tag was seen.
    PeerClosed,
    /// What the peer sends stopped being an XMPP stream.
    Malformed,
    /// The peer ended TCP; `inside` an element, or between stanzas. Everything read before it has been handled (TC-16).
    /// Over TLS, with no [`Event::CloseNotify`] before it, this is [`Event::Truncated`] (TL-07).
    Eof {
        /// The end came inside an element or tag.
        inside: bool,
    },
    /// The peer's TLS `close_notify` came: its data ends here, authentically.
    CloseNotify {
        /// The end came inside an element or tag.
        inside: bool,
    },
    /// The peer ended TCP without `close_notify` although the stream runs over TLS (TL-07).
    Truncated,
    /// Reading failed with this error: the connection is gone, and all that came before it has been handled.
    Failed(i32),
    /// Writing failed with this error; what the peer sent before may still be there to read (TC-05).
    OutputFailed(i32),
    /// The TLS layer failed (TL-12).
    TlsFailed,
    /// Time passed. Only this event applies the deadlines.
    Tick,
    /// Stop at once.
    Cancel,
}

/// What to do next. The numbers are those of the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "the handshake goes on only when its actions are carried out"]
#[repr(i32)]
pub enum Action {
    /// Nothing.
    Nothing = 0,
    /// Queue the closing tag as the last bytes of our output, and report [`Event::Flushed`] when all is written.
    /// After [`Event::Malformed`], the stream error goes in front of it.
    SendTag = 1,
    /// The peer closed: send what is still owed, then [`Event::Begin`], if [`Handshake::answer_within`] does not.
    Answer = 2,
    /// End our output: `close_notify` over TLS, then `shutdown(SHUT_WR)`. Then [`Event::Flushed`].
    EndOutput = 3,
    /// It is over: close the socket, read the report.
    Teardown = 4,
}

/// The state machine. Times are those of one monotonic clock of the caller's, counted from any fixed point.
#[derive(Clone, Debug)]
pub struct Handshake {
    limits: Limits,
    answer: Option<Duration>,
    state: State,
    outcome: Outcome,
    /// What `Void` will end in.
    verdict: Outcome,
    initiator: Option<Initiator>,
    tag_sent: bool,
    detached: bool,
    tag_received: bool,
    /// Our output cannot be written any more.
    output_lost: bool,
    /// Our output was ended already, by `half_close`.
    output_ended: bool,
    /// The peer's data has ended.
    input_ended: bool,
    tls: TlsAlerts,
    os_error: Option<i32>,
    stanzas: u64,
    oversize: u64,
    bytes_read: u64,
    /// How much of the peer's stream, counted like `bytes_read`, had arrived before our tag was written.
    arrived: u64,
    /// Bytes that came when the peer's stream was over.
    discarded: u64,
    began: Option<Duration>,
    progress: Duration,
    /// The short limit of `Bye`, `Linger` and `Void`, from when our output is written; and of `Wait` when it cannot be.
    linger_until: Option<Duration>,
    ended: Option<Duration>,
}

impl Handshake {
    /// A handshake on an open stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            answer: None,
            state: State::Open,
            outcome: Outcome::Pending,
            verdict: Outcome::Pending,
            initiator: None,
            tag_sent: false,
            detached: false,
            tag_received: false,
            output_lost: false,
            output_ended: false,
            input_ended: false,
            tls: TlsAlerts::default(),
            os_error: None,
            stanzas: 0,
            oversize: 0,
            bytes_read: 0,
            arrived: 0,
            discarded: 0,
            began: None,
            progress: Duration::ZERO,
            linger_until: None,
            ended: None,
        }
    }

    /// The same for a stream over TLS: the alerts are reported, and no `half_close` happens before the peer's tag (TL-04).
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.tls.used = true;
        self.limits.half_close = false;
        self
    }

    /// Answers a peer that closed first after `limit` at the latest: [`Event::Tick`] then begins by itself. For applications
    /// that cannot know when all that they owe the peer is queued.
    #[must_use]
    pub fn answer_within(mut self, limit: Duration) -> Self {
        self.answer = Some(limit);
        self
    }

    /// Takes what happened and tells what to do. Once it is over, every event is answered by [`Action::Teardown`].
    pub fn handle(&mut self, event: Event, now: Duration) -> Action {
        if self.state == State::Done {
            return Action::Teardown;
        }
        match event {
            Event::Begin => self.begin(now),
            Event::Detach => self.detach(now),
            Event::Written(bytes) => self.written(bytes, now),
            Event::Flushed => self.flushed(now),
            Event::Arrived(bytes) => self.arrived(bytes as u64),
            Event::Received(bytes) => self.received(bytes as u64, now),
            Event::Stanza => self.count(|handshake| &mut handshake.stanzas),
            Event::Oversize => self.count(|handshake| &mut handshake.oversize),
            Event::StreamError => self.stream_error(now),
            Event::PeerClosed => self.peer_closed(now),
            Event::Malformed => self.malformed(now),
            Event::Eof { inside: false } if !self.tls.used || self.tls.received => {
                self.input_ended(Outcome::PeerEof, now)
            }
            Event::Eof { .. } | Event::Truncated => self.input_ended(Outcome::Truncated, now),
            Event::CloseNotify { inside } => self.close_notify(inside, now),
            Event::Failed(code) => {
                self.os_error.get_or_insert(code);
                self.initiator.get_or_insert(Initiator::Peer);
                self.done(self.broken(Outcome::Reset), now)
            }
            Event::OutputFailed(code) => self.output_failed(code, now),
            Event::TlsFailed => self.done(self.broken(Outcome::TlsFailed), now),
            Event::Tick => self.tick(now),
            Event::Cancel => self.done(Outcome::Cancelled, now),
        }
    }

    /// Stanzas may still be sent. False from [`Event::Begin`] on (HS-03).
    pub fn may_write(&self) -> bool {
        matches!(self.state, State::Open | State::Answer) && !self.output_lost
    }

    /// The peer has closed and waits for our answer: [`Event::Begin`], once all that is owed is queued.
    pub fn must_answer(&self) -> bool {
        self.state == State::Answer
    }

    /// What the peer sends is still to be read, be it to handle it or to discard it.
    pub fn wants_input(&self) -> bool {
        self.state != State::Done && !self.input_ended
    }

    /// What the peer sends is still its stream: to be framed, and its stanzas handed on (HS-04).
    pub fn expects_stanzas(&self) -> bool {
        matches!(self.state, State::Open | State::Flush | State::Wait) && !self.input_ended
    }

    /// Our last bytes, the closing tag included, are still to be written.
    pub(crate) fn output_pending(&self) -> bool {
        match self.state {
            State::Flush | State::Reply => true,
            State::Void => !self.output_ended && !self.output_lost,
            _ => false,
        }
    }

    /// When the next [`Event::Tick`] ends something; `None` before the closing began and after its end.
    pub fn deadline(&self) -> Option<Duration> {
        let began = self.began.filter(|_| self.state != State::Done)?;
        let total = began.saturating_add(self.limits.total);
        let progress = match self.state {
            State::Flush | State::Wait | State::Reply | State::Void => {
                Some(self.progress.saturating_add(self.limits.no_progress))
            }
            // It is the application's turn, and nothing more can come from the peer.
            State::Answer => self.answer.map(|limit| began.saturating_add(limit)),
            _ => None,
        };
        [progress, self.linger_until].into_iter().flatten().chain([total]).min()
    }

    /// What is known so far. What only the owner of the socket knows (unsent and unacknowledged bytes, the text of a
    /// stream error) is left empty.
    pub fn report(&self, now: Duration) -> Report {
        let end = self.ended.unwrap_or(now);
        // What comes behind something malformed, or after a detach, is read although it is looked at no more.
        let (read, after_tag) = if self.tag_received { (0, self.discarded) } else { (self.discarded, 0) };
        Report {
            outcome: self.outcome,
            initiator: self.initiator,
            tag_sent: self.tag_sent,
            tag_received: self.tag_received,
            stanzas: self.stanzas,
            oversize: self.oversize,
            bytes_read: self.bytes_read.saturating_add(read),
            bytes_after_tag: after_tag,
            bytes_unsent: 0,
            bytes_unacked: 0,
            tls: self.tls,
            stream_error: None,
            os_error: self.os_error,
            elapsed: self.began.map_or(Duration::ZERO, |began| end.saturating_sub(began)),
            limit: None,
            refused: 0,
        }
    }
}
