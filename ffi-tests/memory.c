/* Memory that the system refuses: an error, or a stanza that is passed over. The process ends only when a small allocation
 * is refused. The linker hands us the allocations (--wrap), and they fail here as in a process at its limit. */
#include "check.h"
#include "member.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Allocations of `least` bytes or more are counted; those after the first `allowed` are refused. Only those of this thread
 * count, since peers allocate, too. */
static __thread struct {
    size_t least;
    unsigned count, allowed;
} limit;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);

static int refused(size_t size)
{
    return limit.least > 0 && size >= limit.least && limit.count++ >= limit.allowed;
}

void *__wrap_malloc(size_t size)
{
    return refused(size) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t number, size_t size)
{
    return refused(number * size) ? NULL : __real_calloc(number, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return refused(size) ? NULL : __real_realloc(memory, size);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    return refused(size) ? ENOMEM : __real_posix_memalign(memory, alignment, size);
}

static void refuse(size_t least, unsigned allowed)
{
    limit.least = least;
    limit.count = 0;
    limit.allowed = allowed;
}

/* How many allocations were counted. */
static unsigned relent(void)
{
    limit.least = 0;
    return limit.count;
}

#define EVERYTHING 1
#define UNLIMITED (~0u)

/* Makes a handle and frees it; 1 if that was possible. */
static int make(int kind, int *result)
{
    void *made = NULL;
    union {
        xmpp_close_stream *stream;
        xmpp_close_framer *framer;
        xmpp_close_batch *batch;
        xmpp_close_canceller *canceller;
    } handle;
    memset(&handle, 0, sizeof handle);
    switch (kind) {
    case 0: *result = xmpp_close_new(NULL, 0, &handle.stream); break;
    case 1: *result = xmpp_close_framer_new(0, &handle.framer); break;
    case 2: *result = xmpp_close_batch_new(&handle.batch); break;
    default: *result = xmpp_close_canceller_new(&handle.canceller); break;
    }
    memcpy(&made, &handle, sizeof made);
    if (made == NULL)
        return 0;
    switch (kind) {
    case 0: xmpp_close_free(handle.stream); break;
    case 1: xmpp_close_framer_free(handle.framer); break;
    case 2: xmpp_close_batch_free(handle.batch); break;
    default: xmpp_close_canceller_free(handle.canceller); break;
    }
    return 1;
}

/* The handle is what is allocated last. */
TEST(a_handle_without_memory_is_the_systems_fault)
{
    int kind;
    for (kind = 0; kind < 4; kind++) {
        int result = 1;
        unsigned count;
        refuse(EVERYTHING, UNLIMITED);
        CHECK(make(kind, &result));
        count = relent();
        CHECK_INT(result, XMPP_CLOSE_OK);
        CHECK(count > 0);
        refuse(EVERYTHING, count - 1);
        CHECK(!make(kind, &result));
        relent();
        CHECK_INT(result, XMPP_CLOSE_ERR_SYSTEM);
        CHECK(make(kind, &result));
        if (!CHECK_INT(result, XMPP_CLOSE_OK))
            printf("  that was kind %d\n", kind);
    }
}

TEST(a_batch_needs_memory_for_what_it_waits_for)
{
    int result = 1;
    refuse(4096, 0);
    CHECK(!make(2, &result));
    CHECK_INT(relent(), 1);
    CHECK_INT(result, XMPP_CLOSE_ERR_SYSTEM);
}

#define LARGE 1000000

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

/* What is handed over for the close is copied once, and that may be refused. */
TEST(a_farewell_and_a_residual_are_copied_once_or_refused)
{
    static char bytes[LARGE];
    int way;
    memset(bytes, ' ', sizeof bytes);
    for (way = 0; way < 4; way++) {
        const int residual = way & 1, in_batch = way & 2;
        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
        xmpp_close_batch *batch = NULL;
        struct member member;
        int result;
        member_start(&member, TCP, answer, NULL, NULL);
        *(residual ? &member.options.residual : &member.options.farewell) = bytes;
        *(residual ? &member.options.residual_len : &member.options.farewell_len) = sizeof bytes;
        CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
        refuse(LARGE / 2, 0);
        result = in_batch ? xmpp_close_batch_add(batch, member.peer.fd, &member.options, NULL)
                          : xmpp_close_fd(member.peer.fd, &member.options, &report);
        CHECK_INT(relent(), 1);
        CHECK_INT(result, XMPP_CLOSE_ERR_SYSTEM);
        CHECK_INT(report.os_error, in_batch ? 0 : ENOMEM);
        CHECK_INT(report.outcome, XMPP_CLOSE_PENDING);

        refuse(LARGE / 2, 1); /* nothing was sent, and one copy is enough */
        if (in_batch) {
            CHECK_INT(xmpp_close_batch_add(batch, member.peer.fd, &member.options, NULL), XMPP_CLOSE_OK);
            CHECK_INT(xmpp_close_batch_run(batch, NULL, NULL), XMPP_CLOSE_OK);
            CHECK_INT(xmpp_close_batch_report(batch, 0, &report), XMPP_CLOSE_OK);
        } else {
            CHECK_INT(xmpp_close_fd(member.peer.fd, &member.options, &report), XMPP_CLOSE_OK);
        }
        CHECK_INT(relent(), 1);
        CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
        xmpp_close_batch_free(batch);
        peer_stop(&member.peer);
        CHECK_INT(member.peer.got_len, strlen(TAG) + (residual ? 0 : sizeof bytes));
        members_free(&member, 1);
    }
}

/* The sender of a stanza decides how long the stanza is. */
TEST(a_late_stanza_without_memory_is_passed_over)
{
    static char text[1001];
    const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, "<a>", 0 }, { SEND, text, 900 }, { SEND, "</a><b/>" TAG, 0 },
        { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    unsigned allowed;
    memset(text, 'x', sizeof text - 1);
    for (allowed = 0; allowed < 20; allowed++) {
        struct member member;
        unsigned count;
        member_start(&member, TCP, script, NULL, NULL);
        member.options.on_stanza = member_stanza;
        memset(&member.report, 0, sizeof member.report);
        member.report.struct_size = sizeof member.report;
        refuse(10000, allowed);
        CHECK_INT(xmpp_close_fd(member.peer.fd, &member.options, &member.report), XMPP_CLOSE_OK);
        count = relent();
        peer_stop(&member.peer);
        CHECK_INT(member.report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(member.report.oversize, count > allowed);
        CHECK_INT(member.report.stanzas, count > allowed ? 1 : 2);
        CHECK_TEXT(member.got + member.len - 4, "<b/>");
        members_free(&member, 1);
        if (count <= allowed)
            break; /* there was enough */
    }
    CHECK(allowed > 1 && allowed < 20);
}

TEST(features_are_read_where_they_are)
{
    static const char start[] = "<stream:features><limits xmlns='urn:xmpp:stream-limits:0'><idle-seconds>60</idle-seconds>"
                                "</limits>";
    static const char end[] = "</stream:features>";
    char *features = malloc(LARGE);
    uint32_t seconds = 0;
    if (features == NULL)
        check_fatal("malloc");
    memset(features, ' ', LARGE);
    memcpy(features, start, strlen(start));
    memcpy(features + LARGE - strlen(end), end, strlen(end));
    refuse(LARGE / 2, 0);
    CHECK_INT(xmpp_close_idle_seconds(features, LARGE, &seconds), 1);
    CHECK_INT(relent(), 0);
    CHECK_INT(seconds, 60);
    features[LARGE / 2] = '\xff'; /* this byte stands in no stream */
    refuse(LARGE / 2, 0);
    CHECK_INT(xmpp_close_idle_seconds(features, LARGE, &seconds), 0);
    CHECK_INT(relent(), 0);
    free(features);
}
