// Two ways to close of xmpp_close.hpp, for the table of endings.c.
#include "check.h"
#include "loop.h"

#include "xmpp_close.hpp"

#include <poll.h>

namespace {

xmpp_close::options options_of(const xmpp_close_options &c)
{
    xmpp_close::options options;
    options.total_ms = c.total_ms;
    options.no_progress_ms = c.no_progress_ms;
    options.linger_ms = c.linger_ms;
    options.half_close = c.half_close != 0;
    options.peer_closed = c.peer_closed != 0;
    if (c.residual_len > 0)
        options.residual.assign(static_cast<const char *>(c.residual), c.residual_len);
    if (c.farewell_len > 0)
        options.farewell.assign(static_cast<const char *>(c.farewell), c.farewell_len);
    if (c.on_stanza != nullptr)
        options.on_stanza = [&c](const char *xml, size_t len) {
            return c.on_stanza(c.userdata, reinterpret_cast<const uint8_t *>(xml), len);
        };
    return options;
}

xmpp_close::transport transport_of(const xmpp_close_transport &c)
{
    xmpp_close::transport transport;
    transport.read = [&c](char *buf, size_t len, size_t &n) {
        return c.read(c.userdata, reinterpret_cast<uint8_t *>(buf), len, &n);
    };
    transport.write = [&c](const char *buf, size_t len, size_t &n) {
        return c.write(c.userdata, reinterpret_cast<const uint8_t *>(buf), len, &n);
    };
    transport.notify = [&c] { return c.notify(c.userdata); };
    transport.shut = [&c] { return c.shut(c.userdata); };
    transport.fd = c.fd;
    transport.tls = c.tls != 0;
    return transport;
}

// Whether `wake_fd` is readable; `fd` is waited for, too, but for no events.
bool woken(int fd, int events, int wake_fd, int timeout)
{
    pollfd both[2] = { { events != 0 ? fd : -1, static_cast<short>(events), 0 }, { wake_fd, POLLIN, 0 } };
    poll(both, 2, timeout);
    return both[1].revents != 0;
}

} // namespace

int cpp_step_close(const xmpp_close_transport *transport, const xmpp_close_options *options, int wake_fd,
                   xmpp_close_report *report)
{
    const xmpp_close::options with = options_of(*options);
    int code = XMPP_CLOSE_OK;
    xmpp_close::stream stream = transport->tls != 0
                                    ? xmpp_close::stream::start(transport_of(*transport), with, &code)
                                    : xmpp_close::stream::start(transport->fd, with, &code);
    if (!stream)
        return code;
    CHECK_INT(stream.finish(), XMPP_CLOSE_OK);
    for (xmpp_close::wants now = stream.step(); !now.over; now = stream.step())
        if (woken(transport->fd, (now.read ? POLLIN : 0) | (now.write ? POLLOUT : 0), wake_fd, stream.timeout()))
            CHECK_INT(stream.cancel(), XMPP_CLOSE_OK);
    *report = stream.report();
    return code;
}

int cpp_batch_close(const xmpp_close_transport *transport, const xmpp_close_options *options, int wake_fd,
                    xmpp_close_report *report)
{
    const xmpp_close::canceller canceller = xmpp_close::canceller::create();
    xmpp_close::options with = options_of(*options);
    with.canceller = &canceller;
    xmpp_close::batch batch = xmpp_close::batch::create();
    int code = transport->tls != 0 ? batch.add(transport_of(*transport), with) : batch.add(transport->fd, with);
    if (code != XMPP_CLOSE_OK)
        return code;
    while ((code = batch.turn()) > 0)
        if (woken(batch.fd(), POLLIN, wake_fd, batch.timeout()))
            CHECK_INT(canceller.cancel(), XMPP_CLOSE_OK);
    *report = batch.report(0);
    return code;
}
