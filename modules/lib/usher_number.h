/**
 * @file  usher_number.h
 * @brief The decimal digits at the front of a text.
 */
#ifndef USHER_NUMBER_H
#define USHER_NUMBER_H

#include <apr.h>

/**
 * Read the decimal digits that a text begins with.
 * @param number  gets their value; unchanged when 0 is returned
 * @param max     the greatest value allowed
 * @param text    not NUL-terminated
 * @param len     bytes in @a text
 * @return how many digits were read; 0: none there, or more than @a max
 */
apr_size_t usher_number_parse(apr_uint64_t *number, apr_uint64_t max,
                              const char *text, apr_size_t len);

#endif /* USHER_NUMBER_H */
