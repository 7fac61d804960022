#include "tls_bio.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

struct tls {
    SSL *ssl;
    BIO *in, *out; /* the SSL's own */
    queue output;
    int notified, failed;
};

static SSL_CTX *context;

int tls_use(const char *certificate, const char *key)
{
    context = SSL_CTX_new(TLS_server_method());
    if (context && SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1) {
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
        return 1;
    }
    ERR_print_errors_fp(stderr);
    tls_unuse();
    return 0;
}

void tls_unuse(void)
{
    SSL_CTX_free(context);
    context = NULL;
}

tls *tls_new(void)
{
    tls *t = context ? calloc(1, sizeof *t) : NULL;
    if (!context)
        return NULL;
    if (!t || !(t->ssl = SSL_new(context)) || !(t->in = BIO_new(BIO_s_mem())) || !(t->out = BIO_new(BIO_s_mem())))
        abort();
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_accept_state(t->ssl);
    return t;
}

void tls_free(tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t->output.bytes);
    free(t);
}

void tls_feed(tls *t, const void *bytes, size_t len)
{
    size_t fed = 0;
    if (!BIO_write_ex(t->in, bytes, len, &fed) || fed < len)
        abort();
}

/* What a call came to, and what it wants to have sent. SSL_get_error() also looks at the errors of this thread. */
static void settle(tls *t, int result)
{
    char *bytes;
    switch (SSL_get_error(t->ssl, result)) {
    case SSL_ERROR_NONE:
    case SSL_ERROR_WANT_READ: /* of the memory BIO: more ciphertext */
        break;
    case SSL_ERROR_ZERO_RETURN:
        t->notified = 1;
        break;
    default:
        t->failed = 1;
    }
    ERR_clear_error();
    queue_add(&t->output, (BIO_get_mem_data(t->out, &bytes), bytes), BIO_ctrl_pending(t->out));
    (void)BIO_reset(t->out);
}

size_t tls_decrypt(tls *t, void *plaintext, size_t len)
{
    size_t n = 0;
    if (!t->failed && !t->notified)
        settle(t, SSL_read_ex(t->ssl, plaintext, len, &n));
    return n;
}

size_t tls_encrypt(tls *t, const void *plaintext, size_t len)
{
    size_t n = 0;
    if (len && !t->failed && SSL_is_init_finished(t->ssl))
        settle(t, SSL_write_ex(t->ssl, plaintext, len, &n));
    return n;
}

void tls_close_notify(tls *t)
{
    /* After an error SSL_shutdown() is forbidden. Called twice, it would wait for the peer's close_notify. */
    if (!t->failed && SSL_is_init_finished(t->ssl) && !(SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN)) {
        const int result = SSL_shutdown(t->ssl);
        settle(t, result < 0 ? result : 1); /* 0: our close_notify is out, the peer's has not come */
    }
}

queue *tls_output(tls *t)
{
    return &t->output;
}

int tls_notified(const tls *t)
{
    return t->notified;
}

int tls_failed(const tls *t)
{
    return t->failed;
}
