/* Own-parser mode: a program that has expat on the stream since its header, and keeps it to the end. */
#include "channel.h"
#include "check.h"
#include "peer.h"

#include <expat.h>
#include <poll.h>
#include <string.h>

struct session {
    XML_Parser parser;
    int depth, stanzas, closed, failed;
};

static void XMLCALL start(void *userdata, const XML_Char *name, const XML_Char **attributes)
{
    struct session *session = userdata;
    (void)name, (void)attributes;
    session->depth++;
}

static void XMLCALL end(void *userdata, const XML_Char *name)
{
    struct session *session = userdata;
    (void)name;
    session->depth--;
    session->stanzas += session->depth == 1;
    session->closed |= session->depth == 0;
}

static int parse(void *userdata, const uint8_t *data, size_t len)
{
    struct session *session = userdata;
    session->failed |= XML_Parse(session->parser, (const char *)data, (int)len, 0) != XML_STATUS_OK;
    if (session->closed)
        return XMPP_CLOSE_PEER_CLOSED; /* also when junk after the tag was an error */
    return session->failed ? -1 : 0;
}

/* A session that has seen the header, and the beginning of a stanza. */
static void session_start(struct session *session)
{
    static const char seen[] = "<?xml version='1.0'?><s:stream xmlns:s='http://etherx.jabber.org/streams'"
                               " xmlns='jabber:client'><message/><iq id='1'><que";
    memset(session, 0, sizeof *session);
    session->parser = XML_ParserCreate(NULL);
    if (session->parser == NULL)
        check_fatal("XML_ParserCreate");
#if HAVE_DECL_XML_SETREPARSEDEFERRALENABLED
    /* Without this, expat may keep a closing tag that came in two pieces until more comes, and nothing will come. */
    XML_SetReparseDeferralEnabled(session->parser, XML_FALSE);
#endif
    XML_SetUserData(session->parser, session);
    XML_SetElementHandler(session->parser, start, end);
    CHECK(XML_Parse(session->parser, seen, (int)strlen(seen), 0) == XML_STATUS_OK);
}

enum { OVER_FD, OVER_CALLBACKS, VARIANTS };

typedef int on_data(void *userdata, const uint8_t *data, size_t len);

static xmpp_close_report close_parsed_by(on_data *parser, struct session *session, const struct step *script,
                                         int variant, const char *residual, uint32_t no_progress_ms)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_transport transport;
    struct channel channel;
    struct peer peer;
    session_start(session);
    options.total_ms = 60000;
    options.no_progress_ms = no_progress_ms;
    options.on_data = parser;
    options.userdata = session;
    options.residual = residual;
    options.residual_len = strlen(residual);
    peer_start(&peer, TCP, script, NULL, NULL);
    channel_init(&channel, peer.fd, 0, &transport);
    if (variant == OVER_FD)
        CHECK_INT(xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK);
    else
        CHECK_INT(xmpp_close_with(&transport, &options, &report), XMPP_CLOSE_OK);
    peer_stop(&peer);
    CHECK_INT(peer_count(&peer, TAG), 1);
    CHECK_INT(peer.got_len, strlen(TAG));
    peer_free(&peer);
    XML_ParserFree(session->parser);
    return report;
}

static xmpp_close_report close_session(struct session *session, const struct step *script, int variant,
                                       const char *residual, uint32_t no_progress_ms)
{
    return close_parsed_by(parse, session, script, variant, residual, no_progress_ms);
}

TEST(the_applications_parser_finds_the_end)
{
    static const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, "y/></iq><presence/><me", 0 }, { PAUSE, NULL, 50 },
        { SEND, "ssage>", 0 }, { SEND, "<x>long</x>", 1000 },
        { SEND, "</message></s:stream>", 0 },
        { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    int variant;
    for (variant = 0; variant < VARIANTS; variant++) {
        struct session session;
        xmpp_close_report report = close_session(&session, script, variant, "", 60000);
        CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(report.initiator, XMPP_CLOSE_INITIATOR_US);
        CHECK(session.closed && !session.failed);
        CHECK_INT(session.stanzas, 4);
        CHECK_INT(report.stanzas, 0); /* the library does not frame */
        CHECK_INT(report.bytes_read, strlen("y/></iq><presence/><message></message></s:stream>") + 11000);
    }
}

TEST(the_tag_may_come_in_two_pieces)
{
    static const char whole[] = "ry/></iq></s:stream>";
    size_t split;
    for (split = 1; split < strlen(whole); split += check_rounds(100) == 100 ? 1 : 7) {
        char pieces[2][sizeof whole];
        const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, pieces[0], 0 }, { PAUSE, NULL, 5 },
                                       { SEND, pieces[1], 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };
        struct session session;
        strcpy(pieces[0], whole);
        strcpy(pieces[1], whole + split);
        pieces[0][split] = '\0';
        int variant = split % 2 ? OVER_FD : OVER_CALLBACKS;
        CHECK_INT(close_session(&session, script, variant, "", 60000).outcome, XMPP_CLOSE_CLEAN);
        CHECK(session.closed && !session.failed);
    }
}

TEST(residual_bytes_are_parsed_first)
{
    static const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, "q></s:stream>", 0 }, { READ_END, NULL, 0 },
                                          { END, NULL, 0 } };
    int variant;
    for (variant = 0; variant < VARIANTS; variant++) {
        struct session session;
        xmpp_close_report report = close_session(&session, script, variant, "ry/></i", 60000);
        CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
        CHECK(session.closed && !session.failed);
        CHECK_INT(session.stanzas, 2);
    }
}

TEST(the_tag_may_be_among_the_residual_bytes)
{
    static const struct step script[] = { { READ_END, NULL, 0 }, { END, NULL, 0 } };
    int variant;
    for (variant = 0; variant < VARIANTS; variant++) {
        struct session session;
        xmpp_close_report report = close_session(&session, script, variant, "ry/></iq></s:stream>", 60000);
        CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(report.initiator, XMPP_CLOSE_INITIATOR_CROSSING);
        CHECK(session.closed && !session.failed);
    }
}

TEST(what_comes_after_the_tag_is_not_parsed)
{
    static const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, "ry/></iq></s:stream>", 0 }, { READ_TAG, NULL, 0 },
        { PAUSE, NULL, 50 }, { SEND, "junk", 1000 }, { READ_END, NULL, 0 },
        { END, NULL, 0 }
    };
    int variant;
    for (variant = 0; variant < VARIANTS; variant++) {
        struct session session;
        xmpp_close_report report = close_session(&session, script, variant, "", 60000);
        CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_INT(report.bytes_after_tag, 4000);
        CHECK(session.closed && !session.failed);
    }
}

TEST(a_parser_that_gives_up_stops_the_close)
{
    static const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, "ry></wrong>", 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    int variant;
    for (variant = 0; variant < VARIANTS; variant++) {
        struct session session;
        xmpp_close_report report = close_session(&session, script, variant, "", 60000);
        CHECK_INT(report.outcome, XMPP_CLOSE_CANCELLED);
        CHECK(session.failed && !session.closed);
    }
}

/* A mistake: expat's result, which is XML_STATUS_OK for every good piece. */
static int parse_as_expat(void *userdata, const uint8_t *data, size_t len)
{
    struct session *session = userdata;
    return (int)XML_Parse(session->parser, (const char *)data, (int)len, 0);
}

TEST(what_expat_returns_stops_the_close_and_never_passes_for_the_peers_tag)
{
    static const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, "ry/></iq><message/>", 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    struct session session;
    xmpp_close_report report = close_parsed_by(parse_as_expat, &session, script, OVER_FD, "", 60000);
    CHECK_INT(report.outcome, XMPP_CLOSE_CANCELLED);
    CHECK_INT(report.tag_received, 0);
}

/* Like parse, and returns all that on_data can return. */
static int parse_and_tell(void *userdata, const uint8_t *data, size_t len)
{
    struct session *session = userdata;
    int result = parse(session, data, len);
    if (result == -1)
        return XMPP_CLOSE_NOT_XMPP;
    return result == 0 && session->depth > 1 ? XMPP_CLOSE_MID_ELEMENT : result;
}

TEST(a_parser_can_refuse_what_came)
{
    static const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, "ry></wrong><message/>", 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    static const struct step blocked[] = {
        { SEND, "ry></wrong>", 0 }, { READ_TAG, NULL, 0 }, { SEND, "more", 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    static char queue[1 << 20];
    int way;
    memset(queue, ' ', sizeof queue);
    for (way = 0; way < 8; way++) { /* the error goes in front of a tag that has not been started */
        const char *const expected = way < 2 ? TAG
            : "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" TAG;
        const size_t queued = way < 2 || way >= 6 ? 0 : sizeof queue;
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
        xmpp_close_transport transport;
        struct channel channel;
        struct session session;
        struct peer peer;
        session_start(&session);
        options.total_ms = 60000;
        options.on_data = parse_and_tell;
        options.userdata = &session;
        options.farewell = queue;
        options.farewell_len = queued;
        if (way >= 4) { /* what the program's own parser has refused before */
            options.residual = "ry></wrong>";
            options.residual_len = strlen("ry></wrong>");
        }
        /* in ways 6 and 7 nothing is queued: the residual is looked at before our tag is written */
        peer_start(&peer, queued ? TCP_SMALL : TCP, way < 2 ? script : way < 4 ? blocked : blocked + 1, NULL, NULL);
        channel_init(&channel, peer.fd, 0, &transport);
        if (way % 2 == OVER_FD)
            CHECK_INT(xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK);
        else
            CHECK_INT(xmpp_close_with(&transport, &options, &report), XMPP_CLOSE_OK);
        peer_stop(&peer);
        CHECK_TEXT(xmpp_close_outcome_name(report.outcome), "malformed");
        CHECK_INT(report.tag_sent, 1);
        CHECK(report.elapsed_ms < 30000);
        CHECK(session.failed && !session.closed);
        if (CHECK_INT(peer.got_len, queued + strlen(expected)))
            CHECK_TEXT(peer.got + queued, expected);
        peer_free(&peer);
        XML_ParserFree(session.parser);
    }
}

TEST(a_parser_can_tell_an_end_inside_an_element)
{
    static const struct {
        const char *sent;
        uint32_t outcome;
    } ends[] = {
        { "ry/></iq><message>", XMPP_CLOSE_TRUNCATED }, { "ry/></iq>", XMPP_CLOSE_PEER_EOF },
        { "ry/></iq></s:stream>", XMPP_CLOSE_CLEAN },   { "ry/>", XMPP_CLOSE_TRUNCATED },
    };
    size_t i;
    for (i = 0; i < 2 * sizeof ends / sizeof *ends; i++) {
        const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, ends[i / 2].sent, 0 }, { END, NULL, 0 } };
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
        xmpp_close_transport transport;
        struct channel channel;
        struct session session;
        struct peer peer;
        session_start(&session);
        options.total_ms = 60000;
        options.on_data = parse_and_tell;
        options.userdata = &session;
        peer_start(&peer, TCP, script, NULL, NULL);
        channel_init(&channel, peer.fd, 0, &transport);
        if (i % 2 == OVER_FD)
            CHECK_INT(xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK);
        else
            CHECK_INT(xmpp_close_with(&transport, &options, &report), XMPP_CLOSE_OK);
        peer_stop(&peer);
        CHECK_TEXT(xmpp_close_outcome_name(report.outcome), xmpp_close_outcome_name(ends[i / 2].outcome));
        peer_free(&peer);
        XML_ParserFree(session.parser);
    }
}

TEST(what_the_parser_said_before_the_call_counts)
{
    static const char error[] = "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" TAG;
    static const char reset[] = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" TAG;
    static const struct {
        uint32_t parsed;
        const char *stream_error;
        uint32_t tag_sent, outcome;
        const char *sent;
    } cases[] = {
        { 0, NULL, 0, XMPP_CLOSE_PEER_EOF, TAG },
        { XMPP_CLOSE_MID_ELEMENT, NULL, 0, XMPP_CLOSE_TRUNCATED, TAG },
        { XMPP_CLOSE_PEER_CLOSED, NULL, 0, XMPP_CLOSE_CLEAN, TAG },
        { XMPP_CLOSE_NOT_XMPP, NULL, 0, XMPP_CLOSE_MALFORMED, error },
        { XMPP_CLOSE_NOT_XMPP, "reset", 0, XMPP_CLOSE_MALFORMED, reset },
        { XMPP_CLOSE_NOT_XMPP, NULL, 1, XMPP_CLOSE_MALFORMED, "" },
    };
    static const struct step script[] = { { READ_TAG, NULL, 0 }, { END, NULL, 0 } };
    size_t i;
    for (i = 0; i < 3 * sizeof cases / sizeof *cases; i++) {
        const size_t which = i / 3;
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
        xmpp_close_batch *batch = NULL;
        struct session session;
        struct peer peer;
        session_start(&session);
        options.total_ms = 60000;
        options.on_data = parse_and_tell; /* is never called: nothing more comes */
        options.userdata = &session;
        options.parsed = cases[which].parsed;
        options.stream_error = i % 3 == 2 ? NULL : cases[which].stream_error;
        options.tag_sent = cases[which].tag_sent;
        peer_start(&peer, TCP, script + cases[which].tag_sent, NULL, NULL);
        if (i % 3 == 0) {
            CHECK_INT(xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK);
        } else if (i % 3 == 1) {
            CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
            CHECK_INT(xmpp_close_batch_add(batch, peer.fd, &options, NULL), XMPP_CLOSE_OK);
            CHECK_INT(xmpp_close_batch_run(batch, NULL, NULL), XMPP_CLOSE_OK);
            CHECK_INT(xmpp_close_batch_report(batch, 0, &report), XMPP_CLOSE_OK);
            xmpp_close_batch_free(batch);
        } else {
            xmpp_close_stream *s = NULL;
            uint32_t wants;
            CHECK_INT(xmpp_close_start(peer.fd, &options, &s), XMPP_CLOSE_OK);
            CHECK_INT(xmpp_close_finish(s, NULL, 0), XMPP_CLOSE_OK);
            while (!((wants = xmpp_close_step(s)) & XMPP_CLOSE_OVER)) {
                struct pollfd p = { peer.fd, 0, 0 };
                p.events = (short)((wants & XMPP_CLOSE_READ ? POLLIN : 0) | (wants & XMPP_CLOSE_WRITE ? POLLOUT : 0));
                poll(&p, p.events != 0, xmpp_close_timeout(s, 0));
            }
            CHECK_INT(xmpp_close_get_report(s, &report), XMPP_CLOSE_OK);
            xmpp_close_free(s);
        }
        peer_stop(&peer);
        CHECK_TEXT(xmpp_close_outcome_name(report.outcome), xmpp_close_outcome_name(cases[which].outcome));
        if (cases[which].tag_sent)
            CHECK_INT(peer.got_len, 0);
        else /* on a started stream the error is that of _finish, and a parser that failed has made our tag due before */
            CHECK_TEXT(peer.got, i % 3 == 2 && cases[which].parsed == XMPP_CLOSE_NOT_XMPP ? error : cases[which].sent);
        peer_free(&peer);
        XML_ParserFree(session.parser);
    }
}

TEST(a_peer_that_leaves_without_its_tag_is_not_clean)
{
    static const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, "ry/></iq>", 0 }, { END, NULL, 0 } };
    int variant;
    for (variant = 0; variant < VARIANTS; variant++) {
        struct session session;
        xmpp_close_report report = close_session(&session, script, variant, "", 60000);
        CHECK_INT(report.outcome, XMPP_CLOSE_PEER_EOF);
        CHECK_INT(session.stanzas, 2);
    }
}

TEST(a_peer_without_progress_is_given_up)
{
    static const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, "ry/></iq>", 0 }, { HOLD, NULL, 0 } };
    int variant;
    for (variant = 0; variant < VARIANTS; variant++) {
        struct session session;
        xmpp_close_report report = close_session(&session, script, variant, "", 400);
        CHECK_INT(report.outcome, XMPP_CLOSE_TIMED_OUT);
        CHECK(report.elapsed_ms >= 400 && report.elapsed_ms < 30000);
        CHECK_INT(session.stanzas, 2);
    }
}
