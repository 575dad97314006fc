/* Times without a zone are in this machine's: HAProxy writes them so. */
#include <string.h>
#include <time.h>

#include "log.h"

/* The C library's answer, asked once for each quarter of an hour: clocks change on one. */
apr_int64_t log_zone_local(apr_int64_t seconds)
{
    static apr_int64_t quarter = APR_INT64_MIN, offset;
    apr_int64_t now = seconds / 900;

    if (now != quarter) {
        time_t plain = (time_t)(now * 900);
        struct tm tm;

        memset(&tm, 0, sizeof(tm));
        if (gmtime_r(&plain, &tm)) {
            tm.tm_isdst = -1;
            offset = (apr_int64_t)mktime(&tm) - (apr_int64_t)plain;
        }
        quarter = now;
    }
    return seconds + offset;
}

apr_int64_t log_zone_utc(const log_line_t *line)
{
    if (line->zoned) {
        return line->at;
    }
    return log_zone_local(line->at / 1000000) * 1000000 + line->at % 1000000;
}
