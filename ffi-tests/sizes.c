/* Programs that were built with an older or a newer header than the library. */
#include "channel.h"
#include "sizes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int close_with_sizes(const xmpp_close_options *options, xmpp_close_report *report)
{
    struct peer peer;
    int result;
    peer_start(&peer, UNIX, answer, NULL, NULL);
    result = xmpp_close_fd(peer.fd, options, report);
    peer_stop(&peer);
    CHECK_INT(peer_count(&peer, TAG), result == XMPP_CLOSE_OK);
    peer_free(&peer);
    return result;
}

/* Where the structs of version 0.1.0 ended, and so where the structs of programs of that version end. */
#define OPTIONS_0_1 offsetof(xmpp_close_options, stream_error_address)
#define REPORT_0_1 offsetof(xmpp_close_report, stream_error_text)

TEST(an_old_program_has_shorter_options)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    void *old;
    options.struct_size = OPTIONS_0_1;
    old = cut(&options, OPTIONS_0_1);
    CHECK_INT(close_with_sizes(old, NULL), XMPP_CLOSE_OK);
    free(old);
    memset((char *)&options + OPTIONS_0_1, 0xa5, sizeof options - OPTIONS_0_1); /* this is not looked at */
    CHECK_INT(close_with_sizes(&options, NULL), XMPP_CLOSE_OK);
}

TEST(sizes_that_no_struct_has_are_refused)
{
    static const size_t sizes[] = { 0, 1, sizeof(size_t) - 1, 36, 4097, 100000, SIZE_MAX };
    size_t i;
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
        options.struct_size = sizes[i];
        CHECK_INT(close_with_sizes(&options, NULL), XMPP_CLOSE_ERR_INVALID);
        report.struct_size = sizes[i];
        CHECK_INT(close_with_sizes(NULL, &report), XMPP_CLOSE_ERR_INVALID);
    }
}

/* What each function says to a struct of one size. All end before anything waits. */
struct call {
    xmpp_close_options options; /* whole, and cancelled */
    xmpp_close_transport transport;
    int fd;
};

static int fd_options(const struct call *call, void *memory)
{
    return xmpp_close_fd(call->fd, memory, NULL);
}

static int fd_report(const struct call *call, void *memory)
{
    return xmpp_close_fd(call->fd, &call->options, memory);
}

static int with_transport(const struct call *call, void *memory)
{
    return xmpp_close_with(memory, &call->options, NULL);
}

static int with_options(const struct call *call, void *memory)
{
    return xmpp_close_with(&call->transport, memory, NULL);
}

static int with_report(const struct call *call, void *memory)
{
    return xmpp_close_with(&call->transport, &call->options, memory);
}

/* An engine has no use for a stream error of ours, so it is left out here. */
static int engine_options(const struct call *call, void *memory)
{
    static const size_t members[] = { offsetof(xmpp_close_options, stream_error), offsetof(xmpp_close_options, canceller),
                                      offsetof(xmpp_close_options, stream_error_address) };
    const char *const none = NULL;
    xmpp_close_stream *stream = NULL;
    size_t size, i;
    int result;
    (void)call;
    memcpy(&size, memory, sizeof size);
    for (i = 0; i < sizeof members / sizeof *members; i++)
        if (members[i] + sizeof none <= size)
            memcpy((char *)memory + members[i], &none, sizeof none);
    result = xmpp_close_new(memory, 0, &stream);
    CHECK((stream != NULL) == (result == XMPP_CLOSE_OK));
    xmpp_close_free(stream);
    return result;
}

static int engine_report(const struct call *call, void *memory)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    xmpp_close_stream *stream = NULL;
    int result;
    (void)call;
    error.condition = "a-condition-of-its-own";
    CHECK_INT(xmpp_close_new(NULL, 0, &stream), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_peer_error(stream, &error, 0), XMPP_CLOSE_OK);
    result = xmpp_close_get_report(stream, memory);
    xmpp_close_free(stream);
    return result;
}

static int no_stream_report(const struct call *call, void *memory)
{
    (void)call;
    return xmpp_close_get_report(NULL, memory);
}

static int described(const struct call *call, void *memory)
{
    int len = xmpp_close_describe(memory, NULL, 0);
    (void)call;
    return len > 0 ? XMPP_CLOSE_OK : len;
}

static int finish_error(const struct call *call, void *memory)
{
    xmpp_close_stream *stream = NULL;
    int result;
    (void)call;
    CHECK_INT(xmpp_close_new(NULL, 0, &stream), XMPP_CLOSE_OK);
    result = xmpp_close_finish(stream, memory, 0);
    CHECK((xmpp_close_wants(stream) & XMPP_CLOSE_MAY_SEND) == (result == XMPP_CLOSE_OK ? 0 : XMPP_CLOSE_MAY_SEND));
    xmpp_close_free(stream);
    return result;
}

static int peer_error(const struct call *call, void *memory)
{
    xmpp_close_stream *stream = NULL;
    int result;
    (void)call;
    CHECK_INT(xmpp_close_new(NULL, 0, &stream), XMPP_CLOSE_OK);
    result = xmpp_close_peer_error(stream, memory, 0);
    xmpp_close_free(stream);
    return result;
}

enum { ADD, ADD_WITH, ADD_WITH_TRANSPORT, RUN_OPTIONS, RUN_SUMMARY, REPORT };

static int in_a_batch(const struct call *call, void *memory, int what)
{
    xmpp_close_batch *batch = NULL;
    int result;
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    switch (what) {
    case ADD: result = xmpp_close_batch_add(batch, call->fd, memory, NULL); break;
    case ADD_WITH: result = xmpp_close_batch_add_with(batch, &call->transport, memory, NULL); break;
    case ADD_WITH_TRANSPORT: result = xmpp_close_batch_add_with(batch, memory, &call->options, NULL); break;
    case RUN_OPTIONS: result = xmpp_close_batch_run(batch, memory, NULL); break;
    case RUN_SUMMARY: result = xmpp_close_batch_run(batch, NULL, memory); break;
    default:
        CHECK_INT(xmpp_close_batch_add(batch, call->fd, &call->options, NULL), XMPP_CLOSE_OK);
        result = xmpp_close_batch_report(batch, 0, memory);
    }
    xmpp_close_batch_free(batch);
    return result;
}

#define IN_A_BATCH(name, what)                                         \
    static int name(const struct call *call, void *memory)             \
    {                                                                  \
        return in_a_batch(call, memory, what);                         \
    }
IN_A_BATCH(add_options, ADD)
IN_A_BATCH(add_with_options, ADD_WITH)
IN_A_BATCH(add_with_transport, ADD_WITH_TRANSPORT)
IN_A_BATCH(run_options, RUN_OPTIONS)
IN_A_BATCH(run_summary, RUN_SUMMARY)
IN_A_BATCH(batch_report, REPORT)

/* A struct of every possible size, in memory that ends where the struct ends: half a pointer must not be followed, and no
 * byte behind the struct may be read or written. */
TEST(every_size_is_a_struct_of_some_version_or_refused)
{
    static const xmpp_close_batch_options batch_init = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    static const xmpp_close_summary summary_init = XMPP_CLOSE_SUMMARY_INIT;
    static const xmpp_close_report report_init = XMPP_CLOSE_REPORT_INIT;
    static const xmpp_close_error error_init = { sizeof error_init, "reset", NULL, NULL, NULL };
    struct call call = { XMPP_CLOSE_OPTIONS_INIT, XMPP_CLOSE_TRANSPORT_INIT, -1 };
    const struct {
        const char *name;
        int (*ask)(const struct call *call, void *memory);
        const void *init;
        size_t size, earlier;
    } calls[] = {
        { "xmpp_close_fd, options", fd_options, &call.options, sizeof call.options, OPTIONS_0_1 },
        { "xmpp_close_fd, report", fd_report, &report_init, sizeof report_init, REPORT_0_1 },
        { "xmpp_close_with, transport", with_transport, &call.transport, sizeof call.transport, 0 },
        { "xmpp_close_with, options", with_options, &call.options, sizeof call.options, OPTIONS_0_1 },
        { "xmpp_close_with, report", with_report, &report_init, sizeof report_init, REPORT_0_1 },
        { "_new", engine_options, &call.options, sizeof call.options, OPTIONS_0_1 },
        { "_get_report", engine_report, &report_init, sizeof report_init, REPORT_0_1 },
        { "_get_report of NULL", no_stream_report, &report_init, sizeof report_init, REPORT_0_1 },
        { "_describe", described, &report_init, sizeof report_init, REPORT_0_1 },
        { "_finish", finish_error, &error_init, sizeof error_init, 0 },
        { "_peer_error", peer_error, &error_init, sizeof error_init, 0 },
        { "_batch_add", add_options, &call.options, sizeof call.options, OPTIONS_0_1 },
        { "_batch_add_with, options", add_with_options, &call.options, sizeof call.options, OPTIONS_0_1 },
        { "_batch_add_with, transport", add_with_transport, &call.transport, sizeof call.transport, 0 },
        { "_batch_run, options", run_options, &batch_init, sizeof batch_init, BATCH_OPTIONS_0_1 },
        { "_batch_run, summary", run_summary, &summary_init, sizeof summary_init, 0 },
        { "_batch_report", batch_report, &report_init, sizeof report_init, REPORT_0_1 },
    };
    xmpp_close_canceller *canceller = NULL;
    struct channel channel;
    size_t i, size;
    int fds[2];
    connected_pair(UNIX, fds);
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_canceller_cancel(canceller), XMPP_CLOSE_OK);
    channel_init(&channel, fds[0], 0, &call.transport);
    call.fd = fds[0];
    call.options.canceller = canceller;
    call.options.stream_error = "see-other-host"; /* members at both ends of the options, all of them pointers */
    call.options.stream_error_address = "example.net";
    call.options.closing_tag = TAG;
    for (i = 0; i < sizeof calls / sizeof *calls; i++)
        for (size = 0; size <= 2 * calls[i].size; size++) {
            size_t whole = size < calls[i].size ? size : calls[i].size;
            int is_struct = size > 0 && (size == calls[i].earlier || size >= calls[i].size), failed = 0;
            int excess; /* the last byte of what the library does not know is not zero */
            for (excess = 0; excess <= (size > calls[i].size); excess++) {
                unsigned char *memory = stretched(&size, sizeof size, size > sizeof size ? size - sizeof size : 0);
                if (whole > sizeof size)
                    memcpy(memory + sizeof size, (const char *)calls[i].init + sizeof size, whole - sizeof size);
                if (size == OPTIONS_0_1 && calls[i].earlier == OPTIONS_0_1 && calls[i].init == &call.options) {
                    const char *const reset = "reset"; /* a condition that needs no address */
                    memcpy(memory + offsetof(xmpp_close_options, stream_error), &reset, sizeof reset);
                }
                if (excess)
                    memory[size - 1] = 1;
                failed |= !CHECK_INT(calls[i].ask(&call, memory),
                                     is_struct && !excess ? XMPP_CLOSE_OK : XMPP_CLOSE_ERR_INVALID);
                failed |= !CHECK(memcmp(memory, &size, sizeof size) == 0);
                free(memory);
            }
            if (failed) {
                printf("  that was %s of %zu bytes\n", calls[i].name, size);
                break;
            }
        }
    xmpp_close_canceller_free(canceller);
    close(fds[0]);
    close(fds[1]);
}

TEST(a_new_program_may_have_longer_options_while_it_does_not_use_them)
{
    const xmpp_close_options init = XMPP_CLOSE_OPTIONS_INIT;
    unsigned char *longer = stretched(&init, sizeof init, 64);
    size_t size = sizeof init + 64;
    memcpy(longer, &size, sizeof size);
    CHECK_INT(close_with_sizes((const xmpp_close_options *)longer, NULL), XMPP_CLOSE_OK);
    longer[sizeof init + 63] = 1;
    CHECK_INT(close_with_sizes((const xmpp_close_options *)longer, NULL), XMPP_CLOSE_ERR_INVALID);
    longer[sizeof init + 63] = 0;
    longer[sizeof init] = 1;
    CHECK_INT(close_with_sizes((const xmpp_close_options *)longer, NULL), XMPP_CLOSE_ERR_INVALID);
    free(longer);
}

TEST(an_old_program_gets_a_report_of_its_own_size)
{
    void *old = malloc(REPORT_0_1);
    xmpp_close_report report;
    const size_t size = REPORT_0_1;
    unsigned char *bytes = (unsigned char *)&report;
    size_t i;
    memset(&report, 0xa5, sizeof report);
    report.struct_size = size;
    CHECK_INT(close_with_sizes(NULL, &report), XMPP_CLOSE_OK);
    CHECK(report.struct_size == size);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_TEXT(report.stream_error, "");
    for (i = size; i < sizeof report; i++)
        if (!CHECK_INT(bytes[i], 0xa5))
            break;
    if (old == NULL)
        check_fatal("malloc");
    memcpy(old, &size, sizeof size);
    CHECK_INT(close_with_sizes(NULL, old), XMPP_CLOSE_OK);
    free(old);
}

TEST(a_new_program_may_have_a_longer_report)
{
    const xmpp_close_report init = XMPP_CLOSE_REPORT_INIT;
    size_t size = sizeof init + 64, i;
    unsigned char *longer = stretched(&init, sizeof init, 64);
    memcpy(longer, &size, sizeof size);
    CHECK_INT(close_with_sizes(NULL, (xmpp_close_report *)longer), XMPP_CLOSE_OK);
    CHECK_INT(((xmpp_close_report *)longer)->outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(((xmpp_close_report *)longer)->stanzas, 1);
    for (i = sizeof init; i < size; i++)
        CHECK_INT(longer[i], 0);
    free(longer);
}

TEST(a_report_without_its_initializer_is_refused)
{
    xmpp_close_stream *stream = NULL;
    xmpp_close_report report;
    memset(&report, 0, sizeof report);
    CHECK_INT(close_with_sizes(NULL, &report), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_new(NULL, 0, &stream), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_get_report(stream, &report), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_get_report(stream, NULL), XMPP_CLOSE_ERR_NULL);
    xmpp_close_free(stream);
    CHECK_INT(xmpp_close_get_report(NULL, &report), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_get_report(NULL, NULL), XMPP_CLOSE_ERR_NULL);
}

TEST(a_used_report_can_be_used_again)
{
    static const struct step error[] = {
        { READ_TAG, NULL, 0 },
        { SEND, "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" TAG, 0 },
        { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    struct peer peer;
    peer_start(&peer, UNIX, error, NULL, NULL);
    CHECK_INT(xmpp_close_fd(peer.fd, NULL, &report), XMPP_CLOSE_OK);
    peer_stop(&peer);
    peer_free(&peer);
    CHECK_TEXT(report.stream_error, "reset");
    CHECK_INT(close_with_sizes(NULL, &report), XMPP_CLOSE_OK);
    CHECK_TEXT(report.stream_error, "");
    CHECK_INT(report.stanzas, 1);
}
