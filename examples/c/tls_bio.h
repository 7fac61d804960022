/* The server's side of TLS as jabberd2 has it: OpenSSL between two memory BIOs, so that OpenSSL never sees a socket. It
 * is fed with ciphertext, and what it wants to have sent waits in a queue. Nothing in here knows of xmpp_close. */
#ifndef TLS_BIO_H
#define TLS_BIO_H

#include "queue.h"

typedef struct tls tls;

/* The files of the certificate and its key, for all connections. 0: they cannot be used, which stderr says; there is no
 * TLS. */
int tls_use(const char *certificate, const char *key);
/* Frees what tls_use() made. */
void tls_unuse(void);

/* One connection; NULL when there is no certificate, so no TLS. */
tls *tls_new(void);
void tls_free(tls *t);

/* Ciphertext came. */
void tls_feed(tls *t, const void *bytes, size_t len);

/* Decrypts what was fed. 0: there is no more plaintext for now, or for ever; tls_notified() and tls_failed() tell
 * which. */
size_t tls_decrypt(tls *t, void *plaintext, size_t len);

/* Encrypts at most one record, and returns how many bytes it took. 0: TLS has not been negotiated yet. */
size_t tls_encrypt(tls *t, const void *plaintext, size_t len);

/* Sends close_notify, once, and only where TLS still works. */
void tls_close_notify(tls *t);

/* What is to be sent. TLS negotiates, so there may be something although nothing was encrypted. */
queue *tls_output(tls *t);

/* The peer's close_notify came. */
int tls_notified(const tls *t);

/* TLS has failed, and nothing more comes from this connection. An alert about it may be in the output. */
int tls_failed(const tls *t);

#endif
