/* A small XMPP server on plain sockets: one poll(2) loop, expat, a router that answers later. The library reads and
 * writes; a step never waits, and says what poll(2) is to wait for. Idle streams are closed, peers that close are
 * answered, and on SIGTERM a batch closes all streams, while the router goes on.
 *
 *     step_fd PORT IDLE_SECONDS [LIMIT_SECONDS] */
#define _GNU_SOURCE
#include <poll.h>
#include <xmpp_close.h>

#include "newcomers.h"
#include "router.h"
#include "server.h"

#define QUEUE_LIMIT 65536
#define SPREAD_MS 500 /* of a shutdown, so that not all clients come back at the same moment */

typedef struct conn {
    int fd;
    unsigned number, owed, late; /* replies of the router; stanzas that came behind our tag */
    xmpp_close_stream *stream;
    stanza_parser *parser;
    newcomer newcomer;
    uint64_t active_at;
    int slow, closing;
} conn;

static conn **conns; /* and what poll(2) is asked for each of them; in front of them, that is for the listener */
static struct pollfd *polls;
static size_t count;
static int listener;
static uint64_t now, listen_at, idle_ms; /* before listen_at there are no descriptors for more */
static sigset_t unblocked;
static xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;

/* >>> The close path, with all that is read and written. */
static void close_stream(conn *c, const char *condition) /* in answer to the peer's tag, too: without an error */
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    error.condition = xmpp_close_wants(c->stream) & XMPP_CLOSE_ANSWER ? NULL : condition;
    if (!c->closing++)
        xmpp_close_finish(c->stream, error.condition ? &error : NULL, 0);
}

static int on_data(void *userdata, const uint8_t *data, size_t len)
{
    conn *c = userdata;
    c->active_at = now;
    const stanza_parsed parsed = stanza_parser_feed(c->parser, data, len);
    if (parsed == STREAM_BROKEN)
        close_stream(c, stanza_parser_condition(c->parser));
    if (parsed != STREAM_GOES_ON)
        return parsed == STREAM_CLOSED ? XMPP_CLOSE_PEER_CLOSED : XMPP_CLOSE_NOT_XMPP;
    return stanza_parser_inside(c->parser) ? XMPP_CLOSE_MID_ELEMENT : 0;
}

static void step(conn *c, struct pollfd *p)
{
    const uint32_t wants = xmpp_close_step(c->stream);
    p->fd = wants & (XMPP_CLOSE_READ | XMPP_CLOSE_WRITE) ? c->fd : -1; /* a hang-up cannot be masked otherwise */
    p->events = (short)((wants & XMPP_CLOSE_READ ? POLLIN : 0) | (wants & XMPP_CLOSE_WRITE ? POLLOUT : 0));
}

static void look(conn *c)
{
    const int is_idle = now - c->active_at >= idle_ms;
    if (!c->owed && (is_idle || xmpp_close_wants(c->stream) & XMPP_CLOSE_ANSWER)) /* the router answers first */
        close_stream(c, NULL);
}
/* <<< and bury(). */

/* We do not read from a peer that does not read, but only while the stream is open: when two sides close, both must
 * read. */
static void throttle(conn *c)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_get_report(c->stream, &report);
    const int slow = report.bytes_unsent > QUEUE_LIMIT && xmpp_close_wants(c->stream) & XMPP_CLOSE_MAY_SEND;
    if (slow != c->slow)
        xmpp_close_tell(c->stream, XMPP_CLOSE_FACT_PAUSED, (uint64_t)(c->slow = slow), 0);
}

static void on_header(void *owner)
{
    conn *c = owner;
    (void)!xmpp_close_send(c->stream, FEATURES, strlen(FEATURES));
}

static void on_stanza(void *owner, const stanza *stanza)
{
    conn *c = owner;
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    const int late = !(xmpp_close_wants(c->stream) & XMPP_CLOSE_MAY_SEND);
    printf("[%u] %s%s %s\n", c->number, late ? "late " : "", stanza->name, stanza->id);
    c->late += (unsigned)late;
    if (stanza->stream_error) {
        error.condition = stanza->child;
        xmpp_close_peer_error(c->stream, &error, 0);
        return;
    }
    newcomer_end(&c->newcomer);
    if (is_iq_request(stanza))
        router_ask(c->number, stanza->id, now), c->owed++;
    else if (is_message(stanza) && xmpp_close_send(c->stream, stanza->xml, stanza->len) != XMPP_CLOSE_OK)
        printf("[%u] stored: %s\n", c->number, stanza->id);
}

static void on_connection(int fd)
{
    static unsigned number;
    char header[256];
    conn *c = need(calloc(1, sizeof *c));
    c->fd = fd;
    c->number = ++number;
    c->active_at = now;
    c->parser = need(stanza_parser_new(on_header, on_stanza, c));
    options.userdata = c;
    options.header = header; /* to go in front of whatever we say first */
    options.header_len = (size_t)snprintf(header, sizeof header, HEADER, c->number);
    if (xmpp_close_start(fd, &options, &c->stream) != XMPP_CLOSE_OK)
        abort();
    conns = need(realloc(conns, (count + 1) * sizeof *conns));
    polls = need(realloc(polls, (count + 2) * sizeof *polls));
    conns[count++] = c;
    polls[count] = (struct pollfd){ -1, 0, 0 }; /* its first step is due at once */
    session_begin(c->number, c);
    newcomer_begin(&c->newcomer, c, now);
    if ((c = newcomer_too_many())) {
        close_stream(c, "resource-constraint");
        xmpp_close_step(c->stream);
        xmpp_close_tell(c->stream, XMPP_CLOSE_FACT_CANCEL, 0, 0); /* no room for streams that close, either */
    }
}

/* Accepts the connections that wait, up to a number. False: there are no more descriptors. */
static int on_connections(void)
{
    int fd = 0;
    for (int i = 0; i < ACCEPTS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; i++)
        on_connection(fd);
    return fd >= 0 || !out_of_descriptors(errno);
}

static void bury(conn *c)
{
    char line[256];
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_get_report(c->stream, &report);
    xmpp_close_describe(&report, line, sizeof line);
    printf("[%u] %s\n", c->number, line);
    printf("[%u] ended: %s, %u late stanzas\n", c->number, xmpp_close_outcome_name(report.outcome), c->late);
    newcomer_end(&c->newcomer);
    session_end(c->number);
    xmpp_close_free(c->stream);
    stanza_parser_free(c->parser);
    close(c->fd);
    free(c);
}

static void deliver_replies(uint64_t until)
{
    for (reply *r; (r = router_take(until)); free(r)) {
        conn *c = session(r->to);
        if (!c || xmpp_close_send(c->stream, r->xml, strlen(r->xml)) != XMPP_CLOSE_OK)
            printf("[%u] undeliverable: %s\n", r->to, r->xml);
        if (c)
            c->owed--;
    }
}

/* Waits until one of polls is ready, at most so long, and no longer than the router needs for its next reply. */
static void wait_for(nfds_t polled, unsigned ms)
{
    const uint64_t due = router_due(), until = due < now + ms ? due : now + ms, wait = until > now ? until - now : 0;
    ppoll(polls, polled, &(struct timespec){ (time_t)(wait / 1000), (long)(wait % 1000 * 1000000) }, &unblocked);
    now = clock_ms();
    look_for_sigterm(&unblocked);
}

/* One turn of the loop. */
static void turn(void)
{
    unsigned left = 1000;
    for (size_t i = 0; i < count; i++) {
        const unsigned due = (unsigned)xmpp_close_timeout(conns[i]->stream, 0); /* -1, for never, is the most */
        left = due < left ? due : left;
    }
    polls[0].fd = now >= listen_at ? listener : -1;
    wait_for(count + 1, left);
    if (polls[0].revents && !on_connections())
        listen_at = now + 1000;
    deliver_replies(now);
    for (conn *late; (late = newcomer_too_late(now));)
        close_stream(late, "policy-violation");
    for (size_t i = count; i-- > 0;) {
        if (polls[i + 1].revents || xmpp_close_timeout(conns[i]->stream, 0) == 0)
            step(conns[i], &polls[i + 1]), throttle(conns[i]);
        look(conns[i]);
        if (xmpp_close_wants(conns[i]->stream) & XMPP_CLOSE_OVER) { /* the last takes its place */
            bury(conns[i]);
            conns[i] = conns[--count];
            polls[i + 1] = polls[count + 1];
        }
    }
}

static void on_end(void *stream_userdata, size_t index, const xmpp_close_report *report)
{
    (void)index, (void)report;
    bury(stream_userdata);
}

/* From here on a batch steps the streams. Everything else may be done with them as before. */
static void shut_down(void)
{
    xmpp_close_batch_options all = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_batch *batch;
    all.stream_error = "system-shutdown";
    all.total_ms = options.total_ms;
    all.spread_ms = SPREAD_MS;
    all.on_end = on_end;
    if (xmpp_close_batch_new(&batch) != XMPP_CLOSE_OK || xmpp_close_batch_set(batch, &all) != XMPP_CLOSE_OK)
        abort();
    while (count-- > 0) {
        xmpp_close_tell(conns[count]->stream, XMPP_CLOSE_FACT_PAUSED, 0, 0);
        if (xmpp_close_batch_add_stream(batch, conns[count]->stream, NULL) != XMPP_CLOSE_OK)
            abort();
    }
    polls[0].fd = xmpp_close_batch_fd(batch);
    while (xmpp_close_batch_turn(batch, 0) > 0) {
        wait_for(1, (unsigned)xmpp_close_batch_timeout(batch));
        deliver_replies(now);
    }
    xmpp_close_batch_free(batch);
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return fprintf(stderr, "usage: %s PORT IDLE_SECONDS [LIMIT_SECONDS]\n", argv[0]), 2;
    idle_ms = strtoul(argv[2], NULL, 10) * 1000;
    options.total_ms = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) * 1000 : 30000;
    options.output_limit = 2 << 20; /* more than one large stanza */
    options.on_data = on_data;
    raise_descriptors();
    catch_sigterm(&unblocked);
    listener = listen_on(argv[1]);
    polls = need(calloc(1, sizeof *polls));
    polls[0].events = POLLIN;
    while (!terminated)
        turn();
    close(listener);
    listen_at = UINT64_MAX;
    for (const uint64_t answered = now + ROUTER_DELAY_MS; router_due() <= answered;) /* what was asked before SIGTERM */
        turn();
    shut_down();
    deliver_replies(UINT64_MAX);
    free(conns);
    free(polls);
    return 0;
}
