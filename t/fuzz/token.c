#include "fuzz.h"

#include <apr_general.h>

#include "usher_token.h"

/* One of the tokens that were sealed under this key. */
static const char known[] =
    "AQECAwTWSysIw28JSEchg0oR9wIJyM3-fpreJWVOQpdOExQ09B71MgiEqzgCmxiASbzdLI1YjnLqk6VgQbAAX7nplOB91A1b7A";

/* Nothing is a token but what was sealed: the input itself, and the input as changes to
 * one that was. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const usher_keyring_t ring = { 1, { { 0x01020304, "the fixed key of the fuzz target" } } };
    char text[USHER_TOKEN_SIZE];
    usher_token_t token;
    usher_keys_t *keys;
    apr_pool_t *pool;
    size_t i;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    keys = usher_keys_make(pool, &ring);
    FUZZ_ASSERT(usher_token_open(&token, keys, "fuzz", 4, known, USHER_TOKEN_SIZE)
                == USHER_TOKEN_OK);
    if (usher_token_open(&token, keys, "fuzz", 4, (const char *)data, size)
        == USHER_TOKEN_OK) {
        FUZZ_ASSERT(size == USHER_TOKEN_SIZE && !memcmp(data, known, USHER_TOKEN_SIZE));
    }
    memcpy(text, known, USHER_TOKEN_SIZE);
    for (i = 0; i + 1 < size; i += 2) {
        text[data[i] % USHER_TOKEN_SIZE] = (char)data[i + 1];
    }
    if (usher_token_open(&token, keys, "fuzz", 4, text, USHER_TOKEN_SIZE)
        == USHER_TOKEN_OK) {
        FUZZ_ASSERT(!memcmp(text, known, USHER_TOKEN_SIZE));
    }
    apr_pool_destroy(pool);
    return 0;
}
