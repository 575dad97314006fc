/* Heads and trailers. Line by line: a line is read when its end is there, and
 * none is looked at twice, however the bytes trickle in. */
#include "usher_http1.h"
#include "usher_number.h"
#include "usher_text.h"

#include <apr_cstr.h>
#include <string.h>

#define IDLE_MAX ((apr_uint64_t)1 << 31)

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_word(const char *text, apr_size_t len, const char *word)
{
    return len == strlen(word) && !apr_cstr_casecmpn(text, word, len);
}

static void trim(const char **text, apr_size_t *len)
{
    while (*len && is_blank((*text)[*len - 1])) {
        --*len;
    }
    while (*len && is_blank(**text)) {
        ++*text;
        --*len;
    }
}

/* Cut the next element, trimmed, off a list with commas. */
static int next_element(const char **list, apr_size_t *list_len,
                        const char **element, apr_size_t *len)
{
    const char *comma;

    if (!*list) {
        return 0;
    }
    comma = memchr(*list, ',', *list_len);
    *element = *list;
    *len = comma ? (apr_size_t)(comma - *list) : *list_len;
    *list_len -= comma ? *len + 1 : *len;
    *list = comma ? comma + 1 : NULL;
    trim(element, len);
    return 1;
}

/* Fields that say how the answer ends and what becomes of the connection. Each
 * function returns NULL or what is wrong. */

/* RFC 9110 8.6: a list of the same number may be taken for that number. */
static const char *content_length_field(usher_http1_head_t *head,
                                        const char *value, apr_size_t len)
{
    const char *element;
    apr_size_t n;

    while (next_element(&value, &len, &element, &n)) {
        apr_uint64_t number;

        if (!n || usher_number_parse(&number, APR_INT64_MAX, element, n) != n) {
            return "invalid Content-Length";
        }
        if (head->content_length >= 0 && head->content_length != (apr_int64_t)number) {
            return "two different Content-Length";
        }
        head->content_length = (apr_int64_t)number;
    }
    return head->chunked ? "both Content-Length and Transfer-Encoding" : NULL;
}

/* RFC 9112 6.1 and 7: chunked is the one coding that we read, and never twice.
 * With a Content-Length it is an attempt at smuggling (6.3). */
static const char *transfer_encoding_field(usher_http1_head_t *head,
                                           const char *value, apr_size_t len)
{
    if (!is_word(value, len, "chunked")) {
        return "Transfer-Encoding other than chunked";
    }
    if (head->chunked) {
        return "Transfer-Encoding twice";
    }
    head->chunked = 1;
    return head->content_length >= 0 ? "both Content-Length and Transfer-Encoding" : NULL;
}

/* RFC 9110 7.6.1; empty elements of a list do not count (5.6.1). */
static const char *connection_field(usher_http1_head_t *head,
                                    const char *value, apr_size_t len)
{
    const char *option;
    apr_size_t n;

    while (next_element(&value, &len, &option, &n)) {
        if (n && !usher_text_is_token(option, n)) {
            return "invalid Connection";
        }
        head->close |= is_word(option, n, "close");
        head->keep_alive |= is_word(option, n, "keep-alive");
        head->upgrade |= is_word(option, n, "upgrade");
    }
    return NULL;
}

/* A hint only, in no standard (RFC 2068 19.7.1.1 has the field): what is
 * malformed is no hint. Of several the shortest: reusing too late costs more. */
static const char *keep_alive_field(usher_http1_head_t *head,
                                    const char *value, apr_size_t len)
{
    static const char name[] = "timeout=";
    const apr_size_t name_len = sizeof(name) - 1;
    const char *element;
    apr_size_t n;

    while (next_element(&value, &len, &element, &n)) {
        apr_uint64_t seconds;
        apr_size_t digits = name_len;

        if (n <= name_len || apr_cstr_casecmpn(element, name, name_len)) {
            continue;
        }
        while (digits < n && is_digit(element[digits])) {
            ++digits;
        }
        if (digits < n) {
            continue;
        }
        if (!usher_number_parse(&seconds, IDLE_MAX, element + name_len, n - name_len)) {
            seconds = IDLE_MAX;
        }
        if (head->idle_max < 0 || head->idle_max > (apr_int64_t)seconds) {
            head->idle_max = (apr_int64_t)seconds;
        }
    }
    return NULL;
}

static int is_field(const usher_http1_field_t *field, const char *name)
{
    /* Nearly all are written in the same way. */
    return !memcmp(field->name, name, field->name_len)
           || !apr_cstr_casecmpn(field->name, name, field->name_len);
}

/* By its length, as most are none of these. */
static const char *known_field(usher_http1_head_t *head, const usher_http1_field_t *field)
{
    switch (field->name_len) {
    case sizeof("Connection") - 1: /* and Keep-Alive */
        return is_field(field, "Connection")
                   ? connection_field(head, field->value, field->value_len)
               : is_field(field, "Keep-Alive")
                   ? keep_alive_field(head, field->value, field->value_len) : NULL;
    case sizeof("Content-Length") - 1:
        return is_field(field, "Content-Length")
                   ? content_length_field(head, field->value, field->value_len) : NULL;
    case sizeof("Transfer-Encoding") - 1:
        return is_field(field, "Transfer-Encoding")
                   ? transfer_encoding_field(head, field->value, field->value_len) : NULL;
    default:
        return NULL;
    }
}

/* A whole line in the buffer. */
typedef struct {
    char *text;
    apr_size_t len;  /* without its end */
    apr_size_t next; /* where in the buffer the next line begins */
} line_t;

/* Find the end of the line at head->len: CRLF or, RFC 9112 2.2, LF alone. The
 * search goes on where that of an earlier call ended. */
static inline usher_parse_e find_line(line_t *line, usher_http1_head_t *head, char *buf,
                               apr_size_t len, apr_size_t line_max, const char **why)
{
    const char *lf = head->scanned < len
                         ? memchr(buf + head->scanned, '\n', len - head->scanned) : NULL;
    apr_size_t end = lf ? (apr_size_t)(lf - buf) : len;

    head->scanned = end;
    line->text = buf + head->len;
    line->next = end + 1;
    line->len = end - head->len;
    /* Also where the LF is still to come: it may be half of a CRLF. */
    if (line->len && line->text[line->len - 1] == '\r') {
        --line->len;
    }
    if (line->len > line_max) {
        *why = "line too long";
        return USHER_PARSE_BAD;
    }
    return lf ? USHER_PARSE_DONE : USHER_PARSE_MORE;
}

static void leave_line(usher_http1_head_t *head, const line_t *line)
{
    head->len = head->scanned = line->next;
}

/* RFC 9112 5.1: blanks before the colon of an answer are removed by a proxy. */
static inline void split_field(usher_http1_field_t *field, const char *line,
                               apr_size_t len, const char *colon)
{
    const char *name_end = colon, *value = colon + 1, *value_end = line + len;

    while (name_end > line && is_blank(name_end[-1])) {
        --name_end;
    }
    while (value_end > value && is_blank(value_end[-1])) {
        --value_end;
    }
    while (value < value_end && is_blank(*value)) {
        ++value;
    }
    field->name = line;
    field->name_len = (apr_size_t)(name_end - line);
    field->value = value;
    field->value_len = (apr_size_t)(value_end - value);
}

/* Read a line that is whole and unfolded, whose first name_len bytes are those of a
 * token. Returns NULL or what is wrong. */
static inline const char *read_line(usher_http1_head_t *head, const line_t *line,
                             const char *colon, apr_size_t name_len,
                             const usher_http1_limits_t *limits, usher_http1_field_t *field)
{
    /* The colon is on the first of folded lines: a name has no fold in it. */
    if (!colon && limits->badline != USHER_HTTP1_BADLINE_SKIP) {
        return "header line without a colon";
    }
    if (!usher_text_is_value(line->text + name_len, line->len - name_len)) {
        return "control character in a header line";
    }
    if (!colon) {
        field->name = NULL;
        return NULL;
    }
    split_field(field, line->text, line->len, colon);
    if (!name_len || field->name_len != name_len) {
        return "invalid field name";
    }
    return ++head->fields > limits->fields_max ? "too many fields" : NULL;
}

/* Read the lines from head->len to the end of the section. Trailers say
 * nothing about the frame (RFC 9110 6.5.1): they are not interpreted. */
static usher_parse_e read_section(usher_http1_head_t *head, char *buf, apr_size_t len,
                                  const usher_http1_limits_t *limits, int trailers,
                                  const char **why)
{
    for (;;) {
        line_t line;
        usher_http1_field_t field;
        const char *colon, *wrong;
        apr_size_t name_len;
        usher_parse_e found = find_line(&line, head, buf, len, limits->line_max, why);

        if (found != USHER_PARSE_DONE) {
            return found;
        }
        if (!line.len) {
            leave_line(head, &line);
            return USHER_PARSE_DONE;
        }
        if (is_blank(*line.text)) {
            *why = "folded line that continues no field";
            return USHER_PARSE_BAD;
        }
        name_len = usher_text_token_len(line.text); /* there is an LF */
        colon = line.text[name_len] == ':' ? line.text + name_len
                                           : memchr(line.text, ':', line.len);
        if (!colon && limits->badline == USHER_HTTP1_BADLINE_BODY) {
            return USHER_PARSE_DONE;
        }
        if (colon && line.next == len) {
            return USHER_PARSE_MORE; /* a fold may follow */
        }
        if (colon && is_blank(buf[line.next])) {
            /* obs-fold, RFC 9112 5.2 */
            memset(line.text + line.len, ' ', line.next - head->len - line.len);
            head->scanned = line.next;
            continue;
        }
        wrong = read_line(head, &line, colon, name_len, limits, &field);
        if (!wrong && field.name && !trailers) {
            wrong = known_field(head, &field);
        }
        if (wrong) {
            *why = wrong;
            return USHER_PARSE_BAD;
        }
        leave_line(head, &line);
    }
}

static const char version[] = "HTTP/1.";
#define VERSION_LEN (sizeof(version) - 1)
#define REASON_AT (sizeof("HTTP/1.1 200 ") - 1)

/* RFC 9112 4; the SP before an empty reason may be missing. Returns 0 where it
 * is no status line of HTTP/1. */
static int read_status_line(usher_http1_head_t *head, const char *text,
                            apr_size_t len)
{
    if (len < REASON_AT - 1 || memcmp(text, version, VERSION_LEN)
        || !is_digit(text[7]) || text[8] != ' '
        || text[9] < '1' || text[9] > '9' || !is_digit(text[10]) || !is_digit(text[11])
        || (len >= REASON_AT && text[12] != ' ')) {
        return 0;
    }
    head->minor = text[7] != '0';
    head->status = (text[9] - '0') * 100 + (text[10] - '0') * 10 + text[11] - '0';
    head->reason_len = len >= REASON_AT ? len - REASON_AT : 0;
    head->content_length = -1;
    head->idle_max = -1;
    return usher_text_is_value(text + (len - head->reason_len), head->reason_len);
}

/* Whether bytes without a line end may become a status line, so that whoever
 * speaks another protocol is not waited for. */
static int may_be_status_line(const char *text, apr_size_t len, int first)
{
    if (first && len == 1 && *text == '\r') {
        return 1;
    }
    return !len || !memcmp(text, version, len < VERSION_LEN ? len : VERSION_LEN);
}

static usher_parse_e read_status(usher_http1_head_t *head, char *buf, apr_size_t len,
                                 const usher_http1_limits_t *limits, const char **why)
{
    line_t line;
    usher_parse_e found = find_line(&line, head, buf, len, limits->line_max, why);

    /* Old servers send a CRLF too many after the body before. */
    if (found == USHER_PARSE_DONE && !line.len && !head->len) {
        leave_line(head, &line);
        found = find_line(&line, head, buf, len, limits->line_max, why);
    }
    if (found == USHER_PARSE_DONE
            ? !read_status_line(head, line.text, line.len)
            : !may_be_status_line(buf + head->len, len - head->len, !head->len)) {
        *why = "no status line of HTTP/1";
        return USHER_PARSE_BAD;
    }
    if (found == USHER_PARSE_DONE) {
        leave_line(head, &line);
        head->fields_at = line.next;
    }
    return found;
}

static void finish_head(usher_http1_head_t *head, const char *buf)
{
    apr_size_t end = head->fields_at - 1;

    /* Only now, as the buffer may move between two calls. */
    if (buf[end - 1] == '\r') {
        --end;
    }
    head->reason = buf + end - head->reason_len;
    /* RFC 9112 9.3; 6.1: who sends chunks as HTTP/1.0 may have passed on what
     * it did not understand. */
    if (head->minor == 0 && (!head->keep_alive || head->chunked)) {
        head->close = 1;
    }
}

usher_parse_e usher_http1_head(usher_http1_head_t *head, char *buf,
                               apr_size_t len,
                               const usher_http1_limits_t *limits,
                               const char **why)
{
    usher_parse_e rv = USHER_PARSE_DONE;
    apr_size_t end = len < limits->head_max ? len : limits->head_max;

    if (!head->fields_at) {
        rv = read_status(head, buf, end, limits, why);
    }
    if (rv == USHER_PARSE_DONE) {
        rv = read_section(head, buf, end, limits, 0, why);
    }
    if (rv == USHER_PARSE_MORE && end == limits->head_max) {
        *why = "head too long";
        return USHER_PARSE_BAD;
    }
    if (rv == USHER_PARSE_DONE) {
        finish_head(head, buf);
    }
    return rv;
}

usher_parse_e usher_http1_trailers(char *buf, apr_size_t len,
                                   const usher_http1_limits_t *limits,
                                   apr_size_t *used, unsigned int *fields,
                                   const char **why)
{
    usher_http1_head_t section = { 0 };
    usher_http1_limits_t strict = *limits;
    apr_size_t end = len < limits->head_max ? len : limits->head_max;
    usher_parse_e rv;

    strict.badline = USHER_HTTP1_BADLINE_REFUSE;
    rv = read_section(&section, buf, end, &strict, 1, why);
    if (rv == USHER_PARSE_MORE && end == limits->head_max) {
        *why = "trailers too long";
        return USHER_PARSE_BAD;
    }
    if (rv == USHER_PARSE_DONE) {
        *used = section.len;
        *fields = section.fields;
    }
    return rv;
}

int usher_http1_next_field(const char *buf, apr_size_t end, apr_size_t *at,
                           usher_http1_field_t *field)
{
    const char *line = buf + *at, *stop = buf + end, *colon = NULL;

    while (!colon && line < stop) {
        const char *lf = memchr(line, '\n', (apr_size_t)(stop - line));
        apr_size_t len = (apr_size_t)((lf ? lf : stop) - line);

        colon = memchr(line, ':', len);
        if (colon) {
            split_field(field, line, len && line[len - 1] == '\r' ? len - 1 : len, colon);
        }
        line = lf ? lf + 1 : stop;
    }
    *at = (apr_size_t)(line - buf);
    return colon != NULL;
}
