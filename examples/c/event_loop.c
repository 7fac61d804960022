/* An XMPP server in miniature: epoll, non-blocking sockets, expat, and the closing handshake as a state machine without
 * I/O. It answers messages and iqs, closes streams that have gone idle, answers those that close, and closes all of
 * them on SIGTERM. To carry over: `send_stanza`, which every writer goes through; `apply`, which does what the
 * handshake wants done; and the calls of `told`, which tell it what happened. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/epoll.h>
#include <xmpp_close.h>

#include "server.h"

#define ROUTER_DELAY_MS 100
#define QUEUE_LIMIT 65536

/* The router answers a little later, like a session manager in another process. */
typedef struct reply {
    struct reply *next;
    uint64_t due;
    char xml[];
} reply;

typedef struct conn {
    struct conn *next;
    unsigned number;
    int fd;
    uint32_t watched; /* what epoll knows */
    xmpp_close_handshake *handshake;
    stanza_parser *parser;
    char *queue; /* not yet taken by the kernel */
    size_t queued, capacity;
    reply *replies; /* what the router still owes this stream */
    uint64_t active_at;
    char opened, answering, dead;
} conn;

static conn *conns;
static int epoll_fd, listener;
static struct epoll_event listening = { EPOLLIN, { .ptr = NULL } };
static uint64_t now, wake_at, idle_ms; /* before wake_at, on_time has nothing to do */
static xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;

/* told(c, eof) tells the handshake of an EOF, and does what it wants done. */
#define told(c, event) apply(c, xmpp_close_handshake_##event((c)->handshake, now))
#define told_of(c, event, detail) apply(c, xmpp_close_handshake_##event((c)->handshake, detail, now))

static void wake_by(uint64_t time)
{
    if (time < wake_at)
        wake_at = time;
}

static void enqueue(conn *c, const char *bytes, size_t len)
{
    char header[256];
    if (!c->opened) { /* a closing tag needs a start tag: whatever we say first, our header precedes it */
        c->opened = 1;
        enqueue(c, header, (size_t)snprintf(header, sizeof header, HEADER, c->number));
    }
    if (c->queued + len > c->capacity)
        c->queue = need(realloc(c->queue, c->capacity = 2 * (c->queued + len)));
    memcpy(c->queue + c->queued, bytes, len);
    c->queued += len;
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

static void send_stream_error(conn *c, const char *condition)
{
    char xml[256];
    send_stanza(c, xml, (size_t)snprintf(xml, sizeof xml, STREAM_ERROR, condition));
}

static void apply(conn *c, int action)
{
    switch (action) {
    case XMPP_CLOSE_DO_NOTHING:
        break;
    case XMPP_CLOSE_DO_SEND_TAG: /* the last of the queue; `flush` tells when it is out */
        enqueue(c, "</stream:stream>", 16);
        break;
    case XMPP_CLOSE_DO_ANSWER: /* the peer closed; before our own tag it gets what the router still owes it */
        c->answering = 1;
        if (!c->replies)
            told(c, begin);
        break;
    case XMPP_CLOSE_DO_END_OUTPUT: /* over TLS: close_notify first */
        shutdown(c->fd, SHUT_WR);
        told(c, flushed);
        break;
    case XMPP_CLOSE_DO_TEARDOWN: /* in on_time, since we may be inside the parser now */
        c->dead = 1;
        wake_by(now);
        break;
    default: /* we told it nonsense */
        fprintf(stderr, "%s\n", xmpp_close_strerror(action));
        abort();
    }
    wake_by(xmpp_close_handshake_deadline(c->handshake));
}

static void flush(conn *c)
{
    while (c->queued && !c->dead) {
        const ssize_t n = send(c->fd, c->queue, c->queued, MSG_NOSIGNAL);
        if (n >= 0) {
            c->active_at = now;
            memmove(c->queue, c->queue + n, c->queued -= (size_t)n);
            told_of(c, written, (size_t)n);
            if (!c->queued)
                told(c, flushed);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR) {
            c->queued = 0;
            told_of(c, output_failed, errno);
        }
    }
}

/* Sends what can be sent, and has epoll wait for what is wanted next. */
static void settle(conn *c)
{
    struct epoll_event event = { 0, { .ptr = c } };
    flush(c);
    /* Who does not read is not read from, but only while the stream is open: two that close must both read. */
    const int full = c->queued > QUEUE_LIMIT && xmpp_close_handshake_may_write(c->handshake);
    if (xmpp_close_handshake_wants_input(c->handshake) && !full)
        event.events |= EPOLLIN;
    if (c->queued)
        event.events |= EPOLLOUT;
    if (event.events != c->watched && epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event) == 0)
        c->watched = event.events;
}

static void on_header(void *owner)
{
    send_stanza(owner, FEATURES, strlen(FEATURES));
}

static void route(conn *c, const stanza *iq)
{
    const size_t size = sizeof IQ_RESULT + strlen(iq->id);
    reply *r = need(calloc(1, sizeof *r + size)), **end = &c->replies;
    snprintf(r->xml, size, IQ_RESULT, iq->id);
    wake_by(r->due = now + ROUTER_DELAY_MS);
    while (*end)
        end = &(*end)->next;
    *end = r;
}

static void on_stanza(void *owner, const stanza *stanza)
{
    conn *c = owner;
    /* Late ones, behind our closing tag, are handled like any other. They only cannot be answered. */
    const int late = !xmpp_close_handshake_may_write(c->handshake);
    printf("[%u] %s%s %s\n", c->number, late ? "late " : "", stanza->name, stanza->id);
    if (stanza->stream_error)
        told_of(c, stream_error, stanza->child);
    else
        told(c, stanza);
    if (is_iq_request(stanza))
        route(c, stanza);
    else if (is_message(stanza) && !send_stanza(c, stanza->xml, stanza->len))
        printf("[%u] stored: %s\n", c->number, stanza->id);
}

static void on_readable(conn *c)
{
    char bytes[16384];
    const ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n > 0) {
        c->active_at = now;
        told_of(c, received, (size_t)n);
        const stanza_parsed parsed = stanza_parser_feed(c->parser, bytes, (size_t)n);
        if (parsed == STREAM_CLOSED) {
            told(c, peer_closed);
        } else if (parsed == STREAM_BROKEN) {
            send_stream_error(c, stanza_parser_condition(c->parser));
            told(c, malformed);
        }
    } else if (n == 0 && stanza_parser_inside(c->parser)) {
        told(c, truncated);
    } else if (n == 0) {
        told(c, eof);
    } else if (errno != EAGAIN && errno != EINTR) {
        told_of(c, failed, errno);
    }
    settle(c);
}

static void on_connection(void)
{
    static unsigned count;
    const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) { /* going down; or out of descriptors, then on_time listens again */
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, listener, NULL);
        return;
    }
    conn *c = need(calloc(1, sizeof *c));
    struct epoll_event event = { 0, { .ptr = c } };
    c->fd = fd;
    c->number = ++count;
    c->active_at = now;
    c->parser = need(stanza_parser_new(on_header, on_stanza, c));
    if (xmpp_close_handshake_new(&options, now, &c->handshake) || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
        abort();
    c->next = conns;
    conns = c;
    settle(c);
}

static void bury(conn *c)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_handshake_report(c->handshake, &report);
    printf("[%u] ended: %s, %u late stanzas\n", c->number, xmpp_close_outcome_name(report.outcome), report.stanzas);
    xmpp_close_handshake_free(c->handshake);
    stanza_parser_free(c->parser);
    for (reply *r; (r = c->replies); free(r)) {
        printf("[%u] undeliverable: %s\n", c->number, r->xml);
        c->replies = r->next;
    }
    close(c->fd);
    free(c->queue);
    free(c);
}

static void deliver_replies(conn *c)
{
    for (reply *r; (r = c->replies) && r->due <= now; free(r)) {
        if (!send_stanza(c, r->xml, strlen(r->xml)))
            printf("[%u] undeliverable: %s\n", c->number, r->xml);
        c->replies = r->next;
        if (c->answering && !c->replies)
            told(c, begin);
    }
    if (c->replies)
        wake_by(c->replies->due);
}

static void on_time(void)
{
    wake_at = now + 1000;
    terminated ? shutdown(listener, SHUT_RDWR) : epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &listening);
    for (conn **link = &conns, *c; (c = *link);) {
        deliver_replies(c);
        const int idle = !c->replies && now - c->active_at >= idle_ms;
        if (!c->answering && (terminated || idle)) {
            if (terminated)
                send_stream_error(c, "system-shutdown");
            told(c, begin); /* an idle stream gets no error; one that is closing already stays as it is */
        }
        told(c, tick);
        settle(c);
        if (c->dead) {
            *link = c->next;
            bury(c);
        } else {
            link = &c->next;
        }
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[64];
    sigset_t unblocked;
    if (argc < 3)
        return fprintf(stderr, "usage: %s PORT IDLE_SECONDS [LIMIT_SECONDS]\n", argv[0]), 2;
    idle_ms = strtoul(argv[2], NULL, 10) * 1000;
    options.total_ms = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) * 1000 : 0;
    catch_sigterm(&unblocked);
    listener = listen_on(argv[1]);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    while (!terminated || conns) {
        const int timeout = wake_at > now ? (int)(wake_at - now) : 0;
        const int ready = epoll_pwait(epoll_fd, events, 64, timeout, &unblocked);
        now = clock_ms();
        for (int i = 0; i < ready; i++) {
            conn *c = events[i].data.ptr;
            if (!c)
                on_connection();
            else if (events[i].events == EPOLLOUT)
                settle(c);
            else
                on_readable(c); /* an end or an error is read, too */
        }
        if (now >= wake_at || terminated)
            on_time();
    }
    return 0;
}
