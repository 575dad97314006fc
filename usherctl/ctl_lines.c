/* The lines of a text, and the words of a line. */
#include <string.h>

#include "usherctl.h"

static int lines_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

char *ctl_trim(char *text)
{
    apr_size_t len;

    while (lines_blank(*text)) {
        ++text;
    }
    len = strlen(text);
    while (len && lines_blank(text[len - 1])) {
        text[--len] = '\0';
    }
    return text;
}

void ctl_lines_init(ctl_lines_t *lines, apr_pool_t *p, const char *text, apr_size_t len)
{
    memset(lines, 0, sizeof(*lines));
    lines->pool = p;
    lines->text = text;
    lines->len = len;
}

/* One line as it stands in the text, its end not included. */
static const char *lines_raw(ctl_lines_t *lines, apr_size_t *len)
{
    const char *from = lines->text + lines->at;
    const char *end = memchr(from, '\n', lines->len - lines->at);

    *len = end ? (apr_size_t)(end - from) : lines->len - lines->at;
    lines->at += *len + (end != NULL);
    ++lines->number;
    while (*len && from[*len - 1] == '\r') {
        --*len;
    }
    return from;
}

static int lines_control(const char *text, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < len; ++i) {
        unsigned char c = (unsigned char)text[i];

        if ((c < ' ' && !lines_blank((char)c)) || c == 0x7f) {
            return 1;
        }
    }
    return 0;
}

/* Is the next line a part of the one so far, which ends in a backslash? */
static int lines_joins(const ctl_lines_t *lines, const char *so_far, apr_size_t used)
{
    ctl_lines_t ahead = *lines;
    const char *next;
    apr_size_t len, i = 0;

    if (!lines->careful) {
        return 1;
    }
    if (lines->at >= lines->len || memchr(so_far, '#', used)) {
        return 0;
    }
    next = lines_raw(&ahead, &len);
    while (i < len && lines_blank(next[i])) {
        ++i;
    }
    return i < len && next[i] != '#' && !memchr(next, '=', len);
}

ctl_lines_e ctl_lines_next(ctl_lines_t *lines, char **line)
{
    char joined[CTL_LINE_MAX + 1];
    ctl_lines_e result = CTL_LINES_LINE;
    apr_size_t used = 0;
    int more = 1;

    if (lines->at >= lines->len) {
        return CTL_LINES_END;
    }
    lines->first = lines->number + 1;
    lines->joined = 0;
    while (more && lines->at < lines->len) {
        apr_size_t len;
        const char *raw = lines_raw(lines, &len);

        if (len > CTL_LINE_MAX - used) {
            result = CTL_LINES_LONG;
            len = CTL_LINE_MAX - used;
        }
        else if (lines_control(raw, len)) {
            result = result == CTL_LINES_LONG ? result : CTL_LINES_CONTROL;
        }
        memcpy(joined + used, raw, len);
        used += len;
        more = len > 0 && joined[used - 1] == '\\' && lines_joins(lines, joined, used);
        used -= (apr_size_t)more;
        lines->joined |= more;
    }
    *line = ctl_trim(apr_pstrmemdup(lines->pool, joined, used));
    return result;
}

/* As ap_getword_conf() does it. */
char *ctl_word(apr_pool_t *p, const char **line)
{
    const char *from = *line, *end;
    char quote = 0, *word, *to;

    while (lines_blank(*from)) {
        ++from;
    }
    if (*from == '"' || *from == '\'') {
        quote = *from++;
    }
    for (end = from; *end && (quote ? *end != quote : !lines_blank(*end)); ++end) {
        end += quote && *end == '\\' && (end[1] == quote || end[1] == '\\');
    }
    word = to = apr_palloc(p, (apr_size_t)(end - from) + 1);
    for (; from < end; ++from) {
        from += *from == '\\' && (from[1] == '\\' || (quote && from[1] == quote)) && from + 1 < end;
        *to++ = *from;
    }
    *to = '\0';
    end += quote && *end == quote;
    while (lines_blank(*end)) {
        ++end;
    }
    *line = end;
    return word;
}
