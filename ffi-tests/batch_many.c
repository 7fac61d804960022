/* Hundreds of streams, two batches in two threads, and signals while they run. */
#include "check.h"
#include "member.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define MOST 500

/* All the peers of a batch in one thread. Each reads up to our tag, then sends a stanza and its own. */
struct crowd {
    int count;
    int ours[MOST], theirs[MOST];
    char got[MOST][64];
    size_t len[MOST];
    int clean_ends, ends[MOST], stanzas[MOST];
    xmpp_close_batch *batch;
    pthread_t peers, closer;
};

static void *run_peers(void *arg)
{
    struct crowd *crowd = arg;
    struct pollfd fds[MOST];
    int open = crowd->count, i;
    for (i = 0; i < crowd->count; i++) {
        fds[i].fd = crowd->theirs[i];
        fds[i].events = POLLIN;
    }
    while (open > 0) {
        if (poll(fds, (nfds_t)crowd->count, 90000) <= 0)
            check_fatal("peers that nobody talks to");
        for (i = 0; i < crowd->count; i++) {
            ssize_t n;
            if (fds[i].revents == 0)
                continue;
            n = recv(fds[i].fd, crowd->got[i] + crowd->len[i], sizeof crowd->got[i] - crowd->len[i] - 1, 0);
            if (n > 0) {
                crowd->len[i] += (size_t)n;
                if (strstr(crowd->got[i], TAG) != NULL)
                    CHECK(send(fds[i].fd, "<a/>" TAG, 4 + strlen(TAG), MSG_NOSIGNAL) > 0);
                continue;
            }
            crowd->clean_ends += n == 0;
            close(fds[i].fd);
            fds[i].fd = -1;
            open--;
        }
    }
    return NULL;
}

struct place {
    struct crowd *crowd;
    int number;
};

static int count_stanza(void *arg, const uint8_t *xml, size_t len)
{
    struct place *place = arg;
    place->crowd->stanzas[place->number] += len == 4 && memcmp(xml, "<a/>", 4) == 0;
    return 0;
}

static void count_end(void *arg, size_t index, const xmpp_close_report *report)
{
    struct place *place = arg;
    CHECK_INT(index, place->number);
    CHECK_INT(report->outcome, XMPP_CLOSE_CLEAN);
    place->crowd->ends[place->number]++;
    close(place->crowd->ours[place->number]);
}

static void *close_crowd(void *arg)
{
    struct crowd *crowd = arg;
    struct place *places = calloc((size_t)crowd->count, sizeof *places);
    xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
    int i, right = 0;
    if (places == NULL)
        check_fatal("calloc");
    CHECK_INT(xmpp_close_batch_new(&crowd->batch), XMPP_CLOSE_OK);
    for (i = 0; i < crowd->count; i++) {
        xmpp_close_options each = XMPP_CLOSE_OPTIONS_INIT;
        places[i].crowd = crowd;
        places[i].number = i;
        each.total_ms = each.no_progress_ms = each.linger_ms = 80000;
        each.on_stanza = count_stanza;
        each.userdata = &places[i];
        CHECK_INT(xmpp_close_batch_add(crowd->batch, crowd->ours[i], &each, NULL), XMPP_CLOSE_OK);
    }
    options.total_ms = 80000;
    options.on_end = count_end;
    CHECK_INT(xmpp_close_batch_run(crowd->batch, &options, &summary), XMPP_CLOSE_OK);
    xmpp_close_batch_free(crowd->batch);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], crowd->count);
    CHECK_INT(summary.stanzas, crowd->count);
    for (i = 0; i < crowd->count; i++)
        right += crowd->ends[i] == 1 && crowd->stanzas[i] == 1;
    CHECK_INT(right, crowd->count);
    printf("  %d streams closed in %u ms\n", crowd->count, (unsigned)summary.elapsed_ms);
    free(places);
    return NULL;
}

static struct crowd *crowd_start(int count)
{
    struct crowd *crowd = calloc(1, sizeof *crowd);
    int i;
    if (crowd == NULL)
        check_fatal("calloc");
    crowd->count = count;
    for (i = 0; i < count; i++) {
        int fds[2];
        connected_pair(i % 2 ? TCP : UNIX, fds);
        crowd->ours[i] = fds[0];
        crowd->theirs[i] = fds[1];
    }
    if (pthread_create(&crowd->peers, NULL, run_peers, crowd) != 0)
        check_fatal("pthread_create");
    return crowd;
}

static void crowd_stop(struct crowd *crowd)
{
    int i, right = 0;
    pthread_join(crowd->peers, NULL);
    for (i = 0; i < crowd->count; i++)
        right += strcmp(crowd->got[i], TAG) == 0;
    CHECK_INT(right, crowd->count);
    CHECK_INT(crowd->clean_ends, crowd->count);
    free(crowd);
}

TEST(five_hundred_streams_are_closed_by_one_thread)
{
    struct rlimit limit;
    struct crowd *crowd;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        check_fatal("getrlimit");
    if (limit.rlim_cur < 3 * MOST) {
        limit.rlim_cur = limit.rlim_max < 3 * MOST ? limit.rlim_max : 3 * MOST;
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    }
    crowd = crowd_start(check_rounds(MOST));
    close_crowd(crowd);
    crowd_stop(crowd);
}

TEST(two_threads_run_two_batches_at_once)
{
    struct crowd *crowds[2];
    int i;
    for (i = 0; i < 2; i++)
        crowds[i] = crowd_start(check_rounds(200));
    for (i = 0; i < 2; i++)
        if (pthread_create(&crowds[i]->closer, NULL, close_crowd, crowds[i]) != 0)
            check_fatal("pthread_create");
    for (i = 0; i < 2; i++)
        pthread_join(crowds[i]->closer, NULL);
    for (i = 0; i < 2; i++)
        crowd_stop(crowds[i]);
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

/* Every signal hits the thread that closes, since the thread of the peers blocks signals. */
static void close_under_signals(int flags)
{
    static const struct step late[] = { { READ_TAG, NULL, 0 }, { PAUSE, NULL, 200 }, { SEND, "<a/>", 0 },
                                        { PAUSE, NULL, 100 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 },
                                        { END, NULL, 0 } };
    static const struct step mute[] = { { READ_END, NULL, 0 }, { END, NULL, 0 } };
    const struct itimerval every_10_ms = { { 0, 10000 }, { 0, 10000 } }, never = { { 0, 0 }, { 0, 0 } };
    enum { TOTAL_MS = 1000 };
    static struct member members[4];
    xmpp_close_batch_options options = batch_options();
    xmpp_close_summary summary;
    struct sigaction action;
    sigset_t alarm, old;
    int i, hits;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, &old);
    for (i = 0; i < 4; i++)
        member_start(&members[i], TCP, i % 2 ? late : mute, NULL, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = count_signal;
    action.sa_flags = flags;
    signals = 0;
    if (sigaction(SIGALRM, &action, NULL) != 0 || setitimer(ITIMER_REAL, &every_10_ms, NULL) != 0)
        check_fatal("setitimer");
    for (i = 0; i < 4; i++)
        if (i % 2 == 0)
            members[i].options.total_ms = TOTAL_MS;
    summary = members_close(members, 4, &options);
    hits = signals;
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_IGN); /* a signal may still be on its way */
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], 2);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_TIMED_OUT], 2);
    CHECK_INT(summary.stanzas, 2);
    CHECK(summary.elapsed_ms >= TOTAL_MS && summary.elapsed_ms <= TOTAL_MS + (uint32_t)check_slack());
    CHECK(hits >= 3);
    printf("  SA_RESTART %s: %d signals in %u ms\n", flags ? "on" : "off", hits, (unsigned)summary.elapsed_ms);
    members_free(members, 4);
}

TEST(signals_neither_lengthen_nor_break_it)
{
    close_under_signals(0);
    close_under_signals(SA_RESTART);
}

/* The process is alive afterwards, though SIGPIPE is deadly here. */
TEST(peers_that_are_gone_raise_no_sigpipe)
{
    static const struct step gone[] = { { RESET, NULL, 0 } };
    static const struct step tag_and_gone[] = { { SEND, TAG, 0 }, { RESET, NULL, 0 } };
    static struct member members[40];
    static char farewell[1 << 16];
    xmpp_close_batch_options options = batch_options();
    struct sigaction action;
    int i;
    CHECK(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    memset(farewell, ' ', sizeof farewell);
    for (i = 0; i < 40; i++) {
        member_start(&members[i], i % 2 ? TCP : UNIX, i % 4 < 2 ? gone : tag_and_gone, NULL, NULL);
        members[i].options.farewell = farewell;
        members[i].options.farewell_len = i % 3 ? sizeof farewell : 0;
        peer_await(&members[i].peer); /* the peer is gone for certain */
    }
    CHECK_INT(members_close(members, 40, &options).outcomes[XMPP_CLOSE_RESET], 40);
    for (i = 0; i < 40; i++)
        CHECK_INT(members[i].report.tag_sent, 0);
    members_free(members, 40);
}
