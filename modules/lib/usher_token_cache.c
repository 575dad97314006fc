#include "usher_token_cache.h"

#include <stdatomic.h>
#include <string.h>

#define CELL_BITS 12
#define CELLS (1 << CELL_BITS)
#define WORD sizeof(apr_uint64_t)
#define WORDS(type) ((sizeof(type) + WORD - 1) / WORD)

/* What is compared, then what is known. Without padding that differs. */
typedef struct {
    const usher_keys_t *keys;
    char text[(USHER_TOKEN_SIZE + WORD - 1) / WORD * WORD];
} cache_key_t;

typedef union {
    apr_uint64_t words[WORDS(cache_key_t)];
    cache_key_t key;
} cache_asked_t;

typedef union {
    apr_uint64_t words[WORDS(usher_token_t)];
    usher_token_t token;
} cache_known_t;

/* A writer has it while version is odd; who has read it while version changed has read
 * nothing. Words are atomic, so that reading them meanwhile is harmless. */
typedef struct {
    _Atomic apr_uint64_t version;
    _Atomic apr_uint64_t asked[WORDS(cache_key_t)];
    _Atomic apr_uint64_t known[WORDS(usher_token_t)];
} cache_cell_t;

struct usher_token_cache_t {
    cache_cell_t cells[CELLS];
};

usher_token_cache_t *usher_token_cache_make(apr_pool_t *p)
{
    return apr_pcalloc(p, sizeof(usher_token_cache_t));
}

/* A token may be in one of two cells that lie side by side. By the nonce's characters, which
 * are random in what can be there. */
static cache_cell_t *cache_cells(usher_token_cache_t *cache, const char *text)
{
    apr_uint64_t some;

    memcpy(&some, text + 16, sizeof(some));
    return &cache->cells[some * 0x9e3779b97f4a7c15u >> (64 - CELL_BITS) & ~(apr_uint64_t)1];
}

/* The one that is to be written: that was written less often. */
static cache_cell_t *cache_older(cache_cell_t *cells)
{
    return atomic_load_explicit(&cells[0].version, memory_order_relaxed)
                   <= atomic_load_explicit(&cells[1].version, memory_order_relaxed)
               ? &cells[0] : &cells[1];
}

/* In a time that does not tell how much of it is the same. */
static int cache_read(const cache_cell_t *cell, cache_known_t *known, const cache_asked_t *asked)
{
    apr_uint64_t version = atomic_load_explicit(&cell->version, memory_order_acquire);
    apr_uint64_t differs = version & 1;
    apr_size_t i;

    for (i = 0; i < WORDS(cache_key_t); ++i) {
        differs |= atomic_load_explicit(&cell->asked[i], memory_order_relaxed) ^ asked->words[i];
    }
    if (differs) {
        return 0;
    }
    for (i = 0; i < WORDS(usher_token_t); ++i) {
        known->words[i] = atomic_load_explicit(&cell->known[i], memory_order_relaxed);
    }
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&cell->version, memory_order_relaxed) == version;
}

/* Where another thread is writing, nothing is kept. */
static void cache_write(cache_cell_t *cell, const cache_known_t *known,
                        const cache_asked_t *asked)
{
    apr_uint64_t version = atomic_load_explicit(&cell->version, memory_order_relaxed);
    apr_size_t i;

    if (version & 1
        || !atomic_compare_exchange_strong_explicit(&cell->version, &version, version + 1,
                                                    memory_order_acquire,
                                                    memory_order_relaxed)) {
        return;
    }
    atomic_thread_fence(memory_order_release);
    for (i = 0; i < WORDS(cache_key_t); ++i) {
        atomic_store_explicit(&cell->asked[i], asked->words[i], memory_order_relaxed);
    }
    for (i = 0; i < WORDS(usher_token_t); ++i) {
        atomic_store_explicit(&cell->known[i], known->words[i], memory_order_relaxed);
    }
    atomic_store_explicit(&cell->version, version + 2, memory_order_release);
}

usher_token_e usher_token_cache_open(usher_token_cache_t *cache, usher_token_t *token,
                                     const usher_keys_t *keys, const void *aad,
                                     apr_size_t aad_len, const char *text, apr_size_t len)
{
    cache_asked_t asked = { { 0 } };
    cache_known_t known = { { 0 } };
    usher_token_e result;
    cache_cell_t *cells;

    if (len != USHER_TOKEN_SIZE) {
        return USHER_TOKEN_MALFORMED;
    }
    asked.key.keys = keys;
    memcpy(asked.key.text, text, USHER_TOKEN_SIZE);
    cells = cache_cells(cache, text);
    if (!cache_read(&cells[0], &known, &asked) && !cache_read(&cells[1], &known, &asked)) {
        result = usher_token_open(&known.token, keys, aad, aad_len, text, len);
        if (result != USHER_TOKEN_OK) {
            return result;
        }
        cache_write(cache_older(cells), &known, &asked);
    }
    *token = known.token;
    return USHER_TOKEN_OK;
}
