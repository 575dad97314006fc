/* XAES-256-GCM: the vectors of https://c2sp.org/XAES-256-GCM, read in 2026: the two
 * basic ones, and the accumulated ones. */
#include "unit.h"

#include <apr_general.h>
#include <stdio.h>
#include <openssl/evp.h>
#include <pthread.h>

#include "usher_xaes.h"

static apr_pool_t *pool;

static void setup(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
}

static void teardown(void)
{
    apr_pool_destroy(pool);
    apr_terminate();
}

static const struct {
    unsigned char key; /* 32 times */
    const char *aad;
    const char *sealed;
} vectors[] = {
    { 1, "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271" },
    { 3, "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d" },
};
#define NONCE ((const unsigned char *)"ABCDEFGHIJKLMNOPQRSTUVWX")
#define PLAIN "XAES-256-GCM"
#define LEN (int)(sizeof(PLAIN) - 1)

static void hex(char *text, const unsigned char *bytes, size_t len)
{
    size_t i;

    for (i = 0; i < len; ++i) {
        sprintf(text + 2 * i, "%02x", bytes[i]);
    }
}

START_TEST(basic)
{
    unsigned char key[USHER_XAES_KEY_SIZE], sealed[LEN + USHER_XAES_TAG_SIZE], plain[LEN];
    int aad_len = (int)strlen(vectors[_i].aad);
    char text[2 * sizeof(sealed) + 1];
    usher_xaes_t *xaes;
    int i;

    memset(key, vectors[_i].key, sizeof(key));
    xaes = usher_xaes_make(pool, key);
    ck_assert_ptr_nonnull(xaes);
    ck_assert_int_eq(usher_xaes_seal(xaes, sealed, NONCE, vectors[_i].aad, aad_len,
                                     (const unsigned char *)PLAIN, LEN), 1);
    hex(text, sealed, sizeof(sealed));
    ck_assert_str_eq(text, vectors[_i].sealed);
    ck_assert_int_eq(usher_xaes_open(xaes, plain, NONCE, vectors[_i].aad, aad_len, sealed, LEN),
                     1);
    ck_assert_mem_eq(plain, PLAIN, LEN);
    for (i = 0; i < (int)sizeof(sealed) * 8; ++i) {
        static const unsigned char zeros[LEN];

        sealed[i / 8] ^= (unsigned char)(1 << i % 8);
        ck_assert_int_eq(usher_xaes_open(xaes, plain, NONCE, vectors[_i].aad, aad_len, sealed,
                                         LEN), 0);
        ck_assert_mem_eq(plain, zeros, LEN);
        sealed[i / 8] ^= (unsigned char)(1 << i % 8);
    }
    ck_assert_int_eq(usher_xaes_open(xaes, plain, NONCE, "other", 5, sealed, LEN), 0);
    ck_assert_int_eq(usher_xaes_open(xaes, plain, NONCE, vectors[_i].aad, aad_len, sealed, LEN),
                     1);
}
END_TEST

/* A stream of SHAKE-128 of nothing. libcrypto 3.0 squeezes only once, so that all
 * that is needed is made at once. */
typedef struct {
    unsigned char *bytes;
    size_t at;
} stream_t;

static void stream_init(stream_t *stream, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    stream->bytes = malloc(len);
    stream->at = 0;
    ck_assert_int_eq(EVP_DigestInit_ex(ctx, EVP_shake128(), NULL), 1);
    ck_assert_int_eq(EVP_DigestFinalXOF(ctx, stream->bytes, len), 1);
    EVP_MD_CTX_free(ctx);
}

static const unsigned char *stream_take(stream_t *stream, size_t len)
{
    const unsigned char *bytes = stream->bytes + stream->at;

    stream->at += len;
    return bytes;
}

static const struct {
    int count;
    const char *hash;
} accumulated_cases[] = {
    { 10000, "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939" },
    { 1000000, "2163ae1445985a30b60585ee67daa55674df06901b890593e824b8a7c885ab15" },
};

static void accumulated_one(stream_t *rng, EVP_MD_CTX *hash)
{
    unsigned char sealed[255 + USHER_XAES_TAG_SIZE], opened[255 + 1];
    const unsigned char *key = stream_take(rng, USHER_XAES_KEY_SIZE);
    const unsigned char *nonce = stream_take(rng, USHER_XAES_NONCE_SIZE);
    int len = *stream_take(rng, 1);
    const unsigned char *plain = stream_take(rng, (size_t)len);
    int aad_len = *stream_take(rng, 1);
    const unsigned char *aad = stream_take(rng, (size_t)aad_len);
    usher_xaes_t *xaes = usher_xaes_make(pool, key);

    ck_assert_int_eq(usher_xaes_seal(xaes, sealed, nonce, aad, aad_len, plain, len), 1);
    ck_assert_int_eq(EVP_DigestUpdate(hash, sealed, (size_t)len + USHER_XAES_TAG_SIZE), 1);
    ck_assert_int_eq(usher_xaes_open(xaes, opened, nonce, aad, aad_len, sealed, len), 1);
    ck_assert_int_eq(memcmp(opened, plain, (size_t)len), 0);
    apr_pool_clear(pool);
}

START_TEST(accumulated)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    unsigned char result[32];
    char text[2 * sizeof(result) + 1];
    stream_t rng;
    int i;

    /* The greatest that it could be is 568 bytes for each; its mean is 313. */
    stream_init(&rng, (size_t)accumulated_cases[_i].count * 330);
    ck_assert_int_eq(EVP_DigestInit_ex(hash, EVP_shake128(), NULL), 1);
    for (i = 0; i < accumulated_cases[_i].count; ++i) {
        accumulated_one(&rng, hash);
    }
    ck_assert_int_eq(EVP_DigestFinalXOF(hash, result, sizeof(result)), 1);
    hex(text, result, sizeof(result));
    ck_assert_str_eq(text, accumulated_cases[_i].hash);
    EVP_MD_CTX_free(hash);
    free(rng.bytes);
}
END_TEST

#define THREADS 24 /* more than contexts are kept for */
#define EACH 3000

static void *worker(void *data)
{
    unsigned char nonce[USHER_XAES_NONCE_SIZE] = { 0 };
    unsigned char plain[32], sealed[sizeof(plain) + USHER_XAES_TAG_SIZE], opened[sizeof(plain)];
    usher_xaes_t *xaes = data;
    apr_size_t wrong = 0;
    int i;

    memset(plain, (int)(apr_uintptr_t)&wrong >> 12, sizeof(plain));
    for (i = 0; i < EACH; ++i) {
        memcpy(nonce, &i, sizeof(i));
        memcpy(nonce + 12, plain, 12);
        wrong += !usher_xaes_seal(xaes, sealed, nonce, "a", 1, plain, sizeof(plain));
        wrong += !usher_xaes_open(xaes, opened, nonce, "a", 1, sealed, sizeof(plain));
        wrong += memcmp(opened, plain, sizeof(plain)) != 0;
        wrong += usher_xaes_open(xaes, opened, nonce, "b", 1, sealed, sizeof(plain));
    }
    return (void *)wrong;
}

START_TEST(threads)
{
    static const unsigned char key[USHER_XAES_KEY_SIZE] = "thirty-two bytes that are a key";
    usher_xaes_t *xaes = usher_xaes_make(pool, key);
    pthread_t thread[THREADS];
    void *wrong;
    int i;

    for (i = 0; i < THREADS; ++i) {
        ck_assert_int_eq(pthread_create(&thread[i], NULL, worker, xaes), 0);
    }
    for (i = 0; i < THREADS; ++i) {
        pthread_join(thread[i], &wrong);
        ck_assert_ptr_null(wrong);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("xaes");
    TCase *tc = tcase_create("xaes");

    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, basic, 0, UNIT_COUNT(vectors));
    tcase_add_loop_test(tc, accumulated, 0, getenv("USHER_LONG") ? 2 : 1);
    tcase_add_test(tc, threads);
    suite_add_tcase(suite, tc);
    return unit_run(suite);
}
