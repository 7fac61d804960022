/* What goes out last: on_farewell, a detach, and a tag that was sent before; by each call that closes. */
#include "check.h"
#include "member.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define ERROR(condition) \
    "<stream:error><" condition " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"

/* A member, which has all that is needed, and its last words. */
struct speaker {
    struct member member; /* first, so that a pointer to this struct is one to its member */
    int composed;
    int result;
    size_t count; /* how much white space is said to be composed; 0: an <a/> */
    const char *words; /* or these */
};

static int compose(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct speaker *speaker = arg;
    CHECK_INT(len, 4096);
    CHECK_INT(*n, 0);
    memset(buf, ' ', len); /* all of it is there to be written */
    speaker->composed++;
    if (speaker->words != NULL)
        *n = (size_t)sprintf((char *)buf, "%s", speaker->words);
    else
        *n = speaker->count != 0 ? speaker->count
                                 : (size_t)sprintf((char *)buf, "<a h='%d'/>", speaker->member.calls);
    return speaker->result;
}

static void speaker_start(struct speaker *speaker, enum kind kind, const struct step *script)
{
    memset(speaker, 0, sizeof *speaker);
    member_start(&speaker->member, kind, script, NULL, NULL);
    speaker->member.options.on_stanza = member_stanza;
    speaker->member.options.on_farewell = compose;
    speaker->member.options.farewell = "<f/>";
    speaker->member.options.farewell_len = 4;
}

/* The peer got this, and there was this outcome. */
static void speaker_check(struct speaker *speaker, enum api api, const char *sent, uint32_t outcome, int composed)
{
    const struct peer *peer = &speaker->member.peer;
    int ok = CHECK_BYTES(peer->got, peer->got_len, sent, strlen(sent));
    ok &= CHECK_TEXT(xmpp_close_outcome_name(speaker->member.report.outcome), xmpp_close_outcome_name(outcome));
    ok &= CHECK_INT(speaker->composed, composed);
    ok &= CHECK(!peer->saw_reset);
    if (!ok)
        printf("  that was %s\n", api_names[api]);
    members_free(&speaker->member, 1);
}

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<late/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};
static const struct step reads[] = { { READ_END, NULL, 0 }, { END, NULL, 0 } };

/* Waits until so many bytes have arrived. */
static void await_arrival(int fd, size_t len)
{
    static char bytes[1 << 16];
    CHECK_INT(recv(fd, bytes, len, MSG_PEEK | MSG_WAITALL), len);
}

TEST(the_last_words_count_all_that_had_arrived)
{
    /* More than one read takes. */
    static const struct step script[] = { { SEND, "<b/>", 5000 }, { READ_TAG, NULL, 0 }, { SEND, "<late/>" TAG, 0 },
                                          { READ_END, NULL, 0 }, { END, NULL, 0 } };
    static struct speaker speaker;
    int api;
    for (api = FD; api < APIS; api++) {
        speaker_start(&speaker, TCP, script);
        speaker.member.options.residual = "<r/><r/>";
        speaker.member.options.residual_len = 8;
        await_arrival(speaker.member.peer.fd, 5000 * 4);
        member_close(&speaker.member, (enum api)api, 0);
        CHECK_INT(speaker.member.calls, 5003);
        CHECK_INT(speaker.member.report.stanzas, 5003);
        speaker_check(&speaker, (enum api)api, "<f/><a h='5002'/>" TAG, XMPP_CLOSE_CLEAN, 1);
    }
}

TEST(a_stream_error_stands_behind_the_last_words)
{
    static struct speaker speaker;
    int api;
    for (api = FD; api < APIS; api++) {
        speaker_start(&speaker, UNIX, answer);
        speaker.member.options.stream_error = "reset";
        member_close(&speaker.member, (enum api)api, 0);
        speaker_check(&speaker, (enum api)api, "<f/><a h='0'/>" ERROR("reset") TAG, XMPP_CLOSE_CLEAN, 1);

        speaker_start(&speaker, UNIX, reads); /* and a peer that only reading the residual finds malformed */
        speaker.member.options.residual = "<a></b>";
        speaker.member.options.residual_len = 7;
        member_close(&speaker.member, (enum api)api, 0);
        speaker_check(&speaker, (enum api)api, "<f/><a h='0'/>" ERROR("not-well-formed") TAG, XMPP_CLOSE_MALFORMED, 1);
    }
}

TEST(the_answer_to_the_peers_tag_has_last_words_too)
{
    static struct speaker speaker;
    int api;
    for (api = FD; api < APIS; api++) {
        speaker_start(&speaker, TCP, reads);
        speaker.member.options.peer_closed = 1;
        member_close(&speaker.member, (enum api)api, 0);
        CHECK_INT(speaker.member.report.initiator, XMPP_CLOSE_INITIATOR_PEER);
        speaker_check(&speaker, (enum api)api, "<f/><a h='0'/>" TAG, XMPP_CLOSE_CLEAN, 1);
    }
}

/* Last words are composed when the queue before them is written, and count what has come until then. */
TEST(the_last_words_wait_for_a_long_queue)
{
    static const struct step script[] = { { READ_TAG, "<mark/>", 0 }, { SEND, "<b/>", 10 }, { READ_TAG, NULL, 0 },
                                          { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };
    static const char *const end = "<a h='10'/>" TAG;
    static struct speaker speaker;
    static char queue[1 << 20];
    int api;
    memset(queue, ' ', sizeof queue);
    memcpy(queue + 100000, "<mark/>", 7);
    for (api = FD; api < APIS; api++) {
        const struct peer *peer = &speaker.member.peer;
        speaker_start(&speaker, TCP_SMALL, script);
        speaker.member.options.farewell = queue;
        speaker.member.options.farewell_len = sizeof queue;
        member_close(&speaker.member, (enum api)api, 0);
        CHECK_INT(speaker.member.report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(speaker.composed, 1);
        if (CHECK_INT(peer->got_len, sizeof queue + strlen(end)))
            CHECK_TEXT(peer->got + sizeof queue, end);
        members_free(&speaker.member, 1);
    }
}

TEST(as_many_bytes_as_there_is_room_for_are_sent)
{
    static struct speaker speaker;
    static char sent[4 + 4096 + sizeof TAG];
    int api;
    memset(sent, ' ', sizeof sent);
    memcpy(sent, "<f/>", 4);
    strcpy(sent + 4 + 4096, TAG);
    for (api = FD; api < APIS; api++) {
        speaker_start(&speaker, UNIX, answer);
        speaker.count = 4096;
        member_close(&speaker.member, (enum api)api, 0);
        speaker_check(&speaker, (enum api)api, sent, XMPP_CLOSE_CLEAN, 1);
    }
}

TEST(last_words_that_are_refused_or_too_long_stop_it)
{
    static const struct {
        size_t count;
        int result;
    } answers[] = { { 5, 1 }, { 0, -7 }, { 4097, 0 }, { SIZE_MAX, 0 }, { SIZE_MAX / 2, 0 } };
    static struct speaker speaker;
    size_t i;
    int api;
    for (api = FD; api < APIS; api++)
        for (i = 0; i < sizeof answers / sizeof *answers; i++) {
            speaker_start(&speaker, UNIX, reads);
            speaker.count = answers[i].count;
            speaker.result = answers[i].result;
            member_close(&speaker.member, (enum api)api, 0);
            CHECK_INT(speaker.member.report.tag_sent, 0);
            CHECK_INT(speaker.member.report.bytes_unsent, strlen(TAG));
            speaker_check(&speaker, (enum api)api, "<f/>", XMPP_CLOSE_CANCELLED, 1);
        }
}

/* These last words would make the stream malformed, or end it twice. */
TEST(last_words_that_are_no_whole_stanzas_are_not_sent)
{
    static const char *const mistakes[] = { "<a>", "<a", "text", "<a/>text", "</a>", TAG, "<a/>" TAG };
    static struct speaker speaker;
    size_t i;
    int api;
    for (api = FD; api < APIS; api++)
        for (i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
            speaker_start(&speaker, UNIX, reads);
            speaker.words = mistakes[i];
            member_close(&speaker.member, (enum api)api, 0);
            CHECK_INT(speaker.member.report.tag_sent, 0);
            speaker_check(&speaker, (enum api)api, "<f/>", XMPP_CLOSE_CANCELLED, 1);
        }
}

TEST(without_a_chance_to_be_heard_there_are_no_last_words)
{
    static const struct step gone[] = { { RESET, NULL, 0 } };
    static struct speaker speaker;
    xmpp_close_canceller *canceller = NULL;
    int api;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_canceller_cancel(canceller), XMPP_CLOSE_OK);
    for (api = FD; api < APIS; api++) {
        speaker_start(&speaker, TCP, reads);
        speaker.member.options.canceller = canceller;
        member_close(&speaker.member, (enum api)api, 0);
        speaker_check(&speaker, (enum api)api, "", XMPP_CLOSE_CANCELLED, 0);

        speaker_start(&speaker, TCP, gone);
        peer_await(&speaker.member.peer);
        member_close(&speaker.member, (enum api)api, 0);
        CHECK_INT(speaker.member.report.tag_sent, 0);
        speaker_check(&speaker, (enum api)api, "", XMPP_CLOSE_RESET, 0);
    }
    xmpp_close_canceller_free(canceller);
}

/* What still comes is not handled or acknowledged, so the peer sends it again. */
TEST(a_detach_ends_tcp_without_a_tag)
{
    static const struct step talks[] = { { SEND, "<b/>", 3 }, { READ_END, NULL, 0 }, { SEND, "<c/>", 0 },
                                         { END, NULL, 0 } };
    static struct speaker speaker;
    int api;
    for (api = FD; api < APIS; api++) {
        speaker_start(&speaker, TCP, talks);
        speaker.member.options.detach = 1;
        await_arrival(speaker.member.peer.fd, 12);
        member_close(&speaker.member, (enum api)api, 0);
        CHECK(speaker.member.peer.saw_end);
        CHECK_INT(speaker.member.report.tag_sent, 0);
        CHECK_INT(speaker.member.report.tag_received, 0);
        CHECK_INT(speaker.member.report.bytes_unsent, 0);
        CHECK_INT(speaker.member.calls, 0);
        CHECK(speaker.member.report.elapsed_ms < 30000);
        speaker_check(&speaker, (enum api)api, "<f/><a h='0'/>", XMPP_CLOSE_CANCELLED, 1);

        speaker_start(&speaker, UNIX, reads); /* with nothing to say */
        speaker.member.options.detach = 1;
        speaker.member.options.farewell_len = 0;
        speaker.member.options.on_farewell = NULL;
        member_close(&speaker.member, (enum api)api, 0);
        CHECK(speaker.member.peer.saw_end);
        speaker_check(&speaker, (enum api)api, "", XMPP_CLOSE_CANCELLED, 0);
    }
}

TEST(a_detach_does_not_wait_for_a_mute_peer)
{
    static const struct step mute[] = { { HOLD, NULL, 0 } };
    static struct speaker speaker;
    int api;
    for (api = FD; api < APIS; api++) {
        speaker_start(&speaker, TCP, mute);
        speaker.member.options.detach = 1;
        speaker.member.options.linger_ms = 100;
        member_close(&speaker.member, (enum api)api, 0);
        CHECK(speaker.member.report.elapsed_ms < 100 + (uint32_t)check_slack());
        CHECK_INT(speaker.member.report.bytes_unsent, 0);
        speaker_check(&speaker, (enum api)api, "", XMPP_CLOSE_CANCELLED, 1);
    }
}

TEST(over_tls_a_detach_ends_with_close_notify)
{
    static struct speaker speaker;
    int api;
    for (api = WITH; api < APIS; api += BATCH_WITH - WITH) {
        const struct peer *peer = &speaker.member.peer;
        speaker_start(&speaker, TCP, reads);
        speaker.member.options.detach = 1;
        speaker.member.options.linger_ms = 100; /* the peer answers no close_notify */
        member_close(&speaker.member, (enum api)api, 1);
        CHECK_BYTES(peer->got, peer->got_len, "<f/><a h='0'/>\0", 15);
        CHECK(peer->saw_end);
        CHECK_INT(speaker.member.report.outcome, XMPP_CLOSE_CANCELLED);
        CHECK_INT(speaker.member.report.tls, XMPP_CLOSE_TLS_USED | XMPP_CLOSE_TLS_NOTIFY_SENT);
        members_free(&speaker.member, 1);
    }
}

TEST(a_tag_that_was_sent_is_not_sent_again)
{
    static const struct step answers_later[] = { { READ_TAG, NULL, 0 }, { PAUSE, NULL, 200 }, { SEND, "<b/>" TAG, 0 },
                                                 { READ_END, NULL, 0 }, { END, NULL, 0 } };
    static const struct step no_xml[] = { { READ_TAG, NULL, 0 }, { SEND, "<a></b>", 0 }, { READ_END, NULL, 0 },
                                          { END, NULL, 0 } };
    static struct speaker speaker;
    int api;
    for (api = FD; api < APIS; api++) {
        int way;
        for (way = 0; way < 4; way++) {
            speaker_start(&speaker, TCP, way == 2 ? no_xml : way == 3 ? reads : answers_later);
            speaker.member.options.tag_sent = 1;
            speaker.member.options.on_farewell = NULL;
            speaker.member.options.farewell_len = 0;
            speaker.member.options.peer_closed = way == 3;
            if (way == 0) { /* it ends the farewell */
                speaker.member.options.farewell = TAG;
                speaker.member.options.farewell_len = strlen(TAG);
            } else { /* it was written before */
                CHECK_INT(send(speaker.member.peer.fd, TAG, strlen(TAG), 0), strlen(TAG));
            }
            member_close(&speaker.member, (enum api)api, 0);
            CHECK_INT(speaker.member.report.tag_sent, 1);
            CHECK_INT(speaker.member.report.tag_received, way != 2);
            CHECK_INT(speaker.member.calls, way < 2);
            CHECK_INT(speaker.member.report.initiator, way == 3 ? XMPP_CLOSE_INITIATOR_PEER : XMPP_CLOSE_INITIATOR_US);
            speaker_check(&speaker, (enum api)api, TAG, way == 2 ? XMPP_CLOSE_MALFORMED : XMPP_CLOSE_CLEAN, 0);
        }
    }
}
