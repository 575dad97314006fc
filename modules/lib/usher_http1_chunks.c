/* Chunks, RFC 9112 7.1. Line ends are CRLF and nothing else: where one reader
 * takes a lone LF for the end of a chunk line and another does not, they
 * disagree about where the answer ends. */
#include "usher_http1.h"

/* Bytes of a chunk line with its CRLF. Extensions mean nothing to us. */
#define LINE_MAX_LEN 4096
#define DIGITS_MAX 16

enum {
    IN_SIZE, /* 0: a new reader is here */
    IN_BLANKS,
    IN_EXTENSION,
    AT_LINE_LF,
    IN_DATA,
    AT_DATA_CR,
    AT_DATA_LF,
    AT_END
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The functions below read one byte and return NULL or what is wrong. */

static const char *after_size(usher_http1_chunks_t *chunks, char c)
{
    if (c == '\r') {
        chunks->state = AT_LINE_LF;
    }
    else if (c == ';') {
        chunks->state = IN_EXTENSION;
    }
    else if (c == ' ' || c == '\t') {
        chunks->state = IN_BLANKS;
    }
    else {
        return "invalid chunk size";
    }
    return NULL;
}

/* The digits come first in their line: line_len counts them. */
static const char *read_size(usher_http1_chunks_t *chunks, char c)
{
    int digit = hex_value(c);

    if (digit < 0) {
        return chunks->line_len > 1 ? after_size(chunks, c) : "invalid chunk size";
    }
    if (chunks->line_len > DIGITS_MAX || chunks->left > (apr_uint64_t)APR_INT64_MAX >> 4) {
        return "chunk too large";
    }
    chunks->left = chunks->left << 4 | (unsigned int)digit;
    return NULL;
}

static const char *read_extension(usher_http1_chunks_t *chunks, char c)
{
    unsigned char byte = (unsigned char)c;

    if (c == '\r') {
        chunks->state = AT_LINE_LF;
    }
    else if ((byte < ' ' && c != '\t') || byte == 0x7f) {
        return "control character in a chunk extension";
    }
    return NULL;
}

static const char *read_line_byte(usher_http1_chunks_t *chunks, char c)
{
    if (++chunks->line_len > LINE_MAX_LEN) {
        return "chunk line too long";
    }
    switch (chunks->state) {
    case IN_SIZE:
        return read_size(chunks, c);
    case IN_BLANKS:
        return after_size(chunks, c);
    case IN_EXTENSION:
        return read_extension(chunks, c);
    default: /* AT_LINE_LF */
        if (c != '\n') {
            return "chunk line that does not end in CRLF";
        }
        chunks->state = chunks->left ? IN_DATA : AT_END;
        chunks->line_len = 0;
        return NULL;
    }
}

static const char *read_data_end(usher_http1_chunks_t *chunks, char c)
{
    if (c != (chunks->state == AT_DATA_CR ? '\r' : '\n')) {
        return "chunk longer than its size";
    }
    chunks->state = chunks->state == AT_DATA_CR ? AT_DATA_LF : IN_SIZE;
    return NULL;
}

usher_parse_e usher_http1_chunks(usher_http1_chunks_t *chunks, const char *buf,
                                 apr_size_t len, apr_size_t *used,
                                 const char **data, apr_size_t *data_len,
                                 const char **why)
{
    apr_size_t i = 0;

    *data = buf;
    *data_len = 0;
    while (i < len && chunks->state != IN_DATA && chunks->state != AT_END) {
        const char *wrong = chunks->state < IN_DATA ? read_line_byte(chunks, buf[i])
                                                    : read_data_end(chunks, buf[i]);

        if (wrong) {
            *used = i;
            *why = wrong;
            return USHER_PARSE_BAD;
        }
        ++i;
    }
    if (i < len && chunks->state == IN_DATA) {
        *data = buf + i;
        *data_len = chunks->left < len - i ? (apr_size_t)chunks->left : len - i;
        i += *data_len;
        chunks->left -= *data_len;
        if (!chunks->left) {
            chunks->state = AT_DATA_CR;
        }
    }
    *used = i;
    return chunks->state == AT_END ? USHER_PARSE_DONE : USHER_PARSE_MORE;
}
