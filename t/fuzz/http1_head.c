/* The first byte chooses the limits, the second one where the rest is split. */
#include "fuzz.h"
#include "usher_http1.h"

#include <stdio.h>

static int is_tchar(char c)
{
    return c && strchr("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                       "ABCDEFGHIJKLMNOPQRSTUVWXYZ", c);
}

static void check_field(const usher_http1_field_t *field)
{
    size_t i;

    FUZZ_ASSERT(field->name_len);
    for (i = 0; i < field->name_len; ++i) {
        FUZZ_ASSERT(is_tchar(field->name[i]));
    }
    for (i = 0; i < field->value_len; ++i) {
        FUZZ_ASSERT(field->value[i] == '\t' || (unsigned char)field->value[i] >= ' ');
        FUZZ_ASSERT(field->value[i] != 0x7f);
    }
    if (field->value_len) {
        FUZZ_ASSERT(!memchr(" \t", field->value[0], 2));
        FUZZ_ASSERT(!memchr(" \t", field->value[field->value_len - 1], 2));
    }
}

/* What a proxy would write: one line for each field told. */
static size_t write_head(char *out, const usher_http1_head_t *head, const char *buf)
{
    size_t at = head->fields_at;
    size_t len = (size_t)sprintf(out, "HTTP/1.%d %d ", head->minor, head->status);
    unsigned int fields = 0;
    usher_http1_field_t field;

    memcpy(out + len, head->reason, head->reason_len);
    len += head->reason_len;
    while (usher_http1_next_field(buf, head->len, &at, &field)) {
        FUZZ_ASSERT(field.name >= buf && field.value + field.value_len <= buf + head->len);
        check_field(&field);
        ++fields;
        len += (size_t)sprintf(out + len, "\r\n%.*s: ", (int)field.name_len, field.name);
        memcpy(out + len, field.value, field.value_len);
        len += field.value_len;
    }
    FUZZ_ASSERT(fields == head->fields);
    FUZZ_ASSERT(at <= head->len && !usher_http1_next_field(buf, head->len, &at, &field));
    return len + (size_t)sprintf(out + len, "\r\n\r\n");
}

static void check_same(const usher_http1_head_t *a, const usher_http1_head_t *b)
{
    FUZZ_ASSERT(a->minor == b->minor && a->status == b->status && a->fields == b->fields);
    FUZZ_ASSERT(a->content_length == b->content_length && a->idle_max == b->idle_max);
    FUZZ_ASSERT(a->chunked == b->chunked && a->close == b->close);
    FUZZ_ASSERT(a->upgrade == b->upgrade && a->reason_len == b->reason_len);
    FUZZ_ASSERT(!memcmp(a->reason, b->reason, a->reason_len));
}

static void check_done(const usher_http1_head_t *head, char *buf, size_t size,
                       const usher_http1_limits_t *limits)
{
    const usher_http1_limits_t none = { SIZE_MAX, SIZE_MAX, UINT32_MAX,
                                        USHER_HTTP1_BADLINE_REFUSE };
    char *written = malloc(64 + size * 4);
    usher_http1_head_t again = { 0 };
    const char *why;
    size_t len;

    FUZZ_ASSERT(head->len <= size && head->len <= limits->head_max);
    FUZZ_ASSERT(head->fields_at <= head->len && head->fields <= limits->fields_max);
    FUZZ_ASSERT(head->status >= 100 && head->status <= 999);
    FUZZ_ASSERT(!head->chunked || head->content_length < 0);
    /* Who gets it from the proxy reads the same in it. */
    len = write_head(written, head, buf);
    FUZZ_ASSERT(usher_http1_head(&again, written, len, &none, &why) == USHER_PARSE_DONE);
    FUZZ_ASSERT(again.len == len);
    check_same(head, &again);
    free(written);
}

/* Whole, in memory of exactly its size. */
static usher_parse_e parse_whole(usher_http1_head_t *head, char **buf, const char *text,
                                 size_t size, const usher_http1_limits_t *limits)
{
    const char *why = NULL;
    usher_parse_e rv;

    *buf = memcpy(malloc(size + !size), text, size);
    rv = usher_http1_head(head, *buf, size, limits, &why);
    FUZZ_ASSERT((rv == USHER_PARSE_BAD) == (why != NULL));
    return rv;
}

/* First some bytes, then more by a step at a time, in memory that moves. */
static usher_parse_e parse_pieces(usher_http1_head_t *head, char **buf, const char *text,
                                  size_t size, const usher_http1_limits_t *limits,
                                  size_t first, size_t step)
{
    const char *why;
    size_t len = first;
    usher_parse_e rv;

    *buf = memcpy(malloc(len + !len), text, len);
    while ((rv = usher_http1_head(head, *buf, len, limits, &why)) == USHER_PARSE_MORE
           && len < size) {
        size_t n = size - len < step ? size - len : step;
        char *moved = memcpy(malloc(len + n), *buf, len);

        free(*buf);
        *buf = moved;
        memcpy(*buf + len, text + len, n);
        len += n;
    }
    if (rv == USHER_PARSE_DONE) {
        FUZZ_ASSERT(head->len <= len);
    }
    return rv;
}

static void check_pieces(const usher_http1_head_t *whole, usher_parse_e rv, const char *parsed,
                         const char *text, size_t size, const usher_http1_limits_t *limits,
                         size_t first, size_t step)
{
    usher_http1_head_t head = { 0 };
    char *buf;

    FUZZ_ASSERT(parse_pieces(&head, &buf, text, size, limits, first, step) == rv);
    if (rv == USHER_PARSE_DONE) {
        check_same(whole, &head);
        FUZZ_ASSERT(whole->len == head.len && whole->fields_at == head.fields_at);
        FUZZ_ASSERT(whole->reason - parsed == head.reason - buf);
        FUZZ_ASSERT(!memcmp(parsed, buf, head.len));
    }
    free(buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    usher_http1_limits_t limits = { SIZE_MAX, SIZE_MAX, UINT32_MAX,
                                    USHER_HTTP1_BADLINE_REFUSE };
    const char *text = (const char *)data + 2;
    usher_http1_head_t head = { 0 };
    usher_parse_e rv;
    char *buf;

    if (size < 2) {
        return 0;
    }
    size -= 2;
    limits.badline = (usher_http1_badline_e)(data[0] % 3);
    if (data[0] & 0x40) {
        limits.fields_max = data[0] & 7;
    }
    if (data[0] & 0x80) {
        limits.line_max = 20 + (data[0] & 0x3f);
        limits.head_max = 40 + (size_t)data[1];
    }
    rv = parse_whole(&head, &buf, text, size, &limits);
    if (rv == USHER_PARSE_DONE) {
        check_done(&head, buf, size, &limits);
    }
    check_pieces(&head, rv, buf, text, size, &limits, data[1] < size ? data[1] : size, size + 1);
    check_pieces(&head, rv, buf, text, size, &limits, 0, 1 + size / 512);
    free(buf);
    return 0;
}
