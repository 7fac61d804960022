/* Ends an XMPP stream over OpenSSL 3 without losing anything:     openssl --ca FILE HOST PORT
 * The upper half is the adapter, for any SSL whose handshake is done, at either end of the connection. */
#define _POSIX_C_SOURCE 200809L
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>

#include "tls_client.h"

typedef struct tls {
    SSL *ssl;
    int notified; /* the peer's close_notify came */
    int failed;   /* nothing is to be written any more, not even close_notify */
} tls;

/* SSL_get_error() looks at the errors of this thread, which another call may have left behind. */
static SSL *ready(tls *t)
{
    ERR_clear_error();
    errno = 0;
    return t->ssl;
}

/* What an attempt came to. A read may wait for writing, and a write for reading: TLS also writes and reads by
 * itself. */
static int judge(tls *t, int result)
{
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_NONE:
        return 0;
    case SSL_ERROR_WANT_READ:
        return XMPP_CLOSE_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return XMPP_CLOSE_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN: /* the end of the peer's data was reported before, so this is the end of TCP */
    case SSL_ERROR_SYSCALL:
        t->failed = 1;
        return errno ? errno : EPIPE;
    default:
        t->failed = 1; /* OpenSSL has sent a fatal alert, or received one */
        return XMPP_CLOSE_TLS_ERROR;
    }
}

static int tls_read(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    tls *t = userdata;
    if (SSL_read_ex(ready(t), buf, len, n))
        return 0;
    if (SSL_get_error(t->ssl, 0) != SSL_ERROR_ZERO_RETURN)
        return judge(t, 0);
    return t->notified ? 0 : XMPP_CLOSE_TLS_EOF;
}

static int tls_write(void *userdata, const uint8_t *buf, size_t len, size_t *n)
{
    tls *t = userdata;
    return SSL_write_ex(ready(t), buf, len, n) ? 0 : judge(t, 0);
}

static int tls_notify(void *userdata)
{
    tls *t = userdata;
    int result;
    if (t->failed)
        return XMPP_CLOSE_TLS_ERROR;
    if (SSL_in_init(t->ssl) && (result = SSL_do_handshake(ready(t))) <= 0)
        return judge(t, result); /* the answer to a KeyUpdate is still on its way out */
    result = SSL_shutdown(ready(t)); /* once: the peer's is for tls_read, behind what else it sends */
    return result < 0 ? judge(t, result) : 0;
}

static void on_info(const SSL *ssl, int where, int code)
{
    tls *t = SSL_get_app_data(ssl);
    if (where == SSL_CB_READ_ALERT && (code & 0xff) == SSL_AD_CLOSE_NOTIFY)
        t->notified = 1;
}

/* `fd` is non-blocking, `t` lives as long as `ssl`, and SIGPIPE is ignored, since OpenSSL calls write(2). */
static xmpp_close_transport transport_of(tls *t, SSL *ssl, int fd)
{
    xmpp_close_transport transport = XMPP_CLOSE_TRANSPORT_INIT;
    memset(t, 0, sizeof *t);
    t->ssl = ssl;
    SSL_set_app_data(ssl, t);
    SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Otherwise TCP's end without close_notify is a fatal error, and our close_notify cannot be sent. on_info tells
     * which end it was. */
    SSL_set_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_set_info_callback(ssl, on_info);
    transport.userdata = t;
    transport.read = tls_read;
    transport.write = tls_write;
    transport.notify = tls_notify;
    transport.fd = fd;
    transport.tls = 1;
    return transport;
}

/* ---- The program ------------------------------------------------------------------------------------------------- */

static int handshake(tls *t)
{
    const int result = SSL_connect(ready(t));
    return result == 1 ? 0 : judge(t, result);
}

/* One connection; returns what the program is to exit with. */
static int run(SSL_CTX *context, const arguments *a)
{
    tls t;
    int attempt, error = 0, code = 2;
    const int fd = connect_tls(a->host, a->port);
    SSL *ssl = SSL_new(context);
    if (fd < 0 || !ssl || !SSL_set_fd(ssl, fd) || !SSL_set_tlsext_host_name(ssl, a->domain) ||
        !SSL_set1_host(ssl, a->domain)) {
        refused(a, ENOTCONN, NULL);
    } else {
        const xmpp_close_transport transport = transport_of(&t, ssl, fd);
        while ((attempt = handshake(&t)) != 0 && (error = wait_for(fd, attempt)) == 0)
            ;
        if (error == 0)
            code = run_stream(&transport, a);
        else
            refused(a, error, ERR_reason_error_string(ERR_peek_error()));
    }
    SSL_free(ssl);
    if (fd >= 0)
        close(fd);
    return code;
}

int main(int argc, char **argv)
{
    arguments a;
    int code = 0;
    (void)argc;
    if (!parse_arguments(argv, &a))
        return 2;
    signal(SIGPIPE, SIG_IGN);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (!context || !(a.ca ? SSL_CTX_load_verify_file(context, a.ca) : SSL_CTX_set_default_verify_paths(context))) {
        fprintf(stderr, "%s: no certificates\n", a.ca ? a.ca : "OpenSSL");
        code = 2;
    } else {
        SSL_CTX_set_verify(context, a.insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
        while (a.times-- && code != 2)
            code = run(context, &a);
    }
    SSL_CTX_free(context);
    return code;
}
