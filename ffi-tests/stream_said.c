/* Engines: what goes out, stream errors of both sides, and no engine at all. */
#include "engine.h"

TEST(what_goes_out_goes_in_order)
{
    xmpp_close_options options = defaults();
    options.farewell = "<presence type='unavailable'/>";
    options.farewell_len = strlen(options.farewell);
    options.closing_tag = "</s:stream>";
    begin_at(&options, 0);
    sends("<a/>");
    sends("<b/>");
    finishes_with("system-shutdown");
    finishes_with("reset"); /* the first call counts */
    says("<a/><b/><presence type='unavailable'/>"
         "<s:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></s:error></s:stream>");
    CHECK_INT(xmpp_close_send(s, "<c/>", 4), XMPP_CLOSE_REFUSED);
    CHECK_INT(report().refused, 1);
    xmpp_close_free(s);
}

TEST(more_than_is_handed_out_cannot_be_taken)
{
    begin();
    CHECK_INT(xmpp_close_wrote(s, 1, 0, now), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_wrote(s, 0, SIZE_MAX, now), XMPP_CLOSE_ERR_INVALID);
    sends("ABC");
    CHECK_INT(xmpp_close_wrote(s, 3, 0, now), XMPP_CLOSE_ERR_INVALID); /* the program has not asked for the output yet */
    says("ABC");
    sends("D");
    CHECK_INT(xmpp_close_wrote(s, 4, 0, now), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_wrote(s, 2, 0, now), XMPP_CLOSE_OK);
    says("CD");
    xmpp_close_free(s);
}

TEST(what_is_queued_has_a_limit)
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

TEST(a_peer_that_closed_before_the_engine_was_made)
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

TEST(a_tag_that_was_sent_before_the_engine_was_made)
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

    options.farewell = "am:stream>"; /* the tag ends what is still to be sent */
    options.farewell_len = strlen(options.farewell);
    begin_at(&options, 0);
    wants("RWP");
    says("am:stream>");
    xmpp_close_free(s);
}

TEST(stream_errors_of_the_peer)
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
    CHECK_INT(xmpp_close_peer_error(s, &error, 1), XMPP_CLOSE_OK); /* the first call counts */
    peer_closed();
    eof();
    last = ends(XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US, 1, 1);
    CHECK_TEXT(last.stream_error, "see-other-host");
    CHECK_TEXT(last.stream_error_text, "gone");
    CHECK_TEXT(last.stream_error_address, "b.example");
    CHECK_TEXT(last.stream_error_element, "{urn:x}moved");

    begin(); /* the peer closes, so we close, too */
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

TEST(stream_errors_of_ours_are_checked)
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
TEST(the_handle_survives_copies_of_the_struct_it_is_in)
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
TEST(null_is_an_open_stream)
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
    /* These cannot be done without a stream. */
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
