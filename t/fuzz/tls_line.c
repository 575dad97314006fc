#include "fuzz.h"

#include "tls_line.h"

static void inside(const tls_text_t *text, const uint8_t *data, size_t size)
{
    FUZZ_ASSERT(text->len <= size);
    FUZZ_ASSERT(text->at >= (const char *)data && text->at + text->len <= (const char *)data + size);
}

/* All that is told of a line is a part of it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;
    tls_text_t found;
    tls_line_t line;
    int i, read = tls_line_read(&line, at, size), any = 0;

    for (i = 0; i < TLS_LINE_TEXTS; ++i) {
        inside(&line.texts[i], data, size);
    }
    FUZZ_ASSERT(line.time >= 0);
    while (tls_line_next(at, (size_t)(end - at), &found)) {
        inside(&found, data, size);
        FUZZ_ASSERT(found.len >= 6 && !memcmp(found.at, "SSL:{", 5));
        FUZZ_ASSERT(memchr(found.at, '}', found.len) == found.at + found.len - 1);
        at = found.at + found.len;
        any = 1;
    }
    FUZZ_ASSERT(read || !any);
    return 0;
}
