/* What every XMPP server has already: expat, its stream cut into stanzas. Nothing in here knows of xmpp_close. */
#ifndef STANZA_PARSER_H
#define STANZA_PARSER_H

#include <stddef.h>

/* A first-level element; it lives as long as the call that hands it over. */
typedef struct stanza {
    char name[32];    /* without a prefix: "message", "iq" */
    char child[64];   /* the first element inside it, also without a prefix */
    char type[16];    /* "" when it has none */
    char *id, *from, *to; /* "" when it has none; escaped, as they are to be written in an attribute */
    char *xml;        /* the bytes that came */
    size_t len;
    int stream_error; /* it is a <stream:error/>, and `child` its condition */
    int stream_management; /* it is of XEP-0198 */
} stanza;

typedef struct stanza_parser stanza_parser;

typedef enum stanza_parsed {
    STREAM_GOES_ON,
    STREAM_CLOSED, /* the peer's closing tag was in these bytes */
    STREAM_BROKEN  /* the bytes are no XMPP stream any more: stanza_parser_condition() says why */
} stanza_parsed;

/* Neither callback may free the parser. NULL: no memory. */
stanza_parser *stanza_parser_new(void (*on_header)(void *owner), void (*on_stanza)(void *owner, const stanza *stanza),
                                 void *owner);
void stanza_parser_free(stanza_parser *parser);

/* Once the stream is closed or broken, what comes is passed over, and the result stays what it was. */
stanza_parsed stanza_parser_feed(stanza_parser *parser, const void *bytes, size_t len);

/* Whether the last byte was inside an element or a tag; not between two stanzas, and not after the end. */
int stanza_parser_inside(const stanza_parser *parser);

/* The id of the peer's stream, once its header has come; "": it has none. */
const char *stanza_parser_stream_id(const stanza_parser *parser);

/* The condition of RFC 6120, section 4.9.3, that tells the peer what was wrong. */
const char *stanza_parser_condition(const stanza_parser *parser);

#endif
