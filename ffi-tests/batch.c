/* Many streams in one thread: each with its own callbacks and its own ending, all under one deadline. */
#include "check.h"
#include "member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ERROR(prefix, condition) \
    "<" prefix "error><" condition " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></" prefix "error>"

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};
static const struct step silent[] = { { HOLD, NULL, 0 } };

static void check_sent(const struct member *member, const char *expected)
{
    CHECK_BYTES(member->peer.got, member->peer.got_len, expected, strlen(expected));
}

static int compose(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct member *member = arg;
    CHECK_INT(len, 4096);
    CHECK_INT(*n, 0);
    *n = (size_t)sprintf((char *)buf, "<a h='%d'/>", member->calls);
    return 0;
}

TEST(each_stream_has_its_own_callbacks)
{
    static const struct step scripts[][5] = {
        { { SEND, "<a/>", 0 }, { READ_TAG, NULL, 0 }, { SEND, "<b>0</b>" TAG, 0 }, { READ_END, NULL, 0 } },
        { { READ_TAG, NULL, 0 }, { SEND, "<c>1</c>", 0 }, { SEND, "</stream:str", 0 }, { SEND, "eam>", 0 },
          { READ_END, NULL, 0 } },
        { { READ_TAG, NULL, 0 }, { SEND, "<d>2</d><d/>" TAG, 0 }, { READ_END, NULL, 0 } },
        { { READ_TAG, NULL, 0 }, { SEND, "<e>3</e>" TAG, 0 }, { READ_END, NULL, 0 } },
    };
    static const char *const got[] = { "<a/><b>0</b>", ("<c>1</c>" TAG), "", "<r/><r/><e>3</e>" };
    static const char *const sent[] = { "<x/>" TAG, TAG, TAG, "<y/><a h='2'/>" TAG };
    static struct member members[4];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_summary summary;
    size_t i;
    for (i = 0; i < 4; i++)
        member_start(&members[i], i % 2 ? TCP : UNIX, scripts[i], NULL, NULL);
    members[0].options.on_stanza = members[3].options.on_stanza = member_stanza;
    members[1].options.on_data = member_data;
    members[0].options.farewell = "<x/>";
    members[3].options.farewell = "<y/>";
    members[0].options.farewell_len = members[3].options.farewell_len = 4;
    members[3].options.on_farewell = compose;
    members[3].options.residual = "<r/><r/>";
    members[3].options.residual_len = 8;
    summary = members_close(members, 4, &options);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], 4);
    CHECK_INT(summary.stanzas, 2 + 0 + 2 + 3); /* streams with on_data do not count theirs */
    for (i = 0; i < 4; i++) {
        CHECK_TEXT(members[i].got, got[i]);
        check_sent(&members[i], sent[i]);
        CHECK(!members[i].peer.saw_reset);
    }
    members_free(members, 4);
}

/* In memory of its own, so that a later access would be noticed. */
static char *copy_of(const char *text)
{
    char *copy = malloc(strlen(text) + 1);
    if (copy == NULL)
        check_fatal("malloc");
    return strcpy(copy, text);
}

TEST(strings_and_bytes_are_copied)
{
    static const struct step script[] = { { READ_TAG, "</s>", 0 }, { SEND, "</s>", 0 }, { READ_END, NULL, 0 },
                                          { END, NULL, 0 } };
    static struct member member;
    xmpp_close_batch_options options = batch_options();
    xmpp_close_batch *batch;
    char *strings[6] = { copy_of("</s>"), copy_of("<bye/>"), copy_of("<r/>"), copy_of("undefined-condition"),
                         copy_of("a < b"), copy_of("<mine xmlns='urn:x'/>") };
    size_t i;
    member_start(&member, UNIX, script, NULL, NULL);
    member.options.closing_tag = strings[0];
    member.options.farewell = strings[1];
    member.options.farewell_len = strlen(strings[1]);
    member.options.residual = strings[2];
    member.options.residual_len = strlen(strings[2]);
    member.options.stream_error = strings[3];
    member.options.stream_error_text = strings[4];
    member.options.stream_error_element = strings[5];
    member.options.on_stanza = member_stanza;
    batch = members_batch(&member, 1);
    for (i = 0; i < 6; i++) {
        memset(strings[i], 'X', strlen(strings[i]));
        free(strings[i]);
    }
    CHECK_INT(members_run(batch, &options, &member, 1).outcomes[XMPP_CLOSE_CLEAN], 1);
    CHECK_TEXT(member.got, "<r/>");
    check_sent(&member, "<bye/><error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
               "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>a &lt; b</text><mine xmlns='urn:x'/></error></s>");
    members_free(&member, 1);
}

TEST(each_stream_has_its_own_ending)
{
    static const struct {
        uint32_t outcome;
        enum kind kind;
        struct step script[4];
    } endings[] = {
        { XMPP_CLOSE_CLEAN, TCP, { { READ_TAG, NULL, 0 }, { SEND, "<a/>" TAG, 0 }, { READ_END, NULL, 0 } } },
        { XMPP_CLOSE_PEER_EOF, UNIX, { { READ_TAG, NULL, 0 }, { SEND, "<a/><b/>", 0 } } },
        { XMPP_CLOSE_TRUNCATED, TCP, { { READ_TAG, NULL, 0 }, { SEND, "<a/><b", 0 } } },
        { XMPP_CLOSE_RESET, TCP, { { READ_TAG, NULL, 0 }, { RESET, NULL, 0 } } },
        { XMPP_CLOSE_TIMED_OUT, UNIX, { { READ_TAG, NULL, 0 }, { SEND, "<a/>", 0 }, { HOLD, NULL, 0 } } },
        { XMPP_CLOSE_STALLED, TCP_SMALL, { { HOLD, NULL, 0 } } },
        { XMPP_CLOSE_MALFORMED, TCP, { { READ_TAG, NULL, 0 }, { SEND, "<a></b>", 0 }, { READ_END, NULL, 0 } } },
        { XMPP_CLOSE_CANCELLED, UNIX, { { READ_TAG, NULL, 0 }, { SEND, "<a/>", 9 }, { READ_END, NULL, 0 } } },
        { XMPP_CLOSE_CLEAN, UNIX, { { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 } } },
    };
    static struct member members[COUNT(endings)];
    static char big[1 << 20];
    xmpp_close_batch_options options = batch_options();
    size_t i;
    memset(big, ' ', sizeof big);
    for (i = 0; i < COUNT(endings); i++) {
        member_start(&members[i], endings[i].kind, endings[i].script, NULL, NULL);
        members[i].options.on_stanza = member_stanza;
        if (endings[i].outcome == XMPP_CLOSE_TIMED_OUT || endings[i].outcome == XMPP_CLOSE_STALLED)
            members[i].options.total_ms = 500 + (uint32_t)check_slack() / 5; /* its own limit, inside that of the batch */
        members[i].stop_after = endings[i].outcome == XMPP_CLOSE_CANCELLED;
    }
    members[5].options.farewell = big;
    members[5].options.farewell_len = sizeof big;
    members_close(members, COUNT(endings), &options);
    for (i = 0; i < COUNT(endings); i++) {
        CHECK_TEXT(xmpp_close_outcome_name(members[i].report.outcome), xmpp_close_outcome_name(endings[i].outcome));
        CHECK_INT(members[i].report.stanzas, members[i].calls);
        CHECK_INT(peer_count(&members[i].peer, TAG), members[i].peer.got_len > 0);
    }
    CHECK_INT(members[7].calls, 1);
    members_free(members, COUNT(endings));
}

TEST(without_options_and_summary_it_closes_all_the_same)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_batch *batch = NULL;
    struct peer peer;
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    peer_start(&peer, TCP, answer, NULL, NULL);
    CHECK_INT(xmpp_close_batch_add(batch, peer.fd, NULL, NULL), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_run(batch, NULL, NULL), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_report(batch, 0, &report), XMPP_CLOSE_OK);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    xmpp_close_batch_free(batch);
    peer_stop(&peer);
    CHECK_TEXT(peer.got, TAG);
    peer_free(&peer);
}

/* Another socket gets the number at once, and has something to read. A batch that still looked there would read it. */
static void close_and_reuse(struct member *member)
{
    int fds[2];
    connected_pair(UNIX, fds);
    CHECK(dup2(fds[0], member->peer.fd) == member->peer.fd);
    CHECK(write(fds[1], "<not-yours/>", 12) == 12);
    close(fds[0]);
    close(fds[1]);
}

TEST(a_descriptor_may_be_closed_as_soon_as_its_stream_has_ended)
{
    static const struct step later[] = { { READ_TAG, NULL, 0 }, { PAUSE, NULL, 200 }, { SEND, TAG, 0 },
                                         { READ_END, NULL, 0 }, { END, NULL, 0 } };
    static struct member members[8];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_batch *batch;
    xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
    size_t i;
    for (i = 0; i < 8; i++) {
        member_start(&members[i], i % 3 ? TCP : UNIX, i % 2 ? later : answer, NULL, NULL);
        members[i].at_end = close_and_reuse;
    }
    batch = members_batch(members, 8);
    CHECK_INT(xmpp_close_batch_run(batch, &options, &summary), XMPP_CLOSE_OK);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], 8);
    xmpp_close_batch_free(batch);
    for (i = 0; i < 8; i++) {
        char buf[32];
        CHECK_INT(members[i].ends, 1);
        CHECK_INT(recv(members[i].peer.fd, buf, sizeof buf, MSG_DONTWAIT), 12);
        peer_stop(&members[i].peer);
        check_sent(&members[i], TAG);
        CHECK(members[i].peer.saw_end && !members[i].peer.saw_reset);
    }
    members_free(members, 8);
}

TEST(one_error_for_all_goes_to_those_it_is_meant_for)
{
    static const struct step scripts[][4] = {
        { { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 } },         /* nothing of its own */
        { { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 } },         /* an error of its own */
        { { READ_TAG, NULL, 0 }, { READ_END, NULL, 0 } },                           /* the peer has closed */
        { { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 } },         /* our tag is in the farewell */
        { { READ_END, NULL, 0 } },                                                  /* no tag at all */
        { { READ_TAG, "</stream>", 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 } },  /* another prefix */
        { { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 } },         /* last words of its own */
    };
    static const char *const sent[] = {
        ERROR("stream:", "system-shutdown") TAG, ERROR("stream:", "conflict") TAG, TAG, "<f/>" TAG, "",
        ERROR("", "system-shutdown") "</stream>", "<f/><a h='0'/>" ERROR("stream:", "system-shutdown") TAG,
    };
    static struct member members[COUNT(scripts)];
    xmpp_close_batch_options options = batch_options();
    size_t i;
    for (i = 0; i < COUNT(scripts); i++)
        member_start(&members[i], TCP, scripts[i], NULL, NULL);
    members[1].options.stream_error = "conflict";
    members[2].options.peer_closed = 1;
    members[3].options.tag_sent = 1;
    members[3].options.farewell = "<f/>" TAG;
    members[3].options.farewell_len = strlen("<f/>" TAG);
    members[4].options.detach = 1;
    members[5].options.closing_tag = "</stream>";
    members[6].options.farewell = "<f/>";
    members[6].options.farewell_len = strlen("<f/>");
    members[6].options.on_farewell = compose;
    options.stream_error = "system-shutdown";
    CHECK_INT(members_close(members, COUNT(scripts), &options).outcomes[XMPP_CLOSE_CLEAN], COUNT(scripts) - 1);
    for (i = 0; i < COUNT(scripts); i++)
        check_sent(&members[i], sent[i]);
    CHECK_INT(members[2].report.initiator, XMPP_CLOSE_INITIATOR_PEER);
    CHECK_INT(members[4].report.outcome, XMPP_CLOSE_CANCELLED);
    members_free(members, COUNT(scripts));

    member_start(&members[0], UNIX, silent, NULL, NULL);
    options.stream_error_text = "back at 5 > 4";
    options.total_ms = 100;
    members_close(members, 1, &options);
    CHECK_INT(members[0].report.outcome, XMPP_CLOSE_TIMED_OUT);
    members_free(members, 1);

    member_start(&members[0], UNIX, answer, NULL, NULL);
    options.total_ms = 60000;
    members_close(members, 1, &options);
    CHECK_INT(peer_count(&members[0].peer, ">back at 5 &gt; 4</text></stream:error>" TAG), 1);
    members_free(members, 1);
}
