/* A server that has moved, in C++ on an epoll loop of its own. The loop waits for what its clients say. Then it hands their
 * streams over to a batch, which tells each client the new host and closes the stream by handshake, while the loop goes on. For
 * that the loop watches one descriptor more, that of the batch. SIGTERM closes what is left.
 *     epoll_batch PORT NEW_HOST [LIMIT_SECONDS] */
#include <map>
#include <set>
#include <sys/epoll.h>
#include <xmpp_close.hpp>

#include "server.h"

static std::set<int> open_streams;    // which the loop watches
static std::map<size_t, int> closing; // which the batch watches: their indexes in the batch, and their descriptors
static xmpp_close::batch batch = xmpp_close::batch::create();
static xmpp_close::options moved; // how each stream is closed
static const int loop = epoll_create1(EPOLL_CLOEXEC);

static void watch(int fd)
{
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

static void close_stream(int fd)
{
    char header[256];
    size_t index = 0;
    xmpp_close::options options = moved;
    snprintf(header, sizeof header, HEADER, unsigned(fd));
    options.header = header; // it was not sent. A program that has read something gives that to `residual`
    options.on_stanza = [fd](const char *xml, size_t len) {
        printf("[%d] late: %.*s\n", fd, int(len), xml);
        return 0;
    };
    epoll_ctl(loop, EPOLL_CTL_DEL, fd, nullptr); // from now on the batch waits for it
    open_streams.erase(fd);
    if (batch.add(fd, options, &index) == XMPP_CLOSE_OK)
        closing[index] = fd;
    else
        close(fd); // the host is no address
}

static void on_end(size_t index, const xmpp_close::report &report)
{
    printf("[%d] %s\n", closing[index], report.describe().c_str());
    close(closing[index]);
    closing.erase(index);
}

int main(int argc, char **argv)
{
    sigset_t unblocked;
    xmpp_close::batch_options options;
    options.on_end = on_end;
    if (argc < 3 || batch.set(options) != XMPP_CLOSE_OK)
        return fprintf(stderr, "usage: %s PORT NEW_HOST [LIMIT_SECONDS]\n", argv[0]), 2;
    moved.stream_error = "see-other-host";
    moved.stream_error_address = argv[2];
    moved.total_ms = std::chrono::seconds(argc > 3 ? atoi(argv[3]) : 10);
    catch_sigterm(&unblocked);
    int listener = listen_on(argv[1]);
    watch(listener);
    watch(batch.fd());
    while (!terminated || !closing.empty()) {
        epoll_event events[64];
        const int count = epoll_pwait(loop, events, 64, batch.timeout(), &unblocked);
        for (int i = 0; i < count; i++) {
            const int fd = events[i].data.fd, accepted = fd == listener ? accept4(fd, nullptr, nullptr, SOCK_CLOEXEC) : -1;
            if (accepted >= 0)
                open_streams.insert(accepted), watch(accepted);
            else if (open_streams.count(fd))
                close_stream(fd);
        }
        if (terminated && listener >= 0) {
            close(listener);
            listener = -1;
            while (!open_streams.empty())
                close_stream(*open_streams.begin());
        }
        batch.turn(); // in every turn of the loop: it costs nothing when nothing is to be done
    }
}
