/* Whatever the peer does, a close ends when its time is up. */
#include "channel.h"
#include "check.h"
#include "peer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIG (4u << 20)

static const struct step silent[] = { { HOLD, NULL, 0 } };
static const struct step byte_by_byte[] = { { DRIP, "<message><body>for ever</body></message>", 100 } };
static const struct step endless_text[] = { { SEND, "<message>", 0 }, { DRIP, "x", 100 } };
static const struct step white_space[] = { { DRIP, " ", 100 } };
static const struct step stanza_by_stanza[] = { { DRIP_WHOLE, "<message><body>for ever</body></message>", 100 } };
static const struct step last_byte_of_500[] = {
     { READ_TAG, NULL, 0 }, { PAUSE, NULL, 490 }, { SEND, "<", 0 }, { HOLD, NULL, 0 }
};
static const struct step last_byte_of_2000[] = {
     { READ_TAG, NULL, 0 }, { PAUSE, NULL, 1990 }, { SEND, "<", 0 }, { HOLD, NULL, 0 }
};
static const struct step flood[] = { { DRIP_WHOLE, "<message><body>for ever and ever</body></message>", 0 } };

struct situation {
    const char *name;
    const struct step *script;
    enum kind kind;
    int big;
    uint32_t total_ms, outcome;
    /* filled in */
    int over_callbacks;
    int failed;
    long overrun_ms;
    pthread_t thread;
};

static const struct situation situations[] = {
    { "silent peer", silent, TCP, 0, 500, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
    { "silent peer", silent, UNIX, 0, 2000, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
    { "one byte per 100 ms", byte_by_byte, TCP, 0, 500, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
    { "one byte per 100 ms", byte_by_byte, TCP, 0, 2000, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
    { "one byte per 100 ms in one stanza", endless_text, TCP, 0, 500, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
    { "one byte per 100 ms in one stanza", endless_text, UNIX, 0, 2000, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
    { "one blank per 100 ms", white_space, TCP, 0, 500, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
    { "one stanza per 100 ms", stanza_by_stanza, TCP, 0, 500, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
    { "one stanza per 100 ms", stanza_by_stanza, TCP, 0, 2000, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
    { "peer that never reads", silent, TCP_SMALL, 1, 500, XMPP_CLOSE_STALLED, 0, 0, 0, 0 },
    { "peer that never reads", silent, TCP_SMALL, 1, 2000, XMPP_CLOSE_STALLED, 0, 0, 0, 0 },
    { "peer that never reads but sends", stanza_by_stanza, TCP_SMALL, 1, 500, XMPP_CLOSE_STALLED, 0, 0, 0, 0 },
    { "byte at T - 10 ms, then silence", last_byte_of_500, TCP, 0, 500, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
    { "byte at T - 10 ms, then silence", last_byte_of_2000, TCP, 0, 2000, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
    { "stanzas without a pause", flood, TCP, 0, 500, XMPP_CLOSE_TIMED_OUT, 0, 0, 0, 0 },
};
#define SITUATIONS (sizeof situations / sizeof *situations)

static char farewell[BIG];

static void *close_in(void *arg)
{
    struct situation *situation = arg;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport;
    struct channel channel;
    struct peer peer;
    unsigned long long start;
    int ok, result;
    options.total_ms = situation->total_ms;
    options.no_progress_ms = 60000;
    options.farewell = farewell;
    options.farewell_len = situation->big ? sizeof farewell : 0;
    peer_start(&peer, situation->kind, situation->script, NULL, NULL);
    channel_init(&channel, peer.fd, 0, &transport);
    start = now_ms();
    result = situation->over_callbacks ? xmpp_close_with(&transport, &options, &report)
                                       : xmpp_close_fd(peer.fd, &options, &report);
    situation->overrun_ms = (long)(now_ms() - start) - (long)situation->total_ms;
    peer_stop(&peer);
    peer_free(&peer);
    ok = CHECK_INT(result, XMPP_CLOSE_OK);
    ok &= CHECK_INT(report.outcome, situation->outcome);
    ok &= CHECK_INT(report.tag_sent, situation->outcome == XMPP_CLOSE_TIMED_OUT);
    ok &= CHECK(situation->overrun_ms >= -1 && situation->overrun_ms <= check_slack());
    ok &= CHECK(report.elapsed_ms >= situation->total_ms);
    situation->failed = !ok;
    return NULL;
}

/* All at once, since they only wait. */
TEST(every_close_ends_within_its_total_time)
{
    struct situation all[2 * SITUATIONS];
    size_t i;
    long worst = 0;
    /* One stanza: the library looks through it before the time begins to count, which valgrind makes slow. */
    memset(farewell, 'x', sizeof farewell);
    memcpy(farewell, "<message>", 9);
    memcpy(farewell + sizeof farewell - 10, "</message>", 10);
    for (i = 0; i < 2 * SITUATIONS; i++) {
        all[i] = situations[i % SITUATIONS];
        all[i].over_callbacks = i >= SITUATIONS;
        if (pthread_create(&all[i].thread, NULL, close_in, &all[i]) != 0)
            check_fatal("pthread_create");
    }
    for (i = 0; i < 2 * SITUATIONS; i++) {
        pthread_join(all[i].thread, NULL);
        worst = all[i].overrun_ms > worst ? all[i].overrun_ms : worst;
        if (all[i].failed)
            printf("  the case was: %s, T = %u ms, %s\n", all[i].name, (unsigned)all[i].total_ms,
                   all[i].over_callbacks ? "xmpp_close_with" : "xmpp_close_fd");
    }
    printf("  %zu closes at once, T = 500 and 2000 ms: the latest returned at T + %ld ms\n", 2 * SITUATIONS, worst);
}

static unsigned long long timed(const struct step *script, const xmpp_close_options *options, uint32_t outcome)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    struct peer peer;
    unsigned long long start;
    peer_start(&peer, TCP, script, NULL, NULL);
    start = now_ms();
    CHECK_INT(xmpp_close_fd(peer.fd, options, &report), XMPP_CLOSE_OK);
    start = now_ms() - start;
    CHECK_INT(report.outcome, outcome);
    peer_stop(&peer);
    CHECK_INT(peer_count(&peer, "error"), 0); /* a failed handshake is no stream error */
    peer_free(&peer);
    return start;
}

TEST(silence_ends_it_before_the_total_time)
{
    static const struct step script[] = { { READ_TAG, NULL, 0 }, { PAUSE, NULL, 300 }, { SEND, "<a/>", 0 },
                                          { PAUSE, NULL, 300 }, { SEND, "<a/>", 0 }, { HOLD, NULL, 0 } };
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    unsigned long long took;
    options.total_ms = 60000;
    options.no_progress_ms = 1500;
    took = timed(script, &options, XMPP_CLOSE_TIMED_OUT);
    CHECK(took >= 2100 && took <= 2100 + 20000); /* 1500 ms after the last byte */
}

TEST(a_peer_that_keeps_tcp_open_is_waited_for_as_long_as_linger)
{
    static const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { HOLD, NULL, 0 } };
    static const struct step dripping[] = { { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { DRIP, "junk", 50 } };
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    unsigned long long took;
    options.total_ms = 60000;
    options.no_progress_ms = 60000;
    options.linger_ms = 300;
    took = timed(script, &options, XMPP_CLOSE_CLEAN);
    CHECK(took >= 300 && took <= 300 + 20000);
    took = timed(dripping, &options, XMPP_CLOSE_CLEAN);
    CHECK(took >= 300 && took <= 300 + 20000);
    options.total_ms = 1500; /* linger is inside total_ms */
    options.linger_ms = 60000;
    took = timed(script, &options, XMPP_CLOSE_CLEAN);
    CHECK(took >= 1500 && took <= 1500 + 20000);
}
