/* Bytes as statistics (usher_tlsstats_save.c writes them). Whatever they are, what is read
 * stays within the tables; a record that makes no sense makes all of it damaged. */
#include "usher_tlsstats_snapshot.h"

#include <string.h>

typedef struct {
    const unsigned char *at, *end;
    int bad; /* once it is, all that is read is 0 */
    apr_uint64_t dropped;
} load_reader_t;

static const unsigned char *load_bytes(load_reader_t *r, apr_size_t len)
{
    const unsigned char *at = r->at;

    if (r->bad || (apr_size_t)(r->end - r->at) < len) {
        r->bad = 1;
        return NULL;
    }
    r->at += len;
    return at;
}

static apr_uint64_t load_fixed(load_reader_t *r, apr_size_t size)
{
    const unsigned char *bytes = load_bytes(r, size);
    apr_uint64_t value = 0;

    while (bytes && size) {
        value = value << 8 | bytes[--size];
    }
    return value;
}

/* @param max  more is bad */
static apr_uint64_t load_number(load_reader_t *r, apr_uint64_t max)
{
    apr_uint64_t value = 0, byte;
    unsigned int shift;

    for (shift = 0; shift < 64; shift += 7) {
        byte = load_fixed(r, 1);
        value |= (byte & 127) << shift;
        if (byte < 128) {
            break;
        }
    }
    if (shift >= 64 || value > max) {
        r->bad = 1;
    }
    return r->bad ? 0 : value;
}

/* @param pairs  NULL: to be passed over */
static void load_sketch(load_reader_t *r, usher_hll_pair_t *pairs, unsigned int bits)
{
    apr_size_t size = USHER_HLL_SIZE(bits), i;
    apr_uint64_t used = load_number(r, SNAPSHOT_DENSE), at = 0;

    if (used == SNAPSHOT_DENSE) {
        const unsigned char *bytes = load_bytes(r, size);

        for (i = 0; bytes && pairs && i < size; ++i) {
            atomic_store_explicit(&pairs[i], bytes[i], memory_order_relaxed);
        }
        return;
    }
    for (; used && !r->bad; --used) {
        unsigned char pair;

        at += load_number(r, size);
        pair = (unsigned char)load_fixed(r, 1);
        if (at >= size) {
            r->bad = 1;
        }
        else if (pairs) {
            atomic_store_explicit(&pairs[at], pair, memory_order_relaxed);
        }
    }
}

static void load_vhost(load_reader_t *r, usher_tlsstats_t *stats)
{
    apr_uint64_t vhost = load_number(r, USHER_TLSSTATS_VHOSTS - 1);
    apr_uint64_t len = load_number(r, USHER_TLSSTATS_VHOST_SIZE - 1);
    const unsigned char *name = load_bytes(r, (apr_size_t)len);

    if (name && vhost && len && !memchr(name, 0, (apr_size_t)len)
        && !*stats->header->vhosts[vhost]) {
        memcpy(stats->header->vhosts[vhost], name, (apr_size_t)len);
    }
    else {
        r->bad = 1;
    }
}

/* @param slots  NULL: to be passed over */
static void load_slots(load_reader_t *r, usher_tlsstats_slot_t (*slots)[2], apr_uint32_t len)
{
    apr_uint64_t used = load_number(r, len);

    for (; used && !r->bad; --used) {
        apr_uint64_t number = load_number(r, 0xffffff);
        apr_uint64_t connections = load_number(r, SLOT_MAX), requests = load_number(r, SLOT_MAX);

        if (slots) {
            tlsstats_owned_add(&slots[number % len][0], number, SLOT_BITS, connections);
            tlsstats_owned_add(&slots[number % len][1], number, SLOT_BITS, requests);
        }
    }
}

static void load_series(load_reader_t *r, usher_tlsstats_t *stats)
{
    apr_uint64_t key = load_fixed(r, 8);
    apr_uint64_t connections = load_number(r, APR_UINT64_MAX);
    apr_uint64_t requests = load_number(r, APR_UINT64_MAX);
    usher_tlsstats_row_t row = { 0 };
    usher_tlsstats_series_t *series;

    tlsstats_series_row(key, &row);
    if (r->bad || tlsstats_series_key(&row) != key) {
        r->bad = 1;
        return;
    }
    series = &stats->series[tlsstats_series(stats, &row)];
    tlsstats_up(&series->connections, connections);
    tlsstats_up(&series->requests, requests);
    load_slots(r, series->hours, USHER_TLSSTATS_HOURS);
    load_slots(r, series->days, USHER_TLSSTATS_DAYS);
}

static void load_crowd(load_reader_t *r, usher_tlsstats_t *stats)
{
    apr_uint64_t key = load_fixed(r, 8), day;
    apr_uint32_t at = key ? tlsstats_place(stats->crowds, sizeof(*stats->crowds),
                                           stats->crowds_len, key, 1) : TLSSTATS_NONE;
    int has_room = at != TLSSTATS_NONE;

    r->bad |= !key;
    r->dropped += !has_room;
    load_sketch(r, has_room ? tlsstats_crowd_pairs(stats, at, 0) : NULL, USHER_TLSSTATS_CROWD_BITS);
    while ((day = load_number(r, CROWD_DAY_MAX)) != 0) {
        apr_uint32_t slot = (apr_uint32_t)((day - 1) % USHER_TLSSTATS_DAYS);

        load_sketch(r, has_room ? tlsstats_crowd_pairs(stats, at, 1 + slot) : NULL,
                    USHER_TLSSTATS_CROWD_BITS);
        if (has_room) {
            tlsstats_set(&stats->crowds[at].days[slot], day);
        }
    }
}

/* A free place in a list. */
static usher_tlsstats_client_rec_t *load_client_place(usher_tlsstats_t *stats, apr_uint64_t name,
                                                      apr_uint64_t key)
{
    apr_uint32_t at = tlsstats_place(stats->header->lists, sizeof(*stats->header->lists),
                                     USHER_TLSSTATS_LISTS, name, 1), i;
    usher_tlsstats_list_t *list;

    if (at == TLSSTATS_NONE) {
        return NULL;
    }
    list = &stats->header->lists[at];
    for (i = 0; i < USHER_TLSSTATS_CLIENTS; ++i) {
        if (!tlsstats_get(&list->keys[i])) {
            tlsstats_set(&list->keys[i], key);
            return &list->clients[i];
        }
    }
    return NULL;
}

static void load_client(load_reader_t *r, usher_tlsstats_t *stats)
{
    apr_uint64_t name = load_fixed(r, 8), key = load_fixed(r, 8);
    const unsigned char *address = load_bytes(r, 16), *agent;
    apr_uint64_t prefix = load_number(r, 1), first = load_number(r, APR_INT64_MAX);
    apr_uint64_t last = load_number(r, APR_INT64_MAX), count = load_number(r, APR_UINT64_MAX);
    apr_uint64_t over = load_number(r, APR_UINT64_MAX), failed = load_number(r, APR_UINT64_MAX);
    apr_uint64_t offer = load_fixed(r, 8);
    apr_uint64_t len = load_number(r, USHER_TLSSTATS_AGENT_SIZE - 1);
    apr_uint64_t fixed[4] = { 0, 0, first, prefix }, words[USHER_TLSSTATS_AGENT_SIZE / 8] = { 0 };
    usher_tlsstats_client_rec_t *rec;

    agent = load_bytes(r, (apr_size_t)len);
    if (r->bad || !name || !key || !address || !agent) {
        r->bad = 1;
        return;
    }
    rec = load_client_place(stats, name, key);
    if (!rec) {
        ++r->dropped;
        return;
    }
    memcpy(fixed, address, 16);
    tlsstats_write(rec->fixed, fixed, 4, key, &rec->check);
    tlsstats_set(&rec->count, count);
    tlsstats_set(&rec->over, over);
    tlsstats_set(&rec->failed, failed);
    tlsstats_set(&rec->last_seen, last);
    tlsstats_set(&rec->offer, offer);
    if (len) {
        memcpy(words, agent, (apr_size_t)len);
        tlsstats_write(rec->agent, words, USHER_TLSSTATS_AGENT_SIZE / 8, key, &rec->agent_check);
    }
}

static apr_uint16_t load_numbers(load_reader_t *r, apr_uint16_t *numbers, apr_uint64_t max)
{
    apr_uint16_t len = (apr_uint16_t)load_number(r, max), i;

    for (i = 0; i < len; ++i) {
        numbers[i] = (apr_uint16_t)load_fixed(r, 2);
    }
    return len;
}

/* A free place; where there is none, its connections are lost to the table. */
static apr_uint32_t load_offer_place(usher_tlsstats_t *stats, apr_uint64_t key)
{
    apr_uint32_t at = (apr_uint32_t)((key >> 16 & 0xffffffff) * (stats->offers_len / OFFER_BUCKET)
                                     >> 32) * OFFER_BUCKET, i;

    for (i = 0; i < OFFER_BUCKET; ++i) {
        if (!tlsstats_get(&stats->offers[at + i].key)) {
            return at + i;
        }
    }
    return TLSSTATS_NONE;
}

/* @param at  TLSSTATS_NONE: it is lost */
static void load_offer_days(load_reader_t *r, usher_tlsstats_t *stats, apr_uint32_t at,
                            apr_uint64_t key)
{
    apr_uint64_t day;

    while ((day = load_number(r, 0xffff + 1)) != 0) {
        apr_uint64_t count = load_number(r, 0xffffffff), failed = load_number(r, 0xffffffff);
        apr_uint32_t slot = (apr_uint32_t)(--day % USHER_TLSSTATS_DAYS);

        if (at == TLSSTATS_NONE) {
            tlsstats_owned_add(&stats->header->lost[slot], day, SLOT_BITS, count);
            load_sketch(r, NULL, USHER_TLSSTATS_OFFER_BITS);
            continue;
        }
        tlsstats_owned_add(&stats->offers[at].days[slot][0], OFFER_DAY(key, day), OFFER_DAY_BITS, count);
        tlsstats_owned_add(&stats->offers[at].days[slot][1], OFFER_DAY(key, day), OFFER_DAY_BITS, failed);
        tlsstats_set(&stats->offers[at].sketched[slot], OFFER_SKETCH(key, day));
        load_sketch(r, tlsstats_offer_pairs(stats, at, slot), USHER_TLSSTATS_OFFER_BITS);
    }
}

static void load_offer(load_reader_t *r, usher_tlsstats_t *stats)
{
    usher_tlsstats_offer_t offer;
    apr_uint64_t key = load_fixed(r, 8), words[USHER_TLSSTATS_OFFER_WORDS];
    apr_uint32_t at;

    memset(&offer, 0, sizeof(offer));
    offer.first_seen = (apr_int64_t)load_number(r, APR_INT64_MAX);
    offer.last_seen = (apr_int64_t)load_number(r, APR_INT64_MAX);
    offer.connections = load_number(r, ((apr_uint64_t)1 << OFFER_TOTAL_BITS) - 1);
    offer.is_cut = (int)load_number(r, 1);
    offer.legacy_version = (apr_uint16_t)load_fixed(r, 2);
    offer.versions_len = load_numbers(r, offer.versions, USHER_HELLO_VERSIONS_MAX);
    offer.ciphers_len = load_numbers(r, offer.ciphers, USHER_HELLO_CIPHERS_MAX);
    offer.groups_len = load_numbers(r, offer.groups, USHER_HELLO_GROUPS_MAX);
    offer.sigalgs_len = load_numbers(r, offer.sigalgs, USHER_HELLO_SIGALGS_MAX);
    if (r->bad || !key) {
        r->bad = 1;
        return;
    }
    at = load_offer_place(stats, key);
    if (at == TLSSTATS_NONE) {
        ++r->dropped;
        tlsstats_up(&stats->header->lost_total, offer.connections);
    }
    else {
        usher_tlsstats_offer_rec_t *rec = &stats->offers[at];

        tlsstats_offer_pack(&offer, words);
        tlsstats_set(&rec->key, key);
        tlsstats_write(rec->fixed, words, USHER_TLSSTATS_OFFER_WORDS, key, &rec->check);
        tlsstats_set(&rec->last_seen, (apr_uint64_t)offer.last_seen);
        tlsstats_set(&rec->total, OFFER_TAG(key) << OFFER_TOTAL_BITS | offer.connections);
    }
    load_offer_days(r, stats, at, key);
}

static void load_lost(load_reader_t *r, usher_tlsstats_t *stats)
{
    apr_uint64_t day;

    tlsstats_up(&stats->header->lost_total, load_number(r, APR_UINT64_MAX));
    while ((day = load_number(r, 0xffffff + 1)) != 0) {
        tlsstats_owned_add(&stats->header->lost[(day - 1) % USHER_TLSSTATS_DAYS], day - 1, SLOT_BITS,
                           load_number(r, SLOT_MAX));
    }
}

/* @return 0: that was the end */
static int load_record(load_reader_t *r, usher_tlsstats_t *stats)
{
    switch (load_fixed(r, 1)) {
    case SNAPSHOT_VHOST:
        load_vhost(r, stats);
        break;
    case SNAPSHOT_SERIES:
        load_series(r, stats);
        break;
    case SNAPSHOT_CROWD:
        load_crowd(r, stats);
        break;
    case SNAPSHOT_CLIENT:
        load_client(r, stats);
        break;
    case SNAPSHOT_OFFER:
        load_offer(r, stats);
        break;
    case SNAPSHOT_LOST:
        load_lost(r, stats);
        break;
    case SNAPSHOT_END:
        r->bad |= r->at != r->end;
        return 0;
    default:
        r->bad = 1;
    }
    return !r->bad;
}

int usher_tlsstats_peek(const unsigned char *bytes, apr_size_t len, apr_uint64_t *size,
                        apr_int64_t *saved)
{
    load_reader_t r = { bytes, bytes + len, 0, 0 };
    const unsigned char *magic = load_bytes(&r, SNAPSHOT_MAGIC_LEN);

    *size = load_fixed(&r, 8);
    *saved = (apr_int64_t)load_fixed(&r, 8);
    return !r.bad && !memcmp(magic, SNAPSHOT_MAGIC, SNAPSHOT_MAGIC_LEN)
           && *size >= USHER_TLSSTATS_SIZE_MIN && *size <= USHER_TLSSTATS_SIZE_MAX;
}

int usher_tlsstats_is_whole(const unsigned char *bytes, apr_size_t len)
{
    load_reader_t r = { bytes + (len > SNAPSHOT_SUM_LEN ? len - SNAPSHOT_SUM_LEN : 0), bytes + len,
                        0, 0 };
    apr_uint64_t size;
    apr_int64_t saved;

    return len >= SNAPSHOT_HEAD_LEN + SNAPSHOT_SUM_LEN
           && usher_tlsstats_peek(bytes, len, &size, &saved)
           && load_fixed(&r, SNAPSHOT_SUM_LEN)
                  == tlsstats_sum(SNAPSHOT_SUM_BEGIN, bytes, len - SNAPSHOT_SUM_LEN);
}

int usher_tlsstats_load(usher_tlsstats_t *stats, const unsigned char *bytes, apr_size_t len,
                        apr_uint64_t *dropped)
{
    load_reader_t r = { bytes, bytes + len, 0, 0 };
    const unsigned char *secret;

    *dropped = 0;
    if (!usher_tlsstats_is_whole(bytes, len)) {
        return 0;
    }
    r.end -= SNAPSHOT_SUM_LEN;
    r.at += SNAPSHOT_MAGIC_LEN + 8 + 8;
    secret = load_bytes(&r, USHER_TLSSTATS_SECRET_SIZE);
    if (secret) {
        usher_tlsstats_init(stats, secret, (apr_int64_t)load_fixed(&r, 8));
    }
    while (!r.bad && load_record(&r, stats)) {
    }
    *dropped = r.dropped;
    return !r.bad;
}
