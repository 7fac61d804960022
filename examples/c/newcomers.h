/* Connections on which nobody has logged in yet: how long that may take, and how many there may be. In these
 * examples, which know neither SASL nor accounts, whoever has sent a stanza has logged in. Nothing in here knows of
 * xmpp_close. */
#ifndef NEWCOMERS_H
#define NEWCOMERS_H

#include <errno.h>
#include <stdint.h>
#include <sys/queue.h>

#ifndef LOGIN_SECONDS
#define LOGIN_SECONDS 60
#endif
#define LOGIN_MS (LOGIN_SECONDS * 1000u)
#define NEWCOMERS 256
/* How many connections are accepted before other streams have their turn. */
#define ACCEPTS 64

typedef struct newcomer {
    TAILQ_ENTRY(newcomer) link;
    uint64_t since;
    void *stream; /* NULL: it has logged in, or is gone */
    char is_late;
} newcomer;

static TAILQ_HEAD(, newcomer) newcomers = TAILQ_HEAD_INITIALIZER(newcomers); /* by their age */
static unsigned newcomer_count;

/* Of the process, or of the machine. A little later there may be descriptors again. */
static inline int out_of_descriptors(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static inline void newcomer_begin(newcomer *n, void *stream, uint64_t now)
{
    n->stream = stream;
    n->since = now;
    TAILQ_INSERT_TAIL(&newcomers, n, link);
    newcomer_count++;
}

static inline void newcomer_end(newcomer *n)
{
    if (n->stream) {
        TAILQ_REMOVE(&newcomers, n, link);
        newcomer_count--;
    }
    n->stream = NULL;
}

/* The next stream that has not logged in in time and is to be closed, each of them once. It still counts as a
 * newcomer. */
static inline void *newcomer_too_late(uint64_t now)
{
    newcomer *n;
    TAILQ_FOREACH(n, &newcomers, link) {
        if (now - n->since < LOGIN_MS)
            break;
        if (!n->is_late) {
            n->is_late = 1;
            return n->stream;
        }
    }
    return NULL;
}

/* When there is one too many, the oldest makes room at once: whoever wants to log in has done so long before. */
static inline void *newcomer_too_many(void)
{
    newcomer *const oldest = TAILQ_FIRST(&newcomers);
    void *const stream = newcomer_count > NEWCOMERS ? oldest->stream : NULL;
    if (stream)
        newcomer_end(oldest);
    return stream;
}

#endif
