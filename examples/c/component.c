/* An external component (XEP-0114) of an XMPP server: it logs in, answers each iq, prints each message, and closes on
 * SIGTERM, or when the server does; a client would do the same. One poll(2) loop, expat, OpenSSL's SHA-1 for the login;
 * the library reads and writes.
 *
 *     component HOST PORT NAME SECRET [LIMIT_SECONDS]    exit status 0: both ends have closed, so nothing is lost */
#define _GNU_SOURCE
#include <openssl/evp.h>
#include <poll.h>
#include <xmpp_close.h>

#include "connect.h"
#include "server.h"

#define START "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' to='%s'" \
              " xmlns:stream='http://etherx.jabber.org/streams'>"
#define RESULT "<iq type='result' id='%s' from='%s' to='%s'/>"
#define ERROR "<iq type='error' id='%s' from='%s' to='%s'><error type='cancel'>" \
              "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"

#define QUEUE_LIMIT 65536

static xmpp_close_stream *stream;
static stanza_parser *parser;
static const char *secret;
static unsigned answered, unanswered, messages;

/* The server's stream has begun. XEP-0114: the id of the stream and the secret, as SHA-1, in hexadecimal. */
static void on_header(void *owner)
{
    const char *id = stanza_parser_stream_id(parser);
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char text[1024];
    (void)owner;
    const int size = snprintf(text, sizeof text, "%s%s", id, secret);
    if (size >= (int)sizeof text || !EVP_Digest(text, (size_t)size, hash, &len, EVP_sha1(), NULL))
        abort();
    char *end = text + sprintf(text, "<handshake>");
    for (unsigned i = 0; i < len; i++)
        end += sprintf(end, "%02x", hash[i]);
    end += sprintf(end, "</handshake>");
    (void)!xmpp_close_send(stream, text, (size_t)(end - text));
}

/* Behind our closing tag nothing can be answered. The server must then answer whoever has asked. */
static void answer(const stanza *iq)
{
    const char *const format = strcmp(iq->child, "ping") ? ERROR : RESULT;
    char *const xml = need(malloc(sizeof ERROR + strlen(iq->id) + strlen(iq->from) + strlen(iq->to)));
    const int len = sprintf(xml, format, iq->id, iq->to, iq->from);
    const int sent = xmpp_close_send(stream, xml, (size_t)len) == XMPP_CLOSE_OK;
    *(sent ? &answered : &unanswered) += 1;
    printf("%s %s\n", sent ? "answered" : "unanswered", iq->id);
    free(xml);
}

static void on_stanza(void *owner, const stanza *stanza)
{
    xmpp_close_error error = XMPP_CLOSE_ERROR_INIT;
    (void)owner;
    if (stanza->stream_error) {
        error.condition = stanza->child;
        xmpp_close_peer_error(stream, &error, 0);
    } else if (!strcmp(stanza->name, "handshake")) {
        printf("logged in\n");
    } else if (is_iq_request(stanza)) {
        answer(stanza);
    } else if (is_message(stanza)) {
        printf("message %s\n", stanza->id);
        messages++;
    }
}

static int on_data(void *userdata, const uint8_t *data, size_t len)
{
    (void)userdata;
    switch (stanza_parser_feed(parser, data, len)) {
    case STREAM_CLOSED:
        return XMPP_CLOSE_PEER_CLOSED;
    case STREAM_BROKEN:
        return XMPP_CLOSE_NOT_XMPP;
    default:
        return stanza_parser_inside(parser) ? XMPP_CLOSE_MID_ELEMENT : 0;
    }
}

/* We do not read from a peer that does not read, but only while the stream is open: when two sides close, both must
 * read. */
static int is_slow(uint32_t wants)
{
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    xmpp_close_get_report(stream, &report);
    return report.bytes_unsent > QUEUE_LIMIT && wants & XMPP_CLOSE_MAY_SEND;
}

/* Runs until the stream is over. SIGTERM, or the server, ends it: what has come by then is answered, then our tag is
 * sent. */
static void run(int fd, const sigset_t *unblocked)
{
    int closing = 0, slow = 0;
    for (uint32_t wants; !((wants = xmpp_close_step(stream)) & XMPP_CLOSE_OVER);) {
        if ((terminated || wants & XMPP_CLOSE_ANSWER) && !closing++)
            xmpp_close_finish(stream, NULL, 0);
        if (slow != is_slow(wants))
            xmpp_close_tell(stream, XMPP_CLOSE_FACT_PAUSED, slow = !slow, 0);
        const int wait = xmpp_close_timeout(stream, 0);
        struct pollfd p = { wants & (XMPP_CLOSE_READ | XMPP_CLOSE_WRITE) ? fd : -1, 0, 0 };
        p.events = (short)((wants & XMPP_CLOSE_READ ? POLLIN : 0) | (wants & XMPP_CLOSE_WRITE ? POLLOUT : 0));
        ppoll(&p, 1, wait < 0 ? NULL : &(struct timespec){ wait / 1000, wait % 1000 * 1000000L }, unblocked);
        look_for_sigterm(unblocked);
    }
}

int main(int argc, char **argv)
{
    xmpp_close_options options = XMPP_CLOSE_OPTIONS_INIT;
    xmpp_close_report report = XMPP_CLOSE_REPORT_INIT;
    sigset_t unblocked;
    char text[1024];
    if (argc < 5)
        return fprintf(stderr, "usage: %s HOST PORT NAME SECRET [LIMIT_SECONDS]\n", argv[0]), 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    catch_sigterm(&unblocked);
    secret = argv[4];
    parser = need(stanza_parser_new(on_header, on_stanza, NULL));
    options.total_ms = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) * 1000 : 0;
    options.on_data = on_data;
    const int fd = connect_to(argv[1], argv[2]);
    if (fd < 0)
        fprintf(stderr, "%s port %s: no connection\n", argv[1], argv[2]), exit(1);
    const int len = snprintf(text, sizeof text, START, argv[3]);
    if (len >= (int)sizeof text || xmpp_close_start(fd, &options, &stream) != XMPP_CLOSE_OK ||
        xmpp_close_send(stream, text, (size_t)len) != XMPP_CLOSE_OK)
        abort();
    run(fd, &unblocked);
    xmpp_close_get_report(stream, &report);
    xmpp_close_describe(&report, text, sizeof text);
    printf("%s\nended: %s, %u answered, %u unanswered, %u messages\n", text, xmpp_close_outcome_name(report.outcome),
           answered, unanswered, messages);
    xmpp_close_free(stream);
    stanza_parser_free(parser);
    close(fd);
    return report.outcome != XMPP_CLOSE_CLEAN;
}
