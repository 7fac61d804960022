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

/* Runs one test, unless the program was given names and this is not among them. A descriptor left open or a thread left
 * running is a failure. */
#define RUN(test) check_run(#test, (test))

#ifdef __cplusplus
extern "C" {
#endif

int check_true(int holds, const char *what, const char *file, int line);
int check_int(long long actual, long long expected, const char *what, const char *file, int line);
int check_text(const char *actual, const char *expected, const char *what, const char *file, int line);
int check_bytes(const void *actual, size_t actual_len, const void *expected, size_t expected_len, const char *what,
                const char *file, int line);

/* First in main. SIGPIPE is as every process starts with it: deadly. */
void check_start(int argc, char **argv);
void check_run(const char *name, void (*test)(void));
/* Last in main: its exit code. A descriptor that was left open is a failure here, too. */
int check_done(void);

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
