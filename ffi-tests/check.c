#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int failures_here, passed, failed, fds_at_start;
static struct check_test *first, **last = &first;

static int threads(void);
static int threads_above(int expected);

static int result(int holds)
{
    if (!holds) {
        pthread_mutex_lock(&lock);
        failures_here++;
        pthread_mutex_unlock(&lock);
    }
    return holds;
}

int check_true(int holds, const char *what, const char *file, int line)
{
    if (!holds)
        printf("%s:%d: does not hold: %s\n", file, line, what);
    return result(holds);
}

int check_int(long long actual, long long expected, const char *what, const char *file, int line)
{
    if (actual != expected)
        printf("%s:%d: %s is %lld, not %lld\n", file, line, what, actual, expected);
    return result(actual == expected);
}

int check_text(const char *actual, const char *expected, const char *what, const char *file, int line)
{
    int same = actual != NULL && strcmp(actual, expected) == 0;
    if (!same)
        printf("%s:%d: %s is \"%s\", not \"%s\"\n", file, line, what, actual != NULL ? actual : "(NULL)", expected);
    return result(same);
}

int check_bytes(const void *actual, size_t actual_len, const void *expected, size_t expected_len, const char *what,
                const char *file, int line)
{
    int same = actual_len == expected_len && (expected_len == 0 || memcmp(actual, expected, expected_len) == 0);
    if (!same)
        printf("%s:%d: %s: %zu bytes \"%.*s\", not %zu bytes \"%.*s\"\n", file, line, what, actual_len,
               actual_len < 300 ? (int)actual_len : 300, actual_len > 0 ? (const char *)actual : "", expected_len,
               expected_len < 300 ? (int)expected_len : 300, (const char *)expected);
    return result(same);
}

void check_fatal(const char *what)
{
    printf("cannot go on: %s: %s\n", what, strerror(errno));
    exit(2);
}

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
/* ThreadSanitizer with suppressions starts a program that names functions, and keeps descriptors to that program. */
void __sanitizer_symbolize_pc(void *pc, const char *format, char *out, size_t len);
#define START_SYMBOLIZER(out) __sanitizer_symbolize_pc(__builtin_return_address(0), "%f", (out), sizeof(out))
#endif
#endif

#define NAME 64
static void *name_thread(void *name)
{
    if (readlink("/proc/thread-self", name, NAME) < 0)
        check_fatal("/proc/thread-self");
    return NULL;
}

void check_start(void)
{
    pthread_t thread;
    char path[6 + NAME + 1] = "/proc/";
    unsigned long long start = now_ms();
    /* With the first thread, sanitizers may start a thread of their own. */
    if (pthread_create(&thread, NULL, name_thread, path + 6) != 0)
        check_fatal("pthread_create");
    pthread_join(thread, NULL);
    /* While it is listed it would count, and hide a thread that a test leaves running. */
    while (access(path, F_OK) == 0 && now_ms() - start < 3000)
        poll(NULL, 0, 1);
#ifdef START_SYMBOLIZER
    {
        char name[100];
        START_SYMBOLIZER(name);
    }
#endif
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_DFL);
    fds_at_start = check_open_fds();
}

void check_add(struct check_test *test)
{
    *last = test;
    last = &test->next;
}

static void run(const struct check_test *test)
{
    unsigned long long start = now_ms();
    int fds = check_open_fds(), threads_before = threads();
    failures_here = 0;
    test->run();
    CHECK_INT(check_open_fds(), fds);
    /* Fewer are no leak: one of the emulator's own may have ended. */
    CHECK_INT(threads_above(threads_before), 0);
    printf("%s %s (%llu ms)\n", failures_here == 0 ? "ok    " : "FAILED", test->name, now_ms() - start);
    if (failures_here == 0)
        passed++;
    else
        failed++;
}

static int is_among(const char *name, char **names)
{
    while (*names != NULL && strcmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

int check_run(char **names)
{
    const struct check_test *test;
    for (test = first; test != NULL; test = test->next)
        if (names == NULL || is_among(test->name, names))
            run(test);
    if (check_open_fds() != fds_at_start || passed + failed == 0)
        failed++;
    printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}

/* Weak, so that a program may have another one. */
__attribute__((weak)) int main(int argc, char **argv)
{
    check_start();
    return check_run(argc > 1 ? argv + 1 : NULL);
}

int check_rounds(int full)
{
    const char *percent = getenv("FFI_TESTS_PERCENT");
    int rounds = percent != NULL ? full * atoi(percent) / 100 : full;
    return rounds > 0 ? rounds : 1;
}

long check_slack(void)
{
    const char *slack = getenv("FFI_TESTS_SLACK_MS");
    return slack != NULL ? atol(slack) : 1000;
}

static int entries_of(const char *path)
{
    int count = 0;
    struct dirent *entry;
    DIR *dir = opendir(path);
    if (dir == NULL)
        check_fatal(path);
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

int check_open_fds(void)
{
    return entries_of("/proc/self/fd") - 1; /* without the descriptor that lists them */
}

static int threads(void)
{
    return entries_of("/proc/self/task");
}

/* The system may list a thread for a moment after it was joined. */
static int threads_above(int expected)
{
    unsigned long long start = now_ms();
    while (threads() > expected && now_ms() - start < 3000)
        poll(NULL, 0, 1);
    return threads() > expected ? threads() - expected : 0;
}

static unsigned long long clock_ms(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now) != 0)
        check_fatal("clock_gettime");
    return (unsigned long long)now.tv_sec * 1000 + (unsigned long long)now.tv_nsec / 1000000;
}

unsigned long long now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

unsigned long long cpu_ms(void)
{
    return clock_ms(CLOCK_THREAD_CPUTIME_ID);
}
