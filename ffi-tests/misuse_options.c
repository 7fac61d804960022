/* Options that make no sense are refused, at once and without a byte on the wire. */
#include "channel.h"
#include "check.h"
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The functions that take options. */
enum user { NEW, START, START_WITH, FD, WITH, BATCH_ADD, BATCH_ADD_WITH, USERS };
static const char *const users[] = { "_new", "_start", "_start_with", "_fd", "_with", "_batch_add", "_batch_add_with" };
#define BIT(user) (1u << (user))
#define ENGINE BIT(NEW)
#define STARTED (BIT(START) | BIT(START_WITH))
#define CALLS (BIT(FD) | BIT(WITH) | BIT(BATCH_ADD) | BIT(BATCH_ADD_WITH))

/* What the function says of the options. It reads and writes nothing. A blocking call that accepts them has a canceller that
 * was used. */
static int offer(enum user user, int fd, const xmpp_close_options *options)
{
    xmpp_close_stream *stream = NULL;
    xmpp_close_batch *batch = NULL;
    xmpp_close_transport transport;
    struct channel channel;
    int result = 1;
    channel_init(&channel, fd, 0, &transport);
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    switch (user) {
    case NEW: result = xmpp_close_new(options, 0, &stream); break;
    case START: result = xmpp_close_start(fd, options, &stream); break;
    case START_WITH: result = xmpp_close_start_with(&transport, options, &stream); break;
    case FD: result = xmpp_close_fd(fd, options, NULL); break;
    case WITH: result = xmpp_close_with(&transport, options, NULL); break;
    case BATCH_ADD: result = xmpp_close_batch_add(batch, fd, options, NULL); break;
    default: result = xmpp_close_batch_add_with(batch, &transport, options, NULL); break;
    }
    CHECK((stream != NULL) == (user <= START_WITH && result == XMPP_CLOSE_OK));
    if (result != XMPP_CLOSE_OK || user != WITH)
        CHECK_INT(channel.reads + channel.writes + channel.notified + channel.ends, 0);
    xmpp_close_free(stream);
    xmpp_close_batch_free(batch);
    return result;
}

/* All functions refuse the options, and the connection is as it was. */
static void refused(const xmpp_close_options *options, const char *why)
{
    char byte;
    int fds[2], user, ok = 1;
    connected_pair(UNIX, fds);
    for (user = 0; user < USERS; user++)
        if (!CHECK_INT(offer((enum user)user, fds[0], options), XMPP_CLOSE_ERR_INVALID))
            printf("  by xmpp_close%s\n", users[user]), ok = 0;
    ok &= CHECK(recv(fds[1], &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    if (!ok)
        printf("  the options had: %s\n", why);
    close(fds[0]);
    close(fds[1]);
}

static int take(void *userdata, const uint8_t *bytes, size_t len)
{
    (void)userdata, (void)bytes, (void)len;
    return 0;
}

TEST(options_that_make_no_sense_are_refused)
{
    static const char *const tags[] = { "", "</>", "stream:stream", "<stream:stream>", "</stream:stream", "</a b>",
                                        "</a><b>", "</stream:stream>\n", "</\xff>" };
    static const char *const conditions[] = { "", "bogus", "System-Shutdown", "undefined-condition", "\xff\xfe" };
    static const char *const headers[] = { "x", "<s:stream", "</s:stream>", "<a><b/>", "<a b='\xff'>" };
    const xmpp_close_options init = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_options options = init;
    size_t i;
    options.struct_size = 0;
    refused(&options, "a forgotten initializer");
    options = init;
    options.on_stanza = take;
    options.on_data = take;
    refused(&options, "both callbacks");
    options = init;
    options.half_close = 2;
    refused(&options, "half_close 2");
    options = init;
    options.peer_closed = 2;
    refused(&options, "peer_closed 2");
    options = init;
    options.parsed = XMPP_CLOSE_MID_ELEMENT;
    refused(&options, "parsed without on_data");
    options.on_data = take;
    options.parsed = 4;
    refused(&options, "parsed 4");
    options.parsed = XMPP_CLOSE_NOT_XMPP;
    options.detach = 1;
    refused(&options, "parsed NOT_XMPP with detach");
    options.detach = 0;
    options.peer_closed = 1;
    options.parsed = XMPP_CLOSE_MID_ELEMENT;
    refused(&options, "peer_closed, and parsed that says otherwise");
    options = init;
    options.reserved = 1;
    refused(&options, "reserved 1");
    for (i = 0; i < sizeof tags / sizeof *tags; i++) {
        options = init;
        options.closing_tag = tags[i];
        refused(&options, tags[i]);
    }
    for (i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        options = init;
        options.stream_error = conditions[i];
        refused(&options, conditions[i]);
    }
    options = init;
    options.stream_error_text = "a text without a condition";
    refused(&options, options.stream_error_text);
    options = init;
    options.stream_error = "reset";
    options.stream_error_text = "\xc3(";
    refused(&options, "text that is not UTF-8");
    options = init;
    options.stream_error = "reset";
    options.stream_error_element = "<a/></stream:stream>";
    refused(&options, "an element that ends the stream");
    for (i = 0; i < sizeof headers / sizeof *headers; i++) {
        options = init;
        options.peer_header = headers[i];
        options.peer_header_len = strlen(headers[i]);
        refused(&options, headers[i]);
    }
    options = init;
    options.tls = 3;
    refused(&options, "tls 3");
}

static int compose(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    (void)userdata, (void)buf, (void)len, (void)n;
    return 0;
}

TEST(ways_to_end_that_exclude_each_other_are_refused)
{
    const xmpp_close_options init = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_options options = init;
    options.detach = 2;
    refused(&options, "detach 2");
    options.detach = 1;
    options.stream_error = "reset";
    refused(&options, "a detach and a stream error");
    options = init;
    options.tag_sent = 2;
    refused(&options, "tag_sent 2");
    options.tag_sent = options.detach = 1;
    refused(&options, "a detach behind the tag");
    options.detach = 0;
    options.stream_error = "reset";
    refused(&options, "a stream error behind the tag");
    options.stream_error = NULL;
    options.on_farewell = compose;
    refused(&options, "last words behind the tag");
    options = init;
    options.own_parser = 2;
    refused(&options, "own_parser 2");
    options = init;
    options.header = "<stream:stream>";
    options.header_len = strlen(options.header);
    options.tag_sent = 1;
    refused(&options, "a header behind the tag");
    options.tag_sent = 0;
    options.header_len--;
    refused(&options, "half a header");
}

static void heard(void *userdata, int phase, const char *line)
{
    (void)userdata, (void)phase, (void)line;
}

/* Each member of the options with a value that makes sense, and the functions that have no use for it. */
#define SET(name, value)                                                         \
    static void set_##name(xmpp_close_options *options)                          \
    {                                                                            \
        options->name = value;                                                   \
    }
SET(total_ms, 20000)
SET(no_progress_ms, 5000)
SET(linger_ms, 1000)
SET(answer_ms, 1000)
SET(half_close, 1)
SET(peer_closed, 1)
SET(tls, 1)
SET(closing_tag, "</stream>")
SET(userdata, options)
SET(stream_error, "reset")
SET(stanza_limit, 20000)
SET(detach, 1)
SET(tag_sent, 1)
SET(own_parser, 1)
SET(output_limit, 1000)
SET(on_stanza, take)
SET(on_data, take)
SET(on_farewell, compose)
SET(on_log, heard)

static void set_parsed(xmpp_close_options *options)
{
    options->on_data = take;
    options->parsed = XMPP_CLOSE_MID_ELEMENT;
}

static void set_farewell(xmpp_close_options *options)
{
    options->farewell = "<a/>";
    options->farewell_len = 4;
}

static void set_residual(xmpp_close_options *options)
{
    options->residual = "<a/>";
    options->residual_len = 4;
}

static void set_peer_header(xmpp_close_options *options)
{
    options->peer_header = "<stream:stream>";
    options->peer_header_len = strlen(options->peer_header);
}

static void set_header(xmpp_close_options *options)
{
    options->header = "<stream:stream>";
    options->header_len = strlen(options->header);
}

static void set_canceller(xmpp_close_options *options)
{
    (void)options; /* `offered` has set it already */
}

#define MEMBER(name, refused_by) { #name, refused_by, set_##name }
static const struct {
    const char *name;
    uint32_t refused_by;
    void (*set)(xmpp_close_options *options);
} members[] = {
    MEMBER(total_ms, 0), MEMBER(no_progress_ms, 0), MEMBER(linger_ms, 0), MEMBER(answer_ms, 0), MEMBER(half_close, 0),
    MEMBER(peer_closed, 0), MEMBER(closing_tag, 0), MEMBER(farewell, 0), MEMBER(tag_sent, 0), MEMBER(header, 0),
    MEMBER(peer_header, 0), MEMBER(stanza_limit, 0), MEMBER(on_log, 0),
    /* An engine reads nothing, and calls nothing back but on_log. */
    MEMBER(residual, ENGINE), MEMBER(on_stanza, ENGINE), MEMBER(on_data, ENGINE), MEMBER(parsed, ENGINE), MEMBER(on_farewell, ENGINE),
    MEMBER(userdata, ENGINE), MEMBER(canceller, ENGINE),
    /* For a stream with a handle, how it is closed is said when it is closed. */
    MEMBER(stream_error, ENGINE | STARTED), MEMBER(detach, ENGINE | STARTED),
    /* Without a handle, nothing can be sent by it. */
    MEMBER(output_limit, CALLS),
    /* With a descriptor or a transport, the library knows. */
    MEMBER(tls, STARTED | CALLS), MEMBER(own_parser, STARTED | CALLS),
};

TEST(what_a_call_has_no_use_for_is_refused)
{
    xmpp_close_canceller *canceller = NULL;
    size_t i;
    CHECK_INT(xmpp_close_canceller_new(&canceller), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_canceller_cancel(canceller), XMPP_CLOSE_OK); /* so that nothing blocks */
    for (i = 0; i < sizeof members / sizeof *members; i++) {
        int user;
        for (user = 0; user < USERS; user++) {
            xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
            const int is_refused = (members[i].refused_by & BIT(user)) != 0;
            int fds[2];
            if (user != NEW || strcmp(members[i].name, "canceller") == 0)
                options.canceller = canceller;
            members[i].set(&options);
            connected_pair(UNIX, fds);
            if (!CHECK_INT(offer((enum user)user, fds[0], &options), is_refused ? XMPP_CLOSE_ERR_INVALID : XMPP_CLOSE_OK))
                printf("  that was %s, by xmpp_close%s\n", members[i].name, users[user]);
            close(fds[0]);
            close(fds[1]);
        }
    }
    xmpp_close_canceller_free(canceller);
}

/* A byte stream over TLS has no half-close before the peer's tag. */
TEST(a_half_close_over_tls_is_refused)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_transport transport;
    xmpp_close_stream *stream = NULL;
    xmpp_close_batch *batch = NULL;
    struct channel channel;
    int fds[2];
    connected_pair(UNIX, fds);
    channel_init(&channel, fds[0], 1, &transport);
    options.half_close = 1;
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_with(&transport, &options, NULL), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_batch_add_with(batch, &transport, &options, NULL), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_start_with(&transport, &options, &stream), XMPP_CLOSE_ERR_INVALID);
    options.tls = 1;
    CHECK_INT(xmpp_close_new(&options, 0, &stream), XMPP_CLOSE_ERR_INVALID);
    CHECK(stream == NULL);
    CHECK_INT(channel.reads + channel.writes + channel.notified + channel.ends, 0);
    xmpp_close_batch_free(batch);
    close(fds[0]);
    close(fds[1]);
}
