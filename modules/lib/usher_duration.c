#include "usher_duration.h"
#include "usher_number.h"

#include <apr_strings.h>
#include <string.h>

#define MSEC (APR_USEC_PER_SEC / 1000)

/* Largest first: the order in which format looks for one that fits. */
static const struct {
    const char *name;
    apr_interval_time_t usec;
} units[] = {
    { "d", APR_TIME_C(86400) * APR_USEC_PER_SEC },
    { "h", APR_TIME_C(3600) * APR_USEC_PER_SEC },
    { "m", APR_TIME_C(60) * APR_USEC_PER_SEC },
    { "min", APR_TIME_C(60) * APR_USEC_PER_SEC },
    { "s", APR_USEC_PER_SEC },
    { "ms", MSEC },
};
#define UNITS (sizeof(units) / sizeof(units[0]))

static apr_interval_time_t unit_usec(const char *name, apr_size_t len)
{
    apr_size_t i;

    if (!len) {
        return APR_USEC_PER_SEC;
    }
    for (i = 0; i < UNITS; ++i) {
        if (strlen(units[i].name) == len && !memcmp(units[i].name, name, len)) {
            return units[i].usec;
        }
    }
    return 0;
}

apr_status_t usher_duration_parse(apr_interval_time_t *duration,
                                  const char *text, apr_size_t len)
{
    apr_uint64_t number;
    apr_size_t digits = 0;
    apr_size_t used;
    apr_interval_time_t usec;

    while (digits < len && text[digits] >= '0' && text[digits] <= '9') {
        ++digits;
    }
    usec = digits ? unit_usec(text + digits, len - digits) : 0;
    if (!usec) {
        return APR_EINVAL;
    }
    used = usher_number_parse(&number, (apr_uint64_t)(USHER_DURATION_MAX / usec),
                              text, digits);
    if (!used) {
        return ERANGE;
    }
    *duration = (apr_interval_time_t)number * usec;
    return APR_SUCCESS;
}

char *usher_duration_format(char text[USHER_DURATION_SIZE],
                            apr_interval_time_t duration)
{
    apr_size_t i;

    for (i = 0; i < UNITS - 1; ++i) {
        if (duration && duration % units[i].usec == 0) {
            break;
        }
    }
    apr_snprintf(text, USHER_DURATION_SIZE, "%" APR_TIME_T_FMT "%s",
                 duration ? duration / units[i].usec : 0,
                 duration ? units[i].name : "s");
    return text;
}
