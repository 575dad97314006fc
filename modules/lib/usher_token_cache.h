/**
 * @file  usher_token_cache.h
 * @brief Tokens that were opened lately: a browser sends the same one with each request,
 *        and to compare it costs a twentieth of opening it.
 *
 * Of one process, for any number of threads, without a lock. What it holds is no more
 * secret than the tokens themselves.
 */
#ifndef USHER_TOKEN_CACHE_H
#define USHER_TOKEN_CACHE_H

#include "usher_token.h"

typedef struct usher_token_cache_t usher_token_cache_t;

/** An empty cache, in a pool. */
usher_token_cache_t *usher_token_cache_make(apr_pool_t *p);

/**
 * As usher_token_open().
 * @param cache  is asked with one aad only, always the same; with other keys, what it
 *               knows of earlier ones does not count. Keys that it was asked with are
 *               not freed before it is
 */
usher_token_e usher_token_cache_open(usher_token_cache_t *cache, usher_token_t *token,
                                     const usher_keys_t *keys, const void *aad,
                                     apr_size_t aad_len, const char *text, apr_size_t len);

#endif /* USHER_TOKEN_CACHE_H */
