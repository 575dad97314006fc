#include "usher_setcookie.h"

#include <apr_time.h>
#include <apr_cstr.h>
#include <string.h>

/* Since 1900, as apr_time_exp_t has them */
#define NO_YEAR (-1900)
#define OLDEST_YEAR (1601 - 1900)

static int setcookie_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int setcookie_is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Leaves out blanks around it. */
static usher_span_t setcookie_trim(const char *from, const char *end)
{
    usher_span_t span;

    while (from < end && (*from == ' ' || *from == '\t')) {
        ++from;
    }
    while (from < end && (end[-1] == ' ' || end[-1] == '\t')) {
        --end;
    }
    span.text = from;
    span.len = (apr_size_t)(end - from);
    return span;
}

static int setcookie_is(const usher_span_t *span, const char *word)
{
    return span->len == strlen(word) && !apr_cstr_casecmpn(span->text, word, span->len);
}

/* Digits at the beginning of a text, @a max at most. @return how many */
static apr_size_t setcookie_number(int *number, const char *text, apr_size_t len, apr_size_t max)
{
    apr_size_t i;

    *number = 0;
    for (i = 0; i < len && i < max && setcookie_is_digit(text[i]); ++i) {
        *number = *number * 10 + (text[i] - '0');
    }
    return i < len && setcookie_is_digit(text[i]) ? 0 : i;
}

/* "8:49:37" */
static int setcookie_time(apr_time_exp_t *exp, const usher_span_t *token)
{
    int *const field[] = { &exp->tm_hour, &exp->tm_min, &exp->tm_sec };
    apr_size_t at = 0, digits;
    int i;

    for (i = 0; i < 3; ++i) {
        if (i && (at == token->len || token->text[at++] != ':')) {
            return 0;
        }
        digits = setcookie_number(field[i], token->text + at, token->len - at, 2);
        if (!digits) {
            return 0;
        }
        at += digits;
    }
    return 1;
}

/* -1: it is none */
static int setcookie_month(const usher_span_t *token)
{
    static const char months[] = "janfebmaraprmayjunjulaugsepoctnovdec";
    int i;

    for (i = 0; i < 12 && token->len >= 3; ++i) {
        if (!apr_cstr_casecmpn(token->text, months + 3 * i, 3)) {
            return i;
        }
    }
    return -1;
}

/* What a token of a date is: the first one of each kind counts. */
static void setcookie_token(apr_time_exp_t *exp, const usher_span_t *token)
{
    apr_time_exp_t time = { 0 };
    apr_size_t digits;
    int number;

    if (exp->tm_hour < 0 && setcookie_time(&time, token)) {
        exp->tm_hour = time.tm_hour;
        exp->tm_min = time.tm_min;
        exp->tm_sec = time.tm_sec;
        return;
    }
    digits = setcookie_number(&number, token->text, token->len, 4);
    if (exp->tm_mday < 0 && (digits == 1 || digits == 2)) {
        exp->tm_mday = number;
    }
    else if (exp->tm_mon < 0 && setcookie_month(token) >= 0) {
        exp->tm_mon = setcookie_month(token);
    }
    else if (exp->tm_year == NO_YEAR && (digits == 2 || digits == 4)) {
        exp->tm_year = digits == 4 ? number - 1900 : number < 70 ? number + 100 : number;
    }
}

static int setcookie_is_token(char c)
{
    return setcookie_is_digit(c) || setcookie_is_letter(c) || c == ':' || (c & 0x80);
}

/* @return 1: it is a date */
static int setcookie_date(apr_int64_t *utc, const usher_span_t *text)
{
    apr_time_exp_t exp = { .tm_hour = -1, .tm_mday = -1, .tm_mon = -1, .tm_year = NO_YEAR };
    const char *at = text->text, *end = at + text->len;
    apr_time_t value;

    while (at < end) {
        usher_span_t token = { at, 0 };

        while (at < end && setcookie_is_token(*at)) {
            ++at;
        }
        token.len = (apr_size_t)(at - token.text);
        if (token.len) {
            setcookie_token(&exp, &token);
        }
        else {
            ++at;
        }
    }
    if (exp.tm_hour < 0 || exp.tm_hour > 23 || exp.tm_min > 59 || exp.tm_sec > 59 || exp.tm_mday < 1
        || exp.tm_mday > 31 || exp.tm_mon < 0 || exp.tm_year < OLDEST_YEAR) {
        return 0;
    }
    /* APR has none before 1970 */
    *utc = apr_time_exp_get(&value, &exp) == APR_SUCCESS ? apr_time_sec(value) : 0;
    return 1;
}

/* Max-Age: 0 or less is over. @return 1: it is a number */
static int setcookie_age(int *over, const usher_span_t *text)
{
    const char *at = text->text, *end = at + text->len;
    int digits = 0, more = 0, negative = at < end && *at == '-';

    for (at += negative; at < end; ++at) {
        if (!setcookie_is_digit(*at)) {
            return 0;
        }
        digits = 1;
        more |= *at != '0';
    }
    if (digits) {
        *over = negative || !more;
    }
    return digits;
}

/* Whether the attributes say that the cookie is over. */
static int setcookie_is_over(const char *at, const char *end, apr_int64_t utc)
{
    int by_age = -1, by_date = 0;

    while (at < end) {
        const char *next = memchr(at, ';', (apr_size_t)(end - at));
        const char *until = next ? next : end;
        const char *equals = memchr(at, '=', (apr_size_t)(until - at));
        usher_span_t name = setcookie_trim(at, equals ? equals : until);
        usher_span_t value = setcookie_trim(equals ? equals + 1 : until, until);
        apr_int64_t date;

        if (setcookie_is(&name, "Max-Age")) {
            setcookie_age(&by_age, &value);
        }
        else if (setcookie_is(&name, "Expires") && setcookie_date(&date, &value)) {
            by_date = date <= utc;
        }
        at = next ? next + 1 : end;
    }
    return by_age >= 0 ? by_age : by_date;
}

usher_setcookie_e usher_setcookie(usher_span_t *value, const char *text, apr_size_t len,
                                  const char *name, apr_size_t name_len, apr_int64_t utc)
{
    const char *attributes = memchr(text, ';', len);
    apr_size_t at = 0;

    if (!usher_cookie_sets(text, len, name, name_len)
        || !usher_cookie_next(value, &at, text, len, name, name_len)) {
        return USHER_SETCOOKIE_OTHER;
    }
    return !value->len || (attributes && setcookie_is_over(attributes + 1, text + len, utc))
               ? USHER_SETCOOKIE_CLEARS : USHER_SETCOOKIE_SETS;
}
