/* Engines: counts, times and limits. */
#include "engine.h"

TEST(counts_and_times_are_reported)
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
    within(30000); /* there is no limit for silence */
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

TEST(counters_stay_at_the_largest_number)
{
    /* The counters have 64 bits. Where a length has 32, two are far from the end. */
    const uint64_t twice = SIZE_MAX > UINT32_MAX ? UINT64_MAX : 2 * (uint64_t)SIZE_MAX;
    begin();
    finishes();
    receives(SIZE_MAX, 1);
    receives(SIZE_MAX, 1);
    CHECK(report().bytes_read == twice);
    peer_closed();
    receives(SIZE_MAX, 0);
    receives(SIZE_MAX, 0);
    wants("W"); /* far more than is discarded */
    writes();
    tells(XMPP_CLOSE_FACT_DID_SHUT, 0);
    wants("O");
    CHECK(ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_CROSSING, 1, 1).bytes_after_tag == twice);
}

TEST(time_runs_out)
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

TEST(after_answer_ms_our_tag_goes_out_by_itself)
{
    answered_within(500, 0);
    within(500);
    now = 1000499;
    takes(0, 10); /* puts nothing off */
    takes(0, 0);
    ticks_at(1000499, "RMA");
    ticks_at(1000500, "RW");
    within(29500); /* total_ms: there is no limit for silence */
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

    answered_within(500, 0); /* the program does it first */
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

    answered_within(0, 2000); /* half of total_ms */
    within(1000);
    xmpp_close_free(s);
}

TEST(when_we_began_there_is_nothing_to_answer)
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

TEST(a_verdict_is_kept_when_time_runs_out)
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

TEST(a_pause_of_ours_does_not_count_as_the_peers_silence)
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

TEST(odd_times_are_harmless)
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
