/**
 * @file  tls_snapshot.h
 * @brief The statistics of mod_usher_tls, from the file that httpd saves them in.
 */
#ifndef TLS_SNAPSHOT_H
#define TLS_SNAPSHOT_H

#include <apr_pools.h>

#include "usher_tlsstats.h"

typedef struct {
    const char *name;
    usher_tlsstats_t stats;
    apr_int64_t begun, saved; /**< seconds since 1970 */
    apr_uint64_t dropped;     /**< records for which there was no room */
} tls_snapshot_t;

/** @return CTL_DONE, or CTL_FAILED after it said why */
int tls_snapshot_read(apr_pool_t *p, tls_snapshot_t *snapshot, const char *name);

/** What of the time: the last days or hours before it was saved. @param len  0: all days */
usher_tlsstats_span_t tls_snapshot_span(const tls_snapshot_t *snapshot, usher_tlsstats_unit_e unit,
                                        apr_uint32_t len);

/** "last 7 days", "last hour" */
const char *tls_span_text(apr_pool_t *p, const usher_tlsstats_span_t *span);

/** OpenSSL's name of a cipher, or its number: "0x1301"; "-" for 0. */
const char *tls_cipher_text(apr_pool_t *p, apr_uint16_t cipher);
/** "TLSv1.2", "0x0305"; "-" for 0. */
const char *tls_version_text(apr_pool_t *p, apr_uint16_t version);
/** "x25519"; "-" for 0. */
const char *tls_group_text(apr_pool_t *p, apr_uint16_t group);
/** "192.0.2.1", "192.0.2.0/24" */
const char *tls_address_text(apr_pool_t *p, const usher_tlsstats_client_t *client);
/** The old version or the weak cipher for which a client is listed. */
const char *tls_listed_for_text(apr_pool_t *p, const usher_tlsstats_client_t *client);

/** One standard deviation of the numbers of clients, in percent. */
#define TLS_CROWD_ERROR 0.8
#define TLS_OFFER_ERROR 1.6

#endif /* TLS_SNAPSHOT_H */
