#include "member.h"

#include "channel.h"
#include "check.h"

#include <stdio.h>
#include <string.h>

#define NEVER_MS 60000

void member_start(struct member *member, enum kind kind, const struct step *script, void (*call)(void *), void *arg)
{
    const xmpp_close_options init = XMPP_CLOSE_OPTIONS_INIT;
    memset(member, 0, sizeof *member);
    peer_start(&member->peer, kind, script, call, arg);
    member->options = init;
    member->options.total_ms = member->options.no_progress_ms = member->options.linger_ms = NEVER_MS;
    member->options.userdata = member;
}

int member_stanza(void *arg, const uint8_t *xml, size_t len)
{
    struct member *member = arg;
    if (member->len + len < sizeof member->got) {
        memcpy(member->got + member->len, xml, len);
        member->len += len;
    }
    CHECK_INT(member->ends, 0);
    return ++member->calls == member->stop_after;
}

int member_data(void *arg, const uint8_t *data, size_t len)
{
    struct member *member = arg;
    if (member_stanza(member, data, len) != 0)
        return -1;
    return strstr(member->got, TAG) != NULL ? XMPP_CLOSE_PEER_CLOSED : 0;
}

void member_end(void *arg, size_t index, const xmpp_close_report *report)
{
    struct member *member = arg;
    CHECK_INT(index, member->index);
    CHECK_INT(report->struct_size, sizeof *report);
    member->ends++;
    member->outcome = report->outcome;
    if (member->at_end != NULL)
        member->at_end(member);
}

xmpp_close_batch_options batch_options(void)
{
    xmpp_close_batch_options options = XMPP_CLOSE_BATCH_OPTIONS_INIT;
    options.total_ms = NEVER_MS;
    options.on_end = member_end;
    return options;
}

xmpp_close_batch *members_batch(struct member *members, size_t count)
{
    xmpp_close_batch *batch = NULL;
    size_t i;
    if (!CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK))
        check_fatal("xmpp_close_batch_new");
    for (i = 0; i < count; i++) {
        struct member *member = &members[i];
        xmpp_close_options options = member->options;
        int result = member->over == NULL ? xmpp_close_batch_add(batch, member->peer.fd, &options, &member->index)
                                          : xmpp_close_batch_add_with(batch, member->over, &options, &member->index);
        CHECK_INT(result, XMPP_CLOSE_OK);
        CHECK_INT(member->index, i);
        memset(&options, 0xa5, sizeof options); /* the options are not looked at again */
    }
    return batch;
}

xmpp_close_summary members_run(xmpp_close_batch *batch, const xmpp_close_batch_options *options,
                               struct member *members, size_t count)
{
    const xmpp_close_report init = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_summary summary = XMPP_CLOSE_SUMMARY_INIT;
    uint32_t outcomes[10] = { 0 };
    uint64_t stanzas = 0;
    size_t i;
    CHECK_INT(xmpp_close_batch_run(batch, options, &summary), XMPP_CLOSE_OK);
    for (i = 0; i < count; i++) {
        struct member *member = &members[i];
        member->report = init;
        CHECK_INT(xmpp_close_batch_report(batch, i, &member->report), XMPP_CLOSE_OK);
        if (options != NULL && options->on_end == member_end) {
            CHECK_INT(member->ends, 1);
            CHECK_INT(member->outcome, member->report.outcome);
        }
        stanzas += member->report.stanzas;
        if (CHECK(member->report.outcome > XMPP_CLOSE_PENDING && member->report.outcome < 10))
            outcomes[member->report.outcome]++;
    }
    CHECK_INT(summary.struct_size, sizeof summary);
    CHECK_INT(summary.streams, count);
    CHECK_INT(summary.begun, count);
    CHECK_INT(summary.ended, count);
    CHECK_INT(summary.stanzas, stanzas);
    for (i = 0; i < 10; i++)
        if (!CHECK_INT(summary.outcomes[i], outcomes[i]))
            printf("  that was the outcome %s\n", xmpp_close_outcome_name((uint32_t)i));
    xmpp_close_batch_free(batch);
    for (i = 0; i < count; i++)
        peer_stop(&members[i].peer);
    return summary;
}

xmpp_close_summary members_close(struct member *members, size_t count, const xmpp_close_batch_options *options)
{
    return members_run(members_batch(members, count), options, members, count);
}

void members_free(struct member *members, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++)
        peer_free(&members[i].peer);
}

const char *const api_names[] = { "xmpp_close_fd", "xmpp_close_with", "a batch", "a batch of transports" };

void member_close(struct member *member, enum api api, int tls)
{
    const xmpp_close_report init = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_batch_options options = batch_options();
    xmpp_close_transport transport;
    struct channel channel;
    channel_init(&channel, member->peer.fd, tls, &transport);
    member->report = init;
    if (api == BATCH_WITH)
        member->over = &transport;
    if (api == BATCH || api == BATCH_WITH) {
        members_close(member, 1, &options);
        return;
    }
    CHECK_INT(api == FD ? xmpp_close_fd(member->peer.fd, &member->options, &member->report)
                        : xmpp_close_with(&transport, &member->options, &member->report), XMPP_CLOSE_OK);
    peer_stop(&member->peer);
}
