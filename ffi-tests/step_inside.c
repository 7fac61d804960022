/* Started streams: callbacks that use the stream they are called for. */
#include "stepped.h"

/* Every callback of a stream over a transport. */
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

/* A stream with a callback that does something with the stream. */
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

TEST(a_step_in_a_callback_does_nothing)
{
    in_each_callback(steps, is_clean);
}

static void finishes(struct stepped *t)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    error.condition = "reset"; /* the first call counts, and that had no error */
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

TEST(a_finish_in_a_callback_is_no_second_one)
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
    /* When both tags were exchanged before, nothing is left to stop. What on_data is about to answer comes later. */
    if (!CHECK_INT(report_of(t).outcome, where == FINAL ? XMPP_CLOSE_CLEAN : XMPP_CLOSE_CANCELLED))
        printf("  that was %s\n", places[where]);
    CHECK(report_of(t).refused > 0);
    CHECK_INT(t->calls, 1); /* as soon as the callback has returned */
}

TEST(a_cancel_in_a_callback_holds_when_it_has_returned)
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
    /* The peer's tag is directly behind these bytes, so on_data answers that it saw the tag. */
    if (!CHECK_TEXT(report_of(t).stream_error, where == FINAL ? "" : "conflict"))
        printf("  that was %s\n", places[where]);
    peer_await(&t->peer);
    CHECK_INT(peer_count(&t->peer, TAG), 1);
}

TEST(an_error_that_a_callback_sees_is_reported)
{
    in_each_callback(sees_an_error, has_an_error);
}

static void sends(struct stepped *t)
{
    char words[40];
    /* Not for ever, since on_farewell is called until it stores nothing. */
    if (t->said >= 10 || !(xmpp_close_wants(t->s) & XMPP_CLOSE_MAY_SEND))
        return;
    snprintf(words, sizeof words, "<n%u/>", t->said++);
    CHECK_INT(xmpp_close_send(t->s, words, strlen(words)), XMPP_CLOSE_OK);
}

/* While the stream is open, what was accepted goes out, in order, and before our tag. */
TEST(what_a_callback_sends_goes_out)
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

/* Whatever the callback answers next, what was accepted goes out in front of our tag, or is counted as unsent. */
TEST(what_was_accepted_goes_out_or_is_counted)
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

static void sends_too_much(struct stepped *t)
{
    CHECK_INT(xmpp_close_send(t->s, "<0123456789/>", 13), XMPP_CLOSE_FULL);
    CHECK_INT(xmpp_close_send(t->s, "<a/>", 4), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_send(t->s, "<b/><c/>", 8), XMPP_CLOSE_FULL);
    CHECK_INT(xmpp_close_send(t->s, "<b/>", 4), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_tell(t->s, XMPP_CLOSE_FACT_RESTARTED, 0, 0), XMPP_CLOSE_ERR_INVALID); /* the tag is not out */
}

TEST(what_a_callback_sends_has_the_same_limit)
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
    t->is_freed = 1;
    xmpp_close_free(t->s); /* it is noticed that it was done */
    CHECK_INT(xmpp_close_wants(t->s) & XMPP_CLOSE_OVER, 0); /* and put off, so that it is there until the callback returns */
}

TEST(a_free_in_a_callback_is_put_off)
{
    int where;
    for (where = 0; where < PLACES; where++) {
        struct stepped t;
        start_with_a_callback(&t, (enum where)where, frees, answer);
        finish(&t);
        while (t.calls == 0) { /* the step with this callback frees the stream */
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
