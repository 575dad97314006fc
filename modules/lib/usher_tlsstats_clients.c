/* Who connects: sketches of all distinct clients, and lists of the most frequent ones of what is
 * old or weak.
 *
 * A list is kept as SpaceSaving does (Metwally 2005): who is not in it takes the place of the one
 * with the smallest count, and that count, which is then how many may be others'. */
#include "usher_tlsstats_private.h"

#include <stdlib.h>
#include <string.h>

#include "usher_siphash.h"

/* Others may take the place that one has chosen: so often another one is looked for. */
#define TRIES 4

/* 2026-01-01: a clock that is before it has not been set yet, as after a start without a battery. */
#define CLOCK_MIN 1767225600

#define FIXED_WORDS 4
#define AGENT_WORDS (USHER_TLSSTATS_AGENT_SIZE / 8)

/* Both AEAD and forward secrecy, and the server proves who it is; those of TLS 1.3 (13xx) as well. */
static const apr_uint16_t strong[] = {
    0x009e, 0x009f, 0x00a2, 0x00a3, 0x00aa, 0x00ab, 0xc02b, 0xc02c, 0xc02f, 0xc030,
    0xc052, 0xc053, 0xc056, 0xc057, 0xc05c, 0xc05d, 0xc060, 0xc061, 0xc06c, 0xc06d,
    0xc07c, 0xc07d, 0xc080, 0xc081, 0xc086, 0xc087, 0xc08a, 0xc08b, 0xc090, 0xc091,
    0xc09e, 0xc09f, 0xc0a2, 0xc0a3, 0xc0a6, 0xc0a7, 0xc0aa, 0xc0ab, 0xc0ac, 0xc0ad,
    0xc0ae, 0xc0af, 0xcca8, 0xcca9, 0xccaa, 0xccac, 0xccad, 0xd001, 0xd002, 0xd003,
    0xd005,
};

static int clients_compare(const void *a, const void *b)
{
    return (int)*(const apr_uint16_t *)a - (int)*(const apr_uint16_t *)b;
}

int usher_tlsstats_is_weak(apr_uint16_t cipher)
{
    return cipher && cipher >> 8 != 0x13
           && !bsearch(&cipher, strong, sizeof(strong) / sizeof(*strong), sizeof(*strong),
                       clients_compare);
}

static int clients_is_v4(const unsigned char *address)
{
    static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

    return !memcmp(address, mapped, sizeof(mapped));
}

/* What of an address is kept. */
static void clients_cut(unsigned char *to, const unsigned char *address, usher_tlsstats_keep_e keep)
{
    apr_size_t len = keep == USHER_TLSSTATS_FULL ? 16 : clients_is_v4(address) ? 15 : 6;

    memset(to, 0, 16);
    memcpy(to, address, len);
}

apr_uint64_t tlsstats_client_hash(const usher_tlsstats_t *stats, const unsigned char *address,
                                  usher_tlsstats_keep_e keep)
{
    unsigned char kept[16];

    clients_cut(kept, address, keep);
    /* Who has an IPv6 address has at least 2^64 of them. */
    return usher_siphash(stats->header->secret, kept, clients_is_v4(kept) ? 16 : 8).word[0];
}

/* One that was never used is empty. Else emptied before it is named: who is killed in between
 * leaves it to the next one. */
void tlsstats_sketch_begin(usher_tlsstats_word_t *whose, apr_uint64_t owner, usher_hll_pair_t *pairs,
                           unsigned int bits)
{
    apr_uint64_t old = tlsstats_get(whose);
    apr_size_t i;

    for (i = 0; old && i < USHER_HLL_SIZE(bits); ++i) {
        atomic_store_explicit(&pairs[i], 0, memory_order_relaxed);
    }
    atomic_store(whose, owner);
}

static void clients_crowd_add(const usher_tlsstats_t *stats, apr_uint16_t version,
                              apr_uint16_t cipher, apr_uint64_t day, apr_uint64_t hash)
{
    apr_uint32_t at = tlsstats_place(stats->crowds, sizeof(*stats->crowds), stats->crowds_len,
                                     tlsstats_crowd_key(version, cipher), 1);
    apr_uint32_t slot = (apr_uint32_t)(day % USHER_TLSSTATS_DAYS);
    usher_hll_pair_t *pairs;

    if (at == TLSSTATS_NONE) {
        return;
    }
    usher_hll_add(tlsstats_crowd_pairs(stats, at, 0), USHER_TLSSTATS_CROWD_BITS, hash);
    pairs = tlsstats_crowd_pairs(stats, at, 1 + slot);
    if (tlsstats_get(&stats->crowds[at].days[slot]) != day + 1) {
        tlsstats_sketch_begin(&stats->crowds[at].days[slot], day + 1, pairs,
                              USHER_TLSSTATS_CROWD_BITS);
    }
    usher_hll_add(pairs, USHER_TLSSTATS_CROWD_BITS, hash);
}

void tlsstats_crowds_add(const usher_tlsstats_t *stats, const usher_tlsstats_handshake_t *handshake,
                         apr_uint64_t day)
{
    apr_uint64_t hash = tlsstats_client_hash(stats, handshake->address, USHER_TLSSTATS_FULL);

    clients_crowd_add(stats, 0, 0, day, hash);
    clients_crowd_add(stats, handshake->version, 0, day, hash);
    if (handshake->cipher) {
        clients_crowd_add(stats, handshake->version, handshake->cipher, day, hash);
    }
}

/* The place of the smallest count; free ones first. */
static apr_uint32_t clients_least(const usher_tlsstats_list_t *list)
{
    apr_uint64_t least = APR_UINT64_MAX;
    apr_uint32_t i, at = 0;

    for (i = 0; i < USHER_TLSSTATS_CLIENTS; ++i) {
        apr_uint64_t count = tlsstats_get(&list->clients[i].count);

        if (!tlsstats_get(&list->keys[i])) {
            return i;
        }
        if (count < least) {
            least = count;
            at = i;
        }
    }
    return at;
}

static apr_uint32_t clients_find(const usher_tlsstats_list_t *list, apr_uint64_t key)
{
    apr_uint32_t i;

    for (i = 0; i < USHER_TLSSTATS_CLIENTS; ++i) {
        if (tlsstats_get(&list->keys[i]) == key) {
            return i;
        }
    }
    return TLSSTATS_NONE;
}

/* The client's place in a list, entered if it has none. */
static apr_uint32_t clients_enter(usher_tlsstats_list_t *list, apr_uint64_t key)
{
    int tries;

    for (tries = 0; tries < TRIES; ++tries) {
        apr_uint32_t at = clients_find(list, key);
        usher_tlsstats_client_rec_t *rec;
        apr_uint64_t old;

        if (at != TLSSTATS_NONE) {
            return at;
        }
        at = clients_least(list);
        rec = &list->clients[at];
        old = tlsstats_get(&list->keys[at]);
        if (atomic_compare_exchange_strong(&list->keys[at], &old, key)) {
            if (old) {
                tlsstats_set(&rec->over, tlsstats_get(&rec->count));
                tlsstats_set(&rec->failed, 0);
            }
            return at;
        }
    }
    return TLSSTATS_NONE;
}

static void clients_seen(usher_tlsstats_list_t *list, apr_uint32_t at, apr_uint64_t key,
                         const usher_tlsstats_handshake_t *handshake, apr_uint64_t offer)
{
    usher_tlsstats_client_rec_t *rec = &list->clients[at];
    apr_uint64_t fixed[FIXED_WORDS], now = handshake->now > 0 ? (apr_uint64_t)handshake->now : 0;

    if (!tlsstats_read(fixed, rec->fixed, FIXED_WORDS, key, &rec->check)) {
        unsigned char kept[16];

        clients_cut(kept, handshake->address, handshake->keep);
        memcpy(fixed, kept, sizeof(kept));
        fixed[2] = now;
        fixed[3] = handshake->keep == USHER_TLSSTATS_PREFIX;
        tlsstats_write(rec->fixed, fixed, FIXED_WORDS, key, &rec->check);
    }
    tlsstats_up(&rec->count, 1);
    tlsstats_up(&rec->failed, handshake->outcome != USHER_TLSSTATS_DONE);
    tlsstats_set(&rec->last_seen, now);
    tlsstats_set(&rec->offer, offer);
}

static usher_tlsstats_list_t *clients_list(const usher_tlsstats_t *stats, apr_uint16_t version,
                                           apr_uint16_t cipher, int enter)
{
    apr_uint32_t at = tlsstats_place(stats->header->lists, sizeof(*stats->header->lists),
                                     USHER_TLSSTATS_LISTS, tlsstats_crowd_key(version, cipher), enter);

    return at == TLSSTATS_NONE ? NULL : &stats->header->lists[at];
}

static void clients_list_add(const usher_tlsstats_t *stats, apr_uint16_t version,
                             apr_uint16_t cipher, const usher_tlsstats_handshake_t *handshake,
                             apr_uint64_t offer)
{
    usher_tlsstats_list_t *list = clients_list(stats, version, cipher, 1);
    apr_uint64_t key = tlsstats_client_hash(stats, handshake->address, handshake->keep) | 1;
    apr_uint32_t at = list ? clients_enter(list, key) : TLSSTATS_NONE;

    if (at != TLSSTATS_NONE) {
        clients_seen(list, at, key, handshake, offer);
    }
}

static int clients_is_old(apr_uint16_t version)
{
    return version && version < USHER_TLSSTATS_OLD;
}

void tlsstats_lists_add(const usher_tlsstats_t *stats, const usher_tlsstats_handshake_t *handshake,
                        apr_uint16_t version, apr_uint64_t offer)
{
    if (clients_is_old(version)) {
        clients_list_add(stats, version, 0, handshake, offer);
    }
    if (usher_tlsstats_is_weak(handshake->cipher)) {
        clients_list_add(stats, 0, handshake->cipher, handshake, offer);
    }
}

static void clients_list_agent(const usher_tlsstats_t *stats, apr_uint16_t version,
                               apr_uint16_t cipher, apr_uint64_t key, const apr_uint64_t *words)
{
    usher_tlsstats_list_t *list = clients_list(stats, version, cipher, 0);
    apr_uint32_t at = list ? clients_find(list, key) : TLSSTATS_NONE;
    usher_tlsstats_client_rec_t *rec;
    apr_uint64_t old[AGENT_WORDS];

    if (at == TLSSTATS_NONE) {
        return;
    }
    rec = &list->clients[at];
    if (!tlsstats_read(old, rec->agent, AGENT_WORDS, key, &rec->agent_check)) {
        tlsstats_write(rec->agent, words, AGENT_WORDS, key, &rec->agent_check);
    }
}

void usher_tlsstats_add_agent(const usher_tlsstats_t *stats, const usher_tlsstats_row_t *row,
                              const unsigned char *address, usher_tlsstats_keep_e keep,
                              const char *agent)
{
    char text[USHER_TLSSTATS_AGENT_SIZE] = "";
    apr_uint64_t words[AGENT_WORDS], key = tlsstats_client_hash(stats, address, keep) | 1;
    apr_size_t len = strlen(agent);

    memcpy(text, agent, len < sizeof(text) ? len : sizeof(text) - 1);
    memcpy(words, text, sizeof(words));
    if (clients_is_old(row->version)) {
        clients_list_agent(stats, row->version, 0, key, words);
    }
    if (usher_tlsstats_is_weak(row->cipher)) {
        clients_list_agent(stats, 0, row->cipher, key, words);
    }
}

int tlsstats_client_read(const usher_tlsstats_list_t *list, apr_uint32_t i,
                         usher_tlsstats_client_t *client)
{
    const usher_tlsstats_client_rec_t *rec = &list->clients[i];
    apr_uint64_t name = tlsstats_get(&list->key), key = tlsstats_get(&list->keys[i]);
    apr_uint64_t fixed[FIXED_WORDS], agent[AGENT_WORDS];

    if (!name || !key || !tlsstats_read(fixed, rec->fixed, FIXED_WORDS, key, &rec->check)) {
        return 0;
    }
    memset(client, 0, sizeof(*client));
    client->version = (apr_uint16_t)(name >> 16);
    client->cipher = (apr_uint16_t)name;
    memcpy(client->address, fixed, sizeof(client->address));
    client->first_seen = (apr_int64_t)fixed[2];
    client->is_prefix = (int)(fixed[3] & 1);
    client->last_seen = (apr_int64_t)tlsstats_get(&rec->last_seen);
    client->count = tlsstats_get(&rec->count);
    client->over = tlsstats_get(&rec->over);
    client->failed = tlsstats_get(&rec->failed);
    client->offer = tlsstats_get(&rec->offer);
    if (tlsstats_read(agent, rec->agent, AGENT_WORDS, key, &rec->agent_check)) {
        memcpy(client->agent, agent, sizeof(client->agent) - 1);
    }
    return 1;
}

/* Emptied before it is free: who takes it then finds zeros. */
static void clients_remove(usher_tlsstats_list_t *list, apr_uint32_t i, apr_uint64_t key)
{
    usher_tlsstats_word_t *words = (usher_tlsstats_word_t *)(void *)&list->clients[i];
    apr_size_t k;

    for (k = 0; k < sizeof(list->clients[i]) / sizeof(*words); ++k) {
        tlsstats_set(&words[k], 0);
    }
    atomic_compare_exchange_strong(&list->keys[i], &key, 0);
}

static int clients_is_due(usher_tlsstats_list_t *list, apr_uint32_t i, usher_tlsstats_keep_e keep,
                          apr_int64_t keep_for, apr_int64_t now)
{
    usher_tlsstats_client_t client;
    apr_int64_t seen = (apr_int64_t)tlsstats_get(&list->clients[i].last_seen);

    if (keep == USHER_TLSSTATS_OFF || (now >= CLOCK_MIN && seen < now - keep_for)) {
        return 1;
    }
    if (now >= CLOCK_MIN && seen > now + DAY) {
        tlsstats_set(&list->clients[i].last_seen, (apr_uint64_t)now); /* the clock was ahead */
    }
    return keep == USHER_TLSSTATS_PREFIX
           && (!tlsstats_client_read(list, i, &client) || !client.is_prefix);
}

apr_uint32_t usher_tlsstats_forget(const usher_tlsstats_t *stats, usher_tlsstats_keep_e keep,
                                   apr_int64_t keep_for, apr_int64_t now)
{
    apr_uint32_t forgotten = 0, i, k;

    for (i = 0; i < USHER_TLSSTATS_LISTS; ++i) {
        usher_tlsstats_list_t *list = &stats->header->lists[i];

        for (k = 0; tlsstats_get(&list->key) && k < USHER_TLSSTATS_CLIENTS; ++k) {
            apr_uint64_t key = tlsstats_get(&list->keys[k]);

            if (key && clients_is_due(list, k, keep, keep_for, now)) {
                clients_remove(list, k, key);
                ++forgotten;
            }
        }
    }
    return forgotten;
}
