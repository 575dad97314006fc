/**
 * @file  usher_tls_names.h
 * @brief How handshakes end, and the names of the numbers in them.
 *
 * Names are those of the RFCs and of IANA's registries, as all implementations know them;
 * NULL: the number has none here.
 */
#ifndef USHER_TLS_NAMES_H
#define USHER_TLS_NAMES_H

#include <apr.h>

/** How a handshake ended. */
typedef enum {
    USHER_TLS_UNDER_WAY,
    USHER_TLS_DONE,
    USHER_TLS_NO_SHARED_CIPHER,
    USHER_TLS_UNSUPPORTED_VERSION, /**< none of the client's versions is allowed here */
    USHER_TLS_NO_SHARED_GROUP,
    USHER_TLS_NO_SHARED_SIGALG,
    USHER_TLS_NO_SHARED_ALPN,
    USHER_TLS_BAD_SNI,             /**< refused by its name */
    USHER_TLS_CERT_MISSING,        /**< the client's, which is required */
    USHER_TLS_CERT_REFUSED,        /**< the client's, by us */
    USHER_TLS_CERT_UNKNOWN_CA,     /**< ours, by the client: it does not know who signed it */
    USHER_TLS_CERT_EXPIRED,        /**< ours, by the client */
    USHER_TLS_CERT_UNFIT,          /**< ours, by the client, for another reason */
    USHER_TLS_CLIENT_ALERT,        /**< another alert of the client */
    USHER_TLS_SERVER_ALERT,        /**< another alert of ours */
    USHER_TLS_PLAIN_HTTP,          /**< HTTP without TLS came */
    USHER_TLS_GARBAGE,             /**< what came is no TLS */
    USHER_TLS_MALFORMED,           /**< TLS that breaks its rules */
    USHER_TLS_CLIENT_GONE,         /**< it closed or reset the connection */
    USHER_TLS_NOTHING,             /**< the same, before it had sent a byte */
    USHER_TLS_TIMEOUT,
    USHER_TLS_STOPPED,             /**< httpd ended the connection */
    USHER_TLS_OUTCOMES
} usher_tls_outcome_e;

/** A text for logs and counters: "no-shared-cipher". Never changes. @return never NULL */
const char *usher_tls_outcome_name(usher_tls_outcome_e outcome);

/** OpenSSL's: "TLSv1.3"; mod_ssl's SSLProtocol takes these too. */
const char *usher_tls_version_name(apr_uint16_t version);

/** RFC 8446, 6: "handshake_failure". */
const char *usher_tls_alert_name(unsigned int alert);

/** IANA, TLS Supported Groups: "x25519". */
const char *usher_tls_group_name(apr_uint16_t group);

/** IANA, TLS SignatureScheme: "rsa_pss_rsae_sha256". */
const char *usher_tls_sigalg_name(apr_uint16_t sigalg);

#endif /* USHER_TLS_NAMES_H */
