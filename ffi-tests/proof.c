/* Not a test but the proof that the tests can fail: each mistake here must end the program badly. */
#include "check.h"
#include "xmpp_close.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile int zero, shared;
static int *volatile kept;

TEST(a_check_that_does_not_hold)
{
    CHECK(zero != 0);
}

TEST(a_descriptor_left_open)
{
    CHECK(dup(0) >= 0);
}

static void *run_for_ever(void *unused)
{
    pause();
    return unused;
}

TEST(a_thread_left_running)
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
TEST(a_data_race)
{
    pthread_t threads[2];
    int i;
    for (i = 0; i < 2; i++)
        CHECK_INT(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

/* Something that the library allocated, and that is never freed. */
TEST(memory_left_behind)
{
    xmpp_close_stream *stream = NULL;
    CHECK_INT(xmpp_close_new(NULL, 0, &stream), XMPP_CLOSE_OK);
}

TEST(memory_used_after_its_end)
{
    kept = malloc(sizeof *kept);
    CHECK(kept != NULL);
    free(kept);
    CHECK(*kept == 0 || *kept != 0);
}
