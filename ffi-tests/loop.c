#include "loop.h"

#include "check.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* Waits for what the stream wants of the descriptor, or for `wake_fd`; 1 when that is readable. With neither direction,
 * the descriptor is not polled: a descriptor that has hung up would be ready all the time. */
static int wait_for(int fd, uint32_t wants, int wake_fd, int timeout)
{
    struct pollfd fds[2];
    fds[0].fd = wants & (XMPP_CLOSE_READ | XMPP_CLOSE_WRITE) ? fd : -1;
    fds[0].events = (short)((wants & XMPP_CLOSE_READ ? POLLIN : 0) | (wants & XMPP_CLOSE_WRITE ? POLLOUT : 0));
    fds[1].fd = wake_fd;
    fds[1].events = POLLIN;
    fds[0].revents = fds[1].revents = 0;
    if (poll(fds, 2, timeout) < 0 && errno != EINTR)
        check_fatal("poll");
    return fds[1].revents != 0;
}

struct loop {
    const xmpp_close_transport *transport;
    const xmpp_close_options *options;
    xmpp_close_stream *s;
    int tls_ended;
};

static void tell(struct loop *loop, uint32_t fact, int detail)
{
    CHECK_INT(xmpp_close_tell(loop->s, fact, (uint64_t)detail, now_ms()), XMPP_CLOSE_OK);
}

static void take_input(struct loop *loop, const uint8_t *data, size_t len)
{
    const xmpp_close_options *options = loop->options;
    const uint8_t *xml;
    size_t xml_len;
    int frame;
    while ((frame = xmpp_close_input(loop->s, &data, &len, now_ms(), &xml, &xml_len)) > 0)
        if (frame == XMPP_CLOSE_FRAME_STANZA && options->on_stanza != NULL &&
            options->on_stanza(options->userdata, xml, xml_len) != 0)
            tell(loop, XMPP_CLOSE_FACT_CANCEL, 0);
    CHECK_INT(frame, XMPP_CLOSE_FRAME_MORE);
    CHECK_INT(len, 0);
}

/* Reads once; 0 when there is no more to be had without waiting. TLS may hold more than poll(2) knows of. */
static int read_some(struct loop *loop)
{
    const int inside = (xmpp_close_wants(loop->s) & XMPP_CLOSE_INSIDE) != 0;
    uint8_t buf[4096];
    size_t n = 0;
    int result;
    if (loop->tls_ended) { /* what comes is below TLS */
        ssize_t got = recv(loop->transport->fd, buf, sizeof buf, 0);
        result = got < 0 ? errno : 0;
        n = got < 0 ? 0 : (size_t)got;
    } else {
        result = loop->transport->read(loop->transport->userdata, buf, sizeof buf, &n);
    }
    if (result == XMPP_CLOSE_WANT_READ || result == EAGAIN)
        return 0;
    if (result == XMPP_CLOSE_TLS_ERROR)
        tell(loop, XMPP_CLOSE_FACT_TLS_FAILED, 0);
    else if (result == XMPP_CLOSE_TLS_EOF)
        tell(loop, XMPP_CLOSE_FACT_EOF, inside);
    else if (result != 0)
        tell(loop, XMPP_CLOSE_FACT_READ_FAILED, result);
    else if (n > 0)
        take_input(loop, buf, n);
    else if (loop->transport->tls && !loop->tls_ended) {
        loop->tls_ended = 1;
        tell(loop, XMPP_CLOSE_FACT_NOTIFIED, inside);
    } else
        tell(loop, XMPP_CLOSE_FACT_EOF, inside);
    return 1;
}

static int write_some(struct loop *loop)
{
    const uint8_t *bytes;
    size_t len = xmpp_close_output(loop->s, &bytes), n = 0;
    int result = loop->transport->write(loop->transport->userdata, bytes, len, &n);
    CHECK_INT(xmpp_close_wrote(loop->s, n, 0, now_ms()), XMPP_CLOSE_OK);
    if (result > 0)
        tell(loop, XMPP_CLOSE_FACT_WRITE_FAILED, result);
    return n > 0;
}

/* Does all that can be done without waiting; returns what the stream wants then. */
static uint32_t move(struct loop *loop)
{
    const xmpp_close_transport *transport = loop->transport;
    int moved = 1;
    while (moved) {
        const uint32_t wants = xmpp_close_wants(loop->s);
        moved = 0;
        if (wants & XMPP_CLOSE_NOTIFY && transport->notify(transport->userdata) == 0) {
            tell(loop, XMPP_CLOSE_FACT_DID_NOTIFY, 0);
            moved = 1;
        }
        if (wants & XMPP_CLOSE_OVER)
            break;
        if (wants & XMPP_CLOSE_SHUT) {
            transport->shut(transport->userdata);
            tell(loop, XMPP_CLOSE_FACT_DID_SHUT, 0);
            moved = 1;
        }
        if (wants & XMPP_CLOSE_WRITE)
            moved |= write_some(loop);
        if (wants & XMPP_CLOSE_READ)
            moved |= read_some(loop);
        if (!moved)
            xmpp_close_tick(loop->s, now_ms());
    }
    return xmpp_close_wants(loop->s);
}

int loop_close(const xmpp_close_transport *transport, const xmpp_close_options *options, int wake_fd,
               xmpp_close_report *report)
{
    struct loop loop;
    xmpp_close_options own = *options;
    uint32_t wants;
    int result;
    memset(&loop, 0, sizeof loop);
    loop.transport = transport;
    loop.options = options;
    own.tls = transport->tls;
    own.residual_len = 0; /* of these, the program makes its own use */
    own.canceller = NULL;
    own.on_stanza = NULL;
    own.userdata = NULL;
    result = xmpp_close_new(&own, now_ms(), &loop.s);
    if (result != XMPP_CLOSE_OK)
        return result;
    CHECK_INT(xmpp_close_finish(loop.s, NULL, now_ms()), XMPP_CLOSE_OK);
    if (options->residual_len > 0)
        take_input(&loop, options->residual, options->residual_len);
    while (!((wants = move(&loop)) & XMPP_CLOSE_OVER))
        if (wait_for(transport->fd, wants, wake_fd, xmpp_close_timeout(loop.s, now_ms())))
            tell(&loop, XMPP_CLOSE_FACT_CANCEL, 0);
    result = xmpp_close_get_report(loop.s, report);
    xmpp_close_free(loop.s);
    return result;
}

int step_close(const xmpp_close_transport *transport, const xmpp_close_options *options, int wake_fd,
               xmpp_close_report *report)
{
    xmpp_close_stream *s = NULL;
    uint32_t wants;
    int result = transport->tls ? xmpp_close_start_with(transport, options, &s)
                                : xmpp_close_start(transport->fd, options, &s);
    if (result != XMPP_CLOSE_OK)
        return result;
    CHECK_INT(xmpp_close_finish(s, NULL, 0), XMPP_CLOSE_OK);
    while (!((wants = xmpp_close_step(s)) & XMPP_CLOSE_OVER))
        wait_for(transport->fd, wants, wake_fd, xmpp_close_timeout(s, 0));
    result = xmpp_close_get_report(s, report);
    xmpp_close_free(s);
    return result;
}
