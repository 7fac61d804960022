/* Started streams: the program polls, the library does the rest. */
#include "stepped.h"

TEST(a_close_of_ours)
{
    struct stepped t;
    xmpp_close_report report;
    start(&t, TCP, answer);
    CHECK_INT(xmpp_close_wants(t.s), XMPP_CLOSE_MAY_SEND | XMPP_CLOSE_PARSE);
    CHECK_INT(xmpp_close_timeout(t.s, 0), 0); /* nothing has been tried yet */
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

TEST(an_open_stream_is_served)
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

TEST(what_had_arrived_is_answered_before_our_tag)
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

TEST(what_comes_behind_our_tag_gets_no_answer)
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

TEST(a_stream_error_of_ours)
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

TEST(a_detach)
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

TEST(our_header_goes_in_front)
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

TEST(a_tag_that_was_sent_before)
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

TEST(last_words_are_asked_for_until_there_are_none)
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

TEST(what_on_farewell_sends_goes_out)
{
    struct stepped t;
    prepare(&t, TCP, answer);
    t.options.on_stanza = NULL;
    t.options.on_farewell = words;
    t.inside = reply;
    begin(&t);
    finish(&t);
    until(&t, XMPP_CLOSE_OVER);
    /* The third call stored nothing, but has sent something, so there was a fourth; and so on, up to 256 KiB. */
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

TEST(last_words_may_come_later)
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

TEST(nobody_answers)
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

TEST(a_peer_that_stays_silent)
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
    CHECK(t.steps < 50); /* the loop waits, and does not spin */
    stop(&t);
}

TEST(a_cancel)
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

TEST(residual_is_handled_by_the_first_step)
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

/* READ and WRITE only for what was tried and would block: a loop that learns only of changes misses nothing. */
TEST(a_direction_is_wanted_only_when_it_would_block)
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
        /* If the stream could go on with something, the loop must be waiting for it. */
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
