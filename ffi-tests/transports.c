/* Transports of callbacks that do what they should not, or do it in small pieces. */
#include "channel.h"
#include "check.h"
#include "peer.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/><b/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};
static const struct step silent[] = { { HOLD, NULL, 0 } };

/* A channel whose functions a test replaces by misbehaving ones. */
struct odd {
    struct channel channel; /* first, so that a pointer to this struct is one to its channel */
    unsigned calls, limit;
    int result;
    size_t count;
    unsigned long long cpu;
};

typedef int read_function(void *, uint8_t *, size_t, size_t *);
typedef int write_function(void *, const uint8_t *, size_t, size_t *);

/* Closes with those functions that are not NULL. `peer` is stopped, and the caller frees it. */
static xmpp_close_report close_oddly(struct odd *odd, const struct step *script, read_function *reader,
                                     write_function *writer, int (*ender)(void *), xmpp_close_options *options,
                                     struct peer *peer)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_options defaults = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_transport transport;
    if (options == NULL) {
        options = &defaults;
        options->total_ms = options->no_progress_ms = 20000;
    }
    peer_start(peer, TCP, script, NULL, NULL);
    channel_init(&odd->channel, peer->fd, 0, &transport);
    transport.read = reader != NULL ? reader : channel_read;
    transport.write = writer != NULL ? writer : channel_write;
    transport.shut = ender != NULL ? ender : channel_shut;
    odd->calls = 0;
    odd->cpu = cpu_ms();
    CHECK_INT(xmpp_close_with(&transport, options, &report), XMPP_CLOSE_OK);
    odd->cpu = cpu_ms() - odd->cpu;
    peer->fd = odd->channel.fd;
    peer_stop(peer);
    CHECK(peer_count(peer, TAG) <= 1);
    return report;
}

static int read_one_byte(void *odd, uint8_t *buf, size_t len, size_t *n)
{
    CHECK(len > 0);
    return channel_read(odd, buf, 1, n);
}

static int write_one_byte(void *odd, const uint8_t *buf, size_t len, size_t *n)
{
    CHECK(len > 0);
    return channel_write(odd, buf, 1, n);
}

TEST(short_counts_only_take_longer)
{
    struct odd odd;
    struct peer peer;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report;
    options.farewell = "<presence type='unavailable'/>";
    options.farewell_len = strlen("<presence type='unavailable'/>");
    report = close_oddly(&odd, answer, read_one_byte, write_one_byte, NULL, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.stanzas, 2);
    CHECK_INT(odd.channel.writes, strlen("<presence type='unavailable'/>" TAG));
    CHECK_TEXT(peer.got, "<presence type='unavailable'/>" TAG);
    peer_free(&peer);
}

static int read_too_much(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    (void)buf;
    *n = odd->count == 0 ? len + 1 : odd->count;
    return 0;
}

static int write_too_much(void *arg, const uint8_t *buf, size_t len, size_t *n)
{
    return read_too_much(arg, (uint8_t *)(size_t)buf, len, n);
}

TEST(counts_that_cannot_be_are_a_failure)
{
    static const size_t counts[] = { 0 /* one too many */, SIZE_MAX, SIZE_MAX / 2, 1u << 30 };
    size_t i;
    for (i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct odd odd;
        struct peer peer;
        xmpp_close_options soon = XMPP_CLOSE_OPTIONS_INIT; /* a failed write does not end reading */
        xmpp_close_report report;
        soon.total_ms = 200;
        odd.count = counts[i];
        report = close_oddly(&odd, answer, read_too_much, NULL, NULL, NULL, &peer);
        CHECK_INT(report.outcome, XMPP_CLOSE_RESET);
        CHECK_INT(report.os_error, EPROTO);
        CHECK_INT(report.bytes_read, 0);
        peer_free(&peer);
        report = close_oddly(&odd, answer, NULL, write_too_much, NULL, &soon, &peer);
        CHECK_INT(report.outcome, XMPP_CLOSE_RESET);
        CHECK_INT(report.os_error, EPROTO);
        CHECK_INT(report.tag_sent, 0);
        CHECK_INT(report.bytes_unsent, strlen(TAG));
        peer_free(&peer);
    }
}

static int read_end_at_once(void *odd, uint8_t *buf, size_t len, size_t *n)
{
    (void)odd, (void)buf, (void)len, (void)n;
    return 0;
}

static int write_nothing(void *odd, const uint8_t *buf, size_t len, size_t *n)
{
    ((struct odd *)odd)->calls++;
    (void)buf, (void)len, (void)n;
    return 0;
}

/* A close that cannot go on waits, and does not try again and again. */
static void check_idle(const struct odd *odd, const xmpp_close_report *report, uint32_t total_ms)
{
    CHECK(report->elapsed_ms >= total_ms && report->elapsed_ms < total_ms + (uint32_t)check_slack());
    CHECK(odd->cpu < total_ms / 2);
    CHECK(odd->calls < 5 * total_ms);
    printf("  %s after %u ms: %u calls, %llu ms of processor time\n", xmpp_close_outcome_name(report->outcome),
           (unsigned)report->elapsed_ms, odd->calls, odd->cpu);
}

TEST(a_count_that_is_left_alone_is_zero)
{
    struct odd odd;
    struct peer peer;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = close_oddly(&odd, silent, read_end_at_once, NULL, NULL, NULL, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_PEER_EOF);
    peer_free(&peer);
    options.total_ms = 500;
    report = close_oddly(&odd, silent, NULL, write_nothing, NULL, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_STALLED);
    check_idle(&odd, &report, 500);
    peer_free(&peer);
}

static int read_result(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    odd->calls++;
    memset(buf, '<', len < 10 ? len : 10);
    *n = 10;
    return odd->result;
}

static int write_result(void *arg, const uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    (void)buf, (void)len, (void)n;
    odd->calls++;
    return odd->result;
}

static int end_result(void *arg)
{
    struct odd *odd = arg;
    odd->calls++;
    return odd->result;
}

TEST(results_that_mean_nothing_are_a_failure)
{
    /* The last two have no meaning in plaintext. */
    static const int results[] = { -6, -77, INT_MIN, INT_MAX, 123456, EIO, ECONNRESET, EPIPE, XMPP_CLOSE_TLS_EOF,
                                   XMPP_CLOSE_TLS_ERROR };
    size_t i;
    for (i = 0; i < sizeof results / sizeof *results; i++) {
        struct odd odd;
        struct peer peer;
        xmpp_close_options soon = XMPP_CLOSE_OPTIONS_INIT, linger = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_report report;
        int expected = results[i] > 0 ? results[i] : EPROTO;
        soon.total_ms = 200;
        linger.linger_ms = 100;
        odd.result = results[i];
        report = close_oddly(&odd, answer, read_result, NULL, NULL, NULL, &peer);
        CHECK_INT(report.outcome, XMPP_CLOSE_RESET);
        CHECK_INT(report.os_error, expected);
        CHECK_INT(report.bytes_read, 0);
        CHECK_INT(odd.calls, 1);
        peer_free(&peer);
        report = close_oddly(&odd, answer, NULL, write_result, NULL, &soon, &peer);
        CHECK_INT(report.outcome, XMPP_CLOSE_RESET);
        CHECK_INT(report.os_error, expected);
        peer_free(&peer);
        report = close_oddly(&odd, answer, NULL, NULL, end_result, &linger, &peer);
        CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN); /* both tags were there before */
        CHECK_INT(report.os_error, expected);
        peer_free(&peer);
    }
}

static int read_interrupted(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    return ++odd->calls < odd->limit ? EINTR : channel_read(odd, buf, len, n);
}

static int write_interrupted(void *arg, const uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    return ++odd->calls < odd->limit ? EINTR : channel_write(odd, buf, len, n);
}

TEST(interruptions_end_nothing)
{
    struct odd odd;
    struct peer peer;
    xmpp_close_report report;
    odd.limit = 200;
    report = close_oddly(&odd, answer, read_interrupted, NULL, NULL, NULL, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.stanzas, 2);
    peer_free(&peer);
    report = close_oddly(&odd, answer, NULL, write_interrupted, NULL, NULL, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    peer_free(&peer);
}

TEST(endless_interruptions_end_with_the_time)
{
    static const struct step stanza[] = { { SEND, "<a/>", 0 }, { HOLD, NULL, 0 } };
    struct odd odd;
    struct peer peer;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report;
    odd.limit = UINT_MAX;
    options.total_ms = 500;
    report = close_oddly(&odd, stanza, read_interrupted, NULL, NULL, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_TIMED_OUT);
    check_idle(&odd, &report, 500);
    peer_free(&peer);
    report = close_oddly(&odd, silent, NULL, write_interrupted, NULL, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_STALLED);
    check_idle(&odd, &report, 500);
    peer_free(&peer);
}

TEST(would_block_on_a_ready_descriptor_is_no_busy_loop)
{
    static const struct step stanza[] = { { SEND, "<a/>", 0 }, { HOLD, NULL, 0 } };
    static const int results[] = { EAGAIN, XMPP_CLOSE_WANT_READ, XMPP_CLOSE_WANT_WRITE };
    size_t i;
    for (i = 0; i < sizeof results / sizeof *results; i++) {
        struct odd odd;
        struct peer peer;
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_report report;
        options.total_ms = 500;
        odd.result = results[i];
        report = close_oddly(&odd, stanza, read_result, NULL, NULL, &options, &peer);
        CHECK_INT(report.outcome, XMPP_CLOSE_TIMED_OUT);
        check_idle(&odd, &report, 500);
        peer_free(&peer);
        report = close_oddly(&odd, stanza, NULL, write_result, NULL, &options, &peer);
        CHECK_INT(report.outcome, XMPP_CLOSE_STALLED);
        check_idle(&odd, &report, 500);
        peer_free(&peer);
    }
}

TEST(an_output_that_cannot_be_ended_is_no_busy_loop)
{
    struct odd odd;
    struct peer peer;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report;
    odd.result = EAGAIN;
    options.linger_ms = 500;
    report = close_oddly(&odd, answer, NULL, NULL, end_result, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    check_idle(&odd, &report, 500);
    peer_free(&peer);
}

/* As TLS does while keys are renewed: a read that can go on only after a write, and the other way round. */
static int read_wants_write_first(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    return odd->calls++ == 0 ? XMPP_CLOSE_WANT_WRITE : channel_read(odd, buf, len, n);
}

static int write_wants_read_first(void *arg, const uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    return odd->calls++ == 0 ? XMPP_CLOSE_WANT_READ : channel_write(odd, buf, len, n);
}

TEST(a_direction_may_wait_for_the_other)
{
    static const struct step speaks_first[] = { { SEND, "<a/>", 0 }, { READ_TAG, NULL, 0 }, { SEND, "<b/>" TAG, 0 },
                                                { READ_END, NULL, 0 }, { END, NULL, 0 } };
    struct odd odd;
    struct peer peer;
    xmpp_close_report report = close_oddly(&odd, answer, read_wants_write_first, NULL, NULL, NULL, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK(report.elapsed_ms < 10000);
    peer_free(&peer);
    report = close_oddly(&odd, speaks_first, NULL, write_wants_read_first, NULL, NULL, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.stanzas, 2);
    CHECK(report.elapsed_ms < 10000);
    peer_free(&peer);
}

TEST(without_a_function_for_it_the_library_ends_tcp)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport;
    struct channel channel;
    struct peer peer;
    peer_start(&peer, TCP, answer, NULL, NULL);
    channel_init(&channel, peer.fd, 0, &transport);
    transport.notify = NULL; /* not used in plaintext */
    transport.shut = NULL;
    CHECK_INT(xmpp_close_with(&transport, NULL, &report), XMPP_CLOSE_OK);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(channel.ends, 0);
    peer_stop(&peer);
    peer_free(&peer);
}

static int read_later(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    return odd->calls++ < odd->limit ? XMPP_CLOSE_PAUSED : channel_read(odd, buf, len, n);
}

TEST(who_does_not_read_is_asked_again_after_a_while)
{
    static const struct step spoke_before[] = { { SEND, "<a/>" TAG, 0 }, { READ_TAG, NULL, 0 }, { READ_END, NULL, 0 },
                                                { END, NULL, 0 } };
    struct odd odd;
    struct peer peer;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report;
    options.no_progress_ms = 250; /* or there would be two tags */
    odd.limit = 6;
    report = close_oddly(&odd, spoke_before, read_later, NULL, NULL, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.stanzas, 1);
    CHECK(report.elapsed_ms >= 400);
    CHECK(odd.calls < odd.limit + 10);
    peer_free(&peer);
}
