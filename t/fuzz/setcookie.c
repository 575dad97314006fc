#include "fuzz.h"
#include "usher_setcookie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    usher_span_t value = { NULL, 0 };
    usher_setcookie_e does = usher_setcookie(&value, text, size, "SID", 3, 1000000000);

    FUZZ_ASSERT((does == USHER_SETCOOKIE_OTHER) == !usher_cookie_sets(text, size, "SID", 3));
    if (does != USHER_SETCOOKIE_OTHER) {
        FUZZ_ASSERT(value.text >= text && value.len <= (size_t)(text + size - value.text));
    }
    if (does == USHER_SETCOOKIE_SETS) {
        FUZZ_ASSERT(value.len);
    }
    return 0;
}
