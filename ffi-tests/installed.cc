// What a C++ program that was built against the installed library can do: the same as installed.c.

#include <cstdio>
#include <string>
#include <sys/socket.h>
#include <unistd.h>

#include <xmpp_close.hpp>

int main()
{
    const std::string answer = "<message/></stream:stream>";
    unsigned stanzas = 0;
    int pair[2];

    // A peer that has sent all that it will send.
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0
        || write(pair[1], answer.data(), answer.size()) != static_cast<ssize_t>(answer.size())
        || shutdown(pair[1], SHUT_WR) != 0) {
        std::perror("socketpair");
        return 1;
    }
    xmpp_close::options options;
    options.on_stanza = [&stanzas](const char *, size_t) {
        stanzas++;
        return 0;
    };
    const xmpp_close::result closed = xmpp_close::close(pair[0], options);
    std::printf("%s, %u stanza\n", closed ? closed.outcome_name() : closed.strerror(), stanzas);
    close(pair[0]);
    close(pair[1]);
    return closed && closed.report.outcome == XMPP_CLOSE_CLEAN ? 0 : 1;
}
