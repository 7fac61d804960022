/* A started stream: the program polls, the library does the rest; and callbacks that use the stream they are called for. */
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
/* What a started stream may still be asked, and answers, whoever has it. */
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
    void (*inside)(struct stepped *); /* called by the callback that is tried */
};

static int on_stanza(void *userdata, const uint8_t *xml, size_t len)
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

static void prepare(struct stepped *t, enum kind kind, const struct step *script)
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

static void begin(struct stepped *t)
{
    CHECK_INT(xmpp_close_start(t->peer.fd, &t->options, &t->s), XMPP_CLOSE_OK);
    if (t->s == NULL)
        check_fatal("xmpp_close_start");
}

static void start(struct stepped *t, enum kind kind, const struct step *script)
{
    prepare(t, kind, script);
    begin(t);
}

/* Polls as the stream wants it, and steps; what it wants then. With neither direction, the descriptor is not polled. */
static uint32_t turn(struct stepped *t, uint32_t wants)
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

static void until(struct stepped *t, uint32_t wanted)
{
    uint32_t wants = xmpp_close_wants(t->s);
    while (!(wants & wanted) && !(wants & XMPP_CLOSE_OVER))
        wants = turn(t, wants);
}

/* Waits until so much lies unread. */
static void await_bytes(int fd, size_t count)
{
    char bytes[4096];
    while (recv(fd, bytes, sizeof bytes, MSG_PEEK) < (ssize_t)count)
        ;
}

static void finish(struct stepped *t)
{
    CHECK_INT(xmpp_close_finish(t->s, NULL, 0), XMPP_CLOSE_OK);
}

static xmpp_close_report report_of(const struct stepped *t)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    CHECK_INT(xmpp_close_get_report(t->s, &report), XMPP_CLOSE_OK);
    return report;
}

/* To its end, which is this one; what is said behind it changes nothing. */
static xmpp_close_report ends(struct stepped *t, uint32_t outcome)
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

static void stop(struct stepped *t)
{
    peer_stop(&t->peer);
    peer_free(&t->peer);
}

static void a_close_of_ours(void)
{
    struct stepped t;
    xmpp_close_report report;
    start(&t, TCP, answer);
    CHECK_INT(xmpp_close_wants(t.s), XMPP_CLOSE_MAY_SEND | XMPP_CLOSE_PARSE);
    CHECK_INT(xmpp_close_timeout(t.s, 0), 0); /* nothing was tried yet */
    CHECK_INT(xmpp_close_step(t.s), OPEN);
    CHECK_INT(xmpp_close_timeout(t.s, 0), -1);
    CHECK_INT(xmpp_close_send(t.s, "<last/>", 7), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_timeout(t.s, 0), 0); /* there is something to do at once */
    finish(&t);
    report = ends(&t, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.initiator, XMPP_CLOSE_INITIATOR_US);
    CHECK_INT(report.tag_sent + report.tag_received, 2);
    CHECK_INT(report.stanzas, 2);
    CHECK_TEXT(t.got, "<a/><b/>");
    peer_stop(&t.peer);
    CHECK_TEXT(t.peer.got, "<last/>" TAG);
    CHECK(t.peer.saw_end);
    peer_free(&t.peer);
}

static void an_open_stream_is_served(void)
{
    static const struct step script[] = {
        { READ_TAG, "<hello/>", 0 }, { SEND, "<re/>", 0 }, { READ_TAG, "<bye/>", 0 }, { SEND, TAG, 0 },
        { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    xmpp_close_report report;
    struct stepped t;
    start(&t, TCP, script);
    CHECK_INT(xmpp_close_send(t.s, "<hello/>", 8), XMPP_CLOSE_OK);
    while (t.calls == 0)
        turn(&t, xmpp_close_wants(t.s));
    CHECK_TEXT(t.got, "<re/>");
    CHECK_INT(report_of(&t).outcome, XMPP_CLOSE_PENDING);
    CHECK_INT(xmpp_close_send(t.s, "<bye/>", 6), XMPP_CLOSE_OK);
    until(&t, XMPP_CLOSE_ANSWER);
    CHECK(xmpp_close_wants(t.s) & XMPP_CLOSE_MAY_SEND);
    CHECK_INT(xmpp_close_send(t.s, "<owed/>", 7), XMPP_CLOSE_OK);
    finish(&t);
    report = ends(&t, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.initiator, XMPP_CLOSE_INITIATOR_PEER);
    CHECK_INT(report.stanzas, 0); /* none was late */
    peer_stop(&t.peer);
    CHECK_TEXT(t.peer.got, "<hello/><bye/><owed/>" TAG);
    peer_free(&t.peer);
}

static void reply(struct stepped *t)
{
    CHECK_INT(xmpp_close_send(t->s, "<re/>", 5), XMPP_CLOSE_OK);
}

static void what_had_arrived_is_answered_before_our_tag(void)
{
    static const struct step script[] = {
        { SEND, "<iq/>", 3 }, { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    struct stepped t;
    prepare(&t, TCP, script);
    t.inside = reply;
    await_bytes(t.peer.fd, 3 * strlen("<iq/>"));
    begin(&t);
    finish(&t);
    CHECK(xmpp_close_wants(t.s) & XMPP_CLOSE_MAY_SEND);
    CHECK_INT(ends(&t, XMPP_CLOSE_CLEAN).refused, 0);
    CHECK_INT(t.calls, 3);
    peer_stop(&t.peer);
    CHECK_TEXT(t.peer.got, "<re/><re/><re/>" TAG);
    peer_free(&t.peer);
}

static void too_late(struct stepped *t)
{
    CHECK_INT(xmpp_close_wants(t->s) & XMPP_CLOSE_MAY_SEND, 0);
    CHECK_INT(xmpp_close_send(t->s, "<re/>", 5), XMPP_CLOSE_REFUSED);
}

static void what_comes_behind_our_tag_gets_no_answer(void)
{
    struct stepped t;
    xmpp_close_report report;
    prepare(&t, TCP, answer);
    t.inside = too_late;
    begin(&t);
    finish(&t);
    report = ends(&t, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.stanzas, 2);
    CHECK_INT(report.refused, 2);
    peer_stop(&t.peer);
    CHECK_TEXT(t.peer.got, TAG);
    peer_free(&t.peer);
}

static void a_stream_error_of_ours(void)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    struct stepped t;
    start(&t, TCP, answer);
    error.condition = "no-such-condition";
    CHECK_INT(xmpp_close_finish(t.s, &error, 0), XMPP_CLOSE_ERR_INVALID);
    error.condition = "system-shutdown";
    CHECK_INT(xmpp_close_finish(t.s, &error, 0), XMPP_CLOSE_OK);
    ends(&t, XMPP_CLOSE_CLEAN);
    peer_stop(&t.peer);
    CHECK_TEXT(t.peer.got, FINISHED("system-shutdown"));
    peer_free(&t.peer);
}

static void a_detach(void)
{
    static const struct step script[] = {
        { SEND, "<a/>", 0 }, { READ_TAG, "<b/>", 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    struct stepped t;
    start(&t, TCP, script);
    CHECK_INT(xmpp_close_send(t.s, "<b/>", 4), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_detach(t.s, 0), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_send(t.s, "<c/>", 4), XMPP_CLOSE_REFUSED);
    CHECK_INT(ends(&t, XMPP_CLOSE_CANCELLED).tag_sent, 0);
    peer_stop(&t.peer);
    CHECK_TEXT(t.peer.got, "<b/>");
    CHECK(t.peer.saw_end);
    peer_free(&t.peer);
}

static void our_header_goes_in_front(void)
{
    struct stepped t;
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    prepare(&t, TCP, answer);
    t.options.header = "<stream:stream from='a.example'>";
    t.options.header_len = strlen(t.options.header);
    begin(&t);
    error.condition = "host-unknown";
    CHECK_INT(xmpp_close_finish(t.s, &error, 0), XMPP_CLOSE_OK);
    ends(&t, XMPP_CLOSE_CLEAN);
    peer_stop(&t.peer);
    CHECK_TEXT(t.peer.got, "<stream:stream from='a.example'>" FINISHED("host-unknown"));
    peer_free(&t.peer);
}

static void a_tag_that_was_sent_before(void)
{
    struct stepped t;
    prepare(&t, TCP, answer);
    if (write(t.peer.fd, TAG, strlen(TAG)) != (ssize_t)strlen(TAG))
        check_fatal("write");
    t.options.tag_sent = 1;
    begin(&t);
    CHECK_INT(xmpp_close_send(t.s, "<a/>", 4), XMPP_CLOSE_REFUSED);
    CHECK_INT(ends(&t, XMPP_CLOSE_CLEAN).stanzas, 2);
    peer_stop(&t.peer);
    CHECK_TEXT(t.peer.got, TAG);
    peer_free(&t.peer);
}

static int words(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    struct stepped *t = userdata;
    CHECK_INT(len, 4096);
    t->calls++;
    if (t->inside != NULL)
        t->inside(t);
    if (t->calls < 3) {
        memcpy(buf, "<w/>", 4);
        *n = 4;
    }
    return 0;
}

static void last_words_are_asked_for_until_there_are_none(void)
{
    struct stepped t;
    prepare(&t, TCP, answer);
    t.options.on_stanza = NULL;
    t.options.on_farewell = words;
    t.options.farewell = "<f/>";
    t.options.farewell_len = 4;
    begin(&t);
    finish(&t);
    ends(&t, XMPP_CLOSE_CLEAN);
    CHECK_INT(t.calls, 3);
    peer_stop(&t.peer);
    CHECK_TEXT(t.peer.got, "<f/><w/><w/>" TAG);
    peer_free(&t.peer);
}

static void what_on_farewell_sends_goes_out(void)
{
    struct stepped t;
    prepare(&t, TCP, answer);
    t.options.on_stanza = NULL;
    t.options.on_farewell = words;
    t.inside = reply;
    begin(&t);
    finish(&t);
    until(&t, XMPP_CLOSE_OVER);
    /* The third said nothing, but has sent something, so there was a fourth; and so on, up to 256 KiB. */
    CHECK(t.calls > 3 && t.calls < 100000);
    CHECK_INT(report_of(&t).refused, 0);
    xmpp_close_free(t.s);
    peer_stop(&t.peer);
    CHECK_INT(peer_count(&t.peer, "<re/>"), t.calls);
    CHECK_INT(peer_count(&t.peer, "<w/>"), 2);
    CHECK_INT(peer_count(&t.peer, TAG), 1);
    CHECK(strcmp(t.peer.got + t.peer.got_len - strlen("<re/>" TAG), "<re/>" TAG) == 0);
    peer_free(&t.peer);
}

static int later(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    struct stepped *t = userdata;
    (void)buf, (void)len, (void)n;
    return t->calls++ == 0 ? XMPP_CLOSE_LATER : 0;
}

static void last_words_may_come_later(void)
{
    struct stepped t;
    uint32_t wants;
    prepare(&t, TCP, answer);
    t.options.on_stanza = NULL;
    t.options.on_farewell = later;
    begin(&t);
    finish(&t);
    wants = xmpp_close_wants(t.s);
    while (t.calls == 0)
        wants = turn(&t, wants);
    while (!(wants & XMPP_CLOSE_READ))
        wants = turn(&t, wants);
    CHECK(wants & XMPP_CLOSE_MAY_SEND);
    CHECK(xmpp_close_timeout(t.s, 0) > 0); /* answer_ms */
    CHECK_INT(xmpp_close_send(t.s, "<later/>", 8), XMPP_CLOSE_OK);
    finish(&t);
    ends(&t, XMPP_CLOSE_CLEAN);
    CHECK_INT(t.calls, 2);
    peer_stop(&t.peer);
    CHECK_TEXT(t.peer.got, "<later/>" TAG);
    peer_free(&t.peer);
}

static void nobody_answers(void)
{
    static const struct step script[] = { { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };
    struct stepped t;
    xmpp_close_report report;
    prepare(&t, TCP, script);
    t.options.answer_ms = 50;
    begin(&t);
    report = ends(&t, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.limit, XMPP_CLOSE_LIMIT_ANSWER);
    CHECK_INT(report.tag_sent, 1);
    stop(&t);
}

static void a_peer_that_stays_silent(void)
{
    static const struct step script[] = { { READ_END, NULL, 0 }, { END, NULL, 0 } };
    struct stepped t;
    xmpp_close_report report;
    prepare(&t, TCP, script);
    t.options.total_ms = 200;
    begin(&t);
    finish(&t);
    report = ends(&t, XMPP_CLOSE_TIMED_OUT);
    CHECK_INT(report.limit, XMPP_CLOSE_LIMIT_TOTAL);
    CHECK(report.elapsed_ms >= 200);
    CHECK(t.steps < 50); /* it waits, and does not spin */
    stop(&t);
}

static void a_cancel(void)
{
    struct stepped t;
    xmpp_close_canceller *canceller = NULL;
    start(&t, TCP, answer);
    CHECK_INT(xmpp_close_tell(t.s, XMPP_CLOSE_FACT_CANCEL, 0, 0), XMPP_CLOSE_OK);
    CHECK_INT(ends(&t, XMPP_CLOSE_CANCELLED).tag_sent, 0);
    stop(&t);

    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    prepare(&t, TCP, answer);
    t.options.canceller = canceller;
    begin(&t);
    CHECK_INT(xmpp_close_step(t.s), OPEN);
    xmpp_close_canceller_cancel(canceller);
    CHECK_INT(xmpp_close_step(t.s), XMPP_CLOSE_OVER);
    ends(&t, XMPP_CLOSE_CANCELLED);
    xmpp_close_canceller_free(canceller);
    stop(&t);
}

static void residual_is_handled_by_the_first_step(void)
{
    struct stepped t;
    prepare(&t, TCP, answer);
    t.options.residual = "<r/>";
    t.options.residual_len = 4;
    begin(&t);
    CHECK_INT(t.calls, 0);
    CHECK_INT(xmpp_close_step(t.s), OPEN);
    CHECK_INT(t.calls, 1);
    finish(&t);
    ends(&t, XMPP_CLOSE_CLEAN);
    CHECK_TEXT(t.got, "<r/><a/><b/>");
    stop(&t);
}

/* READ and WRITE only for what was tried and would block: a loop that is told of changes alone misses nothing. */
static void a_direction_is_wanted_only_when_it_would_block(void)
{
    static char flood[1 << 20];
    static const struct step script[] = {
        { SEND, "<a/>", 100000 }, { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    struct stepped t;
    uint32_t wants;
    memset(flood, ' ', sizeof flood);
    prepare(&t, TCP_SMALL, script);
    t.options.on_stanza = NULL;
    begin(&t);
    CHECK_INT(xmpp_close_send(t.s, flood, sizeof flood), XMPP_CLOSE_OK);
    finish(&t);
    wants = xmpp_close_wants(t.s);
    while (!(wants & XMPP_CLOSE_OVER)) {
        struct pollfd polled;
        char byte;
        polled.fd = t.peer.fd;
        polled.events = POLLIN | POLLOUT;
        /* Nothing that it does not wait for may be what it could go on with. */
        if (xmpp_close_timeout(t.s, 0) != 0) {
            CHECK(wants & (XMPP_CLOSE_READ | XMPP_CLOSE_WRITE));
            if (!(wants & XMPP_CLOSE_READ) && wants & XMPP_CLOSE_PARSE)
                CHECK(recv(t.peer.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0);
            polled.events = (short)((wants & XMPP_CLOSE_READ ? POLLIN : 0) | (wants & XMPP_CLOSE_WRITE ? POLLOUT : 0));
        }
        if (poll(&polled, 1, xmpp_close_timeout(t.s, 0)) < 0)
            check_fatal("poll");
        wants = xmpp_close_step(t.s);
    }
    ends(&t, XMPP_CLOSE_CLEAN);
    peer_stop(&t.peer);
    CHECK_INT(t.peer.got_len, sizeof flood + strlen(TAG));
    peer_free(&t.peer);
}

/* ---- callbacks that use the stream they are called for ---- */

/* Each callback there is, of a stream over a transport. */
enum where { READ, WRITE, FINAL, STANZA, DATA, FAREWELL, PLACES };
static const char *const places[] = { "read", "write", "end", "on_stanza", "on_data", "on_farewell" };

static void tried(struct stepped *t)
{
    void (*inside)(struct stepped *) = t->inside;
    t->calls++;
    if (inside != NULL)
        inside(t);
}

static int read_tried(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    struct stepped *t = userdata;
    tried(t);
    return channel_read(&t->channel, buf, len, n);
}

static int write_tried(void *userdata, const uint8_t *buf, size_t len, size_t *n)
{
    struct stepped *t = userdata;
    int result = channel_write(&t->channel, buf, len, n);
    tried(t);
    return result;
}

static int end_tried(void *userdata)
{
    struct stepped *t = userdata;
    int result = channel_shut(&t->channel);
    tried(t);
    return result;
}

static int read_plain(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    return channel_read(&((struct stepped *)userdata)->channel, buf, len, n);
}

static int write_plain(void *userdata, const uint8_t *buf, size_t len, size_t *n)
{
    return channel_write(&((struct stepped *)userdata)->channel, buf, len, n);
}

static int end_plain(void *userdata)
{
    return channel_shut(&((struct stepped *)userdata)->channel);
}

static int data_tried(void *userdata, const uint8_t *data, size_t len)
{
    struct stepped *t = userdata;
    if (CHECK(t->len + len < sizeof t->got))
        memcpy(t->got + t->len, data, len);
    t->len += len;
    t->got[t->len] = '\0';
    tried(t);
    return strstr(t->got, TAG) != NULL ? XMPP_CLOSE_PEER_CLOSED : 0;
}

static int farewell_tried(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    (void)buf, (void)len, (void)n;
    tried(userdata);
    return 0;
}

/* A stream one of whose callbacks does something with it. */
static void start_with_a_callback(struct stepped *t, enum where where, void (*inside)(struct stepped *),
                                  const struct step *script)
{
    prepare(t, TCP, script);
    t->inside = inside;
    channel_init(&t->channel, t->peer.fd, 0, &t->transport);
    t->transport.userdata = t;
    t->transport.read = where == READ ? read_tried : read_plain;
    t->transport.write = where == WRITE ? write_tried : write_plain;
    t->transport.shut = where == FINAL ? end_tried : end_plain;
    if (where != STANZA)
        t->options.on_stanza = NULL;
    if (where == DATA)
        t->options.on_data = data_tried;
    if (where == FAREWELL)
        t->options.on_farewell = farewell_tried;
    CHECK_INT(xmpp_close_start_with(&t->transport, &t->options, &t->s), XMPP_CLOSE_OK);
    if (t->s == NULL)
        check_fatal("xmpp_close_start_with");
}

static void in_each_callback(void (*inside)(struct stepped *), void (*judge)(struct stepped *, enum where))
{
    int where;
    for (where = 0; where < PLACES; where++) {
        struct stepped t;
        start_with_a_callback(&t, (enum where)where, inside, answer);
        finish(&t);
        until(&t, XMPP_CLOSE_OVER);
        if (!CHECK(t.calls > 0))
            printf("  that was %s\n", places[where]);
        judge(&t, (enum where)where);
        xmpp_close_free(t.s);
        stop(&t);
    }
}

static void steps(struct stepped *t)
{
    uint32_t wants = xmpp_close_wants(t->s);
    int calls = t->calls;
    xmpp_close_report report = report_of(t);
    CHECK_INT(xmpp_close_step(t->s), wants);
    CHECK_INT(xmpp_close_tick(t->s, 0), wants);
    CHECK_INT(wants & XMPP_CLOSE_OVER, 0);
    CHECK_INT(t->calls, calls); /* nothing was called */
    CHECK_INT(report.outcome, XMPP_CLOSE_PENDING);
    CHECK(xmpp_close_timeout(t->s, 0) >= -1);
}

static void is_clean(struct stepped *t, enum where where)
{
    if (!CHECK_INT(report_of(t).outcome, XMPP_CLOSE_CLEAN))
        printf("  that was %s\n", places[where]);
}

static void a_step_in_a_callback_does_nothing(void)
{
    in_each_callback(steps, is_clean);
}

static void finishes(struct stepped *t)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    error.condition = "reset"; /* the first one counts, and that had none */
    CHECK_INT(xmpp_close_finish(t->s, &error, 0), XMPP_CLOSE_OK);
    error.condition = "bogus";
    CHECK_INT(xmpp_close_finish(t->s, &error, 0), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_tell(t->s, XMPP_CLOSE_FACT_EOF, 0, 0), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_tell(t->s, XMPP_CLOSE_FACT_HEADER_OUT, 0, 0), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_tell(t->s, XMPP_CLOSE_FACT_PAUSED, 0, 0), XMPP_CLOSE_OK);
}

static void one_tag_was_sent(struct stepped *t, enum where where)
{
    is_clean(t, where);
    peer_await(&t->peer);
    CHECK_INT(peer_count(&t->peer, TAG), 1);
    CHECK_INT(peer_count(&t->peer, "<reset"), 0);
}

static void a_finish_in_a_callback_is_no_second_one(void)
{
    in_each_callback(finishes, one_tag_was_sent);
}

static void cancels(struct stepped *t)
{
    CHECK_INT(xmpp_close_tell(t->s, XMPP_CLOSE_FACT_CANCEL, 0, 0), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_wants(t->s) & XMPP_CLOSE_OVER, 0);
    CHECK_INT(xmpp_close_send(t->s, "<a/>", 4), XMPP_CLOSE_REFUSED);
}

static void is_cancelled(struct stepped *t, enum where where)
{
    /* Where both tags were exchanged already, there is nothing left to stop; what on_data is about to answer comes later. */
    if (!CHECK_INT(report_of(t).outcome, where == FINAL ? XMPP_CLOSE_CLEAN : XMPP_CLOSE_CANCELLED))
        printf("  that was %s\n", places[where]);
    CHECK(report_of(t).refused > 0);
    CHECK_INT(t->calls, 1); /* as soon as the callback has returned */
}

static void a_cancel_in_a_callback_holds_when_it_has_returned(void)
{
    in_each_callback(cancels, is_cancelled);
}

static void sees_an_error(struct stepped *t)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    error.condition = "conflict";
    CHECK_INT(xmpp_close_peer_error(t->s, &error, 0), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_detach(t->s, 0), XMPP_CLOSE_OK); /* too late, behind that */
}

static void has_an_error(struct stepped *t, enum where where)
{
    /* The peer's tag is right behind it, and so on_data answers that it saw the tag. */
    if (!CHECK_TEXT(report_of(t).stream_error, where == FINAL ? "" : "conflict"))
        printf("  that was %s\n", places[where]);
    peer_await(&t->peer);
    CHECK_INT(peer_count(&t->peer, TAG), 1);
}

static void an_error_that_a_callback_sees_is_reported(void)
{
    in_each_callback(sees_an_error, has_an_error);
}

static void sends(struct stepped *t)
{
    char words[40];
    /* Not for ever, for on_farewell is asked until nothing more is said. */
    if (t->said >= 10 || !(xmpp_close_wants(t->s) & XMPP_CLOSE_MAY_SEND))
        return;
    snprintf(words, sizeof words, "<n%u/>", t->said++);
    CHECK_INT(xmpp_close_send(t->s, words, strlen(words)), XMPP_CLOSE_OK);
}

/* While the stream is open: what was said OK to goes out, in order, and before our tag. */
static void what_a_callback_sends_goes_out(void)
{
    static const struct step script[] = {
        { SEND, "<a/>", 0 }, { READ_TAG, "<n1/>", 0 }, { SEND, TAG, 0 }, { READ_TAG, NULL, 0 }, { READ_END, NULL, 0 },
        { END, NULL, 0 }
    };
    int where;
    for (where = 0; where < PLACES; where++) {
        struct stepped t;
        char expected[200] = "";
        unsigned i;
        if (where == FINAL) /* nothing is sent behind our tag */
            continue;
        start_with_a_callback(&t, (enum where)where, sends, script);
        CHECK_INT(xmpp_close_send(t.s, "<n1/>", 5), XMPP_CLOSE_OK); /* there is something to write */
        until(&t, XMPP_CLOSE_ANSWER);
        finish(&t);
        until(&t, XMPP_CLOSE_OVER);
        CHECK(t.said > 0);
        CHECK_INT(report_of(&t).refused, 0);
        xmpp_close_free(t.s);
        peer_stop(&t.peer);
        strcat(expected, "<n1/>");
        for (i = 0; i < t.said; i++)
            sprintf(expected + strlen(expected), "<n%u/>", i);
        if (!CHECK(strncmp(t.peer.got, expected, strlen(expected)) == 0) ||
            !CHECK_TEXT(t.peer.got + t.peer.got_len - strlen(TAG), TAG))
            printf("  that was %s, got %s\n", places[where], t.peer.got);
        peer_free(&t.peer);
    }
}

/* What a callback of the next test returns, when it has sent something. */
static int answered;

static int data_answers(void *userdata, const uint8_t *data, size_t len)
{
    (void)data, (void)len;
    reply(userdata);
    return answered;
}

static int stanza_answers(void *userdata, const uint8_t *xml, size_t len)
{
    return data_answers(userdata, xml, len);
}

static int read_answers(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    (void)buf, (void)len, (void)n;
    reply(userdata);
    return answered;
}

static int farewell_answers(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    struct stepped *t = userdata;
    (void)buf, (void)len, (void)n;
    if (t->calls++ > 0)
        return 0;
    reply(t);
    return answered;
}

/* Whatever the callback answers next: what was said OK to goes out in front of our tag, or is counted as unsent. */
static void what_was_accepted_goes_out_or_is_counted(void)
{
    static const struct step script[] = { { SEND, "<a/>", 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };
    static const struct {
        enum where where;
        int answer;
        const char *got; /* by the peer */
        unsigned long unsent;
    } cases[] = {
        { DATA, XMPP_CLOSE_NOT_XMPP, "<re/>" FINISHED("not-well-formed"), 0 },
        { DATA, -1, "", 5 },
        { STANZA, -1, "", 5 },
        { READ, ECONNRESET, "", 5 },
        { READ, XMPP_CLOSE_TLS_ERROR, "", 5 },
        { FAREWELL, XMPP_CLOSE_LATER, "<re/>" TAG, 0 },
        { FAREWELL, -1, "", 5 + sizeof TAG - 1 },
    };
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct stepped t;
        xmpp_close_report report;
        uint32_t wants;
        prepare(&t, TCP, script);
        answered = cases[i].answer;
        channel_init(&t.channel, t.peer.fd, 0, &t.transport);
        t.transport.userdata = &t;
        t.transport.read = cases[i].where == READ ? read_answers : read_plain;
        t.transport.write = write_plain;
        t.transport.shut = end_plain;
        t.transport.notify = NULL;
        t.options.on_stanza = cases[i].where == STANZA ? stanza_answers : NULL;
        t.options.on_data = cases[i].where == DATA ? data_answers : NULL;
        t.options.on_farewell = cases[i].where == FAREWELL ? farewell_answers : NULL;
        t.options.total_ms = 1000; /* the peer sends no tag */
        CHECK_INT(xmpp_close_start_with(&t.transport, &t.options, &t.s), XMPP_CLOSE_OK);
        if (t.s == NULL)
            check_fatal("xmpp_close_start_with");
        if (cases[i].where == FAREWELL) {
            finish(&t);
            wants = xmpp_close_wants(t.s);
            while (t.calls == 0)
                wants = turn(&t, wants);
            finish(&t); /* now all is said, where that was put off */
        }
        until(&t, XMPP_CLOSE_OVER);
        report = report_of(&t);
        CHECK_INT(report.refused, 0);
        CHECK_INT(report.bytes_unsent, cases[i].unsent);
        xmpp_close_free(t.s);
        peer_stop(&t.peer);
        if (!CHECK_TEXT(t.peer.got, cases[i].got))
            printf("  that was %s, which answers %d\n", places[cases[i].where], answered);
        peer_free(&t.peer);
    }
}

static int flush_lies(void *userdata, size_t *pending)
{
    (void)userdata;
    *pending = (size_t)-1;
    return 0;
}

static void as_much_cannot_be_pending(void)
{
    struct stepped t;
    prepare(&t, TCP, answer);
    channel_init(&t.channel, t.peer.fd, 0, &t.transport);
    t.transport.userdata = &t;
    t.transport.read = read_plain;
    t.transport.write = write_plain;
    t.transport.shut = end_plain;
    t.transport.flush = flush_lies;
    CHECK_INT(xmpp_close_start_with(&t.transport, &t.options, &t.s), XMPP_CLOSE_OK);
    finish(&t);
    CHECK_INT(ends(&t, XMPP_CLOSE_RESET).os_error, EPROTO);
    stop(&t);
}

static void sends_too_much(struct stepped *t)
{
    CHECK_INT(xmpp_close_send(t->s, "<0123456789/>", 13), XMPP_CLOSE_FULL);
    CHECK_INT(xmpp_close_send(t->s, "<a/>", 4), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_send(t->s, "<b/><c/>", 8), XMPP_CLOSE_FULL);
    CHECK_INT(xmpp_close_send(t->s, "<b/>", 4), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_tell(t->s, XMPP_CLOSE_FACT_RESTARTED, 0, 0), XMPP_CLOSE_ERR_INVALID); /* that is not out */
}

static void what_a_callback_sends_has_the_same_limit(void)
{
    static const struct step script[] = {
        { SEND, "<s/>", 0 }, { READ_TAG, "<a/>", 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    struct stepped t;
    prepare(&t, TCP, script);
    t.options.output_limit = 10;
    t.inside = sends_too_much;
    begin(&t);
    until(&t, XMPP_CLOSE_ANSWER);
    finish(&t);
    CHECK_INT(ends(&t, XMPP_CLOSE_CLEAN).refused, 0);
    CHECK_INT(t.calls, 1);
    peer_stop(&t.peer);
    CHECK_TEXT(t.peer.got, "<a/><b/>" TAG);
    peer_free(&t.peer);
}

static void frees(struct stepped *t)
{
    xmpp_close_free(t->s);
    xmpp_close_free(t->s); /* it is noticed that it was done */
    CHECK_INT(xmpp_close_wants(t->s) & XMPP_CLOSE_OVER, 0); /* and put off, so that it is there until the callback returns */
}

static void a_free_in_a_callback_is_put_off(void)
{
    int where;
    for (where = 0; where < PLACES; where++) {
        struct stepped t;
        start_with_a_callback(&t, (enum where)where, frees, answer);
        finish(&t);
        while (t.calls == 0) { /* the step in which it happens frees it */
            struct pollfd polled;
            polled.fd = t.peer.fd;
            polled.events = POLLIN;
            (void)poll(&polled, 1, 1);
            (void)xmpp_close_step(t.s);
        }
        if (!CHECK_INT(t.calls, 1))
            printf("  that was %s\n", places[where]);
        stop(&t);
    }
}

/* ---- misuse ---- */

static void a_descriptor_that_is_closed_early(void)
{
    struct stepped t;
    int fds[2];
    prepare(&t, TCP, answer);
    connected_pair(TCP, fds);
    CHECK_INT(xmpp_close_start(fds[0], &t.options, &t.s), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_step(t.s), OPEN);
    close(fds[0]);
    finish(&t);
    while (!(xmpp_close_step(t.s) & XMPP_CLOSE_OVER))
        CHECK(t.steps++ < 100);
    CHECK_INT(report_of(&t).outcome, XMPP_CLOSE_RESET);
    CHECK_INT(report_of(&t).os_error, EBADF);
    xmpp_close_free(t.s);
    close(fds[1]);
    stop(&t);
}

static void functions_of_the_other_kind_are_refused(void)
{
    const uint8_t *data = (const uint8_t *)"<a/>", *xml = NULL;
    size_t len = 4, xml_len = 0;
    xmpp_close_options own = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_stream *engine = NULL;
    struct stepped t;
    uint32_t fact;
    start(&t, TCP, answer);
    CHECK_INT(xmpp_close_step(t.s), OPEN);
    CHECK_INT(xmpp_close_output(t.s, &data), 0);
    CHECK(data == NULL);
    data = (const uint8_t *)"<a/>";
    CHECK_INT(xmpp_close_wrote(t.s, 0, 0, 0), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_received(t.s, 1, 0), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_input(t.s, &data, &len, 0, &xml, &xml_len), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(len, 4);
    CHECK_INT(xmpp_close_tick(t.s, UINT64_MAX), OPEN); /* it has a clock of its own */
    for (fact = 0; fact <= 20; fact++)
        if (fact < XMPP_CLOSE_FACT_CANCEL || fact > XMPP_CLOSE_FACT_HEADER_OUT)
            CHECK_INT(xmpp_close_tell(t.s, fact, 1, 0), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(report_of(&t).initiator, XMPP_CLOSE_INITIATOR_NONE);
    xmpp_close_free(t.s);
    stop(&t);

    CHECK_INT(xmpp_close_new(NULL, 0, &engine), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_finish(engine, NULL, 0), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_step(engine), xmpp_close_wants(engine));
    CHECK_INT(xmpp_close_timeout(engine, 0), 30000);
    CHECK_INT(xmpp_close_received(engine, 1, 0), XMPP_CLOSE_ERR_INVALID); /* it has a parser */
    CHECK_INT(xmpp_close_tell(engine, 0, 0, 0), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_tell(engine, 17, 0, 0), XMPP_CLOSE_ERR_INVALID);
    xmpp_close_free(engine);
    own.own_parser = 1;
    CHECK_INT(xmpp_close_new(&own, 0, &engine), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_input(engine, &data, &len, 0, &xml, &xml_len), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(len, 4);
    xmpp_close_free(engine);
}

static void a_stream_that_was_never_stepped_is_freed(void)
{
    struct stepped t;
    start(&t, TCP, answer);
    CHECK_INT(xmpp_close_send(t.s, "<a/>", 4), XMPP_CLOSE_OK);
    finish(&t);
    xmpp_close_free(t.s);
    peer_stop(&t.peer);
    CHECK_INT(t.peer.got_len, 0);
    peer_free(&t.peer);
}

int main(int argc, char **argv)
{
    check_start(argc, argv);
    RUN(a_close_of_ours);
    RUN(an_open_stream_is_served);
    RUN(what_had_arrived_is_answered_before_our_tag);
    RUN(what_comes_behind_our_tag_gets_no_answer);
    RUN(a_stream_error_of_ours);
    RUN(a_detach);
    RUN(our_header_goes_in_front);
    RUN(a_tag_that_was_sent_before);
    RUN(last_words_are_asked_for_until_there_are_none);
    RUN(what_on_farewell_sends_goes_out);
    RUN(last_words_may_come_later);
    RUN(nobody_answers);
    RUN(a_peer_that_stays_silent);
    RUN(a_cancel);
    RUN(residual_is_handled_by_the_first_step);
    RUN(a_direction_is_wanted_only_when_it_would_block);
    RUN(a_step_in_a_callback_does_nothing);
    RUN(a_finish_in_a_callback_is_no_second_one);
    RUN(a_cancel_in_a_callback_holds_when_it_has_returned);
    RUN(an_error_that_a_callback_sees_is_reported);
    RUN(what_a_callback_sends_goes_out);
    RUN(what_was_accepted_goes_out_or_is_counted);
    RUN(as_much_cannot_be_pending);
    RUN(what_a_callback_sends_has_the_same_limit);
    RUN(a_free_in_a_callback_is_put_off);
    RUN(a_descriptor_that_is_closed_early);
    RUN(functions_of_the_other_kind_are_refused);
    RUN(a_stream_that_was_never_stepped_is_freed);
    return check_done();
}
