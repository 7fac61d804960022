//! What only the library's own driver needs, which owns the socket as well.

use std::{io, mem, time::Duration};

use super::{
    Engine, Incoming, Last, Tls,
    facts::{Ours, Theirs},
};
use crate::{
    error::Error,
    framing::{Frame, Framer, Malformed},
    options::CloseOptions,
    report::Outcome,
    stream_error::StreamError,
    xml::Scope,
};

impl Engine {
    /// An engine on a stream of which nothing has been sent or received.
    pub(crate) fn at_the_start(tls: Tls) -> Self {
        Self::with(Incoming::with(Framer::new(), Scope::default()), tls)
    }

    /// An engine on a stream whose headers have been exchanged; of the peer's is known what the options say.
    pub(crate) fn between_stanzas(options: &CloseOptions, tls: Tls) -> Result<Self, Error> {
        let Some(header) = &options.peer_header else {
            return Ok(Self::with(Incoming::new(), tls));
        };
        let mut framer = Framer::new().limit(usize::MAX);
        let mut rest = header.as_bytes();
        let scope = match framer.next(&mut rest) {
            // `<stream:stream/>` would be the end of the stream as well.
            Some(Frame::Header(tag)) if rest.is_empty() && !tag.ends_with(b"/>") => Scope::of(tag),
            _ => return Err(Error::Invalid("the peer's header is not a start tag")),
        };
        Ok(Self::with(Incoming::with(framer, scope), tls))
    }

    /// How it is to be closed; the options make sense. What may be large in them is taken over, not copied.
    pub(crate) fn set(&mut self, options: &mut CloseOptions, now: Duration) -> Result<(), Error> {
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
        // What the peer did may have made our tag due, before it was known what comes last. A detach says nothing about it.
        let was_due = self.close.outgoing.take_tail_back();
        if options.detach {
            self.close.handshake.reopen();
        }
        if !self.close.outgoing.set(root, header, last) {
            return Err(io::Error::from(io::ErrorKind::OutOfMemory).into());
        }
        if was_due && !options.detach {
            let error = self.incoming.why_malformed().map(|malformed| StreamError::defined(malformed.condition()));
            self.close.outgoing.finish(error.as_ref());
        }
        self.close.update(false, now);
        Ok(())
    }

    /// Counts from now on, when the peer has begun to close: until now nobody could do anything about it.
    pub(crate) fn begin_anew(&mut self, now: Duration) {
        self.close.handshake.begin_anew(now);
    }

    /// New headers follow, whatever is still to be written; ours is the application's own.
    pub(crate) fn restart_input(&mut self, tls: Tls) {
        self.close.handshake.set_tls(tls);
        self.incoming.restart();
    }

    /// Queues without a limit, for who waits until it is written.
    pub(crate) fn unlimited(mut self) -> Self {
        self.output_limit = usize::MAX;
        self
    }

    /// The largest stanza to deliver.
    pub(crate) fn limit_stanzas(&mut self, bytes: usize) {
        self.incoming.set(bytes, self.close.outgoing.root());
    }

    /// The close begins, and our tag is due when what has arrived is handled: then comes [`finish`](Self::finish).
    pub(crate) fn finishing(&mut self, now: Duration) {
        self.close.handshake.finishing(now);
    }

    /// The close has begun, and [`finish`](Self::finish) is awaited.
    pub(crate) fn is_finishing(&self) -> bool {
        self.close.handshake.is_finishing() && !self.is_over()
    }

    /// So much of ours is not written.
    pub(crate) fn unsent(&self) -> usize {
        self.close.outgoing.unsent()
    }

    /// The farewell goes out now, for nothing is sent in front of it any more.
    pub(crate) fn queue_farewell(&mut self, now: Duration) {
        self.close.outgoing.queue_farewell();
        self.close.update(false, now);
    }

    /// Says more in front of an error and of our tag. Where it is too late for that, it is unsent.
    pub(crate) fn add_farewell(&mut self, words: &[u8], now: Duration) {
        let may = matches!(self.close.handshake.ours(), Ours::Open | Ours::Queued) && !self.is_over();
        if may && self.close.outgoing.add_farewell(words) {
            self.close.update(false, now);
        } else {
            self.lost = self.lost.saturating_add(words.len());
        }
    }

    /// Queues what its application was told is queued: if our tag has become due since, in front of it.
    #[cfg(feature = "capi")]
    pub(crate) fn send_anyway(&mut self, bytes: &[u8], now: Duration) {
        if self.may_send() {
            self.close.send(bytes);
        } else {
            self.add_farewell(bytes, now);
        }
    }

    #[cfg(any(feature = "capi", feature = "batch"))]
    /// Our error, unless there is one, or our tag has gone out already.
    pub(crate) fn set_error(&mut self, error: &StreamError) {
        self.close.outgoing.set_error(error);
    }

    /// The qualified name of our root.
    pub(crate) fn root(&self) -> &str {
        self.close.outgoing.root()
    }

    /// The application may still send.
    pub(crate) fn may_send(&self) -> bool {
        self.close.may_send()
    }

    /// The close has begun, and our last bytes are not written yet.
    pub(crate) fn owes_output(&self) -> bool {
        self.close.handshake.ours() == Ours::Queued || self.is_finishing()
    }

    /// Our tag is due, and not written yet: what comes last can perhaps be said in front of it.
    pub(crate) fn is_tag_queued(&self) -> bool {
        self.close.handshake.ours() == Ours::Queued && !self.is_over()
    }

    /// What was handed out and not taken may change again: a plain socket keeps nothing of a write that is blocked.
    pub(crate) fn take_back(&mut self) {
        self.close.outgoing.take_back();
    }

    /// The peer's stream error, if it was seen.
    pub(crate) fn stream_error(&self) -> Option<&StreamError> {
        self.incoming.stream_error.as_deref()
    }

    /// The peer's closing tag was seen.
    pub(crate) fn is_peer_closed(&self) -> bool {
        self.close.handshake.theirs() == Theirs::Closed
    }

    /// Why what the peer sent is no stream.
    pub(crate) fn why_malformed(&self) -> Option<Malformed> {
        self.incoming.why_malformed()
    }

    /// What the peer's header puts in scope.
    pub(crate) fn header(&self) -> &Scope {
        &self.incoming.header
    }

    /// So many bytes were handed out, and not taken.
    #[cfg(feature = "capi")]
    pub(crate) fn handed(&self) -> usize {
        self.close.outgoing.handed()
    }

    /// The application's parser is inside an element, or not.
    #[cfg(feature = "capi")]
    pub(crate) fn set_inside(&mut self, inside: bool) {
        self.incoming.parser_inside = inside;
    }

    /// Those that wait hold no memory for a large stanza that has come already.
    pub(crate) fn shrink(&mut self) {
        self.incoming.shrink();
    }

    /// The outcome is fixed.
    pub(crate) fn is_over(&self) -> bool {
        self.close.handshake.is_over()
    }

    /// The phases that the close has reached.
    #[cfg(any(feature = "capi", feature = "log"))]
    pub(crate) fn phases(&self) -> crate::phase::Phases {
        self.close.handshake.phases()
    }

    /// What comes is still the peer's stream.
    pub(crate) fn parses(&self) -> bool {
        self.close.parses()
    }

    /// It is over, and nothing keeps the last bytes of ours from ending with a FIN. Over TLS, that waits for the end of
    /// what the peer sends (TL-02).
    pub(crate) fn may_end_output(&self) -> bool {
        let outcome = self.close.handshake.outcome();
        let complete = self.close.handshake.is_sent() || outcome == Outcome::Stalled;
        outcome != Outcome::Reset
            && complete
            && !self.close.handshake.is_broken()
            && self.close.handshake.awaits_no_alert()
    }

    /// Neither is it over, nor did anything fail that would keep bytes from going out.
    pub(crate) fn may_write(&self) -> bool {
        !self.is_over() && !self.close.handshake.is_broken()
    }

    /// How much of what was taken is not with the kernel.
    pub(crate) fn pending(&self) -> usize {
        self.close.outgoing.pending()
    }
}

/// What only a set of streams needs.
#[cfg(feature = "batch")]
impl Engine {
    /// Lets the whole close end at `end` at the latest.
    pub(crate) fn bound(&mut self, end: Duration, now: Duration) {
        self.close.handshake.bound(end, now);
    }

    /// It is not to be closed after all. True: our header is not out.
    pub(crate) fn unset(&mut self) -> bool {
        self.output_limit = usize::MAX;
        self.close.outgoing.unset()
    }

    /// Nothing has begun.
    pub(crate) fn is_open(&self) -> bool {
        !self.close.handshake.has_begun()
    }
}
