/**
 * @file  usher_size.h
 * @brief Sizes as people write them in a configuration: "64K", "16M".
 */
#ifndef USHER_SIZE_H
#define USHER_SIZE_H

#include <apr_errno.h>

/** Room for any size as usher_size_format() writes it, with its NUL. */
#define USHER_SIZE_SIZE 24

/**
 * Read a size: a whole number and a unit, K, M, G or T (powers of 1024, either
 * case, a B may follow); without a unit it is bytes.
 * @param size  gets bytes, 0 to 2^63 - 1; unchanged unless APR_SUCCESS is
 *              returned
 * @param text  not NUL-terminated
 * @param len   bytes in @a text
 * @return APR_SUCCESS; APR_EINVAL: no such form; ERANGE: too large
 */
apr_status_t usher_size_parse(apr_uint64_t *size, const char *text,
                              apr_size_t len);

/**
 * Write a size in the largest unit that holds it exactly.
 * @param text  gets the text, NUL-terminated
 * @param size  bytes
 * @return @a text
 */
char *usher_size_format(char text[USHER_SIZE_SIZE], apr_uint64_t size);

#endif /* USHER_SIZE_H */
