/* What every test program here shares: checks, named tests, and the last line "N passed, N failed". */
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>

/* After a failure the test goes on. These may be used from any thread, and give 1 when the check holds. */
#define CHECK(condition) check_true((condition) != 0, #condition, __FILE__, __LINE__)
#define CHECK_INT(actual, expected) \
    check_int((long long)(actual), (long long)(expected), #actual, __FILE__, __LINE__)
#define CHECK_TEXT(actual, expected) check_text((actual), (expected), #actual, __FILE__, __LINE__)
#define CHECK_BYTES(actual, actual_len, expected, expected_len) \
    check_bytes((actual), (actual_len), (expected), (expected_len), #actual, __FILE__, __LINE__)

/* TEST(name) { ... } is a test. The main in check.c runs all tests of a program, in the order in which they stand, or
 * those that its arguments name. A descriptor left open or a thread left running is a failure. */
#define TEST(name)                                                    \
    static void name(void);                                           \
    static struct check_test check_##name = { #name, name, 0 };       \
    __attribute__((constructor)) static void check_add_##name(void)   \
    {                                                                 \
        check_add(&check_##name);                                     \
    }                                                                 \
    static void name(void)

struct check_test {
    const char *name;
    void (*run)(void);
    struct check_test *next;
};

#ifdef __cplusplus
extern "C" {
#endif

int check_true(int holds, const char *what, const char *file, int line);
int check_int(long long actual, long long expected, const char *what, const char *file, int line);
int check_text(const char *actual, const char *expected, const char *what, const char *file, int line);
int check_bytes(const void *actual, size_t actual_len, const void *expected, size_t expected_len, const char *what,
                const char *file, int line);

void check_add(struct check_test *test);
/* What main does first. SIGPIPE is as every process starts with it: deadly. */
void check_start(void);
/* Runs the tests of these names, or all; returns the exit code of main. */
int check_run(char **names);

/* For failures after which nothing can go on: prints the failure, and ends the program. */
void check_fatal(const char *what);

/* How often a loop of `full` rounds is to run: less where an instrumented run takes long. */
int check_rounds(int full);
/* How much later than its deadline a close may return, in ms: 1000, or what an instrumented run needs. On a quiet
 * machine it is far below 100. */
long check_slack(void);

/* Open descriptors of this process. */
int check_open_fds(void);
/* Milliseconds of the monotonic clock, and of processor time of this thread. */
unsigned long long now_ms(void);
unsigned long long cpu_ms(void);

#ifdef __cplusplus
}
#endif

#endif
