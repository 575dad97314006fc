/* What the tests of TLS statistics share: memory, clients, and what they offer. */
#ifndef TLSSTATS_H
#define TLSSTATS_H

#include "unit.h"
#include "usher_tlsstats.h"

#include <stdio.h>

/* 2026-11-22 18:30:00 UTC */
#define NOW ((apr_int64_t)1795372200)
#define HOUR ((apr_int64_t)3600)
#define DAY ((apr_int64_t)86400)

#define TLS10 0x0301
#define TLS12 0x0303
#define TLS13 0x0304

typedef struct {
    usher_tlsstats_t stats;
    void *base;
} memory_t;

static inline void memory_make(memory_t *memory, apr_uint64_t size)
{
    memory->base = aligned_alloc(64, size);
    memset(memory->base, 0, size);
    usher_tlsstats_open(&memory->stats, memory->base, size);
}

static inline void memory_begin(memory_t *memory)
{
    memory_make(memory, USHER_TLSSTATS_SIZE_MIN);
    usher_tlsstats_init(&memory->stats, (const unsigned char *)"0123456789abcdef", NOW);
}

static inline usher_hello_t hello_of(apr_uint16_t version, unsigned int variant)
{
    usher_hello_t hello;

    memset(&hello, 0, sizeof(hello));
    hello.legacy_version = version < TLS12 ? version : TLS12;
    if (version == TLS13) {
        hello.versions[hello.versions_all++] = TLS13;
        hello.versions[hello.versions_all++] = TLS12;
    }
    hello.ciphers[hello.ciphers_all++] = 0xc02f;
    hello.ciphers[hello.ciphers_all++] = 0xc013;
    hello.ciphers[hello.ciphers_all++] = (apr_uint16_t)(0x8000 + variant);
    hello.ciphers[hello.ciphers_all++] = 0x00ff;
    hello.groups[hello.groups_all++] = 29;
    hello.sigalgs[hello.sigalgs_all++] = 0x0804;
    return hello;
}

static inline void client_address(unsigned char *address, apr_uint32_t client)
{
    memset(address, 0, 10);
    address[10] = address[11] = 0xff;
    address[12] = (unsigned char)(client >> 24);
    address[13] = (unsigned char)(client >> 16);
    address[14] = (unsigned char)(client >> 8);
    address[15] = (unsigned char)client;
}

static inline void shake(const usher_tlsstats_t *stats, apr_uint16_t version, apr_uint16_t cipher,
                         unsigned int outcome, apr_uint32_t client, apr_int64_t now)
{
    unsigned char address[16];
    usher_hello_t hello = hello_of(version, 0);
    int done = outcome == USHER_TLSSTATS_DONE;
    usher_tlsstats_handshake_t handshake = { now, 1, outcome, done ? version : 0, done ? cipher : 0,
                                             29, &hello, address, USHER_TLSSTATS_FULL };

    client_address(address, client);
    usher_tlsstats_add(stats, &handshake);
}

static inline void ask(const usher_tlsstats_t *stats, apr_uint32_t vhost, apr_uint16_t version,
                       apr_uint16_t cipher, apr_int64_t now)
{
    usher_tlsstats_row_t row = { vhost, USHER_TLSSTATS_DONE, version, cipher, 29, 0, 0 };

    usher_tlsstats_add_request(stats, &row, now);
}

static inline void introduce(const usher_tlsstats_t *stats, apr_uint16_t version,
                             apr_uint16_t cipher, apr_uint32_t client, const char *agent)
{
    usher_tlsstats_row_t row = { 1, USHER_TLSSTATS_DONE, version, cipher, 29, 0, 0 };
    unsigned char address[16];

    client_address(address, client);
    usher_tlsstats_add_agent(stats, &row, address, USHER_TLSSTATS_FULL, agent);
}

static const usher_tlsstats_span_t always = { USHER_TLSSTATS_ALWAYS, 0, 0 };

/* Bytes that grow. */
typedef struct {
    unsigned char *bytes;
    size_t len, room;
} bytes_t;

static inline int bytes_put(void *baton, const void *bytes, apr_size_t len)
{
    bytes_t *to = baton;

    if (to->len + len > to->room) {
        to->room = 2 * (to->len + len);
        to->bytes = realloc(to->bytes, to->room);
    }
    memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
    return 1;
}

#endif /* TLSSTATS_H */
