#include "channel.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

void channel_open(channel *ch, int fd)
{
    const int one = 1;
    memset(ch, 0, sizeof *ch);
    ch->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    ch->tls = tls_new();
}

void channel_close(channel *ch)
{
    tls_free(ch->tls);
    close(ch->fd);
}

static int receive(channel *ch, void *buf, size_t len, size_t *n)
{
    const ssize_t came = recv(ch->fd, buf, len, 0);
    *n = came > 0 ? (size_t)came : 0;
    return came > 0 ? 0 : came == 0 ? CHANNEL_END : errno == EINTR ? EAGAIN : errno;
}

int channel_read(channel *ch, int may_receive, void *buf, size_t len, size_t *n)
{
    char records[16384];
    int result = EAGAIN;
    *n = 0;
    if (!ch->tls)
        return may_receive ? receive(ch, buf, len, n) : EAGAIN;
    *n = tls_decrypt(ch->tls, buf, len);
    if (!*n && may_receive && (result = receive(ch, records, sizeof records, n)) == 0) {
        tls_feed(ch->tls, records, *n);
        *n = tls_decrypt(ch->tls, buf, len);
        result = EAGAIN;
    }
    if (*n)
        return 0;
    if (tls_failed(ch->tls))
        return CHANNEL_FAILED;
    if (tls_notified(ch->tls) && !ch->notified) {
        ch->notified = 1;
        return CHANNEL_NOTIFIED;
    }
    return result;
}

/* In the clear. */
static int send_bytes(channel *ch, const void *bytes, size_t len, size_t *taken)
{
    while (*taken < len) {
        const ssize_t n = send(ch->fd, (const char *)bytes + *taken, len - *taken, MSG_NOSIGNAL);
        if (n >= 0)
            *taken += (size_t)n;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

int channel_send(channel *ch, const void *bytes, size_t len, size_t *taken)
{
    size_t n = 0;
    int error;
    *taken = 0;
    if (!ch->tls)
        return send_bytes(ch, bytes, len, taken);
    do { /* record by record, so that a slow peer's queue is seen to grow */
        *taken += n;
        error = queue_send(tls_output(ch->tls), ch->fd);
    } while (!error && (n = tls_encrypt(ch->tls, (const char *)bytes + *taken, len - *taken)) > 0);
    return error;
}

size_t channel_pending(channel *ch)
{
    return ch->tls ? tls_output(ch->tls)->len : 0;
}

void channel_watch(channel *ch, int epoll_fd, struct epoll_event *event)
{
    const int change = !ch->watched ? EPOLL_CTL_ADD : event->events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    if (event->events != ch->watched && epoll_ctl(epoll_fd, change, ch->fd, event) == 0)
        ch->watched = event->events;
}
