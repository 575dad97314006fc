/**
 * @file  usher_tls.h
 * @brief What mod_usher_tls knows of a TLS connection, for the access log; and whether it knows anything.
 */
#ifndef USHER_TLS_H
#define USHER_TLS_H

#include <apr_optional.h>
#include <httpd.h>

#include "usher_hello.h"
#include "usher_tls_names.h"

/**
 * One handshake. In the connection's pool; texts are never NULL, "" for what is not known, and were
 * written by the client where it says so: they are to be escaped.
 */
typedef struct usher_tls_facts_t {
    usher_tls_outcome_e outcome;
    server_rec *server;            /**< the virtual host whose settings it was made with */
    const usher_hello_t *hello;    /**< what the client offered; NULL: none was understood */
    const char *sni;               /**< the client's; lower-cased */
    apr_uint16_t version;          /**< chosen, 0x0304; 0: none */
    apr_uint16_t cipher;           /**< chosen, IANA's number; 0: none */
    const char *version_name;      /**< "TLSv1.3" */
    const char *cipher_name;       /**< OpenSSL's: "TLS_AES_256_GCM_SHA384" */
    const char *group;             /**< of the key exchange: "x25519" */
    const char *sigalg;            /**< of our signature: "rsa_pss_rsae_sha256" */
    const char *alpn;              /**< chosen: "h2" */
    unsigned int resumed : 1;
    unsigned int early_data : 1;   /**< the client offered some */
    unsigned int client_cert : 1;  /**< it sent one */
    unsigned int retried : 1;      /**< by a HelloRetryRequest */
    unsigned char alert;           /**< its number, with alert_from not 0 */
    char alert_from;               /**< 'c': the client, 's': us; 0: none */
    apr_interval_time_t took;      /**< microseconds from accept to the end of the handshake */
    apr_off_t connection;          /**< c->id */
} usher_tls_facts_t;

/**
 * What is known of a connection's TLS.
 * @param c  of an HTTP/2 stream: its connection's are told
 * @return NULL: it has none, or mod_usher_tls is off there
 */
APR_DECLARE_OPTIONAL_FN(const usher_tls_facts_t *, usher_tls_facts, (conn_rec *c));

/**
 * The client's fingerprint. Made when it is asked for first, as few need it.
 * @param c  as above
 * @param p  for the text
 * @return "" where no hello was understood
 */
APR_DECLARE_OPTIONAL_FN(const char *, usher_tls_ja4, (conn_rec *c, apr_pool_t *p));

/**
 * Whether handshakes of a server are looked at: mod_ssl is there, and UsherTLS is on. From check_config on.
 */
APR_DECLARE_OPTIONAL_FN(int, usher_tls_is_on, (const server_rec *s));

#endif /* USHER_TLS_H */
