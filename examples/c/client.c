/* A chat client: it sends each line of its input to TO, prints what comes, and closes at the end of its input.
 *     client HOST PORT USER@DOMAIN PASSWORD TO    (HOST is this machine, for the password goes over TCP as it is) */
#define _POSIX_C_SOURCE 200809L
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <xmpp_close.h>

#include "connect.h"

#define HEADER "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client'" \
               " xmlns:stream='http://etherx.jabber.org/streams'>"
#define AUTH "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>"
#define BIND "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"

static xmpp_close_stream *stream;
static char auth[1024], header[1024];
static int step, closing, failed;
/* The login: what comes, and what is sent then. The empty answer lets our header out, which goes in front of it. */
static const struct { const char *start, *answer; } login[] = {
    { "<stream:features", auth }, { "<success", "" }, { "<stream:features", BIND }, { "<iq", "<presence/>" }, { "", "" }
};

static int on_stanza(void *userdata, const uint8_t *xml, size_t len)
{
    const char *const stanza = (const char *)xml, *const start = login[step].start, *const answer = login[step].answer;
    (void)userdata;
    if (closing || !*start) {
        printf("%s%.*s\n", closing ? "late: " : "", (int)len, stanza);
    } else if (strncmp(stanza, start, strlen(start))) {
        failed = closing = fprintf(stderr, "instead of %s came %.*s\n", start, (int)len, stanza);
        xmpp_close_finish(stream, NULL, 0);
    } else {
        if (step++ == 1) /* <success/>: new headers follow, both ways */
            xmpp_close_tell(stream, XMPP_CLOSE_FACT_RESTARTED, 0, 0);
        return xmpp_close_send(stream, answer, strlen(answer));
    }
    return 0;
}

static void send_line(const char *to, FILE *input)
{
    char line[1024], xml[8192], *end = xml + sprintf(xml, "<message type='chat' to='%s'><body>", to);
    if (!fgets(line, sizeof line, input)) {
        closing = 1;
        xmpp_close_finish(stream, NULL, 0);
        return;
    }
    for (char *c = line; *c && *c != '\n'; c++)
        end += *c == '&' ? sprintf(end, "&amp;") : *c == '<' ? sprintf(end, "&lt;") : sprintf(end, "%c", *c);
    end += sprintf(end, "</body></message>");
    if (xmpp_close_send(stream, xml, (size_t)(end - xml)) != XMPP_CLOSE_OK)
        fprintf(stderr, "not sent: %s", line);
}

static void on_log(void *userdata, int phase, const char *line)
{
    (void)userdata, (void)phase;
    puts(line);
}

int main(int argc, char **argv)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    char plain[256], token[512], *const at = argc == 6 ? strchr(argv[3], '@') : NULL;
    const int fd = at && strlen(argv[3]) + strlen(argv[4]) + strlen(argv[5]) < 200 ? connect_to(argv[1], argv[2]) : -1;
    if (fd < 0)
        return fprintf(stderr, "usage: %s HOST PORT USER@DOMAIN PASSWORD TO, of an XMPP server\n", argv[0]), 2;
    *at = '\0';
    const int len = sprintf(plain, "%c%s%c%s", 0, argv[3], 0, argv[4]);
    EVP_EncodeBlock((unsigned char *)token, (unsigned char *)plain, len);
    sprintf(auth, AUTH, token);
    options.header = header;
    options.header_len = (size_t)sprintf(header, HEADER, at + 1);
    options.on_stanza = on_stanza;
    options.on_log = on_log;
    setvbuf(stdin, NULL, _IONBF, 0); /* so that poll(2) sees what is not read yet */
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (xmpp_close_start(fd, &options, &stream) != XMPP_CLOSE_OK ||
        xmpp_close_tell(stream, XMPP_CLOSE_FACT_RESTARTED, 0, 0) != XMPP_CLOSE_OK || /* the headers are to come */
        xmpp_close_send(stream, "", 0) != XMPP_CLOSE_OK)
        return 2;

    for (uint32_t wants; !((wants = xmpp_close_step(stream)) & XMPP_CLOSE_OVER);) {
        if (wants & XMPP_CLOSE_ANSWER) /* the server closes: nothing is owed to it */
            xmpp_close_finish(stream, NULL, 0), closing = 1;
        const short events = (short)((wants & XMPP_CLOSE_READ ? POLLIN : 0) | (wants & XMPP_CLOSE_WRITE ? POLLOUT : 0));
        const int input = closing || *login[step].start ? -1 : STDIN_FILENO;
        struct pollfd polled[] = { { events ? fd : -1, events, 0 }, { input, POLLIN, 0 } };
        poll(polled, 2, xmpp_close_timeout(stream, 0));
        if (polled[1].revents)
            send_line(argv[5], stdin);
    }
    xmpp_close_get_report(stream, &report);
    xmpp_close_free(stream);
    close(fd);
    return failed || report.outcome != XMPP_CLOSE_CLEAN;
}
