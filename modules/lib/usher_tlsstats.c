/* Where all lies, and the counting of handshakes and requests. */
#include "usher_tlsstats_private.h"

#include <string.h>

/* So many places a key may be in, from that which it is hashed to. */
#define PROBES 32

#define CROWD_SIZE                                                                      \
    (sizeof(usher_tlsstats_crowd_t)                                                     \
     + CROWD_SKETCHES * USHER_HLL_SIZE(USHER_TLSSTATS_CROWD_BITS))
#define OFFER_SIZE                                                                      \
    (sizeof(usher_tlsstats_offer_rec_t)                                                 \
     + USHER_TLSSTATS_DAYS * USHER_HLL_SIZE(USHER_TLSSTATS_OFFER_BITS))

_Static_assert(sizeof(usher_tlsstats_header_t) % 64 == 0, "what follows is aligned");
_Static_assert(sizeof(usher_tlsstats_header_t) < USHER_TLSSTATS_SIZE_MIN / 4,
               "the tables have room");

/* What is looked through in a row lies together; sketches of days without clients are never
 * touched, so the system gives no memory for them. */
void usher_tlsstats_open(usher_tlsstats_t *stats, void *base, apr_uint64_t size)
{
    apr_uint64_t rest = size - sizeof(usher_tlsstats_header_t);
    char *at = (char *)base + sizeof(usher_tlsstats_header_t);

    stats->size = size;
    stats->header = base;
    stats->series_len = (apr_uint32_t)(rest / 16 / sizeof(usher_tlsstats_series_t));
    stats->crowds_len = (apr_uint32_t)(rest / 4 / CROWD_SIZE);
    stats->offers_len = (apr_uint32_t)(rest / 16 * 11 / OFFER_SIZE / OFFER_BUCKET * OFFER_BUCKET);
    stats->series = (usher_tlsstats_series_t *)(void *)at;
    stats->crowds = (usher_tlsstats_crowd_t *)(void *)(stats->series + stats->series_len);
    stats->offers = (usher_tlsstats_offer_rec_t *)(void *)(stats->crowds + stats->crowds_len);
    stats->crowd_pairs = (usher_hll_pair_t *)(void *)(stats->offers + stats->offers_len);
    stats->offer_pairs = stats->crowd_pairs + (apr_size_t)stats->crowds_len * CROWD_SKETCHES
                                                  * USHER_HLL_SIZE(USHER_TLSSTATS_CROWD_BITS);
}

void usher_tlsstats_init(usher_tlsstats_t *stats, const unsigned char *secret, apr_int64_t now)
{
    memcpy(stats->header->secret, secret, USHER_TLSSTATS_SECRET_SIZE);
    tlsstats_set(&stats->header->begun, (apr_uint64_t)now);
}

apr_uint32_t usher_tlsstats_vhost(usher_tlsstats_t *stats, const char *name)
{
    char wanted[USHER_TLSSTATS_VHOST_SIZE] = "";
    apr_size_t len = strlen(name);
    apr_uint32_t i;

    memcpy(wanted, name, len < sizeof(wanted) ? len : sizeof(wanted) - 1);
    for (i = 1; i < USHER_TLSSTATS_VHOSTS && *stats->header->vhosts[i]; ++i) {
        if (!memcmp(stats->header->vhosts[i], wanted, sizeof(wanted))) {
            return i;
        }
    }
    if (i == USHER_TLSSTATS_VHOSTS || !len) {
        return 0;
    }
    memcpy(stats->header->vhosts[i], wanted, sizeof(wanted));
    return i;
}

apr_uint32_t tlsstats_place(void *records, apr_size_t size, apr_uint32_t len, apr_uint64_t key,
                            int enter)
{
    apr_uint32_t at = (apr_uint32_t)((tlsstats_mix(0, key) >> 32) * len >> 32), i;

    for (i = 0; i < PROBES && i < len; ++i) {
        usher_tlsstats_word_t *word = (usher_tlsstats_word_t *)(void *)((char *)records + at * size);
        apr_uint64_t found = tlsstats_get(word);

        if (found == key
            || (!found && enter
                && (atomic_compare_exchange_strong(word, &found, key) || found == key))) {
            return at;
        }
        if (!found) {
            return TLSSTATS_NONE;
        }
        at = at + 1 < len ? at + 1 : 0;
    }
    return TLSSTATS_NONE;
}

apr_uint32_t tlsstats_series(const usher_tlsstats_t *stats, const usher_tlsstats_row_t *row)
{
    int done = row->outcome == USHER_TLSSTATS_DONE;
    usher_tlsstats_row_t other = { .outcome = row->outcome, .version = done ? row->version : 0 };
    apr_uint32_t at = tlsstats_place(stats->series + SERIES_OTHERS, sizeof(*stats->series),
                                     stats->series_len - SERIES_OTHERS, tlsstats_series_key(row), 1);

    if (at != TLSSTATS_NONE) {
        return at + SERIES_OTHERS;
    }
    at = done ? row->version % SERIES_VERSIONS
              : SERIES_VERSIONS + row->outcome % USHER_TLSSTATS_OUTCOMES;
    tlsstats_set(&stats->series[at].key, tlsstats_series_key(&other));
    return at;
}

/* @param which  0: a connection, 1: a request */
static void stats_count(usher_tlsstats_series_t *series, int which, apr_int64_t now)
{
    apr_uint64_t hour = tlsstats_number(now, HOUR), day = tlsstats_number(now, DAY);

    tlsstats_up(which ? &series->requests : &series->connections, 1);
    tlsstats_owned_add(&series->hours[hour % USHER_TLSSTATS_HOURS][which], hour, SLOT_BITS, 1);
    tlsstats_owned_add(&series->days[day % USHER_TLSSTATS_DAYS][which], day, SLOT_BITS, 1);
}

/* Clients can say any number: only versions that exist make a combination. */
static apr_uint16_t stats_version(const usher_tlsstats_handshake_t *handshake)
{
    apr_uint16_t version = handshake->outcome != USHER_TLSSTATS_DONE && handshake->hello
                               ? usher_hello_version_max(handshake->hello) : handshake->version;

    return version >= 0x0300 && version <= 0x0304 ? version : 0;
}

void usher_tlsstats_add(const usher_tlsstats_t *stats, const usher_tlsstats_handshake_t *handshake)
{
    const usher_tlsstats_handshake_t *h = handshake;
    apr_uint64_t day = tlsstats_number(h->now, DAY), offer = 0;
    int done = h->outcome == USHER_TLSSTATS_DONE;
    usher_tlsstats_row_t row = { .vhost = h->vhost, .outcome = h->outcome };

    row.version = stats_version(h);
    row.cipher = done ? h->cipher : 0;
    row.group = done ? h->group : 0;
    stats_count(&stats->series[tlsstats_series(stats, &row)], 0, h->now);
    if (h->hello) {
        offer = tlsstats_offers_add(stats, h, day);
    }
    if (h->address && done) {
        tlsstats_crowds_add(stats, h, day);
    }
    if (h->address && h->keep != USHER_TLSSTATS_OFF) {
        tlsstats_lists_add(stats, h, row.version, offer);
    }
}

void usher_tlsstats_add_request(const usher_tlsstats_t *stats, const usher_tlsstats_row_t *row,
                                apr_int64_t now)
{
    stats_count(&stats->series[tlsstats_series(stats, row)], 1, now);
}
