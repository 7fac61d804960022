/* A small XMPP server: epoll, expat, OpenSSL over memory BIOs, a router that answers later. For each stream it has an
 * engine of the library, without I/O: the engine holds what is to be sent, and knows what is to be done. Idle streams
 * are closed, peers that close are answered, and SIGTERM closes all streams, while the loop goes on.
 *
 *     event_loop PORT IDLE_SECONDS [LIMIT_SECONDS [CERTIFICATE KEY]]    with a certificate: TLS from the first byte
 *
 * To carry over: `send_stanza`, for every writer; `close_stream`; `settle`; `on_readable`; the tick in `on_time`. */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include <xmpp_close.h>

#include "channel.h"
#include "newcomers.h"
#include "progress.h"
#include "router.h"
#include "server.h"
#include "stream_management.h"

typedef struct conn {
    LIST_ENTRY(conn) link;
    newcomer newcomer;
    channel channel;           /* its socket, with TLS */
    xmpp_close_stream *stream; /* the engine */
    stanza_parser *parser;
    stream_management sm;
    uint64_t active_at, close_at;
    unsigned number, owed, late, goes_down; /* replies it gets; stanzas behind our tag; whether SIGTERM closes it */
} conn;

static LIST_HEAD(conns, conn) conns;
static int epoll_fd, listener;
static uint64_t now, wake_at, idle_ms; /* before wake_at, on_time has nothing to do */
static sigset_t unblocked;
static xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;

/* For every writer: replies, errors, keepalives. Nothing may follow our closing tag; the writer learns that it is too
 * late, or that the peer does not read, and bounces or stores what it has. Nothing is dropped in silence. */
static int send_stanza(conn *c, const char *xml, size_t len)
{
    return xmpp_close_send(c->stream, xml, len) == XMPP_CLOSE_OK;
}

/* We close, or answer the peer's tag; an answer has no stream error. A close that has begun stays as it is. */
static void close_stream(conn *c, const char *condition)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    char ack[64];
    error.condition = xmpp_close_wants(c->stream) & XMPP_CLOSE_ANSWER ? NULL : condition;
    send_stanza(c, ack, sm_ack(&c->sm, ack, sizeof ack));
    xmpp_close_finish(c->stream, error.condition ? &error : NULL, now);
}

/* Sends what can be sent, does what the engine wants done, and has epoll wait for the rest. */
static uint32_t settle(conn *c)
{
    struct epoll_event event = { 0, { .ptr = c } };
    const uint8_t *bytes;
    uint32_t wants;
    size_t taken;
    for (;;) {
        const size_t len = xmpp_close_output(c->stream, &bytes);
        const int error = channel_send(&c->channel, bytes, len, &taken);
        xmpp_close_wrote(c->stream, taken, channel_pending(&c->channel), now);
        c->active_at = taken ? now : c->active_at;
        event.events = error == EAGAIN ? EPOLLOUT : 0;
        if (error && error != EAGAIN)
            xmpp_close_tell(c->stream, XMPP_CLOSE_FACT_WRITE_FAILED, error, now);
        wants = xmpp_close_wants(c->stream);
        if (wants & XMPP_CLOSE_ANSWER && !c->owed)
            close_stream(c, NULL);
        else if (wants & XMPP_CLOSE_NOTIFY)
            tls_close_notify(c->channel.tls), xmpp_close_tell(c->stream, XMPP_CLOSE_FACT_DID_NOTIFY, 0, now);
        else if (wants & XMPP_CLOSE_SHUT)
            shutdown(c->channel.fd, SHUT_WR), xmpp_close_tell(c->stream, XMPP_CLOSE_FACT_DID_SHUT, 0, now);
        else if (!taken || error)
            break;
    }
    /* We do not read from a peer that does not read, but only while the stream is open: closing, both must read. */
    if (wants & XMPP_CLOSE_READ && !(wants & XMPP_CLOSE_MAY_SEND && event.events))
        event.events |= EPOLLIN;
    channel_watch(&c->channel, epoll_fd, &event);
    const uint64_t due = now + (wants & XMPP_CLOSE_OVER ? 0 : (unsigned)xmpp_close_timeout(c->stream, now));
    wake_at = due < wake_at ? due : wake_at;
    return wants;
}

static void on_header(void *owner)
{
    send_stanza(owner, FEATURES, strlen(FEATURES));
}

static void on_stanza(void *owner, const stanza *stanza)
{
    conn *c = owner;
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    char reply[64];
    /* Late stanzas, behind our closing tag, are handled like any other. They only cannot be answered. */
    const int late = !(xmpp_close_wants(c->stream) & XMPP_CLOSE_MAY_SEND);
    printf("[%u] %s%s %s\n", c->number, late ? "late " : "", stanza->name, stanza->id);
    if (stanza->stream_error) {
        error.condition = stanza->child;
        send_stanza(c, reply, sm_ack(&c->sm, reply, sizeof reply));
        xmpp_close_peer_error(c->stream, &error, now);
    } else if (stanza->stream_management) {
        send_stanza(c, reply, late ? 0 : sm_reply(&c->sm, stanza, reply, sizeof reply));
    } else {
        newcomer_end(&c->newcomer);
        sm_count(&c->sm, stanza);
        c->late += (unsigned)late;
    }
    if (is_iq_request(stanza)) {
        router_ask(c->number, stanza->id, now), c->owed++;
    } else if (is_message(stanza)) {
        conn *const to = *stanza->to ? session_at(stanza->to) : c;
        if (!to || !send_stanza(to, stanza->xml, stanza->len))
            printf("[%u] stored: %s\n", c->number, stanza->id);
        else if (to != c)
            settle(to);
    }
}

static void on_readable(conn *c)
{
    char bytes[16384];
    size_t n;
    int receive = 1, result;
    for (; (result = channel_read(&c->channel, receive, bytes, sizeof bytes, &n)) == 0; receive = 0) {
        c->active_at = now;
        if (xmpp_close_received(c->stream, n, now) != 1)
            continue; /* these bytes are not the peer's stream any more */
        const stanza_parsed parsed = stanza_parser_feed(c->parser, bytes, n);
        if (parsed == STREAM_BROKEN)
            close_stream(c, stanza_parser_condition(c->parser));
        if (parsed != STREAM_GOES_ON)
            xmpp_close_tell(c->stream, parsed == STREAM_CLOSED ? XMPP_CLOSE_FACT_PEER_CLOSED
                                                               : XMPP_CLOSE_FACT_MALFORMED, 0, now);
    }
    if (result == CHANNEL_END)
        xmpp_close_tell(c->stream, XMPP_CLOSE_FACT_EOF, stanza_parser_inside(c->parser), now);
    else if (result == CHANNEL_NOTIFIED)
        xmpp_close_tell(c->stream, XMPP_CLOSE_FACT_NOTIFIED, stanza_parser_inside(c->parser), now);
    else if (result == CHANNEL_FAILED)
        xmpp_close_tell(c->stream, XMPP_CLOSE_FACT_TLS_FAILED, 0, now);
    else if (result != EAGAIN)
        xmpp_close_tell(c->stream, XMPP_CLOSE_FACT_READ_FAILED, result, now);
    settle(c);
}

static void on_connection(int fd)
{
    static unsigned count;
    char header[256];
    conn *c = need(calloc(1, sizeof *c));
    channel_open(&c->channel, fd);
    c->number = ++count;
    c->active_at = now, c->close_at = UINT64_MAX;
    c->parser = need(stanza_parser_new(on_header, on_stanza, c));
    options.header = header; /* to go in front of whatever we say first */
    options.header_len = (size_t)snprintf(header, sizeof header, HEADER, c->number);
    if (xmpp_close_new(&options, now, &c->stream) != XMPP_CLOSE_OK)
        abort();
    session_begin(c->number, c);
    newcomer_begin(&c->newcomer, c, now);
    LIST_INSERT_HEAD(&conns, c, link);
    settle(c);
    if ((c = newcomer_too_many())) {
        close_stream(c, "resource-constraint");
        settle(c);
        xmpp_close_tell(c->stream, XMPP_CLOSE_FACT_CANCEL, 0, now); /* no room for streams that close, either */
    }
}

static void on_connections(void)
{
    int fd = 0;
    for (int i = 0; i < ACCEPTS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; i++)
        on_connection(fd);
    if (fd < 0 && out_of_descriptors(errno)) /* on_time listens again */
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, listener, NULL);
}

static void bury(conn *c)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_get_report(c->stream, &report);
    printf("[%u] ended: %s, %u late stanzas\n", c->number, xmpp_close_outcome_name(report.outcome), c->late);
    if (c->goes_down)
        progress_end(report.outcome);
    LIST_REMOVE(c, link);
    newcomer_end(&c->newcomer);
    session_end(c->number);
    xmpp_close_free(c->stream);
    stanza_parser_free(c->parser);
    channel_close(&c->channel);
    free(c);
}

static void deliver_replies(uint64_t until)
{
    for (reply *r; (r = router_take(until)); free(r)) {
        conn *c = session(r->to);
        if (!c || !send_stanza(c, r->xml, strlen(r->xml)))
            printf("[%u] undeliverable: %s\n", r->to, r->xml);
        if (c)
            c->owed--, settle(c);
    }
}

static void on_time(void)
{
    wake_at = now + 1000;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &(struct epoll_event){ EPOLLIN, { .ptr = NULL } });
    for (conn *late; (late = newcomer_too_late(now)); settle(late))
        close_stream(late, "policy-violation");
    for (conn *c = LIST_FIRST(&conns), *next; c && (next = LIST_NEXT(c, link), 1); c = next) {
        if (now >= c->close_at)
            close_stream(c, "system-shutdown"), c->close_at = UINT64_MAX;
        else if (!c->owed && now - c->active_at >= idle_ms && (on_readable(c), c->active_at < now)) /* nothing came */
            close_stream(c, NULL); /* an idle stream gets no error */
        xmpp_close_tick(c->stream, now);
        if (settle(c) & XMPP_CLOSE_OVER) /* only here: elsewhere we may be inside its parser */
            bury(c);
        else if (c->close_at < wake_at)
            wake_at = c->close_at;
    }
}

static void turn(void)
{
    struct epoll_event events[64];
    const uint64_t wake = wake_at < router_due() ? wake_at : router_due();
    const int ready = epoll_pwait(epoll_fd, events, 64, wake > now ? (int)(wake - now) : 0, &unblocked);
    now = clock_ms();
    look_for_sigterm(&unblocked);
    for (int i = 0; i < ready; i++) {
        conn *c = events[i].data.ptr;
        if (!c)
            on_connections();
        else if (events[i].events == EPOLLOUT)
            settle(c);
        else
            on_readable(c); /* an end or an error is read, too */
    }
    deliver_replies(now);
    if (now >= wake_at)
        on_time();
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc == 5)
        return fprintf(stderr, "usage: %s PORT IDLE_SECONDS [LIMIT_SECONDS [CERTIFICATE KEY]]\n", argv[0]), 2;
    if (argc > 5 && !(options.tls = (uint32_t)tls_use(argv[4], argv[5])))
        return 2;
    idle_ms = strtoul(argv[2], NULL, 10) * 1000;
    options.total_ms = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) * 1000 : 30000;
    options.own_parser = 1;
    options.output_limit = 2 << 20; /* more than one large stanza */
    raise_descriptors();
    catch_sigterm(&unblocked);
    listener = listen_on(argv[1]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    while (!terminated)
        turn();
    for (conn *c = LIST_FIRST(&conns); c; c = LIST_NEXT(c, link))
        on_readable(c); /* what has come is handled and answered before we close */
    close(listener), listener = -1;
    for (conn *c = LIST_FIRST(&conns); c; c = LIST_NEXT(c, link)) {
        if (xmpp_close_timeout(c->stream, now) < 0) { /* no close has begun; 256 do now, and as many each 32 ms */
            c->goes_down = 1;
            c->close_at = now + (c->owed ? ROUTER_DELAY_MS : 0) + progress_begin() / 256 * 32;
        }
    }
    on_time();
    while (!LIST_EMPTY(&conns))
        turn();
    deliver_replies(UINT64_MAX);
    tls_unuse();
    return 0;
}
