/* A non-blocking socket, in the clear or over TLS, and what is to be sent. Nothing in here knows of xmpp_close. */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "queue.h"
#include "tls_bio.h"

typedef struct channel {
    int fd;
    tls *tls;  /* NULL: in the clear */
    queue out; /* what was said, and is neither encrypted nor taken by the kernel */
    int ending, notified;
    size_t staged; /* for channel_transport.h: how much of what it was last given is still in here */
} channel;

/* What reading came to, beside 0 and errno values. */
enum {
    CHANNEL_END = -1,      /* TCP's; over TLS, behind close_notify */
    CHANNEL_NOTIFIED = -2, /* close_notify, once; TCP is still to be read to its end */
    CHANNEL_CUT_OFF = -3,  /* TCP's end without close_notify */
    CHANNEL_FAILED = -4    /* TLS failed */
};

/* The socket becomes the channel's. */
void channel_open(channel *ch, int fd);
/* Says what TLS has still to say, if that can be said at once, and closes the socket. */
void channel_close(channel *ch);

/* Stores `*n` bytes that came, and returns 0; with `may_receive` 0 only of those that were received before: TLS holds
 * more than epoll knows of. EAGAIN: there are none. */
int channel_read(channel *ch, int may_receive, void *buf, size_t len, size_t *n);

/* Sends what can be sent, `*n` bytes on the wire. 0: all is out; EAGAIN: not yet; else: nothing will be any more. */
int channel_send(channel *ch, size_t *n);

/* What channel_send() has left waits for room in the socket, and not for TLS to be negotiated. */
int channel_is_full(channel *ch);

/* Ends the output behind what is queued: close_notify is queued, and TCP ended when both alerts are through. */
void channel_end(channel *ch);

#endif
