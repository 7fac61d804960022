#include "channel.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* What waits for room in the socket: with TLS, its records. */
static queue *wire(channel *ch)
{
    return ch->tls ? tls_output(ch->tls) : &ch->out;
}

/* RFC 6120, section 4.4: over TLS, both close_notify alerts go before the end of TCP. */
static void end_tcp(channel *ch)
{
    if (ch->ending && !ch->out.len && !wire(ch)->len && (!ch->tls || ch->notified))
        shutdown(ch->fd, SHUT_WR);
}

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
    if (ch->tls) {
        if (!ch->out.len)
            tls_close_notify(ch->tls); /* also when the time was up */
        queue_send(tls_output(ch->tls), ch->fd);
        tls_free(ch->tls);
    }
    close(ch->fd);
    free(ch->out.bytes);
}

static int receive(channel *ch, void *buf, size_t len, size_t *n)
{
    const ssize_t came = recv(ch->fd, buf, len, 0);
    *n = came > 0 ? (size_t)came : 0;
    return came > 0 ? 0 : came == 0 ? CHANNEL_END : errno;
}

/* Plaintext, of what was received. */
static size_t decrypt(channel *ch, void *buf, size_t len)
{
    return ch->notified ? 0 : tls_decrypt(ch->tls, buf, len);
}

int channel_read(channel *ch, int may_receive, void *buf, size_t len, size_t *n)
{
    char records[16384];
    int result = EAGAIN;
    *n = 0;
    if (!ch->tls)
        return may_receive ? receive(ch, buf, len, n) : EAGAIN;
    *n = decrypt(ch, buf, len);
    if (!*n && may_receive && (result = receive(ch, records, sizeof records, n)) == 0) {
        tls_feed(ch->tls, records, *n);
        *n = decrypt(ch, buf, len);
        result = EAGAIN;
    }
    if (*n)
        return 0;
    if (tls_failed(ch->tls))
        return CHANNEL_FAILED;
    if (tls_notified(ch->tls) && !ch->notified) {
        ch->notified = 1;
        end_tcp(ch);
        return CHANNEL_NOTIFIED;
    }
    return result == CHANNEL_END && !ch->notified ? CHANNEL_CUT_OFF : result;
}

int channel_send(channel *ch, size_t *n)
{
    queue *const q = wire(ch);
    int error = 0;
    *n = 0;
    do {
        if (ch->tls && !q->len) /* record by record, so that a slow peer's queue is seen to grow */
            queue_drop(&ch->out, tls_encrypt(ch->tls, ch->out.bytes, ch->out.len));
        *n += q->len;
        if (!q->len)
            break;
        error = queue_send(q, ch->fd);
        *n -= q->len;
    } while (!error);
    if (error && error != EAGAIN)
        ch->out.len = q->len = 0;
    end_tcp(ch);
    return error ? error : ch->out.len ? EAGAIN : 0;
}

int channel_is_full(channel *ch)
{
    return wire(ch)->len > 0;
}

void channel_end(channel *ch)
{
    ch->ending = 1;
    if (ch->tls)
        tls_close_notify(ch->tls);
}
