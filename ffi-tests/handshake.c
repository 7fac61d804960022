/* The state machine on a clock that the test sets: every event and every query, seconds apart. */
#include "check.h"
#include "xmpp_close.h"

#include <errno.h>
#include <string.h>

#define TEARDOWN XMPP_CLOSE_DO_TEARDOWN
#define NOTHING XMPP_CLOSE_DO_NOTHING

static xmpp_close_handshake *handshake_new(const xmpp_close_options *options, uint64_t now)
{
    xmpp_close_handshake *h = NULL;
    CHECK_INT(xmpp_close_handshake_new(options, now, &h), XMPP_CLOSE_OK);
    if (h == NULL)
        check_fatal("xmpp_close_handshake_new");
    return h;
}

static xmpp_close_report report_of(const xmpp_close_handshake *h)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    CHECK_INT(xmpp_close_handshake_report(h, &report), XMPP_CLOSE_OK);
    return report;
}

/* It is over with this outcome, whatever else is said to it; and it is freed. */
static xmpp_close_report finished(xmpp_close_handshake *h, uint32_t outcome)
{
    xmpp_close_report report = report_of(h);
    CHECK_TEXT(xmpp_close_outcome_name(report.outcome), xmpp_close_outcome_name(outcome));
    CHECK_INT(xmpp_close_handshake_may_write(h), 0);
    CHECK_INT(xmpp_close_handshake_wants_input(h), 0);
    CHECK(xmpp_close_handshake_deadline(h) == UINT64_MAX);
    CHECK_INT(xmpp_close_handshake_begin(h, UINT64_MAX), TEARDOWN);
    CHECK_INT(xmpp_close_handshake_received(h, 5, UINT64_MAX), TEARDOWN);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, UINT64_MAX), TEARDOWN);
    CHECK_INT(xmpp_close_handshake_cancel(h, UINT64_MAX), TEARDOWN);
    CHECK_INT(xmpp_close_handshake_tick(h, UINT64_MAX), TEARDOWN);
    CHECK_INT(report_of(h).outcome, outcome);
    CHECK_INT(report_of(h).elapsed_ms, report.elapsed_ms);
    xmpp_close_handshake_free(h);
    return report;
}

/* Our tag is out since `now`. */
static xmpp_close_handshake *waiting(const xmpp_close_options *options, uint64_t now)
{
    xmpp_close_handshake *h = handshake_new(options, now);
    CHECK_INT(xmpp_close_handshake_begin(h, now), XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_flushed(h, now), NOTHING);
    return h;
}

static void a_close_begun_by_us(void)
{
    xmpp_close_handshake *h = handshake_new(NULL, 1000000);
    xmpp_close_report report;
    CHECK_INT(xmpp_close_handshake_may_write(h), 1);
    CHECK_INT(xmpp_close_handshake_wants_input(h), 1);
    CHECK(xmpp_close_handshake_deadline(h) == UINT64_MAX); /* nothing is closed for being idle */
    CHECK_INT(xmpp_close_handshake_tick(h, 90000000), NOTHING);
    CHECK_INT(report_of(h).outcome, XMPP_CLOSE_PENDING);
    CHECK_INT(report_of(h).initiator, XMPP_CLOSE_INITIATOR_NONE);
    CHECK_INT(xmpp_close_handshake_begin(h, 100000000), XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_may_write(h), 0);
    CHECK(xmpp_close_handshake_deadline(h) == 100030000); /* silence has no limit of its own */
    CHECK_INT(xmpp_close_handshake_begin(h, 100000000), NOTHING); /* one tag only */
    CHECK_INT(xmpp_close_handshake_written(h, 4096, 100002000), NOTHING);
    CHECK_INT(xmpp_close_handshake_flushed(h, 100003000), NOTHING);
    CHECK_INT(xmpp_close_handshake_received(h, 300, 100009000), NOTHING);
    CHECK_INT(xmpp_close_handshake_stanza(h, 100009000), NOTHING);
    CHECK_INT(xmpp_close_handshake_oversize(h, 100009000), NOTHING);
    CHECK_INT(xmpp_close_handshake_stanza(h, 100009000), NOTHING);
    CHECK_INT(xmpp_close_handshake_tick(h, 100015000), NOTHING);
    CHECK_INT(xmpp_close_handshake_received(h, 16, 100018000), NOTHING);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 100018000), XMPP_CLOSE_DO_END_OUTPUT);
    CHECK(xmpp_close_handshake_deadline(h) == 100020000);
    CHECK_INT(xmpp_close_handshake_flushed(h, 100018500), NOTHING);
    CHECK_INT(xmpp_close_handshake_wants_input(h), 1);
    CHECK_INT(xmpp_close_handshake_received(h, 7, 100018600), NOTHING);
    CHECK_INT(xmpp_close_handshake_eof(h, 100019000), TEARDOWN);
    report = finished(h, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.initiator, XMPP_CLOSE_INITIATOR_US);
    CHECK_INT(report.tag_sent, 1);
    CHECK_INT(report.tag_received, 1);
    CHECK_INT(report.stanzas, 2);
    CHECK_INT(report.oversize, 1);
    CHECK_INT(report.bytes_read, 316);
    CHECK_INT(report.bytes_after_tag, 7);
    CHECK_INT(report.elapsed_ms, 19000);
    CHECK_INT(report.tls, 0);
}

/* Routing is asynchronous: the application answers when its last reply is queued, inside the deadline. */
static void an_answer_may_come_later(void)
{
    xmpp_close_handshake *h = handshake_new(NULL, 0);
    xmpp_close_report report;
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 5000), XMPP_CLOSE_DO_ANSWER);
    CHECK_INT(xmpp_close_handshake_may_write(h), 1);
    CHECK_INT(xmpp_close_handshake_flushed(h, 6000), NOTHING); /* the queue went empty, but it is not the end */
    CHECK_INT(xmpp_close_handshake_tick(h, 20000), NOTHING);   /* the application's turn: no progress is needed */
    CHECK(xmpp_close_handshake_deadline(h) == 35000);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 21000), NOTHING);
    CHECK_INT(xmpp_close_handshake_begin(h, 25000), XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_may_write(h), 0);
    CHECK_INT(xmpp_close_handshake_flushed(h, 26000), XMPP_CLOSE_DO_END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_flushed(h, 26000), NOTHING);
    CHECK_INT(xmpp_close_handshake_tick(h, 27999), NOTHING);
    CHECK_INT(xmpp_close_handshake_tick(h, 28000), TEARDOWN); /* 2 s for the end of TCP */
    report = finished(h, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.initiator, XMPP_CLOSE_INITIATOR_PEER);

    h = handshake_new(NULL, 0);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 5000), XMPP_CLOSE_DO_ANSWER);
    CHECK_INT(xmpp_close_handshake_tick(h, 35000), TEARDOWN); /* never answered */
    CHECK_INT(finished(h, XMPP_CLOSE_STALLED).tag_received, 1);
}

static void a_peer_that_closed_before_the_handshake_was_made(void)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_handshake *h;
    options.peer_closed = 1;
    h = handshake_new(&options, 1000);
    CHECK_INT(xmpp_close_handshake_may_write(h), 1);
    CHECK_INT(xmpp_close_handshake_begin(h, 1000), XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_flushed(h, 1000), XMPP_CLOSE_DO_END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_eof(h, 1000), TEARDOWN);
    CHECK_INT(finished(h, XMPP_CLOSE_CLEAN).initiator, XMPP_CLOSE_INITIATOR_PEER);
}

static void crossing_tags(void)
{
    xmpp_close_handshake *h = handshake_new(NULL, 0);
    CHECK_INT(xmpp_close_handshake_begin(h, 0), XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 10), NOTHING); /* nobody answers twice */
    CHECK_INT(xmpp_close_handshake_flushed(h, 20), XMPP_CLOSE_DO_END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_flushed(h, 30), NOTHING);
    CHECK_INT(xmpp_close_handshake_eof(h, 40), TEARDOWN);
    CHECK_INT(finished(h, XMPP_CLOSE_CLEAN).initiator, XMPP_CLOSE_INITIATOR_CROSSING);
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
        xmpp_close_handshake *h = handshake_new(NULL, 0);
        CHECK_INT(xmpp_close_handshake_arrived(h, cases[i].arrived, 0), NOTHING);
        CHECK_INT(xmpp_close_handshake_begin(h, 0), XMPP_CLOSE_DO_SEND_TAG);
        CHECK_INT(xmpp_close_handshake_flushed(h, 10), NOTHING);
        CHECK_INT(xmpp_close_handshake_received(h, cases[i].received, 20), NOTHING);
        CHECK_INT(xmpp_close_handshake_peer_closed(h, 20), XMPP_CLOSE_DO_END_OUTPUT);
        CHECK_INT(xmpp_close_handshake_eof(h, 30), TEARDOWN);
        CHECK_INT(finished(h, XMPP_CLOSE_CLEAN).initiator, cases[i].initiator);
    }
}

static void counters_stay_at_the_largest_number(void)
{
    xmpp_close_handshake *h = waiting(NULL, 0);
    CHECK_INT(xmpp_close_handshake_received(h, SIZE_MAX, 1), NOTHING);
    CHECK_INT(xmpp_close_handshake_received(h, SIZE_MAX, 1), NOTHING);
    CHECK(report_of(h).bytes_read == SIZE_MAX);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 1), XMPP_CLOSE_DO_END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_received(h, SIZE_MAX, 2), TEARDOWN); /* far beyond what is swallowed */
    CHECK(finished(h, XMPP_CLOSE_CLEAN).bytes_after_tag == SIZE_MAX);

    h = handshake_new(NULL, 0);
    CHECK_INT(xmpp_close_handshake_begin(h, 0), XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 1), NOTHING);
    CHECK_INT(xmpp_close_handshake_received(h, SIZE_MAX, 1), NOTHING);
    CHECK_INT(xmpp_close_handshake_received(h, SIZE_MAX, 1), NOTHING);
    CHECK_INT(xmpp_close_handshake_flushed(h, 2), XMPP_CLOSE_DO_END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_received(h, 1, 3), TEARDOWN);
    CHECK(finished(h, XMPP_CLOSE_CLEAN).bytes_after_tag == SIZE_MAX);
}

static void what_follows_something_malformed_is_swallowed_up_to_a_limit(void)
{
    xmpp_close_handshake *h = waiting(NULL, 0);
    CHECK_INT(xmpp_close_handshake_malformed(h, 1), XMPP_CLOSE_DO_END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_flushed(h, 1), NOTHING);
    CHECK_INT(xmpp_close_handshake_received(h, 16 << 20, 2), NOTHING);
    CHECK_INT(xmpp_close_handshake_received(h, 1, 2), TEARDOWN);
    finished(h, XMPP_CLOSE_MALFORMED);
}

static void each_way_to_end_while_waiting(void)
{
    xmpp_close_report report;
    xmpp_close_handshake *h = waiting(NULL, 0);
    CHECK_INT(xmpp_close_handshake_eof(h, 5), TEARDOWN);
    finished(h, XMPP_CLOSE_PEER_EOF);

    h = waiting(NULL, 0);
    CHECK_INT(xmpp_close_handshake_truncated(h, 5), TEARDOWN);
    finished(h, XMPP_CLOSE_TRUNCATED);

    h = waiting(NULL, 0);
    CHECK_INT(xmpp_close_handshake_failed(h, ECONNRESET, 5), TEARDOWN);
    report = finished(h, XMPP_CLOSE_RESET);
    CHECK_INT(report.os_error, ECONNRESET);

    h = waiting(NULL, 0);
    CHECK_INT(xmpp_close_handshake_tls_failed(h, 5), TEARDOWN);
    finished(h, XMPP_CLOSE_TLS_FAILED);

    h = waiting(NULL, 0);
    CHECK_INT(xmpp_close_handshake_cancel(h, 5), TEARDOWN);
    finished(h, XMPP_CLOSE_CANCELLED);

    h = waiting(NULL, 0);
    CHECK_INT(xmpp_close_handshake_malformed(h, 5), XMPP_CLOSE_DO_END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_received(h, 100, 6), NOTHING);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 6), NOTHING); /* too late to be believed */
    CHECK_INT(xmpp_close_handshake_eof(h, 7), TEARDOWN);
    CHECK_INT(finished(h, XMPP_CLOSE_MALFORMED).tag_received, 0);
}

static void time_runs_out(void)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_handshake *h;
    uint64_t now;
    options.total_ms = 20000;
    options.no_progress_ms = 3000;
    h = waiting(&options, 50000);
    for (now = 50000; now < 70000; now += 2000) {
        CHECK(xmpp_close_handshake_deadline(h) == (now == 50000 ? 53000 : now + 1000));
        CHECK_INT(xmpp_close_handshake_tick(h, now), NOTHING);
        CHECK_INT(xmpp_close_handshake_received(h, 1, now), NOTHING);
        CHECK(xmpp_close_handshake_deadline(h) == (now + 3000 > 70000 ? 70000 : now + 3000));
    }
    CHECK_INT(xmpp_close_handshake_tick(h, 69999), NOTHING);
    CHECK_INT(xmpp_close_handshake_tick(h, 71234), TEARDOWN); /* ticks may be late */
    CHECK_INT(finished(h, XMPP_CLOSE_TIMED_OUT).elapsed_ms, 21234);

    h = waiting(&options, 50000);
    CHECK_INT(xmpp_close_handshake_tick(h, 53000), TEARDOWN);
    finished(h, XMPP_CLOSE_TIMED_OUT);

    h = handshake_new(&options, 0);
    CHECK_INT(xmpp_close_handshake_begin(h, 0), XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_tick(h, 3000), TEARDOWN);
    CHECK_INT(finished(h, XMPP_CLOSE_STALLED).tag_sent, 0);
}

static void stream_errors(void)
{
    xmpp_close_report report;
    xmpp_close_handshake *h = waiting(NULL, 0);
    CHECK_INT(xmpp_close_handshake_stream_error(h, "system-shutdown", 1), NOTHING);
    CHECK_INT(xmpp_close_handshake_stream_error(h, "reset", 1), NOTHING); /* the first one counts */
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 2), XMPP_CLOSE_DO_END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_flushed(h, 3), NOTHING);
    CHECK_INT(xmpp_close_handshake_eof(h, 4), TEARDOWN);
    report = finished(h, XMPP_CLOSE_CLEAN);
    CHECK_TEXT(report.stream_error, "system-shutdown");

    h = handshake_new(NULL, 0);
    CHECK_INT(xmpp_close_handshake_stream_error(h, "a-name-that-no-rfc-knows-and-is-too-long-for-the-report", 1),
              XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_may_write(h), 0);
    CHECK_INT(xmpp_close_handshake_flushed(h, 2), NOTHING);
    CHECK_INT(xmpp_close_handshake_eof(h, 3), TEARDOWN);
    report = finished(h, XMPP_CLOSE_PEER_EOF);
    CHECK_TEXT(report.stream_error, "undefined-condition");
    CHECK_INT(report.initiator, XMPP_CLOSE_INITIATOR_PEER);

    h = waiting(NULL, 0);
    CHECK_INT(xmpp_close_handshake_stream_error(h, NULL, 1), NOTHING);
    CHECK_INT(xmpp_close_handshake_cancel(h, 2), TEARDOWN);
    CHECK(strlen(finished(h, XMPP_CLOSE_CANCELLED).stream_error) > 0); /* some error, whatever its name */
}

static void output_that_fails_leaves_input_to_read(void)
{
    xmpp_close_report report;
    xmpp_close_handshake *h = handshake_new(NULL, 0);
    CHECK_INT(xmpp_close_handshake_begin(h, 0), XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_output_failed(h, EPIPE, 1), NOTHING);
    CHECK_INT(xmpp_close_handshake_wants_input(h), 1);
    CHECK_INT(xmpp_close_handshake_received(h, 20, 2), NOTHING);
    CHECK_INT(xmpp_close_handshake_stanza(h, 2), NOTHING);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 2), TEARDOWN);
    report = finished(h, XMPP_CLOSE_RESET);
    CHECK_INT(report.tag_sent, 0);
    CHECK_INT(report.tag_received, 1);
    CHECK_INT(report.os_error, EPIPE);
    CHECK_INT(report.stanzas, 1);

    h = handshake_new(NULL, 0);
    CHECK_INT(xmpp_close_handshake_begin(h, 0), XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_output_failed(h, EPIPE, 1), NOTHING);
    CHECK_INT(xmpp_close_handshake_failed(h, ECONNRESET, 2), TEARDOWN);
    CHECK_INT(finished(h, XMPP_CLOSE_RESET).os_error, EPIPE); /* the first one */
}

static void a_half_close_is_asked_for_once(void)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_handshake *h;
    options.half_close = 1;
    h = handshake_new(&options, 0);
    CHECK_INT(xmpp_close_handshake_begin(h, 0), XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_flushed(h, 0), XMPP_CLOSE_DO_END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_flushed(h, 0), NOTHING);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 0), NOTHING);
    CHECK_INT(xmpp_close_handshake_eof(h, 0), TEARDOWN);
    finished(h, XMPP_CLOSE_CLEAN);
}

static void tls_alerts_are_in_the_report(void)
{
    static const struct {
        int tag, notify;
        uint32_t outcome, bits;
    } orders[] = {
        { 1, 1, XMPP_CLOSE_CLEAN, 7 }, { 1, 0, XMPP_CLOSE_CLEAN, 3 },
        { 0, 1, XMPP_CLOSE_PEER_EOF, 5 }, { 0, 0, XMPP_CLOSE_TRUNCATED, 1 },
    };
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    size_t i;
    options.tls = 1;
    options.half_close = 1; /* not over TLS */
    for (i = 0; i < sizeof orders / sizeof *orders; i++) {
        xmpp_close_handshake *h = waiting(&options, 0);
        if (orders[i].tag) {
            CHECK_INT(xmpp_close_handshake_peer_closed(h, 1), XMPP_CLOSE_DO_END_OUTPUT);
            CHECK_INT(xmpp_close_handshake_flushed(h, 2), NOTHING);
        }
        if (orders[i].notify)
            CHECK_INT(xmpp_close_handshake_close_notify(h, 3), orders[i].tag ? NOTHING : TEARDOWN);
        CHECK_INT(orders[i].notify ? xmpp_close_handshake_eof(h, 4) : xmpp_close_handshake_truncated(h, 4), TEARDOWN);
        CHECK_INT(finished(h, orders[i].outcome).tls, orders[i].bits);
    }
}

static void detaching_sends_no_tag(void)
{
    xmpp_close_report report;
    xmpp_close_handshake *h = handshake_new(NULL, 0);
    CHECK_INT(xmpp_close_handshake_detach(h, 0), NOTHING);
    CHECK_INT(xmpp_close_handshake_may_write(h), 0);
    CHECK_INT(xmpp_close_handshake_begin(h, 0), NOTHING); /* too late */
    CHECK_INT(xmpp_close_handshake_flushed(h, 1), XMPP_CLOSE_DO_END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_flushed(h, 2), NOTHING);
    CHECK_INT(xmpp_close_handshake_eof(h, 3), TEARDOWN);
    report = finished(h, XMPP_CLOSE_CANCELLED);
    CHECK_INT(report.tag_sent, 0);
}

/* jabberd2 moves its connections about by memcpy, the pointer with them. */
static void the_handle_survives_copies_of_the_struct_it_is_in(void)
{
    struct connection {
        char before[13];
        xmpp_close_handshake *handshake;
        char after[7];
    } connections[2];
    memset(connections, 0, sizeof connections);
    connections[0].handshake = handshake_new(NULL, 0);
    CHECK_INT(xmpp_close_handshake_begin(connections[0].handshake, 0), XMPP_CLOSE_DO_SEND_TAG);
    memcpy(&connections[1], &connections[0], sizeof connections[0]);
    memset(&connections[0], 0xa5, sizeof connections[0]);
    CHECK_INT(xmpp_close_handshake_flushed(connections[1].handshake, 1), NOTHING);
    CHECK_INT(xmpp_close_handshake_eof(connections[1].handshake, 2), TEARDOWN);
    finished(connections[1].handshake, XMPP_CLOSE_PEER_EOF);
}

static void odd_times_and_counts_are_harmless(void)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_handshake *h = handshake_new(NULL, UINT64_MAX);
    CHECK_INT(xmpp_close_handshake_begin(h, UINT64_MAX), XMPP_CLOSE_DO_SEND_TAG);
    CHECK_INT(xmpp_close_handshake_tick(h, 0), NOTHING);
    CHECK_INT(xmpp_close_handshake_written(h, SIZE_MAX, 3), NOTHING);
    CHECK_INT(xmpp_close_handshake_cancel(h, 0), TEARDOWN);
    CHECK_INT(finished(h, XMPP_CLOSE_CANCELLED).elapsed_ms, 0);

    options.total_ms = options.no_progress_ms = options.linger_ms = UINT32_MAX;
    h = waiting(&options, 1000);
    CHECK(xmpp_close_handshake_deadline(h) == 1000 + (uint64_t)UINT32_MAX);
    CHECK_INT(xmpp_close_handshake_tick(h, 500), NOTHING); /* the clock went back */
    CHECK_INT(xmpp_close_handshake_tick(h, UINT32_MAX), NOTHING);
    CHECK_INT(xmpp_close_handshake_tick(h, UINT64_MAX), TEARDOWN);
    CHECK_INT(finished(h, XMPP_CLOSE_TIMED_OUT).elapsed_ms, UINT32_MAX);
}

int main(int argc, char **argv)
{
    check_start(argc, argv);
    RUN(a_close_begun_by_us);
    RUN(an_answer_may_come_later);
    RUN(a_peer_that_closed_before_the_handshake_was_made);
    RUN(crossing_tags);
    RUN(what_had_arrived_before_our_tag_is_a_crossing);
    RUN(counters_stay_at_the_largest_number);
    RUN(what_follows_something_malformed_is_swallowed_up_to_a_limit);
    RUN(each_way_to_end_while_waiting);
    RUN(time_runs_out);
    RUN(stream_errors);
    RUN(output_that_fails_leaves_input_to_read);
    RUN(a_half_close_is_asked_for_once);
    RUN(tls_alerts_are_in_the_report);
    RUN(detaching_sends_no_tag);
    RUN(the_handle_survives_copies_of_the_struct_it_is_in);
    RUN(odd_times_and_counts_are_harmless);
    return check_done();
}
