//! xmpp_close: ends an XMPP stream without losing a byte.
//!
//! RFC 6120 section 4.4 ends a stream by a handshake. Send your closing tag, and
//! write nothing behind it. Go on reading *and processing* until the peer's
//! closing tag comes. Only then end TCP. If the peer's tag does not come in
//! reasonable time, end TCP without an error.
//!
//! This library does that. Which part to use depends on how your program is
//! built:
//!
//! ```text
//! xmpp_close_fd()        a thread that may block, and a connected socket
//! xmpp_close_with()      the same over TLS, or over any functions that read and
//!                        write
//! xmpp_close_start()     an event loop: the library reads and writes, and never
//!                        waits
//! xmpp_close_new()       an event loop that has its own sockets, TLS and parser:
//!                        an engine, which takes bytes in and gives bytes out
//! xmpp_close_batch_*()   thousands of streams, by themselves or beside an event
//!                        loop
//! xmpp_close_framer_*()  finds the peer's stanzas, for a program without a parser
//! ```
//!
//! This file has, in this order: results and outcomes, options, report, one call,
//! cancelling, one call over a transport of your own, a stream of an event loop,
//! many streams at once, the framing by itself, what the peer says about idleness,
//! words and versions.
//!
//! In this file, "we" and "our" mean the side on which the library runs, "you" is
//! your program, and a tag is a closing tag unless another one is named. A name
//! that begins with "_" lacks its beginning, as in _finish for xmpp_close_finish(),
//! and so does a name in capitals without XMPP_CLOSE_, such as READ.
//!
//! Four small programs: closing on a thread that may block,
//!
//! ```example
//! #define _POSIX_C_SOURCE 200809L
//! #include <errno.h>
//! #include <poll.h>
//! #include <stdio.h>
//! #include <sys/socket.h>
//! #include <time.h>
//! #include <unistd.h>
//! #include <xmpp_close.h>
//!
//! void close_and_wait(int fd)
//! {
//!     xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
//!     int result = xmpp_close_fd(fd, NULL, &report);
//!     if (result != XMPP_CLOSE_OK)
//!         fprintf(stderr, "%s\n", xmpp_close_strerror(result));
//!     else
//!         printf("%s\n", xmpp_close_outcome_name(report.outcome));
//!     close(fd);
//! }
//! ```
//!
//! in an event loop, here one of a single stream (step, wait, step again),
//!
//! ```example
//! static void wait_for(int fd, uint32_t wants, int timeout)
//! {
//!     struct pollfd p = { fd, 0, 0 };
//!     if (wants & XMPP_CLOSE_READ)
//!         p.events |= POLLIN;
//!     if (wants & XMPP_CLOSE_WRITE)
//!         p.events |= POLLOUT;
//!     poll(&p, p.events != 0, timeout); // with no events, not even for errors
//! }
//!
//! void close_by_steps(int fd)
//! {
//!     xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
//!     xmpp_close_stream *s;
//!     uint32_t wants;
//!     if (xmpp_close_start(fd, NULL, &s) != XMPP_CLOSE_OK)
//!         return;
//!     xmpp_close_finish(s, NULL, 0);
//!     while (!((wants = xmpp_close_step(s)) & XMPP_CLOSE_OVER))
//!         wait_for(fd, wants, xmpp_close_timeout(s, 0));
//!     xmpp_close_get_report(s, &report);
//!     printf("%s\n", xmpp_close_outcome_name(report.outcome));
//!     xmpp_close_free(s);
//!     close(fd);
//! }
//! ```
//!
//! by an engine (your program reads and writes, and tells what happened),
//!
//! ```example
//! static uint64_t clock_ms(void)
//! {
//!     struct timespec now;
//!     clock_gettime(CLOCK_MONOTONIC, &now);
//!     return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
//! }
//!
//! static void write_some(xmpp_close_stream *s, int fd, uint64_t now)
//! {
//!     const uint8_t *bytes;
//!     size_t len = xmpp_close_output(s, &bytes);
//!     ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
//!     if (n >= 0)
//!         xmpp_close_wrote(s, (size_t)n, 0, now);
//!     else if (errno != EAGAIN && errno != EINTR)
//!         xmpp_close_tell(s, XMPP_CLOSE_FACT_WRITE_FAILED, (uint64_t)errno, now);
//! }
//!
//! static void read_some(xmpp_close_stream *s, int fd, uint64_t now)
//! {
//!     uint8_t buf[4096];
//!     ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
//!     if (n > 0) {
//!         const uint8_t *at = buf, *xml;
//!         size_t len = (size_t)n, size;
//!         int frame;
//!         while ((frame = xmpp_close_input(s, &at, &len, now, &xml, &size)) > 0)
//!             if (frame == XMPP_CLOSE_FRAME_STANZA)
//!                 printf("%.*s\n", (int)size, (const char *)xml);
//!     } else if (n == 0) {
//!         uint64_t inside = (xmpp_close_wants(s) & XMPP_CLOSE_INSIDE) != 0;
//!         xmpp_close_tell(s, XMPP_CLOSE_FACT_EOF, inside, now);
//!     } else if (errno != EAGAIN && errno != EINTR) {
//!         xmpp_close_tell(s, XMPP_CLOSE_FACT_READ_FAILED, (uint64_t)errno, now);
//!     }
//! }
//!
//! void close_by_engine(int fd)
//! {
//!     xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
//!     xmpp_close_stream *s;
//!     uint32_t wants;
//!     if (xmpp_close_new(NULL, clock_ms(), &s) != XMPP_CLOSE_OK)
//!         return;
//!     xmpp_close_finish(s, NULL, clock_ms()); // what had arrived was answered
//!     while (!((wants = xmpp_close_tick(s, clock_ms())) & XMPP_CLOSE_OVER)) {
//!         if (wants & XMPP_CLOSE_SHUT) {
//!             shutdown(fd, SHUT_WR);
//!             xmpp_close_tell(s, XMPP_CLOSE_FACT_DID_SHUT, 0, clock_ms());
//!             continue;
//!         }
//!         wait_for(fd, wants, xmpp_close_timeout(s, clock_ms()));
//!         if (wants & XMPP_CLOSE_WRITE)
//!             write_some(s, fd, clock_ms());
//!         if (wants & XMPP_CLOSE_READ)
//!             read_some(s, fd, clock_ms());
//!     }
//!     xmpp_close_get_report(s, &report);
//!     printf("%s\n", xmpp_close_outcome_name(report.outcome));
//!     xmpp_close_free(s);
//!     close(fd);
//! }
//! ```
//!
//! and of many streams in one thread, as when a server goes down:
//!
//! ```example
//! void close_all(const int *fds, size_t count)
//! {
//!     xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
//!     xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
//!     xmpp_close_batch *batch;
//!     size_t i;
//!     if (xmpp_close_batch_new(&batch) != XMPP_CLOSE_OK)
//!         return;
//!     for (i = 0; i < count; i++)
//!         if (xmpp_close_batch_add(batch, fds[i], NULL, NULL) != XMPP_CLOSE_OK)
//!             fprintf(stderr, "no connected socket: %d\n", fds[i]);
//!     options.total_ms = 20000;
//!     options.stream_error = "system-shutdown";
//!     if (xmpp_close_batch_run(batch, &options, &summary) == XMPP_CLOSE_OK)
//!         printf("%d of %d clean\n", (int)summary.outcomes[XMPP_CLOSE_CLEAN],
//!                (int)summary.streams);
//!     xmpp_close_batch_free(batch);
//!     for (i = 0; i < count; i++)
//!         close(fds[i]);
//! }
//! ```
//!
//! Results
//!
//! - A function that can fail returns XMPP_CLOSE_OK (0) or a negative
//!   XMPP_CLOSE_ERR_*. After an error nothing has changed, and nothing was sent.
//! - How the peer or the connection ends a stream is never an error, be it by a
//!   timeout or a reset. It is the outcome in the report.
//! - An option that a function has no use for is XMPP_CLOSE_ERR_INVALID. Nothing
//!   that you ask for is ignored.
//! - NULL is XMPP_CLOSE_ERR_NULL, unless the function says what it means. The
//!   pointer beside a length of 0 is not looked at.
//! - Outputs are stored on success only. The report and the summary are
//!   exceptions: they are written after an error, too, with outcome
//!   XMPP_CLOSE_PENDING, or all zero. (Not when their own pointer or struct_size
//!   is the error.)
//!
//! Structs, units, texts
//!
//! - Start every struct from its XMPP_CLOSE_*_INIT, then set what you need. 0 and
//!   NULL mean the default, also in members of later versions.
//! - struct_size lets programs and libraries of different versions work together.
//!   A member that the program does not know is 0. A member that the library does
//!   not know must be 0.
//! - Times are milliseconds, lengths are bytes. Strings are UTF-8 and end in NUL,
//!   unless a length stands beside them.
//!
//! Who owns what
//!
//! - What you pass in stays yours. The library copies what it needs, and keeps no
//!   pointer after the call returns. Exceptions are the callbacks of started
//!   streams and batches, and their userdata.
//! - What a _new, _start or _remove function stores is yours: pass it to the
//!   _free function of its kind, which accepts NULL.
//! - A descriptor stays yours. The library never closes it. It must stay open
//!   until the call returns, or until the started stream is freed, or until its
//!   stream in a batch has ended. Meanwhile nothing else may read from it or
//!   write to it.
//!
//! Callbacks
//!
//! - A callback runs on the calling thread, inside the call that it belongs to.
//!   It must return: neither a C++ exception nor longjmp() may leave it.
//! - A callback leaves the descriptor alone. To close the descriptor ends the
//!   close, and a second close of the stream would send a second tag.
//! - A callback may call every function on other objects, and on its own:
//!
//! ```text
//! callback of        what it may call on the object that it belongs to
//! a blocking call    there is no object, but a canceller stops the close
//! a started stream   everything. What it asks by _send, _finish, _detach, _tell
//!                    or _peer_error is answered at once, and done as soon as the
//!                    callback has returned. A question is answered as of before
//!                    the callback. _step does nothing, _free is put off, and
//!                    xmpp_close_batch_add_stream() is XMPP_CLOSE_ERR_INVALID
//! a batch, or a      everything but _set, _turn and _run of the batch, which are
//! stream in it       XMPP_CLOSE_ERR_INVALID. _free is put off
//! an engine          everything. An engine calls nothing back but on_log
//! ```
//!
//! Threads, fork, signals
//!
//! - There are no globals. Calls on different objects never meet. One object is
//!   for one thread at a time, but any number of threads may use a canceller. A
//!   batch and the streams that are in it count as one object.
//! - The library starts no threads, raises and blocks no signals (SIGPIPE
//!   included), and prints nothing. If it ever panics, which is a bug, Rust's
//!   panic hook prints a line on stderr, and the call returns
//!   XMPP_CLOSE_ERR_PANIC.
//! - pthread_cancel() takes effect when the call has returned, not inside it, nor
//!   inside a callback. A callback may not enable cancellation.
//! - After fork(), what was made before belongs to the parent. The child may pass
//!   it to its _free function, which the parent does not notice, and may do
//!   nothing else with it.
//!
//! Memory
//!
//! - When the system refuses memory for the copies of farewell and residual, or
//!   for a handle, the result is XMPP_CLOSE_ERR_SYSTEM. When it refuses the
//!   buffer of a late stanza, that stanza is passed over like one over
//!   stanza_limit.
//! - When it refuses less than that, some KiB for each stream, the process ends
//!   by abort().

// The part above opens include/xmpp_close.h. The `//!` lines of the modules that build.rs lists open its sections. Comments on
// C declarations stand in the header, too, so they are wrapped for a terminal.

#![allow(clippy::missing_safety_doc, reason = "the header says in C's words what a C program must pass to each")]
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
mod socket;
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
pub use socket::*;
pub use stream::*;
pub use words::*;

#[cfg(test)]
mod tests;
