/* The first byte says in which pieces the rest is given: chunks, then trailers.
 * What comes out is compared with a decoder that is naive and has all at once. */
#include "fuzz.h"
#include "usher_http1.h"

/* What a decoder makes of all bytes. */
typedef struct {
    usher_parse_e rv;
    size_t used;
    size_t len;
    char *data;
} decoded_t;

static size_t digits_at(const char *text, size_t size)
{
    size_t n = 0;

    while (n < size && text[n] && strchr("0123456789abcdefABCDEF", text[n])) {
        ++n;
    }
    return n;
}

/* The length of a chunk line with its CRLF; 0 where it is bad or not whole. */
static size_t line_at(const char *text, size_t size, unsigned long long *chunk)
{
    size_t digits = digits_at(text, size);
    size_t at = digits;
    char number[17] = "";

    if (!digits || digits > 16) {
        return 0;
    }
    memcpy(number, text, digits);
    *chunk = strtoull(number, NULL, 16);
    while (at < size && (text[at] == ' ' || text[at] == '\t')) {
        ++at;
    }
    if (at < size && text[at] == ';') {
        while (at < size && text[at] != 0x7f
               && (text[at] == '\t' || (unsigned char)text[at] >= ' ')) {
            ++at;
        }
    }
    return *chunk >> 63 == 0 && at + 2 <= size && at + 2 <= 4096
                   && text[at] == '\r' && text[at + 1] == '\n' ? at + 2 : 0;
}

/* Whole answers only: without DONE, data is all that came before the fault. */
static void decode_naively(decoded_t *out, const char *text, size_t size)
{
    unsigned long long chunk;
    size_t at = 0;

    for (;;) {
        size_t n = line_at(text + at, size - at, &chunk);

        at += n;
        if (!n || !chunk) {
            out->rv = n ? USHER_PARSE_DONE : USHER_PARSE_BAD;
            out->used = at;
            return;
        }
        n = chunk < size - at ? (size_t)chunk : size - at;
        memcpy(out->data + out->len, text + at, n);
        out->len += n;
        at += n;
        if (size - at < 2 || text[at] != '\r' || text[at + 1] != '\n') {
            out->rv = USHER_PARSE_BAD;
            return;
        }
        at += 2;
    }
}

/* In pieces of a size, each of them in memory of exactly that size. */
static void decode_in_pieces(decoded_t *out, const char *text, size_t size, size_t piece)
{
    usher_http1_chunks_t chunks = { 0 };

    out->rv = USHER_PARSE_MORE;
    while (out->rv == USHER_PARSE_MORE && out->used < size) {
        size_t n = size - out->used < piece ? size - out->used : piece;
        char *copy = memcpy(malloc(n), text + out->used, n);
        apr_size_t used = n + 1, data_len = n + 1;
        const char *data = NULL, *why = NULL;

        out->rv = usher_http1_chunks(&chunks, copy, n, &used, &data, &data_len, &why);
        FUZZ_ASSERT(used <= n && (out->rv == USHER_PARSE_BAD) == (why != NULL));
        FUZZ_ASSERT(used || out->rv != USHER_PARSE_MORE);
        FUZZ_ASSERT(data >= copy && data_len <= used);
        FUZZ_ASSERT(!data_len || data + data_len == copy + used);
        memcpy(out->data + out->len, data, data_len);
        out->len += data_len;
        out->used += used;
        free(copy);
    }
}

static void read_trailers(const char *text, size_t size)
{
    static const usher_http1_limits_t limits = { 200, 1000, 20, USHER_HTTP1_BADLINE_SKIP };
    char *copy = memcpy(malloc(size + 1), text, size);
    apr_size_t used, at = 0;
    unsigned int fields, told = 0;
    const char *why;
    usher_http1_field_t field;

    if (usher_http1_trailers(copy, size, &limits, &used, &fields, &why) == USHER_PARSE_DONE) {
        FUZZ_ASSERT(used <= size && used <= limits.head_max);
        while (usher_http1_next_field(copy, used, &at, &field)) {
            FUZZ_ASSERT(field.name_len && field.value + field.value_len <= copy + used);
            ++told;
        }
        FUZZ_ASSERT(told == fields && fields <= limits.fields_max);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decoded_t naive = { 0 }, whole = { 0 }, pieces = { 0 };
    const char *text = (const char *)data + 1;

    if (size-- < 2) {
        return 0;
    }
    naive.data = malloc(size);
    whole.data = malloc(size);
    pieces.data = malloc(size);
    decode_naively(&naive, text, size);
    decode_in_pieces(&whole, text, size, size);
    decode_in_pieces(&pieces, text, size, (size_t)data[0] + 1);

    FUZZ_ASSERT(whole.rv == pieces.rv && whole.used == pieces.used);
    FUZZ_ASSERT(whole.len == pieces.len && !memcmp(whole.data, pieces.data, whole.len));
    FUZZ_ASSERT((whole.rv == USHER_PARSE_DONE) == (naive.rv == USHER_PARSE_DONE));
    FUZZ_ASSERT(whole.len == naive.len && !memcmp(whole.data, naive.data, whole.len));
    if (whole.rv == USHER_PARSE_DONE) {
        FUZZ_ASSERT(whole.used == naive.used);
        read_trailers(text + whole.used, size - whole.used);
    }
    free(naive.data);
    free(whole.data);
    free(pieces.data);
    return 0;
}
