#include "fuzz.h"
#include "usher_size.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_uint64_t bytes = 7, again = 7;
    char text[USHER_SIZE_SIZE];

    if (usher_size_parse(&bytes, (const char *)data, size) == APR_SUCCESS) {
        usher_size_format(text, bytes);
        FUZZ_ASSERT(usher_size_parse(&again, text, strlen(text)) == APR_SUCCESS && again == bytes);
    }
    else {
        FUZZ_ASSERT(bytes == 7);
    }
    return 0;
}
