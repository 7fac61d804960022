/* Mistakes with a batch are refused, without a byte on the wire, and change nothing. */
#include "channel.h"
#include "check.h"
#include "member.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

static void check_silence(int fd)
{
    char byte;
    CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static xmpp_close_batch *batch_new(void)
{
    xmpp_close_batch *batch = NULL;
    if (!CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK))
        check_fatal("xmpp_close_batch_new");
    return batch;
}

TEST(null_where_a_pointer_is_needed_is_an_error)
{
    xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport = XMPP_CLOSE_TRANSPORT_INIT;
    struct channel channel;
    xmpp_close_batch *batch = batch_new();
    size_t index = 77;
    int fds[2];
    connected_pair(UNIX, fds);
    channel_init(&channel, fds[0], 0, &transport);
    CHECK_INT(xmpp_close_batch_new(NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_add(NULL, fds[0], NULL, &index), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_add_with(NULL, &transport, NULL, &index), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_add_with(batch, NULL, NULL, &index), XMPP_CLOSE_ERR_NULL);
    transport.read = NULL;
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, NULL, &index), XMPP_CLOSE_ERR_NULL);
    channel_init(&channel, fds[0], 0, &transport);
    transport.write = NULL;
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, NULL, &index), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_run(NULL, NULL, &summary), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_set(NULL, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_turn(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_fd(NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_timeout(NULL), -1);
    CHECK_INT(xmpp_close_batch_report(NULL, 0, &report), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_batch_report(batch, 0, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(index, 77);
    CHECK_INT(channel.reads + channel.writes + channel.ends, 0);
    check_silence(fds[1]);
    xmpp_close_batch_free(NULL);
    xmpp_close_batch_free(batch);
    close(fds[0]);
    close(fds[1]);
}

TEST(bytes_at_null_are_an_error)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_batch *batch = batch_new();
    int fds[2];
    connected_pair(UNIX, fds);
    options.farewell_len = 1;
    CHECK_INT(xmpp_close_batch_add(batch, fds[0], &options, NULL), XMPP_CLOSE_ERR_NULL);
    options.farewell_len = 0;
    options.residual_len = 1;
    CHECK_INT(xmpp_close_batch_add(batch, fds[0], &options, NULL), XMPP_CLOSE_ERR_NULL);
    xmpp_close_batch_free(batch);
    close(fds[0]);
    close(fds[1]);
}

static int take(void *userdata, const uint8_t *bytes, size_t len)
{
    (void)userdata, (void)bytes, (void)len;
    return 0;
}

static void refused(xmpp_close_batch *batch, int fd, const xmpp_close_options *options)
{
    size_t index = 77;
    CHECK_INT(xmpp_close_batch_add(batch, fd, options, &index), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(index, 77);
}

/* A refused call leaves no trace: indices go on without a gap, and the descriptor can be added afterwards. */
TEST(what_was_refused_is_not_in_the_batch)
{
    static const xmpp_close_options init = XMPP_CLOSE_OPTIONS_INIT;
    static struct member members[2];
    xmpp_close_batch_options batch_defaults = batch_options();
    xmpp_close_options options = init;
    xmpp_close_canceller *canceller = NULL;
    xmpp_close_batch *batch = batch_new();
    int pipes[2], datagrams[2], closed, listener = socket(AF_INET, SOCK_STREAM, 0);
    size_t i;
    if (pipe(pipes) != 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams) != 0 || listener < 0 ||
        listen(listener, 1) != 0)
        check_fatal("sockets");
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    for (i = 0; i < 2; i++)
        member_start(&members[i], TCP, answer, NULL, NULL);
    closed = dup(pipes[0]);
    close(closed);
    refused(batch, -1, NULL);
    refused(batch, -12345, NULL);
    refused(batch, closed, NULL);
    refused(batch, pipes[0], NULL);
    refused(batch, datagrams[0], NULL);
    refused(batch, listener, NULL);
    options.struct_size = 0;
    refused(batch, members[0].peer.fd, &options);
    options = init;
    options.canceller = canceller;
    options.on_stanza = options.on_data = take;
    refused(batch, members[0].peer.fd, &options);
    options = init;
    options.closing_tag = "<stream:stream>";
    refused(batch, members[0].peer.fd, &options);
    options = init;
    options.own_parser = 1; /* this option is for engines */
    refused(batch, members[0].peer.fd, &options);
    for (i = 0; i < 2; i++) {
        members[i].options.canceller = canceller;
        CHECK_INT(xmpp_close_batch_add(batch, members[i].peer.fd, &members[i].options, &members[i].index),
                  XMPP_CLOSE_OK);
        CHECK_INT(members[i].index, i);
        refused(batch, members[i].peer.fd, &members[i].options); /* the descriptor is in the batch already */
    }
    CHECK_INT(members_run(batch, &batch_defaults, members, 2).outcomes[XMPP_CLOSE_CLEAN], 2);
    members_free(members, 2);
    xmpp_close_canceller_free(canceller);
    for (i = 0; i < 2; i++) {
        close(pipes[i]);
        close(datagrams[i]);
    }
    close(listener);
}

TEST(a_transport_that_makes_no_sense_is_refused)
{
    xmpp_close_batch_options options = batch_options();
    xmpp_close_transport transport;
    xmpp_close_batch *batch = batch_new();
    struct channel channel;
    struct member member;
    char name[] = "/tmp/xmpp_close-XXXXXX";
    int file = mkstemp(name), closed;
    if (file < 0)
        check_fatal("mkstemp");
    unlink(name);
    member_start(&member, TCP, answer, NULL, NULL);
    closed = dup(file);
    close(closed);
    channel_init(&channel, -1, 0, &transport);
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    channel_init(&channel, closed, 0, &transport);
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    channel_init(&channel, file, 0, &transport); /* nothing can wait for it */
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    channel_init(&channel, member.peer.fd, 2, &transport);
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    channel_init(&channel, member.peer.fd, 0, &transport);
    transport.struct_size = 0;
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    channel_init(&channel, member.peer.fd, 0, &transport);
    CHECK_INT(xmpp_close_batch_add(batch, member.peer.fd, &member.options, &member.index), XMPP_CLOSE_OK);
    CHECK_INT(member.index, 0);
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, NULL, NULL), XMPP_CLOSE_ERR_INVALID); /* in the batch already */
    CHECK_INT(channel.reads + channel.writes + channel.ends, 0);
    CHECK_INT(members_run(batch, &options, &member, 1).outcomes[XMPP_CLOSE_CLEAN], 1);
    members_free(&member, 1);
    close(file);
}

TEST(options_that_make_no_sense_leave_it_runnable)
{
    static const struct {
        const char *error, *text;
        size_t size;
        uint32_t total_ms, spread_ms;
    } mistakes[] = {
        { NULL, NULL, 1, 0, 0 },
        { NULL, NULL, 100000, 0, 0 },
        { NULL, NULL, 0, 1000, 1000 },
        { NULL, NULL, 0, 1000, UINT32_MAX },
        { NULL, NULL, 0, 0, 30000 }, /* as long as the default */
        { "bogus", NULL, 0, 0, 0 },
        { "undefined-condition", NULL, 0, 0, 0 }, /* it would need an element */
        { "reset", "\xff", 0, 0, 0 },
        { NULL, "a text without a condition", 0, 0, 0 },
    };
    static struct member members[2];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_batch *batch;
    size_t i;
    for (i = 0; i < 2; i++)
        member_start(&members[i], TCP, answer, NULL, NULL);
    batch = members_batch(members, 2);
    for (i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        xmpp_close_batch_options wrong = batch_options();
        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
        if (mistakes[i].size != 0)
            wrong.struct_size = mistakes[i].size;
        wrong.total_ms = mistakes[i].total_ms;
        wrong.spread_ms = mistakes[i].spread_ms;
        wrong.stream_error = mistakes[i].error;
        wrong.stream_error_text = mistakes[i].text;
        if (!CHECK_INT(xmpp_close_batch_run(batch, &wrong, NULL), XMPP_CLOSE_ERR_INVALID))
            printf("  that was mistake %zu\n", i);
        if (wrong.total_ms != 0 || wrong.spread_ms == 0) /* without a total, any spread makes sense */
            CHECK_INT(xmpp_close_batch_set(batch, &wrong), XMPP_CLOSE_ERR_INVALID);
        CHECK_INT(xmpp_close_batch_report(batch, 1, &report), XMPP_CLOSE_OK);
        CHECK_INT(report.outcome, XMPP_CLOSE_PENDING);
        CHECK_INT(members[1].ends, 0);
    }
    CHECK_INT(members_run(batch, &options, members, 2).outcomes[XMPP_CLOSE_CLEAN], 2);
    for (i = 0; i < 2; i++)
        CHECK_TEXT(members[i].peer.got, TAG);
    members_free(members, 2);
}

TEST(it_runs_as_often_as_one_likes)
{
    static struct member members[2];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
    xmpp_close_batch *batch = batch_new();
    size_t i;
    for (i = 0; i < 2; i++) {
        member_start(&members[i], TCP, answer, NULL, NULL);
        CHECK_INT(xmpp_close_batch_add(batch, members[i].peer.fd, &members[i].options, &members[i].index),
                  XMPP_CLOSE_OK);
        CHECK_INT(members[i].index, i); /* this index is never used again */
        report.outcome = 99;
        CHECK_INT(xmpp_close_batch_report(batch, i, &report), XMPP_CLOSE_OK);
        CHECK_INT(report.outcome, XMPP_CLOSE_PENDING);
        CHECK_INT(report.initiator, XMPP_CLOSE_INITIATOR_NONE);
        CHECK_INT(xmpp_close_batch_report(batch, i + 1, &report), XMPP_CLOSE_ERR_INVALID);
        CHECK_INT(xmpp_close_batch_report(batch, SIZE_MAX, &report), XMPP_CLOSE_ERR_INVALID);
        CHECK_INT(xmpp_close_batch_run(batch, &options, &summary), XMPP_CLOSE_OK);
        CHECK_INT(summary.streams, 1);
        CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], 1);
        CHECK_INT(members[i].ends, 1);
        CHECK_INT(xmpp_close_batch_report(batch, i, &report), XMPP_CLOSE_OK); /* the report is still known */
        CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(report.stanzas, 1);
        CHECK_INT(xmpp_close_batch_report(batch, i + 1, &report), XMPP_CLOSE_ERR_INVALID);
        if (i == 1) /* but reports that on_end was given before are not */
            CHECK_INT(xmpp_close_batch_report(batch, 0, &report), XMPP_CLOSE_ERR_INVALID);
    }
    CHECK_INT(xmpp_close_batch_run(batch, NULL, &summary), XMPP_CLOSE_OK);
    CHECK_INT(summary.streams, 0);
    xmpp_close_batch_free(batch);
    for (i = 0; i < 2; i++) {
        peer_stop(&members[i].peer);
        CHECK_TEXT(members[i].peer.got, TAG);
    }
    members_free(members, 2);
}

TEST(freed_without_a_run_it_sends_nothing)
{
    xmpp_close_batch *batch = batch_new();
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_transport transport;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    struct channel channel;
    struct peer peer;
    int fds[2];
    connected_pair(TCP, fds);
    options.farewell = "<a/>";
    options.farewell_len = 4;
    CHECK_INT(xmpp_close_batch_add(batch, fds[0], &options, NULL), XMPP_CLOSE_OK);
    peer_start(&peer, TCP, answer, NULL, NULL);
    channel_init(&channel, peer.fd, 0, &transport);
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, &options, NULL), XMPP_CLOSE_OK);
    xmpp_close_batch_free(batch);
    check_silence(fds[1]);
    CHECK_INT(channel.reads + channel.writes + channel.ends, 0);
    close(fds[0]);
    close(fds[1]);
    CHECK_INT(xmpp_close_fd(peer.fd, NULL, &report), XMPP_CLOSE_OK); /* the connection is as it was */
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    peer_stop(&peer);
    CHECK_TEXT(peer.got, TAG);
    peer_free(&peer);
}

TEST(descriptors_that_ran_out_are_the_systems_fault)
{
    struct rlimit before, none;
    xmpp_close_batch *batch = NULL;
    if (getrlimit(RLIMIT_NOFILE, &before) != 0)
        check_fatal("getrlimit");
    none = before;
    none.rlim_cur = 3;
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_ERR_SYSTEM);
    CHECK(batch == NULL);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}
