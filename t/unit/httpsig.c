/* Signed requests: the RFCs' own examples, each prefix and each changed byte of one, and what is refused. */
#include "unit.h"

#include <openssl/evp.h>

#include "usher_httpsig.h"

/* RFC 9421, B.2: the test request, as far as the examples cover it; and what 2.5 has. */
static const struct {
    const char *name, *value;
} request[] = {
    { "@method", "POST" },
    { "@authority", "example.com" },
    { "@path", "/foo" },
    { "date", "Tue, 20 Apr 2021 02:07:55 GMT" },
    { "content-type", "application/json" },
    { "content-digest", "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdV"
                        "LvRwEmTHWXvJwew==:" },
    { "content-length", "18" },
    { "x-empty", "" },
    { "x-split", "a\nb" },
};

static int find(void *baton, usher_span_t name, usher_span_t *value)
{
    int i;

    for (i = 0; i < UNIT_COUNT(request); ++i) {
        if (name.len == strlen(request[i].name) && !memcmp(name.text, request[i].name, name.len)) {
            *value = (usher_span_t) { request[i].value, strlen(request[i].value) };
            return 1;
        }
    }
    return 0;
}

static usher_span_t span(const char *text)
{
    return (usher_span_t) { text, strlen(text) };
}

/* RFC 9421, 2.5 */
#define INPUT_25 "sig1=(\"@method\" \"@authority\" \"@path\" \"content-digest\" \"content-length\" " \
                 "\"content-type\");created=1618884473;keyid=\"test-key-rsa-pss\""
#define BASE_25 \
    "\"@method\": POST\n" \
    "\"@authority\": example.com\n" \
    "\"@path\": /foo\n" \
    "\"content-digest\": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLv" \
    "RwEmTHWXvJwew==:\n" \
    "\"content-length\": 18\n" \
    "\"content-type\": application/json\n" \
    "\"@signature-params\": (\"@method\" \"@authority\" \"@path\" \"content-digest\" \"content-length\" " \
    "\"content-type\");created=1618884473;keyid=\"test-key-rsa-pss\""

/* RFC 9421, B.1.5 and B.2.5 */
#define KEY "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
#define INPUT "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\""
#define BASE \
    "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n" \
    "\"@authority\": example.com\n" \
    "\"content-type\": application/json\n" \
    "\"@signature-params\": (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\""
#define SIGNATURE "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:"

/* Whether a request with these fields is signed with this key. */
static int accepts(const char *input, apr_size_t input_len, const char *signature,
                   apr_size_t signature_len, int flip)
{
    unsigned char key[128], mac[USHER_HTTPSIG_MAC_SIZE];
    int key_len = EVP_DecodeBlock(key, (const unsigned char *)KEY, sizeof(KEY) - 1) - 2;
    usher_httpsig_t sig;
    const char *why = NULL;
    char base[1024];
    apr_size_t len;

    if (flip >= 0) {
        key[flip / 8] ^= (unsigned char)(1 << flip % 8);
    }
    if (!usher_httpsig_parse(&sig, &why, (usher_span_t) { input, input_len })
        || !usher_httpsig_parse_mac(mac, &sig, &why, (usher_span_t) { signature, signature_len })) {
        ck_assert_ptr_nonnull(why);
        return 0;
    }
    len = usher_httpsig_base(&sig, base, sizeof(base), find, NULL);
    return len && usher_httpsig_verify(mac, key, (apr_size_t)key_len, base, len);
}

START_TEST(bases)
{
    static const char *const tests[][2] = { { INPUT_25, BASE_25 }, { INPUT, BASE } };
    const char *right = tests[_i][1], *why;
    apr_size_t size;
    usher_httpsig_t sig;

    ck_assert(usher_httpsig_parse(&sig, &why, span(tests[_i][0])));
    ck_assert_int_eq(sig.created, 1618884473);
    ck_assert_int_eq(sig.expires, USHER_HTTPSIG_NEVER);
    ck_assert(usher_httpsig_covers(&sig, "@authority"));
    ck_assert(!usher_httpsig_covers(&sig, "@query"));
    for (size = 0; size <= strlen(right); ++size) {
        char *base = malloc(size + 1);
        apr_size_t len = usher_httpsig_base(&sig, base, size, find, NULL);

        ck_assert_uint_eq(len, size == strlen(right) ? size : 0);
        ck_assert(!len || !memcmp(base, right, len));
        free(base);
    }
}
END_TEST

START_TEST(published)
{
    ck_assert(accepts(INPUT, strlen(INPUT), SIGNATURE, strlen(SIGNATURE), -1));
    ck_assert(accepts("  " INPUT " \t", strlen(INPUT) + 4, SIGNATURE " ", strlen(SIGNATURE) + 1, -1));
}
END_TEST

START_TEST(prefixes)
{
    apr_size_t len;
    char *copy;

    for (len = 0; len < strlen(INPUT); ++len) {
        copy = unit_copy(INPUT, len);
        ck_assert_msg(!accepts(copy, len, SIGNATURE, strlen(SIGNATURE), -1), "%.*s", (int)len, INPUT);
        free(copy);
    }
    for (len = 0; len < strlen(SIGNATURE); ++len) {
        copy = unit_copy(SIGNATURE, len);
        ck_assert_msg(!accepts(INPUT, strlen(INPUT), copy, len, -1), "%.*s", (int)len, SIGNATURE);
        free(copy);
    }
}
END_TEST

START_TEST(flipped)
{
    char input[] = INPUT, signature[] = SIGNATURE;
    apr_size_t i;
    int bit;

    for (i = 0; i < strlen(INPUT); ++i) {
        for (bit = 1; bit < 256; bit <<= 1) {
            input[i] = (char)(INPUT[i] ^ bit);
            ck_assert_msg(!accepts(input, strlen(INPUT), SIGNATURE, strlen(SIGNATURE), -1), "%s", input);
        }
        input[i] = INPUT[i];
    }
    for (i = 0; i < strlen(SIGNATURE); ++i) {
        for (bit = 1; bit < 256; bit <<= 1) {
            signature[i] = (char)(SIGNATURE[i] ^ bit);
            ck_assert_msg(!accepts(INPUT, strlen(INPUT), signature, strlen(SIGNATURE), -1), "%s", signature);
        }
        signature[i] = SIGNATURE[i];
    }
    for (bit = 0; bit < 64 * 8; ++bit) {
        ck_assert(!accepts(INPUT, strlen(INPUT), SIGNATURE, strlen(SIGNATURE), bit));
    }
}
END_TEST

START_TEST(parameters)
{
    usher_httpsig_t sig;
    const char *why;

    ck_assert(usher_httpsig_parse(&sig, &why, span("*a-_.9=();expires=0;tag=\"x\";alg=\"hmac-sha256\";nonce=\" \";keyid=\"\";"
                                                   "created=999999999999999")));
    ck_assert_uint_eq(sig.count, 0);
    ck_assert_int_eq(sig.expires, 0);
    ck_assert_int_eq(sig.created, APR_INT64_C(999999999999999));
    ck_assert(sig.tag.len == 1 && sig.alg.len == 11 && sig.nonce.len == 1);
    ck_assert(sig.keyid.text && !sig.keyid.len);
    ck_assert(usher_httpsig_parse(&sig, &why, span("s=(\"@method\")")));
    ck_assert(!sig.keyid.text && !sig.nonce.text && sig.created == USHER_HTTPSIG_NEVER);
}
END_TEST

static const char *const bad[] = {
    "", " ", "s", "s=", "=()", "S=()", "9s=()", "s =()", "s= ()", "s=\"x\"", "s=(", "s=( )", "s=(\"@method\" )",
    "s=(\"@method\"  \"@path\")", "s=(\"@method\"\"@path\")", "s=(\"@method\",\"@path\")", "s=(\"@Method\")",
    "s=(\"\")", "s=(\"@\tx\")", "s=(\"a@b\")", "s=(method)", "s=(\"date\";sf)", "s=(\"@query-param\";name=\"a\")",
    "s=(\"date\" \"@path\" \"date\")", "s=(\"a\\\"b\")", "s=();", "s=(); created=1", "s=();created", "s=();created=",
    "s=();created=-1", "s=();created=01", "s=();created=1.5", "s=();created=1000000000000000", "s=();created=\"1\"",
    "s=();created=1;created=2", "s=();keyid=\"a\";keyid=\"a\"", "s=();keyid=a", "s=();keyid=\"a", "s=();keyid=\"a\\\\\"",
    "s=();keyid=\"\x7f\"", "s=();keyid=\"\xc3\xa9\"", "s=();nonce=:YQ==:", "s=();other=1", "s=();created=1 x",
    "s=(),", "s=(), t=()", "s=();created=1,s=()", "s=()\n",
    "s=(\"a\" \"b\" \"c\" \"d\" \"e\" \"f\" \"g\" \"h\" \"i\" \"j\" \"k\" \"l\" \"m\" \"n\" \"o\" \"p\" \"q\")",
};

START_TEST(refused)
{
    char *copy = unit_copy(bad[_i], strlen(bad[_i]));
    usher_httpsig_t sig;
    const char *why = NULL;

    ck_assert_msg(!usher_httpsig_parse(&sig, &why, (usher_span_t) { copy, strlen(bad[_i]) }), "%s", bad[_i]);
    ck_assert_ptr_nonnull(why);
    free(copy);
}
END_TEST

static const char *const bad_macs[] = {
    "sig-b25", "sig-b25=", "sig-b25=:", "sig-b25=::", "sig-b25=pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8:", "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf_bws5LelbaMk5rGIGtE8=:",
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE9=:", "other=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:;a=1",
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:, b=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
};

START_TEST(refused_macs)
{
    ck_assert(!accepts(INPUT, strlen(INPUT), bad_macs[_i], strlen(bad_macs[_i]), -1));
}
END_TEST

START_TEST(no_base)
{
    static const char *const inputs[] = { "s=(\"@query\")", "s=(\"x-none\")", "s=(\"x-split\")" };
    usher_httpsig_t sig;
    const char *why;
    char base[256];

    ck_assert(usher_httpsig_parse(&sig, &why, span(inputs[_i])));
    ck_assert_uint_eq(usher_httpsig_base(&sig, base, sizeof(base), find, NULL), 0);
    ck_assert(usher_httpsig_parse(&sig, &why, span("s=(\"x-empty\")")));
    ck_assert_uint_eq(usher_httpsig_base(&sig, base, sizeof(base), find, NULL),
                      strlen("\"x-empty\": \n\"@signature-params\": (\"x-empty\")"));
}
END_TEST

/* RFC 9530, B.1, and RFC 9421, B.2 */
#define HELLO "{\"hello\": \"world\"}"
#define HELLO_LF "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="
#define HELLO_DIGEST "X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="
#define EMPTY "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

static const struct {
    const char *field, *body;
    usher_httpsig_digest_e digest;
} digests[] = {
    { "sha-256=:" HELLO_DIGEST ":", HELLO, USHER_HTTPSIG_DIGEST_GOOD },
    { "sha-256=:" HELLO_LF ":", HELLO "\n", USHER_HTTPSIG_DIGEST_GOOD },
    { "sha-256=:" HELLO_LF ":", HELLO, USHER_HTTPSIG_DIGEST_BAD },
    { "sha-256=:" EMPTY ":", "", USHER_HTTPSIG_DIGEST_GOOD },
    { "sha-512=:YQ==:, sha-256=:" HELLO_DIGEST ":", HELLO, USHER_HTTPSIG_DIGEST_GOOD },
    { " sha-256=:" HELLO_DIGEST ": ,\tunixsum=:YQ==: ", HELLO, USHER_HTTPSIG_DIGEST_GOOD },
    { "sha-512=:YQ==:", HELLO, USHER_HTTPSIG_DIGEST_NONE },
    { "", HELLO, USHER_HTTPSIG_DIGEST_BAD },
    { "sha-256", HELLO, USHER_HTTPSIG_DIGEST_BAD },
    { "SHA-256=:" HELLO_DIGEST ":", HELLO, USHER_HTTPSIG_DIGEST_BAD },
    { "sha-256=" HELLO_DIGEST, HELLO, USHER_HTTPSIG_DIGEST_BAD },
    { "sha-256=:" HELLO_DIGEST ":,", HELLO, USHER_HTTPSIG_DIGEST_BAD },
    { "sha-256=:" HELLO_DIGEST ":, sha-256=:" HELLO_DIGEST ":", HELLO, USHER_HTTPSIG_DIGEST_BAD },
    { "sha-256=:" HELLO_DIGEST ":, sha-512=1", HELLO, USHER_HTTPSIG_DIGEST_BAD },
    { "sha-256=:" HELLO_DIGEST ":x", HELLO, USHER_HTTPSIG_DIGEST_BAD },
};

START_TEST(digest)
{
    apr_size_t len = strlen(digests[_i].field);
    char *copy = unit_copy(digests[_i].field, len);

    ck_assert_int_eq(usher_httpsig_digest((usher_span_t) { copy, len }, digests[_i].body, strlen(digests[_i].body)),
                     digests[_i].digest);
    free(copy);
}
END_TEST

START_TEST(digest_flipped)
{
    char field[] = "sha-256=:" HELLO_DIGEST ":", body[] = HELLO;
    apr_size_t i;

    for (i = 0; i < strlen(field); ++i) {
        char was = field[i];

        ck_assert_int_ne(usher_httpsig_digest((usher_span_t) { field, i }, body, strlen(body)), USHER_HTTPSIG_DIGEST_GOOD);
        field[i] ^= 1;
        ck_assert_int_ne(usher_httpsig_digest(span(field), body, strlen(body)), USHER_HTTPSIG_DIGEST_GOOD);
        field[i] = was;
    }
    for (i = 0; i < strlen(body); ++i) {
        body[i] ^= 1;
        ck_assert_int_eq(usher_httpsig_digest(span(field), body, strlen(body)), USHER_HTTPSIG_DIGEST_BAD);
        body[i] ^= 1;
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("httpsig");
    TCase *tests = tcase_create("httpsig");

    tcase_add_loop_test(tests, bases, 0, 2);
    tcase_add_test(tests, published);
    tcase_add_test(tests, prefixes);
    tcase_add_test(tests, flipped);
    tcase_add_test(tests, parameters);
    tcase_add_loop_test(tests, refused, 0, UNIT_COUNT(bad));
    tcase_add_loop_test(tests, refused_macs, 0, UNIT_COUNT(bad_macs));
    tcase_add_loop_test(tests, no_base, 0, 3);
    tcase_add_loop_test(tests, digest, 0, UNIT_COUNT(digests));
    tcase_add_test(tests, digest_flipped);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
