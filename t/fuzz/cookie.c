#include "fuzz.h"
#include "usher_cookie.h"

static int is_within(const usher_span_t *span, const char *text, size_t size)
{
    return span->text >= text && span->len <= (size_t)(text + size - span->text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    char *to = malloc(size + 1);
    usher_span_t value, route;
    apr_size_t at = 0, left;

    while (usher_cookie_next(&value, &at, text, size, "SID", 3)) {
        FUZZ_ASSERT(is_within(&value, text, size));
        if (usher_cookie_route(&route, &value, '.')) {
            FUZZ_ASSERT(route.len && is_within(&route, text, size));
        }
    }
    left = usher_cookie_without(to, text, size, "SID", 3);
    FUZZ_ASSERT(left <= size);
    at = 0;
    FUZZ_ASSERT(!usher_cookie_next(&value, &at, to, left, "SID", 3));
    if (usher_cookie_in_path(&value, text, size, "SID", 3)) {
        FUZZ_ASSERT(value.len && is_within(&value, text, size));
    }
    if (usher_cookie_in_query(&value, text, size, "SID", 3)) {
        FUZZ_ASSERT(value.len && is_within(&value, text, size));
    }
    usher_cookie_sets(text, size, "SID", 3);
    usher_cookie_is_name(text, size);
    usher_cookie_is_attribute(text, size);
    usher_cookie_is_domain(text, size);
    free(to);
    return 0;
}
