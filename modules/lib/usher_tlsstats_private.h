/* What the files of usher_tlsstats share: words in shared memory, and their parts. */
#ifndef USHER_TLSSTATS_PRIVATE_H
#define USHER_TLSSTATS_PRIVATE_H

#include "usher_tlsstats.h"

#define HOUR 3600
#define DAY  86400

/* Combinations without a place of their own: by version, then by outcome. */
#define SERIES_VERSIONS 8
#define SERIES_OTHERS   (SERIES_VERSIONS + USHER_TLSSTATS_OUTCOMES)

#define CROWD_SKETCHES (USHER_TLSSTATS_DAYS + 1) /* the first one: since the beginning */
#define CROWD_DAY_MAX  (0xffffff + 1) /* days count from 1 there */
#define OFFER_BUCKET   8

#define SLOT_BITS      40
#define SLOT_MAX       (((apr_uint64_t)1 << SLOT_BITS) - 1)
#define SLOT_NUMBER(w) ((w) >> SLOT_BITS)
#define SLOT_COUNT(w)  ((w) & SLOT_MAX)

static inline apr_uint64_t tlsstats_get(const usher_tlsstats_word_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static inline void tlsstats_set(usher_tlsstats_word_t *word, apr_uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static inline void tlsstats_up(usher_tlsstats_word_t *word, apr_uint64_t n)
{
    atomic_fetch_add_explicit(word, n, memory_order_relaxed);
}

/* An hour's or a day's number, from seconds. */
static inline apr_uint64_t tlsstats_number(apr_int64_t now, apr_int64_t unit)
{
    return now > 0 ? (apr_uint64_t)(now / unit) & 0xffffff : 0;
}

/* Add to a slot; who comes first in a later hour or day takes it over. A word that says of itself
 * whose it is, in its upper bits. */
static inline void tlsstats_owned_add(usher_tlsstats_word_t *word, apr_uint64_t owner, int bits,
                                      apr_uint64_t n)
{
    const apr_uint64_t max = ((apr_uint64_t)1 << bits) - 1;
    apr_uint64_t old = tlsstats_get(word);

    n = n < max ? n : max;
    while (old >> bits != owner) {
        if (atomic_compare_exchange_weak(word, &old, owner << bits | n)) {
            return;
        }
    }
    if ((old & max) <= max - n) {
        tlsstats_up(word, n);
    }
}

static inline apr_uint64_t tlsstats_owned_get(const usher_tlsstats_word_t *word, apr_uint64_t owner,
                                              int bits)
{
    apr_uint64_t value = tlsstats_get(word);

    return value >> bits == owner ? value & (((apr_uint64_t)1 << bits) - 1) : 0;
}

/* Of an offer: the day, and a tag, so that nothing of an earlier offer in this place counts. */
#define OFFER_TAG(key)        ((key) >> 48)
#define OFFER_DAY(key, day)   (((day) & 0xffff) << 16 | OFFER_TAG(key))
#define OFFER_DAY_BITS        32
#define OFFER_TOTAL_BITS      48
/* Whose a sketch is: the day from 1, and more of the key. */
#define OFFER_SKETCH(key, day) (((day) + 1) << 32 | ((key) & 0xffffffff))

static inline apr_uint64_t tlsstats_mix(apr_uint64_t sum, apr_uint64_t value)
{
    sum = (sum ^ sum >> 29) * 0xbf58476d1ce4e5b9 ^ value;
    return (sum ^ sum >> 32) * 0x94d049bb133111eb;
}

/* No secret: against what is torn, not against who means it. Never 0. */
static inline apr_uint64_t tlsstats_check(apr_uint64_t key, const apr_uint64_t *words, apr_size_t n)
{
    apr_uint64_t sum = tlsstats_mix(0x9e3779b97f4a7c15, key);
    apr_size_t i;

    for (i = 0; i < n; ++i) {
        sum = tlsstats_mix(sum, words[i]);
    }
    return sum | 1;
}

/* Copies words. @return whether their check fits */
static inline int tlsstats_read(apr_uint64_t *to, const usher_tlsstats_word_t *from, apr_size_t n,
                                apr_uint64_t key, const usher_tlsstats_word_t *check)
{
    apr_size_t i;

    for (i = 0; i < n; ++i) {
        to[i] = tlsstats_get(&from[i]);
    }
    return tlsstats_get(check) == tlsstats_check(key, to, n);
}

static inline void tlsstats_write(usher_tlsstats_word_t *to, const apr_uint64_t *from, apr_size_t n,
                                  apr_uint64_t key, usher_tlsstats_word_t *check)
{
    apr_size_t i;

    for (i = 0; i < n; ++i) {
        tlsstats_set(&to[i], from[i]);
    }
    tlsstats_set(check, tlsstats_check(key, from, n));
}

/* A combination in one word; never 0. */
static inline apr_uint64_t tlsstats_series_key(const usher_tlsstats_row_t *row)
{
    return (apr_uint64_t)1 << 63 | (apr_uint64_t)(row->vhost % USHER_TLSSTATS_VHOSTS) << 53
           | (apr_uint64_t)(row->outcome % USHER_TLSSTATS_OUTCOMES) << 48
           | (apr_uint64_t)row->version << 32 | (apr_uint64_t)row->cipher << 16 | row->group;
}

static inline void tlsstats_series_row(apr_uint64_t key, usher_tlsstats_row_t *row)
{
    row->vhost = key >> 53 & (USHER_TLSSTATS_VHOSTS - 1);
    row->outcome = key >> 48 & (USHER_TLSSTATS_OUTCOMES - 1);
    row->version = (apr_uint16_t)(key >> 32);
    row->cipher = (apr_uint16_t)(key >> 16);
    row->group = (apr_uint16_t)key;
}

static inline apr_uint64_t tlsstats_crowd_key(apr_uint16_t version, apr_uint16_t cipher)
{
    return (apr_uint64_t)1 << 63 | (apr_uint64_t)version << 16 | cipher;
}

static inline usher_hll_pair_t *tlsstats_crowd_pairs(const usher_tlsstats_t *stats,
                                                     apr_uint32_t crowd, apr_uint32_t sketch)
{
    return stats->crowd_pairs + ((apr_size_t)crowd * CROWD_SKETCHES + sketch)
                                    * USHER_HLL_SIZE(USHER_TLSSTATS_CROWD_BITS);
}

static inline usher_hll_pair_t *tlsstats_offer_pairs(const usher_tlsstats_t *stats,
                                                     apr_uint32_t offer, apr_uint32_t day)
{
    return stats->offer_pairs + ((apr_size_t)offer * USHER_TLSSTATS_DAYS + day)
                                    * USHER_HLL_SIZE(USHER_TLSSTATS_OFFER_BITS);
}

/* usher_tlsstats.c */

#define TLSSTATS_NONE APR_UINT32_MAX

/* Where a key is among records that begin with it; entered if there is room near by. */
apr_uint32_t tlsstats_place(void *records, apr_size_t size, apr_uint32_t len, apr_uint64_t key,
                            int enter);
/* Where a combination is counted; always somewhere. */
apr_uint32_t tlsstats_series(const usher_tlsstats_t *stats, const usher_tlsstats_row_t *row);

/* usher_tlsstats_clients.c */

void tlsstats_crowds_add(const usher_tlsstats_t *stats, const usher_tlsstats_handshake_t *handshake,
                         apr_uint64_t day);
/* @param offer  what the client offered; 0: not known */
void tlsstats_lists_add(const usher_tlsstats_t *stats, const usher_tlsstats_handshake_t *handshake,
                        apr_uint16_t version, apr_uint64_t offer);
/* The name of a client, keyed. @param keep  what of it */
apr_uint64_t tlsstats_client_hash(const usher_tlsstats_t *stats, const unsigned char *address,
                                  usher_tlsstats_keep_e keep);
/* A list's client in plain words. @return 0: there is none, or not a whole one */
int tlsstats_client_read(const usher_tlsstats_list_t *list, apr_uint32_t i,
                         usher_tlsstats_client_t *client);

/* usher_tlsstats_offers.c */

/* @return the offer's key; 0: it could not be entered */
apr_uint64_t tlsstats_offers_add(const usher_tlsstats_t *stats,
                                 const usher_tlsstats_handshake_t *handshake, apr_uint64_t day);
int tlsstats_offer_read(const usher_tlsstats_t *stats, apr_uint32_t place,
                        usher_tlsstats_offer_t *offer);
/* The words that an offer is kept as. */
void tlsstats_offer_pack(const usher_tlsstats_offer_t *offer, apr_uint64_t *words);

/* A family of sketches: makes a day's ready for what is to be added. */
void tlsstats_sketch_begin(usher_tlsstats_word_t *whose, apr_uint64_t owner, usher_hll_pair_t *pairs,
                           unsigned int bits);

#endif /* USHER_TLSSTATS_PRIVATE_H */
