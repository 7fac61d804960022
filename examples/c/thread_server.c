/* An XMPP server in miniature: one thread per connection, blocking calls, and a parser of its own (expat), which goes
 * on handling stanzas while xmpp_close_fd() closes. The server answers messages and iqs, closes streams that have gone
 * idle, answers peers that close, and closes all streams on SIGTERM.
 *
 *     thread_server PORT IDLE_SECONDS [LIMIT_SECONDS] */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/select.h>
#include <xmpp_close.h>

#include "newcomers.h"
#include "server.h"

typedef struct session {
    struct session *next;
    pthread_t thread;
    unsigned number;
    int fd;
    stanza_parser *parser;
    char *unsent; /* what the peer was too slow to take, or could not be sent any more */
    size_t unsent_len;
    unsigned late; /* stanzas behind our closing tag; the library does not see them */
    char opened, refused, closing, logged_in;
    newcomer newcomer; /* under `lock`, and so are these: */
    char expelled;     /* somebody else needs the room */
    char over;         /* the thread can be joined without waiting */
} session;

static session *sessions; /* the main thread's */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int going_down[2]; /* a pipe: readable once SIGTERM came */
static int idle_ms;
static uint32_t total_ms;

/* The session is no newcomer any more: it has logged in, or it ends. */
static void settled(session *s)
{
    pthread_mutex_lock(&lock);
    newcomer_end(&s->newcomer);
    pthread_mutex_unlock(&lock);
}

/* How long the peer has for the next thing that it does; 0: it should have logged in by now. */
static int patience(const session *s)
{
    const uint64_t age = clock_ms() - s->newcomer.since;
    if (s->logged_in)
        return idle_ms;
    return age >= LOGIN_MS ? 0 : LOGIN_MS - age < (uint64_t)idle_ms ? (int)(LOGIN_MS - age) : idle_ms;
}

/* Waits for the peer. False: nothing came in time, or the server goes down. */
static int ready(const session *s, short events)
{
    struct pollfd fds[2] = { { s->fd, events, 0 }, { going_down[0], POLLIN, 0 } };
    int n;
    do
        n = poll(fds, 2, patience(s));
    while (n < 0 && errno == EINTR);
    return n > 0 && !fds[1].revents;
}

/* The one exit for output. What cannot be sent now is kept for the farewell, since a closing tag must not cut a stanza in
 * two. Behind our closing tag nothing may follow: a header that comes so late, for example, gets no features. */
static void send_bytes(session *s, const char *bytes, size_t len)
{
    if (s->closing)
        return;
    while (len && !s->unsent) {
        ssize_t n = send(s->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (errno != EINTR && (errno != EAGAIN || !ready(s, POLLOUT))) {
            break;
        }
    }
    if (len) {
        s->unsent = need(realloc(s->unsent, s->unsent_len + len));
        memcpy(s->unsent + s->unsent_len, bytes, len);
        s->unsent_len += len;
    }
}

static void send_header(session *s)
{
    char header[256];
    if (!s->opened)
        send_bytes(s, header, (size_t)snprintf(header, sizeof header, HEADER, s->number));
    s->opened = 1;
}

static void on_header(void *owner)
{
    send_header(owner);
    send_bytes(owner, FEATURES, strlen(FEATURES));
}

static void on_stanza(void *owner, const stanza *stanza)
{
    session *s = owner;
    printf("[%u] %s%s %s\n", s->number, s->closing ? "late " : "", stanza->name, stanza->id);
    s->late += (unsigned)s->closing;
    if (!s->logged_in && !stanza->stream_error)
        settled(s);
    s->logged_in |= !stanza->stream_error;
    if (stanza->stream_error) {
        s->refused = 1; /* we close in return (RFC 6120, section 4.9.1.1) */
    } else if (is_message(stanza) && !s->closing) {
        send_bytes(s, stanza->xml, stanza->len);
    } else if (is_message(stanza)) {
        printf("[%u] stored: %s\n", s->number, stanza->id);
    } else if (is_iq_request(stanza)) {
        const size_t size = sizeof IQ_RESULT + strlen(stanza->id);
        char *result = need(malloc(size));
        snprintf(result, size, IQ_RESULT, stanza->id);
        if (s->closing)
            printf("[%u] undeliverable: %s\n", s->number, result);
        else
            send_bytes(s, result, strlen(result));
        free(result);
    }
}

/* What the peer sends: while the stream is open, and while the library closes it. Both go through the same parser, and to
 * the same handlers. */
static int on_data(void *userdata, const uint8_t *data, size_t len)
{
    session *s = userdata;
    switch (stanza_parser_feed(s->parser, data, len)) {
    case STREAM_GOES_ON:
        return stanza_parser_inside(s->parser) ? XMPP_CLOSE_MID_ELEMENT : 0;
    case STREAM_CLOSED:
        return XMPP_CLOSE_PEER_CLOSED;
    default:
        return XMPP_CLOSE_NOT_XMPP; /* nothing that the peer sends can be understood any more */
    }
}

/* Serves the stream until it is to be closed; `options` then say how to close it. */
static void serve(session *s, xmpp_close_options *options)
{
    uint8_t bytes[8192];
    int parsed = 0;
    while ((parsed == 0 || parsed == XMPP_CLOSE_MID_ELEMENT) && !s->refused && !s->unsent && patience(s) && ready(s, POLLIN)) {
        ssize_t n = recv(s->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n <= 0)
            break; /* the peer has ended TCP: xmpp_close_fd finds out how; or the main thread has */
        parsed = on_data(s, bytes, (size_t)n);
    }
    pthread_mutex_lock(&lock);
    const int expelled = s->expelled;
    pthread_mutex_unlock(&lock);
    options->parsed = (uint32_t)parsed;
    if (parsed == XMPP_CLOSE_NOT_XMPP)
        options->stream_error = stanza_parser_condition(s->parser);
    else if (parsed == XMPP_CLOSE_PEER_CLOSED)
        return; /* an answer has no stream error */
    else if (expelled)
        options->stream_error = "resource-constraint";
    else if (!s->logged_in && !patience(s))
        options->stream_error = "policy-violation";
    else if (!s->unsent && poll(&(struct pollfd){ going_down[0], POLLIN, 0 }, 1, 0) > 0)
        options->stream_error = "system-shutdown";
    if (expelled)
        options->total_ms = 2000; /* long enough for our error to arrive */
}

static void *run(void *argument)
{
    session *s = argument;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    options.total_ms = total_ms;
    options.on_data = on_data;
    options.userdata = s;

    serve(s, &options);
    send_header(s); /* a closing tag needs a start tag */
    s->closing = 1; /* from here on nobody but the library writes */
    options.farewell = s->unsent;
    options.farewell_len = s->unsent_len;
    const int result = xmpp_close_fd(s->fd, &options, &report);
    if (result != XMPP_CLOSE_OK)
        printf("[%u] %s\n", s->number, xmpp_close_strerror(result));
    printf("[%u] ended: %s, %u late stanzas\n", s->number, xmpp_close_outcome_name(report.outcome), s->late);

    settled(s); /* before the descriptor belongs to another connection */
    stanza_parser_free(s->parser);
    free(s->unsent);
    close(s->fd);
    pthread_mutex_lock(&lock);
    s->over = 1;
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* The oldest newcomer makes room: its thread finds no more to read, and closes. */
static void make_room(void)
{
    pthread_mutex_lock(&lock);
    session *oldest = newcomer_too_many();
    if (oldest) {
        oldest->expelled = 1;
        shutdown(oldest->fd, SHUT_RD);
    }
    pthread_mutex_unlock(&lock);
}

/* False: the system has no more threads. */
static int begin_session(int fd)
{
    static unsigned count;
    session *s = need(calloc(1, sizeof *s));
    s->fd = fd;
    s->number = ++count;
    s->parser = need(stanza_parser_new(on_header, on_stanza, s));
    pthread_mutex_lock(&lock);
    newcomer_begin(&s->newcomer, s, clock_ms());
    pthread_mutex_unlock(&lock);
    if (pthread_create(&s->thread, NULL, run, s)) {
        settled(s);
        stanza_parser_free(s->parser);
        free(s);
        close(fd);
        return 0;
    }
    s->next = sessions;
    sessions = s;
    make_room();
    return 1;
}

/* Accepts the connections that wait, up to a number. False: there are no more descriptors or threads. */
static int on_connections(int listener)
{
    for (int i = 0, fd; i < ACCEPTS; i++) {
        if ((fd = accept(listener, NULL, NULL)) < 0)
            return !out_of_descriptors(errno);
        if (!begin_session(fd))
            return 0;
    }
    return 1;
}

static void join(int all)
{
    for (session **link = &sessions, *s; (s = *link);) {
        pthread_mutex_lock(&lock);
        const int over = s->over;
        pthread_mutex_unlock(&lock);
        if (over || all) {
            pthread_join(s->thread, NULL);
            *link = s->next;
            free(s);
        } else {
            link = &s->next;
        }
    }
}

int main(int argc, char **argv)
{
    const struct timespec second = { 1, 0 };
    sigset_t unblocked;
    int accepting = 1;
    if (argc < 3)
        return fprintf(stderr, "usage: %s PORT IDLE_SECONDS [LIMIT_SECONDS]\n", argv[0]), 2;
    idle_ms = atoi(argv[2]) * 1000;
    total_ms = argc > 3 ? (uint32_t)atoi(argv[3]) * 1000 : 0;
    catch_sigterm(&unblocked); /* no thread but this one ever sees it, and only in pselect */
    if (pipe(going_down))
        return perror("pipe"), 1;
    const int listener = listen_on(argv[1]);

    while (!terminated) {
        fd_set readable;
        FD_ZERO(&readable);
        if (accepting)
            FD_SET(listener, &readable);
        const int n = pselect(listener + 1, &readable, NULL, NULL, &second, &unblocked);
        accepting = n <= 0 || on_connections(listener); /* else: again in a second */
        join(0);
    }
    close(listener);
    if (write(going_down[1], "", 1) != 1) /* all threads see it, and none reads it */
        abort();
    join(1); /* no longer than the closes take: LIMIT_SECONDS, since they all run at once */
    return 0;
}
