/* xmpp_close: ends an XMPP stream without losing a byte.
 *
 * RFC 6120 section 4.4 ends a stream by a handshake: send your closing tag,
 * write nothing more, go on reading *and processing* until the peer's closing
 * tag comes, and only then end TCP. If it does not come in reasonable time, end
 * TCP without an error. This library does that, in four sizes:
 *
 *    xmpp_close_fd()        for a connected socket, on a thread that may block;
 *                           xmpp_close_with() over TLS, or anything that reads and
 *                           writes
 *    xmpp_close_start()     for an event loop: the library reads and writes, and
 *                           never waits
 *    xmpp_close_new()       for an event loop that has its own sockets, TLS and
 *                           parser: bytes in, bytes out
 *    xmpp_close_batch_*()   for thousands of streams, by themselves or beside an
 *                           event loop
 *
 * One call on a thread that may block:
 *
 *    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
 *    int result = xmpp_close_fd(fd, NULL, &report);
 *    if (result != XMPP_CLOSE_OK)
 *        fprintf(stderr, "%s\n", xmpp_close_strerror(result));
 *    else
 *        printf("%s\n", xmpp_close_outcome_name(report.outcome));
 *    close(fd);
 *
 * The same in an event loop, here one of poll(2) for a single stream:
 *
 *    xmpp_close_stream *s;
 *    int result = xmpp_close_start(fd, &options, &s);
 *    if (result == XMPP_CLOSE_OK)
 *        result = xmpp_close_finish(s, NULL, 0);
 *    if (result == XMPP_CLOSE_OK) {
 *        uint32_t wants;
 *        while (!((wants = xmpp_close_step(s)) & XMPP_CLOSE_OVER)) {
 *            struct pollfd p = { fd, 0, 0 };
 *            p.events |= wants & XMPP_CLOSE_READ ? POLLIN : 0;
 *            p.events |= wants & XMPP_CLOSE_WRITE ? POLLOUT : 0;
 *            poll(&p, p.events != 0, xmpp_close_timeout(s, 0));
 *        }
 *        xmpp_close_get_report(s, &report);
 *        xmpp_close_free(s);
 *    }
 *
 * xmpp_close_framer_*() are for an event loop that has no parser, before it closes.
 *
 * Conventions
 *
 * - Functions that can fail return XMPP_CLOSE_OK (0) or a negative
 *   XMPP_CLOSE_ERR_*; nothing was changed then. How a stream ended, be it by a
 *   timeout or a reset, is never an error: that is the outcome in the report.
 * - What a function has no use for in its options is XMPP_CLOSE_ERR_INVALID: nothing
 *   that you ask for is ignored.
 * - NULL gives XMPP_CLOSE_ERR_NULL wherever it is not said to be allowed. With a
 *   length of 0, the pointer beside it is not looked at.
 * - Outputs are stored on success only. The report and the summary are exceptions:
 *   when they can be written at all, they are, with outcome XMPP_CLOSE_PENDING, or
 *   all zero, if nothing was done.
 * - Start every struct from its XMPP_CLOSE_*_INIT, then set what you need; 0 and
 *   NULL mean the default, also in members of later versions. struct_size lets
 *   programs and libraries of different versions work together: what the program
 *   does not know is 0, what the library does not know must be 0.
 * - What you pass in stays yours, and no pointer is kept after the call returns,
 *   but for the callbacks of started streams and batches. What a _new or _start
 *   function stores is yours to give to its _free; NULL is fine there.
 * - Callbacks run on the calling thread, inside the call that they belong to. They
 *   may call every function here, on other objects, and on their own stream and
 *   batch, as is said there. They leave the descriptor alone: closed, it ends the
 *   close; and a second close of it sends a second tag. They must return: a C++
 *   exception or longjmp() may not leave them.
 * - A thread that is cancelled by pthread_cancel() is so once the call has returned,
 *   not inside it, nor inside a callback. A callback may not enable that.
 * - After fork(), what was made before is the parent's. The child may call only the
 *   _free functions with it, and the parent does not notice. To use a canceller, a
 *   batch or a started stream of the parent's is a mistake.
 * - What may be large is asked of the system so that it may refuse: the copies of
 *   farewell and residual, and handles, which is XMPP_CLOSE_ERR_SYSTEM, and the
 *   buffer of a late stanza, which is passed over then, as one over stanza_limit.
 *   When it refuses less, some KiB for each stream, the process ends by abort().
 * - There are no globals. Calls on different objects never meet; one object is for
 *   one thread at a time, but for xmpp_close_canceller. A batch and the streams that
 *   are in it count as one.
 * - The library starts no threads, raises and blocks no signals (SIGPIPE included),
 *   and prints nothing. Should it ever panic, which is a bug, Rust's panic hook
 *   says so on stderr and the call returns XMPP_CLOSE_ERR_PANIC.
 * - Times are milliseconds. Strings are UTF-8 and end in NUL, unless a length
 *   stands beside them.
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

/* Results and outcomes
 *
 * Numbers are never changed and never used again for something else.
 */

/// What a call came to: whether the library could do its work, not how the
/// stream ended.
typedef enum xmpp_close_result {
    /// It did.
    XMPP_CLOSE_OK = 0,
    /// Of xmpp_close_send(), and no error: our tag is due, or writing failed.
    /// Nothing was taken, and nothing will be: store the stanza, or bounce it.
    XMPP_CLOSE_REFUSED = 1,
    /// Of xmpp_close_send(), and no error: output_limit is reached. Nothing was
    /// taken; perhaps later.
    XMPP_CLOSE_FULL = 2,
    /// A pointer that is needed was NULL.
    XMPP_CLOSE_ERR_NULL = -1,
    /// A value makes no sense, a struct was not started from its initializer,
    /// the descriptor is no connected stream socket, or the call is not for this
    /// kind of stream, or not for this moment. Nothing was changed or sent.
    XMPP_CLOSE_ERR_INVALID = -2,
    /// The system refused memory or descriptors. Nothing was sent.
    XMPP_CLOSE_ERR_SYSTEM = -3,
    /// A bug in this library; please report it. Close the connection. The object
    /// is dead: each later call answers this, and xmpp_close_wants() says OVER.
    XMPP_CLOSE_ERR_PANIC = -4,
} xmpp_close_result;

/// How a stream ended.
typedef enum xmpp_close_outcome {
    /// It is not over yet, or was never begun.
    XMPP_CLOSE_PENDING = 0,
    /// Both closing tags were exchanged. Nothing else is ever called clean.
    XMPP_CLOSE_CLEAN = 1,
    /// The peer ended TCP between stanzas, without its closing tag.
    XMPP_CLOSE_PEER_EOF = 2,
    /// The peer ended TCP inside an element, or TLS without close_notify.
    XMPP_CLOSE_TRUNCATED = 3,
    /// The connection broke before both tags were exchanged.
    XMPP_CLOSE_RESET = 4,
    /// Our closing tag is out, the peer's did not come in time.
    XMPP_CLOSE_TIMED_OUT = 5,
    /// Our own output could not be written in time.
    XMPP_CLOSE_STALLED = 6,
    /// What the peer sent stopped being an XMPP stream.
    XMPP_CLOSE_MALFORMED = 7,
    /// The TLS layer failed.
    XMPP_CLOSE_TLS_FAILED = 8,
    /// A canceller, or a callback, stopped it.
    XMPP_CLOSE_CANCELLED = 9,
} xmpp_close_outcome;

/// Who began to close.
typedef enum xmpp_close_initiator {
    /// Nobody has.
    XMPP_CLOSE_INITIATOR_NONE = 0,
    /// We did.
    XMPP_CLOSE_INITIATOR_US = 1,
    /// The peer did: by its closing tag, a stream error, or the end of TCP.
    XMPP_CLOSE_INITIATOR_PEER = 2,
    /// Both: the peer's tag, or its stream error, came before our tag was
    /// written, so it is no answer to it, and proves nothing about what we
    /// sent.
    XMPP_CLOSE_INITIATOR_CROSSING = 3,
} xmpp_close_initiator;

/// The limit that ended a stream.
typedef enum xmpp_close_limit {
    /// None did.
    XMPP_CLOSE_LIMIT_NONE = 0,
    /// total_ms.
    XMPP_CLOSE_LIMIT_TOTAL = 1,
    /// no_progress_ms.
    XMPP_CLOSE_LIMIT_NO_PROGRESS = 2,
    /// linger_ms.
    XMPP_CLOSE_LIMIT_LINGER = 3,
    /// answer_ms: our tag was sent without what you had to answer, and the close
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
    /// The peer's close_notify came: the end of its data is authentic.
    XMPP_CLOSE_TLS_NOTIFY_RECEIVED = 4,
} xmpp_close_tls;

/* Options */

#define XMPP_CLOSE_OPTIONS_INIT                                                \
    { sizeof(xmpp_close_options), 0, 0, 0, 0, 0, 0, NULL, NULL, 0, NULL, 0,    \
      NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, 0, 0, 0, NULL,   \
      NULL, 0, NULL, 0, 0, NULL }

/// What on_data returns when its parser has seen the end of the peer's stream.
#define XMPP_CLOSE_PEER_CLOSED 1

/// What on_data returns when its parser refuses what the peer sent: it is not
/// well-formed, or no XMPP stream.
#define XMPP_CLOSE_NOT_XMPP 2

/// What on_data may return instead of 0 when the stream goes on and its parser
/// is inside an element, deeper than the stream's root.
#define XMPP_CLOSE_MID_ELEMENT 3

/// What on_farewell may return on a started stream: ask again when _finish is
/// called again, which I shall do when all is said.
#define XMPP_CLOSE_LATER 1

/// What on_log is told. Each comes once at most, and the last one in every close
/// that is not given up by _free.
typedef enum xmpp_close_phase {
    /// You or the peer began to close.
    XMPP_CLOSE_PHASE_BEGUN = 1,
    /// Our closing tag, and all before it, was taken by the kernel.
    XMPP_CLOSE_PHASE_TAG_SENT = 2,
    /// The peer's closing tag came.
    XMPP_CLOSE_PHASE_TAG_RECEIVED = 3,
    /// It is over. The line is what xmpp_close_describe() makes of the report.
    XMPP_CLOSE_PHASE_ENDED = 4,
} xmpp_close_phase;

/// Stops closes from another thread; see xmpp_close_canceller_new().
typedef struct xmpp_close_canceller xmpp_close_canceller;

/// How to close. NULL in place of a pointer to it means all defaults.
typedef struct xmpp_close_options {
    /// Set by XMPP_CLOSE_OPTIONS_INIT.
    size_t struct_size;
    /// For everything: what is still to be written, the closing tag, the wait
    /// for the peer's, the end of TLS and TCP. 0: 30000. A healthy server may
    /// take 7 to 17 s with its shipped rate limits, when much was sent to it
    /// just before the close.
    uint32_t total_ms;
    /// For any stretch in which not a byte moves, inside total_ms: a peer that
    /// stays silent is waited for so long. 0: there is no such limit, and only
    /// total_ms bounds the wait. Healthy peers pause: after a network was down
    /// for 3 s, TCP was silent for 8.7 s more, and servers with rate limits
    /// stop reading for longer than that.
    uint32_t no_progress_ms;
    /// For the end of TCP once both tags were exchanged and ours is written,
    /// inside total_ms. When our output is lost: for any stretch in which the
    /// peer sends nothing. 0: 2000.
    uint32_t linger_ms;
    /// 1: shutdown(SHUT_WR) right after our closing tag. 0: only after the
    /// peer's, since widespread servers drop what they still had to send when
    /// they see it earlier. Over TLS it is XMPP_CLOSE_ERR_INVALID.
    uint32_t half_close;
    /// 1: your parser has seen the peer's closing tag already, so this is the
    /// answer to it. What still comes is then discarded.
    uint32_t peer_closed;
    /// For xmpp_close_new() only: xmpp_close_transport has a member of its own,
    /// and a plain fd has none. 1: the stream runs over TLS. 2: it does, over a
    /// layer that neither shows the peer's close_notify nor lets you send ours.
    uint32_t tls;
    /// The end tag of *your* stream header. NULL: "</stream:stream>". Where the
    /// library looks for the peer's without knowing its header, it takes any end
    /// tag with the same local name, whatever its prefix.
    const char *closing_tag;
    /// To be sent right in front of the tag: whole stanzas, such as unavailable
    /// presence or a last <a/>. What your program still has queued goes here,
    /// too, for it comes after what was written to the socket: so the first may
    /// be the rest of a stanza that is half written, or your stream header, if
    /// that was never sent. What ends inside a stanza, or has text between them
    /// or a closing tag, is XMPP_CLOSE_ERR_INVALID.
    const void *farewell;
    /// Length of farewell in bytes.
    size_t farewell_len;
    /// Bytes you have read from the peer and not handled yet, beginning
    /// between two stanzas; with on_data: not fed to your parser yet.
    const void *residual;
    /// Length of residual in bytes.
    size_t residual_len;
    /// Called with each whole stanza that still arrives, in order; handle it
    /// as ever, but do not answer it. `xml` is valid during the call and does
    /// not end in NUL. Return 0 to go on, anything else to stop at once
    /// (XMPP_CLOSE_CANCELLED). NULL: stanzas are counted and discarded.
    int (*on_stanza)(void *userdata, const uint8_t *xml, size_t len);
    /// Instead of on_stanza, for programs with a parser: called with the bytes
    /// that arrive, in pieces of any size, residual first. Return 0 to go on, or
    /// XMPP_CLOSE_MID_ELEMENT to go on from inside an element;
    /// XMPP_CLOSE_PEER_CLOSED once the parser has seen the peer's closing tag;
    /// XMPP_CLOSE_NOT_XMPP when it refuses what came, which is then answered by
    /// the stream error not-well-formed, if our tag has not been started;
    /// anything else to stop at once. The library does not look into the bytes
    /// then: it counts no stanzas and sees no stream error. An end without a tag
    /// is XMPP_CLOSE_TRUNCATED after XMPP_CLOSE_MID_ELEMENT, otherwise
    /// XMPP_CLOSE_PEER_EOF. Bytes that you have parsed before the call are not
    /// shown again: those that made your parser fail belong into residual, so
    /// that on_data can say so. With expat, call
    /// XML_SetReparseDeferralEnabled(parser, XML_FALSE) first, or a tag that
    /// comes in pieces is seen too late; an expat that lacks the function does
    /// not need it. Whether expat.h declares it is found out when the program
    /// is built, and not by the version: patched older ones have it, too.
    int (*on_data)(void *userdata, const uint8_t *data, size_t len);
    /// Passed to the callbacks as it is.
    void *userdata;
    /// NULL: cannot be cancelled.
    const xmpp_close_canceller *canceller;
    /// Close with a stream error, sent between farewell and tag: a condition
    /// of RFC 6120 section 4.9.3, such as "system-shutdown". NULL: none. Never
    /// for idleness alone.
    const char *stream_error;
    /// A text for people to go with stream_error; it is escaped. NULL: none.
    const char *stream_error_text;
    /// An element of your own to go with stream_error, sent as it is;
    /// "undefined-condition" needs one. NULL: none.
    const char *stream_error_element;
    /// The longest stanza for on_stanza, in bytes. A longer one is passed over
    /// and counted in xmpp_close_report.oversize. 0: 1048576; less than 10000
    /// counts as 10000.
    size_t stanza_limit;
    /// Called when all that had arrived was handled and the tag is next: once,
    /// but on a started stream again and again, until it stores nothing. Stores
    /// up to len (4096) bytes in buf and their number in `*n`, to be sent behind
    /// farewell and right in front of the tag: whole stanzas. For a final <a/> of
    /// XEP-0198, which counts each message, presence and iq that was handled, and
    /// nothing else: an <r/> is no stanza. Return 0 to go on, on a started stream
    /// also XMPP_CLOSE_LATER, anything else to stop at once, as do bytes that are
    /// no whole stanzas; they are not sent. NULL: nothing.
    int (*on_farewell)(void *userdata, uint8_t *buf, size_t len, size_t *n);
    /// 1: TCP is ended without a closing tag, once farewell is sent, so that an
    /// XEP-0198 session stays resumable. What still arrives is discarded, and
    /// comes again when the session is resumed. The outcome is
    /// XMPP_CLOSE_CANCELLED, with tag_sent 0. Not with stream_error.
    uint32_t detach;
    /// 1: your closing tag has been written already, or ends farewell, so that
    /// no other is sent; farewell is then empty, or ends in the tag. Not with
    /// detach, stream_error or on_farewell.
    uint32_t tag_sent;
    /// For what you owe the peer when it closes first, or what has still arrived
    /// when you close: after it our tag is sent all the same, so that it goes out
    /// in time. 0: half of total_ms.
    uint32_t answer_ms;
    /// For xmpp_close_new() only. 1: your program has a parser, and calls
    /// xmpp_close_received(), not xmpp_close_input().
    uint32_t own_parser;
    /// Where the peer is to go instead, to go with stream_error
    /// "see-other-host", which needs it; no other condition has one. NULL: none.
    const char *stream_error_address;
    /// The start tag of the peer's stream, as you received it. It tells the
    /// name of the peer's root, and which prefixes stand for which namespaces,
    /// so that a stream error is known under any prefix. NULL: a stream error
    /// is <stream:error>, as in nearly every stream. With on_data it is not
    /// needed.
    const void *peer_header;
    /// Length of peer_header in bytes.
    size_t peer_header_len;
    /// The start tag of *your* stream, if it has not been sent: it goes in front
    /// of whatever is said first, as when a stream is refused before its header
    /// (RFC 6120 section 4.9.1.2). closing_tag is then not needed. NULL: it has.
    const void *header;
    /// Length of header in bytes.
    size_t header_len;
    /// How many bytes xmpp_close_send() queues at most. 0: 16777216. Farewell,
    /// stream error and tag do not count.
    size_t output_limit;
    /// Called once for each xmpp_close_phase that the close reaches, in the call
    /// in which it does, with a line of text for your log. The line ends in NUL,
    /// has no newline, and is valid during the call. NULL: nothing is logged.
    void (*on_log)(void *userdata, int phase, const char *line);
} xmpp_close_options;

/* Report */

#define XMPP_CLOSE_REPORT_INIT                                                 \
    { sizeof(xmpp_close_report), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "",     \
      "", "", "", "", 0, 0 }

/// How it went. Numbers that do not fit are the largest that do.
typedef struct xmpp_close_report {
    /// Set by XMPP_CLOSE_REPORT_INIT; never changed, so a report can be used
    /// again and again.
    size_t struct_size;
    /// An xmpp_close_outcome.
    uint32_t outcome;
    /// An xmpp_close_initiator.
    uint32_t initiator;
    /// 1: our closing tag, and all before it, was taken by the kernel.
    uint32_t tag_sent;
    /// 1: the peer's closing tag was seen.
    uint32_t tag_received;
    /// Stanzas that arrived while closing, and were handed on or discarded.
    uint32_t stanzas;
    /// Stanzas that arrived while closing and were over stanza_limit.
    uint32_t oversize;
    /// Bytes of the peer's stream read while closing, residual and its closing
    /// tag included.
    uint64_t bytes_read;
    /// Bytes that came after the peer's tag; they were discarded.
    uint64_t bytes_after_tag;
    /// Bytes of ours that the kernel, or the transport, never took.
    uint64_t bytes_unsent;
    /// Bytes of ours that the peer's kernel had not acknowledged at the end.
    /// Linux and TCP only; elsewhere 0.
    uint64_t bytes_unacked;
    /// XMPP_CLOSE_TLS_* bits; 0 in plaintext.
    uint32_t tls;
    /// The first errno that was met, or 0. It explains the outcome, or the
    /// refusal of the descriptor, but may also be mere detail.
    int32_t os_error;
    /// From the start of the close to its end.
    uint32_t elapsed_ms;
    /// Always 0.
    uint32_t reserved;
    /// The condition of the peer's stream error, or "". One that RFC 6120 does
    /// not define is "undefined-condition". This and the strings below are UTF-8,
    /// end in NUL, and are cut between two characters if they are too long.
    char stream_error[48];
    /// What it says to people, or "".
    char stream_error_text[256];
    /// Where to go instead, if it is "see-other-host"; otherwise "". It is not
    /// checked: whoever could send the error could send any address.
    char stream_error_address[256];
    /// The name of its application element as "{namespace}name", or "".
    char stream_error_element[512];
    /// The name of its condition as it came, if RFC 6120 does not define it, or
    /// "".
    char stream_error_name[48];
    /// An xmpp_close_limit: which one ended it.
    uint32_t limit;
    /// How often xmpp_close_send() answered XMPP_CLOSE_REFUSED.
    uint32_t refused;
} xmpp_close_report;

/* One call */

/// Closes the stream on a connected stream socket, and TCP after it. Blocks
/// for total_ms at most. A socket that was never connected, or not yet, is
/// XMPP_CLOSE_ERR_INVALID; one whose peer is gone is not.
///
/// The socket may be blocking or not; its flags, timeouts and options are left
/// alone. It stays yours to close(), which loses nothing then. Nothing else
/// may read from it or write to it during the call.
///
/// options NULL: all defaults. report NULL: not wanted.
int xmpp_close_fd(int fd,
                  const xmpp_close_options *options,
                  xmpp_close_report *report);

/* Cancelling */

/// Stores a canceller, for the canceller member of any number of options. It
/// holds two descriptors.
int xmpp_close_canceller_new(xmpp_close_canceller **out);

/// Stops, at once, every close that was given this canceller, and every one
/// that will be: XMPP_CLOSE_CANCELLED. From any thread, any number of times;
/// not from a signal handler.
int xmpp_close_canceller_cancel(const xmpp_close_canceller *canceller);

/// Frees it; NULL is fine. Closes that were given it are not disturbed.
void xmpp_close_canceller_free(xmpp_close_canceller *canceller);

/* One call, over a transport of your own
 *
 * For OpenSSL, GnuTLS, or anything else that makes non-blocking attempts on a
 * descriptor.
 */

#define XMPP_CLOSE_TRANSPORT_INIT                                              \
    { sizeof(xmpp_close_transport), NULL, NULL, NULL, NULL, NULL, -1, 0, NULL }

/// What the callbacks of a transport return, beside 0 and errno values.
typedef enum xmpp_close_attempt {
    /// It would block until the descriptor is readable.
    XMPP_CLOSE_WANT_READ = -1,
    /// It would block until the descriptor is writable.
    XMPP_CLOSE_WANT_WRITE = -2,
    /// Over TLS: TCP ended without close_notify, or it cannot be told whether
    /// there was one.
    XMPP_CLOSE_TLS_EOF = -3,
    /// The TLS layer failed. What was not written will never be.
    XMPP_CLOSE_TLS_ERROR = -4,
    /// From read only: not now, for you do not want to read. The descriptor is
    /// not polled for reading, and no_progress_ms does not count such a time.
    /// The next step tries again; blocking calls and batches every 100 ms.
    XMPP_CLOSE_PAUSED = -5,
} xmpp_close_attempt;

/// A byte stream of your own.
///
/// Each callback makes one attempt, without blocking, and returns 0, an
/// xmpp_close_attempt or an errno value. EAGAIN means that the obvious
/// direction is not ready, EINTR "again", and any other errno value that the
/// connection is gone. `*n` is 0 before each call. A socket under them is
/// O_NONBLOCK, or the first attempt may never come back.
typedef struct xmpp_close_transport {
    /// Set by XMPP_CLOSE_TRANSPORT_INIT.
    size_t struct_size;
    /// Passed to the callbacks as it is.
    void *userdata;
    /// Reads up to len bytes to buf, stores their number in `*n` and returns
    /// 0. With `*n` 0 this is the end: of TCP, or over TLS the close_notify.
    int (*read)(void *userdata, uint8_t *buf, size_t len, size_t *n);
    /// Writes up to len bytes from buf, stores their number in `*n` and
    /// returns 0. They are called written when the kernel has them, or flush
    /// tells what it has not. After "would block" it is called again, over TLS
    /// with the same bytes. It must not raise SIGPIPE. With OpenSSL, set
    /// SSL_MODE_ENABLE_PARTIAL_WRITE, so that progress is seen, and
    /// SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER.
    int (*write)(void *userdata, const uint8_t *buf, size_t len, size_t *n);
    /// Over TLS: sends close_notify, and does not wait for the peer's. It is
    /// called again after "would block", and never after XMPP_CLOSE_TLS_ERROR.
    /// NULL: the TLS layer does that by itself, and the peer's is not awaited.
    int (*notify)(void *userdata);
    /// Ends TCP's output, when all is written and, over TLS, both close_notify
    /// are through. NULL: shutdown(fd, SHUT_WR) is called.
    int (*shut)(void *userdata);
    /// The descriptor under it. It is polled between attempts; over TLS it is
    /// also read, to its end, after the peer's close_notify. If it is a stream
    /// socket, it must be connected.
    int fd;
    /// 1: this is TLS, so that the end of TCP alone is not the end.
    uint32_t tls;
    /// For a write or notify that keeps bytes, such as records in a memory BIO:
    /// moves them on without blocking, and stores in `*pending` how many are
    /// left; then the descriptor is polled for writing. Nothing counts as sent,
    /// and TCP is not ended, before it stores 0. Results are those of write.
    /// NULL: nothing is ever kept.
    int (*flush)(void *userdata, size_t *pending);
} xmpp_close_transport;

/// Does what xmpp_close_fd() does, over a transport of your own: transport,
/// which must have read, write and fd.
int xmpp_close_with(const xmpp_close_transport *transport,
                    const xmpp_close_options *options,
                    xmpp_close_report *report);

/* A stream of an event loop
 *
 * There are two kinds, with one kind of handle. Every function says what it does on
 * each of them.
 *
 *    xmpp_close_new()    an engine: bytes in, bytes out, your clock. It does no I/O,
 *                        calls nothing back but on_log and knows no descriptor: your
 *                        program reads and writes, and tells it what happened
 *    xmpp_close_start()  a started stream: the library reads and writes, and hands
 *                        over what came; you poll, and call xmpp_close_step(). It
 *                        looks at the clock itself: pass 0 for each `now`
 *
 * NULL in place of a stream *is* an open stream of which the library holds nothing:
 * questions are answered for that, _wrote is XMPP_CLOSE_OK, and what would change
 * it is XMPP_CLOSE_ERR_NULL. So a program may make a stream when its XMPP stream
 * begins, or not before the close. What a stream wants, it says again until it is
 * done: no order of events can go wrong, and nothing is missed by looking later.
 *
 * A started stream:
 *
 *    to close  xmpp_close_start(fd, &options, &s); what you have queued still:
 *              xmpp_close_send(s, queue, len); xmpp_close_finish(s, NULL, 0);
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
 * The callbacks of a started stream may use it. What they ask of it, by _send,
 * _finish, _detach, _tell or _peer_error, is answered at once, and done as soon as
 * the callback has returned; _step does nothing there, a question is answered as of
 * before the callback, and _free is put off. Once freed, a stream calls nothing any
 * more.
 *
 * `now` is milliseconds of one monotonic clock of yours, from any zero; an earlier
 * one than before counts as that. The limits count from _finish, or from the peer's
 * last word, whichever is first.
 */

/// One stream, and how it is closed.
typedef struct xmpp_close_stream xmpp_close_stream;

/// Stores an engine on an open stream, at any time before its close. It parses
/// nothing yet. options NULL: all defaults. Refused: residual, on_stanza, on_data,
/// on_farewell, canceller, detach and stream_error; userdata without on_log.
///
/// With peer_closed it begins where the fact PEER_CLOSED leads; with tag_sent,
/// where _finish does.
XMPP_CLOSE_MUST_USE
int xmpp_close_new(const xmpp_close_options *options,
                   uint64_t now,
                   xmpp_close_stream **out);

/// Stores a started stream on a connected stream socket, as for xmpp_close_fd().
/// Nothing is read or written before the first _step; _timeout is 0 until then.
/// The descriptor stays yours, and open, until the stream is freed; the callbacks
/// and their userdata stay valid as long. Nothing else may read from it or write
/// to it. options NULL: all defaults. Refused: tls, own_parser, detach and
/// stream_error, for how it is closed is said later.
XMPP_CLOSE_MUST_USE
int xmpp_close_start(int fd,
                     const xmpp_close_options *options,
                     xmpp_close_stream **out);

/// The same over a transport of your own, as for xmpp_close_with(). The struct is
/// copied.
XMPP_CLOSE_MUST_USE
int xmpp_close_start_with(const xmpp_close_transport *transport,
                          const xmpp_close_options *options,
                          xmpp_close_stream **out);

/// Frees it; NULL is fine. It never waits, writes nothing, and leaves the
/// descriptor open. From a callback of the stream, it is done as soon as the
/// library has the stream back; in a batch, it leaves that first, without on_end.
void xmpp_close_free(xmpp_close_stream *s);

/* What is said and told */

#define XMPP_CLOSE_ERROR_INIT                                                  \
    { sizeof(xmpp_close_error), NULL, NULL, NULL, NULL }

/// A fact about the stream or its connection, and what `detail` says of it.
typedef enum xmpp_close_fact {
    /// Stop at once.
    XMPP_CLOSE_FACT_CANCEL = 1,
    /// Your parser saw the peer's closing tag. detail: so many of the bytes that
    /// _received was told last lie behind it.
    XMPP_CLOSE_FACT_PEER_CLOSED = 2,
    /// Your parser refuses what came: our tag is due, behind the stream error
    /// not-well-formed. For another error call _finish with it before.
    XMPP_CLOSE_FACT_MALFORMED = 3,
    /// detail 1: you do not read now, be it for a rate limit. READ is not wanted,
    /// and no_progress_ms stands still. 0: you do again.
    XMPP_CLOSE_FACT_PAUSED = 4,
    /// New headers follow, both ways, as after STARTTLS and SASL. Ours is the one
    /// of the options again, and has not been sent. detail: as options.tls. All
    /// that was sent before must be written, or this is XMPP_CLOSE_ERR_INVALID.
    XMPP_CLOSE_FACT_RESTARTED = 5,
    /// Your program has written our header itself.
    XMPP_CLOSE_FACT_HEADER_OUT = 6,
    /// Those from here on are for engines only.
    ///
    /// detail: so many bytes of the peer's stream lie unread. To be told right
    /// before _finish by a program that does not read until nothing comes: a
    /// closing tag among them came before ours, so it is no answer to it.
    XMPP_CLOSE_FACT_ARRIVED = 7,
    /// TCP's end was read. detail 1: inside an element. Over TLS, without NOTIFIED
    /// before, the stream was cut off.
    XMPP_CLOSE_FACT_EOF = 8,
    /// The peer's close_notify was read; detail as above. READ is that of the bare
    /// socket from now on, to be read and discarded until TCP ends.
    XMPP_CLOSE_FACT_NOTIFIED = 9,
    /// Reading failed. detail: errno. All that came before was handed over.
    XMPP_CLOSE_FACT_READ_FAILED = 10,
    /// Writing failed. detail: errno. What the peer sent before may still be read.
    XMPP_CLOSE_FACT_WRITE_FAILED = 11,
    /// The TLS layer failed. What it has still to say, its alert, is written
    /// before this is told.
    XMPP_CLOSE_FACT_TLS_FAILED = 12,
    /// close_notify is with your TLS layer. If it is not with the kernel, say how
    /// much is pending, by _wrote.
    XMPP_CLOSE_FACT_DID_NOTIFY = 13,
    /// shutdown(fd, SHUT_WR) was called, or there is no such call.
    XMPP_CLOSE_FACT_DID_SHUT = 14,
    /// detail: your parser found so many more stanzas. The report counts those
    /// that came after the close began.
    XMPP_CLOSE_FACT_STANZAS = 15,
    /// detail: so many more were over a limit of yours, and passed over.
    XMPP_CLOSE_FACT_OVERSIZE = 16,
} xmpp_close_fact;

/// A stream error.
typedef struct xmpp_close_error {
    /// Set by XMPP_CLOSE_ERROR_INIT.
    size_t struct_size;
    /// One of RFC 6120 section 4.9.3, such as "system-shutdown". The peer's may be
    /// any.
    const char *condition;
    /// A text for people; ours is escaped. NULL: none.
    const char *text;
    /// Where to go instead: "see-other-host" needs it, and no other has one. NULL:
    /// none.
    const char *address;
    /// An application's element. Ours is sent as it is, and "undefined-condition"
    /// needs one; of the peer's this is the name as "{namespace}name". NULL: none.
    const char *element;
} xmpp_close_error;

/// Queues bytes to be sent, all or none: whole stanzas, of which the first may be
/// the rest of one that is half written. They are copied. Returns XMPP_CLOSE_OK,
/// XMPP_CLOSE_REFUSED or XMPP_CLOSE_FULL.
///
/// NULL is XMPP_CLOSE_ERR_NULL, for the library has no queue then: ask _wants for
/// MAY_SEND, and use your own.
XMPP_CLOSE_MUST_USE
int xmpp_close_send(xmpp_close_stream *s,
                    const void *bytes,
                    size_t len);

/// All is said: we close, or answer the peer's tag. Our tag is due, behind what was
/// sent, farewell and error. error NULL: none. The first call counts. A condition
/// that RFC 6120 does not know, or that lacks what it needs, is
/// XMPP_CLOSE_ERR_INVALID, and the close has not begun.
///
/// A started stream first reads, without waiting, what has arrived, hands it over,
/// and lets it be answered by _send; then it asks on_farewell, until that has
/// nothing more to say. That takes 256 KiB and answer_ms at most; MAY_SEND goes
/// after it. With an engine, read until nothing comes, and answer it, before you
/// call this.
int xmpp_close_finish(xmpp_close_stream *s,
                      const xmpp_close_error *error,
                      uint64_t now);

/// Ends TCP without a closing tag, so that an XEP-0198 session stays resumable:
/// what was sent still goes out; what comes is discarded, and comes again when the
/// session is resumed. The outcome is XMPP_CLOSE_CANCELLED, with tag_sent 0. It
/// does nothing once MAY_SEND is gone.
int xmpp_close_detach(xmpp_close_stream *s, uint64_t now);

/// Tells an xmpp_close_fact, at any time; one that is no news changes nothing.
/// detail is not looked at where the fact has none.
int xmpp_close_tell(xmpp_close_stream *s,
                    uint32_t fact,
                    uint64_t detail,
                    uint64_t now);

/// Your parser saw the peer's stream error: our tag is due, and nothing more is
/// sent. All of it is copied. error NULL: one that you cannot name.
int xmpp_close_peer_error(xmpp_close_stream *s,
                          const xmpp_close_error *error,
                          uint64_t now);

/* What a stream wants */

/// What is to be done next, and what may be. Each is asked for again until it is
/// done. READ and WRITE are what to poll for: with neither, take the descriptor
/// out of the poll set, for POLLHUP and POLLERR cannot be masked and would spin.
/// When a descriptor polls as hung-up or failed, try whatever is wanted: the
/// attempt tells.
typedef enum xmpp_close_want {
    /// Engine: hand what comes to _received or _input, and the end to _tell.
    XMPP_CLOSE_READ = 1,
    /// Engine: _output has bytes, or the last _wrote left something pending. Do
    /// not poll for it while what is pending waits for a TLS handshake.
    XMPP_CLOSE_WRITE = 2,
    /// Stanzas may still be sent. Once gone it never comes back: that is when to
    /// leave the router.
    XMPP_CLOSE_MAY_SEND = 4,
    /// The peer has said its last. Send what it is still owed, replies of other
    /// threads included; then _finish. When answer_ms is over, that is done
    /// without you.
    XMPP_CLOSE_ANSWER = 8,
    /// What is read is still the peer's stream. Once gone it never comes back:
    /// the parser must not see a byte more.
    XMPP_CLOSE_PARSE = 16,
    /// What came ends inside an element: a fact, not a wish. Not with own_parser.
    XMPP_CLOSE_INSIDE = 32,
    /// Engine: send close_notify now, then tell DID_NOTIFY. With OVER: one
    /// attempt, without waiting.
    XMPP_CLOSE_NOTIFY = 64,
    /// Engine: shutdown(fd, SHUT_WR) now, then tell DID_SHUT, also when there is
    /// no such call.
    XMPP_CLOSE_SHUT = 128,
    /// It is over, for ever: read the report, close the socket, free the stream.
    /// Beside it stands nothing, or NOTIFY.
    XMPP_CLOSE_OVER = 256,
} xmpp_close_want;

/// XMPP_CLOSE_READ and the other bits. NULL: READ, PARSE and MAY_SEND. From a
/// callback of the stream: as of the call that it is in, so never OVER.
uint32_t xmpp_close_wants(const xmpp_close_stream *s);

/// How many milliseconds from now _tick, or _step, is due, as poll(2) takes them:
/// 0 is at once, INT_MAX the most, and -1 never, for the stream is open, or over,
/// or NULL. Compared as unsigned numbers, the least of many is the first that is
/// due.
int xmpp_close_timeout(const xmpp_close_stream *s, uint64_t now);

/// Engine: applies the limits, and only this does. Before it, read what has arrived
/// and write what is wanted, so that nothing is left behind: a loop that comes late
/// may find that the limit of a close is over which it has not tried yet. Returns
/// what _wants does, as it also does, and does nothing else, on a started stream.
uint32_t xmpp_close_tick(xmpp_close_stream *s, uint64_t now);

/// A started stream: does all that can be done without waiting, a bounded amount
/// of it, and calls the callbacks. Call it when the descriptor is ready, at
/// _timeout, or at any time.
///
/// Returns what _wants does. READ and WRITE are there only for a direction that was
/// tried and would block, so that edge-triggered loops are safe; if there is more
/// to do, be it because the amount was used up, or because something was sent,
/// finished or told since, _timeout is 0.
///
/// From a callback of the stream, and on an engine, it does nothing, and answers
/// as _wants: do not wait for OVER there.
uint32_t xmpp_close_step(xmpp_close_stream *s);

/// Stores how it went, as of the last call; complete once it is over. NULL: an
/// XMPP_CLOSE_PENDING of which nothing is known.
int xmpp_close_get_report(const xmpp_close_stream *s, xmpp_close_report *report);

/* The bytes of an engine
 *
 * These are for engines only; on a started stream they are XMPP_CLOSE_ERR_INVALID,
 * or answer that there is nothing.
 */

/// Stores where the next bytes to write are, and returns how many; 0: none, also
/// for NULL. The last that ever come are our closing tag.
///
/// Bytes that were handed out never change while they are not taken, however often
/// you ask (TLS insists on that); more may be appended. So ask when you can write,
/// not earlier: a stream error still goes in front of the tag as long as the tag
/// was not handed out. They are valid until the next call on s that is no
/// question. A long queue comes in pieces of 64 KiB, and what is said last in one.
/// bytes NULL: only the number is wanted.
size_t xmpp_close_output(xmpp_close_stream *s, const uint8_t **bytes);

/// You took `taken` bytes of the last _output, and they are not handed out again.
/// Of all that you ever took, and of what your own queue or TLS layer holds
/// besides, `pending` bytes are not with the kernel. A plain write(2): 0. With a
/// queue of your own, or a memory BIO: its length, to be told again, with taken 0,
/// whenever that changes. Our tag is sent once pending is 0, and NOTIFY and SHUT
/// are not wanted before.
///
/// XMPP_CLOSE_ERR_INVALID: more was taken than was handed out. NULL: OK.
int xmpp_close_wrote(xmpp_close_stream *s,
                     size_t taken,
                     size_t pending,
                     uint64_t now);

/// n bytes came, and your program has a parser (own_parser). 1: they are the
/// peer's stream, so parse them; 0: discard them. To be called before they are
/// parsed. NULL: 1.
XMPP_CLOSE_MUST_USE
int xmpp_close_received(xmpp_close_stream *s,
                        size_t n,
                        uint64_t now);

/// The bytes from `*data` on, `*len` of them, came, and your program has no parser.
/// Returns an xmpp_close_frame, and moves `*data` and `*len` behind what it took;
/// call it until it returns XMPP_CLOSE_FRAME_MORE, even if nothing is left.
///
/// `*xml` and `*xml_len` are the header or the stanza, as with
/// xmpp_close_framer_next(), and valid as long; they may be NULL. A stream error is
/// no stanza: the engine takes it in by itself, as it does the peer's tag
/// (XMPP_CLOSE_FRAME_END) and what is malformed, and discards what follows.
XMPP_CLOSE_MUST_USE
int xmpp_close_input(xmpp_close_stream *s,
                     const uint8_t **data,
                     size_t *len,
                     uint64_t now,
                     const uint8_t **xml,
                     size_t *xml_len);

/* Many streams at once
 *
 * Closes thousands of streams in one thread, each by its own handshake: a server
 * hands over those that are idle and goes on serving, or all of them when it goes
 * down, under one deadline. What a stream costs does not grow with their number.
 *
 * Beside an event loop: watch the batch's descriptor as you watch your own.
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
 * A program that goes on using a stream, to send what is still owed, say, starts it
 * itself, and hands it over by xmpp_close_batch_add_stream().
 *
 * Callbacks of the batch, and of its streams, may do anything with any stream, and
 * with the batch all but _set, _turn and _run, which are XMPP_CLOSE_ERR_INVALID
 * there; _free is put off.
 */

#define XMPP_CLOSE_SUMMARY_INIT                                                \
    { sizeof(xmpp_close_summary), 0, 0, 0, 0, { 0 }, 0 }

#define XMPP_CLOSE_BATCH_OPTIONS_INIT                                          \
    { sizeof(xmpp_close_batch_options), 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, \
      NULL }

/// Streams that are closed together. Callbacks may use it: each function says
/// what it does then.
typedef struct xmpp_close_batch xmpp_close_batch;

/// How many streams ended how. Numbers that do not fit are the largest that do.
typedef struct xmpp_close_summary {
    /// Set by XMPP_CLOSE_SUMMARY_INIT.
    size_t struct_size;
    /// How many there are.
    uint32_t streams;
    /// How many closes have begun.
    uint32_t begun;
    /// How many are over.
    uint32_t ended;
    /// From _run or _set on.
    uint32_t elapsed_ms;
    /// How many ended how, by xmpp_close_outcome; under XMPP_CLOSE_PENDING those
    /// that have not ended.
    uint32_t outcomes[10];
    /// Late stanzas of all streams that are over; those of streams with on_data
    /// are not counted.
    uint64_t stanzas;
} xmpp_close_summary;

/// What holds for all streams of a batch. NULL in place of a pointer to it means
/// all defaults.
typedef struct xmpp_close_batch_options {
    /// Set by XMPP_CLOSE_BATCH_OPTIONS_INIT.
    size_t struct_size;
    /// For the whole set: all that is in it, or is added, ends so long after this
    /// call. The limits of each stream hold inside it. 0: 30000 for _run, for _set
    /// no limit but theirs.
    uint32_t total_ms;
    /// The closing tags are sent over this time, evenly and in random order, so
    /// that not all peers come back at once. Less than total_ms. Until its turn
    /// comes, a stream is read like an open one, and its stanzas are not counted
    /// as late; if its peer closes first, it is answered at once. What is added
    /// after _set has its turn at a random moment of what is left of this time.
    /// 0: all at once.
    uint32_t spread_ms;
    /// Stops all. NULL: cannot be cancelled.
    const xmpp_close_canceller *canceller;
    /// A stream error for every stream whose options have none and whose peer
    /// has not closed yet: "system-shutdown". NULL: none.
    const char *stream_error;
    /// A text for people to go with it; it is escaped. NULL: none.
    const char *stream_error_text;
    /// Called about ten times a second while there are streams, and once when there
    /// are none any more: in _run, a moment for what else the thread has to do.
    /// Return 0 to go on, anything else to stop all at once.
    int (*on_progress)(void *userdata, const xmpp_close_summary *so_far);
    /// Called as soon as a stream has ended: its descriptor is not used any more
    /// and may be closed. stream_userdata is the userdata of its options, index
    /// what _add has stored. NULL: the reports are kept for _report.
    void (*on_end)(void *stream_userdata,
                   size_t index,
                   const xmpp_close_report *report);
    /// Passed to on_progress as it is.
    void *userdata;
    /// To go with stream_error "see-other-host", as in xmpp_close_options. NULL:
    /// none.
    const char *stream_error_address;
} xmpp_close_batch_options;

/// Stores an empty batch. It holds a few descriptors.
XMPP_CLOSE_MUST_USE int xmpp_close_batch_new(xmpp_close_batch **out);

/// Sets what holds from this call on for all that is in the batch, and for all
/// that is added, in the place of what was set before. At first nothing is set.
/// options NULL: nothing. When options make no sense, and from a callback of the
/// batch (XMPP_CLOSE_ERR_INVALID), nothing changes.
int xmpp_close_batch_set(xmpp_close_batch *batch,
                         const xmpp_close_batch_options *options);

/// Frees it; NULL is fine. Streams that have not ended are left as they are, and
/// their descriptors open. From one of its callbacks: that is put off until _turn
/// is at its end, or, with all streams closed, _run.
void xmpp_close_batch_free(xmpp_close_batch *batch);

/* The streams of a batch */

/// Adds a stream on a connected stream socket, as for xmpp_close_fd(): between
/// turns, or from a callback. It is closed as soon as the batch has a turn, or
/// when its moment in the spread comes. Nothing is read or written before; from
/// _add until its end, or until _free, the descriptor must stay open, and the
/// callbacks and their userdata valid. All else is copied. index NULL: not
/// wanted; the first is 0, the next 1, and none is used twice.
///
/// XMPP_CLOSE_ERR_INVALID, beside the usual reasons: the descriptor is in the
/// batch already, its time is up, or it was stopped.
XMPP_CLOSE_MUST_USE
int xmpp_close_batch_add(xmpp_close_batch *batch,
                         int fd,
                         const xmpp_close_options *options,
                         size_t *index);

/// The same over a transport of your own, as for xmpp_close_with(). Its
/// descriptor must be one that epoll or kqueue can wait for.
XMPP_CLOSE_MUST_USE
int xmpp_close_batch_add_with(xmpp_close_batch *batch,
                              const xmpp_close_transport *transport,
                              const xmpp_close_options *options,
                              size_t *index);

/// Adds a stream of xmpp_close_start() or xmpp_close_start_with(). From now on the
/// batch steps it, and finishes it when its turn comes, or when its peer closes; it
/// may have been finished already. All else stays as it was: send, finish, detach
/// and tell it, ask it, and free it, which takes it out. Only _step does nothing.
/// When it has ended, it is out of the batch before on_end is called, whose
/// stream_userdata is that of its options.
///
/// XMPP_CLOSE_ERR_INVALID, beside the reasons of _add: an engine, a stream that is
/// in a batch already, one that is over, or s from one of its own callbacks.
XMPP_CLOSE_MUST_USE
int xmpp_close_batch_add_stream(xmpp_close_batch *batch,
                                xmpp_close_stream *s,
                                size_t *index);

/// Takes a stream out before its end, whether its close has begun or not: it goes
/// on where it was, nothing is lost, and on_end is not called. Stores its handle,
/// which is yours to step or to free; of what was added by _add or _add_with, a new
/// one, whose descriptor has to stay open until then. MAY_SEND among its wants: its
/// close has not begun.
///
/// From a callback of the batch, the stream can be stepped once that has returned;
/// all else may be done with it at once. XMPP_CLOSE_ERR_INVALID: no such stream is
/// in the batch.
XMPP_CLOSE_MUST_USE
int xmpp_close_batch_remove(xmpp_close_batch *batch,
                            size_t index,
                            xmpp_close_stream **out);

/// Stores how a stream ended. As long as it is in the batch, its outcome is
/// XMPP_CLOSE_PENDING. Reports are kept until _free, but where on_end is given only
/// those of _run, until the next one. For any other index it is
/// XMPP_CLOSE_ERR_INVALID.
int xmpp_close_batch_report(const xmpp_close_batch *batch,
                            size_t index,
                            xmpp_close_report *report);

/* Turns of a batch */

/// A descriptor that is readable when _turn has something to do, but not at
/// _timeout: to be watched by poll, epoll or the like, beside your own, and never
/// read or closed. It stays the same.
int xmpp_close_batch_fd(const xmpp_close_batch *batch);

/// Milliseconds until the next _turn is due, as poll takes them: 0 now, -1 when
/// only the descriptor can tell, also for NULL. From a callback of the batch: 0.
int xmpp_close_batch_timeout(const xmpp_close_batch *batch);

/// Does what can be done now for all that is in the batch, a bounded amount of it,
/// and calls on_end for each stream that ended. Waits only if streams are in it and
/// there is nothing to do, and for wait_ms at most: 0 not at all, -1 until there is
/// something.
///
/// Returns how many streams are left, or an error. XMPP_CLOSE_ERR_INVALID from a
/// callback of the batch.
int xmpp_close_batch_turn(xmpp_close_batch *batch, int wait_ms);

/// Closes all streams and blocks until all have ended, for total_ms at most: _set,
/// and _turn until it is empty. Then nothing is set any more. It can be run as often
/// as you like, but from its own callbacks, where it is XMPP_CLOSE_ERR_INVALID. When
/// options make no sense nothing was sent, and nothing has changed.
///
/// What a callback adds meanwhile is closed by the same _run, and begins as soon as
/// the callback has returned, without regard to spread_ms.
///
/// options NULL: all defaults. summary NULL: not wanted.
int xmpp_close_batch_run(xmpp_close_batch *batch,
                         const xmpp_close_batch_options *options,
                         xmpp_close_summary *summary);

/* The framing by itself, for event loops without a parser
 *
 * Feed it the peer's bytes as they come; it tells where the stream header, each
 * stanza and the stream end.
 *
 *    while ((frame = xmpp_close_framer_next(f, data, len, &used, &xml, &n)) > 0) {
 *        data += used, len -= used;
 *        if (frame == XMPP_CLOSE_FRAME_STANZA)
 *            handle(xml, n);
 *        else if (frame >= XMPP_CLOSE_FRAME_END)
 *            break;
 *    }
 */

/// What was found.
typedef enum xmpp_close_frame {
    /// Nothing yet: all bytes are consumed, feed it more.
    XMPP_CLOSE_FRAME_MORE = 0,
    /// The start tag of the peer's stream.
    XMPP_CLOSE_FRAME_HEADER = 1,
    /// A whole stanza, or another element of the first level, such as a
    /// stream error.
    XMPP_CLOSE_FRAME_STANZA = 2,
    /// The end of a stanza over the limit, which was passed over: `*xml` is
    /// NULL, `*xml_len` its length.
    XMPP_CLOSE_FRAME_OVERSIZE = 3,
    /// The peer's closing tag. Every later call finds it again, and consumes
    /// nothing.
    XMPP_CLOSE_FRAME_END = 4,
    /// What came is no XMPP stream; `*xml` is the stream error condition for
    /// it, ending in NUL, such as "not-well-formed". As final as the end.
    XMPP_CLOSE_FRAME_MALFORMED = 5,
} xmpp_close_frame;

/// The peer's half of one stream.
typedef struct xmpp_close_framer xmpp_close_framer;

/// Stores a framer for a stream from its first byte on. stanza_limit is the
/// longest stanza to find, as in xmpp_close_options.
int xmpp_close_framer_new(size_t stanza_limit, xmpp_close_framer **out);

/// The same from between two stanzas on. root is the name in the peer's stream
/// header, usually "stream:stream": only an end tag with this name closes the
/// stream. NULL: the name is unknown, and "stream" with any prefix or none
/// closes it. Any other end tag between stanzas is
/// XMPP_CLOSE_FRAME_MALFORMED.
int xmpp_close_framer_new_inside(const char *root,
                                 size_t stanza_limit,
                                 xmpp_close_framer **out);

/// Frees it; NULL is fine.
void xmpp_close_framer_free(xmpp_close_framer *f);

/// Looks at up to len bytes, stores in `*consumed` how many it took, and returns
/// an xmpp_close_frame, or a negative xmpp_close_result. Call it again with the
/// rest until it returns XMPP_CLOSE_FRAME_MORE, even if the rest is empty.
///
/// `*xml` and `*xml_len` are the header or the stanza; they are valid until the
/// next call on f, and as long as data is. xml and xml_len may be NULL.
int xmpp_close_framer_next(xmpp_close_framer *f,
                           const void *data,
                           size_t len,
                           size_t *consumed,
                           const uint8_t **xml,
                           size_t *xml_len);

/// Expects a new stream header, as it follows STARTTLS, SASL and compression.
/// What you have read behind the element that agreed to it is yours: after SASL
/// feed it, for it begins the new stream; after STARTTLS drop it (RFC 6120,
/// section 5.4.3.3); after compression it is compressed.
int xmpp_close_framer_restart(xmpp_close_framer *f);

/// 1 if the end of TCP would come between two stanzas here, 0 if inside one, or
/// inside a tag. NULL: 0.
int xmpp_close_framer_between_stanzas(const xmpp_close_framer *f);

/* What the peer says about idleness
 *
 * A server may announce after how long a silence of its peer it thinks the stream
 * idle, and probes or ends it (XEP-0478). Whatever you send breaks the silence, be
 * it whitespace between stanzas. To keep the stream, send something in time; to be
 * rid of it, close it by handshake before the server ends it in its own way: after
 * half of the announced time, or 30 seconds before its end, whichever is later.
 */

/// Looks for idle-seconds in the peer's `<stream:features/>`, or in the `<bidi/>` of
/// another server: features is the whole element, in len bytes. Limits may change
/// with each announcement, so take those after the login.
///
/// Returns 1 and stores the seconds, never 0, if they are announced, and 0 if they
/// are not or make no sense: then the limit is unknown, which is not "none".
/// More than UINT32_MAX is stored as that.
int xmpp_close_idle_seconds(const void *features, size_t len, uint32_t *seconds);

/* Words and versions */

/// One English sentence for an xmpp_close_result, or for any other number.
/// Never NULL; it lives for ever.
const char *xmpp_close_strerror(int result);

/// A short name for an xmpp_close_outcome, for logs and statistics: "clean",
/// "timed-out"; "unknown" for any other number. Never NULL; it lives for ever.
const char *xmpp_close_outcome_name(uint32_t outcome);

/// One line about a report, for a log: "clean: both closing tags were exchanged;
/// begun by us; ...". As snprintf(3): at most len bytes are stored in buf, a NUL
/// among them if len is not 0, and its whole length is returned. A character is
/// never cut in two.
int xmpp_close_describe(const xmpp_close_report *report, char *buf, size_t len);

/// The XMPP_CLOSE_VERSION_NUMBER of the library in use, which may be another
/// than that of the header.
uint32_t xmpp_close_version_number(void);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* XMPP_CLOSE_H */
