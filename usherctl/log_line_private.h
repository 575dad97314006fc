/**
 * @file  log_line_private.h
 * @brief What the readers of the single kinds of lines share.
 */
#ifndef LOG_LINE_PRIVATE_H
#define LOG_LINE_PRIVATE_H

#include <string.h>

#include "log_line.h"

/** What of a line is not yet read. */
typedef struct {
    const char *at, *end;
} log_rest_t;

/** "22/Nov/2026:18:13:36" */
#define LOG_DATE_LEN 20

/** Each reads what is behind "[22/Nov/2026:18:13:36", client and time are set.
 *  @return 0: it is not that */
int log_line_usher(log_line_t *line, log_rest_t rest);
int log_line_httplog(log_line_t *line, log_rest_t rest);
/** @param rest  begins with the '{' */
int log_line_json(log_line_t *line, log_rest_t rest);

/** Seconds since 1970 of a date that exists. @return 0: it does not */
int log_civil(apr_int64_t *seconds, const int date[6]);

/** Digits of a fixed count. @return -1: they are not digits */
int log_digits(const char *at, int count);

/** A number that fills the text. "-" and "-1" are -1. @return 0: it is none, or > max */
int log_number(apr_int64_t *number, apr_int64_t max, log_text_t text);

/** The next word and the space behind it. @return 0: there is none */
static inline int log_word(log_rest_t *rest, log_text_t *word)
{
    const char *end = memchr(rest->at, ' ', (apr_size_t)(rest->end - rest->at));

    if (!end || end == rest->at) {
        return 0;
    }
    word->at = rest->at;
    word->len = (apr_size_t)(end - rest->at);
    rest->at = end + 1;
    return 1;
}

/** What is between quotes, and the quotes. @return 0: it does not begin or end with one */
int log_quoted(log_rest_t *rest, log_text_t *text);

/** Numbers divided by slashes, all of the word. @param count  how many there have to be */
int log_slashed(apr_int64_t *numbers, int count, apr_int64_t max, log_text_t word);

/** Method and URI of "GET /shop HTTP/1.1"; all of it is the URI where it is not that. */
void log_request(log_line_t *line, log_text_t request);

/** 1 to 4 letters. @return 0: it is no state */
int log_state(log_line_t *line, log_text_t text);

/** What "-" and "<NOSRV>" stand for is not known. */
static inline log_text_t log_known(log_text_t text)
{
    if (text.len == 1 && *text.at == '-') {
        text.len = 0;
    }
    return text;
}

#endif /* LOG_LINE_PRIVATE_H */
