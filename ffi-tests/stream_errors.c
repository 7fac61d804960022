/* What a stream error says: the peer's in the report, and ours on the wire. */
#include "channel.h"
#include "check.h"
#include "member.h"

#include <stdio.h>
#include <string.h>

#define NS "xmlns='urn:ietf:params:xml:ns:xmpp-streams'"
#define ERROR(content) "<stream:error>" content "</stream:error>"

TEST(the_peers_error_is_in_the_report_whole)
{
    static const struct {
        const char *sent, *condition, *text, *address, *element, *name;
    } errors[] = {
        { ERROR("<conflict " NS "/><text " NS ">Replaced &amp; gone</text>"), "conflict", "Replaced & gone", "", "", "" },
        { ERROR("<see-other-host " NS ">[2001:db8::1]:5222</see-other-host>"), "see-other-host", "",
          "[2001:db8::1]:5222", "", "" },
        { ERROR("<undefined-condition " NS "/><handled-count-too-high xmlns='urn:xmpp:sm:3' h='10'/>"),
          "undefined-condition", "", "", "{urn:xmpp:sm:3}handled-count-too-high", "" },
        { ERROR("<fizzbuzz " NS "/>"), "undefined-condition", "", "", "", "fizzbuzz" },
        { ERROR("<reset " NS ">not an address</reset>"), "reset", "", "", "", "" },
        { "<a/>", "", "", "", "", "" },
    };
    size_t i;
    int api;
    for (api = FD; api < APIS; api++)
        for (i = 0; i < sizeof errors / sizeof *errors; i++) {
            struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 },
                                     { END, NULL, 0 } };
            struct member member;
            int ok;
            script[1].text = errors[i].sent;
            member_start(&member, UNIX, script, NULL, NULL);
            member_close(&member, (enum api)api, 0);
            ok = CHECK_INT(member.report.outcome, XMPP_CLOSE_CLEAN);
            ok &= CHECK_TEXT(member.report.stream_error, errors[i].condition);
            ok &= CHECK_TEXT(member.report.stream_error_text, errors[i].text);
            ok &= CHECK_TEXT(member.report.stream_error_address, errors[i].address);
            ok &= CHECK_TEXT(member.report.stream_error_element, errors[i].element);
            ok &= CHECK_TEXT(member.report.stream_error_name, errors[i].name);
            if (!ok)
                printf("  that was call %d, error %zu\n", api, i);
            members_free(&member, 1);
        }
}

/* The last character that would not fit whole is left out. */
TEST(what_is_too_long_is_cut_between_characters)
{
    static char sent[4000], expected[300];
    const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, sent, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 },
                                   { END, NULL, 0 } };
    struct member member;
    size_t shift;
    for (shift = 0; shift < 3; shift++) { /* 255 bytes are 85 characters of three */
        size_t whole = (255 - shift) / 3, i;
        char *end = sent + sprintf(sent, "<stream:error><reset " NS "/><text " NS ">");
        end += sprintf(end, "%.*s", (int)shift, "aa");
        for (i = 0; i < 300; i++)
            end += sprintf(end, "\xe2\x82\xac");
        sprintf(end, "</text></stream:error>");
        end = expected + sprintf(expected, "%.*s", (int)shift, "aa");
        for (i = 0; i < whole; i++)
            end += sprintf(end, "\xe2\x82\xac");
        member_start(&member, UNIX, script, NULL, NULL);
        member_close(&member, FD, 0);
        CHECK_TEXT(member.report.stream_error_text, expected);
        CHECK_TEXT(member.report.stream_error_address, "");
        members_free(&member, 1);
    }
}

TEST(an_engine_tells_what_it_was_told)
{
    static const struct {
        const char *told, *condition, *name;
    } names[] = {
        { "conflict", "conflict", "" },
        { "see-other-host", "see-other-host", "" },
        { "undefined-condition", "undefined-condition", "" },
        { "fizzbuzz", "undefined-condition", "fizzbuzz" },
        { NULL, "undefined-condition", "" },
        { "", "undefined-condition", "" },
        { "a-name-that-is-longer-than-the-forty-seven-bytes-of-room", "undefined-condition",
          "a-name-that-is-longer-than-the-forty-seven-byte" },
    };
    size_t i;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
        xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
        xmpp_close_stream *s = NULL;
        CHECK_INT(xmpp_close_new(NULL, 0, &s), XMPP_CLOSE_OK);
        CHECK_INT(xmpp_close_get_report(s, &report), XMPP_CLOSE_OK);
        CHECK_TEXT(report.stream_error, "");
        error.condition = names[i].told;
        CHECK_INT(xmpp_close_peer_error(s, &error, 1), XMPP_CLOSE_OK);
        error.condition = "reset";
        CHECK_INT(xmpp_close_peer_error(s, &error, 2), XMPP_CLOSE_OK); /* the first error counts */
        CHECK_INT(xmpp_close_get_report(s, &report), XMPP_CLOSE_OK);
        CHECK_TEXT(report.stream_error, names[i].condition);
        CHECK_TEXT(report.stream_error_name, names[i].name);
        CHECK_TEXT(report.stream_error_text, "");
        xmpp_close_free(s);
    }
}

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

TEST(see_other_host_goes_out_with_its_address)
{
    xmpp_close_batch_options options = batch_options();
    struct member member;
    int api;
    for (api = FD; api <= APIS; api++) {
        member_start(&member, TCP, answer, NULL, NULL);
        if (api < APIS) {
            member.options.stream_error = "see-other-host";
            member.options.stream_error_text = "moved";
            member.options.stream_error_address = "xmpp2.example.net:5222";
            member_close(&member, (enum api)api, 0);
        } else { /* one error for all */
            options.stream_error = "see-other-host";
            options.stream_error_text = "moved";
            options.stream_error_address = "xmpp2.example.net:5222";
            members_close(&member, 1, &options);
        }
        CHECK_INT(member.report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_TEXT(member.peer.got, ERROR("<see-other-host " NS ">xmpp2.example.net:5222</see-other-host>"
                                          "<text " NS ">moved</text>") TAG);
        members_free(&member, 1);
    }
}

/* RFC 6120 section 4.9.3.19: a peer that is told to go elsewhere must be told where. */
TEST(an_address_and_its_condition_need_each_other)
{
    static const char *const mistakes[][2] = {
        { "see-other-host", NULL }, { "see-other-host", "" }, { "see-other-host", " " }, { "see-other-host", "\xff" },
        { "see-other-host", "a b" }, { "system-shutdown", "example.net" }, { NULL, "example.net" },
    };
    struct member member;
    xmpp_close_transport transport;
    struct channel channel;
    xmpp_close_batch *batch = NULL;
    size_t i;
    member_start(&member, UNIX, answer, NULL, NULL);
    channel_init(&channel, member.peer.fd, 0, &transport);
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    for (i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_batch_options all = batch_options();
        int ok;
        options.stream_error = all.stream_error = mistakes[i][0];
        options.stream_error_address = all.stream_error_address = mistakes[i][1];
        ok = CHECK_INT(xmpp_close_fd(member.peer.fd, &options, NULL), XMPP_CLOSE_ERR_INVALID);
        ok &= CHECK_INT(xmpp_close_with(&transport, &options, NULL), XMPP_CLOSE_ERR_INVALID);
        ok &= CHECK_INT(xmpp_close_batch_add(batch, member.peer.fd, &options, NULL), XMPP_CLOSE_ERR_INVALID);
        ok &= CHECK_INT(xmpp_close_batch_run(batch, &all, NULL), XMPP_CLOSE_ERR_INVALID);
        if (!ok)
            printf("  that was mistake %zu\n", i);
    }
    xmpp_close_batch_free(batch);
    member_close(&member, FD, 0); /* nothing was sent */
    CHECK_TEXT(member.peer.got, TAG);
    members_free(&member, 1);
}
