#include "fuzz.h"
#include "usher_duration.h"
#include "usher_expiry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const usher_clock_t *clock = usher_clock_system();
    usher_expiry_t expiry;
    char text[USHER_EXPIRY_SIZE];

    if (usher_expiry_parse(&expiry, (const char *)data, size) == APR_SUCCESS) {
        apr_time_t before = clock->boot_now();
        apr_time_t at = usher_expiry_load(&expiry, clock);

        FUZZ_ASSERT(at >= before && at <= clock->boot_now() + USHER_DURATION_MAX);
        usher_expiry_format(text, &expiry);
        FUZZ_ASSERT(strlen(text) == size && !memcmp(text, data, size));
    }
    return 0;
}
