#include "usher_table.h"

#include <string.h>

/* A bucket's first line has a word for each of its places: a tag (16 bits of the key's
 * hash), what there is (2 bits), and when (46 bits, ms: 2,000 years): it expires, or its
 * writing began. So a search looks at two lines, and at an entry only where the tag is
 * right; and an entry lives longer by one compare-and-set.
 *
 * Writing: the word is set to WRITING by compare-and-set, then the entry is written, then
 * the word is set to USED by compare-and-set. Who was killed in between loses his claim a
 * second later. One who was only stopped for so long writes into what may be another's
 * entry by then: hence the check in each entry, of its key and value. With it readers
 * need not look at the word a second time either. */
enum { EMPTY, USED, WRITING };

#define AT_BITS 46
#define AT_MASK (((apr_uint64_t)1 << AT_BITS) - 1)
#define WORD(tag, what, at) \
    ((apr_uint64_t)(tag) << 48 | (apr_uint64_t)(what) << AT_BITS | ((apr_uint64_t)(at) & AT_MASK))
#define WHAT(word) ((int)((word) >> AT_BITS & 3))
#define AT(word) ((apr_int64_t)((word) & AT_MASK))
/* Tag and what, without when */
#define KIND(word) ((word) >> AT_BITS)

/* For so long a claim is believed, ms. */
#define WRITING_MAX 1000
/* Threads that read the clock and then waited see times that are ahead of theirs. */
#define AHEAD_MAX 10000

#define VALUE_WORDS (USHER_TABLE_VALUE_MAX / 8)
#define PLACES (2 * USHER_TABLE_PLACES)
/* Others may take the place that one has chosen: so often another one is looked for. */
#define TRIES 8

typedef _Atomic apr_uint64_t table_word_t;

typedef struct {
    table_word_t key[2];
    table_word_t check;
    table_word_t value[];
} table_entry_t;

/* The buckets where a key's entry may be. */
typedef struct {
    char *bucket[2];
} table_pair_t;

static inline char *table_bucket(const usher_table_t *table, apr_uint32_t i)
{
    return table->buckets + (apr_size_t)i * table->bucket_size;
}

static inline table_word_t *table_word(const table_pair_t *pair, int place)
{
    return (table_word_t *)pair->bucket[place / USHER_TABLE_PLACES] + place % USHER_TABLE_PLACES;
}

static inline table_entry_t *table_entry(const usher_table_t *table, const table_pair_t *pair,
                                         int place)
{
    return (table_entry_t *)(pair->bucket[place / USHER_TABLE_PLACES] + 64
                             + (apr_size_t)(place % USHER_TABLE_PLACES)
                                   * (sizeof(table_entry_t) + table->value_size));
}

static inline table_pair_t table_pair(const usher_table_t *table, const usher_table_key_t *key)
{
    apr_uint32_t a = (apr_uint32_t)((key->word[0] & 0xffffffff) * table->count >> 32);
    apr_uint32_t b = (apr_uint32_t)((key->word[0] >> 32) * table->count >> 32);
    table_pair_t pair;

    if (a == b) {
        b = b + 1 < table->count ? b + 1 : 0;
    }
    pair.bucket[0] = table_bucket(table, a);
    pair.bucket[1] = table_bucket(table, b);
    return pair;
}

static inline apr_uint64_t table_tag(const usher_table_key_t *key)
{
    return key->word[1] >> 48;
}

/* An entry, as far as its word tells. */
static inline int table_is_used(const usher_table_t *table, apr_uint64_t word, apr_int64_t now)
{
    return WHAT(word) == USED && AT(word) > now && AT(word) - now <= table->life_max + AHEAD_MAX;
}

/* Somebody is at it. */
static int table_is_written(apr_uint64_t word, apr_int64_t now)
{
    return WHAT(word) == WRITING && AT(word) > now - WRITING_MAX && AT(word) <= now + AHEAD_MAX;
}

/* No secret: against what is torn, not against who means it. Never 0 for zeros. */
static apr_uint64_t table_check(const usher_table_t *table, const apr_uint64_t *key,
                                const apr_uint64_t *value)
{
    apr_uint64_t sum = 0x9e3779b97f4a7c15 ^ key[0];
    apr_size_t i;

    sum = (sum ^ sum >> 29) * 0xbf58476d1ce4e5b9 ^ key[1];
    for (i = 0; i < table->value_size / 8; ++i) {
        sum = (sum ^ sum >> 29) * 0xbf58476d1ce4e5b9 ^ value[i];
    }
    return (sum ^ sum >> 32) * 0x94d049bb133111eb;
}

/* Copies what stands in a place. @return whether it is whole */
static int table_read(const usher_table_t *table, const table_entry_t *entry, apr_uint64_t *key,
                      apr_uint64_t *value)
{
    apr_size_t i;

    key[0] = atomic_load_explicit(&entry->key[0], memory_order_relaxed);
    key[1] = atomic_load_explicit(&entry->key[1], memory_order_relaxed);
    for (i = 0; i < table->value_size / 8; ++i) {
        value[i] = atomic_load_explicit(&entry->value[i], memory_order_relaxed);
    }
    return atomic_load_explicit(&entry->check, memory_order_relaxed)
           == table_check(table, key, value);
}

static void table_write(const usher_table_t *table, table_entry_t *entry,
                        const usher_table_key_t *key, const apr_uint64_t *value)
{
    apr_size_t i;

    atomic_store_explicit(&entry->key[0], key->word[0], memory_order_relaxed);
    atomic_store_explicit(&entry->key[1], key->word[1], memory_order_relaxed);
    for (i = 0; i < table->value_size / 8; ++i) {
        atomic_store_explicit(&entry->value[i], value[i], memory_order_relaxed);
    }
    atomic_store_explicit(&entry->check, table_check(table, key->word, value),
                          memory_order_relaxed);
}

/* The next place of a kind, from this one on; PLACES: none. All that most searches do. */
static inline int table_next(const table_pair_t *pair, int place, apr_uint64_t kind)
{
    int i = place % USHER_TABLE_PLACES, bucket = place / USHER_TABLE_PLACES;

    for (; bucket < 2; ++bucket, i = 0) {
        const table_word_t *words = (const table_word_t *)pair->bucket[bucket];

        for (; i < USHER_TABLE_PLACES; ++i) {
            if (KIND(atomic_load_explicit(&words[i], memory_order_acquire)) == kind) {
                return bucket * USHER_TABLE_PLACES + i;
            }
        }
    }
    return PLACES;
}

/* The first place from this one on that has the key's entry; its word and value, too.
 * @return PLACES: none */
static int table_find(const usher_table_t *table, const table_pair_t *pair, int place,
                      const usher_table_key_t *key, apr_int64_t now, apr_uint64_t *word,
                      apr_uint64_t *value)
{
    apr_uint64_t kind = KIND(WORD(table_tag(key), USED, 0));
    apr_uint64_t found[2];

    for (place = table_next(pair, place, kind); place < PLACES;
         place = table_next(pair, place + 1, kind)) {
        *word = atomic_load_explicit(table_word(pair, place), memory_order_acquire);
        if (KIND(*word) == kind && table_is_used(table, *word, now)
            && table_read(table, table_entry(table, pair, place), found, value)
            && found[0] == key->word[0] && found[1] == key->word[1]) {
            return place;
        }
    }
    return PLACES;
}

/* Who else changes the word at the same time has done the same, or something newer. */
static void table_extend(const usher_table_t *table, table_word_t *at, apr_uint64_t word,
                         apr_int64_t now, apr_int64_t life)
{
    life = life < table->life_max ? life : table->life_max;
    if (AT(word) - now < life - life / 8) {
        atomic_compare_exchange_strong(at, &word, WORD(word >> 48, USED, now + life));
    }
}

void usher_table_open(usher_table_t *table, void *base, apr_uint64_t size,
                      apr_uint32_t value_size, apr_int64_t life_max)
{
    apr_uint64_t count;

    table->header = base;
    table->buckets = (char *)base + USHER_TABLE_HEADER_SIZE;
    table->bucket_size = (apr_uint32_t)USHER_TABLE_BUCKET_SIZE(value_size);
    table->value_size = value_size;
    table->life_max = life_max;
    table->worth = NULL;
    count = (size - USHER_TABLE_HEADER_SIZE) / table->bucket_size;
    table->count = count < APR_UINT32_MAX ? (apr_uint32_t)count : APR_UINT32_MAX;
}

void usher_table_init(usher_table_t *table, const unsigned char *secret)
{
    memcpy(table->header->secret, secret, USHER_TABLE_SECRET_SIZE);
}

usher_table_space_t usher_table_space(const usher_table_t *table, const void *name,
                                      apr_size_t len)
{
    usher_siphash_t hash = usher_siphash(table->header->secret, name, len);
    usher_table_space_t space;

    memcpy(space.key, hash.word, sizeof(space.key));
    return space;
}

int usher_table_get(const usher_table_t *table, const usher_table_key_t *key, apr_int64_t now,
                    apr_int64_t life, void *value)
{
    table_pair_t pair = table_pair(table, key);
    apr_uint64_t word, found[VALUE_WORDS];
    int place;

    __builtin_prefetch(pair.bucket[1]); /* both lines at once, not one after the other */
    place = table_find(table, &pair, 0, key, now, &word, found);
    if (place == PLACES) {
        return 0;
    }
    if (life) {
        table_extend(table, table_word(&pair, place), word, now, life);
    }
    memcpy(value, found, table->value_size);
    return 1;
}

void usher_table_prefetch(const usher_table_t *table, const usher_table_key_t *key)
{
    table_pair_t pair = table_pair(table, key);

    __builtin_prefetch(pair.bucket[0]);
    __builtin_prefetch(pair.bucket[1]);
}

int usher_table_remove(const usher_table_t *table, const usher_table_key_t *key, apr_int64_t now)
{
    table_pair_t pair = table_pair(table, key);
    apr_uint64_t word, value[VALUE_WORDS];
    int place, removed = 0;

    for (place = 0; place < PLACES; ++place) {
        place = table_find(table, &pair, place, key, now, &word, value);
        if (place < PLACES) {
            removed |= atomic_compare_exchange_strong(table_word(&pair, place), &word, 0);
        }
    }
    return removed;
}

/* Two may have entered one key at the same time: the first place counts. Who comes last
 * sees both. */
static void table_remove_seconds(const usher_table_t *table, const table_pair_t *pair,
                                 const usher_table_key_t *key, apr_int64_t now)
{
    apr_uint64_t word, value[VALUE_WORDS];
    int place = table_find(table, pair, 0, key, now, &word, value);

    while (place < PLACES) {
        place = table_find(table, pair, place + 1, key, now, &word, value);
        if (place < PLACES) {
            atomic_compare_exchange_strong(table_word(pair, place), &word, 0);
        }
    }
}

/* A place for a new entry. */
typedef struct {
    int place; /* -1: none */
    apr_uint64_t word; /* as it was found there */
    int evicts; /* without a place: all have entries, and none would go */
} table_room_t;

/* The entry that is worth least, if that is no more than the new one. One that cannot be read, as it is garbage
 * or somebody writes there just now, is worth nothing. */
static table_room_t table_room_of_least(const usher_table_t *table, const table_pair_t *pair, apr_int64_t now,
                                        const apr_uint64_t *given)
{
    table_room_t least = { -1, 0, 1 };
    apr_int64_t least_worth = table->worth(given, now);
    apr_uint64_t key[2], value[VALUE_WORDS];
    int place;

    for (place = 0; place < PLACES; ++place) {
        apr_uint64_t word = atomic_load_explicit(table_word(pair, place), memory_order_acquire);
        apr_int64_t worth = APR_INT64_MIN;

        if (!table_is_used(table, word, now)) {
            continue;
        }
        if (table_read(table, table_entry(table, pair, place), key, value)) {
            worth = table->worth(value, now);
        }
        if (worth < least_worth || (worth == least_worth && least.place < 0)) {
            least = (table_room_t){ place, word, 1 };
            least_worth = worth;
        }
    }
    return least;
}

/* Free ones in the bucket that has more of them, or that of the entry that expires
 * first. None, if somebody is just writing what may be this very key. */
static table_room_t table_room(const usher_table_t *table, const table_pair_t *pair,
                               const usher_table_key_t *key, apr_int64_t now, const apr_uint64_t *given)
{
    table_room_t room[2] = { { -1, 0, 0 }, { -1, 0, 0 } }, oldest = { -1, 0, 0 };
    int free[2] = { 0, 0 };
    int place;

    for (place = 0; place < PLACES; ++place) {
        int bucket = place / USHER_TABLE_PLACES;
        apr_uint64_t word = atomic_load_explicit(table_word(pair, place), memory_order_acquire);

        if (table_is_written(word, now)) {
            if (word >> 48 == table_tag(key)) {
                return (table_room_t){ -1, 0, 0 };
            }
        }
        else if (!table_is_used(table, word, now)) {
            room[bucket] = (table_room_t){ place, word, 0 };
            ++free[bucket];
        }
        else if (oldest.place < 0 || AT(word) < AT(oldest.word)) {
            oldest = (table_room_t){ place, word, 1 };
        }
    }
    if (free[0] || free[1]) {
        return room[free[1] > free[0]];
    }
    return table->worth && oldest.evicts ? table_room_of_least(table, pair, now, given) : oldest;
}

/* Claims a place, fills it, and lets it be found. @return 0: somebody else was faster */
static int table_fill(const usher_table_t *table, const table_pair_t *pair,
                      const table_room_t *room, const usher_table_key_t *key, apr_int64_t now,
                      apr_int64_t life, const apr_uint64_t *value)
{
    table_word_t *at = table_word(pair, room->place);
    apr_uint64_t word = room->word, claim = WORD(table_tag(key), WRITING, now);

    if (!atomic_compare_exchange_strong(at, &word, claim)) {
        return 0;
    }
    table_write(table, table_entry(table, pair, room->place), key, value);
    life = life < table->life_max ? life : table->life_max;
    if (!atomic_compare_exchange_strong(at, &claim, WORD(table_tag(key), USED, now + life))) {
        return 0;
    }
    if (room->evicts) {
        atomic_fetch_add_explicit(&table->header->evicted, 1, memory_order_relaxed);
    }
    return 1;
}

usher_table_put_e usher_table_put(const usher_table_t *table, const usher_table_key_t *key,
                                  apr_int64_t now, apr_int64_t life, const void *value)
{
    table_pair_t pair = table_pair(table, key);
    apr_uint64_t given[VALUE_WORDS], found[VALUE_WORDS];
    int try;

    memcpy(given, value, table->value_size);
    for (try = 0; try < TRIES; ++try) {
        table_room_t room = { 0 };
        int is_new;

        room.place = table_find(table, &pair, 0, key, now, &room.word, found);
        is_new = room.place == PLACES;
        if (!is_new && !memcmp(found, given, table->value_size)) {
            table_extend(table, table_word(&pair, room.place), room.word, now, life);
            return USHER_TABLE_SAME;
        }
        if (is_new) {
            room = table_room(table, &pair, key, now, given);
        }
        if (room.place < 0) {
            return room.evicts ? USHER_TABLE_FULL : USHER_TABLE_BUSY;
        }
        if (table_fill(table, &pair, &room, key, now, life, given)) {
            table_remove_seconds(table, &pair, key, now);
            return !is_new ? USHER_TABLE_CHANGED
                   : room.evicts ? USHER_TABLE_EVICTED : USHER_TABLE_NEW;
        }
    }
    return USHER_TABLE_BUSY;
}

usher_table_stats_t usher_table_stats(const usher_table_t *table, apr_int64_t now)
{
    usher_table_stats_t stats = { (apr_uint64_t)table->count * USHER_TABLE_PLACES, 0,
                                  atomic_load(&table->header->evicted) };
    apr_uint32_t i;
    int place;

    for (i = 0; i < table->count; ++i) {
        table_pair_t pair = { { table_bucket(table, i), NULL } };

        for (place = 0; place < USHER_TABLE_PLACES; ++place) {
            stats.used += (apr_uint64_t)table_is_used(
                table, atomic_load_explicit(table_word(&pair, place), memory_order_relaxed), now);
        }
    }
    return stats;
}

void usher_table_each(const usher_table_t *table, apr_int64_t now,
                      int (*see)(void *baton, const void *value), void *baton)
{
    apr_uint64_t key[2], value[VALUE_WORDS];
    apr_uint32_t i;
    int place;

    for (i = 0; i < table->count; ++i) {
        table_pair_t pair = { { table_bucket(table, i), NULL } };

        for (place = 0; place < USHER_TABLE_PLACES; ++place) {
            apr_uint64_t word = atomic_load_explicit(table_word(&pair, place),
                                                     memory_order_acquire);

            if (table_is_used(table, word, now)
                && table_read(table, table_entry(table, &pair, place), key, value)
                && !see(baton, value)) {
                return;
            }
        }
    }
}

void usher_table_carry(usher_table_t *to, const usher_table_t *from, apr_int64_t now,
                       apr_uint64_t *kept, apr_uint64_t *dropped)
{
    apr_uint64_t value[VALUE_WORDS], full = 0;
    usher_table_key_t key;
    apr_uint32_t i;
    int place;

    usher_table_init(to, from->header->secret);
    *kept = *dropped = 0;
    for (i = 0; i < from->count; ++i) {
        table_pair_t pair = { { table_bucket(from, i), NULL } };

        for (place = 0; place < USHER_TABLE_PLACES; ++place) {
            apr_uint64_t word = atomic_load_explicit(table_word(&pair, place),
                                                     memory_order_acquire);

            if (table_is_used(from, word, now)
                && table_read(from, table_entry(from, &pair, place), key.word, value)) {
                usher_table_put_e put = usher_table_put(to, &key, now, AT(word) - now, value);

                *kept += put == USHER_TABLE_NEW || put == USHER_TABLE_EVICTED;
                full += put == USHER_TABLE_FULL;
            }
        }
    }
    *dropped = atomic_load(&to->header->evicted);
    *kept -= *dropped;
    *dropped += full;
}
