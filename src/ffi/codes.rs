//! Results and outcomes
//!
//! A number keeps its meaning for ever, and is never given another.

#![allow(non_camel_case_types, reason = "the names are those of the C API")]
#![allow(dead_code, reason = "most values are only read in C")]

/// What a call came to: whether the library could do its work. How the stream
/// ended is the outcome.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_result {
    /// The library did its work.
    XMPP_CLOSE_OK = 0,
    /// From xmpp_close_send(), and no error: our tag is due, or writing failed.
    /// Nothing was taken, and nothing will be: store the stanza, or bounce it.
    XMPP_CLOSE_REFUSED = 1,
    /// From xmpp_close_send(), and no error: output_limit is reached. Nothing was
    /// taken. Try again when bytes were written.
    XMPP_CLOSE_FULL = 2,
    /// A pointer that is needed was NULL.
    XMPP_CLOSE_ERR_NULL = -1,
    /// A value makes no sense, a struct was not started from its initializer, the
    /// descriptor is no connected stream socket, or the call is not for this kind
    /// of stream or this moment. Nothing was changed or sent.
    XMPP_CLOSE_ERR_INVALID = -2,
    /// The system refused memory or descriptors. Nothing was sent.
    XMPP_CLOSE_ERR_SYSTEM = -3,
    /// A bug in this library: please report it, and close the connection. The
    /// object is dead: each later call returns this, and xmpp_close_wants() says
    /// OVER.
    XMPP_CLOSE_ERR_PANIC = -4,
}

/// How a stream ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_outcome {
    /// It has not ended, or its close was never begun.
    XMPP_CLOSE_PENDING = 0,
    /// Both closing tags were exchanged. Nothing else is ever called clean.
    XMPP_CLOSE_CLEAN = 1,
    /// The peer ended TCP between stanzas, without its closing tag.
    XMPP_CLOSE_PEER_EOF = 2,
    /// The peer ended TCP inside an element, or ended TLS without close_notify.
    XMPP_CLOSE_TRUNCATED = 3,
    /// The connection broke before both tags were exchanged.
    XMPP_CLOSE_RESET = 4,
    /// Our closing tag is out, and the peer's did not come in time.
    XMPP_CLOSE_TIMED_OUT = 5,
    /// Our own output could not be written in time.
    XMPP_CLOSE_STALLED = 6,
    /// What the peer sent is no XMPP stream, or stopped being one.
    XMPP_CLOSE_MALFORMED = 7,
    /// The TLS layer failed.
    XMPP_CLOSE_TLS_FAILED = 8,
    /// A canceller or a callback stopped the close, or the stream was detached.
    XMPP_CLOSE_CANCELLED = 9,
}

/// Who began to close.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_initiator {
    /// Nobody has begun.
    XMPP_CLOSE_INITIATOR_NONE = 0,
    /// We did. If the peer's tag came, it is an answer to ours, with one
    /// exception. Without on_farewell, xmpp_close_with() and
    /// xmpp_close_batch_add_with() make only one read before our tag goes out,
    /// and over TLS that is one record at most. If more lay unread in front of
    /// the peer's tag, the close still counts as begun by us. An engine knows
    /// what it is told: see XMPP_CLOSE_FACT_ARRIVED.
    XMPP_CLOSE_INITIATOR_US = 1,
    /// The peer did: by its closing tag, a stream error, or the end of TCP. A
    /// blocking call begins before it reads, so an end of TCP that was there
    /// before counts as XMPP_CLOSE_INITIATOR_US.
    XMPP_CLOSE_INITIATOR_PEER = 2,
    /// Both did: the peer's tag, or its stream error, came before our tag was
    /// written. So the peer's tag is no answer to ours, and proves nothing about
    /// what we sent.
    XMPP_CLOSE_INITIATOR_CROSSING = 3,
}

/// The limit that ended a stream.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_limit {
    /// No limit did.
    XMPP_CLOSE_LIMIT_NONE = 0,
    /// total_ms.
    XMPP_CLOSE_LIMIT_TOTAL = 1,
    /// no_progress_ms.
    XMPP_CLOSE_LIMIT_NO_PROGRESS = 2,
    /// linger_ms.
    XMPP_CLOSE_LIMIT_LINGER = 3,
    /// answer_ms. Our tag was sent without what you had to answer, and the close
    /// went on.
    XMPP_CLOSE_LIMIT_ANSWER = 4,
    /// total_ms of the batch.
    XMPP_CLOSE_LIMIT_BATCH = 5,
}

/// Bits of xmpp_close_report.tls.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum xmpp_close_tls {
    /// The stream ran over TLS.
    XMPP_CLOSE_TLS_USED = 1,
    /// Our close_notify went out.
    XMPP_CLOSE_TLS_NOTIFY_SENT = 2,
    /// The peer's close_notify came: nobody has cut off the end of its data.
    XMPP_CLOSE_TLS_NOTIFY_RECEIVED = 4,
}
