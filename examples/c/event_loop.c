/* A small XMPP server: epoll, non-blocking sockets, expat, OpenSSL over memory BIOs, a router that answers later, and
 * the closing handshake as a state machine without I/O. It closes streams that have gone idle, answers those that
 * close, and closes all of them on SIGTERM, in one batch.
 *
 *     event_loop PORT IDLE_SECONDS [LIMIT_SECONDS [CERTIFICATE KEY]]    with a certificate: TLS from the first byte on
 *
 * To carry over: `send_stanza`, which every writer goes through; `apply`, which does what the handshake wants done; the
 * calls of `told`, which tell it what happened; and, for the shutdown, all from `on_late_data` on. */
#define _GNU_SOURCE
#include <sys/epoll.h>
#include <sys/queue.h>
#include <xmpp_close.h>

#include "channel_transport.h"
#include "newcomers.h"
#include "progress.h"
#include "router.h"
#include "server.h"
#include "stream_management.h"

#define QUEUE_LIMIT 65536

typedef struct conn {
    LIST_ENTRY(conn) link;
    newcomer newcomer;
    unsigned number;
    channel channel;                 /* its socket, with TLS and the queue */
    uint32_t watched;                /* what epoll knows */
    xmpp_close_handshake *handshake; /* NULL: the batch has it */
    stanza_parser *parser;
    unsigned owed, late;             /* replies of the router; stanzas that came behind our tag */
    stream_management sm;
    const char *condition;           /* the stream error that goes before the tag */
    uint64_t active_at;
    char opened, unflushed, dead;
} conn;

static LIST_HEAD(conns, conn) conns;
static int epoll_fd, listener;
static struct epoll_event listening = { EPOLLIN, { .ptr = NULL } };
static uint64_t now, wake_at, idle_ms; /* before wake_at, on_time has nothing to do */
static sigset_t unblocked;
static xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;

/* told(c, eof) tells the handshake of an EOF, and does what it wants done. */
#define told(c, event) apply(c, xmpp_close_handshake_##event((c)->handshake, now))
#define told_of(c, event, detail) apply(c, xmpp_close_handshake_##event((c)->handshake, detail, now))

static void enqueue(conn *c, const char *bytes, size_t len)
{
    char header[256];
    if (!c->opened) { /* a closing tag needs a start tag: whatever we say first, our header precedes it */
        queue_add(&c->channel.out, header, (size_t)snprintf(header, sizeof header, HEADER, c->number));
        c->opened = 1;
    }
    queue_add(&c->channel.out, bytes, len);
    c->unflushed = 1;
}

/* For every writer: replies, errors, keepalives. After our closing tag nothing may follow; the writer learns that it
 * is too late, and bounces or stores what it has. Nothing is dropped in silence. */
static int send_stanza(conn *c, const char *xml, size_t len)
{
    if (!xmpp_close_handshake_may_write(c->handshake))
        return 0;
    enqueue(c, xml, len);
    return 1;
}

static void apply(conn *c, int action)
{
    char last[256];
    switch (checked(action)) {
    case XMPP_CLOSE_DO_SEND_TAG: /* as the last of the queue; `flush` tells when it is out */
        enqueue(c, last, sm_ack(&c->sm, last, sizeof last));
        if (c->condition)
            enqueue(c, last, (size_t)snprintf(last, sizeof last, STREAM_ERROR, c->condition));
        enqueue(c, TAG, strlen(TAG));
        break;
    case XMPP_CLOSE_DO_ANSWER: /* the peer closed; before our own tag it gets what the router still owes it */
        if (!c->owed)
            told(c, begin);
        break;
    case XMPP_CLOSE_DO_END_OUTPUT: /* `flush` tells when that is done, too */
        channel_end(&c->channel);
        c->unflushed = 1;
        break;
    case XMPP_CLOSE_DO_TEARDOWN: /* in on_time, since we may be inside the parser now */
        c->dead = 1;
        wake_at = now;
        break;
    }
    if (xmpp_close_handshake_deadline(c->handshake) < wake_at)
        wake_at = xmpp_close_handshake_deadline(c->handshake);
}

static void flush(conn *c)
{
    while (!c->dead) {
        size_t n;
        const int error = channel_send(&c->channel, &n);
        if (n) {
            c->active_at = now;
            told_of(c, written, n);
        }
        if (error && error != EAGAIN)
            told_of(c, output_failed, error);
        if (error || !c->unflushed)
            return;
        c->unflushed = 0;
        told(c, flushed);
    }
}

/* Sends what can be sent, and has epoll wait for what is wanted next. */
static void settle(conn *c)
{
    struct epoll_event event = { 0, { .ptr = c } };
    flush(c);
    /* Who does not read is not read from, but only while the stream is open: two that close must both read. */
    const int slow = c->channel.out.len > QUEUE_LIMIT && xmpp_close_handshake_may_write(c->handshake);
    if (xmpp_close_handshake_wants_input(c->handshake) && !slow)
        event.events |= EPOLLIN;
    if (channel_is_full(&c->channel))
        event.events |= EPOLLOUT;
    if (event.events != c->watched && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->channel.fd, &event) == 0)
        c->watched = event.events;
}

static void on_header(void *owner)
{
    send_stanza(owner, FEATURES, strlen(FEATURES));
}

static void on_message(conn *from, const stanza *message)
{
    conn *const to = *message->to ? session_at(message->to) : from;
    const int slow = to && to != from && to->channel.out.len > QUEUE_LIMIT;
    if (!to || slow || !send_stanza(to, message->xml, message->len))
        printf("[%u] stored: %s\n", from->number, message->id);
    else if (to != from)
        settle(to);
}

static void on_stanza(void *owner, const stanza *stanza)
{
    conn *c = owner;
    char reply[64];
    /* Late ones, behind our closing tag, are handled like any other. They only cannot be answered. */
    const int late = !xmpp_close_handshake_may_write(c->handshake);
    printf("[%u] %s%s %s\n", c->number, late ? "late " : "", stanza->name, stanza->id);
    if (stanza->stream_error) {
        if (c->handshake)
            told_of(c, stream_error, stanza->child);
    } else if (stanza->stream_management) {
        if (!late)
            send_stanza(c, reply, sm_reply(&c->sm, stanza, reply, sizeof reply));
    } else {
        newcomer_end(&c->newcomer);
        sm_count(&c->sm, stanza);
        c->late += (unsigned)late;
    }
    if (is_iq_request(stanza)) {
        router_ask(c->number, stanza->id, now);
        c->owed++;
    } else if (is_message(stanza)) {
        on_message(c, stanza);
    }
}

static void take(conn *c, const char *bytes, size_t len)
{
    told_of(c, received, len);
    const stanza_parsed parsed = stanza_parser_feed(c->parser, bytes, len);
    if (parsed == STREAM_CLOSED) {
        told(c, peer_closed);
    } else if (parsed == STREAM_BROKEN) {
        c->condition = stanza_parser_condition(c->parser);
        told(c, malformed);
    }
}

static void on_readable(conn *c)
{
    char bytes[16384];
    size_t n;
    int receive = 1, result;
    for (; (result = channel_read(&c->channel, receive, bytes, sizeof bytes, &n)) == 0; receive = 0) {
        c->active_at = now;
        take(c, bytes, n);
    }
    if (stanza_parser_inside(c->parser) && (result == CHANNEL_END || result == CHANNEL_NOTIFIED))
        told(c, truncated);
    else if (result == CHANNEL_END || result == CHANNEL_CUT_OFF)
        told(c, eof); /* it knows whether close_notify has come before */
    else if (result == CHANNEL_NOTIFIED)
        told(c, close_notify);
    else if (result == CHANNEL_FAILED)
        told(c, tls_failed);
    else if (result != EAGAIN && result != EINTR)
        told_of(c, failed, result);
    settle(c);
}

static void on_connection(int fd)
{
    static unsigned count;
    conn *c = need(calloc(1, sizeof *c));
    struct epoll_event event = { 0, { .ptr = c } };
    channel_open(&c->channel, fd);
    c->number = ++count;
    c->active_at = now;
    c->parser = need(stanza_parser_new(on_header, on_stanza, c));
    if (xmpp_close_handshake_new(&options, now, &c->handshake) || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
        abort();
    session_begin(c->number, c);
    LIST_INSERT_HEAD(&conns, c, link);
    newcomer_begin(&c->newcomer, c, now);
    settle(c);
}

/* Who does not log in is told why; but begun closes go on as they are. */
static void refuse(conn *c, const char *condition)
{
    c->condition = condition;
    told(c, begin);
    settle(c);
}

static void on_connections(void)
{
    conn *oldest;
    int fd = 0;
    for (int i = 0; i < ACCEPTS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; i++) {
        on_connection(fd);
        if ((oldest = newcomer_too_many())) {
            refuse(oldest, "resource-constraint");
            told(oldest, cancel); /* there is no room for those that close, either */
        }
    }
    if (fd < 0 && out_of_descriptors(errno)) /* on_time listens again */
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, listener, NULL);
}

/* Neither the loop nor the router knows of this stream any more. */
static void leave(conn *c)
{
    LIST_REMOVE(c, link);
    newcomer_end(&c->newcomer);
    session_end(c->number);
}

static void bury(void *owner, size_t index, const xmpp_close_report *report)
{
    conn *c = owner;
    (void)index;
    printf("[%u] ended: %s, %u late stanzas\n", c->number, xmpp_close_outcome_name(report->outcome), c->late);
    xmpp_close_handshake_free(c->handshake);
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
        if (c && --c->owed == 0 && xmpp_close_handshake_must_answer(c->handshake))
            told(c, begin);
        if (c)
            settle(c);
    }
}

static void on_time(void)
{
    wake_at = now + 1000;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &listening);
    for (conn *late; (late = newcomer_too_late(now));)
        refuse(late, "policy-violation");
    for (conn *c = LIST_FIRST(&conns), *next; c; c = next) {
        next = LIST_NEXT(c, link);
        if (!c->owed && now - c->active_at >= idle_ms && (on_readable(c), c->active_at < now)) /* nothing just came */
            told(c, begin); /* an idle stream gets no error; one that is closing already stays as it is */
        told(c, tick);
        settle(c);
        if (c->dead) {
            xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
            xmpp_close_handshake_report(c->handshake, &report);
            leave(c);
            bury(c, 0, &report);
        }
    }
}

/* One turn of the loop. */
static void turn(int may_wait)
{
    struct epoll_event events[64];
    const uint64_t wake = wake_at < router_due() ? wake_at : router_due();
    const int ready = epoll_pwait(epoll_fd, events, 64, may_wait && wake > now ? (int)(wake - now) : 0, &unblocked);
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

static int on_late_data(void *userdata, const uint8_t *data, size_t len)
{
    const stanza_parsed parsed = stanza_parser_feed(((conn *)userdata)->parser, data, len);
    return parsed == STREAM_CLOSED ? XMPP_CLOSE_PEER_CLOSED : parsed == STREAM_BROKEN ? XMPP_CLOSE_NOT_XMPP : 0;
}

static int on_farewell(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    *n = sm_ack(&((conn *)userdata)->sm, (char *)buf, len);
    return 0;
}

/* Meanwhile the loop serves the others: streams whose close had begun before. */
static int on_progress(void *userdata, const xmpp_close_summary *so_far)
{
    (void)userdata;
    print_progress(so_far);
    turn(0);
    return 0;
}

/* Nobody but the batch writes to this stream from here on: what is still queued goes first. */
static void hand_over(xmpp_close_batch *batch, conn *c)
{
    xmpp_close_options own = XMPP_CLOSE_OPTIONS_INIT;
    enqueue(c, "", 0); /* our header, if nothing was said yet */
    own.on_data = on_late_data;
    own.on_farewell = on_farewell;
    own.userdata = c;
    checked(channel_hand_over(&c->channel, batch, &own));
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->channel.fd, NULL);
    leave(c);
    xmpp_close_handshake_free(c->handshake);
    c->handshake = NULL;
}

static void close_all(uint32_t total_ms)
{
    xmpp_close_batch_options all = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_batch *batch;
    all.total_ms = total_ms;
    all.stream_error = "system-shutdown";
    all.on_progress = on_progress;
    all.on_end = bury;
    checked(xmpp_close_batch_new(&batch));
    for (conn *c = LIST_FIRST(&conns), *next; c; c = next) {
        next = LIST_NEXT(c, link);
        if (xmpp_close_handshake_deadline(c->handshake) == UINT64_MAX)
            hand_over(batch, c);
    }
    checked(xmpp_close_batch_run(batch, &all, NULL));
    xmpp_close_batch_free(batch);
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc == 5)
        return fprintf(stderr, "usage: %s PORT IDLE_SECONDS [LIMIT_SECONDS [CERTIFICATE KEY]]\n", argv[0]), 2;
    if (argc > 5 && !tls_use(argv[4], argv[5]))
        return 2;
    idle_ms = strtoul(argv[2], NULL, 10) * 1000;
    options.total_ms = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) * 1000 : 30000;
    options.tls = argc > 5;
    raise_descriptors();
    catch_sigterm(&unblocked);
    listener = listen_on(argv[1]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    while (!terminated)
        turn(1);
    close(listener), listener = -1;
    const uint64_t last = now + options.total_ms, answered = now + ROUTER_DELAY_MS;
    while (router_due() <= answered) /* what was asked before SIGTERM */
        turn(1);
    close_all((uint32_t)(last - now));
    while (!LIST_EMPTY(&conns))
        turn(1);
    deliver_replies(UINT64_MAX);
    tls_unuse();
    return 0;
}
