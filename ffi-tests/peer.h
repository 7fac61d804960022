/* The other end of the connection: a thread that carries out a script, and keeps every byte it was sent. */
#ifndef PEER_H
#define PEER_H

#include <pthread.h>
#include <stddef.h>

#define TAG "</stream:stream>"

enum act {
    END,          /* the script is over: the socket is closed */
    SEND,         /* sends `text`, `n` times (0: once) */
    SEND_ZERO,    /* sends a zero byte: the close_notify of channel.h */
    SEND_ONE,     /* sends a byte 1: the fatal alert of channel.h */
    READ_TAG,     /* reads until `text` (NULL: TAG) has come */
    READ_END,     /* reads until the end of the connection */
    SHUT,         /* half-closes */
    RESET,        /* ends the connection by a RST */
    HOLD,         /* does nothing more, until peer_stop */
    PAUSE,        /* waits for `n` ms */
    DRIP,         /* sends `text` byte by byte, over and over, one byte each `n` ms, until the connection ends */
    DRIP_WHOLE,   /* the same with all of `text` at once */
    CALL          /* calls `call` */
};

struct step {
    enum act act;
    const char *text;
    size_t n;
};

enum kind { TCP, TCP_SMALL /* with buffers of 4 KiB */, UNIX };

struct peer {
    int fd;       /* ours */
    int their_fd;
    int stop[2];
    const struct step *script;
    void (*call)(void *);
    void *call_arg;
    pthread_t thread;
    int joined;
    char *got;    /* what came from us, NUL-terminated */
    size_t got_len;
    int saw_end;  /* we ended the connection by a FIN */
    int saw_reset;
    int send_failed;
};

#ifdef __cplusplus
extern "C" {
#endif

/* Connects and starts the script. `call` is for the step CALL. */
void peer_start(struct peer *peer, enum kind kind, const struct step *script, void (*call)(void *), void *arg);
/* Waits for the end of the script, with our end still open. */
void peer_await(struct peer *peer);
/* Closes our end, waits for the end of the script, and fills in what it saw. */
void peer_stop(struct peer *peer);
void peer_free(struct peer *peer);

/* How often `text` stands in what came from us. */
int peer_count(const struct peer *peer, const char *text);

/* Two connected sockets, without a thread. */
void connected_pair(enum kind kind, int fds[2]);
void set_nonblocking(int fd);

#ifdef __cplusplus
}
#endif

#endif
