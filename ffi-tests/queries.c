/* What the state machine can be asked, in every state; and a machine that answers the peer's tag by itself. */
#include "check.h"
#include "xmpp_close.h"

#include <errno.h>

#define TEARDOWN XMPP_CLOSE_DO_TEARDOWN
#define NOTHING XMPP_CLOSE_DO_NOTHING
#define SEND_TAG XMPP_CLOSE_DO_SEND_TAG
#define ANSWER XMPP_CLOSE_DO_ANSWER
#define END_OUTPUT XMPP_CLOSE_DO_END_OUTPUT

/* In this order, as letters: may_Write, must_Answer, expects_Stanzas, wants_Input; a dash for 0. */
static void check_asked(const xmpp_close_handshake *h, const char *expected)
{
    char answers[5];
    answers[0] = xmpp_close_handshake_may_write(h) ? 'W' : '-';
    answers[1] = xmpp_close_handshake_must_answer(h) ? 'A' : '-';
    answers[2] = xmpp_close_handshake_expects_stanzas(h) ? 'S' : '-';
    answers[3] = xmpp_close_handshake_wants_input(h) ? 'I' : '-';
    answers[4] = '\0';
    CHECK_TEXT(answers, expected);
}

static xmpp_close_handshake *handshake_new(const xmpp_close_options *options)
{
    xmpp_close_handshake *h = NULL;
    CHECK_INT(xmpp_close_handshake_new(options, 0, &h), XMPP_CLOSE_OK);
    if (h == NULL)
        check_fatal("xmpp_close_handshake_new");
    check_asked(h, options != NULL && options->peer_closed ? "WA-I" : "W-SI");
    return h;
}

static xmpp_close_report finished(xmpp_close_handshake *h, uint32_t outcome)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    check_asked(h, "----");
    CHECK_INT(xmpp_close_handshake_report(h, &report), XMPP_CLOSE_OK);
    CHECK_TEXT(xmpp_close_outcome_name(report.outcome), xmpp_close_outcome_name(outcome));
    xmpp_close_handshake_free(h);
    return report;
}

/* What is done, by the name of the state that it leads to. */
static xmpp_close_handshake *flushing(void)
{
    xmpp_close_handshake *h = handshake_new(NULL);
    CHECK_INT(xmpp_close_handshake_begin(h, 1), SEND_TAG);
    check_asked(h, "--SI");
    return h;
}

static xmpp_close_handshake *waiting(void)
{
    xmpp_close_handshake *h = flushing();
    CHECK_INT(xmpp_close_handshake_flushed(h, 2), NOTHING);
    check_asked(h, "--SI");
    return h;
}

static xmpp_close_handshake *answering(void)
{
    xmpp_close_handshake *h = handshake_new(NULL);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 1), ANSWER);
    check_asked(h, "WA-I");
    return h;
}

static void a_close_begun_by_us(void)
{
    xmpp_close_handshake *h = waiting();
    CHECK_INT(xmpp_close_handshake_stanza(h, 3), NOTHING);
    check_asked(h, "--SI");
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 3), END_OUTPUT);
    check_asked(h, "---I"); /* to discard what still comes */
    CHECK_INT(xmpp_close_handshake_flushed(h, 4), NOTHING);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_eof(h, 5), TEARDOWN);
    finished(h, XMPP_CLOSE_CLEAN);

    h = flushing(); /* the tags cross */
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 2), NOTHING);
    check_asked(h, "---I"); /* and nobody has to answer */
    CHECK_INT(xmpp_close_handshake_flushed(h, 3), END_OUTPUT);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_cancel(h, 4), TEARDOWN);
    xmpp_close_handshake_free(h);
}

static void a_close_begun_by_the_peer(void)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_handshake *h = answering();
    CHECK_INT(xmpp_close_handshake_received(h, 3, 2), NOTHING); /* behind its tag */
    CHECK_INT(xmpp_close_handshake_flushed(h, 2), NOTHING);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 2), NOTHING);
    check_asked(h, "WA-I");
    CHECK_INT(xmpp_close_handshake_begin(h, 3), SEND_TAG);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_flushed(h, 4), END_OUTPUT);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_flushed(h, 5), NOTHING);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_eof(h, 6), TEARDOWN);
    CHECK_INT(finished(h, XMPP_CLOSE_CLEAN).initiator, XMPP_CLOSE_INITIATOR_PEER);

    h = answering(); /* the peer half-closes, and still wants its answer */
    CHECK_INT(xmpp_close_handshake_eof(h, 2), NOTHING);
    check_asked(h, "WA--");
    CHECK_INT(xmpp_close_handshake_begin(h, 3), SEND_TAG);
    check_asked(h, "----");
    CHECK_INT(xmpp_close_handshake_flushed(h, 4), TEARDOWN);
    finished(h, XMPP_CLOSE_CLEAN);

    h = answering(); /* or gets none */
    CHECK_INT(xmpp_close_handshake_detach(h, 2), NOTHING);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_flushed(h, 3), END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_eof(h, 4), TEARDOWN);
    finished(h, XMPP_CLOSE_CANCELLED);

    options.peer_closed = 1;
    h = handshake_new(&options);
    CHECK_INT(xmpp_close_handshake_begin(h, 1), SEND_TAG);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_cancel(h, 2), TEARDOWN);
    finished(h, XMPP_CLOSE_CANCELLED);
}

static void a_peers_stream_that_stops_being_one(void)
{
    xmpp_close_handshake *h = handshake_new(NULL);
    CHECK_INT(xmpp_close_handshake_malformed(h, 1), SEND_TAG);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_flushed(h, 2), END_OUTPUT);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_eof(h, 3), TEARDOWN);
    finished(h, XMPP_CLOSE_MALFORMED);

    h = waiting();
    CHECK_INT(xmpp_close_handshake_malformed(h, 3), END_OUTPUT);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_tick(h, 1000000), TEARDOWN);
    finished(h, XMPP_CLOSE_MALFORMED);

    h = handshake_new(NULL); /* it ends without a tag, and may take ours */
    CHECK_INT(xmpp_close_handshake_eof(h, 1), SEND_TAG);
    check_asked(h, "----");
    CHECK_INT(xmpp_close_handshake_flushed(h, 2), TEARDOWN);
    finished(h, XMPP_CLOSE_PEER_EOF);

    h = flushing();
    CHECK_INT(xmpp_close_handshake_truncated(h, 2), NOTHING);
    check_asked(h, "----");
    CHECK_INT(xmpp_close_handshake_flushed(h, 3), TEARDOWN);
    finished(h, XMPP_CLOSE_TRUNCATED);

    h = handshake_new(NULL); /* a stream error is a stanza among others: what follows it is still its stream */
    CHECK_INT(xmpp_close_handshake_stream_error(h, "conflict", 1), SEND_TAG);
    check_asked(h, "--SI");
    CHECK_INT(xmpp_close_handshake_flushed(h, 2), NOTHING);
    check_asked(h, "--SI");
    CHECK_INT(xmpp_close_handshake_failed(h, ECONNRESET, 3), TEARDOWN);
    finished(h, XMPP_CLOSE_RESET);
}

static void output_that_fails(void)
{
    xmpp_close_handshake *h = handshake_new(NULL);
    CHECK_INT(xmpp_close_handshake_output_failed(h, EPIPE, 1), NOTHING);
    check_asked(h, "--SI"); /* what the peer sent before is still to be handled */
    CHECK_INT(xmpp_close_handshake_eof(h, 2), TEARDOWN);
    finished(h, XMPP_CLOSE_RESET);

    h = answering(); /* there is nobody to answer */
    CHECK_INT(xmpp_close_handshake_output_failed(h, EPIPE, 2), TEARDOWN);
    finished(h, XMPP_CLOSE_RESET);
}

static void a_detach(void)
{
    xmpp_close_handshake *h = handshake_new(NULL);
    CHECK_INT(xmpp_close_handshake_detach(h, 1), NOTHING);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 2), NOTHING);
    check_asked(h, "---I"); /* too late to ask for an answer */
    CHECK_INT(xmpp_close_handshake_flushed(h, 3), END_OUTPUT);
    check_asked(h, "---I");
    CHECK_INT(xmpp_close_handshake_eof(h, 4), TEARDOWN);
    finished(h, XMPP_CLOSE_CANCELLED);
}

static xmpp_close_handshake *answering_by_itself(uint32_t answer_ms, uint32_t total_ms)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_handshake *h = NULL;
    options.answer_ms = answer_ms;
    options.total_ms = total_ms;
    CHECK_INT(xmpp_close_handshake_new(&options, 1000, &h), XMPP_CLOSE_OK);
    CHECK(xmpp_close_handshake_deadline(h) == UINT64_MAX);
    CHECK_INT(xmpp_close_handshake_tick(h, 900000), NOTHING); /* an open stream is left alone */
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 1000000), ANSWER);
    return h;
}

static void after_answer_ms_the_machine_begins_by_itself(void)
{
    xmpp_close_handshake *h = answering_by_itself(500, 0);
    CHECK(xmpp_close_handshake_deadline(h) == 1000500);
    CHECK_INT(xmpp_close_handshake_tick(h, 1000499), NOTHING);
    CHECK_INT(xmpp_close_handshake_flushed(h, 1000499), NOTHING); /* does not put it off */
    CHECK_INT(xmpp_close_handshake_written(h, 10, 1000499), NOTHING);
    check_asked(h, "WA-I");
    CHECK_INT(xmpp_close_handshake_tick(h, 1000500), SEND_TAG);
    check_asked(h, "---I");
    CHECK(xmpp_close_handshake_deadline(h) == 1030000); /* total_ms: silence has no limit of its own */
    CHECK_INT(xmpp_close_handshake_tick(h, 1000501), NOTHING);
    CHECK_INT(xmpp_close_handshake_begin(h, 1000502), NOTHING); /* one tag only */
    CHECK_INT(xmpp_close_handshake_flushed(h, 1000503), END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_eof(h, 1000504), TEARDOWN);
    CHECK_INT(finished(h, XMPP_CLOSE_CLEAN).initiator, XMPP_CLOSE_INITIATOR_PEER);

    h = answering_by_itself(500, 0); /* the tick comes late */
    CHECK_INT(xmpp_close_handshake_tick(h, 1007000), SEND_TAG);
    CHECK(xmpp_close_handshake_deadline(h) == 1030000);
    CHECK_INT(xmpp_close_handshake_cancel(h, 1007001), TEARDOWN);
    finished(h, XMPP_CLOSE_CANCELLED);

    h = answering_by_itself(500, 0); /* the application is faster */
    CHECK_INT(xmpp_close_handshake_begin(h, 1000200), SEND_TAG);
    CHECK(xmpp_close_handshake_deadline(h) == 1030000);
    CHECK_INT(xmpp_close_handshake_tick(h, 1000500), NOTHING);
    CHECK_INT(xmpp_close_handshake_flushed(h, 1000600), END_OUTPUT);
    CHECK_INT(xmpp_close_handshake_eof(h, 1000700), TEARDOWN);
    finished(h, XMPP_CLOSE_CLEAN);
}

static void answer_ms_does_not_extend_total_ms(void)
{
    xmpp_close_handshake *h = answering_by_itself(5000, 2000);
    CHECK(xmpp_close_handshake_deadline(h) == 1002000);
    CHECK_INT(xmpp_close_handshake_tick(h, 1001999), NOTHING);
    CHECK_INT(xmpp_close_handshake_tick(h, 1002000), TEARDOWN);
    CHECK_INT(finished(h, XMPP_CLOSE_STALLED).tag_sent, 0);

    h = answering_by_itself(0, 2000); /* 0: never */
    CHECK(xmpp_close_handshake_deadline(h) == 1002000);
    CHECK_INT(xmpp_close_handshake_tick(h, 1001999), NOTHING);
    CHECK_INT(xmpp_close_handshake_tick(h, 1002000), TEARDOWN);
    finished(h, XMPP_CLOSE_STALLED);
}

static void answer_ms_counts_from_the_peers_tag(void)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_handshake *h;
    options.answer_ms = 500;
    options.peer_closed = 1; /* the handshake is made then */
    h = handshake_new(&options);
    CHECK(xmpp_close_handshake_deadline(h) == 500);
    CHECK_INT(xmpp_close_handshake_tick(h, 499), NOTHING);
    CHECK_INT(xmpp_close_handshake_tick(h, 500), SEND_TAG);
    CHECK_INT(xmpp_close_handshake_cancel(h, 501), TEARDOWN);
    finished(h, XMPP_CLOSE_CANCELLED);

    options.peer_closed = 0; /* when we began, there is nothing to answer */
    h = handshake_new(&options);
    CHECK_INT(xmpp_close_handshake_begin(h, 100), SEND_TAG);
    CHECK_INT(xmpp_close_handshake_peer_closed(h, 200), NOTHING);
    CHECK_INT(xmpp_close_handshake_tick(h, 800), NOTHING);
    CHECK(xmpp_close_handshake_deadline(h) == 30100);
    CHECK_INT(xmpp_close_handshake_cancel(h, 900), TEARDOWN);
    finished(h, XMPP_CLOSE_CANCELLED);
}

int main(int argc, char **argv)
{
    check_start(argc, argv);
    RUN(a_close_begun_by_us);
    RUN(a_close_begun_by_the_peer);
    RUN(a_peers_stream_that_stops_being_one);
    RUN(output_that_fails);
    RUN(a_detach);
    RUN(after_answer_ms_the_machine_begins_by_itself);
    RUN(answer_ms_does_not_extend_total_ms);
    RUN(answer_ms_counts_from_the_peers_tag);
    return check_done();
}
