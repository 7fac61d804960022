/* Sockets in odd states: never connected, reset, or with options that hide from poll(2) that something has come. */
#define _GNU_SOURCE
#include "channel.h"
#include "check.h"
#include "loop.h"
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LIMIT_MS 1500
/* The processor time that such a wait may cost: 50 ms in 3 s. */
#define MOST_MS (LIMIT_MS / 60)

/* No call accepts the socket, and none writes to it. */
static void not_connected(int fd)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport;
    xmpp_close_batch *batch = NULL;
    struct channel channel;
    channel_init(&channel, fd, 0, &transport);
    CHECK_INT(xmpp_close_fd(fd, NULL, &report), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(report.os_error, ENOTCONN);
    CHECK_INT(report.outcome, XMPP_CLOSE_PENDING);
    CHECK_INT(report.tag_sent, 0);
    report.os_error = 0;
    CHECK_INT(xmpp_close_with(&transport, NULL, &report), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(report.os_error, ENOTCONN);
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_add(batch, fd, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, NULL, NULL), XMPP_CLOSE_ERR_INVALID);
    xmpp_close_batch_free(batch);
    CHECK_INT(channel.reads + channel.writes + channel.ends, 0);
    close(fd);
}

static int new_socket(int family)
{
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd < 0)
        check_fatal("socket");
    return fd;
}

/* A socket on a free port of the loopback interface. */
static int bound_socket(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    int fd = new_socket(AF_INET);
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)address, sizeof *address) != 0 ||
        getsockname(fd, (struct sockaddr *)address, &length) != 0)
        check_fatal("bind");
    return fd;
}

TEST(sockets_that_were_never_connected_are_refused)
{
    struct sockaddr_in address;
    struct sockaddr_un nowhere;
    struct pollfd ended;
    int fd, listener;
    not_connected(new_socket(AF_INET));
    not_connected(new_socket(AF_UNIX));
    not_connected(bound_socket(&address));
    listener = bound_socket(&address);
    if (listen(listener, 1) != 0)
        check_fatal("listen");
    not_connected(listener);
    /* Nothing listens there any more. */
    fd = new_socket(AF_INET);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == -1 && errno == ECONNREFUSED);
    not_connected(fd);
    fd = new_socket(AF_INET);
    set_nonblocking(fd);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == -1);
    ended.fd = fd;
    ended.events = 0;
    CHECK_INT(poll(&ended, 1, 90000), 1);
    not_connected(fd);
    memset(&nowhere, 0, sizeof nowhere);
    nowhere.sun_family = AF_UNIX;
    strcpy(nowhere.sun_path, "/nowhere/to/be/found");
    fd = new_socket(AF_UNIX);
    CHECK(connect(fd, (struct sockaddr *)&nowhere, sizeof nowhere) == -1);
    not_connected(fd);
}

TEST(a_socket_that_is_still_connecting_is_refused)
{
    enum { MOST = 64 };
    struct sockaddr_in address;
    struct pollfd connecting;
    int fds[MOST], count = 0, listener = bound_socket(&address);
    if (listen(listener, 0) != 0)
        check_fatal("listen");
    /* Until no more connections fit into the queue of those that wait to be accepted. */
    do {
        if (count == MOST)
            check_fatal("a connection that is not completed");
        fds[count] = new_socket(AF_INET);
        set_nonblocking(fds[count]);
        CHECK(connect(fds[count], (struct sockaddr *)&address, sizeof address) == -1 && errno == EINPROGRESS);
        connecting.fd = fds[count++];
        connecting.events = POLLOUT;
    } while (poll(&connecting, 1, 200) == 1);
    not_connected(connecting.fd);
    while (--count > 0)
        close(fds[count - 1]);
    close(listener);
}

enum way { FD, WITH, BATCH, STEP, WAYS };
static const char *const way_names[] = { "xmpp_close_fd", "xmpp_close_with", "xmpp_close_batch_run", "xmpp_close_step" };

static xmpp_close_report close_by(enum way way, int fd, const xmpp_close_options *options)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport;
    struct channel channel;
    channel_init(&channel, fd, 0, &transport);
    if (way == FD)
        CHECK_INT(xmpp_close_fd(fd, options, &report), XMPP_CLOSE_OK);
    else if (way == WITH)
        CHECK_INT(xmpp_close_with(&transport, options, &report), XMPP_CLOSE_OK);
    else if (way == STEP)
        CHECK_INT(step_close(&transport, options, -1, &report), XMPP_CLOSE_OK);
    else {
        xmpp_close_batch *batch = NULL;
        CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
        CHECK_INT(xmpp_close_batch_add(batch, fd, options, NULL), XMPP_CLOSE_OK);
        CHECK_INT(xmpp_close_batch_run(batch, NULL, NULL), XMPP_CLOSE_OK);
        CHECK_INT(xmpp_close_batch_report(batch, 0, &report), XMPP_CLOSE_OK);
        xmpp_close_batch_free(batch);
    }
    return report;
}

static void reset(int fd)
{
    const struct linger linger = { 1, 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

static void await_events(int fd, short events)
{
    struct pollfd awaited;
    awaited.fd = fd;
    awaited.events = events;
    if (poll(&awaited, 1, 90000) != 1)
        check_fatal("an end that does not come");
}

/* After a reset, getpeername(2) says what it says of a socket that was never connected. */
TEST(a_socket_whose_peer_is_gone_has_an_outcome)
{
    enum { RESETS, RESETS_AND_WE_KNOW, BOTH_END, ENDS, CASES };
    enum way way;
    int kind, side, gone;
    for (way = FD; way < WAYS; way++)
        for (kind = TCP; kind <= UNIX; kind += UNIX - TCP)
            for (side = 0; side <= 1; side++)
                for (gone = 0; gone < CASES; gone++) {
                    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
                    int fds[2];
                    char byte;
                    uint32_t outcome;
                    options.total_ms = 60000;
                    connected_pair((enum kind)kind, fds);
                    if (gone == BOTH_END)
                        shutdown(fds[side], SHUT_WR);
                    if (gone == RESETS || gone == RESETS_AND_WE_KNOW)
                        reset(fds[!side]);
                    else
                        close(fds[!side]);
                    await_events(fds[side], POLLIN);
                    if (gone == RESETS_AND_WE_KNOW)
                        CHECK(recv(fds[side], &byte, 1, MSG_DONTWAIT) <= 0);
                    outcome = close_by(way, fds[side], &options).outcome;
                    if (outcome != XMPP_CLOSE_RESET && outcome != XMPP_CLOSE_PEER_EOF)
                        printf("%s, kind %d, side %d, case %d\n", way_names[way], kind, side, gone);
                    CHECK(outcome == XMPP_CLOSE_RESET || outcome == XMPP_CLOSE_PEER_EOF);
                    close(fds[side]);
                }
}

static void set_option(int fd, int name, int value)
{
    if (setsockopt(fd, SOL_SOCKET, name, &value, sizeof value) != 0)
        check_fatal("setsockopt");
}

enum lie { TIMESTAMP, ZEROCOPY, LOW_WATER, LIES };

static void prepare(enum lie lie, int fd)
{
    switch (lie) {
    case TIMESTAMP: /* of each byte that leaves: TX_SOFTWARE, SOFTWARE, OPT_ID */
        set_option(fd, SO_TIMESTAMPING, 1 << 1 | 1 << 4 | 1 << 7);
        CHECK(send(fd, "<a/>", 4, MSG_NOSIGNAL) == 4);
        await_events(fd, 0);
        break;
    case ZEROCOPY:
        set_option(fd, SO_ZEROCOPY, 1);
        CHECK(send(fd, "<a/>", 4, MSG_NOSIGNAL | MSG_ZEROCOPY) == 4);
        await_events(fd, 0);
        break;
    default:
        set_option(fd, SO_RCVLOWAT, 4096);
    }
}

static const struct step silent[] = { { HOLD, NULL, 0 } };

struct wait {
    enum lie lie;
    enum way way;
    const xmpp_close_canceller *canceller;
    pthread_t thread;
    unsigned long long cost;
};

/* A wait for a silent peer. A busy machine can only add to its cost, so there is a second try. */
static void *run_wait(void *arg)
{
    struct wait *wait = arg;
    int tries = 2;
    do {
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        struct peer peer;
        unsigned long long start;
        options.total_ms = LIMIT_MS;
        options.canceller = wait->canceller;
        peer_start(&peer, TCP, silent, NULL, NULL);
        prepare(wait->lie, peer.fd);
        start = now_ms();
        wait->cost = cpu_ms();
        CHECK_INT(close_by(wait->way, peer.fd, &options).outcome, XMPP_CLOSE_TIMED_OUT);
        wait->cost = cpu_ms() - wait->cost;
        CHECK(now_ms() - start >= LIMIT_MS - 1);
        peer_stop(&peer);
        peer_free(&peer);
    } while (--tries > 0 && wait->cost > MOST_MS);
    return NULL;
}

TEST(a_wait_costs_nothing_whatever_poll_says)
{
    static const char *const lies[] = { "timestamp", "zerocopy", "SO_RCVLOWAT" };
    static struct wait waits[LIES * WAYS * 2];
    xmpp_close_canceller *canceller = NULL;
    int i;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    for (i = 0; i < LIES * WAYS * 2; i++) {
        waits[i].lie = (enum lie)(i % LIES);
        waits[i].way = (enum way)(i / LIES % WAYS);
        waits[i].canceller = i / LIES / WAYS ? canceller : NULL;
        if (pthread_create(&waits[i].thread, NULL, run_wait, &waits[i]) != 0)
            check_fatal("pthread_create");
    }
    for (i = 0; i < LIES * WAYS * 2; i++) {
        pthread_join(waits[i].thread, NULL);
        printf("  %s, %s%s: %llu ms of processor time\n", lies[waits[i].lie], way_names[waits[i].way],
               waits[i].canceller != NULL ? " with a canceller" : "", waits[i].cost);
        CHECK(waits[i].cost <= MOST_MS || check_slack() > 1000); /* instrumented, everything takes long */
    }
    xmpp_close_canceller_free(canceller);
}

/* The wait is for something that is always so. */
static int is_writable(void *channel, uint8_t *buf, size_t len, size_t *n)
{
    (void)buf;
    (void)len;
    (void)n;
    ((struct channel *)channel)->reads++;
    return XMPP_CLOSE_WANT_WRITE;
}

TEST(callbacks_that_lie_cost_nothing)
{
    static const struct step talks[] = { { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { HOLD, NULL, 0 } };
    int batch;
    for (batch = 0; batch <= 1; batch++) {
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
        xmpp_close_batch *together = NULL;
        xmpp_close_transport transport;
        struct channel channel;
        struct peer peer;
        unsigned long long cost;
        options.total_ms = LIMIT_MS;
        peer_start(&peer, TCP, talks, NULL, NULL);
        channel_init(&channel, peer.fd, 0, &transport);
        transport.read = is_writable;
        CHECK_INT(xmpp_close_batch_new(&together), XMPP_CLOSE_OK);
        cost = cpu_ms();
        if (batch) {
            CHECK_INT(xmpp_close_batch_add_with(together, &transport, &options, NULL), XMPP_CLOSE_OK);
            CHECK_INT(xmpp_close_batch_run(together, NULL, NULL), XMPP_CLOSE_OK);
            CHECK_INT(xmpp_close_batch_report(together, 0, &report), XMPP_CLOSE_OK);
        } else
            CHECK_INT(xmpp_close_with(&transport, &options, &report), XMPP_CLOSE_OK);
        cost = cpu_ms() - cost;
        CHECK_INT(report.outcome, XMPP_CLOSE_TIMED_OUT);
        CHECK(cost <= MOST_MS || check_slack() > 1000);
        printf("  %u reads, %llu ms of processor time\n", channel.reads, cost);
        xmpp_close_batch_free(together);
        peer_stop(&peer);
        peer_free(&peer);
    }
}

/* poll(2) does not report what a socket holds back until 4096 bytes have come. */
TEST(a_tag_shorter_than_so_rcvlowat_is_seen_at_once)
{
    static const struct step late[] = { { READ_TAG, NULL, 0 }, { PAUSE, NULL, 100 }, { SEND, "<a/>" TAG, 0 },
                                        { READ_END, NULL, 0 }, { END, NULL, 0 } };
    enum way way;
    for (way = FD; way < WAYS; way++) {
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_report report;
        struct peer peer;
        int value = 0;
        socklen_t length = sizeof value;
        options.total_ms = 60000;
        peer_start(&peer, TCP, late, NULL, NULL);
        set_option(peer.fd, SO_RCVLOWAT, 4096);
        report = close_by(way, peer.fd, &options);
        CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(report.stanzas, 1);
        CHECK(report.elapsed_ms < 5000 + (uint32_t)check_slack());
        CHECK(getsockopt(peer.fd, SOL_SOCKET, SO_RCVLOWAT, &value, &length) == 0 && value == 4096); /* the option is as it was */
        peer_stop(&peer);
        peer_free(&peer);
    }
}
