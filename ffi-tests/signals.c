/* Signals every 10 ms neither lengthen, shorten nor break a close, and the close raises none. */
#include "channel.h"
#include "check.h"
#include "peer.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
    (void)number;
    signals++;
}

static void start_signals(int flags)
{
    const struct itimerval every_10_ms = { { 0, 10000 }, { 0, 10000 } };
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = count_signal;
    action.sa_flags = flags;
    signals = 0;
    if (sigaction(SIGALRM, &action, NULL) != 0 || setitimer(ITIMER_REAL, &every_10_ms, NULL) != 0)
        check_fatal("setitimer");
}

static void stop_signals(void)
{
    const struct itimerval never = { { 0, 0 }, { 0, 0 } };
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_IGN); /* a signal may still be on its way */
}

/* The peer's thread inherits a mask, so that every signal hits the close. */
static void start_quiet_peer(struct peer *peer, enum kind kind, const struct step *script)
{
    sigset_t alarm, old;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm, &old);
    peer_start(peer, kind, script, NULL, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

#define FAREWELL (1 << 20)

/* Of no character but blanks, so that it may stand between stanzas. */
static const char *farewell(void)
{
    static char blanks[FAREWELL];
    memset(blanks, ' ', sizeof blanks);
    return blanks;
}

static void close_under_signals(int flags, const struct step *script, int over_callbacks, int big, uint32_t total_ms,
                                uint32_t outcome)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport;
    struct channel channel;
    struct peer peer;
    unsigned long long start, took;
    int hits;
    options.total_ms = total_ms;
    options.no_progress_ms = 60000;
    options.farewell = farewell();
    options.farewell_len = big ? (size_t)FAREWELL : 0;
    start_quiet_peer(&peer, TCP_SMALL, script);
    channel_init(&channel, peer.fd, 0, &transport);
    start_signals(flags);
    start = now_ms();
    CHECK_INT(over_callbacks ? xmpp_close_with(&transport, &options, &report)
                             : xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK);
    took = now_ms() - start;
    hits = signals;
    stop_signals();
    peer_stop(&peer);
    peer_free(&peer);
    CHECK_INT(report.outcome, outcome);
    CHECK(hits >= 3);
    if (outcome == XMPP_CLOSE_CLEAN)
        CHECK(took >= 300);
    else
        CHECK(took + 1 >= total_ms && took <= total_ms + (unsigned long long)check_slack());
    printf("  %s, T = %u ms, SA_RESTART %s: %s after %llu ms and %d signals\n",
           over_callbacks ? "xmpp_close_with" : "xmpp_close_fd", (unsigned)total_ms, flags ? "on" : "off",
           xmpp_close_outcome_name(report.outcome), took, hits);
}

static const struct step silent[] = { { HOLD, NULL, 0 } };

TEST(with_silent_peer_the_deadline_holds)
{
    close_under_signals(0, silent, 0, 0, 500, XMPP_CLOSE_TIMED_OUT);
    close_under_signals(SA_RESTART, silent, 0, 0, 2000, XMPP_CLOSE_TIMED_OUT);
    close_under_signals(SA_RESTART, silent, 1, 0, 500, XMPP_CLOSE_TIMED_OUT);
}

TEST(with_output_blocked_the_deadline_holds)
{
    close_under_signals(0, silent, 0, 1, 2000, XMPP_CLOSE_STALLED);
    close_under_signals(SA_RESTART, silent, 0, 1, 500, XMPP_CLOSE_STALLED);
    close_under_signals(0, silent, 1, 1, 500, XMPP_CLOSE_STALLED);
}

TEST(a_slow_but_honest_peer_ends_clean)
{
    static const struct step slow[] = {
        { PAUSE, NULL, 100 }, { READ_TAG, NULL, 0 }, { PAUSE, NULL, 100 }, { SEND, "<a/>", 0 },
        { PAUSE, NULL, 100 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 },
        { END, NULL, 0 }
    };
    close_under_signals(0, slow, 0, 1, 60000, XMPP_CLOSE_CLEAN);
    close_under_signals(SA_RESTART, slow, 1, 1, 60000, XMPP_CLOSE_CLEAN);
}

/* The process is alive afterwards, though SIGPIPE is deadly here. */
TEST(a_peer_that_is_gone_raises_no_sigpipe)
{
    static const struct step gone[] = { { RESET, NULL, 0 } };
    static const struct step tag_and_gone[] = { { SEND, TAG, 0 }, { RESET, NULL, 0 } };
    static const struct step *const scripts[] = { gone, tag_and_gone };
    struct sigaction action;
    int round, script;
    CHECK(sigaction(SIGPIPE, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    for (round = 0; round < 20; round++)
        for (script = 0; script < 2; script++) {
            xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
            xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
            struct peer peer;
            options.farewell = farewell();
            options.farewell_len = (size_t)FAREWELL;
            options.total_ms = 20000;
            peer_start(&peer, round % 2 ? TCP : UNIX, scripts[script], NULL, NULL);
            peer_await(&peer); /* the peer is gone for certain */
            CHECK_INT(xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK);
            CHECK_INT(report.outcome, XMPP_CLOSE_RESET);
            CHECK_INT(report.tag_sent, 0);
            CHECK_INT(xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK); /* and once more */
            peer_stop(&peer);
            peer_free(&peer);
        }
}
