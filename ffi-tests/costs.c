/* What an engine costs an event loop: it is small, every event and every question in every state takes a bounded number of
 * instructions, and nothing is allocated but for what is said. The linker hands us the allocations (--wrap); tests/costs.rs
 * has callgrind count the instructions, which it dumps under the names that are given here. */
#include "check.h"
#include "xmpp_close.h"

#include <stdio.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

typedef xmpp_close_stream stream;

static unsigned allocations;
static size_t allocated; /* in all */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);

static size_t count(size_t size)
{
    allocations++;
    allocated += size;
    return size;
}

void *__wrap_malloc(size_t size)
{
    return __real_malloc(count(size));
}

void *__wrap_calloc(size_t number, size_t size)
{
    return __real_calloc(number, count(size));
}

void *__wrap_realloc(void *memory, size_t size)
{
    return __real_realloc(memory, count(size));
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    return __real_posix_memalign(memory, alignment, count(size));
}

static void finish(stream *s, uint64_t now)
{
    xmpp_close_finish(s, NULL, now);
}

static void finish_with_an_error(stream *s, uint64_t now)
{
    static const xmpp_close_error error = { sizeof error, "system-shutdown", NULL, NULL, NULL };
    xmpp_close_finish(s, &error, now);
}

static void detach(stream *s, uint64_t now)
{
    xmpp_close_detach(s, now);
}

/* The kernel has all that there is. */
static void written(stream *s, uint64_t now)
{
    xmpp_close_wrote(s, xmpp_close_output(s, NULL), 0, now);
}

static void pending(stream *s, uint64_t now)
{
    xmpp_close_wrote(s, 0, 77, now);
}

static void received(stream *s, uint64_t now)
{
    CHECK(xmpp_close_received(s, 5, now) >= 0);
}

static void a_flood_received(stream *s, uint64_t now)
{
    CHECK(xmpp_close_received(s, 100 << 20, now) >= 0);
}

static void sent(stream *s, uint64_t now)
{
    (void)now;
    CHECK(xmpp_close_send(s, "<a/>", 4) >= 0);
}

static void stream_error(stream *s, uint64_t now)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    error.condition = "unsupported-version";
    xmpp_close_peer_error(s, &error, now);
}

static void tick(stream *s, uint64_t now)
{
    xmpp_close_tick(s, now);
}

static void late_tick(stream *s, uint64_t now)
{
    xmpp_close_tick(s, now + 1000000);
}

static void wants(stream *s, uint64_t now)
{
    (void)now;
    xmpp_close_wants(s);
}

static void timeout(stream *s, uint64_t now)
{
    xmpp_close_timeout(s, now);
}

static void output(stream *s, uint64_t now)
{
    (void)now;
    xmpp_close_output(s, NULL);
}

#define FACT(name, fact, detail)                                                 \
    static void name(stream *s, uint64_t now)                                    \
    {                                                                            \
        xmpp_close_tell(s, XMPP_CLOSE_FACT_##fact, detail, now);                 \
    }
FACT(cancel, CANCEL, 0)
FACT(peer_closed, PEER_CLOSED, 0)
FACT(malformed, MALFORMED, 0)
FACT(paused, PAUSED, 1)
FACT(restarted, RESTARTED, 1)
FACT(header_out, HEADER_OUT, 0)
FACT(arrived, ARRIVED, 16)
FACT(eof, EOF, 0)
FACT(truncated, EOF, 1)
FACT(notified, NOTIFIED, 0)
FACT(read_failed, READ_FAILED, 104)
FACT(write_failed, WRITE_FAILED, 32)
FACT(tls_failed, TLS_FAILED, 0)
FACT(did_notify, DID_NOTIFY, 0)
FACT(did_shut, DID_SHUT, 0)
FACT(stanzas, STANZAS, 1)
FACT(oversize, OVERSIZE, 1)

#define NAMED(name, says) { #name, name, says }
static const struct {
    const char *name;
    void (*happens)(stream *s, uint64_t now);
    int says; /* something goes out, or is copied: memory may be needed for it */
} events[] = {
    NAMED(finish, 1), NAMED(finish_with_an_error, 1), NAMED(detach, 1), NAMED(sent, 1), NAMED(stream_error, 1),
    NAMED(malformed, 1), NAMED(late_tick, 1), NAMED(written, 0), NAMED(pending, 0), NAMED(received, 0),
    NAMED(a_flood_received, 0), NAMED(tick, 0), NAMED(wants, 0), NAMED(timeout, 0), NAMED(output, 0), NAMED(cancel, 0),
    NAMED(peer_closed, 0), NAMED(paused, 0), NAMED(restarted, 0), NAMED(header_out, 0), NAMED(arrived, 0), NAMED(eof, 0),
    NAMED(truncated, 0), NAMED(notified, 0), NAMED(read_failed, 0), NAMED(write_failed, 0), NAMED(tls_failed, 0),
    NAMED(did_notify, 0), NAMED(did_shut, 0), NAMED(stanzas, 0), NAMED(oversize, 0)
};

/* How to come to each state: f(inish), w(ritten), p(eer_closed), m(alformed), l(ost), e(of). */
static const struct { const char *name, *way; } states[] = {
    { "open", "" }, { "answer", "p" }, { "queued", "f" }, { "written", "fw" }, { "reply", "pf" }, { "ending", "fwp" },
    { "void", "fm" }, { "void, written", "fwm" }, { "lost", "fl" }, { "over", "fwpe" }
};

static stream *made(const xmpp_close_options *options, const char *way)
{
    uint64_t now = 1000;
    stream *s = NULL;
    CHECK_INT(xmpp_close_new(options, now, &s), XMPP_CLOSE_OK);
    for (; *way; way++, now++) {
        switch (*way) {
        case 'f': finish(s, now); break;
        case 'w': written(s, now); break;
        case 'p': peer_closed(s, now); break;
        case 'm': malformed(s, now); break;
        case 'l': write_failed(s, now); break;
        default: eof(s, now); break;
        }
    }
    return s;
}

/* The instructions between these two are dumped under a name. */
static void measure(void)
{
    CALLGRIND_ZERO_STATS;
    CALLGRIND_TOGGLE_COLLECT;
}

static void measured(const char *name)
{
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT(name);
}

TEST(every_event_in_every_state)
{
    size_t state, event;
    for (state = 0; state < 2 * (sizeof states / sizeof *states); state++) {
        for (event = 0; event < sizeof events / sizeof *events; event++) {
            xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
            char name[100];
            stream *s;
            unsigned before;
            options.tls = state % 2;
            options.own_parser = 1;
            s = made(&options, states[state / 2].way);
            snprintf(name, sizeof name, "%s in %s%s", events[event].name, states[state / 2].name,
                     options.tls ? " over TLS" : "");
            before = allocations;
            measure();
            events[event].happens(s, 2000);
            measured(name);
            if (!events[event].says && !CHECK_INT(allocations, before))
                fprintf(stderr, "%s\n", name);
            xmpp_close_free(s);
        }
    }
}

TEST(an_engine_is_small)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    stream *s = NULL;
    unsigned before = allocations;
    size_t bytes = allocated;
    options.own_parser = 1;
    CHECK_INT(xmpp_close_new(&options, 0, &s), XMPP_CLOSE_OK);
    printf("an engine: %u allocations, %zu bytes\n", allocations - before, allocated - bytes);
    CHECK(allocations - before <= 4);
    CHECK(allocated - bytes <= 1536);
    before = allocations;
    CHECK_INT(xmpp_close_get_report(s, &report), XMPP_CLOSE_OK);
    CHECK_INT(allocations, before);
    xmpp_close_free(s);
}
