/* Two threads cancel, and the second of them frees the canceller, while another is in the close or just at its end. */
#include "channel.h"
#include "check.h"
#include "peer.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define CANCELLERS 2
#define STREAMS 4 /* in a batch */

enum way { BY_FD, OVER_CALLBACKS, IN_A_BATCH };

struct race {
    pthread_mutex_t lock;
    pthread_cond_t may_begin;
    int begun;
    int cancelled;
    xmpp_close_canceller *canceller;
    struct peer peers[STREAMS];
    xmpp_close_report reports[STREAMS];
};

/* The closes know the canceller by now. */
static void begin(void *arg)
{
    struct race *race = arg;
    pthread_mutex_lock(&race->lock);
    race->begun = 1;
    pthread_cond_broadcast(&race->may_begin);
    pthread_mutex_unlock(&race->lock);
}

static void *cancel(void *arg)
{
    struct race *race = arg;
    int last;
    pthread_mutex_lock(&race->lock);
    while (!race->begun)
        pthread_cond_wait(&race->may_begin, &race->lock);
    pthread_mutex_unlock(&race->lock);
    CHECK_INT(xmpp_close_canceller_cancel(race->canceller), XMPP_CLOSE_OK);
    pthread_mutex_lock(&race->lock);
    last = ++race->cancelled == CANCELLERS;
    pthread_mutex_unlock(&race->lock);
    if (last)
        xmpp_close_canceller_free(race->canceller);
    return NULL;
}

static void close_one(struct race *race, enum way way, const xmpp_close_options *options)
{
    xmpp_close_transport transport;
    struct channel channel;
    channel_init(&channel, race->peers[0].fd, 0, &transport);
    CHECK_INT(way == BY_FD ? xmpp_close_fd(race->peers[0].fd, options, &race->reports[0])
                           : xmpp_close_with(&transport, options, &race->reports[0]),
              XMPP_CLOSE_OK);
}

static void close_all(struct race *race, const xmpp_close_options *options)
{
    xmpp_close_batch_options batch_options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_batch *batch = NULL;
    size_t i;
    batch_options.canceller = race->canceller;
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    for (i = 0; i < STREAMS; i++)
        CHECK_INT(xmpp_close_batch_add(batch, race->peers[i].fd, options, NULL), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_run(batch, &batch_options, NULL), XMPP_CLOSE_OK);
    for (i = 0; i < STREAMS; i++)
        CHECK_INT(xmpp_close_batch_report(batch, i, &race->reports[i]), XMPP_CLOSE_OK);
    xmpp_close_batch_free(batch);
}

/* With peers that answer, the close and the cancelling threads end at the same time. Returns how many were cancelled. */
static int race_once(enum way way, int peers_answer)
{
    static const struct step answer[] = { { READ_TAG, NULL, 0 }, { CALL, NULL, 0 }, { SEND, TAG, 0 },
                                          { READ_END, NULL, 0 }, { END, NULL, 0 } };
    static const struct step hold[] = { { READ_TAG, NULL, 0 }, { CALL, NULL, 0 }, { HOLD, NULL, 0 } };
    const xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    int i, streams = way == IN_A_BATCH ? STREAMS : 1, stopped = 0;
    pthread_t threads[CANCELLERS];
    struct race race;
    memset(&race, 0, sizeof race);
    pthread_mutex_init(&race.lock, NULL);
    pthread_cond_init(&race.may_begin, NULL);
    CHECK_INT(xmpp_close_canceller_new(&race.canceller), XMPP_CLOSE_OK);
    options.total_ms = options.no_progress_ms = options.linger_ms = 60000;
    options.canceller = race.canceller;
    for (i = 0; i < streams; i++) {
        race.reports[i] = report;
        peer_start(&race.peers[i], i % 2 ? UNIX : TCP, peers_answer ? answer : hold, begin, &race);
    }
    for (i = 0; i < CANCELLERS; i++)
        if (pthread_create(&threads[i], NULL, cancel, &race) != 0)
            check_fatal("pthread_create");
    if (way == IN_A_BATCH)
        close_all(&race, &options);
    else
        close_one(&race, way, &options);
    for (i = 0; i < streams; i++) {
        stopped += race.reports[i].outcome == XMPP_CLOSE_CANCELLED;
        CHECK(race.reports[i].outcome == XMPP_CLOSE_CANCELLED || race.reports[i].outcome == XMPP_CLOSE_CLEAN);
        CHECK(race.reports[i].elapsed_ms < 30000);
        peer_stop(&race.peers[i]);
        peer_free(&race.peers[i]);
    }
    for (i = 0; i < CANCELLERS; i++)
        pthread_join(threads[i], NULL);
    pthread_cond_destroy(&race.may_begin);
    pthread_mutex_destroy(&race.lock);
    return stopped;
}

static void race_often(enum way way)
{
    int round, rounds = check_rounds(200), streams = way == IN_A_BATCH ? STREAMS : 1, stopped = 0;
    for (round = 0; round < rounds; round++) {
        CHECK_INT(race_once(way, 0), streams);
        stopped += race_once(way, 1);
    }
    printf("  of %d closes, at whose end it was cancelled, %d were\n", rounds * streams, stopped);
}

TEST(a_close_is_cancelled_while_it_ends)
{
    race_often(BY_FD);
}

TEST(a_close_over_callbacks_is_cancelled_while_it_ends)
{
    race_often(OVER_CALLBACKS);
}

TEST(a_batch_is_cancelled_while_it_ends)
{
    race_often(IN_A_BATCH);
}
