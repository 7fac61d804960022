/* The server's side of TLS as jabberd2 has it: OpenSSL between two memory BIOs, which never sees a socket. Ciphertext
 * is fed to it, and what it wants to be sent waits in a queue. Nothing in here knows of xmpp_close. */
#ifndef TLS_BIO_H
#define TLS_BIO_H

#include "queue.h"

typedef struct tls tls;

/* The files of the certificate and its key, for all connections. 0: that was said on stderr, and there is no TLS. */
int tls_use(const char *certificate, const char *key);
/* Frees what tls_use() made. */
void tls_unuse(void);

/* One connection; NULL when there is no certificate, so no TLS. */
tls *tls_new(void);
void tls_free(tls *t);

/* Ciphertext came. */
void tls_feed(tls *t, const void *bytes, size_t len);

/* Plaintext, of what was fed. 0: there is no more of it for now, or for ever: then tls_notified() or tls_failed(). */
size_t tls_decrypt(tls *t, void *plaintext, size_t len);

/* Encrypts no more than a record's worth, and returns how much that was. 0: not now, before TLS has been negotiated. */
size_t tls_encrypt(tls *t, const void *plaintext, size_t len);

/* Once, and if that makes sense. */
void tls_close_notify(tls *t);

/* What is to be sent: also when nobody has encrypted anything, for TLS negotiates. */
queue *tls_output(tls *t);

/* The peer's close_notify came. */
int tls_notified(const tls *t);

/* There is nothing more to be had from this connection; an alert about it may be in the output. */
int tls_failed(const tls *t);

#endif
