/* Engines: each way that a close can take, with all questions in between. */
#include "engine.h"

TEST(we_close)
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

TEST(the_peer_closes_and_is_owed_a_reply)
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

TEST(tags_that_cross_are_no_answers)
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

TEST(what_had_arrived_before_our_tag_is_a_crossing)
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

TEST(a_program_has_a_queue_of_its_own)
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

TEST(what_comes_is_no_stream)
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

    begin(); /* the tag was not handed out */
    finishes();
    tells(XMPP_CLOSE_FACT_MALFORMED, 0);
    says(NO_XML);
    xmpp_close_free(s);

    begin(); /* the tag is out */
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

TEST(what_follows_is_swallowed_up_to_a_limit)
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

TEST(tcp_ends_without_a_tag)
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

TEST(each_way_to_end_while_we_wait)
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

TEST(writing_fails)
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
    CHECK_INT(ends(XMPP_CLOSE_RESET, XMPP_CLOSE_INITIATOR_US, 0, 0).os_error, EPIPE); /* the first error */
}

TEST(nobody_is_left_to_be_answered)
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
