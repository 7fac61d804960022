/* Not a test but the proof that the tests can fail: each mistake here must end the program badly. */
#include "check.h"
#include "xmpp_close.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int zero, shared;
static int *volatile kept;

static void a_check_that_does_not_hold(void)
{
    CHECK(zero != 0);
}

static void a_descriptor_left_open(void)
{
    CHECK(dup(0) >= 0);
}

static void *run_for_ever(void *unused)
{
    pause();
    return unused;
}

static void a_thread_left_running(void)
{
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, run_for_ever, NULL), 0);
}

static void *count(void *unused)
{
    shared++;
    return unused;
}

/* The threads do not wait for each other. */
static void a_data_race(void)
{
    pthread_t threads[2];
    int i;
    for (i = 0; i < 2; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* Something that the library allocated, and that is never freed. */
static void memory_left_behind(void)
{
    xmpp_close_stream *stream = NULL;
    CHECK_INT(xmpp_close_new(NULL, 0, &stream), XMPP_CLOSE_OK);
}

static void memory_used_after_its_end(void)
{
    kept = malloc(sizeof *kept);
    CHECK(kept != NULL);
    free(kept);
    CHECK(*kept == 0 || *kept != 0);
}

int main(int argc, char **argv)
{
    check_start(argc, argv);
    RUN(a_check_that_does_not_hold);
    RUN(a_descriptor_left_open);
    RUN(a_thread_left_running);
    RUN(a_data_race);
    RUN(memory_left_behind);
    RUN(memory_used_after_its_end);
    return check_done();
}
