/* SipHash-1-3 with 128 bits: what OpenSSL's SIPHASH says, for each length up to some
 * blocks. */
#include "unit.h"
#include <openssl/evp.h>
#include <openssl/params.h>
#include "usher_siphash.h"

static unsigned char key[USHER_SIPHASH_KEY_SIZE];
static unsigned int seed;

static void by_openssl(unsigned char out[16], const unsigned char *bytes, size_t len)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    size_t size = 16, got = 0;
    unsigned int c = 1, d = 3;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_size_t("size", &size), OSSL_PARAM_construct_uint("c-rounds", &c),
        OSSL_PARAM_construct_uint("d-rounds", &d), OSSL_PARAM_construct_end(),
    };

    ck_assert_int_eq(EVP_MAC_init(ctx, key, sizeof(key), params), 1);
    ck_assert_int_eq(EVP_MAC_update(ctx, bytes, len), 1);
    ck_assert_int_eq(EVP_MAC_final(ctx, out, &got, 16), 1);
    ck_assert_uint_eq(got, 16);
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
}

static void by_us(unsigned char out[16], const unsigned char *bytes, size_t len)
{
    usher_siphash_t hash = usher_siphash(key, bytes, len);
    int i;

    for (i = 0; i < 16; ++i) {
        out[i] = (unsigned char)(hash.word[i / 8] >> (8 * (i % 8)));
    }
}

START_TEST(as_openssl)
{
    unsigned char expected[16], out[16];
    size_t len, i;

    seed = 1;
    for (len = 0; len < 300; ++len) {
        unsigned char text[300] = { 0 };
        char *copy;

        for (i = 0; i < len; ++i) {
            text[i] = (unsigned char)rand_r(&seed);
        }
        for (i = 0; i < sizeof(key); ++i) {
            key[i] = (unsigned char)rand_r(&seed);
        }
        copy = unit_copy(text, len);
        by_us(out, (unsigned char *)copy, len);
        by_openssl(expected, text, len);
        ck_assert_mem_eq(out, expected, 16);
        free(copy);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("siphash");
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, as_openssl);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
