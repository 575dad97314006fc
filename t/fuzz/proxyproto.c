#include "fuzz.h"

#include "usher_proxyproto.h"

/* However the bytes arrive, they come to the same, and once they are bad they stay so. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    usher_proxyproto_t header, before = { 0 };
    usher_parse_e got = USHER_PARSE_MORE;
    size_t len;

    for (len = 0; len <= size && len <= 2 * USHER_PROXYPROTO_ENOUGH; ++len) {
        char *copy = malloc(len ? len : 1);
        usher_parse_e next;

        memcpy(copy, data, len);
        next = usher_proxyproto_read(&header, copy, len);
        free(copy);
        FUZZ_ASSERT(got == USHER_PARSE_MORE || next == got);
        FUZZ_ASSERT(len < USHER_PROXYPROTO_ENOUGH || next != USHER_PARSE_MORE);
        if (got == USHER_PARSE_DONE) {
            FUZZ_ASSERT(header.has_client == before.has_client && header.port == before.port
                        && header.len == before.len
                        && !memcmp(&header.client, &before.client, sizeof(header.client)));
        }
        got = next;
        before = header;
    }
    return 0;
}
