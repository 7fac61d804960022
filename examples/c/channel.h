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
    CHANNEL_END = -1,      /* TCP's, with close_notify before it or without */
    CHANNEL_NOTIFIED = -2, /* close_notify, once; TCP is still to be read to its end */
    CHANNEL_FAILED = -3    /* TLS failed */
};

/* The socket becomes the channel's. */
void channel_open(channel *ch, int fd);
void channel_close(channel *ch);

/* Stores `*n` bytes that came, and returns 0; with `may_receive` 0 only of those that were received before: TLS holds
 * more than epoll knows of. EAGAIN: there are none. */
int channel_read(channel *ch, int may_receive, void *buf, size_t len, size_t *n);

/* Takes `*taken` of these bytes, which are sent but for what channel_pending() says. EAGAIN: the socket has no room for
 * more; 0: it has; else: nothing will be sent any more. Before TLS has been negotiated none are taken. */
int channel_send(channel *ch, const void *bytes, size_t len, size_t *taken);

/* How many bytes TLS has ready that the socket had no room for. */
size_t channel_pending(channel *ch);

/* Has epoll wait for what is wanted. Who waits for nothing is taken out: else a hang-up is reported again and again. */
void channel_watch(channel *ch, int epoll_fd, struct epoll_event *event);

#endif
