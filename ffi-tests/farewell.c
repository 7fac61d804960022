/* What a program sends in front of its closing tag: whole stanzas. It may have begun to write the first one before. */
#include "channel.h"
#include "check.h"
#include "member.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, "<late/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

static void check_sent(struct member *member, enum api api, const char *sent)
{
    int ok = CHECK_TEXT(member->peer.got, sent);
    ok &= CHECK_INT(member->report.outcome, XMPP_CLOSE_CLEAN);
    if (!ok)
        printf("  that was %s\n", api_names[api]);
    members_free(member, 1);
}

static int refuses(int fd, enum api api, const xmpp_close_options *options)
{
    xmpp_close_transport transport;
    struct channel channel;
    xmpp_close_batch *batch = NULL;
    int result;
    channel_init(&channel, fd, 0, &transport);
    if (api == FD || api == WITH)
        return api == FD ? xmpp_close_fd(fd, options, NULL) : xmpp_close_with(&transport, options, NULL);
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    result = api == BATCH ? xmpp_close_batch_add(batch, fd, options, NULL)
                          : xmpp_close_batch_add_with(batch, &transport, options, NULL);
    xmpp_close_batch_free(batch);
    return result;
}

TEST(a_farewell_that_would_spoil_the_stream_is_refused)
{
    static const struct {
        const char *words;
        uint32_t tag_sent;
    } mistakes[] = {
        { "<message><body>half", 0 }, { "<message>", 0 }, { "<presence/><iq", 0 }, { "hello", 0 }, { "<a/>hello", 0 },
        { "hello<a/>", 0 }, { "rest</body></message><iq>", 0 }, { "rest</body></message>hello", 0 }, { "<a></b>", 0 },
        { TAG, 0 }, { "<a/>" TAG, 0 }, { TAG "<a/>", 0 }, { "rest</body></message>" TAG, 0 },
        { "<a/>", 1 }, { TAG "<a/>", 1 }, { "<a>" TAG, 1 }, { TAG TAG, 1 }, { "</stream>", 1 },
    };
    struct member member;
    size_t i;
    int api;
    for (api = FD; api < APIS; api++) {
        member_start(&member, UNIX, answer, NULL, NULL);
        for (i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
            xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
            options.farewell = mistakes[i].words;
            options.farewell_len = strlen(mistakes[i].words);
            options.tag_sent = mistakes[i].tag_sent;
            if (!CHECK_INT(refuses(member.peer.fd, (enum api)api, &options), XMPP_CLOSE_ERR_INVALID))
                printf("  that was \"%s\" by %s\n", mistakes[i].words, api_names[api]);
        }
        member_close(&member, (enum api)api, 0); /* nothing was sent */
        check_sent(&member, (enum api)api, TAG);
    }
}

/* What a program has queued, cut wherever the socket took no more. */
TEST(the_rest_of_what_is_half_written_goes_out)
{
    static const char queue[] = "<message to='a&gt;b' id=\"x>y\"><body>a > b &amp; c</body><x xmlns='urn:x'/>"
                                "<![CDATA[<b>&]]></message><presence/> <iq id='1'/>";
    static const char header[] = "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams'"
                                 " xmlns='jabber:client' id='a>b'><stream:features/>";
    struct member member;
    size_t cut;
    for (cut = 0; cut <= strlen(queue); cut++) {
        char sent[sizeof queue + sizeof TAG];
        enum api api = (enum api)(cut % APIS);
        member_start(&member, UNIX, answer, NULL, NULL);
        member.options.farewell = queue + cut;
        member.options.farewell_len = strlen(queue + cut);
        sprintf(sent, "%s" TAG, queue + cut);
        member_close(&member, api, 0);
        check_sent(&member, api, sent);
    }
    for (cut = 0; cut <= strlen(header); cut++) { /* and what was queued before anything was sent */
        char sent[sizeof header + sizeof TAG];
        enum api api = (enum api)(cut % APIS);
        member_start(&member, UNIX, answer, NULL, NULL);
        member.options.farewell = header + cut;
        member.options.farewell_len = strlen(header + cut);
        sprintf(sent, "%s" TAG, header + cut);
        member_close(&member, api, 0);
        check_sent(&member, api, sent);
    }
    for (cut = 0; cut <= strlen(TAG); cut++) { /* and of our own tag */
        enum api api = (enum api)(cut % APIS);
        member_start(&member, UNIX, answer, NULL, NULL);
        CHECK_INT(send(member.peer.fd, TAG, cut, 0), cut);
        member.options.tag_sent = 1;
        member.options.farewell = TAG + cut;
        member.options.farewell_len = strlen(TAG + cut);
        member_close(&member, api, 0);
        check_sent(&member, api, TAG);
    }
}
