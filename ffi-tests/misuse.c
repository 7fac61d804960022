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

static void null_where_a_pointer_is_needed_is_an_error(void)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport = XMPP_CLOSE_TRANSPORT_INIT;
    size_t consumed;
    uint32_t seconds;
    xmpp_close_framer *framer = NULL;
    CHECK_INT(xmpp_close_with(NULL, NULL, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_with(&transport, NULL, NULL), XMPP_CLOSE_ERR_NULL); /* no callbacks */
    CHECK_INT(xmpp_close_canceller_new(NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_canceller_cancel(NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_new(NULL, 0, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_report(NULL, &report), XMPP_CLOSE_ERR_NULL);
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

static void every_event_without_a_handshake_is_an_error(void)
{
    CHECK_INT(xmpp_close_handshake_begin(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_detach(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_arrived(NULL, 1, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_written(NULL, 1, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_flushed(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_received(NULL, 1, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_stanza(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_stream_error(NULL, "reset", 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_peer_closed(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_malformed(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_eof(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_truncated(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_close_notify(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_failed(NULL, EIO, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_output_failed(NULL, EPIPE, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_tls_failed(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_cancel(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_tick(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_handshake_may_write(NULL), 0);
    CHECK_INT(xmpp_close_handshake_must_answer(NULL), 0);
    CHECK_INT(xmpp_close_handshake_expects_stanzas(NULL), 0);
    CHECK_INT(xmpp_close_handshake_wants_input(NULL), 0);
    CHECK(xmpp_close_handshake_deadline(NULL) == UINT64_MAX);
    CHECK_INT(xmpp_close_framer_between_stanzas(NULL), 0);
}

static void freeing_null_does_nothing(void)
{
    xmpp_close_canceller_free(NULL);
    xmpp_close_handshake_free(NULL);
    xmpp_close_framer_free(NULL);
    xmpp_close_batch_free(NULL);
    CHECK(1);
}

/* Who looks at an option: a handshake by itself sends nothing. */
enum user { CLOSES, ALL };

/* The options are refused, and the connection is as it was. */
static void refused(const xmpp_close_options *options, enum user user, const char *why)
{
    xmpp_close_handshake *handshake = NULL;
    xmpp_close_transport transport;
    xmpp_close_batch *batch = NULL;
    struct channel channel;
    char byte;
    int fds[2], ok;
    connected_pair(UNIX, fds);
    channel_init(&channel, fds[0], 0, &transport);
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    ok = CHECK_INT(xmpp_close_fd(fds[0], options, NULL), XMPP_CLOSE_ERR_INVALID);
    ok &= CHECK_INT(xmpp_close_with(&transport, options, NULL), XMPP_CLOSE_ERR_INVALID);
    ok &= CHECK_INT(xmpp_close_batch_add(batch, fds[0], options, NULL), XMPP_CLOSE_ERR_INVALID);
    ok &= CHECK_INT(xmpp_close_batch_add_with(batch, &transport, options, NULL), XMPP_CLOSE_ERR_INVALID);
    ok &= CHECK_INT(xmpp_close_handshake_new(options, 0, &handshake),
                    user == ALL ? XMPP_CLOSE_ERR_INVALID : XMPP_CLOSE_OK);
    ok &= CHECK((handshake == NULL) == (user == ALL));
    ok &= CHECK(recv(fds[1], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    ok &= CHECK_INT(channel.reads + channel.writes + channel.ends, 0);
    if (!ok)
        printf("  the options had: %s\n", why);
    xmpp_close_handshake_free(handshake);
    xmpp_close_batch_free(batch);
    close(fds[0]);
    close(fds[1]);
}

static int take(void *userdata, const uint8_t *bytes, size_t len)
{
    (void)userdata, (void)bytes, (void)len;
    return 0;
}

static void options_that_make_no_sense_are_refused(void)
{
    static const char *const tags[] = { "", "</>", "stream:stream", "<stream:stream>", "</stream:stream", "</a b>",
                                        "</a><b>", "</stream:stream>\n", "</\xff>" };
    static const char *const conditions[] = { "", "bogus", "System-Shutdown", "undefined-condition", "\xff\xfe" };
    static const char *const headers[] = { "x", "<s:stream", "</s:stream>", "<a><b/>", "<a b='\xff'>" };
    const xmpp_close_options init = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_options options = init;
    size_t i;
    options.struct_size = 0;
    refused(&options, ALL, "a forgotten initializer");
    options = init;
    options.on_stanza = take;
    options.on_data = take;
    refused(&options, CLOSES, "both callbacks");
    options = init;
    options.half_close = 2;
    refused(&options, ALL, "half_close 2");
    options = init;
    options.peer_closed = 2;
    refused(&options, ALL, "peer_closed 2");
    for (i = 0; i < sizeof tags / sizeof *tags; i++) {
        options = init;
        options.closing_tag = tags[i];
        refused(&options, CLOSES, tags[i]);
    }
    for (i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        options = init;
        options.stream_error = conditions[i];
        refused(&options, CLOSES, conditions[i]);
    }
    options = init;
    options.stream_error_text = "a text without a condition";
    refused(&options, CLOSES, options.stream_error_text);
    options = init;
    options.stream_error = "reset";
    options.stream_error_text = "\xc3(";
    refused(&options, CLOSES, "text that is not UTF-8");
    options = init;
    options.stream_error = "reset";
    options.stream_error_element = "<a/></stream:stream>";
    refused(&options, CLOSES, "an element that ends the stream");
    for (i = 0; i < sizeof headers / sizeof *headers; i++) {
        options = init;
        options.peer_header = headers[i];
        options.peer_header_len = strlen(headers[i]);
        refused(&options, CLOSES, headers[i]);
    }
    options = init;
    options.tls = 2;
    refused(&options, ALL, "tls 2");
}

static int compose(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    (void)userdata, (void)buf, (void)len, (void)n;
    return 0;
}

static void ways_to_end_that_exclude_each_other_are_refused(void)
{
    const xmpp_close_options init = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_options options = init;
    options.detach = 2;
    refused(&options, CLOSES, "detach 2");
    options.detach = 1;
    options.stream_error = "reset";
    refused(&options, CLOSES, "a detach and a stream error");
    options = init;
    options.tag_sent = 2;
    refused(&options, CLOSES, "tag_sent 2");
    options.tag_sent = options.detach = 1;
    refused(&options, CLOSES, "a detach behind the tag");
    options.detach = 0;
    options.stream_error = "reset";
    refused(&options, CLOSES, "a stream error behind the tag");
    options.stream_error = NULL;
    options.on_farewell = compose;
    refused(&options, CLOSES, "last words behind the tag");
    options = init;
    options.own_parser = 1;
    refused(&options, CLOSES, "own_parser");
    options.own_parser = UINT32_MAX;
    refused(&options, CLOSES, "own_parser");
}

static void bytes_at_null_are_an_error_unless_there_are_none(void)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_handshake *handshake = NULL;
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
    CHECK_INT(xmpp_close_handshake_new(&options, 0, &handshake), XMPP_CLOSE_OK);
    xmpp_close_handshake_free(handshake);
    close(fds[1]);
    CHECK_INT(xmpp_close_fd(fds[0], &options, NULL), XMPP_CLOSE_OK);
    close(fds[0]);
}

static void bad_descriptor(int fd, int os_error)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    CHECK_INT(xmpp_close_fd(fd, NULL, &report), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(report.os_error, os_error);
    CHECK_INT(report.outcome, XMPP_CLOSE_PENDING);
    CHECK_INT(report.tag_sent, 0);
    CHECK_INT(xmpp_close_fd(fd, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
}

static void descriptors_that_are_no_stream_sockets_are_refused(void)
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

static void a_transport_without_a_descriptor_or_a_size_is_refused(void)
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

int main(int argc, char **argv)
{
    check_start(argc, argv);
    RUN(null_where_a_pointer_is_needed_is_an_error);
    RUN(every_event_without_a_handshake_is_an_error);
    RUN(freeing_null_does_nothing);
    RUN(options_that_make_no_sense_are_refused);
    RUN(ways_to_end_that_exclude_each_other_are_refused);
    RUN(bytes_at_null_are_an_error_unless_there_are_none);
    RUN(descriptors_that_are_no_stream_sockets_are_refused);
    RUN(a_transport_without_a_descriptor_or_a_size_is_refused);
    return check_done();
}
