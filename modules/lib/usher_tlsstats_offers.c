/* What clients offer. An offer's key is a keyed hash of its lists whatever their order, so one who
 * shuffles his ciphers has one offer, and nobody can make two offers look like one.
 *
 * An offer may lie in one of eight places. When they are taken, the one goes that has not been
 * seen for a month, or else that fewest connections had: whose offers are all different
 * puts out one of his own each time. Counts of a day have a part of the key beside them: what
 * an earlier offer left in the place is not counted, and needs no clearing. */
#include "usher_tlsstats_private.h"

#include <stdlib.h>
#include <string.h>

#define TRIES 4

/* No ciphers but signals: TLS_EMPTY_RENEGOTIATION_INFO_SCSV and TLS_FALLBACK_SCSV */
#define SCSV_RENEGOTIATION 0x00ff
#define SCSV_FALLBACK      0x5600

static int offers_is_cipher(apr_uint16_t number)
{
    return number != SCSV_RENEGOTIATION && number != SCSV_FALLBACK;
}

/* The sum of what each number is hashed to. */
typedef struct {
    apr_uint64_t secret[2], sum;
} offers_hash_t;

static void offers_hash(offers_hash_t *hash, apr_uint64_t list, apr_uint16_t number)
{
    apr_uint64_t x = ((list << 16 | number) ^ hash->secret[0]) * 0x9e3779b97f4a7c15;

    x = (x ^ x >> 32) * (hash->secret[1] | 1);
    hash->sum += (x ^ x >> 29) * 0xbf58476d1ce4e5b9;
}

static void offers_hash_list(offers_hash_t *hash, apr_uint64_t list, const apr_uint16_t *numbers,
                             apr_uint16_t all, apr_size_t max)
{
    apr_size_t i;

    for (i = 0; i < all && i < max; ++i) {
        if (list != 1 || offers_is_cipher(numbers[i])) {
            offers_hash(hash, list, numbers[i]);
        }
    }
}

/* Never 0. */
static apr_uint64_t offers_key(const usher_tlsstats_t *stats, const usher_hello_t *hello)
{
    offers_hash_t hash = { { 0, 0 }, 0 };

    memcpy(hash.secret, stats->header->secret, sizeof(hash.secret));
    offers_hash_list(&hash, 0, hello->versions, hello->versions_all, USHER_HELLO_VERSIONS_MAX);
    offers_hash_list(&hash, 1, hello->ciphers, hello->ciphers_all, USHER_HELLO_CIPHERS_MAX);
    offers_hash_list(&hash, 2, hello->groups, hello->groups_all, USHER_HELLO_GROUPS_MAX);
    offers_hash_list(&hash, 3, hello->sigalgs, hello->sigalgs_all, USHER_HELLO_SIGALGS_MAX);
    if (!hello->versions_all) {
        offers_hash(&hash, 4, hello->legacy_version);
    }
    return tlsstats_mix(hash.secret[1], hash.sum) | 1;
}

static int offers_compare(const void *a, const void *b)
{
    return (int)*(const apr_uint16_t *)a - (int)*(const apr_uint16_t *)b;
}

static apr_uint16_t offers_list(apr_uint16_t *to, const apr_uint16_t *from, apr_uint16_t all,
                                apr_size_t max, int *is_cut)
{
    apr_uint16_t len = 0;
    apr_size_t i;

    for (i = 0; i < all && i < max; ++i) {
        to[len] = from[i];
        ++len;
    }
    qsort(to, len, sizeof(*to), offers_compare);
    *is_cut |= all > max;
    return len;
}

static void offers_make(usher_tlsstats_offer_t *offer, const usher_hello_t *hello, apr_int64_t now)
{
    apr_uint16_t i, len = 0;

    memset(offer, 0, sizeof(*offer));
    offer->first_seen = now;
    offer->legacy_version = hello->versions_all ? 0 : hello->legacy_version;
    offer->versions_len = offers_list(offer->versions, hello->versions, hello->versions_all,
                                      USHER_HELLO_VERSIONS_MAX, &offer->is_cut);
    offer->ciphers_len = offers_list(offer->ciphers, hello->ciphers, hello->ciphers_all,
                                     USHER_HELLO_CIPHERS_MAX, &offer->is_cut);
    offer->groups_len = offers_list(offer->groups, hello->groups, hello->groups_all,
                                    USHER_HELLO_GROUPS_MAX, &offer->is_cut);
    offer->sigalgs_len = offers_list(offer->sigalgs, hello->sigalgs, hello->sigalgs_all,
                                     USHER_HELLO_SIGALGS_MAX, &offer->is_cut);
    for (i = 0; i < offer->ciphers_len; ++i) {
        if (offers_is_cipher(offer->ciphers[i])) {
            offer->ciphers[len++] = offer->ciphers[i];
        }
    }
    memset(offer->ciphers + len, 0, (apr_size_t)(offer->ciphers_len - len) * sizeof(*offer->ciphers));
    offer->ciphers_len = len;
}

void tlsstats_offer_pack(const usher_tlsstats_offer_t *offer, apr_uint64_t *words)
{
    char *at = (char *)(words + 2);

    words[0] = (apr_uint64_t)offer->first_seen;
    words[1] = (apr_uint64_t)offer->versions_len | (apr_uint64_t)offer->ciphers_len << 8
               | (apr_uint64_t)offer->groups_len << 16 | (apr_uint64_t)offer->sigalgs_len << 24
               | (apr_uint64_t)offer->legacy_version << 32 | (apr_uint64_t)!!offer->is_cut << 48;
    memcpy(at, offer->versions, sizeof(offer->versions));
    at += sizeof(offer->versions);
    memcpy(at, offer->ciphers, sizeof(offer->ciphers));
    at += sizeof(offer->ciphers);
    memcpy(at, offer->groups, sizeof(offer->groups));
    at += sizeof(offer->groups);
    memcpy(at, offer->sigalgs, sizeof(offer->sigalgs));
}

/* @return 0: the lengths cannot be */
static int offers_unpack(usher_tlsstats_offer_t *offer, const apr_uint64_t *words)
{
    const char *at = (const char *)(words + 2);

    offer->first_seen = (apr_int64_t)words[0];
    offer->versions_len = words[1] & 0xff;
    offer->ciphers_len = words[1] >> 8 & 0xff;
    offer->groups_len = words[1] >> 16 & 0xff;
    offer->sigalgs_len = words[1] >> 24 & 0xff;
    offer->legacy_version = (apr_uint16_t)(words[1] >> 32);
    offer->is_cut = (int)(words[1] >> 48 & 1);
    memcpy(offer->versions, at, sizeof(offer->versions));
    at += sizeof(offer->versions);
    memcpy(offer->ciphers, at, sizeof(offer->ciphers));
    at += sizeof(offer->ciphers);
    memcpy(offer->groups, at, sizeof(offer->groups));
    at += sizeof(offer->groups);
    memcpy(offer->sigalgs, at, sizeof(offer->sigalgs));
    return offer->versions_len <= USHER_HELLO_VERSIONS_MAX
           && offer->ciphers_len <= USHER_HELLO_CIPHERS_MAX
           && offer->groups_len <= USHER_HELLO_GROUPS_MAX
           && offer->sigalgs_len <= USHER_HELLO_SIGALGS_MAX;
}

int tlsstats_offer_read(const usher_tlsstats_t *stats, apr_uint32_t place,
                        usher_tlsstats_offer_t *offer)
{
    const usher_tlsstats_offer_rec_t *rec = &stats->offers[place];
    apr_uint64_t key = tlsstats_get(&rec->key), words[USHER_TLSSTATS_OFFER_WORDS];

    if (!key || !tlsstats_read(words, rec->fixed, USHER_TLSSTATS_OFFER_WORDS, key, &rec->check)
        || !offers_unpack(offer, words)) {
        return 0;
    }
    offer->id = key;
    offer->place = place;
    offer->last_seen = (apr_int64_t)tlsstats_get(&rec->last_seen);
    offer->connections = tlsstats_owned_get(&rec->total, OFFER_TAG(key), OFFER_TOTAL_BITS);
    return 1;
}

/* How much an offer is worth keeping. */
static apr_uint64_t offers_worth(const usher_tlsstats_offer_rec_t *rec, apr_uint64_t key,
                                 apr_int64_t now)
{
    apr_int64_t seen = (apr_int64_t)tlsstats_get(&rec->last_seen);

    return seen < now - (apr_int64_t)USHER_TLSSTATS_DAYS * DAY
               ? 0 : tlsstats_owned_get(&rec->total, OFFER_TAG(key), OFFER_TOTAL_BITS);
}

/* The connections of an offer that goes are lost to the table. */
static void offers_lose(const usher_tlsstats_t *stats, const usher_tlsstats_offer_rec_t *rec,
                        apr_uint64_t key)
{
    apr_uint32_t i;

    tlsstats_up(&stats->header->lost_total,
                tlsstats_owned_get(&rec->total, OFFER_TAG(key), OFFER_TOTAL_BITS));
    for (i = 0; i < USHER_TLSSTATS_DAYS; ++i) {
        apr_uint64_t word = tlsstats_get(&rec->days[i][0]);
        apr_uint64_t owner = word >> OFFER_DAY_BITS, count = word & 0xffffffff;

        /* Not over a newer day's, should that have begun. */
        if (count && owner == OFFER_DAY(key, owner >> 16)
            && SLOT_NUMBER(tlsstats_get(&stats->header->lost[i])) <= owner >> 16) {
            tlsstats_owned_add(&stats->header->lost[i], owner >> 16, SLOT_BITS, count);
        }
    }
}

/* What an earlier offer with the same tag has counted in this place: there is one in 65,536. */
static void offers_clear(usher_tlsstats_word_t *word, apr_uint64_t key, int shift)
{
    apr_uint64_t old = tlsstats_get(word);

    if (old && (old >> shift & 0xffff) == OFFER_TAG(key)) {
        atomic_compare_exchange_strong(word, &old, 0);
    }
}

static void offers_begin(usher_tlsstats_offer_rec_t *rec, apr_uint64_t key)
{
    int i;

    offers_clear(&rec->total, key, OFFER_TOTAL_BITS);
    for (i = 0; i < USHER_TLSSTATS_DAYS; ++i) {
        offers_clear(&rec->days[i][0], key, OFFER_DAY_BITS);
        offers_clear(&rec->days[i][1], key, OFFER_DAY_BITS);
    }
}

/* The offer's place, or the one that it may have. */
static apr_uint32_t offers_choose(const usher_tlsstats_t *stats, apr_uint64_t key, apr_int64_t now)
{
    apr_uint32_t buckets = stats->offers_len / OFFER_BUCKET, i, at, best;
    apr_uint64_t least = APR_UINT64_MAX;

    best = at = (apr_uint32_t)((key >> 16 & 0xffffffff) * buckets >> 32) * OFFER_BUCKET;
    for (i = 0; i < OFFER_BUCKET; ++i, ++at) {
        apr_uint64_t found = tlsstats_get(&stats->offers[at].key), worth;

        if (found == key) {
            return at;
        }
        worth = found ? offers_worth(&stats->offers[at], found, now) + 1 : 0;
        if (worth < least) {
            least = worth;
            best = at;
        }
    }
    return best;
}

static apr_uint32_t offers_enter(const usher_tlsstats_t *stats, apr_uint64_t key, apr_int64_t now)
{
    int tries;

    for (tries = 0; tries < TRIES; ++tries) {
        apr_uint32_t at = offers_choose(stats, key, now);
        usher_tlsstats_offer_rec_t *rec = &stats->offers[at];
        apr_uint64_t old = tlsstats_get(&rec->key);

        if (old == key) {
            return at;
        }
        if (atomic_compare_exchange_strong(&rec->key, &old, key)) {
            if (old) {
                offers_lose(stats, rec, old);
                offers_begin(rec, key);
            }
            return at;
        }
    }
    return TLSSTATS_NONE;
}

static void offers_count(const usher_tlsstats_t *stats, apr_uint32_t at, apr_uint64_t key,
                         const usher_tlsstats_handshake_t *handshake, apr_uint64_t day)
{
    usher_tlsstats_offer_rec_t *rec = &stats->offers[at];
    apr_uint32_t slot = (apr_uint32_t)(day % USHER_TLSSTATS_DAYS);
    apr_uint64_t owner = OFFER_DAY(key, day), sketch = OFFER_SKETCH(key, day);
    usher_hll_pair_t *pairs = tlsstats_offer_pairs(stats, at, slot);

    tlsstats_owned_add(&rec->total, OFFER_TAG(key), OFFER_TOTAL_BITS, 1);
    tlsstats_owned_add(&rec->days[slot][0], owner, OFFER_DAY_BITS, 1);
    if (handshake->outcome != USHER_TLSSTATS_DONE) {
        tlsstats_owned_add(&rec->days[slot][1], owner, OFFER_DAY_BITS, 1);
    }
    tlsstats_set(&rec->last_seen, handshake->now > 0 ? (apr_uint64_t)handshake->now : 0);
    if (handshake->address) {
        if (tlsstats_get(&rec->sketched[slot]) != sketch) {
            tlsstats_sketch_begin(&rec->sketched[slot], sketch, pairs, USHER_TLSSTATS_OFFER_BITS);
        }
        usher_hll_add(pairs, USHER_TLSSTATS_OFFER_BITS,
                      tlsstats_client_hash(stats, handshake->address, USHER_TLSSTATS_FULL));
    }
}

apr_uint64_t tlsstats_offers_add(const usher_tlsstats_t *stats,
                                 const usher_tlsstats_handshake_t *handshake, apr_uint64_t day)
{
    apr_uint64_t key = offers_key(stats, handshake->hello), words[USHER_TLSSTATS_OFFER_WORDS];
    apr_uint32_t at = offers_enter(stats, key, handshake->now);
    usher_tlsstats_offer_rec_t *rec;

    if (at == TLSSTATS_NONE) {
        tlsstats_up(&stats->header->lost_total, 1);
        tlsstats_owned_add(&stats->header->lost[day % USHER_TLSSTATS_DAYS], day, SLOT_BITS, 1);
        return 0;
    }
    rec = &stats->offers[at];
    if (!tlsstats_read(words, rec->fixed, USHER_TLSSTATS_OFFER_WORDS, key, &rec->check)) {
        usher_tlsstats_offer_t offer;

        offers_make(&offer, handshake->hello, handshake->now > 0 ? handshake->now : 0);
        tlsstats_offer_pack(&offer, words);
        tlsstats_write(rec->fixed, words, USHER_TLSSTATS_OFFER_WORDS, key, &rec->check);
    }
    offers_count(stats, at, key, handshake, day);
    return key;
}
