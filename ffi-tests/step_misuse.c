/* Started streams that are misused: defined answers, and nothing on the wire. */
#include "stepped.h"

TEST(a_descriptor_that_is_closed_early)
{
    struct stepped t;
    int fds[2];
    prepare(&t, TCP, answer);
    connected_pair(TCP, fds);
    CHECK_INT(xmpp_close_start(fds[0], &t.options, &t.s), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_step(t.s), OPEN);
    close(fds[0]);
    finish(&t);
    while (!(xmpp_close_step(t.s) & XMPP_CLOSE_OVER))
        CHECK(t.steps++ < 100);
    CHECK_INT(report_of(&t).outcome, XMPP_CLOSE_RESET);
    CHECK_INT(report_of(&t).os_error, EBADF);
    xmpp_close_free(t.s);
    close(fds[1]);
    stop(&t);
}

TEST(functions_of_the_other_kind_are_refused)
{
    const uint8_t *data = (const uint8_t *)"<a/>", *xml = NULL;
    size_t len = 4, xml_len = 0;
    xmpp_close_options own = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_stream *engine = NULL;
    struct stepped t;
    uint32_t fact;
    start(&t, TCP, answer);
    CHECK_INT(xmpp_close_step(t.s), OPEN);
    CHECK_INT(xmpp_close_output(t.s, &data), 0);
    CHECK(data == NULL);
    data = (const uint8_t *)"<a/>";
    CHECK_INT(xmpp_close_wrote(t.s, 0, 0, 0), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_received(t.s, 1, 0), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_input(t.s, &data, &len, 0, &xml, &xml_len), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(len, 4);
    CHECK_INT(xmpp_close_tick(t.s, UINT64_MAX), OPEN); /* the stream has a clock of its own */
    for (fact = 0; fact <= 20; fact++)
        if (fact < XMPP_CLOSE_FACT_CANCEL || fact > XMPP_CLOSE_FACT_HEADER_OUT)
            CHECK_INT(xmpp_close_tell(t.s, fact, 1, 0), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(report_of(&t).initiator, XMPP_CLOSE_INITIATOR_NONE);
    xmpp_close_free(t.s);
    stop(&t);

    CHECK_INT(xmpp_close_new(NULL, 0, &engine), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_finish(engine, NULL, 0), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_step(engine), xmpp_close_wants(engine));
    CHECK_INT(xmpp_close_timeout(engine, 0), 30000);
    CHECK_INT(xmpp_close_received(engine, 1, 0), XMPP_CLOSE_ERR_INVALID); /* the program has a parser */
    CHECK_INT(xmpp_close_tell(engine, 0, 0, 0), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(xmpp_close_tell(engine, 17, 0, 0), XMPP_CLOSE_ERR_INVALID);
    xmpp_close_free(engine);
    own.own_parser = 1;
    CHECK_INT(xmpp_close_new(&own, 0, &engine), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_input(engine, &data, &len, 0, &xml, &xml_len), XMPP_CLOSE_ERR_INVALID);
    CHECK_INT(len, 4);
    xmpp_close_free(engine);
}

TEST(a_stream_that_was_never_stepped_is_freed)
{
    struct stepped t;
    start(&t, TCP, answer);
    CHECK_INT(xmpp_close_send(t.s, "<a/>", 4), XMPP_CLOSE_OK);
    finish(&t);
    xmpp_close_free(t.s);
    peer_stop(&t.peer);
    CHECK_INT(t.peer.got_len, 0);
    peer_free(&t.peer);
}

static int flush_lies(void *userdata, size_t *pending)
{
    (void)userdata;
    *pending = (size_t)-1;
    return 0;
}

TEST(as_much_cannot_be_pending)
{
    struct stepped t;
    prepare(&t, TCP, answer);
    channel_init(&t.channel, t.peer.fd, 0, &t.transport);
    t.transport.userdata = &t;
    t.transport.read = read_plain;
    t.transport.write = write_plain;
    t.transport.shut = end_plain;
    t.transport.flush = flush_lies;
    t.options.linger_ms = 100; /* how long what the peer sent before is waited for */
    CHECK_INT(xmpp_close_start_with(&t.transport, &t.options, &t.s), XMPP_CLOSE_OK);
    finish(&t);
    CHECK_INT(ends(&t, XMPP_CLOSE_RESET).os_error, EPROTO);
    stop(&t);
}
