//! What only the library's own driver needs. The driver owns the socket, which a program with an engine of its own keeps to
//! itself.

use std::{io, mem, time::Duration};

use super::{
    Engine, Incoming, Last, Tls,
    facts::{Ours, Theirs},
};
use crate::{
    error::{Error, Invalid},
    framing::{Frame, Framer, Malformed},
    options::CloseOptions,
    report::Outcome,
    stream_error::StreamError,
    xml::Scope,
};

impl Engine {
    /// An engine for a stream on which nothing has been sent or received.
    pub(crate) fn at_the_start(tls: Tls) -> Self {
        Self::with(Incoming::with(Framer::new(), Scope::default()), tls)
    }

    /// An engine for a stream whose headers have been exchanged, and that is closed with the default options.
    pub(crate) fn usual(tls: Tls) -> Self {
        Self::with(Incoming::new(), tls)
    }

    /// An engine for a stream whose headers have been exchanged. The peer's header is known if the options hold it.
    pub(crate) fn between_stanzas(options: &CloseOptions, tls: Tls) -> Result<Self, Error> {
        let Some(header) = &options.peer_header else {
            // Where our header has not been sent, the peer's may not have come either.
            let may_come = options.header.is_some();
            let late = || Self::with(Incoming::with(Framer::perhaps_inside(), Scope::default()), tls);
            return Ok(if may_come { late() } else { Self::usual(tls) });
        };
        let mut framer = Framer::new().limit(usize::MAX);
        let mut rest = header.as_bytes();
        let scope = match framer.next(&mut rest) {
            // `<stream:stream/>` would end the stream at once.
            Some(Frame::Header(tag)) if rest.is_empty() && !tag.ends_with(b"/>") => Scope::of(tag),
            _ => return Err(Invalid::PeerHeader.into()),
        };
        Ok(Self::with(Incoming::with(framer, scope), tls))
    }

    /// Sets how the stream is to be closed. The options have been [checked](CloseOptions::check). The large parts of them
    /// are moved, not copied.
    pub(crate) fn set(&mut self, options: &mut CloseOptions, now: Duration) -> Result<(), Error> {
        // TL-04: refused rather than ignored.
        if options.limits.half_close && self.close.handshake.tls() != Tls::No {
            return Err(Invalid::HalfCloseOverTls.into());
        }
        let root = options.root()?;
        if options.own_parser {
            self.incoming.use_own_parser();
        }
        self.incoming.set(options.stanza_limit, &root);
        self.output_limit = options.output_limit;
        self.close.handshake.set_limits(options.limits, options.answer_limit());
        let header = options.header.take().filter(|_| !options.detach).unwrap_or_default().into_bytes();
        let farewell = mem::take(&mut options.farewell);
        let last = Last { farewell, error: options.stream_error.take().map(Box::new), tag: !options.tag_sent };
        // The peer may have made our tag due before these options said what comes in front of it. A detach sends no tag.
        let was_due = self.close.outgoing.take_tail_back();
        if options.detach {
            self.close.handshake.reopen();
        }
        if !self.close.outgoing.set(root, header, last) {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory).into());
        }
        if was_due && !options.detach {
            let error = self.incoming.why_malformed().map(StreamError::from);
            self.close.outgoing.finish(error.as_ref());
        }
        self.close.update(false, now);
        Ok(())
    }

    /// Lets the limits count from now on, if the peer has begun to close already: until now the application could do nothing
    /// about it.
    pub(crate) fn begin_anew(&mut self, now: Duration) {
        self.close.handshake.begin_anew(now);
    }

    /// New headers follow, whatever is still to be written. The application sends ours itself.
    pub(crate) fn restart_input(&mut self, tls: Tls) {
        self.close.handshake.set_tls(tls);
        self.incoming.restart();
    }

    /// Queues without a limit, for an application that waits until all is written.
    pub(crate) fn unlimited(mut self) -> Self {
        self.output_limit = usize::MAX;
        self
    }

    /// Sets the size of the largest stanza to deliver.
    pub(crate) fn limit_stanzas(&mut self, bytes: usize) {
        self.incoming.set(bytes, self.close.outgoing.root());
    }

    /// The close begins. Our tag becomes due when what has arrived is handled: the driver then calls
    /// [`finish`](Self::finish).
    pub(crate) fn finishing(&mut self, now: Duration) {
        self.close.handshake.finishing(now);
    }

    /// Whether the close has begun, and [`finish`](Self::finish) is still to be called.
    pub(crate) fn is_finishing(&self) -> bool {
        self.close.handshake.is_finishing() && !self.is_over()
    }

    /// How many bytes of ours are not written.
    pub(crate) fn unsent(&self) -> usize {
        self.close.outgoing.unsent()
    }

    /// Queues the farewell, now that nothing more is sent in front of it.
    pub(crate) fn queue_farewell(&mut self, now: Duration) {
        self.close.outgoing.queue_farewell();
        self.close.update(false, now);
    }

    /// Sends `words` in front of our stream error and our tag. If these have gone out already, `words` count as unsent.
    pub(crate) fn add_farewell(&mut self, words: &[u8], now: Duration) {
        let may = matches!(self.close.handshake.ours(), Ours::Open | Ours::Queued) && !self.is_over();
        if may && self.close.outgoing.add_farewell(words) {
            self.close.update(false, now);
        } else {
            self.lost = self.lost.saturating_add(words.len());
        }
    }

    /// Queues bytes of which the application was told already that they are queued. If our tag has become due since, they go
    /// in front of it.
    #[cfg(feature = "capi")]
    pub(crate) fn send_anyway(&mut self, bytes: &[u8], now: Duration) {
        if self.may_send() {
            self.close.send(bytes);
        } else {
            self.add_farewell(bytes, now);
        }
    }

    /// Sets our stream error, unless there is one already, or our tag was sent by the application.
    #[cfg(any(feature = "capi", feature = "batch"))]
    pub(crate) fn set_error(&mut self, error: &StreamError) {
        self.close.outgoing.set_error(error);
    }

    /// The qualified name of our root.
    pub(crate) fn root(&self) -> &str {
        self.close.outgoing.root()
    }

    /// Whether the application may still send.
    pub(crate) fn may_send(&self) -> bool {
        self.close.may_send()
    }

    /// Whether the close has begun, and our last bytes are not written yet.
    pub(crate) fn owes_output(&self) -> bool {
        self.close.handshake.ours() == Ours::Queued || self.is_finishing()
    }

    /// Whether the limit for answers has not passed.
    pub(crate) fn has_time_to_answer(&self) -> bool {
        self.close.handshake.has_time_to_answer()
    }

    /// Whether our tag is due and not written yet: last words may still fit in front of it.
    pub(crate) fn is_tag_queued(&self) -> bool {
        self.close.handshake.ours() == Ours::Queued && !self.is_over()
    }

    /// Lets the bytes that were handed out but not taken change again: a plain socket keeps nothing of a write that would
    /// block.
    pub(crate) fn take_back(&mut self) {
        self.close.outgoing.take_back();
    }

    /// The peer's stream error, if one came.
    pub(crate) fn stream_error(&self) -> Option<&StreamError> {
        self.incoming.stream_error.as_deref()
    }

    /// Whether the peer's closing tag came.
    pub(crate) fn is_peer_closed(&self) -> bool {
        self.close.handshake.theirs() == Theirs::Closed
    }

    /// Why what the peer sent is no stream.
    pub(crate) fn why_malformed(&self) -> Option<Malformed> {
        self.incoming.why_malformed()
    }

    /// The namespaces that the peer's header declares.
    pub(crate) fn header(&self) -> &Scope {
        &self.incoming.header
    }

    /// How many bytes were handed out, and not taken.
    #[cfg(feature = "capi")]
    pub(crate) fn handed(&self) -> usize {
        self.close.outgoing.handed()
    }

    /// Says whether the application's parser is inside an element.
    #[cfg(feature = "capi")]
    pub(crate) fn set_inside(&mut self, inside: bool) {
        self.incoming.parser_inside = inside;
    }

    /// Gives back the memory that a large stanza needed, before the stream waits.
    pub(crate) fn shrink(&mut self) {
        self.incoming.shrink();
    }

    /// Whether the outcome is fixed.
    pub(crate) fn is_over(&self) -> bool {
        self.close.handshake.is_over()
    }

    /// The phases that the close has reached.
    #[cfg(any(feature = "capi", feature = "log"))]
    pub(crate) fn phases(&self) -> crate::phase::Phases {
        self.close.handshake.phases()
    }

    /// Whether what comes is still the peer's stream.
    pub(crate) fn parses(&self) -> bool {
        self.close.parses()
    }

    /// Whether a FIN may follow our last bytes, asked when the close is over. Over TLS the FIN waits for the end of what the
    /// peer sends (TL-02).
    pub(crate) fn may_end_output(&self) -> bool {
        let outcome = self.close.handshake.outcome();
        let complete = self.close.handshake.is_sent() || outcome == Outcome::Stalled;
        outcome != Outcome::Reset
            && complete
            && !self.close.handshake.is_broken()
            && self.close.handshake.awaits_no_alert()
    }

    /// Whether bytes may still go out: the close is not over, and no read, write or TLS has failed.
    pub(crate) fn may_write(&self) -> bool {
        !self.is_over() && !self.close.handshake.is_broken()
    }

    /// How many of the bytes that were taken are not with the kernel.
    pub(crate) fn pending(&self) -> usize {
        self.close.outgoing.pending()
    }
}

/// What only a batch needs.
#[cfg(feature = "batch")]
impl Engine {
    /// Makes the whole close end at `end` at the latest.
    pub(crate) fn bound(&mut self, end: Duration, now: Duration) {
        self.close.handshake.bound(end, now);
    }

    /// Forgets how the stream was to be closed, because it is not closed after all. Returns true when our header is not out.
    pub(crate) fn unset(&mut self) -> bool {
        self.output_limit = usize::MAX;
        self.close.outgoing.unset()
    }

    /// Whether no close has begun.
    pub(crate) fn is_open(&self) -> bool {
        !self.close.handshake.has_begun()
    }
}
