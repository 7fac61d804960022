/* Transports of callbacks in a batch: they wait crosswise, are interrupted, or never move, and disturb no other stream. */
#include "channel.h"
#include "check.h"
#include "member.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define STREAMS 4

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/><b/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};
static const struct step answer_tls[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/><b/>" TAG, 0 }, { SEND_ZERO, NULL, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};
static const struct step stanza[] = { { SEND, "<a/>", 0 }, { HOLD, NULL, 0 } };

/* A channel whose functions misbehave. */
struct odd {
    struct channel channel; /* first, so that a pointer to this struct is one to its channel */
    xmpp_close_transport transport;
    unsigned calls, limit;
    int result;
};

typedef int read_function(void *, uint8_t *, size_t, size_t *);
typedef int write_function(void *, const uint8_t *, size_t, size_t *);
typedef int end_function(void *);

static void odd_start(struct odd *odd, struct member *member, const struct step *script, int tls)
{
    memset(odd, 0, sizeof *odd);
    member_start(member, TCP, script, NULL, NULL);
    channel_init(&odd->channel, member->peer.fd, tls, &odd->transport);
    member->over = &odd->transport;
    member->options.on_stanza = member_stanza;
}

/* All of STREAMS like this, and a socket beside them. */
static void close_oddly(int tls, read_function *reader, write_function *writer, unsigned limit, uint32_t bits)
{
    static struct member members[STREAMS + 1];
    static struct odd odd[STREAMS];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_summary summary;
    size_t i;
    for (i = 0; i < STREAMS; i++) {
        odd_start(&odd[i], &members[i], tls ? answer_tls : answer, tls);
        odd[i].limit = limit;
        odd[i].transport.read = reader != NULL ? reader : channel_read;
        odd[i].transport.write = writer != NULL ? writer : channel_write;
        members[i].options.farewell = "<presence type='unavailable'/>";
        members[i].options.farewell_len = strlen("<presence type='unavailable'/>");
    }
    member_start(&members[STREAMS], UNIX, answer, NULL, NULL);
    members[STREAMS].options.on_stanza = member_stanza;
    summary = members_close(members, STREAMS + 1, &options);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], STREAMS + 1);
    CHECK(summary.elapsed_ms < 15000 + (uint32_t)check_slack());
    for (i = 0; i <= STREAMS; i++) {
        CHECK_TEXT(members[i].got, "<a/><b/>");
        CHECK_INT(peer_count(&members[i].peer, TAG), 1);
        if (i < STREAMS)
            CHECK_INT(members[i].report.tls, bits);
    }
    members_free(members, STREAMS + 1);
}

#define NOTIFIED (XMPP_CLOSE_TLS_USED | XMPP_CLOSE_TLS_NOTIFY_SENT | XMPP_CLOSE_TLS_NOTIFY_RECEIVED)

TEST(transports_and_sockets_are_closed_together)
{
    close_oddly(0, NULL, NULL, 0, 0);
    close_oddly(1, NULL, NULL, 0, NOTIFIED);
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
    close_oddly(0, read_one_byte, write_one_byte, 0, 0);
    close_oddly(1, read_one_byte, write_one_byte, 0, NOTIFIED);
}

/* As TLS does while keys are renewed: a read that can go on only after a write, and the other way round. */
static int read_wants_write_first(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    return odd->calls++ < 3 ? XMPP_CLOSE_WANT_WRITE : channel_read(odd, buf, len, n);
}

static int write_wants_read_first(void *arg, const uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    return odd->calls++ == 0 ? XMPP_CLOSE_WANT_READ : channel_write(odd, buf, len, n);
}

TEST(a_direction_may_wait_for_the_other)
{
    static const struct step speaks_first[] = { { SEND, "<a/>", 0 }, { READ_TAG, NULL, 0 }, { SEND, "<b/>" TAG, 0 },
                                                { SEND_ZERO, NULL, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };
    static struct member members[STREAMS];
    static struct odd odd[STREAMS];
    xmpp_close_batch_options options = batch_options();
    size_t i;
    close_oddly(0, read_wants_write_first, NULL, 0, 0);
    close_oddly(1, read_wants_write_first, NULL, 0, NOTIFIED);
    for (i = 0; i < STREAMS; i++) {
        odd_start(&odd[i], &members[i], speaks_first, 1);
        odd[i].transport.write = write_wants_read_first;
    }
    CHECK_INT(members_close(members, STREAMS, &options).outcomes[XMPP_CLOSE_CLEAN], STREAMS);
    for (i = 0; i < STREAMS; i++) {
        CHECK_TEXT(members[i].got, "<a/><b/>");
        CHECK(members[i].report.elapsed_ms < 15000);
    }
    members_free(members, STREAMS);
}

static int read_interrupted(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    return ++odd->calls < odd->limit ? EINTR : channel_read(odd, buf, len, n);
}

/* The peer says nothing before it has our tag, so that only the next attempt can help. */
static int write_interrupted(void *arg, const uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    return ++odd->calls < odd->limit ? EINTR : channel_write(odd, buf, len, n);
}

TEST(interruptions_end_nothing)
{
    close_oddly(0, read_interrupted, NULL, 200, 0);
    close_oddly(0, NULL, write_interrupted, 200, 0);
    close_oddly(1, read_interrupted, NULL, 200, NOTIFIED);
    close_oddly(1, NULL, write_interrupted, 200, NOTIFIED);
}

/* The peer reads nothing before all that it sends was read, while our output is blocked, too. */
TEST(an_interrupted_read_does_not_wait_for_the_output)
{
    static char big[1 << 20];
    static const struct step talks_first[] = { { SEND, "<message><body>before</body></message>", 20000 },
                                               { SEND, TAG, 0 }, { READ_TAG, NULL, 0 }, { READ_END, NULL, 0 },
                                               { END, NULL, 0 } };
    struct member member;
    struct odd odd;
    xmpp_close_batch_options options = batch_options();
    memset(big, ' ', sizeof big);
    memset(&odd, 0, sizeof odd);
    member_start(&member, TCP_SMALL, talks_first, NULL, NULL);
    channel_init(&odd.channel, member.peer.fd, 0, &odd.transport);
    member.over = &odd.transport;
    odd.limit = 200;
    odd.transport.read = read_interrupted;
    member.options.farewell = big;
    member.options.farewell_len = sizeof big;
    CHECK_INT(members_close(&member, 1, &options).outcomes[XMPP_CLOSE_CLEAN], 1);
    CHECK_INT(member.report.stanzas, 20000);
    CHECK_INT(member.peer.got_len, sizeof big + strlen(TAG));
    members_free(&member, 1);
}

static int read_result(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    odd->calls++;
    memset(buf, '<', len < 10 ? len : 10);
    *n = odd->result == 0 ? len + 1 : 10;
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

/* The stream waits for its own limit, but does not try again and again, and holds up no other stream. */
static void close_without_moving(const struct step *script, read_function *reader, write_function *writer,
                                 end_function *ender, int result, uint32_t outcome)
{
    enum { LIMIT_MS = 500 };
    static struct member members[2];
    static struct odd odd;
    xmpp_close_batch_options options = batch_options();
    unsigned long long cpu;
    odd_start(&odd, &members[0], script, 0);
    odd.result = result;
    odd.limit = UINT_MAX;
    odd.transport.read = reader != NULL ? reader : channel_read;
    odd.transport.write = writer != NULL ? writer : channel_write;
    odd.transport.shut = ender != NULL ? ender : channel_shut;
    members[0].options.total_ms = members[0].options.linger_ms = LIMIT_MS;
    member_start(&members[1], TCP, answer, NULL, NULL);
    cpu = cpu_ms();
    members_close(members, 2, &options);
    cpu = cpu_ms() - cpu;
    CHECK_TEXT(xmpp_close_outcome_name(members[0].report.outcome), xmpp_close_outcome_name(outcome));
    CHECK_INT(members[1].report.outcome, XMPP_CLOSE_CLEAN);
    CHECK(members[1].report.elapsed_ms < LIMIT_MS / 2 + (uint32_t)check_slack());
    CHECK(members[0].report.elapsed_ms >= LIMIT_MS &&
          members[0].report.elapsed_ms < LIMIT_MS + (uint32_t)check_slack());
    CHECK(odd.calls < 5 * LIMIT_MS);
    CHECK(cpu < LIMIT_MS / 2);
    printf("  %s after %u ms: %u calls, %llu ms of processor time\n", xmpp_close_outcome_name(outcome),
           (unsigned)members[0].report.elapsed_ms, odd.calls, cpu);
    members_free(members, 2);
}

TEST(what_never_moves_is_no_busy_loop)
{
    static const int results[] = { EAGAIN, EINTR, XMPP_CLOSE_WANT_READ, XMPP_CLOSE_WANT_WRITE };
    size_t i;
    for (i = 0; i < sizeof results / sizeof *results; i++) {
        close_without_moving(stanza, read_result, NULL, NULL, results[i], XMPP_CLOSE_TIMED_OUT);
        close_without_moving(stanza, NULL, write_result, NULL, results[i], XMPP_CLOSE_STALLED);
        close_without_moving(answer, NULL, NULL, end_result, results[i], XMPP_CLOSE_CLEAN);
    }
    close_without_moving(stanza, NULL, write_result, NULL, 0, XMPP_CLOSE_STALLED); /* "written: 0 bytes" */
}

/* Bytes of a TLS record that is not whole yet: reading takes them from the socket, and yields nothing. */
static int read_into_nowhere(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    ssize_t got;
    (void)n;
    odd->calls++;
    CHECK(len > 0);
    got = recv(odd->channel.fd, buf, 1, MSG_DONTWAIT);
    return got > 0 || errno == EAGAIN ? XMPP_CLOSE_WANT_READ : errno;
}

static int read_late(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct odd *odd = arg;
    return odd->calls++ < 60 ? XMPP_CLOSE_WANT_READ : channel_read(odd, buf, len, n);
}

/* read is called again after pauses, and only while the descriptor is ready. */
TEST(a_burst_without_effect_is_over_when_it_is_over)
{
    static const struct step sixty[] = { { SEND, "x", 60 }, { HOLD, NULL, 0 } };
    read_function *const readers[] = { read_into_nowhere, read_late };
    int i;
    for (i = 0; i < 2; i++) {
        struct member member;
        struct odd odd;
        xmpp_close_batch_options options = batch_options();
        odd_start(&odd, &member, i == 0 ? sixty : stanza, 0);
        odd.transport.read = readers[i];
        options.total_ms = 2000 + (uint32_t)check_slack() / 2;
        CHECK_INT(members_close(&member, 1, &options).outcomes[XMPP_CLOSE_TIMED_OUT], 1);
        CHECK_TEXT(member.got, i == 0 ? "" : "<a/>");
        CHECK(odd.calls >= 60 && odd.calls < 120);
        printf("  %u calls in %u ms\n", odd.calls, (unsigned)member.report.elapsed_ms);
        members_free(&member, 1);
    }
}

TEST(what_means_nothing_fails_one_stream_only)
{
    /* The first is a count of more bytes than there is room for. The last two have no meaning in plaintext. */
    static const int results[] = { 0, -77, INT_MIN, INT_MAX, ECONNRESET, XMPP_CLOSE_TLS_EOF, XMPP_CLOSE_TLS_ERROR };
    enum { COUNT = sizeof results / sizeof *results };
    static struct member members[COUNT + 1];
    static struct odd odd[COUNT];
    xmpp_close_batch_options options = batch_options();
    size_t i;
    for (i = 0; i < COUNT; i++) {
        odd_start(&odd[i], &members[i], answer, 0);
        odd[i].result = results[i];
        odd[i].transport.read = read_result;
    }
    member_start(&members[COUNT], TCP, answer, NULL, NULL);
    CHECK_INT(members_close(members, COUNT + 1, &options).outcomes[XMPP_CLOSE_RESET], COUNT);
    for (i = 0; i < COUNT; i++) {
        CHECK_INT(members[i].report.os_error, results[i] > 0 ? results[i] : EPROTO);
        CHECK_INT(members[i].report.bytes_read, 0);
        CHECK_INT(odd[i].calls, 1);
    }
    CHECK_INT(members[COUNT].report.outcome, XMPP_CLOSE_CLEAN);
    members_free(members, COUNT + 1);
}
