/* on_log: each phase of a close once, in the call in which it comes. Which phases an ending has: tests/endings. */
#include "stepped.h"

/* What was logged, and what the callback does with its stream. */
struct logged {
    xmpp_close_stream *s;
    xmpp_close_options options; /* its userdata is this */
    int phases[8];
    char lines[8][2048];
    size_t count;
    void (*inside)(struct logged *, int phase);
};

static void on_log(void *userdata, int phase, const char *line)
{
    struct logged *l = userdata;
    if (!CHECK(l->count < 8 && strlen(line) < sizeof *l->lines))
        return;
    l->phases[l->count] = phase;
    strcpy(l->lines[l->count++], line);
    if (l->inside != NULL)
        l->inside(l, phase);
}

static void prepare_log(struct logged *l, void (*inside)(struct logged *, int phase))
{
    const xmpp_close_options init = XMPP_CLOSE_OPTIONS_INIT;
    memset(l, 0, sizeof *l);
    l->options = init;
    l->options.userdata = l;
    l->options.on_log = on_log;
    l->inside = inside;
}

static void check_phases(const struct logged *l, const char *expected)
{
    char phases[9] = "";
    size_t i;
    for (i = 0; i < l->count; i++)
        phases[i] = (char)('0' + l->phases[i]);
    CHECK_TEXT(phases, expected);
}

/* As an event loop that has read and written all that there is at once. */
static void close_cleanly(xmpp_close_stream *s)
{
    const uint8_t *bytes = NULL;
    size_t len;
    CHECK_INT(xmpp_close_finish(s, NULL, 1), XMPP_CLOSE_OK);
    len = xmpp_close_output(s, &bytes);
    CHECK_INT(xmpp_close_wrote(s, len, 0, 2), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_received(s, 16, 3), 1);
    CHECK_INT(xmpp_close_tell(s, XMPP_CLOSE_FACT_PEER_CLOSED, 0, 4), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_tell(s, XMPP_CLOSE_FACT_DID_SHUT, 0, 5), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_tell(s, XMPP_CLOSE_FACT_EOF, 0, 6), XMPP_CLOSE_OK);
}

TEST(the_last_line_is_that_of_the_report)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    struct logged l;
    struct peer peer;
    char line[2048];
    prepare_log(&l, NULL);
    peer_start(&peer, TCP, answer, NULL, NULL);
    CHECK_INT(xmpp_close_fd(peer.fd, &l.options, &report), XMPP_CLOSE_OK);
    check_phases(&l, "1234");
    CHECK(xmpp_close_describe(&report, line, sizeof line) > 0);
    CHECK_TEXT(l.lines[3], line);
    peer_stop(&peer);
    peer_free(&peer);
}

TEST(what_the_peer_says_is_one_line)
{
    static const struct step error[] = {
        { READ_TAG, NULL, 0 },
        { SEND, "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>a\nforged&#10;line</text></stream:error>" TAG, 0 },
        { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    struct logged l;
    struct peer peer;
    prepare_log(&l, NULL);
    peer_start(&peer, TCP, error, NULL, NULL);
    CHECK_INT(xmpp_close_fd(peer.fd, &l.options, NULL), XMPP_CLOSE_OK);
    check_phases(&l, "1234");
    CHECK(strstr(l.lines[3], "reset (a forged line)") != NULL);
    peer_stop(&peer);
    peer_free(&peer);
}

TEST(an_engine_logs_what_it_is_told)
{
    struct logged l;
    prepare_log(&l, NULL);
    l.options.own_parser = 1;
    CHECK_INT(xmpp_close_new(&l.options, 0, &l.s), XMPP_CLOSE_OK);
    check_phases(&l, "");
    close_cleanly(l.s);
    check_phases(&l, "1234");
    CHECK_INT(xmpp_close_tell(l.s, XMPP_CLOSE_FACT_CANCEL, 0, 7), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_tick(l.s, 100000), XMPP_CLOSE_OVER);
    check_phases(&l, "1234");
    xmpp_close_free(l.s);
    prepare_log(&l, NULL);
    l.options.peer_closed = l.options.tag_sent = 1; /* reached before its first event */
    CHECK_INT(xmpp_close_new(&l.options, 0, &l.s), XMPP_CLOSE_OK);
    check_phases(&l, "123");
    xmpp_close_free(l.s);
}

/* Each question, and each order that makes sense; the orders are carried out. */
static void use(struct logged *l, int phase)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    CHECK_INT(xmpp_close_get_report(l->s, &report), XMPP_CLOSE_OK);
    CHECK(xmpp_close_timeout(l->s, 0) >= -1);
    if (phase == XMPP_CLOSE_PHASE_BEGUN && (xmpp_close_wants(l->s) & XMPP_CLOSE_MAY_SEND))
        CHECK_INT(xmpp_close_send(l->s, "<last/>", 7), XMPP_CLOSE_OK);
    (void)xmpp_close_step(l->s);
    CHECK_INT(xmpp_close_finish(l->s, NULL, 0), XMPP_CLOSE_OK);
}

static void free_it(struct logged *l, int phase)
{
    (void)phase;
    xmpp_close_free(l->s);
    l->s = NULL;
}

static void step_to_its_end(struct logged *l, int fd)
{
    while (l->s != NULL && !(xmpp_close_step(l->s) & XMPP_CLOSE_OVER)) {
        uint32_t wants = xmpp_close_wants(l->s);
        struct pollfd polled;
        polled.fd = fd;
        polled.events = (short)((wants & XMPP_CLOSE_READ ? POLLIN : 0) | (wants & XMPP_CLOSE_WRITE ? POLLOUT : 0));
        if (l->s != NULL && poll(&polled, polled.events != 0, xmpp_close_timeout(l->s, 0)) < 0)
            check_fatal("poll");
    }
}

TEST(the_callback_may_use_its_stream)
{
    struct logged l;
    struct peer peer;
    prepare_log(&l, use);
    peer_start(&peer, TCP, answer, NULL, NULL);
    CHECK_INT(xmpp_close_start(peer.fd, &l.options, &l.s), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_finish(l.s, NULL, 0), XMPP_CLOSE_OK);
    step_to_its_end(&l, peer.fd);
    check_phases(&l, "1234");
    peer_stop(&peer);
    CHECK_TEXT(peer.got, "<last/>" TAG);
    peer_free(&peer);
    xmpp_close_free(l.s);
    prepare_log(&l, use);
    l.options.own_parser = 1;
    CHECK_INT(xmpp_close_new(&l.options, 0, &l.s), XMPP_CLOSE_OK);
    close_cleanly(l.s);
    check_phases(&l, "1234");
    xmpp_close_free(l.s);
}

TEST(a_stream_that_the_callback_frees_logs_no_more)
{
    struct logged l;
    struct peer peer;
    int is_engine;
    prepare_log(&l, free_it);
    peer_start(&peer, TCP, answer, NULL, NULL);
    CHECK_INT(xmpp_close_start(peer.fd, &l.options, &l.s), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_finish(l.s, NULL, 0), XMPP_CLOSE_OK);
    CHECK(l.s == NULL);
    check_phases(&l, "1");
    for (is_engine = 0; is_engine < 2; is_engine++) {
        prepare_log(&l, free_it);
        if (is_engine)
            CHECK_INT(xmpp_close_new(&l.options, 0, &l.s), XMPP_CLOSE_OK);
        else
            CHECK_INT(xmpp_close_start(peer.fd, &l.options, &l.s), XMPP_CLOSE_OK);
        CHECK_INT(xmpp_close_tell(l.s, XMPP_CLOSE_FACT_CANCEL, 0, 0), XMPP_CLOSE_OK);
        CHECK(l.s == NULL);
        check_phases(&l, "1"); /* and not 4, though both were reached at once */
    }
    shutdown(peer.fd, SHUT_RDWR);
    peer_stop(&peer);
    peer_free(&peer);
}

TEST(streams_of_a_batch_log_to_their_own_callbacks)
{
    xmpp_close_batch *batch = NULL;
    struct logged logged[2];
    struct peer peers[2];
    int i;
    CHECK_INT(xmpp_close_batch_new(&batch), XMPP_CLOSE_OK);
    for (i = 0; i < 2; i++) {
        prepare_log(&logged[i], i == 0 ? NULL : use);
        peer_start(&peers[i], TCP, answer, NULL, NULL);
    }
    CHECK_INT(xmpp_close_batch_add(batch, peers[0].fd, &logged[0].options, NULL), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_start(peers[1].fd, &logged[1].options, &logged[1].s), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_add_stream(batch, logged[1].s, NULL), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_batch_run(batch, NULL, NULL), XMPP_CLOSE_OK);
    for (i = 0; i < 2; i++) {
        check_phases(&logged[i], "1234");
        peer_stop(&peers[i]);
        CHECK_TEXT(peers[i].got, i == 0 ? TAG : "<last/>" TAG);
        peer_free(&peers[i]);
    }
    xmpp_close_free(logged[1].s);
    xmpp_close_batch_free(batch);
}
