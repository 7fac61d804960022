/* What stands between the streams of a server: the list of streams, and a router whose replies come a little later,
 * like those of a session manager in another process. Nothing in here knows of xmpp_close. */
#ifndef ROUTER_H
#define ROUTER_H

#include <stdint.h>

#define ROUTER_DELAY_MS 100

/* The list of streams, by their numbers. */
void session_begin(unsigned number, void *stream);
void session_end(unsigned number);
/* NULL: gone, or never there. */
void *session(unsigned number);
/* The stream of an address: stream 17 is 17@localhost. */
void *session_at(const char *address);

typedef struct reply {
    struct reply *next;
    uint64_t due;
    unsigned to;
    char xml[];
} reply;

/* Asks for the result of an iq, which takes ROUTER_DELAY_MS. */
void router_ask(unsigned from, const char *id, uint64_t now);
/* The next reply that is ready, to be freed; NULL: none is yet. */
reply *router_take(uint64_t now);
/* When the next reply will be ready; UINT64_MAX: nobody has asked for one. */
uint64_t router_due(void);

#endif
