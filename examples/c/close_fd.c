/* The smallest program that ends an XMPP stream without losing anything:     close_fd HOST PORT */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <xmpp_close.h>

#include "connect.h"

#define HEADER "<stream:stream to='localhost' version='1.0' xmlns='jabber:client'" \
               " xmlns:stream='http://etherx.jabber.org/streams'>"

/* Exchanges headers. What came behind the peer's is left at the start of `buffer`; returns its length, or -1. */
static ssize_t open_stream(int fd, char *buffer, size_t size)
{
    xmpp_close_framer *framer;
    size_t taken = 0;
    ssize_t n = send(fd, HEADER, strlen(HEADER), MSG_NOSIGNAL);
    int frame = XMPP_CLOSE_FRAME_MORE;
    if (xmpp_close_framer_new(0, &framer))
        return -1;
    while (n > 0 && frame == XMPP_CLOSE_FRAME_MORE && (n = recv(fd, buffer, size, 0)) > 0)
        frame = xmpp_close_framer_next(framer, buffer, (size_t)n, &taken, NULL, NULL);
    xmpp_close_framer_free(framer);
    if (frame != XMPP_CLOSE_FRAME_HEADER)
        return -1;
    memmove(buffer, buffer + taken, (size_t)n - taken);
    return n - (ssize_t)taken;
}

static int on_stanza(void *userdata, const uint8_t *xml, size_t len)
{
    (void)userdata;
    printf("late: %.*s\n", (int)len, (const char *)xml);
    return 0;
}

int main(int argc, char **argv)
{
    char buffer[4096];
    int fd = argc == 3 ? connect_to(argv[1], argv[2]) : -1;
    ssize_t left = open_stream(fd, buffer, sizeof buffer);
    if (left < 0)
        return fprintf(stderr, "usage: %s HOST PORT of an XMPP server\n", argv[0]), 2;

    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    options.total_ms = 5000; /* for everything: the tag, the wait, the end of TCP */
    options.residual = buffer; /* the bytes that we have read, but not handled */
    options.residual_len = (size_t)left;
    options.on_stanza = on_stanza; /* for these, and for what is still in flight */
    int result = xmpp_close_fd(fd, &options, &report);
    close(fd);

    if (result != XMPP_CLOSE_OK)
        return fprintf(stderr, "%s\n", xmpp_close_strerror(result)), 2;
    printf("%s, %u late stanzas\n", xmpp_close_outcome_name(report.outcome), report.stanzas);
    return report.outcome == XMPP_CLOSE_CLEAN ? 0 : 1;
}
