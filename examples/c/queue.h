/* Bytes that wait for a non-blocking socket. Nothing in here knows of xmpp_close. */
#ifndef QUEUE_H
#define QUEUE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

typedef struct queue {
    char *bytes;
    size_t len, capacity;
} queue;

/* For an example, running out of memory is the end. */
static inline void queue_add(queue *q, const void *bytes, size_t len)
{
    if (q->len + len > q->capacity) {
        q->capacity = 2 * (q->len + len);
        q->bytes = realloc(q->bytes, q->capacity);
        if (!q->bytes)
            abort();
    }
    if (len)
        memcpy(q->bytes + q->len, bytes, len);
    q->len += len;
}

/* Takes away the first `len` bytes. */
static inline void queue_drop(queue *q, size_t len)
{
    if (len)
        memmove(q->bytes, q->bytes + len, q->len -= len);
}

/* Sends what the socket takes. 0: that was all; EAGAIN: the socket takes no more now; another errno value: it never
 * will. */
static inline int queue_send(queue *q, int fd)
{
    while (q->len) {
        const ssize_t n = send(fd, q->bytes, q->len, MSG_NOSIGNAL);
        if (n >= 0)
            queue_drop(q, (size_t)n);
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

#endif
