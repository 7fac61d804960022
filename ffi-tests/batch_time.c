/* What a batch does while time passes: one deadline, turns, progress, cancellers. */
#include "check.h"
#include "member.h"

#include <stdio.h>
#include <string.h>

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};
static const struct step mute[] = { { READ_END, NULL, 0 }, { END, NULL, 0 } };
static const struct step closes_first[] = {
    { SEND, "<a/>" TAG, 0 }, { READ_TAG, NULL, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

struct progress {
    unsigned calls;
    unsigned stop_at; /* the call that stops all, from 1; 0: none */
    uint32_t elapsed_ms, ended, begun, begun_first;
};

static int watch(void *arg, const xmpp_close_summary *so_far)
{
    struct progress *progress = arg;
    uint32_t sum = 0, i;
    CHECK_INT(so_far->struct_size, sizeof *so_far);
    CHECK(so_far->elapsed_ms >= progress->elapsed_ms && so_far->ended >= progress->ended);
    CHECK(so_far->begun >= progress->begun && so_far->begun <= so_far->streams);
    for (i = 1; i < 10; i++)
        sum += so_far->outcomes[i];
    CHECK_INT(sum, so_far->ended);
    CHECK_INT(so_far->outcomes[XMPP_CLOSE_PENDING], so_far->streams - so_far->ended);
    progress->elapsed_ms = so_far->elapsed_ms;
    progress->ended = so_far->ended;
    progress->begun = so_far->begun;
    if (progress->calls++ == 0)
        progress->begun_first = so_far->begun;
    return progress->calls == progress->stop_at;
}

TEST(peers_that_stay_mute_are_waited_for_together)
{
    static struct member members[25];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_summary summary;
    struct progress progress;
    unsigned long long start, took, cpu;
    size_t i;
    memset(&progress, 0, sizeof progress);
    for (i = 0; i < 25; i++)
        member_start(&members[i], TCP, i % 5 ? mute : answer, NULL, NULL);
    options.total_ms = 1500;
    options.on_progress = watch;
    options.userdata = &progress;
    start = now_ms();
    cpu = cpu_ms();
    summary = members_close(members, 25, &options);
    took = now_ms() - start;
    cpu = cpu_ms() - cpu;
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], 5);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_TIMED_OUT], 20);
    CHECK(summary.elapsed_ms >= 1500 && took >= 1500 && took < 1500 + (unsigned long long)check_slack());
    /* on_progress is called ten times a second though nothing changes, and not more often. */
    CHECK(progress.calls >= 7 && progress.calls <= summary.elapsed_ms / 100 + 1);
    CHECK_INT(progress.ended, 25); /* the last time */
    CHECK(cpu < took / 2);
    printf("  %u calls in %u ms, %llu ms of processor time\n", progress.calls, (unsigned)summary.elapsed_ms, cpu);
    members_free(members, 25);
}

TEST(an_empty_batch_is_over_at_once)
{
    xmpp_close_batch_options options = batch_options();
    struct progress progress;
    memset(&progress, 0, sizeof progress);
    options.on_progress = watch;
    options.userdata = &progress;
    options.spread_ms = 50000;
    CHECK(members_close(NULL, 0, &options).elapsed_ms < 20000);
    CHECK_INT(progress.calls, 1);
}

TEST(progress_can_stop_all)
{
    static struct member members[5];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_summary summary;
    struct progress progress;
    size_t i;
    memset(&progress, 0, sizeof progress);
    progress.stop_at = 2;
    for (i = 0; i < 5; i++)
        member_start(&members[i], UNIX, mute, NULL, NULL);
    options.on_progress = watch;
    options.userdata = &progress;
    summary = members_close(members, 5, &options);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CANCELLED], 5);
    CHECK(summary.elapsed_ms < 30000);
    CHECK_INT(progress.calls, 3); /* and once at the end */
    members_free(members, 5);
}

TEST(the_tags_are_spread_over_the_time)
{
    enum { STREAMS = 10, SPREAD = 1000 };
    static struct member members[STREAMS];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_summary summary;
    struct progress progress;
    size_t i;
    memset(&progress, 0, sizeof progress);
    for (i = 0; i < STREAMS; i++)
        member_start(&members[i], TCP, answer, NULL, NULL);
    options.spread_ms = SPREAD;
    options.on_progress = watch;
    options.userdata = &progress;
    summary = members_close(members, STREAMS, &options);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], STREAMS);
    CHECK(summary.elapsed_ms >= SPREAD - SPREAD / STREAMS); /* when the last turn comes */
    CHECK(summary.elapsed_ms < SPREAD + (uint32_t)check_slack());
    if (check_slack() <= 1000)
        CHECK(progress.begun_first < STREAMS / 2);
    members_free(members, STREAMS);
}

TEST(who_closes_before_its_turn_is_answered_at_once)
{
    static struct member members[6];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_summary summary;
    size_t i, by_peer = 0, with_error = 0;
    for (i = 0; i < 6; i++) {
        member_start(&members[i], i % 2 ? TCP : UNIX, closes_first, NULL, NULL);
        if (i < 3)
            members[i].options.on_stanza = member_stanza;
        else
            members[i].options.on_data = member_data;
    }
    options.spread_ms = 59000; /* all turns but the first are far away */
    options.stream_error = "system-shutdown";
    summary = members_close(members, 6, &options);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], 6);
    CHECK(summary.elapsed_ms < 59000 / 6);
    for (i = 0; i < 6; i++) {
        CHECK_TEXT(members[i].got, i < 3 ? "<a/>" : "<a/>" TAG);
        CHECK_INT(peer_count(&members[i].peer, TAG), 1);
        by_peer += members[i].report.initiator == XMPP_CLOSE_INITIATOR_PEER;
        with_error += peer_count(&members[i].peer, "system-shutdown") > 0;
    }
    CHECK(by_peer >= 5 && with_error <= 1);
    members_free(members, 6);
}

static void cancel(void *canceller)
{
    CHECK_INT(xmpp_close_canceller_cancel(canceller), XMPP_CLOSE_OK);
}

static const struct step cancels[] = {
    { READ_TAG, NULL, 0 }, { CALL, NULL, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

TEST(another_thread_stops_all)
{
    static struct member members[8];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_canceller *canceller = NULL;
    xmpp_close_summary summary;
    size_t i;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    for (i = 0; i < 8; i++)
        member_start(&members[i], TCP, i == 5 ? cancels : mute, cancel, canceller);
    options.canceller = canceller;
    summary = members_close(members, 8, &options);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CANCELLED], 8);
    CHECK(summary.elapsed_ms < 30000);
    members_free(members, 8);

    /* The canceller was used before, so nothing is sent. */
    for (i = 0; i < 2; i++)
        member_start(&members[i], TCP, mute, NULL, NULL);
    members[0].options.canceller = canceller; /* one canceller for the stream and for the batch */
    summary = members_close(members, 2, &options);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CANCELLED], 2);
    CHECK_INT(members[0].peer.got_len + members[1].peer.got_len, 0);
    members_free(members, 2);
    xmpp_close_canceller_free(canceller);
}

/* The other streams go on: their peers answer only when the stopped streams are gone. */
TEST(another_thread_stops_some)
{
    static struct member members[6];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_canceller *canceller = NULL, *unused = NULL;
    static const struct step later[] = { { READ_TAG, NULL, 0 }, { PAUSE, NULL, 300 }, { SEND, "<a/>" TAG, 0 },
                                         { READ_END, NULL, 0 }, { END, NULL, 0 } };
    size_t i;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_canceller_new(&unused), XMPP_CLOSE_OK);
    for (i = 0; i < 6; i++) {
        member_start(&members[i], UNIX, i == 0 ? cancels : i < 3 ? mute : later, cancel, canceller);
        members[i].options.canceller = i < 3 ? canceller : i < 5 ? unused : NULL;
    }
    CHECK(members_close(members, 6, &options).elapsed_ms < 30000);
    for (i = 0; i < 6; i++) {
        CHECK_INT(members[i].report.outcome, i < 3 ? XMPP_CLOSE_CANCELLED : XMPP_CLOSE_CLEAN);
        CHECK_INT(members[i].report.stanzas, i >= 3);
    }
    members_free(members, 6);
    xmpp_close_canceller_free(canceller);
    xmpp_close_canceller_free(unused);
}

/* Also before the stream has its turn. */
TEST(a_stream_that_waits_for_its_turn_can_be_stopped)
{
    static struct member members[3];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_canceller *canceller = NULL;
    xmpp_close_summary summary;
    static const struct step stanza[] = { { SEND, "<a/>", 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };
    size_t i;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    for (i = 0; i < 3; i++) {
        member_start(&members[i], UNIX, i == 0 ? mute : stanza, NULL, NULL);
        members[i].options.on_stanza = member_stanza;
        members[i].stop_after = 1;
    }
    cancel(canceller);
    members[0].options.canceller = canceller;
    options.spread_ms = 59000;
    summary = members_close(members, 3, &options);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CANCELLED], 3); /* one by its canceller, two by on_stanza */
    CHECK(summary.elapsed_ms < 15000);
    members_free(members, 3);
    xmpp_close_canceller_free(canceller);
}
