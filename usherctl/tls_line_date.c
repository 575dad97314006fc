/* The date of a line. */
#include <string.h>
#include <time.h>

#include "tls_line.h"

/* Digits of a fixed count. @return -1: they are not digits */
static int digits(const char *at, int count)
{
    int number = 0;

    for (; count > 0; --count, ++at) {
        if (*at < '0' || *at > '9') {
            return -1;
        }
        number = 10 * number + (*at - '0');
    }
    return number;
}

/* "+0000", "+00:00" or "Z"; @return whether there is a zone */
static int zone(const char *at, const char *end, int *seconds)
{
    int hours, minutes;
    const char *behind = at + 3;

    *seconds = 0;
    if (at < end && *at == 'Z') {
        return 1;
    }
    if (end - at < 5 || (*at != '+' && *at != '-')) {
        return 0;
    }
    behind += *behind == ':' && end - at > 5;
    hours = digits(at + 1, 2);
    minutes = digits(behind, 2);
    if (hours < 0 || minutes < 0) {
        return 0;
    }
    *seconds = (hours * 60 + minutes) * (*at == '-' ? -60 : 60);
    return 1;
}

/* Lines of the same quarter of an hour follow each other; a zone changes at none of its
 * inner moments. One thread. */
static apr_int64_t seconds_since(const struct tm *date, int utc)
{
    static struct tm last;
    static int last_utc = -1;
    static apr_int64_t last_begin;
    struct tm begin = *date;

    begin.tm_min = date->tm_min / 15 * 15;
    begin.tm_sec = 0;
    if (last_utc != utc || last.tm_min != begin.tm_min || last.tm_hour != begin.tm_hour
        || last.tm_mday != begin.tm_mday || last.tm_mon != begin.tm_mon
        || last.tm_year != begin.tm_year) {
        last = begin;
        last_utc = utc;
        last_begin = utc ? timegm(&begin) : mktime(&begin);
    }
    return last_begin + (date->tm_min - last.tm_min) * 60 + date->tm_sec;
}

/* The date with what stands behind its seconds. */
static apr_int64_t finish(struct tm *date, const char *at, const char *end)
{
    int offset, utc;
    apr_int64_t seconds;

    if (date->tm_year < 70 || date->tm_mon < 0 || date->tm_mon > 11 || date->tm_mday < 1
        || date->tm_mday > 31 || date->tm_hour < 0 || date->tm_hour > 23 || date->tm_min < 0
        || date->tm_min > 59 || date->tm_sec < 0 || date->tm_sec > 60) {
        return 0;
    }
    if (at < end && (*at == '.' || *at == ',')) {
        for (++at; at < end && *at >= '0' && *at <= '9'; ++at) {
        }
    }
    at += at < end && *at == ' ';
    utc = zone(at, end, &offset);
    date->tm_isdst = utc ? 0 : -1;
    seconds = seconds_since(date, utc) - offset;
    return seconds > 0 ? seconds : 0;
}

static int month(const char *at)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int i;

    for (i = 0; i < 12; ++i) {
        if (!memcmp(at, names + 3 * i, 3)) {
            return i;
        }
    }
    return -1;
}

apr_int64_t tls_line_date(const char *at, const char *end)
{
    struct tm date = { 0 };

    if (end - at < 20 || at[2] != '/' || at[6] != '/' || at[11] != ':' || at[14] != ':'
        || at[17] != ':') {
        return 0;
    }
    date.tm_mday = digits(at, 2);
    date.tm_mon = month(at + 3);
    date.tm_year = digits(at + 7, 4) - 1900;
    date.tm_hour = digits(at + 12, 2);
    date.tm_min = digits(at + 15, 2);
    date.tm_sec = digits(at + 18, 2);
    return finish(&date, at + 20, end);
}

apr_int64_t tls_line_rfc3339(const char *at, const char *end)
{
    struct tm date = { 0 };

    if (end - at < 10 || at[4] != '-' || at[7] != '-') {
        return 0;
    }
    date.tm_year = digits(at, 4) - 1900;
    date.tm_mon = digits(at + 5, 2) - 1;
    date.tm_mday = digits(at + 8, 2);
    at += 10;
    if (end - at >= 6 && (*at == 'T' || *at == ' ') && at[3] == ':') {
        date.tm_hour = digits(at + 1, 2);
        date.tm_min = digits(at + 4, 2);
        at += 6;
        if (end - at >= 3 && *at == ':') {
            date.tm_sec = digits(at + 1, 2);
            at += 3;
        }
    }
    return at == end || *at == '.' || *at == 'Z' || *at == '+' || *at == '-'
               ? finish(&date, at, end) : 0;
}
