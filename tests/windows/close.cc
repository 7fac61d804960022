/* As close.c, in C++: a close that blocks, and a batch. */
#include "peer.h"

#include <iostream>
#include <xmpp_close.hpp>

int main()
{
    WSADATA winsock;
    require(WSAStartup(MAKEWORD(2, 2), &winsock) == 0, "WSAStartup");

    connection one;
    open_connection(&one);
    xmpp_close::options options;
    options.on_stanza = [](const char *xml, size_t len) {
        std::cout << "  still came: " << std::string(xml, len) << '\n';
        return 0;
    };
    const xmpp_close::result closed = xmpp_close::close(one.ours, options);
    std::cout << "call: " << (closed ? xmpp_close_outcome_name(closed.report.outcome) : closed.strerror()) << '\n';
    end_connection(&one);

    open_connection(&one);
    xmpp_close::batch batch = xmpp_close::batch::create();
    require(batch.fd() == XMPP_CLOSE_NO_SOCKET, "a batch has no descriptor on Windows");
    require(batch.add(one.ours, options) == XMPP_CLOSE_OK, "the stream of a batch");
    while (batch.turn(60000) > 0) {
    }
    std::cout << "batch: over\n";
    end_connection(&one);
}
