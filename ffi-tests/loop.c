#include "loop.h"

#include "check.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

struct loop {
    const xmpp_close_transport *transport;
    const xmpp_close_options *options;
    xmpp_close_handshake *handshake;
    xmpp_close_framer *framer;
    uint8_t *out;
    size_t out_len, out_at;
    int tag_queued, ending_output, over;
    int in_stream;  /* the peer's stream has not ended */
    int tls_ended;
};

static void act(struct loop *loop, int action);

static void queue(struct loop *loop, const void *bytes, size_t len)
{
    uint8_t *out = realloc(loop->out, loop->out_len + len + 1);
    if (out == NULL)
        check_fatal("realloc");
    if (len > 0)
        memcpy(out + loop->out_len, bytes, len);
    loop->out = out;
    loop->out_len += len;
}

static void act(struct loop *loop, int action)
{
    const char *tag = loop->options->closing_tag != NULL ? loop->options->closing_tag : "</stream:stream>";
    CHECK(action >= 0);
    switch (action) {
    case XMPP_CLOSE_DO_SEND_TAG:
        queue(loop, tag, strlen(tag));
        loop->tag_queued = 1;
        break;
    case XMPP_CLOSE_DO_ANSWER:
        act(loop, xmpp_close_handshake_begin(loop->handshake, now_ms()));
        break;
    case XMPP_CLOSE_DO_END_OUTPUT:
        loop->ending_output = 1;
        break;
    case XMPP_CLOSE_DO_TEARDOWN:
        loop->over = 1;
        break;
    default:
        break;
    }
}

/* One frame of the peer's stream; 0 when there is none. */
static int take_frame(struct loop *loop, const uint8_t **data, size_t *len)
{
    xmpp_close_handshake *handshake = loop->handshake;
    const uint8_t *xml = NULL;
    size_t xml_len = 0, consumed = 0;
    int frame = xmpp_close_framer_next(loop->framer, *data, *len, &consumed, &xml, &xml_len);
    CHECK(frame >= 0 && consumed <= *len);
    *data += consumed;
    *len -= consumed;
    act(loop, xmpp_close_handshake_received(handshake, consumed, now_ms()));
    switch (frame) {
    case XMPP_CLOSE_FRAME_STANZA:
        act(loop, xmpp_close_handshake_stanza(handshake, now_ms()));
        if (loop->options->on_stanza != NULL && loop->options->on_stanza(loop->options->userdata, xml, xml_len) != 0) {
            act(loop, xmpp_close_handshake_cancel(handshake, now_ms()));
            loop->in_stream = 0;
        }
        break;
    case XMPP_CLOSE_FRAME_END:
        loop->in_stream = 0;
        act(loop, xmpp_close_handshake_peer_closed(handshake, now_ms()));
        break;
    case XMPP_CLOSE_FRAME_MALFORMED:
        loop->in_stream = 0;
        act(loop, xmpp_close_handshake_malformed(handshake, now_ms()));
        break;
    default:
        break;
    }
    return frame != XMPP_CLOSE_FRAME_MORE;
}

static void take_input(struct loop *loop, const uint8_t *data, size_t len)
{
    while (loop->in_stream && len > 0 && take_frame(loop, &data, &len))
        ;
    if (!loop->in_stream && len > 0)
        act(loop, xmpp_close_handshake_received(loop->handshake, len, now_ms()));
}

/* Reads once; 0 when there is no more to be had without waiting. TLS may hold more than poll(2) knows of. */
static int read_some(struct loop *loop)
{
    uint8_t buf[4096];
    size_t n = 0;
    xmpp_close_handshake *handshake = loop->handshake;
    int result = loop->transport->read(loop->transport->userdata, buf, sizeof buf, &n);
    int inside = loop->in_stream && !xmpp_close_framer_between_stanzas(loop->framer);
    if (result == XMPP_CLOSE_WANT_READ)
        return 0;
    if (result == XMPP_CLOSE_TLS_ERROR)
        act(loop, xmpp_close_handshake_tls_failed(handshake, now_ms()));
    else if (result == XMPP_CLOSE_TLS_EOF)
        act(loop, xmpp_close_handshake_truncated(handshake, now_ms()));
    else if (result != 0)
        act(loop, xmpp_close_handshake_failed(handshake, result, now_ms()));
    else if (n > 0)
        take_input(loop, buf, n);
    else if (loop->transport->tls && !loop->tls_ended) {
        loop->tls_ended = 1;
        act(loop, xmpp_close_handshake_close_notify(handshake, now_ms()));
    } else if (inside)
        act(loop, xmpp_close_handshake_truncated(handshake, now_ms()));
    else
        act(loop, xmpp_close_handshake_eof(handshake, now_ms()));
    return !loop->over && xmpp_close_handshake_wants_input(handshake);
}

static void write_some(struct loop *loop)
{
    size_t n = 0;
    xmpp_close_handshake *handshake = loop->handshake;
    int result;
    if (loop->out_at < loop->out_len) {
        result = loop->transport->write(loop->transport->userdata, loop->out + loop->out_at,
                                        loop->out_len - loop->out_at, &n);
        loop->out_at += n;
        act(loop, xmpp_close_handshake_written(handshake, n, now_ms()));
        if (loop->out_at == loop->out_len && loop->tag_queued)
            act(loop, xmpp_close_handshake_flushed(handshake, now_ms()));
    } else {
        loop->ending_output = 0;
        result = loop->transport->tls ? loop->transport->notify(loop->transport->userdata) : 0;
        if (result == 0)
            result = loop->transport->shut(loop->transport->userdata);
        if (result == 0)
            act(loop, xmpp_close_handshake_flushed(handshake, now_ms()));
    }
    if (result > 0 && result != EINTR) {
        loop->out_at = loop->out_len;
        act(loop, xmpp_close_handshake_output_failed(handshake, result, now_ms()));
    }
}

static void turn(struct loop *loop, int wake_fd)
{
    struct pollfd fds[2];
    uint64_t now = now_ms(), deadline = xmpp_close_handshake_deadline(loop->handshake);
    int left = deadline <= now ? 0 : deadline - now < 1000 ? (int)(deadline - now) : 1000;
    int output = loop->out_at < loop->out_len || loop->ending_output;
    fds[0].fd = loop->transport->fd;
    fds[0].events = (short)((xmpp_close_handshake_wants_input(loop->handshake) ? POLLIN : 0) | (output ? POLLOUT : 0));
    fds[1].fd = wake_fd;
    fds[1].events = POLLIN;
    fds[0].revents = fds[1].revents = 0;
    if (poll(fds, 2, left) < 0 && errno != EINTR)
        check_fatal("poll");
    if (fds[1].revents != 0)
        act(loop, xmpp_close_handshake_cancel(loop->handshake, now_ms()));
    if (!loop->over && output && fds[0].revents & (POLLOUT | POLLERR | POLLHUP))
        write_some(loop);
    if (!loop->over && fds[0].revents & (POLLIN | POLLERR | POLLHUP))
        while (read_some(loop) && loop->transport->tls)
            ;
    if (!loop->over)
        act(loop, xmpp_close_handshake_tick(loop->handshake, now_ms()));
}

int loop_close(const xmpp_close_transport *transport, const xmpp_close_options *options, int wake_fd,
               xmpp_close_report *report)
{
    struct loop loop;
    xmpp_close_options own = *options;
    int result;
    memset(&loop, 0, sizeof loop);
    loop.transport = transport;
    loop.options = options;
    loop.in_stream = !options->peer_closed;
    own.tls = transport->tls;
    own.peer_closed = 0; /* it is told by an event */
    result = xmpp_close_handshake_new(&own, now_ms(), &loop.handshake);
    if (result == XMPP_CLOSE_OK)
        result = xmpp_close_framer_new_inside(NULL, options->stanza_limit, &loop.framer);
    if (result == XMPP_CLOSE_OK) {
        queue(&loop, options->farewell, options->farewell_len);
        if (options->peer_closed)
            act(&loop, xmpp_close_handshake_peer_closed(loop.handshake, now_ms()));
        else
            act(&loop, xmpp_close_handshake_begin(loop.handshake, now_ms()));
        take_input(&loop, options->residual, options->residual_len);
        while (!loop.over)
            turn(&loop, wake_fd);
        result = xmpp_close_handshake_report(loop.handshake, report);
    }
    xmpp_close_handshake_free(loop.handshake);
    xmpp_close_framer_free(loop.framer);
    free(loop.out);
    return result;
}
