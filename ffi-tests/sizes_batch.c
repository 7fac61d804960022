/* Programs that were built with an older or a newer header than the library, and close a batch. */
#include "sizes.h"

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

TEST(options_of_a_batch_may_be_shorter_or_longer)
{
    const xmpp_close_batch_options init = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    xmpp_close_batch_options options = init;
    unsigned char *longer = stretched(&init, sizeof init, 64);
    size_t size = sizeof init + 64;
    void *old;
    memset((char *)&options + BATCH_OPTIONS_0_1, 0xa5, sizeof options - BATCH_OPTIONS_0_1); /* not looked at */
    options.struct_size = BATCH_OPTIONS_0_1;
    CHECK_INT(run_with_sizes(&options, NULL), XMPP_CLOSE_OK);
    old = cut(&options, BATCH_OPTIONS_0_1);
    CHECK_INT(run_with_sizes(old, NULL), XMPP_CLOSE_OK);
    free(old);
    memcpy(longer, &size, sizeof size);
    CHECK_INT(run_with_sizes((const xmpp_close_batch_options *)longer, NULL), XMPP_CLOSE_OK);
    longer[sizeof init + 63] = 1;
    CHECK_INT(run_with_sizes((const xmpp_close_batch_options *)longer, NULL), XMPP_CLOSE_ERR_INVALID);
    free(longer);
}

TEST(a_summary_may_be_longer)
{
    const xmpp_close_summary init = XMPP_CLOSE_SUMMARY_INIT;
    unsigned char *longer = stretched(&init, sizeof init, 64);
    size_t size = sizeof init + 64, i;
    memcpy(longer, &size, sizeof size);
    CHECK_INT(run_with_sizes(NULL, (xmpp_close_summary *)longer), XMPP_CLOSE_OK);
    CHECK_INT(((xmpp_close_summary *)longer)->stanzas, 1);
    CHECK_INT(((xmpp_close_summary *)longer)->outcomes[XMPP_CLOSE_CLEAN], 1);
    for (i = sizeof init; i < size; i++)
        CHECK_INT(longer[i], 0);
    free(longer);
}

TEST(sizes_that_no_struct_of_a_batch_has_are_refused)
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
