/* A batch of started streams, whose members tell what they hear. */
#ifndef BATCH_STREAMS_H
#define BATCH_STREAMS_H

#include "check.h"
#include "member.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define NEVER_MS 60000

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/><b/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};
static const struct step talks[] = {
    { SEND, "<a/>", 0 }, { READ_TAG, NULL, 0 }, { SEND, "<b/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};
static const struct step mute[] = { { READ_END, NULL, 0 }, { END, NULL, 0 } };

static inline xmpp_close_batch *batch_new(void)
{
    xmpp_close_batch *batch = NULL;
    if (!CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK))
        check_fatal("xmpp_close_batch_new");
    return batch;
}

/* A batch whose on_end tells the members. With a spread, it is most unlikely that a stream has its turn during a test. */
static inline xmpp_close_batch *batch_that_tells(int spreads)
{
    xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_batch *batch = batch_new();
    options.on_end = member_end;
    options.spread_ms = spreads ? 1000000000 : 0;
    CHECK_INT(xmpp_close_batch_set(batch, &options), XMPP_CLOSE_OK);
    return batch;
}

static inline xmpp_close_stream *start(struct member *member, const struct step *script)
{
    xmpp_close_stream *s = NULL;
    member_start(member, TCP, script, NULL, NULL);
    member->options.on_stanza = member_stanza;
    if (!CHECK_INT(xmpp_close_start(member->peer.fd, &member->options, &s), XMPP_CLOSE_OK))
        check_fatal("xmpp_close_start");
    return s;
}

static inline void put(xmpp_close_batch *batch, xmpp_close_stream *s, struct member *member)
{
    CHECK_INT(xmpp_close_batch_add_stream(batch, s, &member->index), XMPP_CLOSE_OK);
}

static inline void turn_to_the_end(xmpp_close_batch *batch)
{
    int left;
    do
        left = xmpp_close_batch_turn(batch, -1);
    while (left > 0);
    CHECK_INT(left, 0);
}

static inline void turn_until(xmpp_close_batch *batch, const int *value, int least)
{
    unsigned long long patience = now_ms() + NEVER_MS;
    while (*value < least && CHECK(now_ms() < patience))
        CHECK(xmpp_close_batch_turn(batch, 10) >= 0);
}

/* Steps a stream by poll(2) until it is over. */
static inline void step_to_the_end(xmpp_close_stream *s, int fd)
{
    unsigned long long patience = now_ms() + NEVER_MS;
    uint32_t wants = xmpp_close_step(s);
    while (!(wants & XMPP_CLOSE_OVER) && CHECK(now_ms() < patience)) {
        struct pollfd entry;
        entry.fd = wants & (XMPP_CLOSE_READ | XMPP_CLOSE_WRITE) ? fd : -1;
        entry.events = (short)((wants & XMPP_CLOSE_READ ? POLLIN : 0) | (wants & XMPP_CLOSE_WRITE ? POLLOUT : 0));
        poll(&entry, 1, xmpp_close_timeout(s, 0));
        wants = xmpp_close_step(s);
    }
}

static inline xmpp_close_report report_of(const xmpp_close_stream *s)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    CHECK_INT(xmpp_close_get_report(s, &report), XMPP_CLOSE_OK);
    return report;
}

static inline void say(struct member *member, const char *words)
{
    CHECK(send(member->peer.their_fd, words, strlen(words), 0) == (ssize_t)strlen(words));
}

static inline void stop(struct member *member, const char *sent)
{
    peer_stop(&member->peer);
    CHECK_TEXT(member->peer.got, sent);
    peer_free(&member->peer);
}

#endif
