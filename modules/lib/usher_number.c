#include "usher_number.h"

apr_size_t usher_number_parse(apr_uint64_t *number, apr_uint64_t max,
                              const char *text, apr_size_t len)
{
    apr_uint64_t value = 0, tenth = max / 10;
    apr_size_t i;

    for (i = 0; i < len && text[i] >= '0' && text[i] <= '9'; ++i) {
        unsigned int digit = (unsigned int)(text[i] - '0');

        if (value > tenth || digit > max - value * 10) {
            return 0;
        }
        value = value * 10 + digit;
    }
    if (i) {
        *number = value;
    }
    return i;
}
