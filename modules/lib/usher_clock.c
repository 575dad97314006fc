#include "usher_clock.h"
#include "usher_number.h"

#include <apr_strings.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Elsewhere than on Linux the monotonic clock is the nearest thing: it may
 * stand still while the machine is suspended. */
#ifndef CLOCK_BOOTTIME
#define CLOCK_BOOTTIME CLOCK_MONOTONIC
#endif

static apr_time_t system_boot_now(void)
{
    struct timespec ts = { 0, 0 };

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return apr_time_from_sec((apr_time_t)ts.tv_sec) + ts.tv_nsec / 1000;
}

static void system_boot_id(char id[USHER_BOOT_ID_SIZE])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, id, USHER_BOOT_ID_SIZE - 1) : 0;

    if (fd >= 0) {
        close(fd);
    }
    id[n == USHER_BOOT_ID_SIZE - 1 ? n : 0] = '\0';
}

const usher_clock_t *usher_clock_system(void)
{
    static const usher_clock_t system_clock = {
        .boot_now = system_boot_now,
        .utc_now = apr_time_now,
        .boot_id = system_boot_id,
    };

    return &system_clock;
}

char *usher_utc_format(char text[USHER_UTC_SIZE], apr_time_t utc)
{
    apr_time_exp_t exp;

    apr_time_exp_gmt(&exp, utc);
    apr_snprintf(text, USHER_UTC_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%06d+00:00",
                 exp.tm_year + 1900, exp.tm_mon + 1, exp.tm_mday, exp.tm_hour,
                 exp.tm_min, exp.tm_sec, exp.tm_usec);
    return text;
}

apr_status_t usher_utc_parse(apr_time_t *utc, const char *text, apr_size_t len)
{
    /* '0' stands for a digit; all else is literal */
    static const char form[] = "0000-00-00T00:00:00.000000+00:00";
    apr_uint64_t field[7];
    apr_size_t i, n = 0;
    apr_time_exp_t exp = { 0 };
    apr_time_t value;
    char again[USHER_UTC_SIZE];

    if (len != sizeof(form) - 1) {
        return APR_EINVAL;
    }
    for (i = 0; i < len && n < 7;) {
        apr_size_t digits = usher_number_parse(&field[n], 999999, text + i, len - i);

        if (!digits || form[i] != '0') {
            return APR_EINVAL;
        }
        i += digits + 1;
        ++n;
    }
    if (n != 7) {
        return APR_EINVAL;
    }
    exp.tm_year = (int)field[0] - 1900;
    exp.tm_mon = (int)field[1] - 1;
    exp.tm_mday = (int)field[2];
    exp.tm_hour = (int)field[3];
    exp.tm_min = (int)field[4];
    exp.tm_sec = (int)field[5];
    exp.tm_usec = (int)field[6];
    /* Days that do not exist, and every stray character, show when the value
     * is written again. */
    if (field[0] > 9999 || field[1] < 1 || field[1] > 12
        || field[2] > 31 || apr_time_exp_get(&value, &exp) != APR_SUCCESS
        || memcmp(usher_utc_format(again, value), text, len)) {
        return APR_EINVAL;
    }
    *utc = value;
    return APR_SUCCESS;
}
