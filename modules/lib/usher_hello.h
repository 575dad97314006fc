/**
 * @file  usher_hello.h
 * @brief What a TLS client offers: its ClientHello (RFC 8446, 4.1.2), as lists of numbers.
 */
#ifndef USHER_HELLO_H
#define USHER_HELLO_H

#include <apr.h>

#include "usher_parse.h"

#define USHER_HELLO_CIPHERS_MAX    128
#define USHER_HELLO_EXTENSIONS_MAX 64
#define USHER_HELLO_GROUPS_MAX     32
#define USHER_HELLO_SIGALGS_MAX    48
#define USHER_HELLO_VERSIONS_MAX   8
#define USHER_HELLO_ALPN_MAX       8

/** Bytes of the message that something points to; not NUL-terminated. */
typedef struct usher_hello_bytes_t {
    const unsigned char *at;
    apr_size_t len;
} usher_hello_bytes_t;

/**
 * GREASE values (RFC 8701) are left out of all lists; "all" below counts without them.
 * What does not fit a list is counted but not kept.
 */
typedef struct usher_hello_t {
    apr_uint16_t legacy_version;    /**< of the message */
    apr_uint16_t ciphers_all, extensions_all, groups_all, sigalgs_all, versions_all, alpn_all;
    apr_uint16_t ciphers[USHER_HELLO_CIPHERS_MAX];       /**< in the client's order; so all lists */
    apr_uint16_t extensions[USHER_HELLO_EXTENSIONS_MAX];
    apr_uint16_t groups[USHER_HELLO_GROUPS_MAX];
    apr_uint16_t sigalgs[USHER_HELLO_SIGALGS_MAX];
    apr_uint16_t versions[USHER_HELLO_VERSIONS_MAX];     /**< of supported_versions; none: see legacy_version */
    usher_hello_bytes_t alpn[USHER_HELLO_ALPN_MAX];      /**< point into the message */
    usher_hello_bytes_t sni;                             /**< the first host_name; into the message */
    unsigned int has_sni : 1;
    unsigned int has_early_data : 1;
    unsigned int has_psk : 1;
    unsigned int has_ticket : 1;    /**< a session ticket that is not empty */
    unsigned int greased : 1;       /**< there were GREASE values */
} usher_hello_t;

/**
 * Read a ClientHello, from its legacy_version on: without the handshake's header of four bytes.
 * @param message  whole
 * @return USHER_PARSE_DONE, or USHER_PARSE_BAD
 */
usher_parse_e usher_hello_read(usher_hello_t *hello, const unsigned char *message, apr_size_t len);

/** The greatest version that is offered, 0x0303; 0x0300 is SSL 3.0. */
apr_uint16_t usher_hello_version_max(const usher_hello_t *hello);

#endif /* USHER_HELLO_H */
