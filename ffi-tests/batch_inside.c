/* A batch's own functions, called from the callbacks of the batch and of its streams while it runs. */
#include "channel.h"
#include "check.h"
#include "member.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

enum where { ON_STANZA, ON_DATA, ON_FAREWELL, ON_READ, ON_WRITE, ON_SHUT, ON_END, ON_PROGRESS, PLACES };
static const char *const places[] = { "on_stanza", "on_data", "on_farewell", "read", "write", "shut", "on_end",
                                      "on_progress" };

/* The batch that runs, with a stream that acts inside one of its callbacks, and one that is added by it. */
static struct {
    xmpp_close_batch *batch;
    struct member actor, added;
    struct channel channel;
    xmpp_close_transport transport;
    enum where where;
    int over, acted, frees;
} scene;

/* All that a callback may do with its batch, once. */
static void act(enum where where)
{
    xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    size_t index = 77;
    if (where != scene.where || scene.acted++)
        return;
    CHECK_INT(xmpp_close_batch_run(scene.batch, NULL, &summary), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(summary.streams, 0);
    CHECK_INT(xmpp_close_batch_set(scene.batch, NULL), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_turn(scene.batch, 0), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_timeout(scene.batch), 0);
    CHECK(xmpp_close_batch_fd(scene.batch) >= 0);
    CHECK_INT(xmpp_close_batch_report(scene.batch, 0, &report), XMPP_CLOSE_OK);
    CHECK_INT(report.outcome, where < ON_END ? XMPP_CLOSE_PENDING : XMPP_CLOSE_CLEAN);
    CHECK_INT(xmpp_close_batch_report(scene.batch, 1, &report), XMPP_CLOSE_ERR_INVALID);
    if (where < ON_END) /* the stream is in the batch */
        CHECK_INT(xmpp_close_batch_add(scene.batch, scene.actor.peer.fd, NULL, &index), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(index, 77);
    if (scene.over)
        CHECK_INT(xmpp_close_batch_add_with(scene.batch, scene.added.over, &scene.added.options, &scene.added.index),
                  XMPP_CLOSE_OK);
    else
        CHECK_INT(xmpp_close_batch_add(scene.batch, scene.added.peer.fd, &scene.added.options, &scene.added.index),
                  XMPP_CLOSE_OK);
    CHECK_INT(scene.added.index, 1);
    CHECK_INT(xmpp_close_batch_report(scene.batch, 1, &report), XMPP_CLOSE_OK);
    CHECK_INT(report.outcome, XMPP_CLOSE_PENDING);
    if (scene.frees) {
        xmpp_close_batch_free(scene.batch);
        xmpp_close_batch_free(scene.batch); /* the batch is to be freed already */
    }
}

static int act_on_stanza(void *member, const uint8_t *xml, size_t len)
{
    act(ON_STANZA);
    return member_stanza(member, xml, len);
}

static int act_on_data(void *member, const uint8_t *data, size_t len)
{
    act(ON_DATA);
    return member_data(member, data, len);
}

static int act_on_farewell(void *member, uint8_t *buf, size_t len, size_t *n)
{
    (void)member, (void)buf, (void)len, (void)n;
    act(ON_FAREWELL);
    return 0;
}

static int act_and_read(void *channel, uint8_t *buf, size_t len, size_t *n)
{
    act(ON_READ);
    return channel_read(channel, buf, len, n);
}

static int act_and_write(void *channel, const uint8_t *buf, size_t len, size_t *n)
{
    act(ON_WRITE);
    return channel_write(channel, buf, len, n);
}

static int act_and_shut(void *channel)
{
    act(ON_SHUT);
    return channel_shut(channel);
}

static void act_at_end(struct member *member)
{
    (void)member;
    act(ON_END);
}

static int act_on_progress(void *userdata, const xmpp_close_summary *so_far)
{
    CHECK(userdata == &scene);
    if (so_far->ended == so_far->streams && so_far->ended == 1)
        act(ON_PROGRESS);
    return 0;
}

static void scene_start(enum where where, int frees, int over)
{
    struct member *actor = &scene.actor;
    memset(&scene, 0, sizeof scene);
    scene.where = where;
    scene.frees = frees;
    scene.over = over;
    member_start(actor, TCP, answer, NULL, NULL);
    member_start(&scene.added, TCP, answer, NULL, NULL);
    scene.added.options.on_stanza = member_stanza;
    actor->options.on_farewell = act_on_farewell;
    if (where == ON_DATA)
        actor->options.on_data = act_on_data;
    else
        actor->options.on_stanza = act_on_stanza;
    actor->at_end = act_at_end;
}

TEST(a_batchs_own_functions_are_defined_in_every_callback)
{
    int way;
    for (way = 0; way < 4 * PLACES; way++) {
        xmpp_close_batch_options options = batch_options();
        xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
        xmpp_close_transport added;
        struct channel under;
        int ok = 1;
        scene_start((enum where)(way / 4), way & 1, way & 2);
        channel_init(&scene.channel, scene.actor.peer.fd, 0, &scene.transport);
        scene.transport.read = act_and_read;
        scene.transport.write = act_and_write;
        scene.transport.shut = act_and_shut;
        scene.actor.over = &scene.transport;
        channel_init(&under, scene.added.peer.fd, 0, &added);
        scene.added.over = &added;
        options.on_progress = act_on_progress;
        options.userdata = &scene;
        scene.batch = members_batch(&scene.actor, 1);
        ok &= CHECK_INT(xmpp_close_batch_run(scene.batch, &options, &summary), XMPP_CLOSE_OK);
        ok &= CHECK(scene.acted > 0);
        ok &= CHECK_INT(summary.streams, 2) & CHECK_INT(summary.begun, 2) & CHECK_INT(summary.ended, 2);
        ok &= CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], 2) & CHECK_INT(summary.outcomes[XMPP_CLOSE_PENDING], 0);
        ok &= CHECK_INT(scene.actor.ends, 1) & CHECK_INT(scene.added.ends, 1);
        ok &= CHECK_TEXT(scene.added.got, "<a/>");
        if (!scene.frees) {
            xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
            ok &= CHECK_INT(xmpp_close_batch_report(scene.batch, 1, &report), XMPP_CLOSE_OK);
            ok &= CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN) & CHECK_INT(report.stanzas, 1);
            ok &= CHECK_INT(xmpp_close_batch_run(scene.batch, NULL, &summary), XMPP_CLOSE_OK);
            ok &= CHECK_INT(summary.streams, 0);
            ok &= CHECK_INT(xmpp_close_batch_report(scene.batch, 1, &report), XMPP_CLOSE_ERR_INVALID);
            xmpp_close_batch_free(scene.batch);
        }
        peer_stop(&scene.actor.peer);
        peer_stop(&scene.added.peer);
        ok &= CHECK_TEXT(scene.actor.peer.got, TAG) & CHECK_TEXT(scene.added.peer.got, TAG);
        if (!ok)
            printf("  that was %s, %s\n", places[way / 4], scene.frees ? "which frees it" : "which does not free it");
        peer_free(&scene.actor.peer);
        peer_free(&scene.added.peer);
    }
}

/* Refused options begin nothing, so nothing is freed, and the batch can still be run. */
TEST(a_run_that_was_refused_leaves_it_as_it_was)
{
    xmpp_close_batch_options options = batch_options(), wrong = options;
    scene_start(PLACES, 0, 0);
    wrong.stream_error = "bogus";
    scene.batch = members_batch(&scene.actor, 1);
    CHECK_INT(xmpp_close_batch_run(scene.batch, &wrong, NULL), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_add(scene.batch, scene.added.peer.fd, &scene.added.options, &scene.added.index),
              XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_run(scene.batch, &options, NULL), XMPP_CLOSE_OK);
    CHECK_INT(scene.actor.outcome + scene.added.outcome, 2 * XMPP_CLOSE_CLEAN);
    xmpp_close_batch_free(scene.batch);
    peer_stop(&scene.actor.peer);
    peer_stop(&scene.added.peer);
    members_free(&scene.actor, 1);
    members_free(&scene.added, 1);
}

/* A stream whose peer has said all that it will say, and reads nothing. */
static int said(const char *words, int *other)
{
    int fds[2];
    connected_pair(UNIX, fds);
    CHECK(send(fds[1], words, strlen(words), 0) == (ssize_t)strlen(words));
    shutdown(fds[1], SHUT_WR);
    *other = fds[1];
    return fds[0];
}

static struct {
    xmpp_close_batch *batch;
    xmpp_close_canceller *canceller;
    int fds[300], others[300];
    unsigned count, refused;
} crowd;

static void add_one(const char *words)
{
    const unsigned n = crowd.count;
    size_t index = SIZE_MAX;
    int result;
    crowd.fds[n] = said(words, &crowd.others[n]);
    result = xmpp_close_batch_add(crowd.batch, crowd.fds[n], NULL, &index);
    if (result == XMPP_CLOSE_OK) {
        CHECK_INT(index, n);
        crowd.count++;
    } else {
        CHECK_INT(result, XMPP_CLOSE_ERR_INVALID);
        crowd.refused++;
        close(crowd.fds[n]);
        close(crowd.others[n]);
    }
}

static xmpp_close_summary crowd_run(xmpp_close_batch_options *options)
{
    xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
    unsigned i;
    CHECK_INT(xmpp_close_batch_run(crowd.batch, options, &summary), XMPP_CLOSE_OK);
    CHECK_INT(summary.streams, crowd.count);
    CHECK_INT(summary.ended, crowd.count);
    xmpp_close_batch_free(crowd.batch);
    for (i = 0; i < crowd.count; i++) {
        close(crowd.fds[i]);
        close(crowd.others[i]);
    }
    return summary;
}

static void crowd_start(const char *words)
{
    memset(&crowd, 0, sizeof crowd);
    CHECK_INT(xmpp_close_batch_new(&crowd.batch), XMPP_CLOSE_OK);
    add_one(words);
}

static void add_many(void *userdata, size_t index, const xmpp_close_report *report)
{
    (void)userdata, (void)report;
    while (index == 0 && crowd.count < COUNT(crowd.fds))
        add_one(TAG);
}

TEST(one_callback_may_add_many)
{
    xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    options.on_end = add_many;
    options.spread_ms = 20000; /* the spread is of the streams that were there */
    crowd_start(TAG);
    CHECK_INT(crowd_run(&options).outcomes[XMPP_CLOSE_CLEAN], COUNT(crowd.fds));
    CHECK_INT(crowd.refused, 0);
}

/* Each stream that ends makes room for the next. */
static void replace(void *userdata, size_t index, const xmpp_close_report *report)
{
    (void)userdata, (void)report;
    if (crowd.count < COUNT(crowd.fds) && crowd.refused == 0) {
        if (index % 4 == 0)
            poll(NULL, 0, 20);
        add_one(TAG);
    }
}

TEST(whoever_always_adds_another_does_not_outlive_the_total)
{
    xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    unsigned long long start = now_ms();
    options.on_end = replace;
    options.total_ms = 300;
    crowd_start(TAG);
    crowd_run(&options);
    CHECK(now_ms() - start >= 250 && now_ms() - start < 300 + (unsigned long long)check_slack());
    CHECK_INT(crowd.refused, 1);
    CHECK(crowd.count > 1);
}

/* A stream that makes a pause is in the batch, although nothing waits for its descriptor then. */
static int add_again(void *userdata, const xmpp_close_summary *so_far)
{
    int *tries = userdata;
    (void)so_far;
    CHECK_INT(xmpp_close_batch_add(crowd.batch, crowd.fds[0], NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    return ++*tries >= 3;
}

TEST(what_makes_a_pause_is_in_it_all_the_same)
{
    xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    const int more_than_comes = 100;
    int tries = 0, fds[2];
    char got[100] = "";
    memset(&crowd, 0, sizeof crowd);
    connected_pair(TCP, fds);
    crowd.fds[0] = fds[0];
    CHECK(setsockopt(fds[0], SOL_SOCKET, SO_RCVLOWAT, &more_than_comes, sizeof more_than_comes) == 0);
    CHECK_INT(xmpp_close_batch_new(&crowd.batch), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_add(crowd.batch, fds[0], NULL, NULL), XMPP_CLOSE_OK);
    options.on_progress = add_again;
    options.userdata = &tries;
    CHECK_INT(xmpp_close_batch_run(crowd.batch, &options, NULL), XMPP_CLOSE_OK);
    CHECK(tries >= 3);
    xmpp_close_batch_free(crowd.batch);
    CHECK(recv(fds[1], got, sizeof got - 1, 0) > 0);
    CHECK_TEXT(got, TAG);
    close(fds[0]);
    close(fds[1]);
}

static int stop(void *userdata, const xmpp_close_summary *so_far)
{
    (void)userdata, (void)so_far;
    return 1;
}

static void add_to_what_is_stopped(void *userdata, size_t index, const xmpp_close_report *report)
{
    (void)userdata, (void)index;
    CHECK_INT(report->outcome, XMPP_CLOSE_CANCELLED);
    add_one(TAG);
}

TEST(nothing_can_be_added_to_what_was_stopped)
{
    xmpp_close_batch_options options = batch_options();
    int way;
    for (way = 0; way < 2; way++) {
        struct member silent;
        static const struct step hold[] = { { HOLD, NULL, 0 } };
        memset(&crowd, 0, sizeof crowd);
        member_start(&silent, UNIX, hold, NULL, NULL);
        CHECK_INT(xmpp_close_batch_new(&crowd.batch), XMPP_CLOSE_OK);
        CHECK_INT(xmpp_close_batch_add(crowd.batch, silent.peer.fd, &silent.options, NULL), XMPP_CLOSE_OK);
        CHECK_INT(xmpp_close_canceller_new(&crowd.canceller), XMPP_CLOSE_OK);
        options.on_end = add_to_what_is_stopped;
        options.on_progress = way ? stop : NULL;
        options.canceller = way ? NULL : crowd.canceller;
        if (!way)
            CHECK_INT(xmpp_close_canceller_cancel(crowd.canceller), XMPP_CLOSE_OK);
        CHECK_INT(xmpp_close_batch_run(crowd.batch, &options, NULL), XMPP_CLOSE_OK);
        CHECK_INT(crowd.refused, 1);
        xmpp_close_batch_free(crowd.batch);
        xmpp_close_canceller_free(crowd.canceller);
        peer_stop(&silent.peer);
        members_free(&silent, 1);
    }
}

static int free_canceller(void *userdata, const uint8_t *xml, size_t len)
{
    (void)userdata, (void)xml, (void)len;
    xmpp_close_canceller_free(crowd.canceller);
    crowd.canceller = NULL;
    return 0;
}

TEST(the_canceller_of_a_close_may_be_freed_in_its_callback)
{
    struct member member;
    int in_batch;
    for (in_batch = 0; in_batch < 2; in_batch++) {
        xmpp_close_batch_options options = batch_options();
        CHECK_INT(xmpp_close_canceller_new(&crowd.canceller), XMPP_CLOSE_OK);
        member_start(&member, TCP, answer, NULL, NULL);
        member.options.canceller = crowd.canceller;
        member.options.on_stanza = free_canceller;
        options.canceller = crowd.canceller;
        if (in_batch) {
            CHECK_INT(members_close(&member, 1, &options).outcomes[XMPP_CLOSE_CLEAN], 1);
        } else {
            CHECK_INT(xmpp_close_fd(member.peer.fd, &member.options, NULL), XMPP_CLOSE_OK);
            peer_stop(&member.peer);
        }
        CHECK(crowd.canceller == NULL);
        CHECK_TEXT(member.peer.got, TAG);
        members_free(&member, 1);
    }
}
