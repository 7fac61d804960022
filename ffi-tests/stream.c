/* An engine on a clock that the test sets: each way that a close can take, with all that is asked in between. */
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

static xmpp_close_options defaults(void)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    options.own_parser = 1;
    return options;
}

static void begin_at(const xmpp_close_options *options, uint64_t at)
{
    s = NULL;
    now = at;
    CHECK_INT(xmpp_close_new(options, now, &s), XMPP_CLOSE_OK);
    if (s == NULL)
        check_fatal("xmpp_close_new");
}

static void begin(void)
{
    const xmpp_close_options options = defaults();
    begin_at(&options, 0);
}

static void begin_over_tls(void)
{
    xmpp_close_options options = defaults();
    options.tls = 1;
    begin_at(&options, 0);
}

static void begin_with_header(const char *header)
{
    xmpp_close_options options = defaults();
    options.header = header;
    options.header_len = strlen(header);
    begin_at(&options, 0);
}

static void check_wants_of(uint32_t wants, const char *expected)
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
static void wants(const char *expected)
{
    check_wants_of(xmpp_close_wants(s), expected);
    check_wants_of(xmpp_close_wants(s), expected);
}

static void says(const char *expected)
{
    const uint8_t *bytes = NULL, *again = NULL;
    size_t len = xmpp_close_output(s, &bytes);
    CHECK_BYTES(bytes, len, expected, strlen(expected));
    CHECK_INT(xmpp_close_output(s, &again), len);
    CHECK(again == bytes);
}

static void within(int expected)
{
    CHECK_INT(xmpp_close_timeout(s, now), expected);
}

static void sends(const char *xml)
{
    CHECK_INT(xmpp_close_send(s, xml, strlen(xml)), XMPP_CLOSE_OK);
}

static void finishes(void)
{
    CHECK_INT(xmpp_close_finish(s, NULL, now), XMPP_CLOSE_OK);
}

static void finishes_with(const char *condition)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    error.condition = condition;
    CHECK_INT(xmpp_close_finish(s, &error, now), XMPP_CLOSE_OK);
}

static void takes(size_t taken, size_t pending)
{
    (void)xmpp_close_output(s, NULL);
    CHECK_INT(xmpp_close_wrote(s, taken, pending, now), XMPP_CLOSE_OK);
}

/* The kernel takes all that is handed out. */
static void writes(void)
{
    takes(xmpp_close_output(s, NULL), 0);
}

static void receives(size_t n, int parse)
{
    CHECK_INT(xmpp_close_received(s, n, now), parse);
}

static void tells(uint32_t fact, uint64_t detail)
{
    CHECK_INT(xmpp_close_tell(s, fact, detail, now), XMPP_CLOSE_OK);
}

static void peer_closed(void)
{
    tells(XMPP_CLOSE_FACT_PEER_CLOSED, 0);
}

static void eof(void)
{
    tells(XMPP_CLOSE_FACT_EOF, 0);
}

static void ticks_at(uint64_t at, const char *expected)
{
    now = at;
    check_wants_of(xmpp_close_tick(s, now), expected);
}

static xmpp_close_report report(void)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    CHECK_INT(xmpp_close_get_report(s, &report), XMPP_CLOSE_OK);
    return report;
}

/* It is over with this outcome, whatever else is said to it; and it is freed. */
static xmpp_close_report ends(uint32_t outcome, uint32_t initiator, int tag_sent, int tag_received)
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

static void we_close(void)
{
    begin();
    sends("A");
    wants("RWMP");
    says("A");
    finishes();
    wants("RWP");
    within(30000);
    says("A" TAG);
    takes(17, 0);
    wants("RP");
    says("");
    now = 40;
    receives(50, 1);
    peer_closed();
    wants("RS");
    within(2000);
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("R");
    eof();
    wants("O");
    ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1);
}

static void owed(void)
{
    begin();
    peer_closed();
    wants("RMA");
    within(15000);
    sends("R");
    wants("RWMA");
    eof();
    wants("WMA");
    takes(1, 0);
    wants("MA");
}

static void the_peer_closes_and_is_owed_a_reply(void)
{
    owed();
    finishes();
    wants("W");
    says(TAG);
    writes();
    wants("O");
    ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_PEER, 1, 1);

    owed();
    ticks_at(14999, "MA");
    ticks_at(15000, "W");
    says(TAG);
    writes();
    wants("O");
    CHECK_INT(ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_PEER, 1, 1).limit, XMPP_CLOSE_LIMIT_ANSWER);
}

static void tags_that_cross_are_no_answers(void)
{
    begin();
    finishes();
    says(TAG);
    peer_closed();
    wants("RW");
    takes(16, 0);
    wants("RS");
    eof();
    ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_CROSSING, 1, 1);
}

static void what_had_arrived_before_our_tag_is_a_crossing(void)
{
    static const struct {
        size_t arrived, received;
        uint32_t initiator;
    } cases[] = { { 16, 16, XMPP_CLOSE_INITIATOR_CROSSING }, { 16, 17, XMPP_CLOSE_INITIATOR_US },
                  { 0, 16, XMPP_CLOSE_INITIATOR_US }, { SIZE_MAX, SIZE_MAX, XMPP_CLOSE_INITIATOR_CROSSING } };
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin();
        tells(XMPP_CLOSE_FACT_ARRIVED, cases[i].arrived);
        finishes();
        writes();
        now = 20;
        receives(cases[i].received, 1);
        peer_closed();
        wants("RS");
        eof();
        ends(XMPP_CLOSE_CLEAN, cases[i].initiator, 1, 1);
    }
}

static void queued_elsewhere(void)
{
    begin();
    takes(0, 100);
    wants("RWMP");
    finishes();
    wants("RWP");
    says(TAG);
    takes(16, 116);
    wants("RWP");
    says("");
    peer_closed();
    wants("RW");
}

static void a_program_has_a_queue_of_its_own(void)
{
    queued_elsewhere();
    takes(0, 0);
    wants("RS");
    eof();
    ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_CROSSING, 1, 1);

    queued_elsewhere();
    ticks_at(30000, "O");
    {
        xmpp_close_report last = ends(XMPP_CLOSE_STALLED, XMPP_CLOSE_INITIATOR_CROSSING, 0, 1);
        CHECK_INT(last.bytes_unsent, 116);
        CHECK_INT(last.limit, XMPP_CLOSE_LIMIT_TOTAL);
    }
}

static void what_comes_is_no_stream(void)
{
    begin();
    tells(XMPP_CLOSE_FACT_MALFORMED, 0);
    wants("RW");
    says(NO_XML);
    writes();
    wants("RS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("R");
    receives(100, 0);
    peer_closed(); /* too late to be believed */
    wants("R");
    eof();
    CHECK_INT(ends(XMPP_CLOSE_MALFORMED, XMPP_CLOSE_INITIATOR_US, 1, 0).bytes_read, 100);

    begin(); /* the tag was handed out, and TLS must be given the same again */
    finishes();
    says(TAG);
    tells(XMPP_CLOSE_FACT_MALFORMED, 0);
    says(TAG);
    xmpp_close_free(s);

    begin(); /* it was not */
    finishes();
    tells(XMPP_CLOSE_FACT_MALFORMED, 0);
    says(NO_XML);
    xmpp_close_free(s);

    begin(); /* it is out */
    finishes();
    writes();
    tells(XMPP_CLOSE_FACT_MALFORMED, 0);
    wants("RS");
    says("");
    xmpp_close_free(s);

    begin(); /* there is an error already */
    finishes_with("bad-format");
    says(ERROR_OF("bad-format") TAG);
    tells(XMPP_CLOSE_FACT_MALFORMED, 0);
    says(ERROR_OF("bad-format") TAG);
    xmpp_close_free(s);
}

static void what_follows_is_swallowed_up_to_a_limit(void)
{
    begin();
    finishes();
    writes();
    tells(XMPP_CLOSE_FACT_MALFORMED, 0);
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    receives(16 << 20, 0);
    wants("R");
    receives(1, 0);
    wants("O");
    ends(XMPP_CLOSE_MALFORMED, XMPP_CLOSE_INITIATOR_US, 1, 0);
}

static void tcp_ends_without_a_tag(void)
{
    begin();
    eof();
    wants("MA");
    within(15000);
    sends("R");
    wants("WMA");
    finishes();
    wants("W");
    says("R" TAG);
    writes();
    wants("O");
    ends(XMPP_CLOSE_PEER_EOF, XMPP_CLOSE_INITIATOR_PEER, 1, 0);

    begin();
    tells(XMPP_CLOSE_FACT_EOF, 1);
    finishes();
    writes();
    ends(XMPP_CLOSE_TRUNCATED, XMPP_CLOSE_INITIATOR_PEER, 1, 0);

    begin_over_tls();
    eof();
    finishes();
    writes();
    ends(XMPP_CLOSE_TRUNCATED, XMPP_CLOSE_INITIATOR_PEER, 1, 0);

    begin();
    tells(XMPP_CLOSE_FACT_READ_FAILED, ECONNRESET);
    wants("O");
    CHECK_INT(ends(XMPP_CLOSE_RESET, XMPP_CLOSE_INITIATOR_PEER, 0, 0).os_error, ECONNRESET);
}

static void each_way_to_end_while_we_wait(void)
{
    static const struct {
        uint32_t fact;
        uint64_t detail;
        uint32_t outcome;
        int os_error;
    } ways[] = { { XMPP_CLOSE_FACT_EOF, 0, XMPP_CLOSE_PEER_EOF, 0 },
                 { XMPP_CLOSE_FACT_EOF, 1, XMPP_CLOSE_TRUNCATED, 0 },
                 { XMPP_CLOSE_FACT_READ_FAILED, ECONNRESET, XMPP_CLOSE_RESET, ECONNRESET },
                 { XMPP_CLOSE_FACT_READ_FAILED, UINT64_MAX, XMPP_CLOSE_RESET, 0 },
                 { XMPP_CLOSE_FACT_TLS_FAILED, 0, XMPP_CLOSE_TLS_FAILED, 0 },
                 { XMPP_CLOSE_FACT_CANCEL, 0, XMPP_CLOSE_CANCELLED, 0 } };
    size_t i;
    for (i = 0; i < sizeof ways / sizeof *ways; i++) {
        begin();
        finishes();
        writes();
        now = 5;
        tells(ways[i].fact, ways[i].detail);
        wants("O");
        CHECK_INT(ends(ways[i].outcome, XMPP_CLOSE_INITIATOR_US, 1, 0).os_error, ways[i].os_error);
    }
}

static void writing_fails(void)
{
    xmpp_close_report last;
    begin();
    finishes();
    tells(XMPP_CLOSE_FACT_WRITE_FAILED, EPIPE);
    wants("RP");
    within(2000);
    says("");
    receives(9, 1);
    tells(XMPP_CLOSE_FACT_STANZAS, 1);
    peer_closed();
    wants("O");
    last = ends(XMPP_CLOSE_RESET, XMPP_CLOSE_INITIATOR_CROSSING, 0, 1);
    CHECK_INT(last.os_error, EPIPE);
    CHECK_INT(last.bytes_unsent, 16);
    CHECK_INT(last.stanzas, 1);

    begin();
    finishes();
    tells(XMPP_CLOSE_FACT_WRITE_FAILED, EPIPE);
    tells(XMPP_CLOSE_FACT_READ_FAILED, ECONNRESET);
    CHECK_INT(ends(XMPP_CLOSE_RESET, XMPP_CLOSE_INITIATOR_US, 0, 0).os_error, EPIPE); /* the first one */
}

static void nobody_is_left_to_be_answered(void)
{
    begin();
    peer_closed();
    tells(XMPP_CLOSE_FACT_WRITE_FAILED, EPIPE);
    wants("O");
    ends(XMPP_CLOSE_RESET, XMPP_CLOSE_INITIATOR_PEER, 0, 1);

    begin(); /* what the peer sent before is still to be handled */
    tells(XMPP_CLOSE_FACT_WRITE_FAILED, EPIPE);
    wants("RP");
    eof();
    wants("O");
    ends(XMPP_CLOSE_RESET, XMPP_CLOSE_INITIATOR_PEER, 0, 0);
}

static void tls_ends_by_alerts(void)
{
    begin_over_tls();
    finishes();
    writes();
    wants("RP");
    peer_closed();
    wants("RN");
    tells(XMPP_CLOSE_FACT_DID_NOTIFY, 0);
    takes(0, 31);
    wants("RW");
    takes(0, 0);
    wants("R");
    tells(XMPP_CLOSE_FACT_NOTIFIED, 0);
    wants("RS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("R");
    eof();
    wants("O");
    CHECK_INT(ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1).tls, 7);

    begin_over_tls(); /* a peer that stays silent gets our alert all the same */
    finishes();
    writes();
    ticks_at(30000, "NO");
    tells(XMPP_CLOSE_FACT_DID_NOTIFY, 0);
    wants("O");
    CHECK_INT(ends(XMPP_CLOSE_TIMED_OUT, XMPP_CLOSE_INITIATOR_US, 1, 0).tls, 3);

    begin_over_tls();
    tells(XMPP_CLOSE_FACT_NOTIFIED, 0);
    wants("RMA");
    finishes();
    wants("RW");
    writes();
    wants("RN");
    tells(XMPP_CLOSE_FACT_DID_NOTIFY, 0);
    wants("RS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("R");
    eof();
    CHECK_INT(ends(XMPP_CLOSE_PEER_EOF, XMPP_CLOSE_INITIATOR_PEER, 1, 0).tls, 7);

    begin_over_tls(); /* without close_notify */
    finishes();
    writes();
    eof();
    wants("NO");
    CHECK_INT(ends(XMPP_CLOSE_TRUNCATED, XMPP_CLOSE_INITIATOR_US, 1, 0).tls, 1);

    begin_over_tls(); /* inside an element */
    tells(XMPP_CLOSE_FACT_NOTIFIED, 1);
    finishes();
    writes();
    eof();
    ends(XMPP_CLOSE_TRUNCATED, XMPP_CLOSE_INITIATOR_PEER, 1, 0);
}

/* A layer that neither shows the peer's close_notify nor sends ours when told. */
static void tls_that_hides_its_alerts(void)
{
    xmpp_close_options options = defaults();
    options.tls = 2;
    begin_at(&options, 0);
    finishes();
    writes();
    peer_closed();
    wants("RS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("R");
    eof();
    wants("O");
    CHECK_INT(ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1).tls, 1);
}

static void a_half_close_is_asked_for(void)
{
    xmpp_close_options options = defaults();
    options.half_close = 1;
    begin_at(&options, 0);
    finishes();
    writes();
    wants("RPS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("RP");
    within(30000);
    peer_closed();
    wants("R");
    within(2000);
    eof();
    ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1);

    for (options.tls = 1; options.tls <= 2; options.tls++) {
        s = NULL;
        CHECK_INT(xmpp_close_new(&options, 0, &s), XMPP_CLOSE_ERR_INVALID);
        CHECK(s == NULL);
    }
}

static void our_header_has_not_gone_out(void)
{
#define HEADER "<stream:stream to='a.example'>"
    begin_with_header(HEADER);
    finishes_with("host-unknown");
    says(HEADER ERROR_OF("host-unknown") TAG);
    xmpp_close_free(s);

    begin_with_header(HEADER);
    sends("<proceed/>");
    says(HEADER "<proceed/>");
    CHECK_INT(xmpp_close_tell(s, XMPP_CLOSE_FACT_RESTARTED, 1, now), XMPP_CLOSE_ERR_INVALID); /* it is not out */
    writes();
    CHECK_INT(xmpp_close_tell(s, XMPP_CLOSE_FACT_RESTARTED, 3, now), XMPP_CLOSE_ERR_INVALID);
    tells(XMPP_CLOSE_FACT_RESTARTED, 1);
    tells(XMPP_CLOSE_FACT_TLS_FAILED, 0);
    wants("O");
    says("");
    CHECK_INT(ends(XMPP_CLOSE_TLS_FAILED, XMPP_CLOSE_INITIATOR_PEER, 0, 0).tls, 1);

    begin_with_header(HEADER);
    sends("<proceed/>");
    writes();
    tells(XMPP_CLOSE_FACT_RESTARTED, 1);
    finishes(); /* while TLS is negotiated: what is said goes out when it is there */
    says(HEADER TAG);
    xmpp_close_free(s);

    begin_with_header(HEADER);
    tells(XMPP_CLOSE_FACT_HEADER_OUT, 0);
    finishes();
    says(TAG);
    xmpp_close_free(s);

    begin_with_header("<stream to='a.example'>"); /* the tag is that of the header */
    finishes();
    says("<stream to='a.example'></stream>");
    xmpp_close_free(s);
}

static void a_detach_sends_no_tag(void)
{
    begin();
    sends("A");
    CHECK_INT(xmpp_close_detach(s, now), XMPP_CLOSE_OK);
    finishes(); /* too late */
    wants("RW");
    receives(9, 0);
    says("A");
    writes();
    wants("RS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("R");
    eof();
    ends(XMPP_CLOSE_CANCELLED, XMPP_CLOSE_INITIATOR_US, 0, 0);
}

static void a_peer_that_closed_may_get_no_tag(void)
{
    begin();
    peer_closed();
    CHECK_INT(xmpp_close_detach(s, now), XMPP_CLOSE_OK);
    wants("RS");
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    eof();
    ends(XMPP_CLOSE_CANCELLED, XMPP_CLOSE_INITIATOR_PEER, 0, 1);

    begin();
    CHECK_INT(xmpp_close_detach(s, now), XMPP_CLOSE_OK);
    peer_closed(); /* too late to ask for an answer */
    wants("RS");
    eof();
    ends(XMPP_CLOSE_CANCELLED, XMPP_CLOSE_INITIATOR_US, 0, 0);
}

static void what_goes_out_goes_in_order(void)
{
    xmpp_close_options options = defaults();
    options.farewell = "<presence type='unavailable'/>";
    options.farewell_len = strlen(options.farewell);
    options.closing_tag = "</s:stream>";
    begin_at(&options, 0);
    sends("<a/>");
    sends("<b/>");
    finishes_with("system-shutdown");
    finishes_with("reset"); /* the first one counts */
    says("<a/><b/><presence type='unavailable'/>"
         "<s:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></s:error></s:stream>");
    CHECK_INT(xmpp_close_send(s, "<c/>", 4), XMPP_CLOSE_REFUSED);
    CHECK_INT(report().refused, 1);
    xmpp_close_free(s);
}

static void more_than_is_handed_out_cannot_be_taken(void)
{
    begin();
    CHECK_INT(xmpp_close_wrote(s, 1, 0, now), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_wrote(s, 0, SIZE_MAX, now), XMPP_CLOSE_ERR_INVALID);
    sends("ABC");
    CHECK_INT(xmpp_close_wrote(s, 3, 0, now), XMPP_CLOSE_ERR_INVALID); /* nobody has asked for it yet */
    says("ABC");
    sends("D");
    CHECK_INT(xmpp_close_wrote(s, 4, 0, now), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_wrote(s, 2, 0, now), XMPP_CLOSE_OK);
    says("CD");
    xmpp_close_free(s);
}

static void what_is_queued_has_a_limit(void)
{
    xmpp_close_options options = defaults();
    options.output_limit = 10;
    begin_at(&options, 0);
    CHECK_INT(xmpp_close_send(s, "<abcdefgh/>", 11), XMPP_CLOSE_FULL);
    sends("<abcdefg/>");
    CHECK_INT(xmpp_close_send(s, "x", 1), XMPP_CLOSE_FULL);
    CHECK_INT(xmpp_close_send(s, NULL, 0), XMPP_CLOSE_OK);
    writes();
    sends("<a/>");
    finishes_with("reset"); /* error and tag do not count */
    CHECK_INT(report().refused, 0);
    xmpp_close_free(s);
}

static void a_peer_that_closed_before_the_engine_was_made(void)
{
    xmpp_close_options options = defaults();
    options.peer_closed = 1;
    begin_at(&options, 1000000);
    wants("RMA");
    within(15000);
    finishes();
    writes();
    eof();
    ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_PEER, 1, 1);
}

static void a_tag_that_was_sent_before_the_engine_was_made(void)
{
    xmpp_close_options options = defaults();
    options.tag_sent = 1;
    begin_at(&options, 1000000);
    wants("RP");
    within(30000);
    says("");
    CHECK_INT(xmpp_close_send(s, "<a/>", 4), XMPP_CLOSE_REFUSED);
    peer_closed();
    eof();
    ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1);

    options.farewell = "am:stream>"; /* it ends what is still to be sent */
    options.farewell_len = strlen(options.farewell);
    begin_at(&options, 0);
    wants("RWP");
    says("am:stream>");
    xmpp_close_free(s);
}

static void counts_and_times_are_reported(void)
{
    xmpp_close_report last;
    const xmpp_close_options options = defaults();
    begin_at(&options, 1000000);
    within(-1); /* nothing is closed for being idle */
    ticks_at(90000000, "RMP");
    CHECK_INT(report().outcome, XMPP_CLOSE_PENDING);
    CHECK_INT(report().initiator, XMPP_CLOSE_INITIATOR_NONE);
    receives(1000, 1);
    tells(XMPP_CLOSE_FACT_STANZAS, 5); /* before the close */
    now = 100000000;
    finishes();
    within(30000); /* silence has no limit of its own */
    now += 3000;
    writes();
    now += 6000;
    receives(300, 1);
    tells(XMPP_CLOSE_FACT_STANZAS, 1);
    tells(XMPP_CLOSE_FACT_OVERSIZE, 1);
    tells(XMPP_CLOSE_FACT_STANZAS, 1);
    now += 9000;
    receives(20, 1);
    tells(XMPP_CLOSE_FACT_PEER_CLOSED, 4);
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    receives(7, 0);
    now += 1000;
    eof();
    last = ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1);
    CHECK_INT(last.stanzas, 2);
    CHECK_INT(last.oversize, 1);
    CHECK_INT(last.bytes_read, 316);
    CHECK_INT(last.bytes_after_tag, 11);
    CHECK_INT(last.elapsed_ms, 19000);
    CHECK_INT(last.tls, 0);
    CHECK_INT(last.limit, XMPP_CLOSE_LIMIT_NONE);
}

static void counters_stay_at_the_largest_number(void)
{
    begin();
    finishes();
    receives(SIZE_MAX, 1);
    receives(SIZE_MAX, 1);
    CHECK(report().bytes_read == SIZE_MAX);
    peer_closed();
    receives(SIZE_MAX, 0);
    receives(SIZE_MAX, 0);
    wants("W"); /* far beyond what is swallowed */
    writes();
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("O");
    CHECK(ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_CROSSING, 1, 1).bytes_after_tag == SIZE_MAX);
}

static void time_runs_out(void)
{
    xmpp_close_options options = defaults();
    xmpp_close_report last;
    options.total_ms = 20000;
    options.no_progress_ms = 3000;
    begin_at(&options, 50000);
    finishes();
    writes();
    for (; now < 70000; now += 2000) {
        ticks_at(now, "RP");
        receives(1, 1);
        within(now + 3000 > 70000 ? (int)(70000 - now) : 3000);
    }
    ticks_at(69999, "RP");
    ticks_at(71234, "O"); /* ticks may be late */
    last = ends(XMPP_CLOSE_TIMED_OUT, XMPP_CLOSE_INITIATOR_US, 1, 0);
    CHECK_INT(last.elapsed_ms, 21234);
    CHECK_INT(last.limit, XMPP_CLOSE_LIMIT_TOTAL);

    begin_at(&options, 50000);
    finishes();
    writes();
    ticks_at(53000, "O");
    CHECK_INT(ends(XMPP_CLOSE_TIMED_OUT, XMPP_CLOSE_INITIATOR_US, 1, 0).limit, XMPP_CLOSE_LIMIT_NO_PROGRESS);

    begin_at(&options, 0);
    finishes();
    ticks_at(3000, "O");
    CHECK_INT(ends(XMPP_CLOSE_STALLED, XMPP_CLOSE_INITIATOR_US, 0, 0).bytes_unsent, 16);

    begin(); /* 2 s for the end of TCP */
    finishes();
    writes();
    peer_closed();
    ticks_at(1999, "RS");
    ticks_at(2000, "O");
    CHECK_INT(ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1).limit, XMPP_CLOSE_LIMIT_LINGER);

    options.no_progress_ms = 0;
    options.answer_ms = 4000;
    begin_at(&options, 0); /* never answered, and the peer takes nothing */
    peer_closed();
    within(4000);
    ticks_at(4000, "RW");
    within(16000);
    ticks_at(20000, "O");
    CHECK_INT(ends(XMPP_CLOSE_STALLED, XMPP_CLOSE_INITIATOR_PEER, 0, 1).limit, XMPP_CLOSE_LIMIT_TOTAL);
}

static void answered_within(uint32_t answer_ms, uint32_t total_ms)
{
    xmpp_close_options options = defaults();
    options.answer_ms = answer_ms;
    options.total_ms = total_ms;
    begin_at(&options, 1000);
    ticks_at(900000, "RMP"); /* an open stream is left alone */
    within(-1);
    now = 1000000;
    peer_closed();
}

static void after_answer_ms_our_tag_goes_out_by_itself(void)
{
    answered_within(500, 0);
    within(500);
    now = 1000499;
    takes(0, 10); /* puts nothing off */
    takes(0, 0);
    ticks_at(1000499, "RMA");
    ticks_at(1000500, "RW");
    within(29500); /* total_ms: silence has no limit of its own */
    ticks_at(1000501, "RW");
    finishes(); /* one tag only */
    says(TAG);
    writes();
    wants("RS");
    eof();
    CHECK_INT(ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_PEER, 1, 1).limit, XMPP_CLOSE_LIMIT_ANSWER);

    answered_within(500, 0); /* the tick comes late */
    ticks_at(1007000, "RW");
    within(23000);
    tells(XMPP_CLOSE_FACT_CANCEL, 0);
    ends(XMPP_CLOSE_CANCELLED, XMPP_CLOSE_INITIATOR_PEER, 0, 1);

    answered_within(500, 0); /* the program is faster */
    now = 1000200;
    finishes();
    within(29800);
    ticks_at(1000500, "RW");
    writes();
    eof();
    CHECK_INT(ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_PEER, 1, 1).limit, XMPP_CLOSE_LIMIT_NONE);

    answered_within(5000, 2000); /* total_ms is not extended */
    within(2000);
    ticks_at(1001999, "RMA");
    ticks_at(1002000, "O");
    CHECK_INT(ends(XMPP_CLOSE_STALLED, XMPP_CLOSE_INITIATOR_PEER, 0, 1).limit, XMPP_CLOSE_LIMIT_TOTAL);

    answered_within(0, 2000); /* half of it */
    within(1000);
    xmpp_close_free(s);
}

static void when_we_began_there_is_nothing_to_answer(void)
{
    xmpp_close_options options = defaults();
    options.answer_ms = 500;
    begin_at(&options, 0);
    now = 100;
    finishes();
    now = 200;
    peer_closed();
    ticks_at(800, "RW");
    within(29300);
    xmpp_close_free(s);
}

static void a_verdict_is_kept_when_time_runs_out(void)
{
    begin();
    finishes();
    writes();
    tells(XMPP_CLOSE_FACT_MALFORMED, 0);
    ticks_at(1000000, "O");
    ends(XMPP_CLOSE_MALFORMED, XMPP_CLOSE_INITIATOR_US, 1, 0);

    begin();
    finishes();
    tells(XMPP_CLOSE_FACT_EOF, 1);
    wants("W");
    writes();
    wants("O");
    ends(XMPP_CLOSE_TRUNCATED, XMPP_CLOSE_INITIATOR_US, 1, 0);
}

static void a_pause_of_ours_is_no_silence_of_the_peers(void)
{
    xmpp_close_options options = defaults();
    options.no_progress_ms = 1000;
    begin_at(&options, 0);
    finishes();
    writes();
    within(1000);
    tells(XMPP_CLOSE_FACT_PAUSED, 1);
    wants("P");
    within(30000);
    ticks_at(5000, "P");
    tells(XMPP_CLOSE_FACT_PAUSED, 0);
    wants("RP");
    within(1000);
    xmpp_close_free(s);
}

static void odd_times_are_harmless(void)
{
    xmpp_close_options options = defaults();
    begin_at(&options, UINT64_MAX);
    finishes();
    now = 0; /* the clock went back */
    within(30000);
    ticks_at(0, "RWP");
    tells(XMPP_CLOSE_FACT_CANCEL, 0);
    CHECK_INT(ends(XMPP_CLOSE_CANCELLED, XMPP_CLOSE_INITIATOR_US, 0, 0).elapsed_ms, 0);

    options.total_ms = options.no_progress_ms = options.linger_ms = UINT32_MAX;
    begin_at(&options, 1000);
    finishes();
    within(INT_MAX);
    ticks_at(500, "RWP");
    ticks_at(UINT32_MAX, "RWP");
    within(1000);
    ticks_at(UINT64_MAX, "O");
    CHECK_INT(ends(XMPP_CLOSE_STALLED, XMPP_CLOSE_INITIATOR_US, 0, 0).elapsed_ms, UINT32_MAX);
}

static void stream_errors_of_the_peer(void)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    xmpp_close_report last;
    begin();
    finishes();
    writes();
    error.condition = "see-other-host";
    error.text = "gone";
    error.address = "b.example";
    error.element = "{urn:x}moved";
    CHECK_INT(xmpp_close_peer_error(s, &error, 1), XMPP_CLOSE_OK);
    error.condition = "reset";
    CHECK_INT(xmpp_close_peer_error(s, &error, 1), XMPP_CLOSE_OK); /* the first one counts */
    peer_closed();
    eof();
    last = ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1);
    CHECK_TEXT(last.stream_error, "see-other-host");
    CHECK_TEXT(last.stream_error_text, "gone");
    CHECK_TEXT(last.stream_error_address, "b.example");
    CHECK_TEXT(last.stream_error_element, "{urn:x}moved");

    begin(); /* it closes, so we close in return */
    error.condition = "a-name-that-no-rfc-knows-and-is-too-long-for-the-report";
    error.text = "not UTF-8: \xff";
    CHECK_INT(xmpp_close_peer_error(s, &error, 1), XMPP_CLOSE_OK);
    wants("RWP");
    says(TAG);
    writes();
    eof();
    last = ends(XMPP_CLOSE_PEER_EOF, XMPP_CLOSE_INITIATOR_PEER, 1, 0);
    CHECK_TEXT(last.stream_error, "undefined-condition");
    CHECK_TEXT(last.stream_error_text, "not UTF-8: \xef\xbf\xbd");

    begin();
    CHECK_INT(xmpp_close_peer_error(s, NULL, 1), XMPP_CLOSE_OK);
    CHECK_TEXT(report().stream_error, "undefined-condition"); /* some error, whatever its name */
    xmpp_close_free(s);
}

static void stream_errors_of_ours_are_checked(void)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    begin();
    CHECK_INT(xmpp_close_finish(s, &error, now), XMPP_CLOSE_ERR_NULL);
    error.condition = "no-such-condition";
    CHECK_INT(xmpp_close_finish(s, &error, now), XMPP_CLOSE_ERR_INVALID);
    error.condition = "undefined-condition";
    CHECK_INT(xmpp_close_finish(s, &error, now), XMPP_CLOSE_ERR_INVALID);
    error.element = "<a/></stream:stream>";
    CHECK_INT(xmpp_close_finish(s, &error, now), XMPP_CLOSE_ERR_INVALID);
    error.struct_size = 0;
    error.element = "<a xmlns='urn:x'/>";
    CHECK_INT(xmpp_close_finish(s, &error, now), XMPP_CLOSE_ERR_INVALID);
    wants("RMP"); /* nothing was begun */
    error.struct_size = sizeof error;
    error.text = "1 < 2";
    CHECK_INT(xmpp_close_finish(s, &error, now), XMPP_CLOSE_OK);
    says("<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
         "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>1 &lt; 2</text><a xmlns='urn:x'/></stream:error>" TAG);
    xmpp_close_free(s);
}

/* jabberd2 moves its connections about by memcpy, the pointer with them. */
static void the_handle_survives_copies_of_the_struct_it_is_in(void)
{
    struct connection {
        char before[13];
        xmpp_close_stream *stream;
        char after[7];
    } connections[2];
    begin();
    memset(connections, 0, sizeof connections);
    connections[0].stream = s;
    memcpy(&connections[1], &connections[0], sizeof connections[0]);
    memset(&connections[0], 0xa5, sizeof connections[0]);
    s = connections[1].stream;
    finishes();
    writes();
    eof();
    ends(XMPP_CLOSE_PEER_EOF, XMPP_CLOSE_INITIATOR_US, 1, 0);
}

/* An open stream of which the library holds nothing. */
static void null_is_an_open_stream(void)
{
    const uint8_t *bytes = (const uint8_t *)"";
    xmpp_close_report empty = XMPP_CLOSE_REPORT_INIT;
    s = NULL;
    now = 0;
    wants("RMP");
    within(-1);
    ticks_at(1000000, "RMP");
    check_wants_of(xmpp_close_step(NULL), "RMP");
    CHECK_INT(xmpp_close_output(NULL, &bytes), 0);
    CHECK(bytes == NULL);
    CHECK_INT(xmpp_close_wrote(NULL, 5, 5, 0), XMPP_CLOSE_OK);
    receives(100, 1);
    empty.bytes_read = 77;
    CHECK_INT(xmpp_close_get_report(NULL, &empty), XMPP_CLOSE_OK);
    CHECK_INT(empty.outcome, XMPP_CLOSE_PENDING);
    CHECK_INT(empty.bytes_read, 0);
    xmpp_close_free(NULL);
    /* There is nothing to do these with. */
    CHECK_INT(xmpp_close_send(NULL, "<a/>", 4), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_finish(NULL, NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_detach(NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_tell(NULL, XMPP_CLOSE_FACT_EOF, 0, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_peer_error(NULL, NULL, 0), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_input(NULL, NULL, NULL, 0, NULL, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_new(NULL, 0, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_start(-1, NULL, NULL), XMPP_CLOSE_ERR_NULL);
    CHECK_INT(xmpp_close_start_with(NULL, NULL, NULL), XMPP_CLOSE_ERR_NULL);
}

int main(int argc, char **argv)
{
    check_start(argc, argv);
    RUN(we_close);
    RUN(the_peer_closes_and_is_owed_a_reply);
    RUN(tags_that_cross_are_no_answers);
    RUN(what_had_arrived_before_our_tag_is_a_crossing);
    RUN(a_program_has_a_queue_of_its_own);
    RUN(what_comes_is_no_stream);
    RUN(what_follows_is_swallowed_up_to_a_limit);
    RUN(tcp_ends_without_a_tag);
    RUN(each_way_to_end_while_we_wait);
    RUN(writing_fails);
    RUN(nobody_is_left_to_be_answered);
    RUN(tls_ends_by_alerts);
    RUN(tls_that_hides_its_alerts);
    RUN(a_half_close_is_asked_for);
    RUN(our_header_has_not_gone_out);
    RUN(a_detach_sends_no_tag);
    RUN(a_peer_that_closed_may_get_no_tag);
    RUN(what_goes_out_goes_in_order);
    RUN(more_than_is_handed_out_cannot_be_taken);
    RUN(what_is_queued_has_a_limit);
    RUN(a_peer_that_closed_before_the_engine_was_made);
    RUN(a_tag_that_was_sent_before_the_engine_was_made);
    RUN(counts_and_times_are_reported);
    RUN(counters_stay_at_the_largest_number);
    RUN(time_runs_out);
    RUN(after_answer_ms_our_tag_goes_out_by_itself);
    RUN(when_we_began_there_is_nothing_to_answer);
    RUN(a_verdict_is_kept_when_time_runs_out);
    RUN(a_pause_of_ours_is_no_silence_of_the_peers);
    RUN(odd_times_are_harmless);
    RUN(stream_errors_of_the_peer);
    RUN(stream_errors_of_ours_are_checked);
    RUN(the_handle_survives_copies_of_the_struct_it_is_in);
    RUN(null_is_an_open_stream);
    return check_done();
}
