/* What the TLS examples do around TLS: their arguments, TCP, the stream's header, and the close. This file knows
 * nothing of a TLS library but the transport that the example makes of it. */
#ifndef TLS_CLIENT_H
#define TLS_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xmpp_close.h>

#include "connect.h"

#define USAGE                                                                                                \
    "usage: %s [OPTIONS] HOST PORT, where XMPP is spoken over direct TLS\n"                                 \
    "  --domain NAME       whose certificate it must have (localhost)\n"                                    \
    "  --ca FILE           who must have signed it (whoever the system trusts)\n"                           \
    "  --insecure          any certificate will do\n"                                                       \
    "  --messages COUNT    to send right before the closing tag (0)\n"                                      \
    "  --total MS          limit of the whole close (30000)\n"                                              \
    "  --linger MS         limit of its end (2000)\n"                                                       \
    "  --times COUNT       connections, one after the other (1)\n"
#define HEADER "<stream:stream to='%s' version='1.0' xmlns='jabber:client'" \
               " xmlns:stream='http://etherx.jabber.org/streams'>"
#define MESSAGE "<message id='%04lu'><body>%01000d</body></message>"
/* For each wait before the close; the close itself has total_ms. */
#define PATIENCE_MS 30000

typedef struct arguments {
    const char *host, *port;
    const char *domain, *ca;
    int insecure;
    unsigned long messages, total_ms, linger_ms, times;
} arguments;

static inline int understand(char **argv, arguments *a)
{
    struct { const char *name; const char **text; unsigned long *number; } options[] = {
        { "--ca", &a->ca, NULL },           { "--domain", &a->domain, NULL },
        { "--total", NULL, &a->total_ms },  { "--messages", NULL, &a->messages },
        { "--times", NULL, &a->times },     { "--linger", NULL, &a->linger_ms },
    };
    const size_t count = sizeof options / sizeof *options;
    memset(a, 0, sizeof *a);
    a->domain = "localhost";
    a->times = 1;
    while (*++argv) {
        size_t i = 0;
        char *end = "";
        if (!strcmp(*argv, "--insecure")) {
            a->insecure = 1;
            continue;
        }
        while (i < count && strcmp(*argv, options[i].name))
            i++;
        if (i < count && !*++argv)
            return 0;
        if (i < count && options[i].text)
            *options[i].text = *argv;
        else if (i < count)
            *options[i].number = strtoul(*argv, &end, 10);
        else if (!a->host)
            a->host = *argv;
        else if (!a->port)
            a->port = *argv;
        else
            return 0;
        if (*end || **argv == '-')
            return 0;
    }
    return a->host && a->port;
}

/* False: the arguments were not understood, which stderr says. */
static inline int parse_arguments(char **argv, arguments *a)
{
    setvbuf(stdout, NULL, _IOLBF, 0); /* late stanzas are shown as they come */
    if (understand(argv, a))
        return 1;
    fprintf(stderr, USAGE, argv[0]);
    return 0;
}

/* A non-blocking socket, or -1. */
static inline int connect_tls(const char *host, const char *port)
{
    const int fd = connect_to(host, port), one = 1;
    if (fd >= 0) /* the library does this for plain sockets, but here it never sees the socket */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

/* Waits until an attempt that came to `result` is to be repeated: 0. Other results come back, and ETIMEDOUT. */
static inline int wait_for(int fd, int result)
{
    struct pollfd waiting = { 0 };
    int n;
    waiting.fd = fd;
    waiting.events = result == XMPP_CLOSE_WANT_WRITE ? POLLOUT : POLLIN;
    if (result == EINTR)
        return 0;
    if (result != XMPP_CLOSE_WANT_READ && result != XMPP_CLOSE_WANT_WRITE)
        return result;
    do
        n = poll(&waiting, 1, PATIENCE_MS);
    while (n < 0 && errno == EINTR);
    return n > 0 ? 0 : n == 0 ? ETIMEDOUT : errno;
}

/* Says why there is no TLS: by what wait_for() returned, or after XMPP_CLOSE_TLS_ERROR in the words of the TLS
 * library. */
static inline void refused(const arguments *a, int error, const char *tls_error)
{
    if (error == XMPP_CLOSE_TLS_EOF)
        error = ECONNRESET;
    fprintf(stderr, "%s port %s: %s\n", a->host, a->port,
            error > 0 ? strerror(error) : tls_error ? tls_error : "TLS failed");
}

/* Exchanges headers. What came behind the peer's is left at the start of `buffer`; returns its length, or -1. */
static inline long open_stream(const xmpp_close_transport *t, const char *domain, uint8_t *buffer, size_t size)
{
    const int len = snprintf((char *)buffer, size, HEADER, domain);
    xmpp_close_framer *framer;
    size_t sent = 0, n = 0, taken = 0;
    int frame = XMPP_CLOSE_FRAME_MORE, result = 0;
    if (len < 0 || (size_t)len >= size || xmpp_close_framer_new(0, &framer))
        return -1;
    while (!result && sent < (size_t)len) {
        n = 0;
        result = wait_for(t->fd, t->write(t->userdata, buffer + sent, (size_t)len - sent, &n));
        sent += n;
    }
    while (!result && frame == XMPP_CLOSE_FRAME_MORE) {
        n = 0;
        const int attempt = t->read(t->userdata, buffer, size, &n);
        if (n > 0)
            frame = xmpp_close_framer_next(framer, buffer, n, &taken, NULL, NULL);
        result = attempt ? wait_for(t->fd, attempt) : n > 0 ? 0 : EPIPE;
    }
    xmpp_close_framer_free(framer);
    if (frame != XMPP_CLOSE_FRAME_HEADER)
        return -1;
    memmove(buffer, buffer + taken, n - taken);
    return (long)(n - taken);
}

static inline int on_stanza(void *userdata, const uint8_t *xml, size_t len)
{
    (void)userdata;
    printf("late: %.*s\n", (int)len, (const char *)xml);
    return 0;
}

/* The messages that are still owed, in one piece; NULL: none. */
static inline char *farewell(unsigned long messages, size_t *len)
{
    const size_t size = sizeof MESSAGE + 1100;
    char *all = messages ? malloc(messages * size) : NULL;
    unsigned long i;
    *len = 0;
    for (i = 0; all && i < messages; i++)
        *len += (size_t)sprintf(all + *len, MESSAGE, i, 0);
    return all;
}

/* A whole stream over a transport that is ready for it. Returns what the program is to exit with. */
static inline int run_stream(const xmpp_close_transport *transport, const arguments *a)
{
    uint8_t buffer[4096];
    const long left = open_stream(transport, a->domain, buffer, sizeof buffer);
    if (left < 0)
        return fprintf(stderr, "%s port %s: no XMPP stream\n", a->host, a->port), 2;

    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    char *const last = farewell(a->messages, &options.farewell_len);
    options.farewell = last;
    options.total_ms = (uint32_t)a->total_ms;
    options.linger_ms = (uint32_t)a->linger_ms;
    options.residual = buffer;
    options.residual_len = (size_t)left;
    options.on_stanza = on_stanza;
    const int result = xmpp_close_with(transport, &options, &report);
    free(last);
    if (result != XMPP_CLOSE_OK)
        return fprintf(stderr, "%s\n", xmpp_close_strerror(result)), 2;

    printf("%s: %u late stanzas; close_notify %s, %s; %llu bytes unsent, %llu behind the tag; errno %d; %u ms\n",
           xmpp_close_outcome_name(report.outcome), report.stanzas,
           report.tls & XMPP_CLOSE_TLS_NOTIFY_SENT ? "sent" : "not sent",
           report.tls & XMPP_CLOSE_TLS_NOTIFY_RECEIVED ? "received" : "not received",
           (unsigned long long)report.bytes_unsent, (unsigned long long)report.bytes_after_tag, (int)report.os_error,
           report.elapsed_ms);
    return report.outcome == XMPP_CLOSE_CLEAN ? 0 : 1;
}

#endif
