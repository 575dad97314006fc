/* SipHash as Aumasson and Bernstein describe it ("SipHash: a fast short-input PRF"),
 * and its variant of 128 bits. */
#include "usher_siphash.h"

#include <string.h>

typedef struct {
    apr_uint64_t a, b, c, d;
} sip_t;

static inline apr_uint64_t sip_left(apr_uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void sip_round(sip_t *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = sip_left(s->b, 13) ^ s->a;
    s->d = sip_left(s->d, 16) ^ s->c;
    s->a = sip_left(s->a, 32);
    s->c += s->b;
    s->a += s->d;
    s->b = sip_left(s->b, 17) ^ s->c;
    s->d = sip_left(s->d, 21) ^ s->a;
    s->c = sip_left(s->c, 32);
}

static inline void sip_three_rounds(sip_t *s)
{
    sip_round(s);
    sip_round(s);
    sip_round(s);
}

/* Up to eight bytes as a number, the least first. */
static inline apr_uint64_t sip_word(const unsigned char *from, apr_size_t len)
{
    apr_uint64_t word = 0;
    apr_size_t i;

    if (len == sizeof(word)) { /* one instruction where that is the machine's own order */
        return (apr_uint64_t)from[0] | (apr_uint64_t)from[1] << 8 | (apr_uint64_t)from[2] << 16
               | (apr_uint64_t)from[3] << 24 | (apr_uint64_t)from[4] << 32
               | (apr_uint64_t)from[5] << 40 | (apr_uint64_t)from[6] << 48
               | (apr_uint64_t)from[7] << 56;
    }
    for (i = 0; i < len; ++i) {
        word |= (apr_uint64_t)from[i] << (8 * i);
    }
    return word;
}

static inline void sip_take(sip_t *s, apr_uint64_t word)
{
    s->d ^= word;
    sip_round(s);
    s->a ^= word;
}

usher_siphash_t usher_siphash(const unsigned char *key, const void *bytes, apr_size_t len)
{
    const unsigned char *at = bytes;
    apr_uint64_t k0 = sip_word(key, 8), k1 = sip_word(key + 8, 8);
    sip_t s = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee,
                k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573 };
    usher_siphash_t hash;
    apr_size_t left;

    for (left = len; left >= 8; left -= 8, at += 8) {
        sip_take(&s, sip_word(at, 8));
    }
    sip_take(&s, sip_word(at, left) | (apr_uint64_t)(len & 0xff) << 56);
    s.c ^= 0xee;
    sip_three_rounds(&s);
    hash.word[0] = s.a ^ s.b ^ s.c ^ s.d;
    s.b ^= 0xdd;
    sip_three_rounds(&s);
    hash.word[1] = s.a ^ s.b ^ s.c ^ s.d;
    return hash;
}
