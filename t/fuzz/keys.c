#include "fuzz.h"

#include <stdio.h>

#include "usher_keys.h"

/* What is accepted can be written down again in one form, and is then the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[USHER_KEYS_MAX * 80];
    usher_keys_error_t error = { -1, NULL };
    usher_keyring_t ring, again;
    size_t len = 0;
    int i, j;

    if (!usher_keys_parse(&ring, &error, (const char *)data, size)) {
        FUZZ_ASSERT(ring.count == 0 && error.line >= 0 && error.reason);
        return 0;
    }
    FUZZ_ASSERT(ring.count > 0 && ring.count <= USHER_KEYS_MAX);
    for (i = 0; i < ring.count; ++i) {
        len += (size_t)sprintf(text + len, "%08x ", ring.keys[i].id);
        for (j = 0; j < USHER_XAES_KEY_SIZE; ++j) {
            len += (size_t)sprintf(text + len, "%02x", ring.keys[i].bytes[j]);
        }
        text[len++] = '\n';
    }
    FUZZ_ASSERT(usher_keys_parse(&again, &error, text, len));
    FUZZ_ASSERT(usher_keyring_is_same(&ring, &again));
    return 0;
}
