/* What a token costs, for t/bench/token:
 * tokens OPERATION COUNT    does it so often, and prints nanoseconds for each */
#include <apr_general.h>
#include <apr_time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "usher_token_cache.h"

#define AAD "sixteen bytes id", 16

static usher_keys_t *keys;
static usher_token_cache_t *cache;
static char good[USHER_TOKEN_SIZE], text[USHER_TOKEN_SIZE];
static const usher_token_t sample = { "member's 16 byte", 1700000000, 1700000600, 4711 };

static int seal(void)
{
    return usher_token_seal(text, &sample, keys, AAD) == APR_SUCCESS;
}

static int open_text(const char *from, apr_size_t len)
{
    usher_token_t token;

    return (int)usher_token_open(&token, keys, AAD, from, len);
}

static int open_good(void)
{
    return open_text(good, sizeof(good)) == USHER_TOKEN_OK;
}

static int open_known(void)
{
    usher_token_t token;

    return usher_token_cache_open(cache, &token, keys, AAD, good, sizeof(good))
           == USHER_TOKEN_OK;
}

static int refuse_malformed(void)
{
    text[USHER_TOKEN_SIZE - 1] = '=';
    return open_text(text, sizeof(text)) == USHER_TOKEN_MALFORMED;
}

static int refuse_unknown(void)
{
    text[3] = 'z';
    return open_text(text, sizeof(text)) == USHER_TOKEN_UNKNOWN_KEY;
}

static int refuse_forged(void)
{
    text[60] = (char)(good[60] == 'A' ? 'B' : 'A');
    return open_text(text, sizeof(text)) == USHER_TOKEN_FORGED;
}

static const struct {
    const char *name;
    int (*run)(void);
} operations[] = {
    { "seal", seal },
    { "open", open_good },
    { "known", open_known },
    { "malformed", refuse_malformed },
    { "unknown", refuse_unknown },
    { "forged", refuse_forged },
};

int main(int argc, char **argv)
{
    long i, n = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    usher_keyring_t ring;
    apr_time_t began;
    apr_pool_t *pool;
    size_t k;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    cache = usher_token_cache_make(pool);
    if (!usher_keyring_make(&ring) || !(keys = usher_keys_make(pool, &ring))
        || usher_token_seal(good, &sample, keys, AAD) != APR_SUCCESS) {
        return EXIT_FAILURE;
    }
    for (k = 0; n > 0 && k < sizeof(operations) / sizeof(operations[0]); ++k) {
        if (strcmp(argv[1], operations[k].name)) {
            continue;
        }
        memcpy(text, good, sizeof(text));
        began = apr_time_now();
        for (i = 0; i < n; ++i) {
            if (!operations[k].run()) {
                return EXIT_FAILURE;
            }
        }
        printf("%.0f\n", (double)(apr_time_now() - began) * 1000 / (double)n);
        return EXIT_SUCCESS;
    }
    return EXIT_FAILURE;
}
