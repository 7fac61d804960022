/* Many closes at once, on small stacks, and stopped from another thread. */
#include "channel.h"
#include "check.h"
#include "peer.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 64
#define SMALL_STACK (64 * 1024)

struct job {
    const struct step *script;
    const xmpp_close_canceller *canceller;
    int over_callbacks;
    int stanzas;
    struct peer peer;
    xmpp_close_report report;
    int result;
    void (*call)(void *);
    void *call_arg;
};

static int count_stanza(void *userdata, const uint8_t *xml, size_t len)
{
    struct job *job = userdata;
    (void)xml;
    job->stanzas += len == strlen("<message><body>late</body></message>");
    return 0;
}

static void *close_job(void *arg)
{
    struct job *job = arg;
    const xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_transport transport;
    struct channel channel;
    options.total_ms = options.no_progress_ms = options.linger_ms = 60000;
    options.on_stanza = count_stanza;
    options.userdata = job;
    options.canceller = job->canceller;
    job->report = report;
    channel_init(&channel, job->peer.fd, 0, &transport);
    job->result = job->over_callbacks ? xmpp_close_with(&transport, &options, &job->report)
                                      : xmpp_close_fd(job->peer.fd, &options, &job->report);
    return NULL;
}

static const struct step late[] = { { READ_TAG, NULL, 0 }, { SEND, "<message><body>late</body></message>", 500 },
                                    { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };

TEST(sixty_four_threads_close_at_once)
{
    static struct job jobs[THREADS];
    pthread_t threads[THREADS];
    int i;
    memset(jobs, 0, sizeof jobs);
    for (i = 0; i < THREADS; i++) {
        jobs[i].over_callbacks = i % 2;
        peer_start(&jobs[i].peer, i % 3 ? TCP : UNIX, late, NULL, NULL);
    }
    for (i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, close_job, &jobs[i]) != 0)
            check_fatal("pthread_create");
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        peer_stop(&jobs[i].peer);
        CHECK_INT(jobs[i].result, XMPP_CLOSE_OK);
        CHECK_INT(jobs[i].report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(jobs[i].stanzas, 500);
        CHECK_INT(jobs[i].report.stanzas, 500);
        CHECK_INT(peer_count(&jobs[i].peer, TAG), 1);
        peer_free(&jobs[i].peer);
    }
}

/* 64 KiB, and what the C library needs for itself: instrumented programs have much thread-local data. */
static void set_small_stack(pthread_attr_t *attributes)
{
    size_t size = SMALL_STACK, least = (size_t)sysconf(_SC_THREAD_STACK_MIN);
    if (least > 32 * 1024)
        size += least;
    CHECK(least > 0 && size >= (size_t)PTHREAD_STACK_MIN);
    CHECK_INT(pthread_attr_setstacksize(attributes, size), 0);
    printf("  %zu bytes of stack, of which the C library needs %zu\n", size, least);
}

TEST(a_thread_with_a_small_stack_can_close)
{
    static char error[] = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                          "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Replaced</text></stream:error>";
    static const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, "<message><body>late</body></message>", 500 },
                                          { SEND, "<a><b>", 2000 }, { SEND, "</b></a>", 2000 }, { SEND, error, 0 },
                                          { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };
    int over_callbacks;
    for (over_callbacks = 0; over_callbacks <= 1; over_callbacks++) {
        static struct job job;
        pthread_attr_t attributes;
        pthread_t thread;
        memset(&job, 0, sizeof job);
        job.over_callbacks = over_callbacks;
        peer_start(&job.peer, TCP, script, NULL, NULL);
        pthread_attr_init(&attributes);
        set_small_stack(&attributes);
        if (pthread_create(&thread, &attributes, close_job, &job) != 0)
            check_fatal("pthread_create");
        pthread_join(thread, NULL);
        pthread_attr_destroy(&attributes);
        peer_stop(&job.peer);
        CHECK_INT(job.report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_TEXT(job.report.stream_error, "conflict");
        CHECK_INT(job.stanzas, 500);
        peer_free(&job.peer);
    }
}

static void cancel(void *canceller)
{
    CHECK_INT(xmpp_close_canceller_cancel(canceller), XMPP_CLOSE_OK);
}

TEST(one_canceller_stops_every_close_at_once)
{
    static const struct step silent[] = { { HOLD, NULL, 0 } };
    static struct job jobs[THREADS];
    pthread_t threads[THREADS];
    xmpp_close_canceller *canceller = NULL;
    unsigned long long start;
    int i;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    memset(jobs, 0, sizeof jobs);
    for (i = 0; i < THREADS; i++) {
        jobs[i].canceller = canceller;
        jobs[i].over_callbacks = i % 2;
        peer_start(&jobs[i].peer, i % 3 ? TCP : UNIX, silent, NULL, NULL);
        if (pthread_create(&threads[i], NULL, close_job, &jobs[i]) != 0)
            check_fatal("pthread_create");
    }
    start = now_ms();
    cancel(canceller);
    cancel(canceller); /* twice does nothing more */
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(now_ms() - start < 20000);
    printf("  %d closes stopped after %llu ms\n", THREADS, now_ms() - start);
    for (i = 0; i < THREADS; i++) {
        CHECK_INT(jobs[i].report.outcome, XMPP_CLOSE_CANCELLED);
        peer_stop(&jobs[i].peer);
        peer_free(&jobs[i].peer);
    }
    xmpp_close_canceller_free(canceller);
}

TEST(a_used_canceller_stops_later_closes_too)
{
    static struct job job;
    xmpp_close_canceller *canceller = NULL;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    cancel(canceller);
    memset(&job, 0, sizeof job);
    job.canceller = canceller;
    peer_start(&job.peer, TCP, late, NULL, NULL);
    close_job(&job);
    CHECK_INT(job.report.outcome, XMPP_CLOSE_CANCELLED);
    peer_stop(&job.peer);
    peer_free(&job.peer);
    xmpp_close_canceller_free(canceller);
}

static void free_canceller(void *canceller)
{
    xmpp_close_canceller_free(canceller);
}

static void cancel_and_free(void *canceller)
{
    cancel(canceller);
    xmpp_close_canceller_free(canceller);
}

/* The close keeps what it needs of the canceller. */
TEST(a_canceller_may_be_freed_during_the_close)
{
    static const struct step script[] = {
        { READ_TAG, NULL, 0 }, { CALL, NULL, 0 }, { PAUSE, NULL, 20 }, { SEND, "<a/>", 0 },
        { PAUSE, NULL, 20 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 },
        { END, NULL, 0 }
    };
    int round, rounds = check_rounds(20);
    for (round = 0; round < 2 * rounds; round++) {
        static struct job job;
        xmpp_close_canceller *canceller = NULL;
        CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
        memset(&job, 0, sizeof job);
        job.canceller = canceller;
        peer_start(&job.peer, TCP, script, round % 2 ? free_canceller : cancel_and_free, canceller);
        close_job(&job);
        CHECK_INT(job.report.outcome, round % 2 ? XMPP_CLOSE_CLEAN : XMPP_CLOSE_CANCELLED);
        peer_stop(&job.peer);
        peer_free(&job.peer);
    }
}

/* Two threads close the same connection: both calls end, whichever gets the peer's tag. */
TEST(two_threads_that_close_the_same_descriptor_both_end)
{
    static const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    static struct job jobs[2];
    pthread_t threads[2];
    int i;
    memset(jobs, 0, sizeof jobs);
    peer_start(&jobs[0].peer, TCP, script, NULL, NULL);
    jobs[1].peer.fd = jobs[0].peer.fd;
    for (i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, close_job, &jobs[i]) != 0)
            check_fatal("pthread_create");
    for (i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(jobs[i].result, XMPP_CLOSE_OK);
        CHECK(jobs[i].report.elapsed_ms < 30000);
    }
    peer_stop(&jobs[0].peer);
    peer_free(&jobs[0].peer);
}
