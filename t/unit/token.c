/* Tokens: what is sealed is opened again, by any key of the set, and nothing else is. */
#include "unit.h"

#include <apr_general.h>
#include <openssl/err.h>
#include <pthread.h>

#include "usher_token_cache.h"

static apr_pool_t *pool;
static usher_keyring_t ring; /* two keys, ids 0xa and 0xb */
static usher_keys_t *keys;

#define AAD "balancer://app", 14
static const usher_token_t sample = { "member's 16 byte", 1700000000, 1700000600, 0xfedcba98 };

static void setup(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    memset(&ring, 0, sizeof(ring));
    ring.count = 2;
    ring.keys[0].id = 0xa;
    ring.keys[1].id = 0xb;
    memset(ring.keys[0].bytes, 0x5a, USHER_XAES_KEY_SIZE);
    memset(ring.keys[1].bytes, 0xa5, USHER_XAES_KEY_SIZE);
    keys = usher_keys_make(pool, &ring);
    ck_assert_ptr_nonnull(keys);
}

static void teardown(void)
{
    /* Nothing of ours stays in the queue that mod_ssl reads. */
    ck_assert_uint_eq(ERR_peek_error(), 0);
    apr_pool_destroy(pool);
    apr_terminate();
}

static void seal(char *text)
{
    ck_assert_int_eq(usher_token_seal(text, &sample, keys, AAD), APR_SUCCESS);
}

/* The text as a copy of its exact size. */
static usher_token_e open_text(usher_token_t *token, const char *text, apr_size_t len)
{
    char *copy = unit_copy(text, len);
    usher_token_e result = usher_token_open(token, keys, AAD, copy, len);

    free(copy);
    return result;
}

static void refuses(const char *text, apr_size_t len, usher_token_e why)
{
    static const usher_token_t untouched = { "", 1, 2, 3 };
    usher_token_t token = untouched;

    ck_assert_int_eq(open_text(&token, text, len), why);
    ck_assert_mem_eq(&token, &untouched, sizeof(token));
}

START_TEST(round_trip)
{
    char text[USHER_TOKEN_SIZE + 1] = "", again[USHER_TOKEN_SIZE];
    usher_token_t token = { "", 0, 0, 0 };

    seal(text);
    ck_assert_int_eq(open_text(&token, text, USHER_TOKEN_SIZE), USHER_TOKEN_OK);
    ck_assert_mem_eq(&token, &sample, sizeof(token));
    ck_assert_uint_eq(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                  "0123456789-_"), USHER_TOKEN_SIZE);
    /* Never the same twice, and nothing of the member can be read from it. */
    seal(again);
    ck_assert_mem_ne(text, again, sizeof(again));
    ck_assert_mem_ne(text + 50, again + 50, 20);
}
END_TEST

START_TEST(rotation)
{
    usher_keyring_t other = ring;
    char old[USHER_TOKEN_SIZE], new[USHER_TOKEN_SIZE];
    usher_token_t token;

    seal(old);
    other.keys[0] = ring.keys[1];
    other.keys[1] = ring.keys[0];
    keys = usher_keys_make(pool, &other);
    seal(new);
    ck_assert_int_eq(open_text(&token, old, sizeof(old)), USHER_TOKEN_OK);
    ck_assert_int_eq(open_text(&token, new, sizeof(new)), USHER_TOKEN_OK);
    other.count = 1;
    keys = usher_keys_make(pool, &other);
    refuses(old, sizeof(old), USHER_TOKEN_UNKNOWN_KEY);
    ck_assert_int_eq(open_text(&token, new, sizeof(new)), USHER_TOKEN_OK);
    /* Another key of the same id */
    other.keys[0].bytes[31] ^= 1;
    keys = usher_keys_make(pool, &other);
    refuses(new, sizeof(new), USHER_TOKEN_FORGED);
}
END_TEST

START_TEST(every_bit)
{
    unsigned char bytes[USHER_TOKEN_BYTES];
    char text[USHER_TOKEN_SIZE];
    int i;

    seal(text);
    ck_assert_int_eq(usher_base64_decode(bytes, sizeof(bytes), text), 1);
    for (i = 0; i < USHER_TOKEN_BYTES * 8; ++i) {
        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
        usher_base64_encode(text, bytes, sizeof(bytes));
        refuses(text, sizeof(text), i < 8 ? USHER_TOKEN_MALFORMED
                                          : i < 40 && bytes[4] != 0xb ? USHER_TOKEN_UNKNOWN_KEY
                                                                      : USHER_TOKEN_FORGED);
        bytes[i / 8] ^= (unsigned char)(1 << i % 8);
    }
}
END_TEST

/* The key id is authenticated: one key under two ids does not make a token valid. */
START_TEST(key_id)
{
    unsigned char bytes[USHER_TOKEN_BYTES];
    char text[USHER_TOKEN_SIZE];

    memcpy(ring.keys[1].bytes, ring.keys[0].bytes, USHER_XAES_KEY_SIZE);
    keys = usher_keys_make(pool, &ring);
    seal(text);
    usher_base64_decode(bytes, sizeof(bytes), text);
    bytes[4] = 0xb;
    usher_base64_encode(text, bytes, sizeof(bytes));
    refuses(text, sizeof(text), USHER_TOKEN_FORGED);
}
END_TEST

START_TEST(every_length)
{
    char text[3 * USHER_TOKEN_SIZE];
    apr_size_t len;

    memset(text, 'A', sizeof(text));
    seal(text);
    for (len = 0; len < sizeof(text); ++len) {
        if (len != USHER_TOKEN_SIZE) {
            refuses(text, len, USHER_TOKEN_MALFORMED);
        }
    }
}
END_TEST

/* Every character at every place; at the last one 15 of 16 have bits that mean nothing. */
START_TEST(every_character)
{
    char text[USHER_TOKEN_SIZE];
    usher_token_t token;
    int i, c, ok = 0;

    seal(text);
    for (i = 0; i < USHER_TOKEN_SIZE; ++i) {
        char was = text[i];

        for (c = 0; c < 256; ++c) {
            text[i] = (char)c;
            ok += open_text(&token, text, sizeof(text)) == USHER_TOKEN_OK;
        }
        text[i] = was;
    }
    ck_assert_int_eq(ok, USHER_TOKEN_SIZE); /* itself */
}
END_TEST

START_TEST(other_aad)
{
    char text[USHER_TOKEN_SIZE], long_aad[USHER_TOKEN_AAD_MAX + 1] = "";
    usher_token_t token;

    seal(text);
    ck_assert_int_eq(usher_token_open(&token, keys, "balancer://ap", 13, text, sizeof(text)),
                     USHER_TOKEN_FORGED);
    ck_assert_int_eq(usher_token_open(&token, keys, "balancer://app2", 15, text, sizeof(text)),
                     USHER_TOKEN_FORGED);
    ck_assert_int_eq(usher_token_open(&token, keys, NULL, 0, text, sizeof(text)),
                     USHER_TOKEN_FORGED);
    ck_assert_int_eq(usher_token_seal(text, &sample, keys, NULL, 0), APR_SUCCESS);
    ck_assert_int_eq(usher_token_open(&token, keys, NULL, 0, text, sizeof(text)),
                     USHER_TOKEN_OK);
    ck_assert_int_eq(usher_token_seal(text, &sample, keys, long_aad, sizeof(long_aad)),
                     APR_EINVAL);
    ck_assert_int_eq(usher_token_open(&token, keys, long_aad, sizeof(long_aad), text,
                                      sizeof(text)), USHER_TOKEN_FORGED);
    ck_assert_int_eq(usher_token_seal(text, &sample, keys, long_aad, sizeof(long_aad) - 1),
                     APR_SUCCESS);
    ck_assert_int_eq(usher_token_open(&token, keys, long_aad, sizeof(long_aad) - 1, text,
                                      sizeof(text)), USHER_TOKEN_OK);
}
END_TEST

static unsigned int seed = 4711;

static unsigned int draw(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

/* All that somebody could send who has one token and no key: noise, noise in the form of
 * a token, and the token with some bits changed. */
START_TEST(a_million)
{
    int i, j, rounds = getenv("USHER_LONG") ? 1000000 : 100000;
    unsigned char good[USHER_TOKEN_BYTES], bytes[USHER_TOKEN_BYTES];
    char text[USHER_TOKEN_SIZE];
    usher_token_t token = sample;

    seal(text);
    usher_base64_decode(good, sizeof(good), text);
    for (i = 0; i < rounds; ++i) {
        memcpy(bytes, good, sizeof(bytes));
        for (j = 5 - (int)(draw() % 6); i % 3 == 2 && j < USHER_TOKEN_BYTES; ++j) {
            bytes[j < 0 ? 0 : j] = (unsigned char)draw();
        }
        for (j = (int)(draw() % 8); i % 3 == 1 && j >= 0; --j) {
            bytes[5 + draw() % (USHER_TOKEN_BYTES - 5)] ^= (unsigned char)(1 << draw() % 8);
        }
        usher_base64_encode(text, bytes, sizeof(bytes));
        for (j = 0; i % 3 == 0 && j < USHER_TOKEN_SIZE; ++j) {
            text[j] = (char)draw();
        }
        if (memcmp(bytes, good, sizeof(good)) || i % 3 == 0) {
            ck_assert_int_ne(usher_token_open(&token, keys, AAD, text, sizeof(text)),
                             USHER_TOKEN_OK);
        }
    }
    ck_assert_mem_eq(&token, &sample, sizeof(token));
}
END_TEST

/* The cache says what usher_token_open() says, the first time and again. */
START_TEST(cached)
{
    usher_token_cache_t *cache = usher_token_cache_make(pool);
    char text[USHER_TOKEN_SIZE];
    usher_token_t token;
    int i, round;

    seal(text);
    for (round = 0; round < 2; ++round) {
        memset(&token, 0, sizeof(token));
        ck_assert_int_eq(usher_token_cache_open(cache, &token, keys, AAD, text, sizeof(text)),
                         USHER_TOKEN_OK);
        ck_assert_mem_eq(&token, &sample, sizeof(token));
        ck_assert_int_eq(usher_token_cache_open(cache, &token, keys, AAD, text,
                                                sizeof(text) - 1), USHER_TOKEN_MALFORMED);
        for (i = 0; i < USHER_TOKEN_SIZE; ++i) {
            text[i] ^= 1;
            ck_assert_int_ne(usher_token_cache_open(cache, &token, keys, AAD, text,
                                                    sizeof(text)), USHER_TOKEN_OK);
            text[i] ^= 1;
        }
    }
    /* Keys that do not open it any more */
    ring.keys[0] = ring.keys[1];
    ring.count = 1;
    ck_assert_int_eq(usher_token_cache_open(cache, &token, usher_keys_make(pool, &ring), AAD,
                                            text, sizeof(text)), USHER_TOKEN_UNKNOWN_KEY);
}
END_TEST

#define THREADS 4
#define TOKENS 1000
#define SAME 8 /* the first so many share a cell of the cache */
#define EACH 60000

static char many[TOKENS][USHER_TOKEN_SIZE];
static usher_token_cache_t *shared;

static void *worker(void *data)
{
    unsigned int at = (unsigned int)(apr_uintptr_t)data, i;
    apr_uintptr_t wrong = 0;

    for (i = 0; i < EACH; ++i) {
        usher_token_t token = sample;
        unsigned int which = (at = at * 1664525 + 1013904223) >> 8;

        which = which % 16 ? which % SAME : which % TOKENS;
        wrong += usher_token_cache_open(shared, &token, keys, AAD, many[which],
                                        USHER_TOKEN_SIZE) != USHER_TOKEN_OK;
        wrong += token.session != which || token.first_seen != ~which || token.last_seen != which;
    }
    return (void *)wrong;
}

/* As usher_token_cache.c chooses it. */
static unsigned int cell_of(const char *text)
{
    apr_uint64_t some;

    memcpy(&some, text + 16, sizeof(some));
    return (unsigned int)(some * 0x9e3779b97f4a7c15u >> 55);
}

START_TEST(cached_by_threads)
{
    pthread_t thread[THREADS];
    usher_token_t token = sample;
    void *wrong;
    apr_uintptr_t i;

    shared = usher_token_cache_make(pool);
    for (i = 0; i < TOKENS; ++i) {
        token.session = token.last_seen = (apr_uint32_t)i;
        token.first_seen = ~(apr_uint32_t)i;
        do {
            ck_assert_int_eq(usher_token_seal(many[i], &token, keys, AAD), APR_SUCCESS);
        } while (i < SAME && cell_of(many[i]) != cell_of(many[0]));
    }
    for (i = 0; i < THREADS; ++i) {
        ck_assert_int_eq(pthread_create(&thread[i], NULL, worker, (void *)i), 0);
    }
    for (i = 0; i < THREADS; ++i) {
        pthread_join(thread[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("token");
    TCase *tc = tcase_create("token");

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, round_trip);
    tcase_add_test(tc, rotation);
    tcase_add_test(tc, every_bit);
    tcase_add_test(tc, key_id);
    tcase_add_test(tc, every_length);
    tcase_add_test(tc, every_character);
    tcase_add_test(tc, other_aad);
    tcase_add_test(tc, a_million);
    tcase_add_test(tc, cached);
    tcase_add_test(tc, cached_by_threads);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
