/* The framer from C: in pieces of any size, with every pointer it hands out looked at. */
#include "check.h"
#include "peer.h"
#include "xmpp_close.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER "<stream:stream xmlns:stream='http://etherx.jabber.org/streams'>"

/* What was found, written down: H for the header, S for a stanza, O for one over the limit, E for the end, M for
 * malformed; each with its bytes, length or condition. */
struct notes {
    char text[4096];
    size_t consumed;
};

static void note(struct notes *notes, int frame, const uint8_t *xml, size_t len)
{
    static const char letters[] = "-HSOEM";
    size_t at = strlen(notes->text), room = sizeof notes->text - at;
    if (!CHECK(frame > 0 && frame <= XMPP_CLOSE_FRAME_MALFORMED))
        return;
    if (frame == XMPP_CLOSE_FRAME_OVERSIZE) {
        CHECK(xml == NULL);
        snprintf(notes->text + at, room, "O%zu|", len);
    } else if (frame == XMPP_CLOSE_FRAME_MALFORMED) {
        CHECK_INT(strlen((const char *)xml), len); /* a C string */
        snprintf(notes->text + at, room, "M%s|", (const char *)xml);
    } else
        snprintf(notes->text + at, room, "%c%.*s|", letters[frame], (int)len, xml != NULL ? (const char *)xml : "");
}

/* Feeds `len` bytes in pieces, each in memory of its own, so that an access beyond the piece is noticed. */
static void feed(xmpp_close_framer *framer, const char *data, size_t len, size_t piece, struct notes *notes)
{
    while (len > 0) {
        size_t take = len < piece ? len : piece, left = take;
        char *copy = malloc(take);
        int frame;
        if (copy == NULL)
            check_fatal("malloc");
        memcpy(copy, data, take);
        do {
            const uint8_t *xml = NULL;
            size_t consumed = 0, xml_len = 0;
            frame = xmpp_close_framer_next(framer, copy + (take - left), left, &consumed, &xml, &xml_len);
            CHECK(frame >= 0 && consumed <= left);
            left -= consumed;
            notes->consumed += consumed;
            if (frame > 0)
                note(notes, frame, xml, xml_len);
        } while (frame > 0 && frame < XMPP_CLOSE_FRAME_END);
        free(copy);
        if (frame >= XMPP_CLOSE_FRAME_END)
            return;
        CHECK_INT(left, 0);
        data += take;
        len -= take;
    }
}

TEST(frames_do_not_depend_on_how_the_bytes_come)
{
    static const char stream[] = "<?xml version='1.0'?>" HEADER " <message id='1'><body>a &amp; b</body></message>"
                                 "\n<r/>"
                                 "<x a='>'><![CDATA[</stream:stream>]]></x></stream:stream>rest";
    static const char expected[] = "H" HEADER "|S<message id='1'><body>a &amp; b</body></message>|S<r/>|"
                                   "S<x a='>'><![CDATA[</stream:stream>]]></x>|E|";
    size_t piece, len = strlen(stream);
    for (piece = 1; piece <= len; piece++) {
        xmpp_close_framer *framer = NULL;
        struct notes notes = { "", 0 };
        CHECK_INT(xmpp_close_framer_new(0, &framer), XMPP_CLOSE_OK);
        feed(framer, stream, len, piece, &notes);
        CHECK_TEXT(notes.text, expected);
        CHECK_INT(notes.consumed, len - strlen("rest")); /* what comes after the end is left to the caller */
        xmpp_close_framer_free(framer);
    }
}

TEST(outputs_may_be_unwanted)
{
    xmpp_close_framer *framer = NULL;
    size_t consumed = 99;
    CHECK_INT(xmpp_close_framer_new_inside(NULL, 0, &framer), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_framer_next(framer, "<a/>x", 5, &consumed, NULL, NULL), XMPP_CLOSE_FRAME_STANZA);
    CHECK_INT(consumed, 4);
    CHECK_INT(xmpp_close_framer_next(framer, NULL, 0, &consumed, NULL, NULL), XMPP_CLOSE_FRAME_MORE);
    CHECK_INT(consumed, 0);
    xmpp_close_framer_free(framer);
}

TEST(inside_a_stream_the_root_may_be_known_or_not)
{
    static const struct {
        const char *root, *input, *expected;
    } cases[] = {
        { "stream:stream", "<a/></stream:stream>", "S<a/>|E|" },
        { "stream:stream", "<a/></stream>", "S<a/>|Mnot-well-formed|" },
        { "stream:stream", "<a/></a></stream:stream>", "S<a/>|Mnot-well-formed|" },
        { NULL, "<a/></stream>", "S<a/>|E|" },
        { NULL, "<a/></s:stream>", "S<a/>|E|" },
        { NULL, "<a/></a></stream:stream>", "S<a/>|Mnot-well-formed|" },
        { NULL, "</x>", "Mnot-well-formed|" },
        { "stream", "<stream><stream/></stream></stream>", "S<stream><stream/></stream>|E|" },
        { "stream", "<a></stream>", "Mnot-well-formed|" },
        { NULL, "<a></b>", "Mnot-well-formed|" },
        { NULL, "<!-- -->", "Mrestricted-xml|" },
    };
    size_t i, piece;
    for (i = 0; i < sizeof cases / sizeof *cases; i++)
        for (piece = 1; piece <= strlen(cases[i].input); piece++) {
            xmpp_close_framer *framer = NULL;
            struct notes notes = { "", 0 };
            CHECK_INT(xmpp_close_framer_new_inside(cases[i].root, 0, &framer), XMPP_CLOSE_OK);
            feed(framer, cases[i].input, strlen(cases[i].input), piece, &notes);
            CHECK_TEXT(notes.text, cases[i].expected);
            xmpp_close_framer_free(framer);
        }
}

TEST(it_knows_whether_it_is_between_stanzas)
{
    static const char input[] = " <a>t<b/></a> </s";
    /* Before the first byte, and after each. */
    static const char *const between = "xx-----------xx---";
    xmpp_close_framer *framer = NULL;
    size_t at, consumed;
    CHECK_INT(xmpp_close_framer_new_inside("s", 0, &framer), XMPP_CLOSE_OK);
    CHECK_INT(xmpp_close_framer_between_stanzas(framer), 1);
    for (at = 0; at < strlen(input); at++) {
        xmpp_close_framer_next(framer, input + at, 1, &consumed, NULL, NULL);
        CHECK_INT(xmpp_close_framer_between_stanzas(framer), between[at + 1] == 'x');
    }
    CHECK_INT(xmpp_close_framer_next(framer, ">", 1, &consumed, NULL, NULL), XMPP_CLOSE_FRAME_END);
    CHECK_INT(xmpp_close_framer_between_stanzas(framer), 0);
    CHECK_INT(xmpp_close_framer_next(framer, "<a/>", 4, &consumed, NULL, NULL), XMPP_CLOSE_FRAME_END); /* the end stays the end */
    CHECK_INT(consumed, 0);
    xmpp_close_framer_free(framer);
}

TEST(a_restart_expects_a_new_header)
{
    static const char again[] = "<?xml version='1.0'?>" HEADER "<b/>";
    xmpp_close_framer *framer = NULL;
    struct notes notes = { "", 0 };
    CHECK_INT(xmpp_close_framer_new(0, &framer), XMPP_CLOSE_OK);
    feed(framer, again, strlen(again), 3, &notes);
    CHECK_INT(xmpp_close_framer_restart(framer), XMPP_CLOSE_OK);
    feed(framer, again, strlen(again), 5, &notes);
    CHECK_TEXT(notes.text, "H" HEADER "|S<b/>|H" HEADER "|S<b/>|");
    feed(framer, again, strlen(again), 7, &notes); /* without a restart, a new header is malformed */
    CHECK_TEXT(strrchr(notes.text, 'M'), "Mnot-well-formed|");
    xmpp_close_framer_free(framer);
}

TEST(a_stanza_over_the_limit_is_passed_over)
{
    static char text[12001];
    xmpp_close_framer *framer = NULL;
    struct notes notes = { "", 0 };
    memset(text, 'x', sizeof text - 1);
    CHECK_INT(xmpp_close_framer_new_inside(NULL, 5 /* counts as 10 000 */, &framer), XMPP_CLOSE_OK);
    feed(framer, "<a/><big>", 9, 4, &notes);
    feed(framer, text, strlen(text), 1000, &notes);
    feed(framer, "</big><c/></stream>", 19, 5, &notes);
    CHECK_TEXT(notes.text, "S<a/>|O12011|S<c/>|E|");
    xmpp_close_framer_free(framer);
}

/* As the header shows it: for the thread's own recv(), and as on_data. */
static int on_data(void *userdata, const uint8_t *data, size_t len)
{
    xmpp_close_framer *f = userdata;
    const uint8_t *xml;
    size_t used, n;
    int frame;
    while ((frame = xmpp_close_framer_next(f, data, len, &used, &xml, &n)) > 0) {
        data += used, len -= used;
        if (frame == XMPP_CLOSE_FRAME_END)
            return XMPP_CLOSE_PEER_CLOSED;
        else if (frame == XMPP_CLOSE_FRAME_MALFORMED)
            return XMPP_CLOSE_NOT_XMPP;
    }
    return xmpp_close_framer_between_stanzas(f) ? 0 : XMPP_CLOSE_MID_ELEMENT;
}

TEST(a_framer_serves_a_thread_before_and_during_the_close)
{
    static const struct {
        const char *before, *after;
        uint32_t outcome;
    } cases[] = {
        { HEADER "<a/><b>", "</b><c/>" TAG, XMPP_CLOSE_CLEAN }, { HEADER "<a/>" TAG, "", XMPP_CLOSE_CLEAN },
        { HEADER "<a/>", "", XMPP_CLOSE_PEER_EOF },             { HEADER "<a/>", "<b>", XMPP_CLOSE_TRUNCATED },
        { HEADER "<a", "", XMPP_CLOSE_TRUNCATED },              { HEADER "<a></b>", "", XMPP_CLOSE_MALFORMED },
        { HEADER, "<a></b>", XMPP_CLOSE_MALFORMED },            { "<stre", "", XMPP_CLOSE_TRUNCATED },
        { "", "", XMPP_CLOSE_PEER_EOF },                        { "", "<stre", XMPP_CLOSE_TRUNCATED },
    };
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct step script[] = { { READ_TAG, NULL, 0 }, { SEND, cases[i].after, 0 }, { END, NULL, 0 } };
        xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
        xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
        xmpp_close_framer *framer = NULL;
        struct peer peer;
        CHECK_INT(xmpp_close_framer_new(0, &framer), XMPP_CLOSE_OK);
        options.on_data = on_data;
        options.userdata = framer;
        if (*cases[i].before)
            options.parsed = (uint32_t)on_data(framer, (const uint8_t *)cases[i].before, strlen(cases[i].before));
        peer_start(&peer, TCP, script, NULL, NULL);
        CHECK_INT(xmpp_close_fd(peer.fd, &options, &report), XMPP_CLOSE_OK);
        peer_stop(&peer);
        if (!CHECK_TEXT(xmpp_close_outcome_name(report.outcome), xmpp_close_outcome_name(cases[i].outcome)))
            printf("  that was %s, then %s\n", cases[i].before, cases[i].after);
        peer_free(&peer);
        xmpp_close_framer_free(framer);
    }
}
