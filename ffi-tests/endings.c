/* The nine endings: the same outcome through xmpp_close_fd, xmpp_close_with, a batch, a started stream and an engine, and
 * through a started stream and a batch of C++. */
#include "channel.h"
#include "check.h"
#include "loop.h"
#include "peer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIG (1u << 20)

enum option { PEER_CLOSED = 1, RESIDUAL_TAG = 2, BIG_FAREWELL = 4, CANCEL_BY_CALLBACK = 8, HALF_CLOSE = 16 };

struct ending {
    const char *name;
    enum kind kind;
    int tls;
    int options;
    struct step script[7];
    uint32_t outcome, initiator, tag_sent, tag_received, stanzas, tls_bits;
};

#define NOTIFIED (XMPP_CLOSE_TLS_USED | XMPP_CLOSE_TLS_NOTIFY_SENT | XMPP_CLOSE_TLS_NOTIFY_RECEIVED)
#define HALF_NOTIFIED (XMPP_CLOSE_TLS_USED | XMPP_CLOSE_TLS_NOTIFY_SENT)
#define US XMPP_CLOSE_INITIATOR_US
#define PEER XMPP_CLOSE_INITIATOR_PEER
#define CROSSING XMPP_CLOSE_INITIATOR_CROSSING
#define STANZA "<message><body>late</body></message>"

static const struct ending endings[] = {
    { "clean, begun by us", TCP, 0, 0,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA, 3 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_CLEAN, US, 1, 1, 3, 0 },
    { "clean, with an early half-close", TCP, 0, HALF_CLOSE,
      { { READ_END, NULL, 0 }, { SEND, STANZA, 3 }, { SEND, TAG, 0 } },
      XMPP_CLOSE_CLEAN, US, 1, 1, 3, 0 },
    { "clean, begun by the peer", TCP, 0, PEER_CLOSED,
      { { READ_TAG, NULL, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_CLEAN, PEER, 1, 1, 0, 0 },
    { "clean, the tags crossing", TCP, 0, RESIDUAL_TAG,
      { { READ_TAG, NULL, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_CLEAN, CROSSING, 1, 1, 1, 0 },
    { "clean, the tags crossing while our output is blocked", TCP_SMALL, 0, BIG_FAREWELL,
      { { SEND, STANZA TAG, 0 }, { READ_TAG, NULL, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_CLEAN, CROSSING, 1, 1, 1, 0 },
    { "the peer half-closes right after its tag", UNIX, 0, 0,
      { { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { SHUT, NULL, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_CLEAN, US, 1, 1, 0, 0 },
    { "the peer resets after its tag", TCP, 0, 0,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA TAG, 0 }, { READ_END, NULL, 0 }, { RESET, NULL, 0 } },
      XMPP_CLOSE_CLEAN, US, 1, 1, 1, 0 },
    { "the peer ends TCP between stanzas", TCP, 0, 0,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA, 2 } },
      XMPP_CLOSE_PEER_EOF, US, 1, 0, 2, 0 },
    { "the peer ends TCP inside a stanza", TCP, 0, 0,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA "<message><bo", 0 } },
      XMPP_CLOSE_TRUNCATED, US, 1, 0, 1, 0 },
    { "the peer ends TCP inside its closing tag", UNIX, 0, 0,
      { { READ_TAG, NULL, 0 }, { SEND, "</stream:stream", 0 } },
      XMPP_CLOSE_TRUNCATED, US, 1, 0, 0, 0 },
    { "the connection is reset", TCP, 0, 0,
      { { READ_TAG, NULL, 0 }, { RESET, NULL, 0 } },
      XMPP_CLOSE_RESET, US, 1, 0, 0, 0 },
    { "the peer stays silent", TCP, 0, 0,
      { { HOLD, NULL, 0 } },
      XMPP_CLOSE_TIMED_OUT, US, 1, 0, 0, 0 },
    { "the peer sends stanzas but no tag", UNIX, 0, 0,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA, 5 }, { HOLD, NULL, 0 } },
      XMPP_CLOSE_TIMED_OUT, US, 1, 0, 5, 0 },
    { "the peer does not read", TCP_SMALL, 0, BIG_FAREWELL,
      { { HOLD, NULL, 0 } },
      XMPP_CLOSE_STALLED, US, 0, 0, 0, 0 },
    { "the peer does not read, but has closed", TCP_SMALL, 0, BIG_FAREWELL,
      { { SEND, TAG, 0 }, { HOLD, NULL, 0 } },
      XMPP_CLOSE_STALLED, CROSSING, 0, 1, 0, 0 },
    { "what the peer sends is not XML", TCP, 0, 0,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA "<a></b>" STANZA TAG, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_MALFORMED, US, 1, 0, 1, 0 },
    { "a callback stops it", TCP, 0, CANCEL_BY_CALLBACK,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA, 5 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_CANCELLED, US, 1, 0, 1, 0 },
    { "another thread stops it", TCP, 0, 0,
      { { READ_TAG, NULL, 0 }, { CALL, NULL, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_CANCELLED, US, 1, 0, 0, 0 },
    { "TLS: tag and close_notify", TCP, 1, 0,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA TAG, 0 }, { SEND_ZERO, NULL, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_CLEAN, US, 1, 1, 1, NOTIFIED },
    { "TLS: tag without close_notify", TCP, 1, 0,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA TAG, 0 }, { END, NULL, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_CLEAN, US, 1, 1, 1, HALF_NOTIFIED },
    { "TLS: close_notify without tag", TCP, 1, 0,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA, 0 }, { SEND_ZERO, NULL, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_PEER_EOF, US, 1, 0, 1, NOTIFIED },
    { "TLS: neither tag nor close_notify", TCP, 1, 0,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA, 0 } },
      XMPP_CLOSE_TRUNCATED, US, 1, 0, 1, HALF_NOTIFIED },
    { "TLS: a fatal alert", TCP, 1, 0,
      { { READ_TAG, NULL, 0 }, { SEND, STANZA, 0 }, { SEND_ONE, NULL, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_TLS_FAILED, US, 1, 0, 1, XMPP_CLOSE_TLS_USED },
    { "TLS: a fatal alert after both tags", TCP, 1, 0,
      { { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { SEND_ONE, NULL, 0 }, { READ_END, NULL, 0 } },
      XMPP_CLOSE_CLEAN, US, 1, 1, 0, HALF_NOTIFIED },
};

/* Stops a close from the peer's thread: through a canceller, or through a pipe that an event loop watches. */
struct stopper {
    xmpp_close_canceller *canceller;
    int pipe[2];
    int stops;
};

static void stop(void *arg)
{
    struct stopper *stopper = arg;
    if (!stopper->stops)
        return;
    CHECK_INT(xmpp_close_canceller_cancel(stopper->canceller), XMPP_CLOSE_OK);
    CHECK(write(stopper->pipe[1], "", 1) == 1);
}

static int refuse_stanza(void *userdata, const uint8_t *xml, size_t len)
{
    (void)userdata;
    CHECK_BYTES(xml, len, STANZA, strlen(STANZA));
    return 7;
}

enum api { FD, WITH, BATCH, STEP, LOOP, CPP_STEP, CPP_BATCH };
static const char *const api_names[] = { "xmpp_close_fd", "xmpp_close_with", "a batch", "steps", "an engine", "steps in C++",
                                          "a batch in C++ that poll(2) turns" };

/* Only total_ms ends it. */
static int waits(const struct ending *ending)
{
    return ending->outcome == XMPP_CLOSE_TIMED_OUT || ending->outcome == XMPP_CLOSE_STALLED;
}

static xmpp_close_options options_of(const struct ending *ending, const struct stopper *stopper, const char *big)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    options.total_ms = waits(ending) ? 1000 + (uint32_t)check_slack() / 5 : 60000;
    options.no_progress_ms = 60000;
    options.linger_ms = 60000;
    options.canceller = stopper->canceller;
    options.peer_closed = (ending->options & PEER_CLOSED) != 0;
    options.half_close = (ending->options & HALF_CLOSE) != 0;
    if (ending->options & RESIDUAL_TAG) {
        options.residual = STANZA TAG;
        options.residual_len = strlen(STANZA TAG);
    }
    if (ending->options & BIG_FAREWELL) {
        options.farewell = big;
        options.farewell_len = BIG;
    }
    if (ending->options & CANCEL_BY_CALLBACK)
        options.on_stanza = refuse_stanza;
    return options;
}

/* A batch of one: of the socket itself, unless there is TLS. */
static int batch_close(const xmpp_close_transport *transport, const xmpp_close_options *options,
                       xmpp_close_report *report)
{
    xmpp_close_batch_options all = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_batch *batch = NULL;
    int result;
    all.total_ms = 90000;
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    CHECK_INT(transport->tls ? xmpp_close_batch_add_with(batch, transport, options, NULL)
                             : xmpp_close_batch_add(batch, transport->fd, options, NULL), XMPP_CLOSE_OK);
    result = xmpp_close_batch_run(batch, &all, NULL);
    CHECK_INT(xmpp_close_batch_report(batch, 0, report), XMPP_CLOSE_OK);
    xmpp_close_batch_free(batch);
    return result;
}

struct run {
    const struct ending *ending;
    enum api api;
    const char *big;
    pthread_t thread;
};

static void close_once(const struct ending *ending, enum api api, const char *big)
{
    xmpp_close_options options;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport;
    struct channel channel;
    struct stopper stopper;
    struct peer peer;
    int result = 1, ok;

    stopper.stops = ending->outcome == XMPP_CLOSE_CANCELLED && !(ending->options & CANCEL_BY_CALLBACK);
    CHECK_INT(xmpp_close_canceller_new(&stopper.canceller), XMPP_CLOSE_OK);
    if (pipe(stopper.pipe) != 0)
        check_fatal("pipe");
    options = options_of(ending, &stopper, big);
    peer_start(&peer, ending->kind, ending->script, stop, &stopper);
    channel_init(&channel, peer.fd, ending->tls, &transport);
    switch (api) {
    case FD:
        result = xmpp_close_fd(peer.fd, &options, &report);
        break;
    case WITH:
        result = xmpp_close_with(&transport, &options, &report);
        break;
    case BATCH:
        result = batch_close(&transport, &options, &report);
        break;
    case STEP:
        result = step_close(&transport, &options, stopper.pipe[0], &report);
        break;
    case LOOP:
        set_nonblocking(peer.fd);
        result = loop_close(&transport, &options, stopper.pipe[0], &report);
        break;
    case CPP_STEP:
        result = cpp_step_close(&transport, &options, stopper.pipe[0], &report);
        break;
    case CPP_BATCH:
        result = cpp_batch_close(&transport, &options, stopper.pipe[0], &report);
        break;
    }
    peer_stop(&peer);

    ok = CHECK_INT(result, XMPP_CLOSE_OK);
    ok &= CHECK_TEXT(xmpp_close_outcome_name(report.outcome), xmpp_close_outcome_name(ending->outcome));
    ok &= CHECK_INT(report.outcome, ending->outcome);
    ok &= CHECK_INT(report.initiator, ending->initiator);
    ok &= CHECK_INT(report.limit, waits(ending) ? XMPP_CLOSE_LIMIT_TOTAL : XMPP_CLOSE_LIMIT_NONE);
    ok &= CHECK_INT(report.tag_sent, ending->tag_sent);
    ok &= CHECK_INT(report.tag_received, ending->tag_received);
    ok &= CHECK_INT(report.stanzas, ending->stanzas);
    ok &= CHECK_INT(report.tls, ending->tls_bits);
    ok &= CHECK_INT(report.reserved, 0);
    ok &= CHECK_TEXT(report.stream_error, "");
    /* What the peer saw: one tag, if it read at all, nothing behind the tag but the alert, and never a RST. */
    ok &= CHECK_INT(peer_count(&peer, TAG), peer.got_len > 0 ? 1 : 0);
    ok &= CHECK_INT(peer_count(&peer, "error"), 0);
    if (ending->outcome == XMPP_CLOSE_CLEAN)
        ok &= CHECK(!peer.saw_reset && !peer.send_failed && report.elapsed_ms < 30000);
    if (ending->options & BIG_FAREWELL && ending->tag_sent)
        ok &= CHECK_INT(peer.got_len, BIG + strlen(TAG));
    if (!ending->tag_sent)
        ok &= CHECK(report.bytes_unsent > strlen(TAG));
    if (!ok)
        printf("  the case was: %s, through %s\n", ending->name, api_names[api]);

    peer_free(&peer);
    close(stopper.pipe[0]);
    close(stopper.pipe[1]);
    xmpp_close_canceller_free(stopper.canceller);
}

static void *run(void *arg)
{
    const struct run *run = arg;
    close_once(run->ending, run->api, run->big);
    return NULL;
}

TEST(each_ending_has_one_outcome_through_every_api)
{
    char *big = malloc(BIG);
    uint32_t seen = 0;
    size_t i;
    if (big == NULL)
        check_fatal("malloc");
    memset(big, ' ', BIG);
    for (i = 0; i < sizeof endings / sizeof *endings; i++) {
        struct run runs[CPP_BATCH + 1];
        int api, first = endings[i].tls ? WITH : FD; /* xmpp_close_fd knows no TLS */
        for (api = first; api <= CPP_BATCH; api++) {
            runs[api].ending = &endings[i];
            runs[api].api = (enum api)api;
            runs[api].big = big;
            if (pthread_create(&runs[api].thread, NULL, run, &runs[api]) != 0)
                check_fatal("pthread_create");
        }
        for (api = first; api <= CPP_BATCH; api++)
            pthread_join(runs[api].thread, NULL);
        seen |= 1u << endings[i].outcome;
    }
    CHECK_INT(seen, 0x3fe); /* all nine of them */
    free(big);
}
