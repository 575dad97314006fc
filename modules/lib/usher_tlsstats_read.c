/* What is asked of statistics: sums over combinations and time. */
#include "usher_tlsstats_private.h"

#include <stdlib.h>
#include <string.h>

/* @return -1: all of the time */
static int read_slots(const usher_tlsstats_span_t *span)
{
    return span->unit == USHER_TLSSTATS_ALWAYS ? -1
           : span->unit == USHER_TLSSTATS_BY_HOUR ? USHER_TLSSTATS_HOURS : USHER_TLSSTATS_DAYS;
}

/* The nth number of a span, up to as many as there are slots. @return 0: no more */
static int read_number(const usher_tlsstats_span_t *span, apr_uint32_t n, apr_uint64_t *number)
{
    if (n >= span->len || n >= (apr_uint32_t)read_slots(span)
        || span->first > 0xffffff || span->first < -0xffffff) {
        return 0;
    }
    /* The last ones, should there be more than slots. */
    if (span->len > (apr_uint32_t)read_slots(span)) {
        n += span->len - (apr_uint32_t)read_slots(span);
    }
    /* Before 1970 nothing was counted. */
    *number = span->first + (apr_int64_t)n > 0 ? (apr_uint64_t)(span->first + (apr_int64_t)n)
                                               : 0xffffff + (apr_uint64_t)1;
    return 1;
}

static apr_uint64_t read_count(const usher_tlsstats_series_t *series, int which,
                               const usher_tlsstats_span_t *span)
{
    apr_uint64_t number, sum = 0;
    apr_uint32_t i;

    if (span->unit == USHER_TLSSTATS_ALWAYS) {
        return tlsstats_get(which ? &series->requests : &series->connections);
    }
    for (i = 0; read_number(span, i, &number); ++i) {
        sum += tlsstats_owned_get(span->unit == USHER_TLSSTATS_BY_HOUR
                                      ? &series->hours[number % USHER_TLSSTATS_HOURS][which]
                                      : &series->days[number % USHER_TLSSTATS_DAYS][which],
                                  number, SLOT_BITS);
    }
    return sum;
}

void usher_tlsstats_vhost_name(const usher_tlsstats_t *stats, apr_uint32_t vhost,
                               char name[USHER_TLSSTATS_VHOST_SIZE])
{
    *name = '\0';
    if (vhost > 0 && vhost < USHER_TLSSTATS_VHOSTS) {
        memcpy(name, stats->header->vhosts[vhost], USHER_TLSSTATS_VHOST_SIZE);
        name[USHER_TLSSTATS_VHOST_SIZE - 1] = '\0';
    }
}

static void read_reduce(usher_tlsstats_row_t *row, unsigned int by)
{
    row->vhost = by & USHER_TLSSTATS_VHOST ? row->vhost : 0;
    row->outcome = by & USHER_TLSSTATS_OUTCOME ? row->outcome : 0;
    row->version = by & USHER_TLSSTATS_VERSION ? row->version : 0;
    row->cipher = by & USHER_TLSSTATS_CIPHER ? row->cipher : 0;
    row->group = by & USHER_TLSSTATS_GROUP ? row->group : 0;
}

/* The row of the same fields; the last one is everybody's. */
static usher_tlsstats_row_t *read_row(usher_tlsstats_row_t *rows, apr_uint32_t *len,
                                      apr_uint32_t max, const usher_tlsstats_row_t *row)
{
    apr_uint64_t key = tlsstats_series_key(row);
    apr_uint32_t i;

    for (i = 0; i < *len; ++i) {
        if (tlsstats_series_key(&rows[i]) == key) {
            return &rows[i];
        }
    }
    if (*len == max) {
        usher_tlsstats_row_t *last = &rows[max - 1];

        read_reduce(last, 0);
        return last;
    }
    rows[*len] = *row;
    rows[*len].connections = rows[*len].requests = 0;
    return &rows[(*len)++];
}

static int read_compare(const void *a, const void *b)
{
    const usher_tlsstats_row_t *one = a, *other = b;
    apr_uint64_t key = tlsstats_series_key(one), other_key = tlsstats_series_key(other);

    if (one->connections != other->connections) {
        return one->connections < other->connections ? 1 : -1;
    }
    return key < other_key ? 1 : key > other_key ? -1 : 0;
}

apr_uint32_t usher_tlsstats_rows(const usher_tlsstats_t *stats, unsigned int by, apr_uint32_t vhost,
                                 int failed, const usher_tlsstats_span_t *span,
                                 usher_tlsstats_row_t *rows, apr_uint32_t max)
{
    apr_uint32_t i, len = 0;

    for (i = 0; i < stats->series_len; ++i) {
        const usher_tlsstats_series_t *series = &stats->series[i];
        apr_uint64_t key = tlsstats_get(&series->key);
        usher_tlsstats_row_t row = { 0 }, *sum;

        tlsstats_series_row(key, &row);
        if (!key || (vhost != USHER_TLSSTATS_ALL && row.vhost != vhost)
            || (row.outcome != USHER_TLSSTATS_DONE) != !!failed) {
            continue;
        }
        row.connections = read_count(series, 0, span);
        row.requests = read_count(series, 1, span);
        if (row.connections || row.requests) {
            read_reduce(&row, by);
            sum = read_row(rows, &len, max, &row);
            sum->connections += row.connections;
            sum->requests += row.requests;
        }
    }
    qsort(rows, len, sizeof(*rows), read_compare);
    return len;
}

apr_int64_t usher_tlsstats_clients(const usher_tlsstats_t *stats, apr_uint16_t version,
                                   apr_uint16_t cipher, const usher_tlsstats_span_t *span)
{
    unsigned char pairs[USHER_HLL_SIZE(USHER_TLSSTATS_CROWD_BITS)] = { 0 };
    apr_uint32_t at = tlsstats_place(stats->crowds, sizeof(*stats->crowds), stats->crowds_len,
                                     tlsstats_crowd_key(version, cipher), 0), i;
    apr_uint64_t day;

    if (at == TLSSTATS_NONE) {
        return -1;
    }
    if (span->unit == USHER_TLSSTATS_ALWAYS) {
        usher_hll_merge(pairs, tlsstats_crowd_pairs(stats, at, 0), USHER_TLSSTATS_CROWD_BITS);
    }
    for (i = 0; span->unit == USHER_TLSSTATS_BY_DAY && read_number(span, i, &day); ++i) {
        apr_uint32_t slot = (apr_uint32_t)(day % USHER_TLSSTATS_DAYS);

        if (tlsstats_get(&stats->crowds[at].days[slot]) == day + 1) {
            usher_hll_merge(pairs, tlsstats_crowd_pairs(stats, at, 1 + slot),
                            USHER_TLSSTATS_CROWD_BITS);
        }
    }
    return (apr_int64_t)usher_hll_count(pairs, USHER_TLSSTATS_CROWD_BITS);
}

void usher_tlsstats_each_client(const usher_tlsstats_t *stats,
                                int (*see)(void *baton, const usher_tlsstats_client_t *client),
                                void *baton)
{
    usher_tlsstats_client_t client;
    apr_uint32_t i, k;

    for (i = 0; i < USHER_TLSSTATS_LISTS; ++i) {
        for (k = 0; k < USHER_TLSSTATS_CLIENTS; ++k) {
            if (tlsstats_client_read(&stats->header->lists[i], k, &client)
                && !see(baton, &client)) {
                return;
            }
        }
    }
}

void usher_tlsstats_each_offer(const usher_tlsstats_t *stats,
                               int (*see)(void *baton, const usher_tlsstats_offer_t *offer),
                               void *baton)
{
    usher_tlsstats_offer_t offer;
    apr_uint32_t i;

    for (i = 0; i < stats->offers_len; ++i) {
        if (tlsstats_offer_read(stats, i, &offer) && !see(baton, &offer)) {
            return;
        }
    }
}

/* The day of an offer's slot that counts in a span. @return 0: it has none */
static int read_offer_day(const usher_tlsstats_offer_rec_t *rec, apr_uint64_t key,
                          const usher_tlsstats_span_t *span, apr_uint32_t n, apr_uint64_t *day)
{
    if (span->unit == USHER_TLSSTATS_ALWAYS) {
        *day = tlsstats_get(&rec->days[n][0]) >> 48;
        return *day % USHER_TLSSTATS_DAYS == n;
    }
    return span->unit == USHER_TLSSTATS_BY_DAY && read_number(span, n, day) && key;
}

usher_tlsstats_offered_t usher_tlsstats_offered(const usher_tlsstats_t *stats,
                                                const usher_tlsstats_offer_t *offer,
                                                const usher_tlsstats_span_t *span)
{
    const usher_tlsstats_offer_rec_t *rec = &stats->offers[offer->place % stats->offers_len];
    usher_tlsstats_offered_t sum = { 0, 0 };
    apr_uint64_t day;
    apr_uint32_t i;

    for (i = 0; i < USHER_TLSSTATS_DAYS; ++i) {
        if (read_offer_day(rec, offer->id, span, i, &day)) {
            apr_uint64_t owner = OFFER_DAY(offer->id, day);
            const usher_tlsstats_word_t *words = rec->days[day % USHER_TLSSTATS_DAYS];

            sum.connections += tlsstats_owned_get(&words[0], owner, OFFER_DAY_BITS);
            sum.failed += tlsstats_owned_get(&words[1], owner, OFFER_DAY_BITS);
        }
    }
    return sum;
}

void usher_tlsstats_union_add(usher_tlsstats_union_t *clients, const usher_tlsstats_t *stats,
                              const usher_tlsstats_offer_t *offer,
                              const usher_tlsstats_span_t *span)
{
    apr_uint32_t place = offer->place % stats->offers_len, i;
    const usher_tlsstats_offer_rec_t *rec = &stats->offers[place];
    apr_uint64_t day;

    for (i = 0; i < USHER_TLSSTATS_DAYS; ++i) {
        if (read_offer_day(rec, offer->id, span, i, &day)) {
            apr_uint32_t slot = (apr_uint32_t)(day % USHER_TLSSTATS_DAYS);

            if (tlsstats_get(&rec->sketched[slot]) == OFFER_SKETCH(offer->id, day)) {
                usher_hll_merge(clients->pairs, tlsstats_offer_pairs(stats, place, slot),
                                USHER_TLSSTATS_OFFER_BITS);
            }
        }
    }
}

apr_uint64_t usher_tlsstats_union_count(const usher_tlsstats_union_t *clients)
{
    return usher_hll_count(clients->pairs, USHER_TLSSTATS_OFFER_BITS);
}

apr_uint64_t usher_tlsstats_lost(const usher_tlsstats_t *stats, const usher_tlsstats_span_t *span)
{
    apr_uint64_t number, sum = 0;
    apr_uint32_t i;

    if (span->unit == USHER_TLSSTATS_ALWAYS) {
        return tlsstats_get(&stats->header->lost_total);
    }
    for (i = 0; span->unit == USHER_TLSSTATS_BY_DAY && read_number(span, i, &number); ++i) {
        sum += tlsstats_owned_get(&stats->header->lost[number % USHER_TLSSTATS_DAYS], number,
                                  SLOT_BITS);
    }
    return sum;
}
