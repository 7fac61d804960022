/* What must not become slower unnoticed: framing a stream, whole and in pieces, and a whole close. tests/costs.rs has
 * callgrind count the instructions, which it dumps under the names that are given here.
 *
 *   speed FILE STANZAS    a stream from its header to its end, and how many stanzas there are in it */
#include "check.h"
#include "peer.h"
#include "xmpp_close.h"

#include <stdio.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

static char *stream;
static size_t stream_len;
static long stanzas;

static void read_stream(const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t room = 64 << 20;
    stream = malloc(room);
    if (!file || !stream)
        check_fatal(path);
    stream_len = fread(stream, 1, room, file);
    fclose(file);
    if (stream_len == 0 || stream_len == room)
        check_fatal("the stream has no length");
}

static long frame(size_t piece)
{
    xmpp_close_framer *framer = NULL;
    size_t at = 0;
    long found = 0;
    CHECK_INT(xmpp_close_framer_new(0, &framer), XMPP_CLOSE_OK);
    while (at < stream_len) {
        size_t left = stream_len - at < piece ? stream_len - at : piece;
        int kind;
        do {
            size_t used = 0, len = 0;
            const uint8_t *xml = NULL;
            kind = xmpp_close_framer_next(framer, (const uint8_t *)stream + at, left, &used, &xml, &len);
            found += kind == XMPP_CLOSE_FRAME_STANZA;
            at += used;
            left -= used;
        } while (kind == XMPP_CLOSE_FRAME_HEADER || kind == XMPP_CLOSE_FRAME_STANZA);
        if (kind != XMPP_CLOSE_FRAME_MORE)
            break;
    }
    CHECK_INT(at, stream_len);
    xmpp_close_framer_free(framer);
    return found;
}

TEST(framing)
{
    long found;
    CALLGRIND_ZERO_STATS;
    CALLGRIND_TOGGLE_COLLECT;
    found = frame(4096);
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT("framing in 4 KiB pieces");
    CHECK_INT(found, stanzas);
    CALLGRIND_TOGGLE_COLLECT;
    found = frame(1);
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT("framing in 1-byte pieces");
    CHECK_INT(found, stanzas);
}

/* The peer's thread is not counted: collecting is switched on for our thread only. */
static void close_once(const char *name)
{
    static const struct step script[] = {
        { READ_TAG, NULL, 0 }, { SEND, "<message/>" TAG, 0 }, { READ_END, NULL, 0 }, { END, NULL, 0 }
    };
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    struct peer peer;
    peer_start(&peer, TCP, script, NULL, NULL);
    CALLGRIND_ZERO_STATS;
    CALLGRIND_TOGGLE_COLLECT;
    CHECK_INT(xmpp_close_fd(peer.fd, NULL, &report), XMPP_CLOSE_OK);
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT(name);
    CHECK_INT(report.outcome, XMPP_CLOSE_CLEAN);
    peer_stop(&peer);
    peer_free(&peer);
}

/* The first close also looks up functions of the C library. */
TEST(closing)
{
    close_once("the first close");
    close_once("a close");
}

int main(int argc, char **argv)
{
    int result;
    check_start();
    if (argc != 3)
        check_fatal("usage: speed FILE STANZAS");
    read_stream(argv[1]);
    stanzas = atol(argv[2]);
    result = check_run(NULL);
    free(stream);
    return result;
}
