/* A non-blocking socket, in the clear or over TLS. Nothing in here knows of xmpp_close. */
#ifndef CHANNEL_H
#define CHANNEL_H

#include <sys/epoll.h>

#include "queue.h"
#include "tls_bio.h"

typedef struct channel {
    int fd;
    tls *tls; /* NULL: in the clear */
    int notified;
    uint32_t watched; /* what epoll knows */
} channel;

/* What reading came to, beside 0 and errno values. */
enum {
    CHANNEL_END = -1,      /* the end of TCP, with close_notify before it or without */
    CHANNEL_NOTIFIED = -2, /* close_notify came, said once; TCP is still to be read to its end */
    CHANNEL_FAILED = -3    /* TLS failed */
};

/* The channel owns the socket from now on. */
void channel_open(channel *ch, int fd);
void channel_close(channel *ch);

/* Stores `*n` bytes that came, and returns 0. With `may_receive` 0 it reads no more from the socket, and stores only
 * what TLS holds: epoll knows nothing of that. EAGAIN: there are no bytes. */
int channel_read(channel *ch, int may_receive, void *buf, size_t len, size_t *n);

/* Takes `*taken` of these bytes; they are sent, except as many as channel_pending() says. 0: the socket has room for
 * more; EAGAIN: it has none; anything else: nothing can be sent any more. Before TLS has been negotiated no bytes are
 * taken. */
int channel_send(channel *ch, const void *bytes, size_t len, size_t *taken);

/* How many bytes TLS has ready that the socket had no room for. */
size_t channel_pending(channel *ch);

/* Has epoll wait for what is wanted. A channel that waits for nothing is taken out of epoll, which would otherwise
 * report a hang-up again and again. */
void channel_watch(channel *ch, int epoll_fd, struct epoll_event *event);

#endif
