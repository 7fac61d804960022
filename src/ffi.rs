//! xmpp_close: ends an XMPP stream without losing a byte.
//!
//! RFC 6120 section 4.4 ends a stream by a handshake: send your closing tag,
//! write nothing more, go on reading *and processing* until the peer's closing
//! tag comes, and only then end TCP. If it does not come in reasonable time, end
//! TCP without an error. This library does that, in four sizes:
//!
//! ```text
//! xmpp_close_fd()        for a connected socket, on a thread that may block;
//!                        xmpp_close_with() over TLS, or anything that reads and
//!                        writes
//! xmpp_close_start()     for an event loop: the library reads and writes, and
//!                        never waits
//! xmpp_close_new()       for an event loop that has its own sockets, TLS and
//!                        parser: bytes in, bytes out
//! xmpp_close_batch_*()   for thousands of streams, by themselves or beside an
//!                        event loop
//! ```
//!
//! One call on a thread that may block:
//!
//! ```text
//! xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
//! int result = xmpp_close_fd(fd, NULL, &report);
//! if (result != XMPP_CLOSE_OK)
//!     fprintf(stderr, "%s\n", xmpp_close_strerror(result));
//! else
//!     printf("%s\n", xmpp_close_outcome_name(report.outcome));
//! close(fd);
//! ```
//!
//! The same in an event loop, here one of poll(2) for a single stream:
//!
//! ```text
//! xmpp_close_stream *s;
//! int result = xmpp_close_start(fd, &options, &s);
//! if (result == XMPP_CLOSE_OK)
//!     result = xmpp_close_finish(s, NULL, 0);
//! if (result == XMPP_CLOSE_OK) {
//!     uint32_t wants;
//!     while (!((wants = xmpp_close_step(s)) & XMPP_CLOSE_OVER)) {
//!         struct pollfd p = { fd, 0, 0 };
//!         p.events |= wants & XMPP_CLOSE_READ ? POLLIN : 0;
//!         p.events |= wants & XMPP_CLOSE_WRITE ? POLLOUT : 0;
//!         poll(&p, p.events != 0, xmpp_close_timeout(s, 0));
//!     }
//!     xmpp_close_get_report(s, &report);
//!     xmpp_close_free(s);
//! }
//! ```
//!
//! xmpp_close_framer_*() are for an event loop that has no parser, before it closes.
//!
//! Conventions
//!
//! - Functions that can fail return XMPP_CLOSE_OK (0) or a negative
//!   XMPP_CLOSE_ERR_*; nothing was changed then. How a stream ended, be it by a
//!   timeout or a reset, is never an error: that is the outcome in the report.
//! - What a function has no use for in its options is XMPP_CLOSE_ERR_INVALID: nothing
//!   that you ask for is ignored.
//! - NULL gives XMPP_CLOSE_ERR_NULL wherever it is not said to be allowed. With a
//!   length of 0, the pointer beside it is not looked at.
//! - Outputs are stored on success only. The report and the summary are exceptions:
//!   when they can be written at all, they are, with outcome XMPP_CLOSE_PENDING, or
//!   all zero, if nothing was done.
//! - Start every struct from its XMPP_CLOSE_*_INIT, then set what you need; 0 and
//!   NULL mean the default, also in members of later versions. struct_size lets
//!   programs and libraries of different versions work together: what the program
//!   does not know is 0, what the library does not know must be 0.
//! - What you pass in stays yours, and no pointer is kept after the call returns,
//!   but for the callbacks of started streams and batches. What a _new or _start
//!   function stores is yours to give to its _free; NULL is fine there.
//! - Callbacks run on the calling thread, inside the call that they belong to. They
//!   may call every function here, on other objects, and on their own stream and
//!   batch, as is said there. They leave the descriptor alone: closed, it ends the
//!   close; and a second close of it sends a second tag. They must return: a C++
//!   exception or longjmp() may not leave them.
//! - A thread that is cancelled by pthread_cancel() is so once the call has returned,
//!   not inside it, nor inside a callback. A callback may not enable that.
//! - After fork(), what was made before is the parent's. The child may call only the
//!   _free functions with it, and the parent does not notice. To use a canceller, a
//!   batch or a started stream of the parent's is a mistake.
//! - What may be large is asked of the system so that it may refuse: the copies of
//!   farewell and residual, and handles, which is XMPP_CLOSE_ERR_SYSTEM, and the
//!   buffer of a late stanza, which is passed over then, as one over stanza_limit.
//!   When it refuses less, some KiB for each stream, the process ends by abort().
//! - There are no globals. Calls on different objects never meet; one object is for
//!   one thread at a time, but for xmpp_close_canceller. A batch and the streams that
//!   are in it count as one.
//! - The library starts no threads, raises and blocks no signals (SIGPIPE included),
//!   and prints nothing. Should it ever panic, which is a bug, Rust's panic hook
//!   says so on stderr and the call returns XMPP_CLOSE_ERR_PANIC.
//! - Times are milliseconds. Strings are UTF-8 and end in NUL, unless a length
//!   stands beside them.

// The part above opens include/xmpp_close.h, and the `//!` lines of the modules listed in build.rs open their sections of
// it. Comments on C declarations are wrapped for a terminal, since they are the header's.

#![allow(clippy::missing_safety_doc, reason = "the header says for all of them what C must pass, in C's words")]
#![allow(rustdoc::invalid_html_tags, reason = "the words are C's, and tags are XMPP's")]

mod batch;
mod blocking;
mod callbacks;
mod canceller;
mod codes;
mod framer;
mod guard;
mod limits;
mod options;
mod report;
mod sized;
mod stream;
mod stream_error;
mod words;

pub use batch::*;
pub use blocking::*;
pub use callbacks::*;
pub use canceller::*;
pub use codes::*;
pub use framer::*;
pub use limits::*;
pub use options::*;
pub use report::*;
pub use stream::*;
pub use words::*;

#[cfg(test)]
mod tests;
