/* What the process does meanwhile: threads are cancelled, children are forked, descriptors are few or have large numbers. */
#include "channel.h"
#include "check.h"
#include "member.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 1200

/* A function in which a thread is cancelled has no variables on the stack: ASan does not see that the function is left. */
#define NOT_INLINED __attribute__((noinline))

enum way { BY_FD, BY_WITH, BY_BATCH };
static const char *const way_names[] = { "xmpp_close_fd", "xmpp_close_with", "xmpp_close_batch_run" };

/* Closes in one of the ways; returns the outcome, or a result that is no success. */
static int close_by(enum way way, int fd, const xmpp_close_options *options)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport;
    struct channel channel;
    xmpp_close_batch *batch;
    int result;
    channel_init(&channel, fd, 0, &transport);
    if (way == BY_FD)
        result = xmpp_close_fd(fd, options, &report);
    else if (way == BY_WITH)
        result = xmpp_close_with(&transport, options, &report);
    else {
        if (xmpp_close_batch_new(&batch) != XMPP_CLOSE_OK)
            check_fatal("xmpp_close_batch_new");
        result = xmpp_close_batch_add(batch, fd, options, NULL);
        if (result == XMPP_CLOSE_OK)
            result = xmpp_close_batch_run(batch, NULL, NULL);
        if (result == XMPP_CLOSE_OK)
            result = xmpp_close_batch_report(batch, 0, &report);
        xmpp_close_batch_free(batch);
    }
    return result != XMPP_CLOSE_OK ? result : (int)report.outcome;
}

struct job {
    enum way way;
    struct peer peer;
    pthread_t thread;
    uint32_t total_ms;
    int stanzas, outcome, survived;
};

static void cancel_thread(void *arg)
{
    struct job *job = arg;
    CHECK_INT(pthread_cancel(job->thread), 0);
}

/* The thread could be cancelled here, if that was allowed. */
static int count_stanza(void *arg, const uint8_t *xml, size_t len)
{
    struct job *job = arg;
    (void)xml;
    (void)len;
    poll(NULL, 0, 1);
    job->stanzas++;
    return 0;
}

static NOT_INLINED void close_job(struct job *job)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    job->thread = pthread_self();
    options.total_ms = job->total_ms;
    options.on_stanza = count_stanza;
    options.userdata = job;
    job->outcome = close_by(job->way, job->peer.fd, &options);
}

static void *run_job(void *arg)
{
    close_job(arg);
    pthread_testcancel();
    ((struct job *)arg)->survived = 1;
    return NULL;
}

static void cancel_inside(const struct step *script, uint32_t total_ms, int outcome, int stanzas)
{
    enum way way;
    for (way = BY_FD; way <= BY_BATCH; way++) {
        static struct job job;
        pthread_t thread;
        void *result = NULL;
        memset(&job, 0, sizeof job);
        job.way = way;
        job.total_ms = total_ms;
        peer_start(&job.peer, TCP, script, cancel_thread, &job);
        if (pthread_create(&thread, NULL, run_job, &job) != 0)
            check_fatal("pthread_create");
        pthread_join(thread, &result);
        peer_stop(&job.peer);
        peer_free(&job.peer);
        CHECK_INT(job.outcome, outcome);
        CHECK_INT(job.stanzas, stanzas);
        CHECK(result == PTHREAD_CANCELED && !job.survived); /* but the thread is cancelled right after the call */
    }
}

TEST(a_thread_that_is_cancelled_in_a_close_ends_behind_it)
{
    static const struct step silent[] = { { READ_TAG, NULL, 0 }, { CALL, NULL, 0 }, { HOLD, NULL, 0 } };
    cancel_inside(silent, 500, XMPP_CLOSE_TIMED_OUT, 0);
}

TEST(a_thread_that_is_cancelled_is_not_in_a_callback_either)
{
    static const struct step late[] = { { READ_TAG, NULL, 0 }, { CALL, NULL, 0 }, { SEND, "<a/>", 3 },
                                        { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };
    cancel_inside(late, 60000, XMPP_CLOSE_CLEAN, 3);
}

/* As any function may do that writes a log. */
static void log_where_a_thread_can_be_cancelled(void *userdata, int phase, const char *line)
{
    (void)phase, (void)line;
    pthread_testcancel();
    ++*(int *)userdata;
}

static NOT_INLINED void call_all(int *done)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_stream *engine = NULL;
    int logged = 0;
    xmpp_close_canceller *canceller = NULL;
    xmpp_close_batch *batch = NULL;
    int fds[2];
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    connected_pair(UNIX, fds);
    pthread_cancel(pthread_self());
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_canceller_cancel(canceller), XMPP_CLOSE_OK);
    xmpp_close_canceller_free(canceller);
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_add(batch, fds[0], NULL, NULL), XMPP_CLOSE_OK);
    xmpp_close_batch_free(batch);
    options.userdata = &logged;
    options.on_log = log_where_a_thread_can_be_cancelled;
    CHECK_INT(xmpp_close_new(&options, 0, &engine), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_finish(engine, NULL, 0), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_tick(engine, 60000), XMPP_CLOSE_OVER);
    CHECK_INT(logged, 2);
    xmpp_close_free(engine);
    *done = 1;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    close(fds[0]);
    close(fds[1]);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
}

static void *call_while_cancelled(void *arg)
{
    call_all(arg);
    pthread_testcancel();
    return NULL;
}

TEST(every_call_that_makes_system_calls_is_made_whole)
{
    pthread_t thread;
    void *result = NULL;
    int done = 0;
    if (pthread_create(&thread, NULL, call_while_cancelled, &done) != 0)
        check_fatal("pthread_create");
    pthread_join(thread, &result);
    CHECK_INT(done, 1);
    CHECK(result == PTHREAD_CANCELED);
}

/* Runs `body` in a forked child, which ends with what it returns. */
static void in_a_child(int (*body)(void *), void *arg)
{
    int status = -1;
    pid_t child = fork();
    if (child < 0)
        check_fatal("fork");
    if (child == 0)
        _exit(body(arg));
    CHECK_INT(waitpid(child, &status, 0), child);
    CHECK_INT(status, 0);
}

static int cancel_it(void *canceller)
{
    return xmpp_close_canceller_cancel(canceller) != XMPP_CLOSE_OK;
}

static int free_canceller(void *canceller)
{
    xmpp_close_canceller_free(canceller);
    return 0;
}

TEST(a_canceller_used_in_a_child_costs_its_parent_nothing)
{
    static const struct step silent[] = { { HOLD, NULL, 0 } };
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_canceller *canceller = NULL;
    enum way way;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    options.canceller = canceller;
    options.total_ms = LIMIT_MS;
    in_a_child(cancel_it, canceller);
    in_a_child(free_canceller, canceller);
    for (way = BY_FD; way <= BY_BATCH; way++) {
        struct peer peer;
        unsigned long long start, before;
        peer_start(&peer, TCP, silent, NULL, NULL);
        start = now_ms();
        before = cpu_ms();
        CHECK_INT(close_by(way, peer.fd, &options), XMPP_CLOSE_TIMED_OUT);
        before = cpu_ms() - before;
        CHECK(now_ms() - start >= LIMIT_MS - 1);
        CHECK(before <= LIMIT_MS / 60 || check_slack() > 1000); /* instrumented, everything takes long */
        printf("  %s: %llu ms of processor time\n", way_names[way], before);
        peer_stop(&peer);
        peer_free(&peer);
    }
    CHECK_INT(xmpp_close_canceller_cancel(canceller), XMPP_CLOSE_OK);
    for (way = BY_FD; way <= BY_BATCH; way++) {
        struct peer peer;
        peer_start(&peer, TCP, silent, NULL, NULL);
        CHECK_INT(close_by(way, peer.fd, &options), XMPP_CLOSE_CANCELLED); /* the parent's stream is still whole */
        peer_stop(&peer);
        peer_free(&peer);
    }
    xmpp_close_canceller_free(canceller);
}

struct shared {
    xmpp_close_batch *batch;
    int fd;
};

static int use_batch(void *arg)
{
    struct shared *shared = arg;
    int right = xmpp_close_batch_add(shared->batch, shared->fd, NULL, NULL) == XMPP_CLOSE_ERR_INVALID &&
                xmpp_close_batch_run(shared->batch, NULL, NULL) == XMPP_CLOSE_ERR_INVALID;
    xmpp_close_batch_free(shared->batch);
    return !right;
}

TEST(a_batch_freed_in_a_child_still_closes_its_parents_streams)
{
    static const struct step answer[] = { { READ_TAG, NULL, 0 }, { PAUSE, NULL, 100 }, { SEND, "<a/>" TAG, 0 },
                                          { READ_END, NULL, 0 }, { END, NULL, 0 } };
    static struct member members[3];
    const xmpp_close_batch_options options = batch_options();
    xmpp_close_summary summary;
    struct shared shared;
    int fds[2], i;
    connected_pair(TCP, fds);
    for (i = 0; i < 3; i++)
        member_start(&members[i], i % 2 ? UNIX : TCP, answer, NULL, NULL);
    shared.batch = members_batch(members, 3);
    shared.fd = fds[0];
    in_a_child(use_batch, &shared);
    summary = members_run(shared.batch, &options, members, 3);
    CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], 3);
    CHECK(summary.elapsed_ms < 5000 + (uint32_t)check_slack());
    members_free(members, 3);
    close(fds[0]);
    close(fds[1]);
}

static const struct step prompt[] = { { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };

static void set_open_files(rlim_t limit, struct rlimit *before)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) != 0)
        check_fatal("getrlimit");
    if (before != NULL)
        *before = now;
    now.rlim_cur = limit;
    if (setrlimit(RLIMIT_NOFILE, &now) != 0)
        check_fatal("setrlimit");
}

/* In a sandbox that allows one open file, poll(2) takes one descriptor. */
TEST(with_one_open_file_allowed_a_close_still_waits)
{
    xmpp_close_canceller *canceller = NULL;
    int cancellable;
    enum way way;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    for (way = BY_FD; way <= BY_WITH; way++)
        for (cancellable = 0; cancellable <= 1; cancellable++) {
            xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
            struct rlimit before;
            struct peer peer;
            int outcome;
            options.canceller = cancellable ? canceller : NULL;
            options.total_ms = 60000;
            peer_start(&peer, TCP, prompt, NULL, NULL);
            set_open_files(1, &before);
            outcome = close_by(way, peer.fd, &options);
            set_open_files(before.rlim_cur, NULL);
            CHECK_INT(outcome, XMPP_CLOSE_CLEAN);
            peer_stop(&peer);
            peer_free(&peer);
        }
    xmpp_close_canceller_free(canceller);
}

/* A descriptor above FD_SETSIZE, for which select(2) would write past its set. */
TEST(a_descriptor_with_a_large_number_is_closed_like_any)
{
    enum way way;
    struct rlimit before;
    set_open_files(4096, &before);
    for (way = BY_FD; way <= BY_BATCH; way++) {
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        struct peer peer;
        options.total_ms = 60000;
        peer_start(&peer, TCP, prompt, NULL, NULL);
        if (dup2(peer.fd, 3000) != 3000)
            check_fatal("dup2");
        close(peer.fd);
        peer.fd = 3000;
        CHECK_INT(close_by(way, peer.fd, &options), XMPP_CLOSE_CLEAN);
        peer_stop(&peer);
        peer_free(&peer);
    }
    set_open_files(before.rlim_cur, NULL);
}
