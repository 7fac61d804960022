/* What the two example servers have in common besides expat. Nothing in here knows of xmpp_close. */
#ifndef SERVER_H
#define SERVER_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "stanza_parser.h"

#define HEADER "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' from='localhost' id='%u'" \
               " xmlns:stream='http://etherx.jabber.org/streams'>"
#define FEATURES "<stream:features/>"
#define IQ_RESULT "<iq type='result' id='%s'/>"

/* For an example, running out of memory is the end. */
static inline void *need(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static inline uint64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static inline int is_message(const stanza *stanza)
{
    return !strcmp(stanza->name, "message");
}

static inline int is_iq_request(const stanza *stanza)
{
    return !strcmp(stanza->name, "iq") && (!strcmp(stanza->type, "get") || !strcmp(stanza->type, "set"));
}

static volatile sig_atomic_t terminated;

static inline void on_sigterm(int signal)
{
    terminated = signal;
}

/* Blocks SIGTERM in this thread and in the threads that it will start, except where `unblocked` is given to a waiting
 * call. */
static inline void catch_sigterm(sigset_t *unblocked)
{
    struct sigaction action;
    sigset_t blocked;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_sigterm;
    sigaction(SIGTERM, &action, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, unblocked);
    sigdelset(unblocked, SIGTERM);
}

/* A waiting call lets SIGTERM in only if it has to wait, so a busy server must look for SIGTERM by itself. */
static inline void look_for_sigterm(const sigset_t *unblocked)
{
    sigset_t blocked;
    sigprocmask(SIG_SETMASK, unblocked, &blocked);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/* As many descriptors as this process may have. */
static inline void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Listens on 127.0.0.1, without blocking, and says on which port; "0" is any. Each line is printed when it is whole. */
static inline int listen_on(const char *port)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)atoi(port));
    if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) || bind(fd, (struct sockaddr *)&address, size) ||
        listen(fd, SOMAXCONN) || getsockname(fd, (struct sockaddr *)&address, &size)) {
        perror("listening on 127.0.0.1");
        exit(1);
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    return fd;
}

#endif
