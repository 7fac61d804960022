/* What the examples that are clients have in common. */
#ifndef CONNECT_H
#define CONNECT_H

#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connected, blocking socket, or -1. */
static inline int connect_to(const char *host, const char *port)
{
    struct addrinfo hints, *found, *address;
    int fd = -1;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &found))
        return -1;
    for (address = found; address && fd < 0; address = address->ai_next) {
        fd = socket(address->ai_family, address->ai_socktype, address->ai_protocol);
        if (fd >= 0 && connect(fd, address->ai_addr, address->ai_addrlen)) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(found);
    return fd;
}

#endif
