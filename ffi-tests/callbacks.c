/* What callbacks may do during a close: use the library for something else, or close the descriptor. */
#include "channel.h"
#include "check.h"
#include "peer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/><b/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

/* A whole close, and every other object of the library, for use inside a callback. */
static void use_the_library(void)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_canceller *canceller = NULL;
    xmpp_close_stream *engine = NULL;
    xmpp_close_framer *framer = NULL;
    const uint8_t *xml;
    size_t consumed, len;
    struct peer peer;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    options.canceller = canceller;
    peer_start(&peer, UNIX, answer, NULL, NULL);
    CHECK_INT(xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    peer_stop(&peer);
    peer_free(&peer);
    CHECK_INT(xmpp_close_new(NULL, 7, &engine), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_finish(engine, NULL, 8), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_framer_new(0, &framer), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_framer_next(framer, "<a><b/>", 7, &consumed, &xml, &len), XMPP_CLOSE_FRAME_HEADER);
    CHECK(strlen(xmpp_close_strerror(-1)) > 0);
    xmpp_close_framer_free(framer);
    xmpp_close_free(engine);
    xmpp_close_canceller_free(canceller);
}

static int read_and_use(void *channel, uint8_t *buf, size_t len, size_t *n)
{
    use_the_library();
    return channel_read(channel, buf, len, n);
}

static int write_and_use(void *channel, const uint8_t *buf, size_t len, size_t *n)
{
    use_the_library();
    return channel_write(channel, buf, len, n);
}

static int end_and_use(void *channel)
{
    use_the_library();
    return channel_shut(channel);
}

static int stanza_and_use(void *count, const uint8_t *xml, size_t len)
{
    (void)xml, (void)len;
    use_the_library();
    ++*(int *)count;
    return 0;
}

TEST(every_callback_may_use_the_library)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_transport transport;
    struct channel channel;
    struct peer peer;
    int count = 0;
    options.on_stanza = stanza_and_use;
    options.userdata = &count;
    peer_start(&peer, TCP, answer, NULL, NULL);
    channel_init(&channel, peer.fd, 0, &transport);
    transport.read = read_and_use;
    transport.write = write_and_use;
    transport.shut = end_and_use;
    CHECK_INT(xmpp_close_with(&transport, &options, &report), XMPP_CLOSE_OK);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(count, 2);
    peer_stop(&peer);
    CHECK_INT(peer_count(&peer, TAG), 1);
    peer_free(&peer);
}

struct again {
    int fd, count;
    uint32_t inner_outcome;
};

/* A mistake with a defined result: the peer's closing tag goes to the call that reads it first. */
static int close_the_same_again(void *userdata, const uint8_t *xml, size_t len)
{
    struct again *again = userdata;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    (void)xml, (void)len;
    options.total_ms = 300;
    options.no_progress_ms = 60000;
    again->count++;
    CHECK_INT(xmpp_close_fd(again->fd, &options, &report), XMPP_CLOSE_OK);
    again->inner_outcome = report.outcome;
    return 0;
}

TEST(closing_the_same_descriptor_from_its_callback_ends)
{
    static const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, "<a/>", 0 }, { HOLD, NULL, 0 } };
    struct again again = { -1, 0, 0 };
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    struct peer peer;
    options.total_ms = 1000;
    options.on_stanza = close_the_same_again;
    options.userdata = &again;
    peer_start(&peer, TCP, script, NULL, NULL);
    again.fd = peer.fd;
    CHECK_INT(xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK);
    CHECK_INT(report.outcome, XMPP_CLOSE_TIMED_OUT);
    CHECK_INT(again.inner_outcome, XMPP_CLOSE_TIMED_OUT);
    CHECK_INT(again.count, 1);
    CHECK(report.elapsed_ms < 1000 + (uint32_t)check_slack());
    peer_stop(&peer);
    peer_free(&peer);
}

static int close_descriptor(void *fd, const uint8_t *xml, size_t len)
{
    (void)xml, (void)len;
    close(*(int *)fd);
    *(int *)fd = -1;
    return 0;
}

static int read_from_closed(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct channel *channel = arg;
    int result = channel_read(channel, buf, len, n);
    if (result == XMPP_CLOSE_WANT_READ && channel->fd >= 0) {
        close(channel->fd);
        channel->fd = -1;
    }
    return result;
}

/* Nothing is left to wait for: the call neither hangs nor loops around poll. */
TEST(a_callback_may_close_the_descriptor)
{
    static const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, "<a/>", 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport;
    struct channel channel;
    struct peer peer;
    unsigned long long cpu = cpu_ms();
    options.total_ms = options.no_progress_ms = 20000;
    peer_start(&peer, TCP, script, NULL, NULL);
    channel_init(&channel, peer.fd, 0, &transport);
    options.on_stanza = close_descriptor;
    options.userdata = &peer.fd;
    CHECK_INT(xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK);
    CHECK_INT(report.outcome, XMPP_CLOSE_RESET);
    CHECK_INT(report.os_error, EBADF);
    CHECK_INT(report.stanzas, 1);
    CHECK(report.elapsed_ms < 10000);
    peer_stop(&peer);
    peer_free(&peer);

    options.on_stanza = NULL;
    peer_start(&peer, TCP, script, NULL, NULL);
    channel_init(&channel, peer.fd, 0, &transport);
    transport.read = read_from_closed;
    CHECK_INT(xmpp_close_with(&transport, &options, &report), XMPP_CLOSE_OK);
    peer.fd = channel.fd;
    CHECK_INT(report.outcome, XMPP_CLOSE_RESET);
    CHECK_INT(report.os_error, EBADF);
    CHECK(report.elapsed_ms < 10000);
    CHECK(cpu_ms() - cpu < 5000);
    peer_stop(&peer);
    peer_free(&peer);
}

static int refuse(void *calls, const uint8_t *bytes, size_t len)
{
    (void)bytes, (void)len;
    ++*(int *)calls;
    return -1;
}

TEST(a_callback_that_stops_is_not_called_again)
{
    static const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, "<a/>", 100 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 },
        { END, NULL, 0 }
    };
    int on_data;
    for (on_data = 0; on_data <= 1; on_data++) {
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
        struct peer peer;
        int calls = 0;
        options.userdata = &calls;
        if (on_data)
            options.on_data = refuse;
        else
            options.on_stanza = refuse;
        peer_start(&peer, TCP, script, NULL, NULL);
        CHECK_INT(xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK);
        CHECK_INT(report.outcome, XMPP_CLOSE_CANCELLED);
        CHECK_INT(calls, 1);
        peer_stop(&peer);
        peer_free(&peer);
    }
}
