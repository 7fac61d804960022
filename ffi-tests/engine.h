/* An engine on a clock that the test sets, and what can be asked of it and told to it. One at a time. */
#ifndef ENGINE_H
#define ENGINE_H

#include "check.h"
#include "xmpp_close.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define TAG "</stream:stream>"
#define ERROR_OF(condition) \
    "<stream:error><" condition " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
#define NO_XML ERROR_OF("not-well-formed") TAG

/* An engine, and the time of its program. */
static xmpp_close_stream *s;
static uint64_t now;

static inline xmpp_close_options defaults(void)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    options.own_parser = 1;
    return options;
}

static inline void begin_at(const xmpp_close_options *options, uint64_t at)
{
    s = NULL;
    now = at;
    CHECK_INT(xmpp_close_new(options, now, &s), XMPP_CLOSE_OK);
    if (s == NULL)
        check_fatal("xmpp_close_new");
}

static inline void begin(void)
{
    const xmpp_close_options options = defaults();
    begin_at(&options, 0);
}

static inline void begin_over_tls(void)
{
    xmpp_close_options options = defaults();
    options.tls = 1;
    begin_at(&options, 0);
}

static inline void begin_with_header(const char *header)
{
    xmpp_close_options options = defaults();
    options.header = header;
    options.header_len = strlen(header);
    begin_at(&options, 0);
}

static inline void check_wants_of(uint32_t wants, const char *expected)
{
    static const struct {
        uint32_t bit;
        char letter;
    } all[] = { { XMPP_CLOSE_READ, 'R' }, { XMPP_CLOSE_WRITE, 'W' },  { XMPP_CLOSE_MAY_SEND, 'M' },
                { XMPP_CLOSE_ANSWER, 'A' }, { XMPP_CLOSE_PARSE, 'P' },  { XMPP_CLOSE_INSIDE, 'I' },
                { XMPP_CLOSE_NOTIFY, 'N' }, { XMPP_CLOSE_SHUT, 'S' },   { XMPP_CLOSE_OVER, 'O' } };
    char letters[sizeof all / sizeof *all + 2];
    size_t i, n = 0;
    for (i = 0; i < sizeof all / sizeof *all; i++)
        if (wants & all[i].bit)
            letters[n++] = all[i].letter, wants &= ~all[i].bit;
    if (wants != 0)
        letters[n++] = '?';
    letters[n] = '\0';
    CHECK_TEXT(letters, expected);
}

/* Asked twice, it answers the same. */
static inline void wants(const char *expected)
{
    check_wants_of(xmpp_close_wants(s), expected);
    check_wants_of(xmpp_close_wants(s), expected);
}

static inline void says(const char *expected)
{
    const uint8_t *bytes = NULL, *again = NULL;
    size_t len = xmpp_close_output(s, &bytes);
    CHECK_BYTES(bytes, len, expected, strlen(expected));
    CHECK_INT(xmpp_close_output(s, &again), len);
    CHECK(again == bytes);
}

static inline void within(int expected)
{
    CHECK_INT(xmpp_close_timeout(s, now), expected);
}

static inline void sends(const char *xml)
{
    CHECK_INT(xmpp_close_send(s, xml, strlen(xml)), XMPP_CLOSE_OK);
}

static inline void finishes(void)
{
    CHECK_INT(xmpp_close_finish(s, NULL, now), XMPP_CLOSE_OK);
}

static inline void finishes_with(const char *condition)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    error.condition = condition;
    CHECK_INT(xmpp_close_finish(s, &error, now), XMPP_CLOSE_OK);
}

static inline void takes(size_t taken, size_t pending)
{
    (void)xmpp_close_output(s, NULL);
    CHECK_INT(xmpp_close_wrote(s, taken, pending, now), XMPP_CLOSE_OK);
}

/* The kernel takes all that is handed out. */
static inline void writes(void)
{
    takes(xmpp_close_output(s, NULL), 0);
}

static inline void receives(size_t n, int parse)
{
    CHECK_INT(xmpp_close_received(s, n, now), parse);
}

static inline void tells(uint32_t fact, uint64_t detail)
{
    CHECK_INT(xmpp_close_tell(s, fact, detail, now), XMPP_CLOSE_OK);
}

static inline void peer_closed(void)
{
    tells(XMPP_CLOSE_FACT_PEER_CLOSED, 0);
}

static inline void eof(void)
{
    tells(XMPP_CLOSE_FACT_EOF, 0);
}

static inline void ticks_at(uint64_t at, const char *expected)
{
    now = at;
    check_wants_of(xmpp_close_tick(s, now), expected);
}

static inline xmpp_close_report report(void)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    CHECK_INT(xmpp_close_get_report(s, &report), XMPP_CLOSE_OK);
    return report;
}

/* The engine is over with this outcome, whatever is told to it, and is freed. */
static inline xmpp_close_report ends(uint32_t outcome, uint32_t initiator, int tag_sent, int tag_received)
{
    static const uint8_t *bytes;
    xmpp_close_report last = report();
    uint32_t fact;
    CHECK_TEXT(xmpp_close_outcome_name(last.outcome), xmpp_close_outcome_name(outcome));
    CHECK_INT(last.initiator, initiator);
    CHECK_INT(last.tag_sent, tag_sent);
    CHECK_INT(last.tag_received, tag_received);
    CHECK((xmpp_close_wants(s) & ~(uint32_t)XMPP_CLOSE_NOTIFY) == XMPP_CLOSE_OVER);
    within(-1);
    now = UINT64_MAX;
    CHECK_INT(xmpp_close_send(s, "<too-late/>", 11), XMPP_CLOSE_REFUSED);
    finishes();
    CHECK_INT(xmpp_close_detach(s, now), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_peer_error(s, NULL, now), XMPP_CLOSE_OK);
    for (fact = XMPP_CLOSE_FACT_CANCEL; fact <= XMPP_CLOSE_FACT_OVERSIZE; fact++)
        if (fact != XMPP_CLOSE_FACT_RESTARTED)
            tells(fact, 1);
    receives(5, 0);
    CHECK_INT(xmpp_close_output(s, &bytes), 0);
    CHECK(bytes == NULL);
    CHECK_INT(xmpp_close_wrote(s, 0, 0, now), XMPP_CLOSE_OK);
    ticks_at(now, "O");
    CHECK_INT(report().outcome, outcome);
    CHECK_INT(report().bytes_unsent, last.bytes_unsent);
    CHECK_INT(report().bytes_read, last.bytes_read);
    CHECK_INT(report().elapsed_ms, last.elapsed_ms);
    CHECK_INT(report().refused, last.refused + 1);
    xmpp_close_free(s);
    return last;
}

#endif
