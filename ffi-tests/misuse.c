/* Misuse is answered by a result code, at once, and without a byte on the wire. */
#include "channel.h"
#include "check.h"
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TEST(null_where_a_pointer_is_needed_is_an_error)
{
    xmpp_close_transport transport = XMPP_CLOSE_TRANSPORT_INIT;
    xmpp_close_stream *stream = NULL;
    size_t consumed;
    uint32_t seconds;
    xmpp_close_framer *framer = NULL;
    CHECK_INT(xmpp_close_with(NULL, NULL, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_with(&transport, NULL, NULL), XMPP_CLOSE_ERR_NULL); /* no callbacks */
    CHECK_INT(xmpp_close_canceller_new(NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_canceller_cancel(NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_new(NULL, 0, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_start(-1, NULL, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_start_with(&transport, NULL, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_start_with(NULL, NULL, &stream), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_start_with(&transport, NULL, &stream), XMPP_CLOSE_ERR_NULL); /* no callbacks */
    CHECK(stream == NULL);
    CHECK_INT(xmpp_close_describe(NULL, NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_framer_new(0, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_framer_new_inside("stream:stream", 0, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_framer_next(NULL, "<", 1, &consumed, NULL, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_framer_restart(NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_idle_seconds(NULL, 1, &seconds), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_idle_seconds(NULL, 0, &seconds), 0); /* not looked at */
    CHECK_INT(xmpp_close_idle_seconds("<", 1, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_idle_seconds("<", SIZE_MAX, &seconds), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_framer_new(0, &framer), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_framer_next(framer, NULL, 1, &consumed, NULL, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_framer_next(framer, "<", 1, NULL, NULL, NULL), XMPP_CLOSE_ERR_NULL);
    xmpp_close_framer_free(framer);
}

TEST(freeing_null_does_nothing)
{
    xmpp_close_canceller_free(NULL);
    xmpp_close_free(NULL);
    xmpp_close_framer_free(NULL);
    xmpp_close_batch_free(NULL);
    CHECK(1);
}

TEST(bytes_at_null_are_an_error_unless_there_are_none)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_stream *stream = NULL;
    int fds[2];
    connected_pair(UNIX, fds);
    options.farewell_len = 1;
    CHECK_INT(xmpp_close_fd(fds[0], &options, NULL), XMPP_CLOSE_ERR_NULL);
    options.farewell_len = 0;
    options.residual_len = 1;
    CHECK_INT(xmpp_close_fd(fds[0], &options, NULL), XMPP_CLOSE_ERR_NULL);
    options.residual_len = 0;
    options.farewell = (const void *)1; /* length 0: not looked at */
    options.residual = (const void *)1;
    CHECK_INT(xmpp_close_new(&options, 0, &stream), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_send(stream, NULL, 1), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_send(stream, (const void *)1, 0), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_send(stream, "x", SIZE_MAX), XMPP_CLOSE_ERR_INVALID);
    xmpp_close_free(stream);
    close(fds[1]);
    CHECK_INT(xmpp_close_fd(fds[0], &options, NULL), XMPP_CLOSE_OK);
    close(fds[0]);
}

static void bad_descriptor(int fd, int os_error)
{
    xmpp_close_stream *stream = NULL;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    CHECK_INT(xmpp_close_fd(fd, NULL, &report), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(report.os_error, os_error);
    CHECK_INT(report.outcome, XMPP_CLOSE_PENDING);
    CHECK_INT(report.tag_sent, 0);
    CHECK_INT(xmpp_close_fd(fd, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_start(fd, NULL, &stream), XMPP_CLOSE_ERR_INVALID);
    CHECK(stream == NULL);
}

TEST(descriptors_that_are_no_stream_sockets_are_refused)
{
    int pipes[2], datagrams[2], null, closed, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (pipe(pipes) != 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams) != 0)
        check_fatal("pipe or socketpair");
    if (listener < 0 || listen(listener, 1) != 0)
        check_fatal("listen");
    null = open("/dev/null", O_RDWR);
    closed = dup(null);
    close(closed);
    bad_descriptor(-1, EBADF);
    bad_descriptor(-12345, EBADF);
    bad_descriptor(closed, EBADF);
    bad_descriptor(pipes[1], ENOTSOCK);
    bad_descriptor(null, ENOTSOCK);
    bad_descriptor(datagrams[0], EPROTOTYPE);
    bad_descriptor(listener, ENOTCONN);
    close(null);
    close(pipes[0]);
    close(pipes[1]);
    close(datagrams[0]);
    close(datagrams[1]);
    close(listener);
}

TEST(a_transport_without_a_descriptor_or_a_size_is_refused)
{
    xmpp_close_transport transport;
    struct channel channel;
    int fds[2];
    connected_pair(UNIX, fds);
    channel_init(&channel, fds[0], 0, &transport);
    transport.fd = -1;
    CHECK_INT(xmpp_close_with(&transport, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    transport.fd = dup(fds[0]);
    close(transport.fd);
    CHECK_INT(xmpp_close_with(&transport, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    channel_init(&channel, fds[0], 0, &transport);
    transport.struct_size = 0;
    CHECK_INT(xmpp_close_with(&transport, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    channel_init(&channel, fds[0], 2, &transport);
    CHECK_INT(xmpp_close_with(&transport, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    channel_init(&channel, fds[0], 0, &transport);
    transport.read = NULL;
    CHECK_INT(xmpp_close_with(&transport, NULL, NULL), XMPP_CLOSE_ERR_NULL);
    channel_init(&channel, fds[0], 0, &transport);
    transport.write = NULL;
    CHECK_INT(xmpp_close_with(&transport, NULL, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(channel.reads + channel.writes + channel.ends, 0);
    close(fds[0]);
    close(fds[1]);
}
