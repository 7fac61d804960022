/* A transport that keeps what is written, like a TLS layer over memory, and hands the bytes to the kernel one by one. */
#include "channel.h"
#include "check.h"
#include "peer.h"

#include <errno.h>
#include <string.h>

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/><b/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};
static const struct step silent[] = { { HOLD, NULL, 0 } };

static struct {
    uint8_t bytes[4096];
    size_t len, passes;
    unsigned flushes, shuts;
} kept;

static int write_into_memory(void *odd, const uint8_t *buf, size_t len, size_t *n)
{
    (void)odd;
    if (!CHECK(len <= sizeof kept.bytes - kept.len))
        return EIO;
    memcpy(kept.bytes + kept.len, buf, len);
    kept.len += *n = len;
    return 0;
}

static int flush_memory(void *odd, size_t *pending)
{
    size_t n = 0, most = kept.len < kept.passes ? kept.len : kept.passes;
    const int result = most > 0 ? channel_write(odd, kept.bytes, most, &n) : 0;
    CHECK_INT(*pending, 0);
    memmove(kept.bytes, kept.bytes + n, kept.len - n);
    kept.len -= n;
    kept.flushes++;
    *pending = kept.len;
    return result;
}

static int shut_behind_memory(void *odd)
{
    CHECK_INT(kept.len, 0);
    kept.shuts++;
    return channel_shut(odd);
}

static xmpp_close_report close_over_memory(const struct step *script, size_t passes, uint32_t total_ms,
                                           struct peer *peer)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_transport transport;
    struct channel channel;
    memset(&kept, 0, sizeof kept);
    kept.passes = passes;
    options.total_ms = total_ms;
    peer_start(peer, TCP, script, NULL, NULL);
    channel_init(&channel, peer->fd, 0, &transport);
    transport.write = write_into_memory;
    transport.flush = flush_memory;
    transport.shut = shut_behind_memory;
    CHECK_INT(xmpp_close_with(&transport, &options, &report), XMPP_CLOSE_OK);
    peer_stop(peer);
    return report;
}

TEST(what_the_kernel_has_not_is_not_sent)
{
    struct peer peer;
    xmpp_close_report report = close_over_memory(answer, 1, 20000, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(kept.shuts, 1);
    CHECK_TEXT(peer.got, TAG);
    peer_free(&peer);
    report = close_over_memory(silent, 0, 300, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_STALLED);
    CHECK_INT(report.tag_sent, 0);
    CHECK_INT(report.bytes_unsent, strlen(TAG));
    CHECK_INT(kept.shuts, 0);
    CHECK(kept.flushes < 300); /* although the descriptor is writable all the time */
    peer_free(&peer);
}
