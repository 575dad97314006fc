/**
 * @file  tls_server.h
 * @brief A TLS server as mod_ssl sets it up, from some of its directives.
 */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H

#include <openssl/ssl.h>

#include "usherctl.h"

typedef struct {
    apr_pool_t *pool;
    SSL_CTX *ctx;
    SSL_CONF_CTX *conf;
    int has_protocol, has_ciphers; /**< a directive has said them (of TLS 1.2 and older) */
    const char *error;         /**< what is wrong with a directive; NULL: nothing */
    apr_array_header_t *notes; /**< const char *: what was not looked at */
} tls_server_t;

/**
 * One with mod_ssl's own defaults, and no certificate.
 * @return NULL: OpenSSL failed
 */
tls_server_t *tls_server_make(apr_pool_t *p);
void tls_server_free(tls_server_t *server);

/**
 * Apply "SSLProtocol -all +TLSv1.2" or another directive.
 * @return whether it is one; otherwise server->error tells why
 */
int tls_server_directive(tls_server_t *server, const char *line);

/**
 * Apply several, as mod_ssl does: SSLOpenSSLConfCmd when all else is set, wherever it stands.
 * @param lines  const char *
 * @return whether all are directives; otherwise server->error tells why
 */
int tls_server_directives(tls_server_t *server, const apr_array_header_t *lines);

/** Whether this is a directive's name, and nothing else. */
int tls_server_knows(const char *name);

/**
 * A certificate of its own, for a key of this kind.
 * @param like  a key or only its public half
 * @return 0 after server->error was set
 */
int tls_server_certificate(tls_server_t *server, EVP_PKEY *like);
/** Those that are assumed if nobody names one: RSA with 2048 bits, and ECDSA on P-256. */
int tls_server_certificates(tls_server_t *server);
/** One of the same kind as the first one of a file (PEM); its private key is not needed. */
int tls_server_certificate_file(tls_server_t *server, const char *file);

/**
 * Which versions an SSLProtocol allows, as mod_ssl reads it.
 * @param line  what stands behind the directive's name
 * @param min   0x0301; out
 * @param max   out
 * @return what is wrong with it; NULL: nothing
 */
const char *tls_server_protocol(apr_pool_t *p, const char *line, int *min, int *max);

#endif /* TLS_SERVER_H */
