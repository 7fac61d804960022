/* A socket as a transport of callbacks, in plaintext or over a toy TLS: in that a zero byte is close_notify, and a
 * byte 1 a fatal alert. XML has neither. */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "xmpp_close.h"

struct channel {
    int fd;
    int tls;
    int alert; /* what the peer's TLS said last: 0 or 1, or -1 for nothing */
    unsigned reads, writes, notified, ends;
};

#ifdef __cplusplus
extern "C" {
#endif

/* `transport` then points to `channel`, so `channel` must outlive it. */
void channel_init(struct channel *channel, int fd, int tls, xmpp_close_transport *transport);

int channel_read(void *channel, uint8_t *buf, size_t len, size_t *n);
int channel_write(void *channel, const uint8_t *buf, size_t len, size_t *n);
int channel_notify(void *channel);
int channel_shut(void *channel);

#ifdef __cplusplus
}
#endif

#endif
