#include "usher_size.h"
#include "usher_number.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#define SIZE_LIMIT (((apr_uint64_t)1 << 63) - 1)

static const char units[] = "KMGT";

/* How far the unit shifts; -1: no such unit. */
static int unit_shift(const char *name, apr_size_t len)
{
    const char *unit;

    if (len && apr_toupper(name[len - 1]) == 'B') {
        --len;
    }
    if (!len) {
        return 0;
    }
    unit = len == 1 ? memchr(units, apr_toupper(*name), sizeof(units) - 1) : NULL;
    return unit ? 10 * (int)(unit - units + 1) : -1;
}

apr_status_t usher_size_parse(apr_uint64_t *size, const char *text,
                              apr_size_t len)
{
    apr_uint64_t number;
    apr_size_t digits = 0;
    int shift;

    while (digits < len && text[digits] >= '0' && text[digits] <= '9') {
        ++digits;
    }
    shift = digits ? unit_shift(text + digits, len - digits) : -1;
    if (shift < 0) {
        return APR_EINVAL;
    }
    if (!usher_number_parse(&number, SIZE_LIMIT >> shift, text, digits)) {
        return ERANGE;
    }
    *size = number << shift;
    return APR_SUCCESS;
}

char *usher_size_format(char text[USHER_SIZE_SIZE], apr_uint64_t size)
{
    int unit = 0;

    while (size && size % 1024 == 0 && unit < (int)sizeof(units) - 1) {
        size /= 1024;
        ++unit;
    }
    apr_snprintf(text, USHER_SIZE_SIZE, "%" APR_UINT64_T_FMT "%.*s", size,
                 unit ? 1 : 0, unit ? units + unit - 1 : "");
    return text;
}
