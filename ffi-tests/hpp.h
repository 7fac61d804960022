// What the parts of the program hpp share.
#ifndef HPP_H
#define HPP_H

#include "channel.h"
#include "peer.h"

#include "xmpp_close.hpp"

#include <string>
#include <vector>

struct closed {
    xmpp_close::result result;
    std::string got; // what the peer was sent
    bool saw_end;
};
// Closes a stream whose other end carries out the script.
closed close_with_peer(const step *script, const xmpp_close::options &options);

// In hpp_plain.cc, with other types, so in the types that both have.
int late_stanzas_without_exceptions(int fd);
bool run_without_exceptions();

// What callables throw.
struct mine {
    int number;
};

// The other ends of some streams.
struct peers {
    std::vector<peer> all;

    peers(size_t count, const step *script) : all(count)
    {
        for (peer &each : all)
            peer_start(&each, TCP, script, nullptr, nullptr);
    }
    ~peers()
    {
        stop();
        for (peer &each : all)
            peer_free(&each);
    }
    void stop()
    {
        for (peer &each : all)
            if (!each.joined)
                peer_stop(&each);
    }
};

inline xmpp_close::transport plain(channel &under, int fd)
{
    xmpp_close_transport c;
    channel_init(&under, fd, 0, &c);
    xmpp_close::transport made;
    made.fd = fd;
    made.read = [&under](char *buf, size_t len, size_t &n) {
        return channel_read(&under, reinterpret_cast<uint8_t *>(buf), len, &n);
    };
    made.write = [&under](const char *buf, size_t len, size_t &n) {
        return channel_write(&under, reinterpret_cast<const uint8_t *>(buf), len, &n);
    };
    made.shut = [&under] { return channel_shut(&under); };
    return made;
}

#endif
