/* A started stream, a peer that carries out a script, and a loop that polls for both. */
#ifndef STEPPED_H
#define STEPPED_H

#include "channel.h"
#include "check.h"
#include "member.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FINISHED(condition) \
    "<stream:error><" condition " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" TAG
/* What a started stream may be asked, whoever holds it, and its answers. */
#define OPEN (XMPP_CLOSE_READ | XMPP_CLOSE_PARSE | XMPP_CLOSE_MAY_SEND)

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/><b/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

/* A stream on a thread's own loop. */
struct stepped {
    struct peer peer;
    xmpp_close_options options; /* its userdata is this */
    xmpp_close_transport transport;
    struct channel channel;
    xmpp_close_stream *s;
    unsigned steps;
    char got[4096];             /* by on_stanza or on_data */
    size_t len;
    int calls;
    unsigned said;
    int is_freed;
    void (*inside)(struct stepped *); /* called by the callback that is tried */
};

static inline int on_stanza(void *userdata, const uint8_t *xml, size_t len)
{
    struct stepped *t = userdata;
    if (CHECK(t->len + len < sizeof t->got))
        memcpy(t->got + t->len, xml, len);
    t->len += len;
    t->got[t->len] = '\0';
    t->calls++;
    if (t->inside != NULL)
        t->inside(t);
    return 0;
}

static inline void prepare(struct stepped *t, enum kind kind, const struct step *script)
{
    const xmpp_close_options init = XMPP_CLOSE_OPTIONS_INIT;
    memset(t, 0, sizeof *t);
    peer_start(&t->peer, kind, script, NULL, NULL);
    t->options = init;
    t->options.total_ms = 60000;
    t->options.linger_ms = 60000;
    t->options.userdata = t;
    t->options.on_stanza = on_stanza;
}

static inline void begin(struct stepped *t)
{
    CHECK_INT(xmpp_close_start(t->peer.fd, &t->options, &t->s), XMPP_CLOSE_OK);
    if (t->s == NULL)
        check_fatal("xmpp_close_start");
}

static inline void start(struct stepped *t, enum kind kind, const struct step *script)
{
    prepare(t, kind, script);
    begin(t);
}

/* Polls for what the stream wants, and steps; returns what the stream wants then. With neither direction, the descriptor is
 * not polled. */
static inline uint32_t turn(struct stepped *t, uint32_t wants)
{
    struct pollfd polled;
    polled.fd = t->peer.fd;
    polled.events = (short)((wants & XMPP_CLOSE_READ ? POLLIN : 0) | (wants & XMPP_CLOSE_WRITE ? POLLOUT : 0));
    polled.revents = 0;
    if (poll(&polled, polled.events != 0, xmpp_close_timeout(t->s, 0)) < 0 && errno != EINTR)
        check_fatal("poll");
    if (t->steps++ > 100000)
        check_fatal("a loop that never ends");
    wants = xmpp_close_step(t->s);
    CHECK_INT(xmpp_close_wants(t->s), wants);
    return wants;
}

static inline void until(struct stepped *t, uint32_t wanted)
{
    uint32_t wants = xmpp_close_wants(t->s);
    while (!(wants & wanted) && !(wants & XMPP_CLOSE_OVER))
        wants = turn(t, wants);
}

/* Waits until so many bytes lie unread. */
static inline void await_bytes(int fd, size_t count)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof bytes, MSG_PEEK) < (ssize_t)count)
        ;
}

static inline void finish(struct stepped *t)
{
    CHECK_INT(xmpp_close_finish(t->s, NULL, 0), XMPP_CLOSE_OK);
}

static inline xmpp_close_report report_of(const struct stepped *t)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    CHECK_INT(xmpp_close_get_report(t->s, &report), XMPP_CLOSE_OK);
    return report;
}

/* Steps to the end, which must be this one. What is told after it changes nothing. */
static inline xmpp_close_report ends(struct stepped *t, uint32_t outcome)
{
    xmpp_close_report report;
    until(t, XMPP_CLOSE_OVER);
    CHECK_INT(xmpp_close_timeout(t->s, 0), -1);
    report = report_of(t);
    CHECK_TEXT(xmpp_close_outcome_name(report.outcome), xmpp_close_outcome_name(outcome));
    CHECK_INT(xmpp_close_send(t->s, "<too-late/>", 11), XMPP_CLOSE_REFUSED);
    finish(t);
    CHECK_INT(xmpp_close_detach(t->s, 0), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_tell(t->s, XMPP_CLOSE_FACT_CANCEL, 0, 0), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_peer_error(t->s, NULL, 0), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_step(t->s), XMPP_CLOSE_OVER);
    CHECK_INT(report_of(t).outcome, outcome);
    CHECK_INT(report_of(t).refused, report.refused + 1);
    xmpp_close_free(t->s);
    t->s = NULL;
    return report;
}

static inline void stop(struct stepped *t)
{
    peer_stop(&t->peer);
    peer_free(&t->peer);
}

/* For `inside`. */
static inline void reply(struct stepped *t)
{
    CHECK_INT(xmpp_close_send(t->s, "<re/>", 5), XMPP_CLOSE_OK);
}

/* A transport over its channel, with it as userdata. */
static inline int read_plain(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    CHECK(!((struct stepped *)userdata)->is_freed); /* nothing is called any more */
    return channel_read(&((struct stepped *)userdata)->channel, buf, len, n);
}

static inline int write_plain(void *userdata, const uint8_t *buf, size_t len, size_t *n)
{
    CHECK(!((struct stepped *)userdata)->is_freed); /* nothing is called any more */
    return channel_write(&((struct stepped *)userdata)->channel, buf, len, n);
}

static inline int end_plain(void *userdata)
{
    CHECK(!((struct stepped *)userdata)->is_freed); /* nothing is called any more */
    return channel_shut(&((struct stepped *)userdata)->channel);
}

#endif
