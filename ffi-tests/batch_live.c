/* A batch that has its turns in a loop of the program, which serves other streams meanwhile. */
#include "check.h"
#include "member.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SERVED 8
#define CLOSING 40

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/><b/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};
static const struct step closed[] = { { SEND, TAG, 0 }, { SHUT, NULL, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };
static const struct step mute[] = { { READ_END, NULL, 0 }, { END, NULL, 0 } };

/* A program that serves streams, and hands idle ones over to the batch. */
static struct {
    xmpp_close_batch *batch;
    int ours[SERVED], theirs[SERVED];
    struct member members[CLOSING];
    size_t added, ended;
    unsigned long long turns, longest_ms;
} server;

static void add(size_t number)
{
    struct member *member = &server.members[number];
    CHECK_INT(xmpp_close_batch_add(server.batch, member->peer.fd, &member->options, &member->index), XMPP_CLOSE_OK);
    CHECK_INT(member->index, number);
}

/* Each stream that ends makes room for another. */
static void add_another(struct member *member)
{
    CHECK_INT(member->outcome, XMPP_CLOSE_CLEAN);
    server.ended++;
    if (server.added < CLOSING)
        add(server.added++);
}

static xmpp_close_batch *batch_with(const xmpp_close_batch_options *options)
{
    xmpp_close_batch *batch = NULL;
    if (!CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK) ||
        !CHECK_INT(xmpp_close_batch_set(batch, options), XMPP_CLOSE_OK))
        check_fatal("a batch");
    return batch;
}

/* One turn of the loop: each stream that is served gets back what it sent, and the batch has a turn. */
static int serve(void)
{
    struct pollfd polls[SERVED + 1];
    unsigned long long start;
    int i, left;
    for (i = 0; i < SERVED; i++)
        polls[i].fd = server.ours[i], polls[i].events = POLLIN;
    polls[SERVED].fd = xmpp_close_batch_fd(server.batch);
    polls[SERVED].events = POLLIN;
    CHECK(poll(polls, SERVED + 1, xmpp_close_batch_timeout(server.batch)) >= 0);
    for (i = 0; i < SERVED; i++) {
        char byte;
        if (polls[i].revents != 0 && CHECK(read(server.ours[i], &byte, 1) == 1))
            CHECK(write(server.ours[i], &byte, 1) == 1);
    }
    start = now_ms();
    left = xmpp_close_batch_turn(server.batch, 0);
    if (now_ms() - start > server.longest_ms)
        server.longest_ms = now_ms() - start;
    server.turns++;
    return left;
}

TEST(a_server_hands_streams_over_and_goes_on_serving)
{
    xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    int i, left = 1, round = 0, echoes = 0, wrong = 0;
    size_t n;
    memset(&server, 0, sizeof server);
    options.on_end = member_end;
    server.batch = batch_with(&options);
    for (i = 0; i < SERVED; i++) {
        int fds[2];
        connected_pair(TCP, fds);
        server.ours[i] = fds[0], server.theirs[i] = fds[1];
        set_nonblocking(fds[1]);
    }
    for (n = 0; n < CLOSING; n++) {
        member_start(&server.members[n], n % 3 ? TCP : UNIX, answer, NULL, NULL);
        server.members[n].options.on_stanza = member_stanza;
        server.members[n].at_end = add_another;
    }
    while (server.added < CLOSING / 4)
        add(server.added++);
    while (left > 0) {
        char byte;
        i = round++ % SERVED;
        wrong += write(server.theirs[i], "x", 1) != 1;
        left = serve();
        for (i = 0; i < SERVED; i++)
            while (read(server.theirs[i], &byte, 1) == 1)
                echoes++;
    }
    CHECK_INT(left, 0);
    CHECK_INT(wrong, 0);
    CHECK(echoes > 0);
    CHECK_INT(server.ended, CLOSING);
    printf("  %d streams in %llu turns, the longest of %llu ms; %d echoes\n", CLOSING, server.turns, server.longest_ms,
           echoes);
    CHECK(server.longest_ms < (unsigned long long)check_slack());
    CHECK_INT(xmpp_close_batch_timeout(server.batch), -1);
    for (n = 0; n < CLOSING; n++) {
        CHECK_INT(server.members[n].ends, 1);
        CHECK_TEXT(server.members[n].got, "<a/><b/>");
        CHECK_INT(xmpp_close_batch_report(server.batch, n, &report), XMPP_CLOSE_ERR_INVALID); /* on_end was given the report */
        peer_stop(&server.members[n].peer);
        CHECK_TEXT(server.members[n].peer.got, TAG);
    }
    xmpp_close_batch_free(server.batch);
    members_free(server.members, CLOSING);
    for (i = 0; i < SERVED; i++) {
        close(server.ours[i]);
        close(server.theirs[i]);
    }
}

static int is_readable(const xmpp_close_batch *batch)
{
    struct pollfd entry = { xmpp_close_batch_fd(batch), POLLIN, 0 };
    return poll(&entry, 1, 0) == 1;
}

/* Gives the batch turns as long as there is something to do at once. */
static void settle(xmpp_close_batch *batch)
{
    while (is_readable(batch) || xmpp_close_batch_timeout(batch) == 0)
        CHECK(xmpp_close_batch_turn(batch, 0) >= 0);
}

static void turn_to_the_end(xmpp_close_batch *batch)
{
    int left;
    do
        left = xmpp_close_batch_turn(batch, -1);
    while (left > 0);
    CHECK_INT(left, 0);
}

TEST(it_says_when_it_has_something_to_do)
{
    static struct member member;
    xmpp_close_batch *batch = batch_with(NULL);
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    int fd = xmpp_close_batch_fd(batch), timeout;
    CHECK(!is_readable(batch));
    CHECK_INT(xmpp_close_batch_timeout(batch), -1);
    CHECK_INT(xmpp_close_batch_turn(batch, 0), 0);
    member_start(&member, TCP, mute, NULL, NULL);
    member.options.total_ms = 20000;
    CHECK_INT(xmpp_close_batch_add(batch, member.peer.fd, &member.options, NULL), XMPP_CLOSE_OK);
    CHECK(is_readable(batch));
    CHECK_INT(xmpp_close_batch_timeout(batch), 0);
    settle(batch);
    timeout = xmpp_close_batch_timeout(batch);
    CHECK(timeout > 0 && timeout <= 20000);
    CHECK_INT(xmpp_close_batch_turn(batch, 20), 1); /* a turn that waits in vain */
    CHECK_INT(xmpp_close_batch_report(batch, 0, &report), XMPP_CLOSE_OK);
    CHECK_INT(report.outcome, XMPP_CLOSE_PENDING);
    CHECK(send(member.peer.their_fd, TAG, strlen(TAG), 0) == (ssize_t)strlen(TAG));
    turn_to_the_end(batch);
    CHECK_INT(xmpp_close_batch_fd(batch), fd);
    CHECK(!is_readable(batch));
    CHECK_INT(xmpp_close_batch_report(batch, 0, &report), XMPP_CLOSE_OK); /* nothing else was told of its end */
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    xmpp_close_batch_free(batch);
    peer_stop(&member.peer);
    peer_free(&member.peer);
}

TEST(what_is_set_holds_for_those_that_are_there_and_those_that_come)
{
    static struct member members[3];
    xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_batch *batch = batch_with(NULL);
    unsigned long long start;
    size_t i;
    for (i = 0; i < 3; i++)
        member_start(&members[i], TCP, i == 2 ? closed : mute, NULL, NULL);
    CHECK_INT(xmpp_close_batch_add(batch, members[0].peer.fd, &members[0].options, &members[0].index), XMPP_CLOSE_OK);
    settle(batch);
    options.on_end = member_end;
    options.total_ms = 300;
    options.stream_error = "system-shutdown";
    CHECK_INT(xmpp_close_batch_set(batch, &options), XMPP_CLOSE_OK);
    start = now_ms();
    CHECK_INT(xmpp_close_batch_add(batch, members[1].peer.fd, &members[1].options, &members[1].index), XMPP_CLOSE_OK);
    turn_to_the_end(batch);
    CHECK(now_ms() - start >= 250 && now_ms() - start < 300 + (unsigned long long)check_slack());
    CHECK_INT(members[0].outcome, XMPP_CLOSE_TIMED_OUT);
    CHECK_INT(members[1].outcome, XMPP_CLOSE_TIMED_OUT);
    /* Its time is up, until something else is set. */
    while (now_ms() - start <= 300)
        poll(NULL, 0, 10);
    CHECK_INT(xmpp_close_batch_turn(batch, 0), 0);
    CHECK_INT(xmpp_close_batch_add(batch, members[2].peer.fd, &members[2].options, NULL), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_set(batch, NULL), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_add(batch, members[2].peer.fd, &members[2].options, &members[2].index), XMPP_CLOSE_OK);
    CHECK_INT(members[2].index, 2);
    turn_to_the_end(batch);
    CHECK_INT(members[2].ends, 0); /* on_end is not to be called any more */
    members[2].report.struct_size = sizeof members[2].report;
    CHECK_INT(xmpp_close_batch_report(batch, 2, &members[2].report), XMPP_CLOSE_OK);
    CHECK_INT(members[2].report.outcome, XMPP_CLOSE_CLEAN);
    xmpp_close_batch_free(batch);
    for (i = 0; i < 3; i++)
        peer_stop(&members[i].peer);
    CHECK_TEXT(members[0].peer.got, TAG);
    CHECK_INT(peer_count(&members[1].peer, "<system-shutdown "), 1);
    members_free(members, 3);
}

static struct {
    xmpp_close_batch *batch;
    int calls;
} freed;

static int free_on_stanza(void *userdata, const uint8_t *xml, size_t len)
{
    (void)userdata, (void)xml, (void)len;
    freed.calls++;
    xmpp_close_batch_free(freed.batch);
    xmpp_close_batch_free(freed.batch); /* the batch is to be freed already */
    return 0;
}

static void free_on_end(void *userdata, size_t index, const xmpp_close_report *report)
{
    (void)index, (void)report;
    free_on_stanza(userdata, NULL, 0);
}

static int free_on_progress(void *userdata, const xmpp_close_summary *so_far)
{
    return so_far->ended == 0 ? 0 : free_on_stanza(userdata, NULL, 0);
}

/* A stream that has not ended by then is left as it is. */
TEST(freed_in_a_callback_it_is_gone_after_the_turn)
{
    int way;
    for (way = 0; way < 3; way++) {
        static const struct step talks[] = { { READ_TAG, NULL, 0 }, { SEND, "<a/>" TAG, 0 }, { READ_END, NULL, 0 },
                                             { END, NULL, 0 } };
        static struct member members[2];
        xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
        unsigned long long patience = now_ms() + 60000;
        size_t i;
        memset(&freed, 0, sizeof freed);
        for (i = 0; i < 2; i++)
            member_start(&members[i], TCP, i ? mute : talks, NULL, NULL);
        if (way == 0)
            members[0].options.on_stanza = free_on_stanza;
        options.on_end = way == 1 ? free_on_end : NULL;
        options.on_progress = way == 2 ? free_on_progress : NULL;
        freed.batch = batch_with(&options);
        for (i = 0; i < 2; i++)
            CHECK_INT(xmpp_close_batch_add(freed.batch, members[i].peer.fd, &members[i].options, NULL), XMPP_CLOSE_OK);
        while (freed.calls == 0 && CHECK(now_ms() < patience)) {
            int left = xmpp_close_batch_turn(freed.batch, 100);
            CHECK_INT(left, freed.calls ? 0 : left);
        }
        CHECK(freed.calls > 0);
        for (i = 0; i < 2; i++) {
            CHECK_INT(fcntl(members[i].peer.fd, F_GETFD) == -1, 0);
            peer_stop(&members[i].peer);
            CHECK_INT(peer_count(&members[i].peer, TAG), i == 0 || members[i].peer.got_len > 0);
        }
        members_free(members, 2);
    }
}

/* Mistakes are refused, and change nothing. */
TEST(mistakes_change_nothing)
{
    static struct member member;
    xmpp_close_batch_options options = batch_options(), wrong = options;
    xmpp_close_batch *batch = batch_with(&options);
    member_start(&member, TCP, answer, NULL, NULL);
    CHECK_INT(xmpp_close_batch_add(batch, member.peer.fd, &member.options, &member.index), XMPP_CLOSE_OK);
    wrong.stream_error = "bogus";
    wrong.on_end = NULL;
    CHECK_INT(xmpp_close_batch_set(batch, &wrong), XMPP_CLOSE_ERR_INVALID);
    wrong = options;
    wrong.spread_ms = wrong.total_ms = 1;
    CHECK_INT(xmpp_close_batch_set(batch, &wrong), XMPP_CLOSE_ERR_INVALID);
    wrong.struct_size--;
    CHECK_INT(xmpp_close_batch_set(batch, &wrong), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_add(batch, member.peer.fd, &member.options, NULL), XMPP_CLOSE_ERR_INVALID);
    CHECK(xmpp_close_batch_turn(batch, INT_MIN) >= 0); /* this is for ever, as -1 is, but there is something to do */
    turn_to_the_end(batch);
    CHECK_INT(member.ends, 1);
    CHECK_INT(member.outcome, XMPP_CLOSE_CLEAN);
    xmpp_close_batch_free(batch);
    peer_stop(&member.peer);
    peer_free(&member.peer);
}
