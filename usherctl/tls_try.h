/**
 * @file  tls_try.h
 * @brief Would a server answer a client that offers this? OpenSSL itself is asked: it is given
 *        a ClientHello, and either goes on with the handshake or sends an alert.
 */
#ifndef TLS_TRY_H
#define TLS_TRY_H

#include <openssl/ssl.h>

#include "usher_hello.h"

/** Room for each ClientHello that is made. */
#define TLS_TRY_HELLO_MAX 1024

/** What the server did. */
typedef struct {
    int answers;
    int alert;          /**< where it does not: the alert's number; -1: it sent none */
    const char *reason; /**< OpenSSL's, "no shared cipher"; never NULL */
} tls_try_t;

/**
 * The ClientHello of an offer, in a record of its own. It has no key for TLS 1.3's key exchange:
 * a server that agrees with the rest asks for one (HelloRetryRequest).
 * @param to     of TLS_TRY_HELLO_MAX bytes
 * @param offer  its numbers alone count: versions, ciphers, groups, sigalgs
 * @return its length
 */
apr_size_t tls_try_hello(unsigned char *to, const usher_hello_t *offer);

/** Try it; nothing is sent anywhere. Not for several threads with one @a ctx. */
tls_try_t tls_try(SSL_CTX *ctx, const usher_hello_t *offer);

#endif /* TLS_TRY_H */
