/* Programs that were built with an older or a newer header than the library. */
#include "check.h"
#include "peer.h"
#include "xmpp_close.h"

#include <stdlib.h>
#include <string.h>

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<a/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

/* A copy that ends where the memory ends, so that a look beyond it is caught by valgrind. */
static void *cut(const void *bytes, size_t size)
{
    void *copy = malloc(size);
    if (copy == NULL)
        check_fatal("malloc");
    memcpy(copy, bytes, size);
    return copy;
}

/* A copy that is `extra` bytes longer, all of them zero. */
static void *stretched(const void *bytes, size_t size, size_t extra)
{
    unsigned char *copy = calloc(1, size + extra);
    if (copy == NULL)
        check_fatal("calloc");
    memcpy(copy, bytes, size);
    return copy;
}

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

static void an_old_program_has_shorter_options(void)
{
    static const size_t ends[] = { sizeof(size_t), offsetof(xmpp_close_options, total_ms) + sizeof(uint32_t),
                                   offsetof(xmpp_close_options, closing_tag), offsetof(xmpp_close_options, canceller),
                                   offsetof(xmpp_close_options, stream_error),
                                   offsetof(xmpp_close_options, on_farewell), offsetof(xmpp_close_options, reserved) };
    const xmpp_close_options init = XMPP_CLOSE_OPTIONS_INIT;
    size_t i;
    for (i = 0; i < sizeof ends / sizeof *ends; i++) {
        xmpp_close_options options = init;
        void *old;
        options.struct_size = ends[i];
        old = cut(&options, ends[i]);
        CHECK_INT(close_with_sizes(old, NULL), XMPP_CLOSE_OK);
        free(old);
    }
}

static void sizes_that_no_struct_has_are_refused(void)
{
    static const size_t sizes[] = { 0, 1, sizeof(size_t) - 1, 100000, SIZE_MAX };
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

static void what_lies_behind_shorter_options_is_not_looked_at(void)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    memset((char *)&options + offsetof(xmpp_close_options, canceller), 0xa5,
           sizeof options - offsetof(xmpp_close_options, canceller));
    options.struct_size = offsetof(xmpp_close_options, canceller);
    CHECK_INT(close_with_sizes(&options, NULL), XMPP_CLOSE_OK);
}

static void a_new_program_may_have_longer_options_while_it_does_not_use_them(void)
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

static void an_old_program_gets_a_report_of_its_own_size(void)
{
    static const size_t ends[] = { sizeof(size_t), offsetof(xmpp_close_report, initiator),
                                   offsetof(xmpp_close_report, bytes_read), offsetof(xmpp_close_report, tls),
                                   offsetof(xmpp_close_report, stream_error) };
    size_t i, j;
    for (i = 0; i < sizeof ends / sizeof *ends; i++) {
        xmpp_close_report report;
        xmpp_close_report *old;
        unsigned char *bytes = (unsigned char *)&report;
        memset(&report, 0xa5, sizeof report);
        report.struct_size = ends[i];
        CHECK_INT(close_with_sizes(NULL, &report), XMPP_CLOSE_OK);
        CHECK(report.struct_size == ends[i]);
        if (ends[i] >= offsetof(xmpp_close_report, initiator))
            CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
        for (j = ends[i]; j < sizeof report; j++)
            if (!CHECK_INT(bytes[j], 0xa5))
                break;
        old = malloc(ends[i]);
        if (old == NULL)
            check_fatal("malloc");
        memcpy(old, &ends[i], sizeof ends[i]);
        CHECK_INT(close_with_sizes(NULL, old), XMPP_CLOSE_OK);
        free(old);
    }
}

static void a_new_program_may_have_a_longer_report(void)
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

static void a_report_without_its_initializer_is_refused(void)
{
    xmpp_close_handshake *handshake = NULL;
    xmpp_close_report report;
    memset(&report, 0, sizeof report);
    CHECK_INT(close_with_sizes(NULL, &report), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_handshake_new(NULL, 0, &handshake), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_handshake_report(handshake, &report), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_handshake_report(handshake, NULL), XMPP_CLOSE_ERR_NULL);
    xmpp_close_handshake_free(handshake);
}

static void a_used_report_can_be_used_again(void)
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

/* A batch of one. */
static int run_with_sizes(const xmpp_close_batch_options *options, xmpp_close_summary *summary)
{
    xmpp_close_batch *batch = NULL;
    struct peer peer;
    int result;
    peer_start(&peer, UNIX, answer, NULL, NULL);
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_add(batch, peer.fd, NULL, NULL), XMPP_CLOSE_OK);
    result = xmpp_close_batch_run(batch, options, summary);
    xmpp_close_batch_free(batch);
    peer_stop(&peer);
    CHECK_INT(peer_count(&peer, TAG), result == XMPP_CLOSE_OK);
    peer_free(&peer);
    return result;
}

static void options_of_a_batch_may_be_shorter_or_longer(void)
{
    static const size_t ends[] = { sizeof(size_t), offsetof(xmpp_close_batch_options, spread_ms),
                                   offsetof(xmpp_close_batch_options, canceller),
                                   offsetof(xmpp_close_batch_options, on_end) };
    const xmpp_close_batch_options init = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    unsigned char *longer = stretched(&init, sizeof init, 64);
    size_t size = sizeof init + 64, i;
    for (i = 0; i < sizeof ends / sizeof *ends; i++) {
        xmpp_close_batch_options options = init;
        void *old;
        memset((char *)&options + ends[i], 0xa5, sizeof options - ends[i]); /* not looked at */
        options.struct_size = ends[i];
        CHECK_INT(run_with_sizes(&options, NULL), XMPP_CLOSE_OK);
        old = cut(&options, ends[i]);
        CHECK_INT(run_with_sizes(old, NULL), XMPP_CLOSE_OK);
        free(old);
    }
    memcpy(longer, &size, sizeof size);
    CHECK_INT(run_with_sizes((const xmpp_close_batch_options *)longer, NULL), XMPP_CLOSE_OK);
    longer[sizeof init + 63] = 1;
    CHECK_INT(run_with_sizes((const xmpp_close_batch_options *)longer, NULL), XMPP_CLOSE_ERR_INVALID);
    free(longer);
}

static void a_summary_may_be_shorter_or_longer(void)
{
    static const size_t ends[] = { sizeof(size_t), offsetof(xmpp_close_summary, begun),
                                   offsetof(xmpp_close_summary, outcomes), offsetof(xmpp_close_summary, stanzas) };
    const xmpp_close_summary init = XMPP_CLOSE_SUMMARY_INIT;
    unsigned char *longer = stretched(&init, sizeof init, 64);
    size_t size = sizeof init + 64, i, j;
    for (i = 0; i < sizeof ends / sizeof *ends; i++) {
        xmpp_close_summary summary;
        xmpp_close_summary *old = malloc(ends[i]);
        const unsigned char *bytes = (const unsigned char *)&summary;
        memset(&summary, 0xa5, sizeof summary);
        summary.struct_size = ends[i];
        CHECK_INT(run_with_sizes(NULL, &summary), XMPP_CLOSE_OK);
        CHECK(summary.struct_size == ends[i]);
        if (ends[i] >= offsetof(xmpp_close_summary, begun))
            CHECK_INT(summary.streams, 1);
        if (ends[i] >= offsetof(xmpp_close_summary, stanzas))
            CHECK_INT(summary.outcomes[XMPP_CLOSE_CLEAN], 1);
        for (j = ends[i]; j < sizeof summary; j++)
            if (!CHECK_INT(bytes[j], 0xa5))
                break;
        if (old == NULL)
            check_fatal("malloc");
        memcpy(old, &ends[i], sizeof ends[i]);
        CHECK_INT(run_with_sizes(NULL, old), XMPP_CLOSE_OK);
        free(old);
    }
    memcpy(longer, &size, sizeof size);
    CHECK_INT(run_with_sizes(NULL, (xmpp_close_summary *)longer), XMPP_CLOSE_OK);
    CHECK_INT(((xmpp_close_summary *)longer)->stanzas, 1);
    for (i = sizeof init; i < size; i++)
        CHECK_INT(longer[i], 0);
    free(longer);
}

static void sizes_that_no_struct_of_a_batch_has_are_refused(void)
{
    static const size_t sizes[] = { 0, 1, sizeof(size_t) - 1, 100000, SIZE_MAX };
    size_t i;
    for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
        xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
        options.struct_size = sizes[i];
        CHECK_INT(run_with_sizes(&options, NULL), XMPP_CLOSE_ERR_INVALID);
        summary.struct_size = sizes[i];
        CHECK_INT(run_with_sizes(NULL, &summary), XMPP_CLOSE_ERR_INVALID);
    }
}

int main(int argc, char **argv)
{
    check_start(argc, argv);
    RUN(an_old_program_has_shorter_options);
    RUN(sizes_that_no_struct_has_are_refused);
    RUN(what_lies_behind_shorter_options_is_not_looked_at);
    RUN(a_new_program_may_have_longer_options_while_it_does_not_use_them);
    RUN(an_old_program_gets_a_report_of_its_own_size);
    RUN(a_new_program_may_have_a_longer_report);
    RUN(a_report_without_its_initializer_is_refused);
    RUN(a_used_report_can_be_used_again);
    RUN(options_of_a_batch_may_be_shorter_or_longer);
    RUN(a_summary_may_be_shorter_or_longer);
    RUN(sizes_that_no_struct_of_a_batch_has_are_refused);
    return check_done();
}
