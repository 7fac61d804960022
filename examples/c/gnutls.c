/* Ends an XMPP stream over GnuTLS without losing anything:     gnutls --ca FILE HOST PORT
 * The upper half is the adapter, for any session whose handshake is done, at either end of the connection. */
#define _POSIX_C_SOURCE 200809L
#include <gnutls/gnutls.h>

#include "tls_client.h"

typedef struct tls {
    gnutls_session_t session;
    int fd;
    int tcp_error; /* errno, once TCP has failed */
    int tcp_eof;   /* the peer has ended TCP */
    int failed;    /* nothing is to be written any more, not even close_notify */
} tls;

/* GnuTLS takes a reset for the end, and after the end or a failed write it refuses everything else. But something may
 * be left to read, or our close_notify to send. So of all these GnuTLS is only told "would block". */
static ssize_t moved(tls *t, ssize_t n)
{
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        t->tcp_error = errno;
        errno = EAGAIN;
    }
    return n;
}

static ssize_t pull(gnutls_transport_ptr_t pointer, void *buf, size_t len)
{
    tls *t = pointer;
    const ssize_t n = moved(t, recv(t->fd, buf, len, MSG_DONTWAIT));
    if (n || !len)
        return n;
    t->tcp_eof = 1;
    errno = EAGAIN;
    return -1;
}

static ssize_t push(gnutls_transport_ptr_t pointer, const void *buf, size_t len)
{
    tls *t = pointer;
    return moved(t, send(t->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL));
}

/* What an attempt came to. A read may wait for writing, and a write for reading: TLS also writes and reads by
 * itself. */
static int judge(tls *t, int result)
{
    const int writing = gnutls_record_get_direction(t->session);
    if (result >= 0)
        return 0;
    if (result == GNUTLS_E_AGAIN && t->tcp_error)
        return t->tcp_error;
    if (result == GNUTLS_E_AGAIN && t->tcp_eof && !writing)
        return XMPP_CLOSE_TLS_EOF;
    if (result == GNUTLS_E_AGAIN)
        return writing ? XMPP_CLOSE_WANT_WRITE : XMPP_CLOSE_WANT_READ;
    if (!gnutls_error_is_fatal(result))
        return EINTR; /* interrupted; or a warning or a request for renegotiation, which may be ignored */
    if (!t->failed && result != GNUTLS_E_FATAL_ALERT_RECEIVED)
        gnutls_alert_send_appropriate(t->session, result);
    t->failed = 1;
    return XMPP_CLOSE_TLS_ERROR;
}

static int tls_read(void *userdata, uint8_t *buf, size_t len, size_t *n)
{
    tls *t = userdata;
    const ssize_t result = gnutls_record_recv(t->session, buf, len);
    *n = result > 0 ? (size_t)result : 0;
    return judge(t, (int)result);
}

static int tls_write(void *userdata, const uint8_t *buf, size_t len, size_t *n)
{
    tls *t = userdata;
    const ssize_t result = gnutls_record_send(t->session, buf, len);
    *n = result > 0 ? (size_t)result : 0;
    return judge(t, (int)result);
}

static int tls_notify(void *userdata)
{
    tls *t = userdata;
    if (t->failed || t->tcp_error)
        return t->failed ? XMPP_CLOSE_TLS_ERROR : t->tcp_error;
    return judge(t, gnutls_bye(t->session, GNUTLS_SHUT_WR)); /* tls_read sees the peer's, behind all else */
}

/* `t` lives as long as the session, whose functions for TCP are replaced. */
static xmpp_close_transport transport_of(tls *t, gnutls_session_t session, int fd)
{
    xmpp_close_transport transport = XMPP_CLOSE_TRANSPORT_INIT;
    memset(t, 0, sizeof *t);
    t->session = session;
    t->fd = fd;
    gnutls_transport_set_ptr(session, t);
    gnutls_transport_set_pull_function(session, pull);
    gnutls_transport_set_push_function(session, push);
    transport.userdata = t;
    transport.read = tls_read;
    transport.write = tls_write;
    transport.notify = tls_notify;
    transport.fd = fd;
    transport.tls = 1;
    return transport;
}

/* ---- The program ------------------------------------------------------------------------------------------------- */

/* One connection; returns what the program is to exit with. */
static int run(gnutls_certificate_credentials_t trusted, const arguments *a)
{
    tls t;
    gnutls_session_t session;
    int result, error = 0, code = 2;
    const int fd = connect_tls(a->host, a->port);
    if (gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK))
        session = NULL;
    if (fd < 0 || !session || gnutls_set_default_priority(session) ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, trusted) ||
        gnutls_server_name_set(session, GNUTLS_NAME_DNS, a->domain, strlen(a->domain))) {
        refused(a, ENOTCONN, NULL);
    } else {
        const xmpp_close_transport transport = transport_of(&t, session, fd);
        if (!a->insecure)
            gnutls_session_set_verify_cert(session, a->domain, 0);
        while ((result = gnutls_handshake(session)) != 0 && (error = wait_for(fd, judge(&t, result))) == 0)
            ;
        if (error == 0)
            code = run_stream(&transport, a);
        else
            refused(a, error, gnutls_strerror(result));
    }
    if (session)
        gnutls_deinit(session);
    if (fd >= 0)
        close(fd);
    return code;
}

int main(int argc, char **argv)
{
    arguments a;
    gnutls_certificate_credentials_t trusted;
    int code = 0;
    (void)argc;
    if (!parse_arguments(argv, &a) || gnutls_certificate_allocate_credentials(&trusted))
        return 2;
    if ((a.ca ? gnutls_certificate_set_x509_trust_file(trusted, a.ca, GNUTLS_X509_FMT_PEM)
              : gnutls_certificate_set_x509_system_trust(trusted)) < 0) {
        fprintf(stderr, "%s: no certificates\n", a.ca ? a.ca : "GnuTLS");
        code = 2;
    }
    while (a.times-- && code != 2)
        code = run(trusted, &a);
    gnutls_certificate_free_credentials(trusted);
    return code;
}
