/* Statistics as bytes: a head, records, and a sum. All numbers are little-endian; those that are
 * mostly small have seven bits in each byte (usher_tlsstats_load.c reads it). What cannot be, as some
 * process has written anything there, is left out: else all the rest would not be read again. */
#include "usher_tlsstats_snapshot.h"

#include <string.h>

#define BUFFER_SIZE 4096

typedef struct {
    int (*put)(void *baton, const void *bytes, apr_size_t len);
    void *baton;
    apr_uint64_t sum;
    apr_size_t len;
    int stopped;
    unsigned char buffer[BUFFER_SIZE];
} save_writer_t;

static void save_flush(save_writer_t *w)
{
    if (!w->stopped && w->len) {
        w->sum = tlsstats_sum(w->sum, w->buffer, w->len);
        w->stopped = !w->put(w->baton, w->buffer, w->len);
    }
    w->len = 0;
}

static void save_bytes(save_writer_t *w, const void *bytes, apr_size_t len)
{
    const unsigned char *at = bytes;

    while (len) {
        apr_size_t part = len < BUFFER_SIZE - w->len ? len : BUFFER_SIZE - w->len;

        memcpy(w->buffer + w->len, at, part);
        w->len += part;
        at += part;
        len -= part;
        if (w->len == BUFFER_SIZE) {
            save_flush(w);
        }
    }
}

static void save_fixed(save_writer_t *w, apr_uint64_t value, int size)
{
    unsigned char bytes[8];
    int i;

    for (i = 0; i < size; ++i) {
        bytes[i] = (unsigned char)(value >> 8 * i);
    }
    save_bytes(w, bytes, (apr_size_t)size);
}

static void save_number(save_writer_t *w, apr_uint64_t value)
{
    unsigned char bytes[10];
    apr_size_t len = 0;

    do {
        bytes[len++] = (unsigned char)((value & 127) | (value > 127 ? 128 : 0));
        value >>= 7;
    } while (value);
    save_bytes(w, bytes, len);
}

/* Where it is mostly zeros, those bytes that are not, each with its distance to the one before. */
static void save_sketch(save_writer_t *w, const usher_hll_pair_t *pairs, unsigned int bits)
{
    unsigned char copy[USHER_HLL_SIZE(USHER_TLSSTATS_CROWD_BITS)] = { 0 };
    apr_size_t size = USHER_HLL_SIZE(bits), used = 0, i, before = 0;

    usher_hll_merge(copy, pairs, bits);
    for (i = 0; i < size; ++i) {
        used += copy[i] != 0;
    }
    if (used > size / 3) {
        save_number(w, SNAPSHOT_DENSE);
        save_bytes(w, copy, size);
        return;
    }
    save_number(w, used);
    for (i = 0; i < size; ++i) {
        if (copy[i]) {
            save_number(w, i - before);
            save_fixed(w, copy[i], 1);
            before = i;
        }
    }
}

static void save_vhosts(save_writer_t *w, const usher_tlsstats_t *stats)
{
    char name[USHER_TLSSTATS_VHOST_SIZE];
    apr_uint32_t i;

    for (i = 1; i < USHER_TLSSTATS_VHOSTS; ++i) {
        usher_tlsstats_vhost_name(stats, i, name);
        if (*name) {
            save_fixed(w, SNAPSHOT_VHOST, 1);
            save_number(w, i);
            save_number(w, strlen(name));
            save_bytes(w, name, strlen(name));
        }
    }
}

/* Hours or days. The words of one may be of different times, when none was counted in the newer
 * one: then that one counts. */
static void save_slots(save_writer_t *w, usher_tlsstats_slot_t (*slots)[2], int len)
{
    apr_uint64_t numbers[USHER_TLSSTATS_HOURS], counts[USHER_TLSSTATS_HOURS][2];
    int i, k, used = 0;

    for (i = 0; i < len; ++i) {
        apr_uint64_t one = tlsstats_get(&slots[i][0]), other = tlsstats_get(&slots[i][1]);
        apr_uint64_t number = SLOT_NUMBER(one) > SLOT_NUMBER(other) ? SLOT_NUMBER(one)
                                                                    : SLOT_NUMBER(other);

        numbers[used] = number;
        counts[used][0] = SLOT_NUMBER(one) == number ? SLOT_COUNT(one) : 0;
        counts[used][1] = SLOT_NUMBER(other) == number ? SLOT_COUNT(other) : 0;
        used += counts[used][0] || counts[used][1];
    }
    save_number(w, (apr_uint64_t)used);
    for (i = 0; i < used; ++i) {
        save_number(w, numbers[i]);
        for (k = 0; k < 2; ++k) {
            save_number(w, counts[i][k]);
        }
    }
}

static void save_series(save_writer_t *w, const usher_tlsstats_t *stats)
{
    apr_uint32_t i;

    for (i = 0; i < stats->series_len; ++i) {
        usher_tlsstats_series_t *series = &stats->series[i];
        apr_uint64_t key = tlsstats_get(&series->key);
        usher_tlsstats_row_t row = { 0 };

        tlsstats_series_row(key, &row);
        if (key == tlsstats_series_key(&row)) {
            save_fixed(w, SNAPSHOT_SERIES, 1);
            save_fixed(w, key, 8);
            save_number(w, tlsstats_get(&series->connections));
            save_number(w, tlsstats_get(&series->requests));
            save_slots(w, series->hours, USHER_TLSSTATS_HOURS);
            save_slots(w, series->days, USHER_TLSSTATS_DAYS);
        }
    }
}

static void save_crowd(save_writer_t *w, const usher_tlsstats_t *stats, apr_uint32_t i, apr_uint64_t key)
{
    apr_uint32_t k;

    save_fixed(w, SNAPSHOT_CROWD, 1);
    save_fixed(w, key, 8);
    save_sketch(w, tlsstats_crowd_pairs(stats, i, 0), USHER_TLSSTATS_CROWD_BITS);
    for (k = 0; k < USHER_TLSSTATS_DAYS; ++k) {
        apr_uint64_t day = tlsstats_get(&stats->crowds[i].days[k]);

        if (day && day <= CROWD_DAY_MAX) {
            save_number(w, day);
            save_sketch(w, tlsstats_crowd_pairs(stats, i, 1 + k), USHER_TLSSTATS_CROWD_BITS);
        }
    }
    save_number(w, 0);
}

/* Those of ciphers come last: where they are read there may be less room. */
static void save_crowds(save_writer_t *w, const usher_tlsstats_t *stats)
{
    apr_uint32_t i;
    int of_cipher;

    for (of_cipher = 0; of_cipher < 2; ++of_cipher) {
        for (i = 0; i < stats->crowds_len; ++i) {
            apr_uint64_t key = tlsstats_get(&stats->crowds[i].key);

            if (key && ((key & 0xffff) != 0) == of_cipher) {
                save_crowd(w, stats, i, key);
            }
        }
    }
}

static void save_clients(save_writer_t *w, const usher_tlsstats_t *stats)
{
    usher_tlsstats_client_t client;
    apr_uint32_t i, k;

    for (i = 0; i < USHER_TLSSTATS_LISTS; ++i) {
        const usher_tlsstats_list_t *list = &stats->header->lists[i];

        for (k = 0; k < USHER_TLSSTATS_CLIENTS; ++k) {
            apr_uint64_t key = tlsstats_get(&list->keys[k]);

            if (!tlsstats_client_read(list, k, &client) || client.first_seen < 0
                || client.last_seen < 0) {
                continue;
            }
            save_fixed(w, SNAPSHOT_CLIENT, 1);
            save_fixed(w, tlsstats_crowd_key(client.version, client.cipher), 8);
            save_fixed(w, key, 8);
            save_bytes(w, client.address, sizeof(client.address));
            save_number(w, (apr_uint64_t)client.is_prefix);
            save_number(w, (apr_uint64_t)client.first_seen);
            save_number(w, (apr_uint64_t)client.last_seen);
            save_number(w, client.count);
            save_number(w, client.over);
            save_number(w, client.failed);
            save_fixed(w, client.offer, 8);
            save_number(w, strlen(client.agent));
            save_bytes(w, client.agent, strlen(client.agent));
        }
    }
}

static void save_numbers(save_writer_t *w, const apr_uint16_t *numbers, apr_uint16_t len)
{
    apr_uint16_t i;

    save_number(w, len);
    for (i = 0; i < len; ++i) {
        save_fixed(w, numbers[i], 2);
    }
}

static void save_offer_days(save_writer_t *w, const usher_tlsstats_t *stats,
                            const usher_tlsstats_offer_t *offer)
{
    const usher_tlsstats_offer_rec_t *rec = &stats->offers[offer->place];
    apr_uint32_t i;

    for (i = 0; i < USHER_TLSSTATS_DAYS; ++i) {
        apr_uint64_t day = tlsstats_get(&rec->days[i][0]) >> 48;
        apr_uint64_t owner = OFFER_DAY(offer->id, day);
        apr_uint64_t count = tlsstats_owned_get(&rec->days[i][0], owner, OFFER_DAY_BITS);

        if (!count || day % USHER_TLSSTATS_DAYS != i) {
            continue;
        }
        save_number(w, day + 1);
        save_number(w, count);
        save_number(w, tlsstats_owned_get(&rec->days[i][1], owner, OFFER_DAY_BITS));
        if (tlsstats_get(&rec->sketched[i]) == OFFER_SKETCH(offer->id, day)) {
            save_sketch(w, tlsstats_offer_pairs(stats, offer->place, i), USHER_TLSSTATS_OFFER_BITS);
        }
        else {
            save_number(w, 0);
        }
    }
    save_number(w, 0);
}

static void save_offers(save_writer_t *w, const usher_tlsstats_t *stats)
{
    usher_tlsstats_offer_t offer;
    apr_uint32_t i;

    for (i = 0; i < stats->offers_len; ++i) {
        if (tlsstats_offer_read(stats, i, &offer) && offer.first_seen >= 0 && offer.last_seen >= 0) {
            save_fixed(w, SNAPSHOT_OFFER, 1);
            save_fixed(w, offer.id, 8);
            save_number(w, (apr_uint64_t)offer.first_seen);
            save_number(w, (apr_uint64_t)offer.last_seen);
            save_number(w, offer.connections);
            save_number(w, (apr_uint64_t)offer.is_cut);
            save_fixed(w, offer.legacy_version, 2);
            save_numbers(w, offer.versions, offer.versions_len);
            save_numbers(w, offer.ciphers, offer.ciphers_len);
            save_numbers(w, offer.groups, offer.groups_len);
            save_numbers(w, offer.sigalgs, offer.sigalgs_len);
            save_offer_days(w, stats, &offer);
        }
    }
}

static void save_lost(save_writer_t *w, const usher_tlsstats_t *stats)
{
    apr_uint32_t i;

    save_fixed(w, SNAPSHOT_LOST, 1);
    save_number(w, tlsstats_get(&stats->header->lost_total));
    for (i = 0; i < USHER_TLSSTATS_DAYS; ++i) {
        apr_uint64_t word = tlsstats_get(&stats->header->lost[i]);

        if (SLOT_COUNT(word) && SLOT_NUMBER(word) % USHER_TLSSTATS_DAYS == i) {
            save_number(w, SLOT_NUMBER(word) + 1);
            save_number(w, SLOT_COUNT(word));
        }
    }
    save_number(w, 0);
}

int usher_tlsstats_save(const usher_tlsstats_t *stats, apr_int64_t now,
                        int (*put)(void *baton, const void *bytes, apr_size_t len), void *baton)
{
    save_writer_t w = { put, baton, SNAPSHOT_SUM_BEGIN, 0, 0, { 0 } };

    save_bytes(&w, SNAPSHOT_MAGIC, SNAPSHOT_MAGIC_LEN);
    save_fixed(&w, stats->size, 8);
    save_fixed(&w, (apr_uint64_t)now, 8);
    save_bytes(&w, stats->header->secret, USHER_TLSSTATS_SECRET_SIZE);
    save_fixed(&w, tlsstats_get(&stats->header->begun), 8);
    save_vhosts(&w, stats);
    save_series(&w, stats);
    save_crowds(&w, stats);
    save_clients(&w, stats);
    save_offers(&w, stats);
    save_lost(&w, stats);
    save_fixed(&w, SNAPSHOT_END, 1);
    save_flush(&w);
    save_fixed(&w, w.sum, 8);
    save_flush(&w);
    return !w.stopped;
}
