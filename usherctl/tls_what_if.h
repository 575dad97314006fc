/**
 * @file  tls_what_if.h
 * @brief Whom other settings of TLS would cut off: what is found, and how it is told.
 */
#ifndef TLS_WHAT_IF_H
#define TLS_WHAT_IF_H

#include "tls_server.h"
#include "tls_snapshot.h"
#include "tls_try.h"

/** An offer that would be refused. */
typedef struct {
    usher_tlsstats_offer_t offer;
    usher_tlsstats_offered_t counts;
    apr_uint64_t clients;
    tls_try_t tried;
} what_if_offer_t;

/** An entry of a list whose offer it is. */
typedef struct {
    usher_tlsstats_client_t client;
    const what_if_offer_t *offer;
} what_if_client_t;

typedef struct {
    const tls_snapshot_t *snapshot;
    usher_tlsstats_span_t span;
    apr_array_header_t *directives; /**< const char * */
    apr_array_header_t *assumed;    /**< const char *: what they do not say */
    usher_tlsstats_offered_t all, fail; /**< connections with an offer; those that would fail */
    apr_uint64_t clients_all, clients_fail;
    apr_uint64_t lost;      /**< connections whose offer is not known */
    apr_uint64_t cut;       /**< those whose offer was too long to be kept whole */
    apr_uint64_t unknown;   /**< named clients whose offer is not known */
    apr_array_header_t *offers;  /**< what_if_offer_t *, the most connections first */
    apr_array_header_t *clients; /**< what_if_client_t, likewise */
} what_if_t;

/** Try all offers of some time. */
what_if_t *what_if_make(apr_pool_t *p, const tls_snapshot_t *snapshot,
                        const usher_tlsstats_span_t *span, SSL_CTX *ctx);

/** @param top  so many offers and clients; 0: all */
void what_if_print(apr_pool_t *p, const what_if_t *found, int top);
void what_if_json(apr_pool_t *p, const what_if_t *found);

#endif /* TLS_WHAT_IF_H */
