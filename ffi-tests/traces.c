/* The ways that a close can take, each once by an engine and once by a started stream over the same wire: both send the
 * same, and report the same. */
#include "check.h"
#include "peer.h"
#include "traces.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the peer has done so far, and what we have said. */
struct wire {
    const struct trace *trace;
    char in[200];   /* to be read */
    size_t in_len;
    int ended, notified, broken, refuses, keeps;
    char out[400];
    size_t out_len, kept;
    int shuts;
};

static int wire_read(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    struct wire *wire = userdata;
    if (wire->in_len > 0) {
        *n = wire->in_len < len ? wire->in_len : len;
        memcpy(buf, wire->in, *n);
        memmove(wire->in, wire->in + *n, wire->in_len - *n);
        wire->in_len -= *n;
        return 0;
    }
    if (wire->broken)
        return wire->broken;
    if (wire->notified == 1) {
        wire->notified = 2; /* the next bytes are of the socket below TLS */
        return 0;
    }
    if (wire->ended)
        return wire->trace->tls && wire->notified == 0 ? XMPP_CLOSE_TLS_EOF : 0;
    return XMPP_CLOSE_WANT_READ;
}

static void say(struct wire *wire, const void *bytes, size_t len)
{
    if (!CHECK(wire->out_len + len < sizeof wire->out))
        return;
    memcpy(wire->out + wire->out_len, bytes, len);
    wire->out_len += len;
    if (wire->keeps)
        wire->kept += len;
}

static int wire_write(void *userdata, const uint8_t *buf, size_t len, size_t *n)
{
    struct wire *wire = userdata;
    if (wire->refuses)
        return wire->refuses;
    *n = len;
    say(wire, buf, len);
    return 0;
}

static int wire_flush(void *userdata, size_t *pending)
{
    *pending = ((struct wire *)userdata)->kept;
    return 0;
}

static int wire_notify(void *userdata)
{
    say(userdata, "!", 1);
    return 0;
}

static int wire_shut(void *userdata)
{
    struct wire *wire = userdata;
    CHECK_INT(wire->kept, 0);
    wire->shuts++;
    return 0;
}

static void happens(struct wire *wire, const struct event *event)
{
    switch (event->act) {
    case COMES:
        memcpy(wire->in + wire->in_len, event->text, strlen(event->text));
        wire->in_len += strlen(event->text);
        break;
    case ENDS: wire->ended = 1; break;
    case NOTIFIES: wire->notified = 1; break;
    case BREAKS: wire->broken = event->n; break;
    case REFUSES: wire->refuses = event->n; break;
    case KEEPS: wire->keeps = 1; break;
    case LETS_GO: wire->keeps = 0, wire->kept = 0; break;
    default: break;
    }
}

static int time_passes(const struct trace *trace)
{
    const struct event *event = trace->events;
    while (event->act != NOTHING && event->act != LATE)
        event++;
    return event->act == LATE;
}

/* The limits are short only where one of them is to be reached, so that a busy machine decides nothing. */
static xmpp_close_options options_of(const struct trace *trace)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    options.total_ms = time_passes(trace) ? 100 + (uint32_t)check_slack() / 5 : 60000;
    options.answer_ms = options.total_ms / 2;
    options.linger_ms = 60000;
    options.half_close = trace->half_close;
    options.peer_closed = trace->peer_closed;
    options.header = trace->header;
    options.header_len = trace->header != NULL ? strlen(trace->header) : 0;
    return options;
}

static void asks(xmpp_close_stream *s, const struct event *event, uint64_t now)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    error.condition = event->text;
    switch (event->act) {
    case SENDS: CHECK_INT(xmpp_close_send(s, event->text, strlen(event->text)), XMPP_CLOSE_OK); break;
    case FINISHES: CHECK_INT(xmpp_close_finish(s, event->text != NULL ? &error : NULL, now), XMPP_CLOSE_OK); break;
    case DETACHES: CHECK_INT(xmpp_close_detach(s, now), XMPP_CLOSE_OK); break;
    default: break;
    }
}

/* ---- an engine, whose program reads and writes ---- */

static void tell(xmpp_close_stream *s, uint32_t fact, int detail, uint64_t now)
{
    CHECK_INT(xmpp_close_tell(s, fact, (uint64_t)detail, now), XMPP_CLOSE_OK);
}

/* Reads once; 0 when nothing came. */
static int engine_reads(xmpp_close_stream *s, struct wire *wire, uint64_t now)
{
    const int inside = (xmpp_close_wants(s) & XMPP_CLOSE_INSIDE) != 0;
    uint8_t buf[64];
    const uint8_t *data = buf, *xml;
    size_t n = 0, xml_len;
    int result = wire_read(wire, buf, sizeof buf, &n);
    if (result == XMPP_CLOSE_WANT_READ)
        return 0;
    if (result == XMPP_CLOSE_TLS_EOF)
        tell(s, XMPP_CLOSE_FACT_EOF, 1, now);
    else if (result != 0)
        tell(s, XMPP_CLOSE_FACT_READ_FAILED, result, now);
    else if (n == 0)
        tell(s, wire->ended ? XMPP_CLOSE_FACT_EOF : XMPP_CLOSE_FACT_NOTIFIED, inside, now);
    else
        while (xmpp_close_input(s, &data, &n, now, &xml, &xml_len) > 0)
            ;
    return 1;
}

static int engine_writes(xmpp_close_stream *s, struct wire *wire, uint64_t now)
{
    const uint8_t *bytes;
    size_t len = xmpp_close_output(s, &bytes), n = 0, pending;
    int result = len > 0 ? wire_write(wire, bytes, len, &n) : 0;
    if (result != 0)
        tell(s, XMPP_CLOSE_FACT_WRITE_FAILED, result, now);
    wire_flush(wire, &pending);
    CHECK_INT(xmpp_close_wrote(s, n, pending, now), XMPP_CLOSE_OK);
    return len > 0;
}

/* Does all that can be done. */
static void engine_moves(xmpp_close_stream *s, struct wire *wire, uint64_t now)
{
    int moved = 1;
    while (moved) {
        uint32_t wants = xmpp_close_wants(s);
        moved = 0;
        if (wants & XMPP_CLOSE_WRITE)
            moved |= engine_writes(s, wire, now);
        if (wants & XMPP_CLOSE_NOTIFY) {
            wire_notify(wire);
            tell(s, XMPP_CLOSE_FACT_DID_NOTIFY, 0, now);
            moved = 1;
        }
        if (wants & XMPP_CLOSE_SHUT) {
            wire_shut(wire);
            tell(s, XMPP_CLOSE_FACT_DID_SHUT, 0, now);
            moved = 1;
        }
        if (wants & XMPP_CLOSE_READ)
            moved |= engine_reads(s, wire, now);
    }
}

static xmpp_close_report by_an_engine(const struct trace *trace, struct wire *wire)
{
    xmpp_close_options options = options_of(trace);
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_stream *s = NULL;
    const struct event *event;
    uint64_t now = 1000000;
    options.tls = trace->tls;
    CHECK_INT(xmpp_close_new(&options, now, &s), XMPP_CLOSE_OK);
    engine_moves(s, wire, now);
    for (event = trace->events; event->act != NOTHING; event++) {
        happens(wire, event);
        asks(s, event, now);
        if (event->act == LATE) {
            now += (uint64_t)xmpp_close_timeout(s, now);
            xmpp_close_tick(s, now);
        }
        engine_moves(s, wire, now);
    }
    CHECK((xmpp_close_wants(s) & XMPP_CLOSE_OVER) != 0);
    CHECK_INT(xmpp_close_get_report(s, &report), XMPP_CLOSE_OK);
    xmpp_close_free(s);
    return report;
}

/* ---- a started stream ---- */

/* Steps until the stream waits. */
static void stream_moves(xmpp_close_stream *s)
{
    do
        xmpp_close_step(s);
    while (xmpp_close_timeout(s, 0) == 0);
}

static xmpp_close_report by_a_step(const struct trace *trace, struct wire *wire)
{
    xmpp_close_options options = options_of(trace);
    xmpp_close_transport transport = XMPP_CLOSE_TRANSPORT_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_stream *s = NULL;
    const struct event *event;
    int fds[2];
    connected_pair(UNIX, fds); /* polled by nobody, and read only below TLS, where it stands for TCP */
    transport.userdata = wire;
    transport.read = wire_read;
    transport.write = wire_write;
    transport.flush = wire_flush;
    transport.notify = wire_notify;
    transport.shut = wire_shut;
    transport.fd = fds[0];
    transport.tls = trace->tls;
    CHECK_INT(xmpp_close_start_with(&transport, &options, &s), XMPP_CLOSE_OK);
    stream_moves(s);
    for (event = trace->events; event->act != NOTHING; event++) {
        happens(wire, event);
        if (event->act == ENDS)
            shutdown(fds[1], SHUT_WR);
        asks(s, event, 0);
        if (event->act == LATE)
            poll(NULL, 0, xmpp_close_timeout(s, 0));
        stream_moves(s);
    }
    CHECK_INT(xmpp_close_wants(s), XMPP_CLOSE_OVER);
    CHECK_INT(xmpp_close_get_report(s, &report), XMPP_CLOSE_OK);
    xmpp_close_free(s);
    close(fds[0]);
    close(fds[1]);
    return report;
}

static int same_reports(const xmpp_close_report *a, const xmpp_close_report *b)
{
    int ok = CHECK_TEXT(xmpp_close_outcome_name(b->outcome), xmpp_close_outcome_name(a->outcome));
    ok &= CHECK_INT(b->initiator, a->initiator);
    ok &= CHECK_INT(b->tag_sent, a->tag_sent);
    ok &= CHECK_INT(b->tag_received, a->tag_received);
    ok &= CHECK_INT(b->stanzas, a->stanzas);
    ok &= CHECK_INT(b->oversize, a->oversize);
    ok &= CHECK_INT(b->bytes_read, a->bytes_read);
    ok &= CHECK_INT(b->bytes_after_tag, a->bytes_after_tag);
    ok &= CHECK_INT(b->bytes_unsent, a->bytes_unsent);
    ok &= CHECK_INT(b->tls, a->tls);
    ok &= CHECK_INT(b->os_error, a->os_error);
    ok &= CHECK_INT(b->limit, a->limit);
    ok &= CHECK_INT(b->refused, a->refused);
    ok &= CHECK_TEXT(b->stream_error, a->stream_error);
    return ok;
}

TEST(an_engine_and_a_step_agree)
{
    size_t i;
    for (i = 0; i < sizeof traces / sizeof *traces; i++) {
        struct wire first, second;
        xmpp_close_report by_engine, by_step;
        int ok;
        memset(&first, 0, sizeof first);
        first.trace = &traces[i];
        second = first;
        by_engine = by_an_engine(&traces[i], &first);
        by_step = by_a_step(&traces[i], &second);
        ok = CHECK_TEXT(xmpp_close_outcome_name(by_engine.outcome), xmpp_close_outcome_name(traces[i].outcome));
        ok &= CHECK_INT(by_engine.initiator, traces[i].initiator);
        ok &= CHECK_TEXT(first.out, traces[i].said);
        ok &= CHECK_TEXT(second.out, traces[i].said);
        ok &= CHECK(first.shuts <= 1 && second.shuts <= 1 && second.shuts >= first.shuts); /* a fact also ends what is over */
        ok &= same_reports(&by_engine, &by_step);
        if (!ok)
            printf("  that was: %s\n", traces[i].name);
    }
}
