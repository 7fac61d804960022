/* xmpp_close_fd does what the handshake asks, and gives the socket back as it was. */
#include "check.h"
#include "peer.h"
#include "xmpp_close.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ERROR(inside) "<stream:error>" inside "</stream:error>"
#define CONDITION(name) "<" name " xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
#define TEXT(words) "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>" words "</text>"

static const struct step answer[] = {
    { READ_TAG, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
};

/* The stanzas that came, one after the other. */
struct inbox {
    char xml[4096];
    size_t len;
    int count;
    int stop_after;
};

static int keep(void *userdata, const uint8_t *xml, size_t len)
{
    struct inbox *inbox = userdata;
    if (inbox->len + len < sizeof inbox->xml) {
        memcpy(inbox->xml + inbox->len, xml, len);
        inbox->len += len;
    }
    inbox->count++;
    return inbox->count == inbox->stop_after;
}

/* Closes against a script. The caller frees `peer`. */
static xmpp_close_report closed(enum kind kind, const struct step *script, const xmpp_close_options *options,
                                struct peer *peer)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    peer_start(peer, kind, script, NULL, NULL);
    CHECK_INT(xmpp_close_fd(peer->fd, options, &report), XMPP_CLOSE_OK);
    peer_stop(peer);
    return report;
}

static void check_got(const struct peer *peer, const char *expected)
{
    CHECK_BYTES(peer->got, peer->got_len, expected, strlen(expected));
}

TEST(defaults_send_the_tag_and_nothing_else)
{
    struct peer peer;
    xmpp_close_report report = closed(TCP, answer, NULL, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.bytes_read, strlen(TAG));
    CHECK_INT(report.bytes_unsent, 0);
    CHECK_INT(report.bytes_unacked, 0);
    CHECK_INT(report.os_error, 0);
    check_got(&peer, TAG);
    CHECK(peer.saw_end && !peer.saw_reset);
    peer_free(&peer);
}

TEST(report_is_optional)
{
    struct peer peer;
    peer_start(&peer, TCP, answer, NULL, NULL);
    CHECK_INT(xmpp_close_fd(peer.fd, NULL, NULL), XMPP_CLOSE_OK);
    peer_stop(&peer);
    check_got(&peer, TAG);
    peer_free(&peer);
}

static void a_socket_keeps_its_settings(enum kind kind, int nonblocking)
{
    static const struct timeval seven = { 7, 70000 }, eight = { 8, 80000 };
    static const struct linger linger = { 1, 5 };
    static const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, "<a/>", 0 }, { PAUSE, NULL, 50 },
                                          { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    struct timeval time;
    struct linger after;
    struct peer peer;
    socklen_t size;
    int flags;
    peer_start(&peer, kind, script, NULL, NULL);
    if (nonblocking)
        set_nonblocking(peer.fd);
    setsockopt(peer.fd, SOL_SOCKET, SO_RCVTIMEO, &seven, sizeof seven);
    setsockopt(peer.fd, SOL_SOCKET, SO_SNDTIMEO, &eight, sizeof eight);
    setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    flags = fcntl(peer.fd, F_GETFL);
    CHECK_INT((flags & O_NONBLOCK) != 0, nonblocking);
    CHECK_INT(xmpp_close_fd(peer.fd, NULL, &report), XMPP_CLOSE_OK);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(fcntl(peer.fd, F_GETFL), flags); /* and so it is still open */
    size = sizeof time;
    CHECK(getsockopt(peer.fd, SOL_SOCKET, SO_RCVTIMEO, &time, &size) == 0);
    CHECK(time.tv_sec == 7 && time.tv_usec >= 70000 && time.tv_usec < 90000);
    size = sizeof time;
    CHECK(getsockopt(peer.fd, SOL_SOCKET, SO_SNDTIMEO, &time, &size) == 0);
    CHECK(time.tv_sec == 8 && time.tv_usec >= 80000 && time.tv_usec < 100000);
    size = sizeof after;
    CHECK(getsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &after, &size) == 0);
    CHECK(after.l_onoff == 1 && after.l_linger == 5);
    peer_stop(&peer);
    peer_free(&peer);
}

TEST(sockets_keep_their_flags_timeouts_and_linger)
{
    a_socket_keeps_its_settings(TCP, 0);
    a_socket_keeps_its_settings(TCP, 1);
    a_socket_keeps_its_settings(UNIX, 0);
    a_socket_keeps_its_settings(UNIX, 1);
}

TEST(late_stanzas_arrive_whole_and_in_order)
{
    static const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, "<message id='1'/> <iq type='get'", 0 }, { PAUSE, NULL, 50 },
        { SEND, " id='2'><ping/></iq>\n<r xmlns='urn:xmpp:sm:3'/></stre", 0 }, { PAUSE, NULL, 50 },
        { SEND, "am:stream>junk", 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    static const char *const expected = "<message id='1'/><iq type='get' id='2'><ping/></iq><r xmlns='urn:xmpp:sm:3'/>";
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    struct inbox inbox = { "", 0, 0, 0 };
    xmpp_close_report report;
    struct peer peer;
    options.on_stanza = keep;
    options.userdata = &inbox;
    report = closed(TCP, script, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.stanzas, 3);
    CHECK_INT(inbox.count, 3);
    CHECK_BYTES(inbox.xml, inbox.len, expected, strlen(expected));
    CHECK_INT(report.bytes_read, strlen(expected) + 2 + strlen(TAG)); /* two of white space */
    CHECK_INT(report.bytes_after_tag, 4);
    check_got(&peer, TAG); /* nothing was answered */
    CHECK(!peer.saw_reset);
    peer_free(&peer);
}

static int number_in_order(void *userdata, const uint8_t *xml, size_t len)
{
    int *count = userdata;
    (void)xml;
    (*count)++;
    return CHECK_INT(len, 4000 + strlen("<a></a>")) ? 0 : 1;
}

TEST(a_peer_that_writes_before_it_reads_is_heard_out)
{
    static char stanza[4096], farewell[1 << 20];
    struct step script[] = { { SEND, stanza, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 } };
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report;
    struct peer peer;
    int count = 0;
    memset(farewell, ' ', sizeof farewell);
    strcpy(stanza, "<a>");
    memset(stanza + 3, 'x', 4000);
    strcpy(stanza + 4003, "</a>");
    script[0].n = (size_t)check_rounds(1000); /* 4 MB */
    options.farewell = farewell;
    options.farewell_len = sizeof farewell;
    options.on_stanza = number_in_order;
    options.userdata = &count;
    report = closed(TCP_SMALL, script, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.initiator, XMPP_CLOSE_INITIATOR_CROSSING);
    CHECK_INT(count, script[0].n);
    CHECK_INT(peer.got_len, sizeof farewell + strlen(TAG));
    peer_free(&peer);
}

TEST(residual_bytes_come_before_those_of_the_socket)
{
    static const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, "ge id='2'/><c/>" TAG, 0 },
                                          { READ_END, NULL, 0 }, { END, NULL, 0 } };
    static const char residual[] = "<a id='1'/><messa";
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    struct inbox inbox = { "", 0, 0, 0 };
    xmpp_close_report report;
    struct peer peer;
    options.on_stanza = keep;
    options.userdata = &inbox;
    options.residual = residual;
    options.residual_len = strlen(residual);
    report = closed(UNIX, script, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_TEXT(inbox.xml, "<a id='1'/><message id='2'/><c/>");
    peer_free(&peer);
}

TEST(the_tag_among_the_residual_bytes_is_seen)
{
    static const struct step script[] = { { READ_END, NULL, 0 }, { END, NULL, 0 } };
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    struct inbox inbox = { "", 0, 0, 0 };
    xmpp_close_report report;
    struct peer peer;
    options.on_stanza = keep;
    options.userdata = &inbox;
    options.total_ms = options.linger_ms = 60000;
    options.residual = "<a/>" TAG "\n";
    options.residual_len = strlen("<a/>" TAG "\n");
    report = closed(TCP, script, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.stanzas, 1);
    CHECK_INT(report.bytes_after_tag, 1);
    CHECK(report.elapsed_ms < 30000);
    check_got(&peer, TAG);
    peer_free(&peer);
}

TEST(farewell_error_and_tag_go_out_in_this_order)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    struct peer peer;
    options.farewell = "<presence type='unavailable'/><a h='7'/>ignored";
    options.farewell_len = strlen("<presence type='unavailable'/><a h='7'/>");
    options.stream_error = "system-shutdown";
    options.stream_error_text = "maintenance, 5 < 6";
    CHECK_INT(closed(TCP, answer, &options, &peer).outcome, XMPP_CLOSE_CLEAN);
    check_got(&peer, "<presence type='unavailable'/><a h='7'/>"
              ERROR(CONDITION("system-shutdown") TEXT("maintenance, 5 &lt; 6")) TAG);
    peer_free(&peer);

    options.farewell_len = 0;
    options.farewell = NULL;
    options.stream_error = "undefined-condition";
    options.stream_error_text = NULL;
    options.stream_error_element = "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='10' send-count='8'/>";
    CHECK_INT(closed(TCP, answer, &options, &peer).outcome, XMPP_CLOSE_CLEAN);
    check_got(&peer, ERROR(CONDITION("undefined-condition") "<handled-count-too-high xmlns='urn:xmpp:sm:3' h='10'"
                           " send-count='8'/>") TAG);
    peer_free(&peer);
}

TEST(the_closing_tag_is_that_of_our_own_header)
{
    static const struct step script[] = { { READ_TAG, "</stream>", 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 },
                                          { END, NULL, 0 } };
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    struct peer peer;
    options.closing_tag = "</stream>";
    options.stream_error = "reset";
    CHECK_INT(closed(UNIX, script, &options, &peer).outcome, XMPP_CLOSE_CLEAN);
    check_got(&peer, "<error>" CONDITION("reset") "</error></stream>");
    peer_free(&peer);
}

TEST(the_peers_header_tells_its_stream_errors)
{
    static const char header[] = "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:server'>";
    static const char *const errors[] = {
        "<s:error>" CONDITION("reset") "</s:error>",
        "<error xmlns='http://etherx.jabber.org/streams'>" CONDITION("reset") "</error>",
    };
    size_t i;
    for (i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, NULL, 0 }, { SEND, "</s:stream>", 0 },
                                 { READ_END, NULL, 0 }, { END, NULL, 0 } };
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_report report;
        struct peer peer;
        script[1].text = errors[i];
        options.peer_header = header;
        options.peer_header_len = sizeof header - 1;
        report = closed(TCP, script, &options, &peer);
        CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_TEXT(report.stream_error, "reset");
        CHECK_INT(report.stanzas, 0);
        peer_free(&peer);
    }
}

TEST(an_answer_to_the_peers_tag_needs_nothing_more_from_it)
{
    static const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, "\n", 0 }, { READ_END, NULL, 0 },
                                          { END, NULL, 0 } };
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report;
    struct peer peer;
    options.peer_closed = 1;
    options.farewell = "<iq type='result' id='9'/>";
    options.farewell_len = strlen("<iq type='result' id='9'/>");
    report = closed(TCP, script, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.initiator, XMPP_CLOSE_INITIATOR_PEER);
    CHECK_INT(report.bytes_after_tag, 1);
    CHECK_INT(report.stanzas, 0);
    check_got(&peer, "<iq type='result' id='9'/>" TAG);
    CHECK(!peer.saw_reset);
    peer_free(&peer);
}

TEST(the_peers_stream_error_is_in_the_report)
{
    static const struct {
        const char *sent, *condition;
    } errors[] = {
        { ERROR(CONDITION("conflict") TEXT("Replaced by new connection")), "conflict" },
        { ERROR(TEXT("first") CONDITION("system-shutdown")), "system-shutdown" },
        { ERROR("<remote-connection-failed xmlns='urn:ietf:params:xml:ns:xmpp-streams'></remote-connection-failed>"),
          "remote-connection-failed" },
        { ERROR(CONDITION("fizzbuzz-which-is-much-longer-than-the-array-in-the-report-can-hold")),
          "undefined-condition" },
    };
    size_t i;
    for (i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, NULL, 0 }, { SEND, TAG, 0 }, { READ_END, NULL, 0 },
                                 { END, NULL, 0 } };
        xmpp_close_report report;
        struct peer peer;
        script[1].text = errors[i].sent;
        report = closed(TCP, script, NULL, &peer);
        CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
        CHECK_TEXT(report.stream_error, errors[i].condition);
        CHECK_INT(report.stanzas, 0);
        check_got(&peer, TAG);
        peer_free(&peer);
    }
}

TEST(a_stanza_over_the_limit_is_passed_over)
{
    static char big[20001];
    const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, "<a>", 0 }, { SEND, big, 0 }, { SEND, "</a><b/>" TAG, 0 },
        { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    struct inbox inbox = { "", 0, 0, 0 };
    xmpp_close_report report;
    struct peer peer;
    memset(big, 'x', sizeof big - 1);
    options.stanza_limit = 1; /* counts as 10 000 */
    options.on_stanza = keep;
    options.userdata = &inbox;
    report = closed(TCP, script, &options, &peer);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    CHECK_INT(report.oversize, 1);
    CHECK_INT(report.stanzas, 1);
    CHECK_TEXT(inbox.xml, "<b/>");
    peer_free(&peer);
}

TEST(many_closes_leave_nothing_behind)
{
    int rounds = check_rounds(1000), clean = 0, i;
    for (i = 0; i < rounds; i++) {
        static const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, "<a/>" TAG "more", 0 },
                                              { READ_END, NULL, 0 }, { END, NULL, 0 } };
        struct peer peer;
        xmpp_close_report report = closed(TCP, script, NULL, &peer);
        clean += report.outcome == XMPP_CLOSE_CLEAN && peer.saw_end && !peer.saw_reset && peer_count(&peer, TAG) == 1;
        peer_free(&peer);
    }
    CHECK_INT(clean, rounds);
    printf("  %d closes: %d clean, and no RST\n", rounds, clean);
}
