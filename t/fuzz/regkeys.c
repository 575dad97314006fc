#include "fuzz.h"

#include "usher_regkeys.h"

/* What is accepted is sorted, and each key is found. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t room = usher_regkeys_room(text, size), count, i;
    usher_regkey_t *keys = malloc(room * sizeof(*keys));
    usher_regkeys_error_t error = { -1, NULL };

    FUZZ_ASSERT(keys);
    count = usher_regkeys_parse(keys, &error, text, size);
    FUZZ_ASSERT(count <= room);
    FUZZ_ASSERT(count ? !error.reason : error.reason && error.line >= 0);
    for (i = 0; i < count; ++i) {
        FUZZ_ASSERT(usher_regkeys_is_name(keys[i].id, strlen(keys[i].id)));
        FUZZ_ASSERT(usher_regkeys_is_name(keys[i].policy, strlen(keys[i].policy)));
        FUZZ_ASSERT(keys[i].secret_len >= USHER_REGKEYS_SECRET_MIN && keys[i].secret_len <= USHER_REGKEYS_SECRET_MAX);
        FUZZ_ASSERT(usher_regkeys_find(keys, count, keys[i].id, strlen(keys[i].id)) == &keys[i]);
    }
    free(keys);
    return 0;
}
