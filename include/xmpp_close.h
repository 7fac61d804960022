/* xmpp_close: ends an XMPP stream without losing a byte.
 *
 * RFC 6120 section 4.4 ends a stream by a handshake. Send your closing tag, and
 * write nothing behind it. Go on reading *and processing* until the peer's
 * closing tag comes. Only then end TCP. If the peer's tag does not come in
 * reasonable time, end TCP without an error.
 *
 * This library does that. Which part to use depends on how your program is
 * built:
 *
 *    xmpp_close_fd()        a thread that may block, and a connected socket
 *    xmpp_close_with()      the same over TLS, or over any functions that read and
 *                           write
 *    xmpp_close_start()     an event loop: the library reads and writes, and never
 *                           waits
 *    xmpp_close_new()       an event loop that has its own sockets, TLS and parser:
 *                           an engine, which takes bytes in and gives bytes out
 *    xmpp_close_batch_*()   thousands of streams, by themselves or beside an event
 *                           loop
 *    xmpp_close_framer_*()  finds the peer's stanzas, for a program without a parser
 *
 * This file has, in this order: results and outcomes, options, report, one call,
 * cancelling, one call over a transport of your own, a stream of an event loop,
 * many streams at once, the framing by itself, what the peer says about idleness,
 * words and versions.
 *
 * In this file, "we" and "our" mean the side on which the library runs, "you" is
 * your program, and a tag is a closing tag unless another one is named. A name
 * that begins with "_" lacks its beginning, as in _finish for xmpp_close_finish(),
 * and so does a name in capitals without XMPP_CLOSE_, such as READ.
 *
 * Four small programs: closing on a thread that may block,
 *
 *    #define _POSIX_C_SOURCE 200809L
 *    #include <errno.h>
 *    #include <poll.h>
 *    #include <stdio.h>
 *    #include <sys/socket.h>
 *    #include <time.h>
 *    #include <unistd.h>
 *    #include <xmpp_close.h>
 *
 *    void close_and_wait(int fd)
 *    {
 *        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
 *        int result = xmpp_close_fd(fd, NULL, &report);
 *        if (result != XMPP_CLOSE_OK)
 *            fprintf(stderr, "%s\n", xmpp_close_strerror(result));
 *        else
 *            printf("%s\n", xmpp_close_outcome_name(report.outcome));
 *        close(fd);
 *    }
 *
 * in an event loop, here one of a single stream (step, wait, step again),
 *
 *    static void wait_for(int fd, uint32_t wants, int timeout)
 *    {
 *        struct pollfd p = { fd, 0, 0 };
 *        if (wants & XMPP_CLOSE_READ)
 *            p.events |= POLLIN;
 *        if (wants & XMPP_CLOSE_WRITE)
 *            p.events |= POLLOUT;
 *        poll(&p, p.events != 0, timeout); // with no events, not even for errors
 *    }
 *
 *    void close_by_steps(int fd)
 *    {
 *        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
 *        xmpp_close_stream *s;
 *        uint32_t wants;
 *        if (xmpp_close_start(fd, NULL, &s) != XMPP_CLOSE_OK)
 *            return;
 *        xmpp_close_finish(s, NULL, 0);
 *        while (!((wants = xmpp_close_step(s)) & XMPP_CLOSE_OVER))
 *            wait_for(fd, wants, xmpp_close_timeout(s, 0));
 *        xmpp_close_get_report(s, &report);
 *        printf("%s\n", xmpp_close_outcome_name(report.outcome));
 *        xmpp_close_free(s);
 *        close(fd);
 *    }
 *
 * by an engine (your program reads and writes, and tells what happened),
 *
 *    static uint64_t clock_ms(void)
 *    {
 *        struct timespec now;
 *        clock_gettime(CLOCK_MONOTONIC, &now);
 *        return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
 *    }
 *
 *    static void write_some(xmpp_close_stream *s, int fd, uint64_t now)
 *    {
 *        const uint8_t *bytes;
 *        size_t len = xmpp_close_output(s, &bytes);
 *        ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
 *        if (n >= 0)
 *            xmpp_close_wrote(s, (size_t)n, 0, now);
 *        else if (errno != EAGAIN && errno != EINTR)
 *            xmpp_close_tell(s, XMPP_CLOSE_FACT_WRITE_FAILED, (uint64_t)errno, now);
 *    }
 *
 *    static void read_some(xmpp_close_stream *s, int fd, uint64_t now)
 *    {
 *        uint8_t buf[4096];
 *        ssize_t n = recv(fd, buf, sizeof buf, MSG_DONTWAIT);
 *        if (n > 0) {
 *            const uint8_t *at = buf, *xml;
 *            size_t len = (size_t)n, size;
 *            int frame;
 *            while ((frame = xmpp_close_input(s, &at, &len, now, &xml, &size)) > 0)
 *                if (frame == XMPP_CLOSE_FRAME_STANZA)
 *                    printf("%.*s\n", (int)size, (const char *)xml);
 *        } else if (n == 0) {
 *            uint64_t inside = (xmpp_close_wants(s) & XMPP_CLOSE_INSIDE) != 0;
 *            xmpp_close_tell(s, XMPP_CLOSE_FACT_EOF, inside, now);
 *        } else if (errno != EAGAIN && errno != EINTR) {
 *            xmpp_close_tell(s, XMPP_CLOSE_FACT_READ_FAILED, (uint64_t)errno, now);
 *        }
 *    }
 *
 *    void close_by_engine(int fd)
 *    {
 *        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
 *        xmpp_close_stream *s;
 *        uint32_t wants;
 *        if (xmpp_close_new(NULL, clock_ms(), &s) != XMPP_CLOSE_OK)
 *            return;
 *        xmpp_close_finish(s, NULL, clock_ms()); // what had arrived was answered
 *        while (!((wants = xmpp_close_tick(s, clock_ms())) & XMPP_CLOSE_OVER)) {
 *            if (wants & XMPP_CLOSE_SHUT) {
 *                shutdown(fd, SHUT_WR);
 *                xmpp_close_tell(s, XMPP_CLOSE_FACT_DID_SHUT, 0, clock_ms());
 *                continue;
 *            }
 *            wait_for(fd, wants, xmpp_close_timeout(s, clock_ms()));
 *            if (wants & XMPP_CLOSE_WRITE)
 *                write_some(s, fd, clock_ms());
 *            if (wants & XMPP_CLOSE_READ)
 *                read_some(s, fd, clock_ms());
 *        }
 *        xmpp_close_get_report(s, &report);
 *        printf("%s\n", xmpp_close_outcome_name(report.outcome));
 *        xmpp_close_free(s);
 *        close(fd);
 *    }
 *
 * and of many streams in one thread, as when a server goes down:
 *
 *    void close_all(const int *fds, size_t count)
 *    {
 *        xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
 *        xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
 *        xmpp_close_batch *batch;
 *        size_t i;
 *        if (xmpp_close_batch_new(&batch) != XMPP_CLOSE_OK)
 *            return;
 *        for (i = 0; i < count; i++)
 *            if (xmpp_close_batch_add(batch, fds[i], NULL, NULL) != XMPP_CLOSE_OK)
 *                fprintf(stderr, "no connected socket: %d\n", fds[i]);
 *        options.total_ms = 20000;
 *        options.stream_error = "system-shutdown";
 *        if (xmpp_close_batch_run(batch, &options, &summary) == XMPP_CLOSE_OK)
 *            printf("%d of %d clean\n", (int)summary.outcomes[XMPP_CLOSE_CLEAN],
 *                   (int)summary.streams);
 *        xmpp_close_batch_free(batch);
 *        for (i = 0; i < count; i++)
 *            close(fds[i]);
 *    }
 *
 * Results
 *
 * - A function that can fail returns XMPP_CLOSE_OK (0) or a negative
 *   XMPP_CLOSE_ERR_*. After an error nothing has changed, and nothing was sent.
 * - How the peer or the connection ends a stream is never an error, be it by a
 *   timeout or a reset. It is the outcome in the report.
 * - An option that a function has no use for is XMPP_CLOSE_ERR_INVALID. Nothing
 *   that you ask for is ignored.
 * - NULL is XMPP_CLOSE_ERR_NULL, unless the function says what it means. The
 *   pointer beside a length of 0 is not looked at.
 * - Outputs are stored on success only. The report and the summary are
 *   exceptions: they are written after an error, too, with outcome
 *   XMPP_CLOSE_PENDING, or all zero. (Not when their own pointer or struct_size
 *   is the error.)
 *
 * Structs, units, texts
 *
 * - Start every struct from its XMPP_CLOSE_*_INIT, then set what you need. 0 and
 *   NULL mean the default, also in members of later versions.
 * - struct_size lets programs and libraries of different versions work together.
 *   A member that the program does not know is 0. A member that the library does
 *   not know must be 0.
 * - Times are milliseconds, lengths are bytes. Strings are UTF-8 and end in NUL,
 *   unless a length stands beside them.
 *
 * Who owns what
 *
 * - What you pass in stays yours. The library copies what it needs, and keeps no
 *   pointer after the call returns. Exceptions are the callbacks of started
 *   streams and batches, and their userdata.
 * - What a _new, _start or _remove function stores is yours: pass it to the
 *   _free function of its kind, which accepts NULL.
 * - A descriptor stays yours. The library never closes it. It must stay open
 *   until the call returns, or until the started stream is freed, or until its
 *   stream in a batch has ended. Meanwhile nothing else may read from it or
 *   write to it.
 *
 * Callbacks
 *
 * - A callback runs on the calling thread, inside the call that it belongs to.
 *   It must return: neither a C++ exception nor longjmp() may leave it.
 * - A callback leaves the descriptor alone. To close the descriptor ends the
 *   close, and a second close of the stream would send a second tag.
 * - A callback may call every function on other objects, and on its own:
 *
 *    callback of        what it may call on the object that it belongs to
 *    a blocking call    there is no object, but a canceller stops the close
 *    a started stream   everything. What it asks by _send, _finish, _detach, _tell
 *                       or _peer_error is answered at once, and done as soon as the
 *                       callback has returned. A question is answered as of before
 *                       the callback. _step does nothing, _free is put off, and
 *                       xmpp_close_batch_add_stream() is XMPP_CLOSE_ERR_INVALID
 *    a batch, or a      everything but _set, _turn and _run of the batch, which are
 *    stream in it       XMPP_CLOSE_ERR_INVALID. _free is put off
 *    an engine          everything. An engine calls nothing back but on_log
 *
 * Threads, fork, signals
 *
 * - There are no globals. Calls on different objects never meet. One object is
 *   for one thread at a time, but any number of threads may use a canceller. A
 *   batch and the streams that are in it count as one object.
 * - The library starts no threads, raises and blocks no signals (SIGPIPE
 *   included), and prints nothing. If it ever panics, which is a bug, Rust's
 *   panic hook prints a line on stderr, and the call returns
 *   XMPP_CLOSE_ERR_PANIC.
 * - pthread_cancel() takes effect when the call has returned, not inside it, nor
 *   inside a callback. A callback may not enable cancellation.
 * - After fork(), what was made before belongs to the parent. The child may pass
 *   it to its _free function, which the parent does not notice, and may do
 *   nothing else with it.
 *
 * Memory
 *
 * - When the system refuses memory for the copies of farewell and residual, or
 *   for a handle, the result is XMPP_CLOSE_ERR_SYSTEM. When it refuses the
 *   buffer of a late stanza, that stanza is passed over like one over
 *   stanza_limit.
 * - When it refuses less than that, some KiB for each stream, the process ends
 *   by abort().
 */

#ifndef XMPP_CLOSE_H
#define XMPP_CLOSE_H

#include <stddef.h>
#include <stdint.h>

#define XMPP_CLOSE_VERSION_MAJOR 0
#define XMPP_CLOSE_VERSION_MINOR 1
#define XMPP_CLOSE_VERSION_PATCH 0
#define XMPP_CLOSE_VERSION_NUMBER                                              \
    (XMPP_CLOSE_VERSION_MAJOR * 1000000 + XMPP_CLOSE_VERSION_MINOR * 1000 +    \
     XMPP_CLOSE_VERSION_PATCH)

/* Results that say something which must not be missed. */
#if defined(__GNUC__)
#define XMPP_CLOSE_MUST_USE __attribute__((warn_unused_result))
#else
#define XMPP_CLOSE_MUST_USE
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A socket: a descriptor on Unix, a SOCKET of Winsock on Windows. What this file
 * calls errno is there a code of WSAGetLastError(): WSAEWOULDBLOCK for EAGAIN,
 * and WSAEINTR for EINTR.
 */

#if defined(_WIN32)
typedef uintptr_t xmpp_close_socket;
#define XMPP_CLOSE_NO_SOCKET ((xmpp_close_socket)-1)
#else
typedef int xmpp_close_socket;
#define XMPP_CLOSE_NO_SOCKET (-1)
#endif



/* Results and outcomes
 *
 * A number keeps its meaning for ever, and is never given another.
 */

/// What a call came to: whether the library could do its work. How the stream
/// ended is the outcome.
typedef enum xmpp_close_result {
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
} xmpp_close_result;

/// How a stream ended.
typedef enum xmpp_close_outcome {
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
} xmpp_close_outcome;

/// Who began to close.
typedef enum xmpp_close_initiator {
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
} xmpp_close_initiator;

/// The limit that ended a stream.
typedef enum xmpp_close_limit {
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
} xmpp_close_limit;

/// Bits of xmpp_close_report.tls.
typedef enum xmpp_close_tls {
    /// The stream ran over TLS.
    XMPP_CLOSE_TLS_USED = 1,
    /// Our close_notify went out.
    XMPP_CLOSE_TLS_NOTIFY_SENT = 2,
    /// The peer's close_notify came: nobody has cut off the end of its data.
    XMPP_CLOSE_TLS_NOTIFY_RECEIVED = 4,
} xmpp_close_tls;

/* Options */

#define XMPP_CLOSE_OPTIONS_INIT                                                \
    { sizeof(xmpp_close_options), 0, 0, 0, 0, 0, 0, NULL, NULL, 0, NULL, 0,    \
      NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, 0, 0, 0, NULL,   \
      NULL, 0, NULL, 0, 0, NULL, 0, 0 }

/// Returned by on_data: your parser has seen the end of the peer's stream.
#define XMPP_CLOSE_PEER_CLOSED 11

/// Returned by on_data: your parser refuses what the peer sent, since it is not
/// well-formed, or no XMPP stream.
#define XMPP_CLOSE_NOT_XMPP 12

/// Returned by on_data instead of 0: go on, and the bytes ended inside an element
/// of the stream. For bytes that your parser got before the call, set parsed.
#define XMPP_CLOSE_MID_ELEMENT 13

/// Returned by on_farewell on a started stream: not yet. It is called again when
/// xmpp_close_finish() is called again, so call that when all is said.
#define XMPP_CLOSE_LATER 1

/// A phase of a close, for on_log. Each phase comes once at most. The last one comes
/// in each close that goes on to its end.
typedef enum xmpp_close_phase {
    /// You or the peer began to close.
    XMPP_CLOSE_PHASE_BEGUN = 1,
    /// Our closing tag, and all before it, was taken by the kernel.
    XMPP_CLOSE_PHASE_TAG_SENT = 2,
    /// The peer's closing tag came.
    XMPP_CLOSE_PHASE_TAG_RECEIVED = 3,
    /// The close is over. The line is that of xmpp_close_describe().
    XMPP_CLOSE_PHASE_ENDED = 4,
} xmpp_close_phase;

/// Stops closes from another thread: see xmpp_close_canceller_new().
typedef struct xmpp_close_canceller xmpp_close_canceller;

/// How to close. NULL in place of a pointer to it means all defaults. Each
/// function says which members it refuses.
typedef struct xmpp_close_options {
    /// Set by XMPP_CLOSE_OPTIONS_INIT.
    size_t struct_size;
    /// The limit for the whole close: what is still to be written, our tag, the
    /// wait for the peer's tag, the end of TLS and TCP. 0: 30000, so when this is
    /// what is left of a deadline, and nothing is left, set 1. When much was
    /// sent just before the close, a healthy server may need 7 to 17 s with the
    /// rate limits that it is shipped with.
    uint32_t total_ms;
    /// The limit for any time in which no byte moves, inside total_ms; a silent
    /// peer is waited for so long. 0: no such limit. Set it with care, since
    /// healthy peers pause: after a network was down for 3 s, TCP was silent for
    /// 8.7 s more, and servers with rate limits stop reading for longer than
    /// that.
    uint32_t no_progress_ms;
    /// The limit for the end of TCP once both tags are exchanged, inside
    /// total_ms. When our output is lost, it is the limit for any time in which
    /// the peer sends nothing. 0: 2000.
    uint32_t linger_ms;
    /// 1: shutdown(SHUT_WR) right after our tag. 0: only after the peer's tag,
    /// since widespread servers drop what they still had to send when TCP ends
    /// earlier. Over TLS, 1 is XMPP_CLOSE_ERR_INVALID. On a stream that goes over
    /// to TLS later, by RESTARTED, it has no effect.
    uint32_t half_close;
    /// 1: your parser has seen the peer's tag already, so our tag is the answer
    /// to it. What still comes is discarded. With on_data, parsed says the same:
    /// set that one.
    uint32_t peer_closed;
    /// For xmpp_close_new() only. 1: the stream runs over TLS. 2: it runs over a
    /// TLS layer that neither shows the peer's close_notify nor lets you send
    /// ours. (xmpp_close_transport has a member of its own; a plain descriptor
    /// has no TLS.)
    uint32_t tls;
    /// The closing tag that matches *your* header. NULL: "</stream:stream>".
    /// Where the library looks for the peer's tag without knowing the peer's
    /// header, it takes any end tag with the same local name, whatever its
    /// prefix.
    const char *closing_tag;
    /// Bytes that are sent directly in front of our tag: whole stanzas, such as
    /// unavailable presence or a last <a/>. In a blocking call and in _batch_add,
    /// what your program has queued and not written belongs here, too. So farewell
    /// may begin with the rest of a stanza that is half written, or with your
    /// header, if that was never sent. A stream with a handle takes the queue by
    /// xmpp_close_send() instead: what its callbacks send goes out behind that, and
    /// in front of farewell.
    ///
    /// farewell is XMPP_CLOSE_ERR_INVALID when it ends inside a stanza, or has text
    /// or a closing tag between stanzas.
    const void *farewell;
    /// Length of farewell in bytes.
    size_t farewell_len;
    /// Bytes that you have read from the peer and not handled yet. They begin
    /// between two stanzas. With on_data: bytes that you have not fed to your
    /// parser.
    const void *residual;
    /// Length of residual in bytes.
    size_t residual_len;
    /// Called with each whole stanza that still arrives, in order. Handle it as
    /// ever, but do not answer it. `xml` is valid during the call and does not
    /// end in NUL. Return 0 to go on, anything else to stop at once
    /// (XMPP_CLOSE_CANCELLED). NULL: stanzas are counted and discarded.
    int (*on_stanza)(void *userdata, const uint8_t *xml, size_t len);
    /// Instead of on_stanza, for a program with a parser: called with the bytes
    /// that arrive, in pieces of any size, residual first. The library does not
    /// look into the bytes then: it counts no stanzas and sees no stream error.
    /// Not together with on_stanza.
    ///
    /// Return 0 to go on, or XMPP_CLOSE_MID_ELEMENT to go on from inside an
    /// element. Return XMPP_CLOSE_PEER_CLOSED once the parser has seen the peer's
    /// tag. Return XMPP_CLOSE_NOT_XMPP when the parser refuses the bytes; the
    /// library answers with stream_error, or else with not-well-formed, unless a
    /// part of our tag is written. A blocking call writes our tag as soon as
    /// residual is handled, so it can answer residual, and seldom what it reads.
    /// Return anything else to stop at once. When the peer ends TCP without its
    /// tag, the outcome is XMPP_CLOSE_TRUNCATED after XMPP_CLOSE_MID_ELEMENT,
    /// otherwise XMPP_CLOSE_PEER_EOF.
    ///
    /// A stream error of the peer's has no result of its own: return 0, since the
    /// peer's tag is still awaited. The report does not show the error. On a
    /// started stream, call xmpp_close_peer_error() instead.
    ///
    /// Bytes that your parser got before the call are not shown again: set
    /// parsed to what the parser said of them.
    ///
    /// Never return what XML_Parse() returned: XML_STATUS_ERROR is 0, which here
    /// means to go on. (XML_STATUS_OK stops the close.)
    ///
    /// With expat, call XML_SetReparseDeferralEnabled(parser, XML_FALSE) first,
    /// or a tag that comes in pieces is seen too late. An expat without this
    /// function needs no call. Let your build find out whether expat.h declares
    /// it: the version does not tell, since patched older versions have it, too.
    int (*on_data)(void *userdata, const uint8_t *data, size_t len);
    /// Passed to the callbacks as it is.
    void *userdata;
    /// Stops this close. NULL: nothing can. It may be freed during the close.
    const xmpp_close_canceller *canceller;
    /// Close with a stream error, sent between farewell and tag: a condition of
    /// RFC 6120 section 4.9.3, such as "system-shutdown". Do not use it for mere
    /// idleness, nor in an answer to the peer's tag: it would be sent there, too.
    /// NULL: no error.
    const char *stream_error;
    /// A text for people to go with stream_error. It is escaped. NULL: none.
    const char *stream_error_text;
    /// An element of your own to go with stream_error, sent as it is.
    /// "undefined-condition" needs one. NULL: none.
    const char *stream_error_element;
    /// The longest stanza for on_stanza. A longer one is passed over and counted
    /// in xmpp_close_report.oversize. 0: 1048576. Less than 10000 counts as
    /// 10000.
    size_t stanza_limit;
    /// Composes the last words: called when everything that had arrived is
    /// handled and our tag is next. It stores up to len (4096) bytes in buf and
    /// their number in `*n`; they are sent behind farewell, directly in front of
    /// our tag. Whole stanzas only. NULL: no last words.
    ///
    /// It is called once. On a started stream it is called again and again, until
    /// it stores nothing.
    ///
    /// Return 0 to go on, on a started stream also XMPP_CLOSE_LATER. Anything
    /// else stops the close at once, and so do bytes that are no whole stanzas;
    /// then nothing of them is sent.
    ///
    /// It is meant for a final <a/> of XEP-0198. Such an <a/> counts each
    /// message, presence and iq that was handled, and nothing else: an <r/> does
    /// not count.
    int (*on_farewell)(void *userdata, uint8_t *buf, size_t len, size_t *n);
    /// 1: TCP is ended without our tag once farewell is sent, so that an XEP-0198
    /// session stays resumable. What still arrives is discarded; the peer sends
    /// it again when the session is resumed. The outcome is XMPP_CLOSE_CANCELLED,
    /// with tag_sent 0. Not with stream_error.
    uint32_t detach;
    /// 1: you have written our tag already, or farewell ends in it, so that no
    /// other is sent. farewell is then empty, or ends in the tag. Not with
    /// detach, stream_error or on_farewell.
    uint32_t tag_sent;
    /// The limit for what you still owe the peer: when the peer closes first, or
    /// when something has arrived as you close. After it our tag is sent all the
    /// same, so that it goes out in time. Without a handle nothing can be answered:
    /// there it is the limit for your callbacks with residual, and for on_farewell
    /// with what has arrived. 0: half of total_ms.
    uint32_t answer_ms;
    /// For xmpp_close_new() only. 1: your program has a parser, so it calls
    /// xmpp_close_received(), not xmpp_close_input().
    uint32_t own_parser;
    /// Where the peer is to go instead. stream_error "see-other-host" needs it,
    /// and no other condition has one. NULL: none.
    const char *stream_error_address;
    /// The peer's header as you received it. It tells the name of the peer's root
    /// and what the prefixes mean, so that a stream error is recognised under any
    /// prefix. NULL: only <stream:error> is a stream error, as in nearly every
    /// stream. With on_data it is not needed.
    const void *peer_header;
    /// Length of peer_header in bytes.
    size_t peer_header_len;
    /// *Your* header, if it has not been sent. It goes in front of whatever is
    /// sent first, as when a stream is refused before its header (RFC 6120
    /// section 4.9.1.2). closing_tag is not needed then. The peer's header may
    /// not have come either: if it is what comes first, it is no stanza. NULL: your
    /// header has been sent, and the peer's has come.
    const void *header;
    /// Length of header in bytes.
    size_t header_len;
    /// How many bytes xmpp_close_send() queues at most. 0: 16777216. farewell,
    /// stream error and tag do not count.
    size_t output_limit;
    /// Called once for each xmpp_close_phase that the close reaches, with a line
    /// of text for your log. The line ends in NUL, has no newline, and is valid
    /// during the call. NULL: nothing is logged.
    void (*on_log)(void *userdata, int phase, const char *line);
    /// What on_data would return now, after the bytes that you gave to your
    /// parser before this call: 0, XMPP_CLOSE_PEER_CLOSED, XMPP_CLOSE_NOT_XMPP or
    /// XMPP_CLOSE_MID_ELEMENT. So a thread stores here what its parser said last.
    /// Anything but 0 needs on_data, and does not contradict peer_closed. NOT_XMPP
    /// is refused with detach. On a started stream it answers with
    /// not-well-formed: for another condition leave this 0, call _finish with it,
    /// then _tell MALFORMED.
    uint32_t parsed;
    /// Always 0.
    uint32_t reserved;
} xmpp_close_options;

/* Report */

#define XMPP_CLOSE_REPORT_INIT                                                 \
    { sizeof(xmpp_close_report), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "",     \
      "", "", "", "", 0, 0 }

/// How a close went. A number that does not fit is the largest that does.
///
/// Counts begin with the close. An engine that is made at the close, or with
/// peer_closed, has not seen what came before, so it counts 0 for that.
typedef struct xmpp_close_report {
    /// Set by XMPP_CLOSE_REPORT_INIT, and never changed: a report can be used
    /// again.
    size_t struct_size;
    /// An xmpp_close_outcome.
    uint32_t outcome;
    /// An xmpp_close_initiator.
    uint32_t initiator;
    /// 1: the kernel has our tag, and all bytes in front of it.
    uint32_t tag_sent;
    /// 1: the peer's tag came.
    uint32_t tag_received;
    /// Late stanzas: those that arrived while closing, handed over or discarded.
    /// 0 with on_data, where your parser counts them.
    uint32_t stanzas;
    /// Late stanzas that were longer than stanza_limit.
    uint32_t oversize;
    /// Bytes of the peer's stream that were read while closing, with residual and
    /// the peer's tag.
    uint64_t bytes_read;
    /// Bytes that came behind the peer's tag. They were discarded.
    uint64_t bytes_after_tag;
    /// Our bytes that neither the kernel nor the transport took.
    uint64_t bytes_unsent;
    /// Our bytes that the peer's kernel had not acknowledged at the end. Known on
    /// Linux over TCP only, otherwise 0.
    uint64_t bytes_unacked;
    /// XMPP_CLOSE_TLS_* bits; 0 without TLS.
    uint32_t tls;
    /// The first errno that occurred, or 0. It may explain the outcome, or why
    /// the descriptor was refused, or be a mere detail.
    int32_t os_error;
    /// The time from the beginning of the close to its end.
    uint32_t elapsed_ms;
    /// Always 0.
    uint32_t reserved;
    /// The condition of the peer's stream error, or "". A condition that RFC 6120
    /// does not define is "undefined-condition". This string and those below are
    /// UTF-8 and end in NUL. A string that is too long is cut between two
    /// characters.
    char stream_error[48];
    /// The text for people of the peer's stream error, or "".
    char stream_error_text[256];
    /// Where to go instead, if the condition is "see-other-host", or "". It is
    /// not checked: whoever could send the error could send any address.
    char stream_error_address[256];
    /// The name of the application's element in the stream error, as
    /// "{namespace}name", or "".
    char stream_error_element[512];
    /// The condition's name as it came, if RFC 6120 does not define it, or "".
    char stream_error_name[48];
    /// An xmpp_close_limit: the limit that ended the close.
    uint32_t limit;
    /// How often xmpp_close_send() returned XMPP_CLOSE_REFUSED.
    uint32_t refused;
} xmpp_close_report;

/* One call */

/// Closes the stream on a connected stream socket, and ends TCP. Blocks for
/// total_ms at most. A socket that was never connected, or is not yet, is
/// XMPP_CLOSE_ERR_INVALID. A socket whose peer is gone is accepted.
///
/// The socket may be blocking or not. Its flags, timeouts and options are left as
/// they are. Close the descriptor when the call has returned: that loses nothing
/// then.
///
/// options NULL: all defaults. Refused as XMPP_CLOSE_ERR_INVALID: tls, own_parser
/// and output_limit. report NULL: not wanted.
int xmpp_close_fd(xmpp_close_socket fd,
                  const xmpp_close_options *options,
                  xmpp_close_report *report);

/* Cancelling */

/// Stores a canceller, for the member canceller of any number of options. It
/// holds two descriptors.
int xmpp_close_canceller_new(xmpp_close_canceller **out);

/// Stops at once every close that has this canceller or will have it; the outcome
/// is XMPP_CLOSE_CANCELLED. May be called from any thread and any number of
/// times, but not from a signal handler.
int xmpp_close_canceller_cancel(const xmpp_close_canceller *canceller);

/// Frees it; NULL is fine. Closes that have this canceller are not disturbed.
void xmpp_close_canceller_free(xmpp_close_canceller *canceller);

/* One call, over a transport of your own
 *
 * For OpenSSL, GnuTLS, or any functions that make non-blocking attempts to read
 * and write.
 */

#define XMPP_CLOSE_TRANSPORT_INIT                                              \
    { sizeof(xmpp_close_transport), NULL, NULL, NULL, NULL, NULL,              \
      XMPP_CLOSE_NO_SOCKET, 0, NULL }

/// What the callbacks of a transport may return, beside 0 and errno values.
typedef enum xmpp_close_attempt {
    /// Nothing can be done before the descriptor is readable.
    XMPP_CLOSE_WANT_READ = -1,
    /// Nothing can be done before the descriptor is writable.
    XMPP_CLOSE_WANT_WRITE = -2,
    /// Over TLS: TCP ended without close_notify, or the TLS layer cannot tell
    /// whether a close_notify came.
    XMPP_CLOSE_TLS_EOF = -3,
    /// The TLS layer failed. What is not written will never be.
    XMPP_CLOSE_TLS_ERROR = -4,
    /// From read only: you do not want to read now. The descriptor is not polled
    /// for reading, and no_progress_ms does not count this time. The next
    /// xmpp_close_step() tries again; blocking calls and batches do so every 100
    /// ms.
    XMPP_CLOSE_PAUSED = -5,
} xmpp_close_attempt;

/// A byte stream of your own.
///
/// Each callback makes one attempt, without blocking, and returns 0, an
/// xmpp_close_attempt or an errno value. EAGAIN means that read waits until the
/// descriptor is readable, and the other callbacks until it is writable. EINTR
/// means "again". Any other errno value means that the connection is gone.
///
/// `*n` is 0 before each call. A socket below must be O_NONBLOCK, or the first
/// attempt may never return.
typedef struct xmpp_close_transport {
    /// Set by XMPP_CLOSE_TRANSPORT_INIT.
    size_t struct_size;
    /// Passed to the callbacks as it is.
    void *userdata;
    /// Reads up to len bytes into buf, stores their number in `*n` and returns 0.
    /// With `*n` 0 this is the end: of TCP, or over TLS the peer's close_notify.
    int (*read)(void *userdata, uint8_t *buf, size_t len, size_t *n);
    /// Writes up to len bytes from buf, stores their number in `*n` and returns
    /// 0. These bytes count as written: they are with the kernel, or flush tells
    /// how many are not. When an attempt would block, write is called again
    /// later, over TLS with the same bytes. It must not raise SIGPIPE. With
    /// OpenSSL, set SSL_MODE_ENABLE_PARTIAL_WRITE, so that progress is seen, and
    /// SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER.
    int (*write)(void *userdata, const uint8_t *buf, size_t len, size_t *n);
    /// Over TLS: sends close_notify, and does not wait for the peer's. It is
    /// called again when it would block, but never after XMPP_CLOSE_TLS_ERROR.
    /// NULL: the TLS layer sends close_notify by itself, and the peer's is not
    /// awaited.
    int (*notify)(void *userdata);
    /// Ends TCP's output. Called when all is written and, over TLS, both sides
    /// have sent close_notify. NULL: shutdown(fd, SHUT_WR).
    int (*shut)(void *userdata);
    /// The descriptor below. It is polled between attempts. Over TLS it is also
    /// read to its end after the peer's close_notify. If it is a stream socket,
    /// it must be connected.
    xmpp_close_socket fd;
    /// 1: this is TLS, where the end of TCP without close_notify is a truncation.
    uint32_t tls;
    /// For a write or notify that keeps bytes in memory, such as records in a
    /// memory BIO: writes them without blocking, and stores in `*pending` how
    /// many are left. While some are left, the descriptor is polled for writing,
    /// nothing counts as sent, and TCP is not ended. Its results are those of
    /// write. NULL: nothing is ever kept.
    int (*flush)(void *userdata, size_t *pending);
} xmpp_close_transport;

/// Closes like xmpp_close_fd(), over a transport of your own, which must have
/// read, write and fd.
int xmpp_close_with(const xmpp_close_transport *transport,
                    const xmpp_close_options *options,
                    xmpp_close_report *report);

/* A stream of an event loop
 *
 * There are two kinds of streams, with one kind of handle. Each function says
 * what it does with either.
 *
 *    xmpp_close_start()  a started stream: the library reads and writes, and hands
 *                        over what came. You poll the descriptor and call
 *                        xmpp_close_step(). The library has its own clock: pass 0
 *                        for each `now`
 *    xmpp_close_new()    an engine: bytes in, bytes out, your clock. It does no I/O,
 *                        calls nothing back but on_log, and knows no descriptor. You
 *                        read and write, and tell the engine what happened
 *
 * A stream may be made when your XMPP stream begins, or as late as its close.
 * What a stream wants, it wants until it is done: events may come in any order,
 * and nothing is missed by looking later.
 *
 * NULL in place of a stream means an open stream of which the library holds
 * nothing. Questions are answered for such a stream, _wrote is XMPP_CLOSE_OK,
 * and what would change the stream is XMPP_CLOSE_ERR_NULL.
 *
 * A started stream:
 *
 *    to close  xmpp_close_start(fd, &options, &s), if it was not started before;
 *              xmpp_close_send(s, queue, len) for what you have queued;
 *              xmpp_close_finish(s, NULL, 0);
 *    to send   xmpp_close_send(s, xml, len); if it is refused, store or bounce it
 *
 *    fd is ready, or xmpp_close_timeout(s, 0) ms have passed
 *        wants = xmpp_close_step(s);
 *        if (wants & XMPP_CLOSE_OVER)
 *            xmpp_close_get_report(s, &report), xmpp_close_free(s), close(fd);
 *        else
 *            poll fd for READ and WRITE among wants; with neither, do not poll it
 *
 * An engine:
 *
 *    to send   xmpp_close_send(s, xml, len); if it is refused, store or bounce it
 *    to close  read and answer what has arrived, then xmpp_close_finish()
 *    readable  n bytes came: xmpp_close_received(s, n, now) ? parse : discard;
 *              the peer's tag, TCP's end, an error: xmpp_close_tell()
 *    writable  len = xmpp_close_output(s, &bytes);
 *              n = write(fd, bytes, len); // an error that stays: tell WRITE_FAILED
 *              xmpp_close_wrote(s, n, 0, now);
 *    timer     xmpp_close_tick(s, now);
 *
 *    after each of them, again and again
 *        wants = xmpp_close_wants(s);
 *        if (!(wants & XMPP_CLOSE_MAY_SEND))
 *            leave the router, if that was not done;
 *        if (wants & XMPP_CLOSE_NOTIFY)
 *            send close_notify, then tell DID_NOTIFY;
 *        else if (wants & XMPP_CLOSE_SHUT)
 *            shutdown(fd, SHUT_WR), then tell DID_SHUT;
 *        else if ((wants & XMPP_CLOSE_ANSWER) && nothing is owed to the peer)
 *            xmpp_close_finish(s, NULL, now);
 *        else
 *            break;
 *    if (wants & XMPP_CLOSE_OVER)
 *        xmpp_close_get_report(s, &report), xmpp_close_free(s), close(fd);
 *    else
 *        poll fd for READ and WRITE among wants, for xmpp_close_timeout(s, now) ms;
 *        with neither, do not poll it
 *
 * An engine beside a queue of your own, made when the close begins:
 *
 *    every writer         MAY_SEND ? push : store or bounce. What is queued when
 *                         MAY_SEND goes still goes out
 *    your queue is empty  push what _output says; _wrote(s, len, pending, now)
 *    after each write     _wrote(s, 0, pending, now): what lies in your queue and
 *                         in your TLS layer
 *
 * `now` is the time in milliseconds of one monotonic clock of yours, from any
 * zero. A time earlier than the one before counts as the one before. The limits
 * count from the first _finish, or from the peer's last word if that comes
 * first.
 */

/// One stream, and how it is closed.
typedef struct xmpp_close_stream xmpp_close_stream;

/// Stores an engine for an open stream that stands between two stanzas of the
/// peer. options NULL: all defaults. Refused as XMPP_CLOSE_ERR_INVALID: residual,
/// on_stanza, on_data, on_farewell, canceller, detach and stream_error, and userdata
/// without on_log.
///
/// With peer_closed, the engine begins as after the fact PEER_CLOSED. With
/// tag_sent, it begins as after _finish.
XMPP_CLOSE_MUST_USE
int xmpp_close_new(const xmpp_close_options *options,
                   uint64_t now,
                   xmpp_close_stream **out);

/// Stores a started stream on a connected stream socket, as for xmpp_close_fd().
/// Nothing is read or written before the first _step, and _timeout is 0 until
/// then. The descriptor must stay open until the stream is freed, and the
/// callbacks and their userdata must stay valid until then.
///
/// options NULL: all defaults. Refused as XMPP_CLOSE_ERR_INVALID: tls and
/// own_parser, which are for engines; detach and stream_error, since _detach and
/// _finish say so later.
XMPP_CLOSE_MUST_USE
int xmpp_close_start(xmpp_close_socket fd,
                     const xmpp_close_options *options,
                     xmpp_close_stream **out);

/// Stores a started stream over a transport of your own, as for
/// xmpp_close_with(). The struct is copied.
XMPP_CLOSE_MUST_USE
int xmpp_close_start_with(const xmpp_close_transport *transport,
                          const xmpp_close_options *options,
                          xmpp_close_stream **out);

/// Frees it; NULL is fine. Never waits, writes nothing, and leaves the descriptor
/// open. After this no callback of the stream is called any more. In a callback
/// of the stream, the handle is freed when that has returned. A stream in a batch
/// first leaves the batch, without on_end.
void xmpp_close_free(xmpp_close_stream *s);

/* What is said and told */

#define XMPP_CLOSE_ERROR_INIT                                                  \
    { sizeof(xmpp_close_error), NULL, NULL, NULL, NULL }

/// A fact about the stream or its connection, and what `detail` says of it.
typedef enum xmpp_close_fact {
    /// The close stops at once.
    XMPP_CLOSE_FACT_CANCEL = 1,
    /// Your parser saw the peer's tag. detail: how many of the bytes of the last
    /// _received lie behind the tag.
    XMPP_CLOSE_FACT_PEER_CLOSED = 2,
    /// Your parser refuses what came. Our tag is due, behind the stream error
    /// not-well-formed. For another stream error, call _finish with it before.
    XMPP_CLOSE_FACT_MALFORMED = 3,
    /// detail 1: you do not read now, for example because of a rate limit. READ
    /// is not wanted, and no_progress_ms does not count this time. 0: you read
    /// again.
    XMPP_CLOSE_FACT_PAUSED = 4,
    /// New headers follow in both directions, as after STARTTLS and SASL. The
    /// header of the options has not been sent on the new stream. detail: as
    /// options.tls. Before this, everything that was sent must be written, or it
    /// is XMPP_CLOSE_ERR_INVALID.
    XMPP_CLOSE_FACT_RESTARTED = 5,
    /// Your program has written our header itself.
    XMPP_CLOSE_FACT_HEADER_OUT = 6,
    /// This fact and all below are for engines only.
    ///
    /// detail: how many bytes of the peer's stream have arrived and are unread.
    /// Tell it directly before _finish, if you do not read until nothing comes: a
    /// tag of the peer among these bytes came before ours, so it is no answer to
    /// ours, and the initiator is XMPP_CLOSE_INITIATOR_CROSSING.
    ///
    /// Over TLS, detail is how many bytes are decrypted and unread, as from
    /// SSL_pending(). FIONREAD of the socket is no measure there, since it counts
    /// encrypted bytes. Bytes of records that are not decrypted yet are unknown,
    /// so when more than one record lies in front of the peer's tag, the
    /// initiator is still XMPP_CLOSE_INITIATOR_US. To be certain, read until
    /// nothing comes.
    XMPP_CLOSE_FACT_ARRIVED = 7,
    /// TCP was read to its end. detail 1: the end is inside an element. Over TLS,
    /// the stream was cut off, unless NOTIFIED was told before.
    XMPP_CLOSE_FACT_EOF = 8,
    /// The peer's close_notify was read. detail 1: the end is inside an element.
    /// From now on READ means the socket below TLS: read and discard until TCP
    /// ends.
    XMPP_CLOSE_FACT_NOTIFIED = 9,
    /// Reading failed. detail: errno. Everything that came before has been handed
    /// in.
    XMPP_CLOSE_FACT_READ_FAILED = 10,
    /// Writing failed. detail: errno. What the peer sent before may still be
    /// read.
    XMPP_CLOSE_FACT_WRITE_FAILED = 11,
    /// The TLS layer failed. Write its alert, if it has one, before you tell
    /// this.
    XMPP_CLOSE_FACT_TLS_FAILED = 12,
    /// Your TLS layer has our close_notify. If the kernel does not have it yet,
    /// tell by _wrote how much is pending.
    XMPP_CLOSE_FACT_DID_NOTIFY = 13,
    /// shutdown(fd, SHUT_WR) was called, or there is no such call.
    XMPP_CLOSE_FACT_DID_SHUT = 14,
    /// detail: how many more stanzas your parser found. The report counts those
    /// that came after the close began.
    XMPP_CLOSE_FACT_STANZAS = 15,
    /// detail: how many more stanzas were over a limit of yours, and passed over.
    XMPP_CLOSE_FACT_OVERSIZE = 16,
} xmpp_close_fact;

/// A stream error.
typedef struct xmpp_close_error {
    /// Set by XMPP_CLOSE_ERROR_INIT.
    size_t struct_size;
    /// A condition of RFC 6120 section 4.9.3, such as "system-shutdown". The
    /// peer's may have any name.
    const char *condition;
    /// A text for people. Ours is escaped. NULL: none.
    const char *text;
    /// Where to go instead. "see-other-host" needs it, and no other condition has
    /// one. NULL: none.
    const char *address;
    /// An element of the application. Ours is sent as it is, and
    /// "undefined-condition" needs one. Of the peer's, this is the name as
    /// "{namespace}name". NULL: none.
    const char *element;
} xmpp_close_error;

/// Queues a copy of all the bytes, or nothing. The bytes are whole stanzas; the
/// first may be the rest of a stanza that is half written. Returns XMPP_CLOSE_OK,
/// XMPP_CLOSE_REFUSED or XMPP_CLOSE_FULL.
///
/// s NULL is XMPP_CLOSE_ERR_NULL, since there the library has no queue: ask
/// _wants for MAY_SEND, and use your own queue.
XMPP_CLOSE_MUST_USE
int xmpp_close_send(xmpp_close_stream *s,
                    const void *bytes,
                    size_t len);

/// Says that all is said: we close, or answer the peer's tag. Our tag is due,
/// behind what was sent, farewell and error. Only the first call has an effect.
/// error NULL: no stream error. An error whose condition is not in RFC 6120, or
/// that lacks what its condition needs, is XMPP_CLOSE_ERR_INVALID; the close has
/// not begun then.
///
/// A started stream first reads, without waiting, what has arrived, hands it
/// over, and lets you answer it by _send. Then it calls on_farewell, until that
/// has nothing more to say. Both take 256 KiB and answer_ms at most; after them
/// MAY_SEND is gone.
///
/// With an engine, read until nothing comes, and answer it, before you call this.
int xmpp_close_finish(xmpp_close_stream *s,
                      const xmpp_close_error *error,
                      uint64_t now);

/// Ends TCP without our tag, so that an XEP-0198 session stays resumable. What
/// was sent still goes out. What comes is discarded; the peer sends it again when
/// the session is resumed. The outcome is XMPP_CLOSE_CANCELLED, with tag_sent 0.
/// Without effect once MAY_SEND is gone.
int xmpp_close_detach(xmpp_close_stream *s, uint64_t now);

/// Tells an xmpp_close_fact, at any time. A fact that is no news changes nothing.
/// detail is not looked at where the fact has none.
int xmpp_close_tell(xmpp_close_stream *s,
                    uint32_t fact,
                    uint64_t detail,
                    uint64_t now);

/// Says that your parser saw the peer's stream error: our tag is due, and nothing
/// more is sent. error NULL: an error that you cannot name.
int xmpp_close_peer_error(xmpp_close_stream *s,
                          const xmpp_close_error *error,
                          uint64_t now);

/* What a stream wants */

/// What is to be done next, and what may be done. Each bit stays until it is
/// done.
///
/// READ and WRITE are what to poll for. With neither, take the descriptor out of
/// the poll set: POLLHUP and POLLERR cannot be masked, and would make the loop
/// spin. When poll reports a descriptor as hung up or failed, try what is wanted:
/// the attempt tells more.
typedef enum xmpp_close_want {
    /// Engine: hand what comes to _received or _input, and the end to _tell.
    XMPP_CLOSE_READ = 1,
    /// Engine: _output has bytes, or the last _wrote left something pending. Do
    /// not poll for writing while what is pending waits for a TLS handshake.
    XMPP_CLOSE_WRITE = 2,
    /// Stanzas may still be sent. When this bit goes, it never comes back: then
    /// leave the router.
    XMPP_CLOSE_MAY_SEND = 4,
    /// The peer has said its last. Send what it is still owed, replies of other
    /// threads included, then call _finish. When answer_ms is over, the library
    /// does so without you.
    XMPP_CLOSE_ANSWER = 8,
    /// What is read is still the peer's stream. When this bit goes, it never
    /// comes back: the parser must not see a byte more.
    XMPP_CLOSE_PARSE = 16,
    /// What came ends inside an element. Nothing is to be done. Never with
    /// own_parser.
    XMPP_CLOSE_INSIDE = 32,
    /// Engine: send close_notify now, then tell DID_NOTIFY. With OVER: try once,
    /// without waiting.
    XMPP_CLOSE_NOTIFY = 64,
    /// Engine: shutdown(fd, SHUT_WR) now, then tell DID_SHUT. Tell it also when
    /// there is no such call.
    XMPP_CLOSE_SHUT = 128,
    /// The close is over, for ever: read the report, close the socket, free the
    /// stream. No other bit is set then, but perhaps NOTIFY.
    XMPP_CLOSE_OVER = 256,
} xmpp_close_want;

/// Returns XMPP_CLOSE_READ and the other bits. NULL: READ, PARSE and MAY_SEND. In
/// a callback of the stream: the bits as of the call that the callback is in, so
/// never OVER.
uint32_t xmpp_close_wants(const xmpp_close_stream *s);

/// Returns in how many milliseconds _tick, or _step, is due, as poll(2) takes
/// them: 0 is at once, and INT_MAX the most. -1 is never: the stream is open, or
/// over, or NULL. To find the first of many, compare them as unsigned numbers and
/// take the least.
int xmpp_close_timeout(const xmpp_close_stream *s, uint64_t now);

/// Engine: applies the limits; nothing else does. First read what has arrived and
/// write what is wanted, or a loop that comes late ends a close that it has not
/// tried. Returns the bits of _wants.
///
/// On a started stream it only returns the bits of _wants.
uint32_t xmpp_close_tick(xmpp_close_stream *s, uint64_t now);

/// A started stream: does what can be done without waiting, a bounded amount, and
/// calls the callbacks. Call it when the descriptor is ready, at _timeout, or at
/// any time. Returns the bits of _wants.
///
/// READ or WRITE is set only for a direction that was tried and would block, so
/// that edge-triggered loops are safe. When there is more to do, _timeout is 0:
/// the amount was used up, or something was sent, finished or told since.
///
/// In a callback of the stream, on a stream in a batch and on an engine, it only
/// returns the bits of _wants. Do not wait for OVER there.
uint32_t xmpp_close_step(xmpp_close_stream *s);

/// Stores how the close went, as of the last call. The report is complete once
/// the close is over. NULL: outcome XMPP_CLOSE_PENDING, and nothing is known.
int xmpp_close_get_report(const xmpp_close_stream *s, xmpp_close_report *report);

/* The bytes of an engine
 *
 * On a started stream these functions are XMPP_CLOSE_ERR_INVALID, or answer that
 * there is nothing.
 */

/// Stores where the next bytes to write are, and returns how many; 0: none, also
/// for NULL. The last bytes that ever come are our tag. bytes NULL: only the
/// number is wanted.
///
/// Bytes that were handed out stay the same until they are taken, however often
/// you ask (TLS insists on that); more may be appended. So ask when you can
/// write, not earlier: a stream error can go in front of our tag only while the
/// tag was not handed out.
///
/// The pointer is valid until the next call on s that changes the stream. A long
/// queue comes in pieces of 64 KiB. What is said last comes in one piece.
size_t xmpp_close_output(xmpp_close_stream *s, const uint8_t **bytes);

/// Says that you took `taken` bytes of the last _output. They are not handed out
/// again.
///
/// `pending` is how many bytes are not with the kernel yet: of all that you ever
/// took, and of what lies in your own queue or TLS layer besides. With a plain
/// write(2) it is 0. With a queue of your own, or a memory BIO, it is the length
/// of that. Then call this again whenever the length changes, with taken 0. Our
/// tag counts as sent once pending is 0; NOTIFY and SHUT are not wanted before.
///
/// XMPP_CLOSE_ERR_INVALID: more was taken than was handed out. s NULL:
/// XMPP_CLOSE_OK.
int xmpp_close_wrote(xmpp_close_stream *s,
                     size_t taken,
                     size_t pending,
                     uint64_t now);

/// Says that n bytes came, for a program with a parser (own_parser). Call it
/// before you parse them. Returns 1 when they are the peer's stream: parse them.
/// Returns 0 when they are to be discarded. s NULL: 1.
XMPP_CLOSE_MUST_USE
int xmpp_close_received(xmpp_close_stream *s,
                        size_t n,
                        uint64_t now);

/// Takes in bytes that came, for a program without a parser: `*len` bytes from
/// `*data` on. Returns an xmpp_close_frame, or a negative xmpp_close_result, and
/// moves `*data` and `*len` behind what it took. Call it until it returns
/// XMPP_CLOSE_FRAME_MORE, even if nothing is left.
///
/// `*xml` and `*xml_len` are the header or the stanza, valid as in
/// xmpp_close_framer_next(). xml and xml_len may be NULL.
///
/// The engine itself takes in the peer's tag (XMPP_CLOSE_FRAME_END), what is
/// malformed, and a stream error, which is returned as no frame. It discards what
/// follows.
XMPP_CLOSE_MUST_USE
int xmpp_close_input(xmpp_close_stream *s,
                     const uint8_t **data,
                     size_t *len,
                     uint64_t now,
                     const uint8_t **xml,
                     size_t *xml_len);

/* Many streams at once
 *
 * A batch closes thousands of streams in one thread, each by its own handshake.
 * A server can hand over idle streams and go on serving, or hand over all
 * streams when it goes down, under one deadline. The cost of a stream does not
 * grow with their number.
 *
 * Beside an event loop, which watches the descriptor of the batch like its own:
 *
 *    xmpp_close_batch_new(&batch);
 *    xmpp_close_batch_set(batch, &batch_options); // on_end, say
 *    // at any time, also in callbacks, for each stream that is to end:
 *    xmpp_close_batch_add(batch, fd, &options, &index);
 *    // in the loop, which polls xmpp_close_batch_fd() for reading, and waits no
 *    // longer than xmpp_close_batch_timeout():
 *    xmpp_close_batch_turn(batch, 0);
 *
 * Or by itself:
 *
 *    for each stream
 *        xmpp_close_batch_add(batch, fd, &options, &index);
 *    xmpp_close_batch_run(batch, &batch_options, &summary);
 *    for each index
 *        xmpp_close_batch_report(batch, index, &report);
 *    xmpp_close_batch_free(batch);
 *
 * To go on using a stream in a batch, for example to send what is still owed,
 * start the stream yourself, and hand it over by xmpp_close_batch_add_stream().
 */

#define XMPP_CLOSE_SUMMARY_INIT                                                \
    { sizeof(xmpp_close_summary), 0, 0, 0, 0, { 0 }, 0 }

#define XMPP_CLOSE_BATCH_OPTIONS_INIT                                          \
    { sizeof(xmpp_close_batch_options), 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, \
      NULL }

/// Streams that are closed together.
typedef struct xmpp_close_batch xmpp_close_batch;

/// How many streams ended how. A number that does not fit is the largest that
/// does.
typedef struct xmpp_close_summary {
    /// Set by XMPP_CLOSE_SUMMARY_INIT.
    size_t struct_size;
    /// How many streams there are.
    uint32_t streams;
    /// How many closes have begun.
    uint32_t begun;
    /// How many streams have ended.
    uint32_t ended;
    /// The time since _run or _set was called.
    uint32_t elapsed_ms;
    /// How many streams ended how, by xmpp_close_outcome. Under
    /// XMPP_CLOSE_PENDING: how many have not ended.
    uint32_t outcomes[10];
    /// Late stanzas of all streams that have ended. Streams with on_data do not
    /// count theirs.
    uint64_t stanzas;
} xmpp_close_summary;

/// What holds for all streams of a batch. NULL in place of a pointer to it means
/// all defaults.
typedef struct xmpp_close_batch_options {
    /// Set by XMPP_CLOSE_BATCH_OPTIONS_INIT.
    size_t struct_size;
    /// The limit for all: every stream that is in the batch, or is added, has
    /// ended so long after the call of _set or _run. The limits of each stream
    /// hold inside it. 0: 30000 for _run; for _set no limit but those of the
    /// streams.
    uint32_t total_ms;
    /// The closing tags are sent over this time, evenly and in random order, so
    /// that not all peers come back at once. Less than total_ms. Until its turn
    /// comes, a stream is read like an open one, and its stanzas do not count as
    /// late. If its peer closes first, it is answered at once. A stream that is
    /// added after _set gets a random moment of what is left of this time. 0: all
    /// tags at once.
    uint32_t spread_ms;
    /// Stops all closes. NULL: nothing can.
    const xmpp_close_canceller *canceller;
    /// A stream error for every stream whose options have none and whose peer has
    /// not closed yet, such as "system-shutdown". NULL: none. A started stream that
    /// you finished before _add_stream keeps what _finish said: add it unfinished,
    /// and the batch finishes it with this error.
    const char *stream_error;
    /// A text for people to go with stream_error. It is escaped. NULL: none.
    const char *stream_error_text;
    /// Called about ten times a second while there are streams, and once when
    /// none are left. In _run it gives the thread a moment for other work. Return
    /// 0 to go on, anything else to stop all closes at once.
    int (*on_progress)(void *userdata, const xmpp_close_summary *so_far);
    /// Called as soon as a stream has ended. Its descriptor is not used any more
    /// and may be closed. stream_userdata is the userdata of the stream's
    /// options, index is what _add stored. NULL: the reports are kept for
    /// _report.
    void (*on_end)(void *stream_userdata,
                   size_t index,
                   const xmpp_close_report *report);
    /// Passed to on_progress as it is.
    void *userdata;
    /// Where the peers are to go instead, for stream_error "see-other-host", as
    /// in xmpp_close_options. NULL: none.
    const char *stream_error_address;
} xmpp_close_batch_options;

/// Stores an empty batch. It holds a few descriptors.
XMPP_CLOSE_MUST_USE int xmpp_close_batch_new(xmpp_close_batch **out);

/// Sets what holds from this call on, for all streams that are in the batch or
/// are added, in place of what was set before. At first nothing is set. options
/// NULL: nothing is set. When options make no sense, and in a callback of the
/// batch, it is XMPP_CLOSE_ERR_INVALID and nothing changes.
int xmpp_close_batch_set(xmpp_close_batch *batch,
                         const xmpp_close_batch_options *options);

/// Frees it; NULL is fine. Streams that have not ended are left as they are, and
/// their descriptors open. In a callback of the batch, it is freed at the end of
/// _turn; in _run, when all streams have ended.
void xmpp_close_batch_free(xmpp_close_batch *batch);

/* The streams of a batch */

/// Adds a stream on a connected stream socket, as for xmpp_close_fd(): between
/// turns, or in a callback. Its close begins as soon as the batch has a turn, or
/// when its moment in the spread comes. Nothing is read or written before. Until
/// the stream has ended, or until _free, its descriptor must stay open, and its
/// callbacks and their userdata valid.
///
/// Stores the stream's index, unless index is NULL: the first is 0, the next 1,
/// and no index is used twice.
///
/// XMPP_CLOSE_ERR_INVALID, beside the usual reasons: the descriptor is in the
/// batch already, or the time of the batch is up, or the batch was stopped.
XMPP_CLOSE_MUST_USE
int xmpp_close_batch_add(xmpp_close_batch *batch,
                         xmpp_close_socket fd,
                         const xmpp_close_options *options,
                         size_t *index);

/// Adds a stream over a transport of your own, as for xmpp_close_with(). epoll or
/// kqueue must be able to wait for its descriptor.
XMPP_CLOSE_MUST_USE
int xmpp_close_batch_add_with(xmpp_close_batch *batch,
                              const xmpp_close_transport *transport,
                              const xmpp_close_options *options,
                              size_t *index);

/// Adds a started stream. From now on the batch steps the stream. It finishes the
/// stream when its turn comes, or when its peer closes; you may have finished it
/// already. You can do everything with it as before: send, finish, detach and
/// tell it, ask it, and free it, which takes it out. Only _step does nothing.
/// When the stream has ended, it leaves the batch, and then on_end is called with
/// the userdata of its options.
///
/// XMPP_CLOSE_ERR_INVALID, beside the reasons of _add: s is an engine, is in a
/// batch already, or is over, or this is one of its own callbacks.
XMPP_CLOSE_MUST_USE
int xmpp_close_batch_add_stream(xmpp_close_batch *batch,
                                xmpp_close_stream *s,
                                size_t *index);

/// Takes a stream out before its end, whether its close has begun or not. The
/// stream goes on where it was, nothing is lost, and on_end is not called.
/// MAY_SEND among its wants means that its close has not begun.
///
/// Stores the stream's handle, which is yours to step or to free. A stream that
/// was added by _add or _add_with gets a new handle; its descriptor must stay
/// open until you free that.
///
/// In a callback of the batch, the stream can be stepped once the callback has
/// returned; everything else can be done with it at once. XMPP_CLOSE_ERR_INVALID:
/// no such stream is in the batch.
XMPP_CLOSE_MUST_USE
int xmpp_close_batch_remove(xmpp_close_batch *batch,
                            size_t index,
                            xmpp_close_stream **out);

/// Stores how a stream ended. While the stream is in the batch, the outcome is
/// XMPP_CLOSE_PENDING. Without on_end, reports are kept until _free. With on_end,
/// only those of _run are kept, until the next _run. Any other index is
/// XMPP_CLOSE_ERR_INVALID.
int xmpp_close_batch_report(const xmpp_close_batch *batch,
                            size_t index,
                            xmpp_close_report *report);

/* Turns of a batch */

/// Returns a descriptor that is readable when _turn has something to do, except
/// at _timeout. Watch it with poll, epoll or the like, beside your own. Never
/// read or close it. It stays the same. XMPP_CLOSE_NO_SOCKET for NULL, and on
/// Windows, where _turn itself has to wait.
xmpp_close_socket xmpp_close_batch_fd(const xmpp_close_batch *batch);

/// Returns in how many milliseconds the next _turn is due, as poll(2) takes them:
/// 0 is at once. -1: only the descriptor can tell, also for NULL. In a callback
/// of the batch: 0.
int xmpp_close_batch_timeout(const xmpp_close_batch *batch);

/// Does what can be done now for all streams of the batch, a bounded amount, and
/// calls on_end for each stream that ended. Waits only while there are streams
/// and nothing can be done, for wait_ms at most: 0 is not at all, -1 until
/// something can be done.
///
/// Returns how many streams are left, or an error. In a callback of the batch it
/// is XMPP_CLOSE_ERR_INVALID.
int xmpp_close_batch_turn(xmpp_close_batch *batch, int wait_ms);

/// Closes all streams and blocks until all have ended, for total_ms at most. This
/// is _set, and _turn until the batch is empty; afterwards nothing is set any
/// more. It can be run again and again. In a callback of the batch, and when
/// options make no sense, it is XMPP_CLOSE_ERR_INVALID; nothing was sent then,
/// and nothing has changed.
///
/// A stream that a callback adds is closed by the same _run, and begins as soon
/// as the callback has returned, whatever spread_ms is.
///
/// options NULL: all defaults. summary NULL: not wanted.
int xmpp_close_batch_run(xmpp_close_batch *batch,
                         const xmpp_close_batch_options *options,
                         xmpp_close_summary *summary);

/* The framing by itself, for programs without a parser
 *
 * A framer takes the peer's bytes as they come. It finds where the header, each
 * stanza and the stream end.
 *
 * In a thread, one function hands the bytes to the framer: what the thread's own
 * recv() reads, and as on_data what xmpp_close_fd() reads. What the function
 * returned last goes into parsed of the options:
 *
 *    int take(void *userdata, const uint8_t *in, size_t len)
 *    {
 *        xmpp_close_framer *f = (xmpp_close_framer *)userdata;
 *        const uint8_t *xml;
 *        size_t used, n;
 *        int frame;
 *        while ((frame = xmpp_close_framer_next(f, in, len, &used, &xml, &n)) > 0) {
 *            in += used, len -= used;
 *            if (frame == XMPP_CLOSE_FRAME_STANZA)
 *                printf("%.*s\n", (int)n, (const char *)xml);
 *            else if (frame == XMPP_CLOSE_FRAME_END)
 *                return XMPP_CLOSE_PEER_CLOSED;
 *            else if (frame == XMPP_CLOSE_FRAME_MALFORMED)
 *                return XMPP_CLOSE_NOT_XMPP; // xml is the condition
 *        }
 *        return xmpp_close_framer_between_stanzas(f) ? 0 : XMPP_CLOSE_MID_ELEMENT;
 *    }
 *
 *    void serve(int fd, xmpp_close_framer *f)
 *    {
 *        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
 *        uint8_t buf[4096];
 *        ssize_t n;
 *        int said = 0; // while nothing has come, nothing can be cut off
 *        while ((said == 0 || said == XMPP_CLOSE_MID_ELEMENT) &&
 *               (n = recv(fd, buf, sizeof buf, 0)) > 0)
 *            said = take(f, buf, (size_t)n);
 *        options.on_data = take;
 *        options.userdata = f;
 *        options.parsed = (uint32_t)said;
 *        xmpp_close_fd(fd, &options, NULL);
 *    }
 */

/// What was found.
typedef enum xmpp_close_frame {
    /// Nothing yet. All bytes are consumed: hand in more.
    XMPP_CLOSE_FRAME_MORE = 0,
    /// The peer's header: the start tag of the root, whatever its name and
    /// namespace. Whether it is a stream of XMPP is yours to check.
    XMPP_CLOSE_FRAME_HEADER = 1,
    /// A whole stanza, or another first-level element, such as a stream error.
    XMPP_CLOSE_FRAME_STANZA = 2,
    /// The end of a stanza over the limit, which was passed over. `*xml` is NULL,
    /// `*xml_len` is its length.
    XMPP_CLOSE_FRAME_OVERSIZE = 3,
    /// The peer's tag. Every later call finds it again, and consumes nothing.
    XMPP_CLOSE_FRAME_END = 4,
    /// What came is not well-formed, or has what XMPP forbids, such as a comment.
    /// Text between stanzas is no error: it is passed over.
    /// Names and namespaces are not looked at. `*xml` is the stream error condition
    /// to answer with, such as "not-well-formed", and ends in NUL. Every later call
    /// finds this again, and consumes nothing.
    XMPP_CLOSE_FRAME_MALFORMED = 5,
} xmpp_close_frame;

/// The peer's half of one stream.
typedef struct xmpp_close_framer xmpp_close_framer;

/// Stores a framer for a stream from its first byte on. stanza_limit is the
/// longest stanza to find, as in xmpp_close_options.
int xmpp_close_framer_new(size_t stanza_limit, xmpp_close_framer **out);

/// Stores a framer for a stream from between two stanzas on. root is the name in
/// the peer's header, usually "stream:stream": only an end tag with this name is
/// the peer's tag. NULL: the name is unknown, and an end tag with the name
/// "stream", with any prefix or none, is the peer's tag. Any other end tag
/// between stanzas is XMPP_CLOSE_FRAME_MALFORMED.
int xmpp_close_framer_new_inside(const char *root,
                                 size_t stanza_limit,
                                 xmpp_close_framer **out);

/// Frees it; NULL is fine.
void xmpp_close_framer_free(xmpp_close_framer *f);

/// Looks at up to len bytes, stores in `*consumed` how many it took, and returns
/// an xmpp_close_frame, or a negative xmpp_close_result. Call it again with the
/// rest until it returns XMPP_CLOSE_FRAME_MORE, even if the rest is empty.
///
/// `*xml` and `*xml_len` are the header or the stanza. They are valid until the
/// next call on f, and as long as data is. xml and xml_len may be NULL.
int xmpp_close_framer_next(xmpp_close_framer *f,
                           const void *data,
                           size_t len,
                           size_t *consumed,
                           const uint8_t **xml,
                           size_t *xml_len);

/// Expects a new header, as after STARTTLS, SASL and compression. You may have
/// read bytes behind the element that agreed to it. After SASL, hand them in:
/// they begin the new stream. After STARTTLS, drop them (RFC 6120 section
/// 5.4.3.3). After compression, they are compressed.
int xmpp_close_framer_restart(xmpp_close_framer *f);

/// Returns 1 if what was consumed ends between two stanzas, and 0 if it ends
/// inside a stanza or a tag. Also 0 before the header is complete, and after
/// XMPP_CLOSE_FRAME_END and XMPP_CLOSE_FRAME_MALFORMED. NULL: 0. So ask it only
/// when a byte has come: before that, nothing can be cut off.
int xmpp_close_framer_between_stanzas(const xmpp_close_framer *f);

/* What the peer says about idleness
 *
 * A server may announce how long you may send nothing before it calls the stream
 * idle, and then probes or ends it (XEP-0478). Every byte that you send counts,
 * be it white space between stanzas. Act before the limit is reached: send
 * something to keep the stream, or close it by handshake. Half of the limit, or
 * 30 seconds before its end, whichever is later, is early enough.
 */

/// Looks for idle-seconds in the peer's `<stream:features/>`, or in the `<bidi/>`
/// of another server: features is the whole element, len bytes long. Each
/// announcement replaces the one before, so take the features after the login.
///
/// Returns 1 and stores the seconds, never 0, if they are announced. Returns 0 if
/// they are not, or make no sense: then the limit is unknown, which does not mean
/// that there is none. More than UINT32_MAX is stored as UINT32_MAX.
int xmpp_close_idle_seconds(const void *features, size_t len, uint32_t *seconds);

/* Words and versions */

/// Returns one English sentence for an xmpp_close_result, or for any other
/// number. Never NULL. It is never freed.
const char *xmpp_close_strerror(int result);

/// Returns a short name for an xmpp_close_outcome, for logs and statistics, such
/// as "clean" or "timed-out"; for any other number "unknown". Never NULL. It is
/// never freed.
const char *xmpp_close_outcome_name(uint32_t outcome);

/// Stores one line about a report, for a log: "clean: both closing tags were
/// exchanged; begun by us; ...". As with snprintf(3), at most len bytes are
/// stored in buf, a NUL among them if len is not 0, and the length of the whole
/// line is returned. No character is cut in two.
int xmpp_close_describe(const xmpp_close_report *report, char *buf, size_t len);

/// Returns the XMPP_CLOSE_VERSION_NUMBER of the library in use. The header may be
/// that of another version.
uint32_t xmpp_close_version_number(void);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* XMPP_CLOSE_H */
