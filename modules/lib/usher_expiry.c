#include "usher_expiry.h"
#include "usher_duration.h"
#include "usher_rest.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

void usher_expiry_save(usher_expiry_t *expiry, const usher_clock_t *clock,
                       apr_time_t expires_at)
{
    expiry->boot_written = clock->boot_now();
    expiry->utc_written = clock->utc_now();
    expiry->remaining = expires_at > expiry->boot_written
                            ? expires_at - expiry->boot_written : 0;
    if (expiry->remaining > USHER_DURATION_MAX) {
        expiry->remaining = USHER_DURATION_MAX;
    }
    clock->boot_id(expiry->boot_id);
}

apr_time_t usher_expiry_load(const usher_expiry_t *expiry,
                             const usher_clock_t *clock)
{
    apr_time_t now = clock->boot_now();
    char boot_id[USHER_BOOT_ID_SIZE];
    apr_interval_time_t passed;

    clock->boot_id(boot_id);
    /* A container may see the same boot id with a boot clock of its own (a
     * time namespace): one that runs behind the record cannot be the same. */
    if (*boot_id && !strcmp(boot_id, expiry->boot_id) && now >= expiry->boot_written) {
        passed = now - expiry->boot_written;
    }
    else {
        passed = clock->utc_now() - expiry->utc_written;
    }
    if (passed < 0) {
        passed = 0;
    }
    return passed < expiry->remaining ? now + expiry->remaining - passed : now;
}

char *usher_expiry_format(char text[USHER_EXPIRY_SIZE],
                          const usher_expiry_t *expiry)
{
    char utc[USHER_UTC_SIZE];

    apr_snprintf(text, USHER_EXPIRY_SIZE,
                 "left=%" APR_TIME_T_FMT "us utc=%s up=%" APR_TIME_T_FMT "us boot=%s",
                 expiry->remaining, usher_utc_format(utc, expiry->utc_written),
                 expiry->boot_written, expiry->boot_id);
    return text;
}

static int usec(usher_rest_t *rest, apr_time_t *value)
{
    apr_uint64_t number;

    if (!usher_rest_number(rest, &number, USHER_DURATION_MAX)) {
        return 0;
    }
    *value = (apr_time_t)number;
    return 1;
}

static int boot_id_ok(const usher_rest_t *rest)
{
    apr_size_t i;

    for (i = 0; i < rest->len; ++i) {
        if (!apr_isxdigit(rest->text[i]) && rest->text[i] != '-') {
            return 0;
        }
    }
    return rest->len == 0 || rest->len == USHER_BOOT_ID_SIZE - 1;
}

apr_status_t usher_expiry_parse(usher_expiry_t *expiry, const char *text,
                                apr_size_t len)
{
    usher_rest_t rest = { text, len };
    usher_expiry_t out = { 0 };

    if (!usher_rest_skip(&rest, "left=") || !usec(&rest, &out.remaining) || !usher_rest_skip(&rest, "us utc=")
        || rest.len < USHER_UTC_SIZE - 1
        || usher_utc_parse(&out.utc_written, rest.text, USHER_UTC_SIZE - 1) != APR_SUCCESS) {
        return APR_EINVAL;
    }
    usher_rest_take(&rest, USHER_UTC_SIZE - 1);
    if (!usher_rest_skip(&rest, " up=") || !usec(&rest, &out.boot_written) || !usher_rest_skip(&rest, "us boot=")
        || !boot_id_ok(&rest)) {
        return APR_EINVAL;
    }
    memcpy(out.boot_id, rest.text, rest.len);
    *expiry = out;
    return APR_SUCCESS;
}
