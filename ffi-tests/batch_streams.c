/* Started streams in a batch, whose program goes on using them: send, finish, detach, tell, ask, take out, free. */
#include "batch_streams.h"

TEST(it_is_finished_in_its_turn_and_comes_home)
{
    static struct member members[3];
    xmpp_close_batch *batch = batch_that_tells(0);
    xmpp_close_stream *s[3];
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    size_t i;
    for (i = 0; i < 3; i++) {
        s[i] = start(&members[i], answer);
        CHECK_INT(xmpp_close_send(s[i], "<sent/>", 7), XMPP_CLOSE_OK);
        put(batch, s[i], &members[i]);
        CHECK_INT(members[i].index, i);
        CHECK(xmpp_close_wants(s[i]) & XMPP_CLOSE_MAY_SEND);
        CHECK_INT(xmpp_close_send(s[i], "<sent-later/>", 13), XMPP_CLOSE_OK);
    }
    CHECK_INT(report_of(s[0]).outcome, XMPP_CLOSE_PENDING);
    CHECK_INT(xmpp_close_batch_report(batch, 0, &report), XMPP_CLOSE_OK);
    CHECK_INT(report.outcome, XMPP_CLOSE_PENDING);
    turn_to_the_end(batch);
    for (i = 0; i < 3; i++) {
        CHECK_INT(members[i].ends, 1);
        CHECK_INT(members[i].outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(xmpp_close_wants(s[i]), XMPP_CLOSE_OVER);
        CHECK_INT(xmpp_close_step(s[i]), XMPP_CLOSE_OVER);
        CHECK_INT(report_of(s[i]).outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(report_of(s[i]).stanzas, 2);
        CHECK_INT(xmpp_close_send(s[i], "<x/>", 4), XMPP_CLOSE_REFUSED);
        CHECK_TEXT(members[i].got, "<a/><b/>");
        xmpp_close_free(s[i]);
        stop(&members[i], "<sent/><sent-later/>" TAG);
    }
    xmpp_close_batch_free(batch);
}

/* What the program asks of the stream between two turns, and how the stream ends then. */
TEST(its_program_goes_on_using_it)
{
    enum { FINISH, DETACH, CANCEL, ERROR, WAYS };
    static const char *const sent[] = {
        "<x/><stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" TAG, "<x/>", "<x/>",
        "<x/>" TAG,
    };
    static const uint32_t outcomes[] = { XMPP_CLOSE_CLEAN, XMPP_CLOSE_CANCELLED, XMPP_CLOSE_CANCELLED, XMPP_CLOSE_CLEAN };
    int way;
    for (way = 0; way < WAYS; way++) {
        static struct member member;
        xmpp_close_error why = XMPP_CLOSE_ERROR_INIT;
        xmpp_close_batch *batch = batch_that_tells(1);
        xmpp_close_stream *s = start(&member, way == DETACH || way == CANCEL ? mute : answer);
        int ok = 1;
        put(batch, s, &member);
        CHECK_INT(xmpp_close_batch_turn(batch, 0), 1);
        CHECK_INT(xmpp_close_send(s, "<x/>", 4), XMPP_CLOSE_OK);
        CHECK_INT(xmpp_close_batch_timeout(batch), 0); /* there is something to do */
        CHECK_INT(xmpp_close_batch_turn(batch, 0), 1);
        why.condition = "conflict";
        if (way == FINISH)
            ok &= CHECK_INT(xmpp_close_finish(s, &why, 0), XMPP_CLOSE_OK);
        else if (way == DETACH)
            ok &= CHECK_INT(xmpp_close_detach(s, 0), XMPP_CLOSE_OK);
        else if (way == CANCEL)
            ok &= CHECK_INT(xmpp_close_tell(s, XMPP_CLOSE_FACT_CANCEL, 0, 0), XMPP_CLOSE_OK);
        else
            ok &= CHECK_INT(xmpp_close_peer_error(s, NULL, 0), XMPP_CLOSE_OK);
        turn_to_the_end(batch); /* a detach waits for the peer's end, which may come within the first turn */
        ok &= CHECK_INT(member.outcome, outcomes[way]) & CHECK_INT(member.ends, 1);
        ok &= CHECK_INT(report_of(s).outcome, outcomes[way]);
        xmpp_close_free(s);
        xmpp_close_batch_free(batch);
        peer_stop(&member.peer);
        ok &= CHECK_TEXT(member.peer.got, sent[way]);
        peer_free(&member.peer);
        if (!ok)
            printf("  that was way %d\n", way);
    }
}

/* A reply that is owed goes out behind what was sent, and in front of the tag, whichever stream's callback sends it. */
static struct {
    xmpp_close_stream *s[2];
    int replies;
} pair;

static int reply(void *userdata, const uint8_t *xml, size_t len)
{
    struct member *member = userdata;
    if (pair.replies++ > 0)
        return member_stanza(member, xml, len);
    CHECK_INT(xmpp_close_send(pair.s[0], "<to-first/>", 11), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_send(pair.s[1], "<to-second/>", 12), XMPP_CLOSE_OK);
    CHECK(xmpp_close_wants(pair.s[0]) & XMPP_CLOSE_MAY_SEND);
    CHECK(!(xmpp_close_step(pair.s[1]) & XMPP_CLOSE_OVER)); /* this does nothing */
    return member_stanza(member, xml, len);
}

TEST(callbacks_of_any_stream_may_send_on_any_other)
{
    static struct member members[2];
    xmpp_close_batch *batch = batch_that_tells(1);
    size_t i;
    pair.replies = 0;
    for (i = 0; i < 2; i++)
        pair.s[i] = start(&members[i], talks);
    for (i = 0; i < 2; i++) {
        xmpp_close_free(pair.s[i]); /* made anew, with another callback */
        members[i].options.on_stanza = i == 0 ? reply : member_stanza;
        CHECK_INT(xmpp_close_start(members[i].peer.fd, &members[i].options, &pair.s[i]), XMPP_CLOSE_OK);
        put(batch, pair.s[i], &members[i]);
    }
    turn_until(batch, &pair.replies, 1);
    for (i = 0; i < 2; i++)
        CHECK_INT(xmpp_close_finish(pair.s[i], NULL, 0), XMPP_CLOSE_OK);
    members[0].options.on_stanza = NULL; /* the struct was copied */
    while (members[1].calls < 1)
        CHECK(xmpp_close_batch_turn(batch, 10) >= 0);
    CHECK_INT(xmpp_close_batch_turn(batch, 0) >= 0, 1);
    turn_to_the_end(batch);
    for (i = 0; i < 2; i++) {
        CHECK_INT(members[i].outcome, XMPP_CLOSE_CLEAN);
        xmpp_close_free(pair.s[i]);
    }
    xmpp_close_batch_free(batch);
    stop(&members[0], "<to-first/>" TAG);
    stop(&members[1], "<to-second/>" TAG);
}

TEST(what_is_taken_out_goes_on_where_it_was)
{
    int begun, lone;
    for (begun = 0; begun < 2; begun++)
        for (lone = 0; lone < 2; lone++) {
            static struct member member;
            xmpp_close_batch *batch = batch_that_tells(!begun);
            xmpp_close_stream *s = start(&member, mute), *out = NULL;
            int result;
            if (lone) { /* the batch makes one of its own */
                xmpp_close_free(s);
                CHECK_INT(xmpp_close_batch_add(batch, member.peer.fd, &member.options, &member.index), XMPP_CLOSE_OK);
            } else {
                put(batch, s, &member);
            }
            say(&member, "<a/><b"); /* half of a stanza is read already */
            turn_until(batch, &member.calls, 1);
            result = xmpp_close_batch_remove(batch, member.index, &out);
            CHECK_INT(result, XMPP_CLOSE_OK);
            CHECK(lone || out == s);
            say(&member, "/>");
            if (begun)
                say(&member, TAG);
            result = xmpp_close_batch_remove(batch, member.index, &out);
            CHECK_INT(result, XMPP_CLOSE_ERR_INVALID);
            CHECK_INT(xmpp_close_batch_turn(batch, 0), 0);
            if (!begun) {
                CHECK(xmpp_close_wants(out) & XMPP_CLOSE_MAY_SEND);
                CHECK_INT(xmpp_close_send(out, "<mine/>", 7), XMPP_CLOSE_OK);
                CHECK_INT(xmpp_close_finish(out, NULL, 0), XMPP_CLOSE_OK);
                CHECK(!(xmpp_close_step(out) & XMPP_CLOSE_OVER));
                say(&member, TAG);
            }
            step_to_the_end(out, member.peer.fd);
            CHECK_INT(report_of(out).outcome, XMPP_CLOSE_CLEAN);
            CHECK_INT(member.ends, 0);
            CHECK_TEXT(member.got, "<a/><b/>");
            xmpp_close_free(out);
            xmpp_close_batch_free(batch);
            stop(&member, begun ? TAG : "<mine/>" TAG);
        }
}

TEST(a_batch_that_is_freed_gives_them_back)
{
    static struct member members[2];
    xmpp_close_batch *batch = batch_that_tells(1);
    xmpp_close_stream *s[2];
    size_t i;
    for (i = 0; i < 2; i++) {
        s[i] = start(&members[i], talks);
        put(batch, s[i], &members[i]);
        if (i == 0)
            turn_until(batch, &members[0].calls, 1);
    }
    CHECK_INT(xmpp_close_send(s[0], "<x/>", 4), XMPP_CLOSE_OK);
    xmpp_close_batch_free(batch);
    for (i = 0; i < 2; i++) {
        CHECK_INT(members[i].ends, 0);
        CHECK_INT(xmpp_close_finish(s[i], NULL, 0), XMPP_CLOSE_OK);
        step_to_the_end(s[i], members[i].peer.fd);
        CHECK_INT(report_of(s[i]).outcome, XMPP_CLOSE_CLEAN);
        CHECK_TEXT(members[i].got, "<a/><b/>");
        xmpp_close_free(s[i]);
        stop(&members[i], i == 0 ? "<x/>" TAG : TAG);
    }
}

/* A refused call leaves the stream as it was. */
TEST(mistakes_are_refused)
{
    static struct member members[2];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_batch *batch = batch_new(), *other = batch_new();
    xmpp_close_stream *s = start(&members[0], answer), *engine = NULL, *out = NULL;
    size_t index = 77;
    CHECK_INT(xmpp_close_new(NULL, 0, &engine), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_add_stream(NULL, s, &index), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_add_stream(batch, NULL, &index), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_add_stream(batch, engine, &index), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_remove(NULL, 0, &out), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_remove(batch, 0, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_remove(batch, 0, &out), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_remove(batch, SIZE_MAX, &out), XMPP_CLOSE_ERR_INVALID);
    CHECK(out == NULL && index == 77);
    /* The time of the batch is up. */
    options.total_ms = 1;
    CHECK_INT(xmpp_close_batch_set(batch, &options), XMPP_CLOSE_OK);
    poll(NULL, 0, 5);
    CHECK_INT(xmpp_close_batch_turn(batch, 0), 0);
    CHECK_INT(xmpp_close_batch_add_stream(batch, s, &index), XMPP_CLOSE_ERR_INVALID);
    CHECK(xmpp_close_wants(s) & XMPP_CLOSE_MAY_SEND);
    options.total_ms = NEVER_MS;
    CHECK_INT(xmpp_close_batch_set(batch, &options), XMPP_CLOSE_OK);
    /* The descriptor was added by itself before. */
    CHECK_INT(xmpp_close_batch_add(batch, members[0].peer.fd, NULL, &index), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_add_stream(batch, s, NULL), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_remove(batch, index, &out), XMPP_CLOSE_OK);
    xmpp_close_free(out);
    put(batch, s, &members[0]);
    CHECK_INT(xmpp_close_batch_add_stream(batch, s, &index), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_add_stream(other, s, &index), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_add(batch, members[0].peer.fd, NULL, &index), XMPP_CLOSE_ERR_INVALID);
    CHECK(xmpp_close_step(s) & XMPP_CLOSE_MAY_SEND); /* the batch steps it */
    CHECK_INT(recv(members[0].peer.fd, &index, 1, MSG_DONTWAIT), -1);
    turn_to_the_end(batch);
    CHECK_INT(members[0].outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(xmpp_close_batch_add_stream(batch, s, &index), XMPP_CLOSE_ERR_INVALID); /* the stream is over */
    CHECK_INT(xmpp_close_batch_remove(batch, members[0].index, &out), XMPP_CLOSE_ERR_INVALID);
    xmpp_close_free(s);
    xmpp_close_free(engine);
    xmpp_close_batch_free(batch);
    xmpp_close_batch_free(other);
    stop(&members[0], TAG);
}
