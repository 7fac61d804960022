/* What the state machine costs an event loop: its handle is the only allocation, and small, and every event in every
 * state takes a bounded number of instructions. The linker hands us the allocations (--wrap); tests/costs.rs has
 * callgrind count the instructions, which it dumps under the names that are given here. */
#include "check.h"
#include "xmpp_close.h"

#include <stdio.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

typedef xmpp_close_handshake handshake;

static unsigned allocations;
static size_t allocated;

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
    return allocated = size;
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

#define EVENT(name)                                                    \
    static void name(handshake *h, unsigned long long now)             \
    {                                                                  \
        xmpp_close_handshake_##name(h, now);                           \
    }
#define EVENT_WITH(name, event, detail)                                \
    static void name(handshake *h, unsigned long long now)             \
    {                                                                  \
        xmpp_close_handshake_##event(h, detail, now);                  \
    }
#define QUERY(name)                                                    \
    static void name(handshake *h, unsigned long long now)             \
    {                                                                  \
        (void)now;                                                     \
        xmpp_close_handshake_##name(h);                                \
    }
EVENT(begin)
EVENT(detach)
EVENT(flushed)
EVENT(stanza)
EVENT(oversize)
EVENT(peer_closed)
EVENT(malformed)
EVENT(eof)
EVENT(truncated)
EVENT(close_notify)
EVENT(tls_failed)
EVENT(cancel)
EVENT(tick)
EVENT_WITH(written, written, 5)
EVENT_WITH(received, received, 5)
EVENT_WITH(a_flood_received, received, 100 << 20)
EVENT_WITH(failed, failed, 104)
EVENT_WITH(output_failed, output_failed, 32)
EVENT_WITH(stream_error, stream_error, "system-shutdown")
EVENT_WITH(the_last_stream_error, stream_error, "unsupported-version")
EVENT_WITH(unknown_stream_error, stream_error, "something-that-no-rfc-has-ever-heard-of")
EVENT_WITH(nameless_stream_error, stream_error, NULL)
QUERY(may_write)
QUERY(must_answer)
QUERY(expects_stanzas)
QUERY(wants_input)
QUERY(deadline)

static void late_tick(handshake *h, unsigned long long now)
{
    xmpp_close_handshake_tick(h, now + 1000000);
}

#define NAMED(name) { #name, name }
static const struct {
    const char *name;
    void (*happens)(handshake *h, unsigned long long now);
} events[] = {
    NAMED(begin), NAMED(detach), NAMED(flushed), NAMED(stanza), NAMED(oversize), NAMED(peer_closed), NAMED(malformed),
    NAMED(eof), NAMED(truncated), NAMED(close_notify), NAMED(tls_failed), NAMED(cancel), NAMED(tick), NAMED(late_tick),
    NAMED(written), NAMED(received), NAMED(a_flood_received), NAMED(failed), NAMED(output_failed), NAMED(stream_error),
    NAMED(the_last_stream_error), NAMED(unknown_stream_error), NAMED(nameless_stream_error), NAMED(may_write),
    NAMED(must_answer), NAMED(expects_stanzas), NAMED(wants_input), NAMED(deadline)
};

/* How to come to each state: b(egin), f(lushed), p(eer_closed), m(alformed), o(utput_failed), e(of). */
static const struct { const char *name, *way; } states[] = {
    { "open", "" }, { "answer", "p" }, { "flush", "b" }, { "wait", "bf" }, { "reply", "pb" }, { "bye", "bfp" },
    { "linger", "bfpf" }, { "void", "bm" }, { "void, written", "bfm" }, { "output lost", "bo" }, { "done", "bfpfe" }
};

static handshake *made(const xmpp_close_options *options, const char *way)
{
    unsigned long long now = 1000;
    handshake *h = NULL;
    CHECK_INT(xmpp_close_handshake_new(options, now, &h), XMPP_CLOSE_OK);
    for (; *way; way++, now++) {
        switch (*way) {
        case 'b': begin(h, now); break;
        case 'f': flushed(h, now); break;
        case 'p': peer_closed(h, now); break;
        case 'm': malformed(h, now); break;
        case 'o': output_failed(h, now); break;
        default: eof(h, now); break;
        }
    }
    return h;
}

/* The instructions of what stands between these are dumped under a name. */
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

static void every_event_in_every_state(void)
{
    size_t state, event;
    for (state = 0; state < 2 * (sizeof states / sizeof *states); state++) {
        for (event = 0; event < sizeof events / sizeof *events; event++) {
            xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
            char name[100];
            handshake *h;
            unsigned before;
            options.tls = state % 2;
            h = made(&options, states[state / 2].way);
            snprintf(name, sizeof name, "%s in %s%s", events[event].name, states[state / 2].name,
                     options.tls ? " over TLS" : "");
            before = allocations;
            measure();
            events[event].happens(h, 2000);
            measured(name);
            if (!CHECK_INT(allocations, before))
                fprintf(stderr, "%s\n", name);
            xmpp_close_handshake_free(h);
        }
    }
}

static void the_handle_is_the_only_allocation(void)
{
    handshake *h = NULL;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    unsigned before = allocations;
    CHECK_INT(xmpp_close_handshake_new(NULL, 0, &h), XMPP_CLOSE_OK);
    CHECK_INT(allocations, before + 1);
    CHECK(allocated > 0 && allocated <= 512);
    CHECK_INT(xmpp_close_handshake_report(h, &report), XMPP_CLOSE_OK);
    CHECK_INT(allocations, before + 1);
    xmpp_close_handshake_free(h);
}

int main(int argc, char **argv)
{
    check_start(argc, argv);
    RUN(the_handle_is_the_only_allocation);
    RUN(every_event_in_every_state);
    return check_done();
}
