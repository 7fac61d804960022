/* The ways that a close can take: what happens, what we say, and how it ends. */
#ifndef TRACES_H
#define TRACES_H

#include "peer.h"
#include "xmpp_close.h"

#include <errno.h>

#define NO_XML "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>" TAG
#define HEADER "<stream:stream from='a.example'>"

enum happening {
    NOTHING,      /* the end of the trace */
    SENDS,        /* the program sends `text` */
    FINISHES,     /* ... finishes, with the stream error `text` or NULL */
    DETACHES,
    COMES,        /* `text` comes from the peer */
    ENDS,         /* TCP's end; over TLS without close_notify before it, it was cut off */
    NOTIFIES,     /* the peer's close_notify */
    BREAKS,       /* reading fails, with `n` */
    REFUSES,      /* from now on writing fails, with `n` */
    KEEPS,        /* from now on what is written stays with the layer below */
    LETS_GO,      /* ... and now goes out */
    LATE          /* time passes, up to the next limit */
};

struct event {
    enum happening act;
    const char *text;
    int n;
};

struct trace {
    const char *name;
    uint32_t tls, half_close, peer_closed;
    const char *header;
    struct event events[12];
    const char *said; /* by us, on the wire */
    uint32_t outcome, initiator;
};

static const struct trace traces[] = {
    { "we close", 0, 0, 0, NULL,
      { { SENDS, "<a/>", 0 }, { FINISHES, NULL, 0 }, { COMES, "<b/><c/>" TAG, 0 }, { ENDS, NULL, 0 } },
      "<a/>" TAG, XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US },
    { "more comes behind the peer's tag", 0, 0, 0, NULL,
      { { FINISHES, NULL, 0 }, { COMES, "<b/>" TAG "<c/>", 0 }, { COMES, "<d/>", 0 }, { ENDS, NULL, 0 } },
      TAG, XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US },
    { "the peer closes, and is owed a reply", 0, 0, 0, NULL,
      { { COMES, "<b/>" TAG, 0 }, { SENDS, "<re/>", 0 }, { ENDS, NULL, 0 }, { FINISHES, NULL, 0 } },
      "<re/>" TAG, XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_PEER },
    { "the peer closed before", 0, 0, 1, NULL,
      { { SENDS, "<re/>", 0 }, { FINISHES, NULL, 0 }, { ENDS, NULL, 0 } },
      "<re/>" TAG, XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_PEER },
    { "nobody answers", 0, 0, 0, NULL,
      { { COMES, TAG, 0 }, { LATE, NULL, 0 }, { ENDS, NULL, 0 } },
      TAG, XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_PEER },
    { "tags that cross", 0, 0, 0, NULL,
      { { KEEPS, NULL, 0 }, { FINISHES, NULL, 0 }, { COMES, TAG, 0 }, { LETS_GO, NULL, 0 }, { ENDS, NULL, 0 } },
      TAG, XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_CROSSING },
    { "what the layer below keeps never goes out", 0, 0, 0, NULL,
      { { KEEPS, NULL, 0 }, { FINISHES, NULL, 0 }, { COMES, TAG, 0 }, { LATE, NULL, 0 } },
      TAG, XMPP_CLOSE_STALLED, XMPP_CLOSE_INITIATOR_CROSSING },
    { "what comes is no stream", 0, 0, 0, NULL,
      { { COMES, "<b/></x>", 0 }, { COMES, "<c/>", 0 }, { ENDS, NULL, 0 } },
      NO_XML, XMPP_CLOSE_MALFORMED, XMPP_CLOSE_INITIATOR_US },
    { "what comes is no stream, and our tag is out", 0, 0, 0, NULL,
      { { FINISHES, NULL, 0 }, { COMES, "<b/></x>", 0 }, { ENDS, NULL, 0 } },
      TAG, XMPP_CLOSE_MALFORMED, XMPP_CLOSE_INITIATOR_US },
    { "the peer's stream error", 0, 0, 0, NULL,
      { { COMES, "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", 0 },
        { COMES, TAG, 0 }, { ENDS, NULL, 0 } },
      TAG, XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_PEER },
    { "TCP ends without a tag", 0, 0, 0, NULL,
      { { COMES, "<b/>", 0 }, { ENDS, NULL, 0 }, { SENDS, "<re/>", 0 }, { FINISHES, NULL, 0 } },
      "<re/>" TAG, XMPP_CLOSE_PEER_EOF, XMPP_CLOSE_INITIATOR_PEER },
    { "TCP ends inside an element", 0, 0, 0, NULL,
      { { COMES, "<b>", 0 }, { ENDS, NULL, 0 }, { FINISHES, NULL, 0 } },
      TAG, XMPP_CLOSE_TRUNCATED, XMPP_CLOSE_INITIATOR_PEER },
    { "reading fails", 0, 0, 0, NULL,
      { { SENDS, "<a/>", 0 }, { BREAKS, NULL, ECONNRESET } },
      "<a/>", XMPP_CLOSE_RESET, XMPP_CLOSE_INITIATOR_PEER },
    { "writing fails", 0, 0, 0, NULL,
      { { REFUSES, NULL, EPIPE }, { FINISHES, NULL, 0 }, { COMES, "<b/>" TAG, 0 } },
      "", XMPP_CLOSE_RESET, XMPP_CLOSE_INITIATOR_CROSSING },
    { "the peer stays silent", 0, 0, 0, NULL,
      { { FINISHES, NULL, 0 }, { LATE, NULL, 0 } },
      TAG, XMPP_CLOSE_TIMED_OUT, XMPP_CLOSE_INITIATOR_US },
    { "TLS", 1, 0, 0, NULL,
      { { FINISHES, NULL, 0 }, { COMES, TAG, 0 }, { NOTIFIES, NULL, 0 }, { ENDS, NULL, 0 } },
      TAG "!", XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US },
    { "TLS, and the peer stays silent", 1, 0, 0, NULL,
      { { FINISHES, NULL, 0 }, { LATE, NULL, 0 } },
      TAG "!", XMPP_CLOSE_TIMED_OUT, XMPP_CLOSE_INITIATOR_US },
    { "TLS ends before the tag", 1, 0, 0, NULL,
      { { NOTIFIES, NULL, 0 }, { FINISHES, NULL, 0 }, { ENDS, NULL, 0 } },
      TAG "!", XMPP_CLOSE_PEER_EOF, XMPP_CLOSE_INITIATOR_PEER },
    { "TLS is cut off", 1, 0, 0, NULL,
      { { FINISHES, NULL, 0 }, { ENDS, NULL, 0 } },
      TAG "!", XMPP_CLOSE_TRUNCATED, XMPP_CLOSE_INITIATOR_US },
    { "a half-close", 0, 1, 0, NULL,
      { { FINISHES, NULL, 0 }, { COMES, TAG, 0 }, { ENDS, NULL, 0 } },
      TAG, XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US },
    { "our header is not out", 0, 0, 0, HEADER,
      { { FINISHES, "not-well-formed", 0 }, { COMES, TAG, 0 }, { ENDS, NULL, 0 } },
      HEADER NO_XML, XMPP_CLOSE_CLEAN, XMPP_CLOSE_INITIATOR_US },
    { "a detach", 0, 0, 0, NULL,
      { { SENDS, "<a/>", 0 }, { DETACHES, NULL, 0 }, { COMES, "<b/>", 0 }, { ENDS, NULL, 0 } },
      "<a/>", XMPP_CLOSE_CANCELLED, XMPP_CLOSE_INITIATOR_US },
    { "a detach of what was never begun", 0, 0, 0, HEADER,
      { { DETACHES, NULL, 0 }, { ENDS, NULL, 0 } },
      "", XMPP_CLOSE_CANCELLED, XMPP_CLOSE_INITIATOR_US },
};

#endif
