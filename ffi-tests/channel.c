#include "channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

void channel_init(struct channel *channel, int fd, int tls, xmpp_close_transport *transport)
{
    const xmpp_close_transport init = XMPP_CLOSE_TRANSPORT_INIT;
    memset(channel, 0, sizeof *channel);
    channel->fd = fd;
    channel->tls = tls;
    channel->alert = -1;
    *transport = init;
    transport->userdata = channel;
    transport->read = channel_read;
    transport->write = channel_write;
    transport->notify = channel_notify;
    transport->shut = channel_shut;
    transport->fd = fd;
    transport->tls = (uint32_t)tls;
}

int channel_read(void *arg, uint8_t *buf, size_t len, size_t *n)
{
    struct channel *channel = arg;
    ssize_t got;
    size_t data = 0;
    channel->reads++;
    if (channel->alert == 0)
        return 0;
    if (channel->alert == 1)
        return XMPP_CLOSE_TLS_ERROR;
    got = recv(channel->fd, buf, len, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN ? XMPP_CLOSE_WANT_READ : errno;
    if (got == 0)
        return channel->tls ? XMPP_CLOSE_TLS_EOF : 0;
    while (data < (size_t)got && (!channel->tls || buf[data] > 1))
        data++;
    if (data < (size_t)got)
        channel->alert = buf[data];
    *n = data;
    return data == 0 && channel->alert == 1 ? XMPP_CLOSE_TLS_ERROR : 0;
}

int channel_write(void *arg, const uint8_t *buf, size_t len, size_t *n)
{
    struct channel *channel = arg;
    ssize_t put = send(channel->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    channel->writes++;
    if (put < 0)
        return errno == EAGAIN ? XMPP_CLOSE_WANT_WRITE : errno;
    *n = (size_t)put;
    return 0;
}

int channel_notify(void *arg)
{
    struct channel *channel = arg;
    channel->notified++;
    return send(channel->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? errno : 0;
}

int channel_shut(void *arg)
{
    struct channel *channel = arg;
    channel->ends++;
    /* ENOTCONN: the peer is gone, so there is no output to end. */
    return shutdown(channel->fd, SHUT_WR) == 0 || errno == ENOTCONN ? 0 : errno;
}
