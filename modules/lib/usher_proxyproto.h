/**
 * @file  usher_proxyproto.h
 * @brief The PROXY protocol's header (HAProxy's specification of 2020), versions 1 and 2: who is
 *        behind a proxy that passes on connections.
 */
#ifndef USHER_PROXYPROTO_H
#define USHER_PROXYPROTO_H

#include "usher_cidr.h"
#include "usher_parse.h"

/** Longest header of version 1, with its line end. */
#define USHER_PROXYPROTO_V1_MAX 107
/** So many bytes are enough to tell the client, in either version. */
#define USHER_PROXYPROTO_ENOUGH USHER_PROXYPROTO_V1_MAX

typedef struct usher_proxyproto_t {
    int has_client;              /**< 0: the proxy speaks for itself (a health check), or says that it
                                  * does not know */
    usher_cidr_address_t client; /**< with has_client */
    apr_uint16_t port;           /**< the client's */
    apr_size_t len;              /**< of the header, which may go on behind what was looked at */
} usher_proxyproto_t;

/**
 * Read a header, as far as the client's address needs it. Any bytes.
 * @param header  filled in with USHER_PARSE_DONE
 * @return USHER_PARSE_BAD: it is none, or of a family that has no addresses of the internet
 */
usher_parse_e usher_proxyproto_read(usher_proxyproto_t *header, const char *bytes, apr_size_t len);

#endif /* USHER_PROXYPROTO_H */
