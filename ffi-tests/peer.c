#include "peer.h"

#include "check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 90000 /* what no correct run ever waits for */

void set_nonblocking(int fd)
{
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        check_fatal("fcntl");
}

static void set_small(int fd)
{
    int size = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

void connected_pair(enum kind kind, int fds[2])
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int listener;
    if (kind == UNIX) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
            check_fatal("socketpair");
        return;
    }
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || fds[0] < 0)
        check_fatal("socket");
    if (kind == TCP_SMALL) {
        set_small(listener);
        set_small(fds[0]);
    }
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0 ||
        connect(fds[0], (struct sockaddr *)&address, sizeof address) != 0 ||
        (fds[1] = accept(listener, NULL, NULL)) < 0)
        check_fatal("a loopback connection");
    close(listener);
}

/* Waits until the peer's socket is ready. What we do at the end of a test makes it ready, too, so this always ends. */
static void await_socket(const struct peer *peer, short events)
{
    struct pollfd fd;
    fd.fd = peer->their_fd;
    fd.events = events;
    if (poll(&fd, 1, PATIENCE_MS) == 0)
        check_fatal("the other end of a connection is stuck");
}

/* Waits for `limit_ms`; 0 when it is time to stop. */
static int await_stop(const struct peer *peer, int limit_ms)
{
    struct pollfd fd;
    fd.fd = peer->stop[0];
    fd.events = POLLIN;
    return poll(&fd, 1, limit_ms) == 0;
}

/* Reads once; 0 when there will be no more. */
static int read_once(struct peer *peer)
{
    ssize_t n;
    await_socket(peer, POLLIN);
    peer->got = realloc(peer->got, peer->got_len + 65536 + 1);
    if (peer->got == NULL)
        check_fatal("realloc");
    n = recv(peer->their_fd, peer->got + peer->got_len, 65536, 0);
    peer->saw_end |= n == 0;
    peer->saw_reset |= n < 0 && errno == ECONNRESET;
    peer->got_len += n > 0 ? (size_t)n : 0;
    peer->got[peer->got_len] = '\0';
    return n > 0 || (n < 0 && errno == EAGAIN);
}

static int read_until(struct peer *peer, const char *text)
{
    size_t at = 0, len = strlen(text);
    for (;;) {
        for (; at + len <= peer->got_len; at++)
            if (memcmp(peer->got + at, text, len) == 0)
                return 1;
        if (!read_once(peer))
            return 0;
    }
}

static int send_all(struct peer *peer, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(peer->their_fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EINTR) {
            peer->send_failed = errno;
            return 0;
        }
        if (n < 0)
            await_socket(peer, POLLOUT);
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 1;
}

static int drip(struct peer *peer, const struct step *step)
{
    size_t at = 0, len = strlen(step->text);
    size_t piece = step->act == DRIP ? 1 : len;
    while (await_stop(peer, (int)step->n)) {
        if (!send_all(peer, step->text + at, piece))
            return 0;
        at = (at + piece) % len;
    }
    return 0;
}

/* One step; 0 when the script cannot go on. */
static int take_step(struct peer *peer, const struct step *step)
{
    struct linger linger = { 1, 0 };
    size_t i;
    switch (step->act) {
    case SEND:
        for (i = 0; i < (step->n > 0 ? step->n : 1); i++)
            if (!send_all(peer, step->text, strlen(step->text)))
                return 0;
        return 1;
    case SEND_ZERO:
        return send_all(peer, "\0", 1);
    case SEND_ONE:
        return send_all(peer, "\1", 1);
    case READ_TAG:
        return read_until(peer, step->text != NULL ? step->text : TAG);
    case READ_END:
        while (read_once(peer))
            ;
        return 1;
    case SHUT:
        return shutdown(peer->their_fd, SHUT_WR) == 0;
    case RESET:
        setsockopt(peer->their_fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        return 0;
    case HOLD:
        await_stop(peer, -1);
        return 0;
    case PAUSE:
        return await_stop(peer, (int)step->n);
    case DRIP:
    case DRIP_WHOLE:
        return drip(peer, step);
    case CALL:
        peer->call(peer->call_arg);
        return 1;
    case END:
        break;
    }
    return 0;
}

static void *run(void *arg)
{
    struct peer *peer = arg;
    const struct step *step = peer->script;
    while (take_step(peer, step))
        step++;
    close(peer->their_fd);
    return NULL;
}

void peer_start(struct peer *peer, enum kind kind, const struct step *script, void (*call)(void *), void *arg)
{
    int fds[2];
    memset(peer, 0, sizeof *peer);
    connected_pair(kind, fds);
    peer->fd = fds[0];
    peer->their_fd = fds[1];
    set_nonblocking(peer->their_fd);
    peer->script = script;
    peer->call = call;
    peer->call_arg = arg;
    if (pipe(peer->stop) != 0)
        check_fatal("pipe");
    if (pthread_create(&peer->thread, NULL, run, peer) != 0)
        check_fatal("pthread_create");
}

void peer_await(struct peer *peer)
{
    if (!peer->joined)
        pthread_join(peer->thread, NULL);
    peer->joined = 1;
}

void peer_stop(struct peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    if (write(peer->stop[1], "", 1) != 1)
        check_fatal("write");
    peer_await(peer);
    close(peer->stop[0]);
    close(peer->stop[1]);
    peer->fd = -1;
}

void peer_free(struct peer *peer)
{
    free(peer->got);
    peer->got = NULL;
}

int peer_count(const struct peer *peer, const char *text)
{
    int count = 0;
    const char *at = peer->got;
    while (at != NULL && (at = strstr(at, text)) != NULL) {
        at += strlen(text);
        count++;
    }
    return count;
}
