#include "fuzz.h"
#include "usher_duration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_interval_time_t usec = -1, again = -1;
    char text[USHER_DURATION_SIZE];

    if (usher_duration_parse(&usec, (const char *)data, size) == APR_SUCCESS) {
        FUZZ_ASSERT(usec >= 0 && usec <= USHER_DURATION_MAX);
        usher_duration_format(text, usec);
        FUZZ_ASSERT(usher_duration_parse(&again, text, strlen(text)) == APR_SUCCESS && again == usec);
    }
    else {
        FUZZ_ASSERT(usec == -1);
    }
    return 0;
}
