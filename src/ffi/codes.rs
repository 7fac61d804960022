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
    /// The call makes no sense, and nothing was changed or sent. The reasons:
    ///
    /// - A struct: struct_size is no size that the struct ever had, or a member
    ///   that this library does not know is not 0.
    /// - A number: a yes or no of a struct that is neither 0 nor 1; tls, a fact, or
    ///   the detail of RESTARTED out of range; a length over SSIZE_MAX; reserved
    ///   that is not 0.
    /// - A text: no UTF-8. closing_tag that is no end tag, header that is not the
    ///   start tag of a stream, peer_header that is no start tag, root of a framer
    ///   that is no name.
    /// - farewell: it is not made of whole stanzas, or has a closing tag that
    ///   tag_sent does not announce, or lacks the one that tag_sent announces.
    /// - A stream error: a condition that RFC 6120 does not know, or that lacks
    ///   its address or element; an address with any other condition, or one that
    ///   is empty or has white space; an element that is not one whole element;
    ///   text, address or element without a condition.
    /// - Options together: on_stanza and on_data; detach and stream_error;
    ///   tag_sent and detach, header, stream_error or on_farewell; parsed without
    ///   on_data, or with a value that on_data cannot return, or against
    ///   peer_closed, or NOT_XMPP with detach; half_close over TLS; spread_ms that
    ///   is not less than total_ms.
    /// - Options that the function has no use for: it lists them.
    /// - A descriptor: not open, no stream socket, not connected. In a batch: it
    ///   is in the batch already, or is one that epoll or kqueue cannot wait for.
    /// - A batch that was made before fork(), in the child.
    /// - The kind of stream: a started stream where an engine is meant, or an
    ///   engine where a started stream is; _received without own_parser, _input
    ///   with it.
    /// - The moment: RESTARTED before all is written; _wrote of more than was
    ///   handed out; _batch_add_stream of a stream that is over or in a batch, or
    ///   in its own callback; _set, _turn and _run in a callback of the batch;
    ///   _add to a batch that was stopped or whose time is up.
    /// - An index that the batch does not know.
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
    /// xmpp_close_describe() says which: the second case has XMPP_CLOSE_TLS_USED
    /// without XMPP_CLOSE_TLS_NOTIFY_RECEIVED.
    XMPP_CLOSE_TRUNCATED = 3,
    /// The connection broke before both tags were exchanged.
    XMPP_CLOSE_RESET = 4,
    /// Our closing tag is out, and the peer's did not come in time.
    XMPP_CLOSE_TIMED_OUT = 5,
    /// Our own output could not be written in time.
    XMPP_CLOSE_STALLED = 6,
    /// What the peer sent is no XMPP stream, or stopped being one.
    XMPP_CLOSE_MALFORMED = 7,
    /// The TLS layer failed. Only your TLS library knows why.
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
    /// answer_ms. Our tag was due without what you had to answer, and the close
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
