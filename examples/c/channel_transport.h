/* A channel as xmpp_close_with() and the batch want it: attempts that never block. */
#ifndef CHANNEL_TRANSPORT_H
#define CHANNEL_TRANSPORT_H

#include <stdio.h>
#include <stdlib.h>
#include <xmpp_close.h>

#include "channel.h"

/* A result of the library; less than 0 means that we told it nonsense. */
static inline int checked(int result)
{
    if (result < 0)
        fprintf(stderr, "%s\n", xmpp_close_strerror(result)), abort();
    return result;
}

static inline int channel_transport_read(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    const int result = channel_read(userdata, 1, buf, len, n);
    switch (result) {
    case CHANNEL_END:
    case CHANNEL_NOTIFIED:
        return 0; /* with *n 0 */
    case CHANNEL_CUT_OFF:
        return XMPP_CLOSE_TLS_EOF;
    case CHANNEL_FAILED:
        return XMPP_CLOSE_TLS_ERROR;
    default:
        return result;
    }
}

/* Bytes are called written when the socket has taken them, and not when they are only encrypted. */
static inline int channel_transport_write(void *userdata, const uint8_t *buf, size_t len, size_t *n)
{
    channel *ch = userdata;
    size_t sent;
    if (!ch->staged)
        queue_add(&ch->out, buf, ch->staged = len < 16384 ? len : 16384);
    const int error = channel_send(ch, &sent);
    if (error == EAGAIN)
        return channel_is_full(ch) ? XMPP_CLOSE_WANT_WRITE : XMPP_CLOSE_WANT_READ;
    if (error)
        return error;
    *n = ch->staged;
    ch->staged = 0;
    return 0;
}

static inline int channel_transport_end(void *userdata)
{
    size_t sent;
    channel_end(userdata);
    return channel_send(userdata, &sent);
}

/* `ch` lives until the close has ended; nothing is in ch->out. */
static inline xmpp_close_transport channel_transport(channel *ch)
{
    xmpp_close_transport transport = XMPP_CLOSE_TRANSPORT_INIT;
    transport.userdata = ch;
    transport.read = channel_transport_read;
    transport.write = channel_transport_write;
    transport.end_output = channel_transport_end;
    transport.fd = ch->fd;
    transport.tls = ch->tls != NULL;
    return transport;
}

/* Has a batch close the stream on a channel: what is queued goes first, then what the options say. */
static inline int channel_hand_over(channel *ch, xmpp_close_batch *batch, xmpp_close_options *options)
{
    const xmpp_close_transport transport = channel_transport(ch);
    options->farewell = ch->out.bytes;
    options->farewell_len = ch->out.len;
    const int result = ch->tls ? xmpp_close_batch_add_with(batch, &transport, options, NULL)
                               : xmpp_close_batch_add(batch, ch->fd, options, NULL);
    queue_drop(&ch->out, ch->out.len);
    return result;
}

#endif
