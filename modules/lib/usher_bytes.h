/**
 * @file  usher_bytes.h
 * @brief Reading what TLS sends: numbers of one to three bytes, and parts that have their
 *        length before them.
 *
 * A read beyond the end gives nothing, takes all that is left, and is remembered in bad.
 */
#ifndef USHER_BYTES_H
#define USHER_BYTES_H

#include <apr.h>

/** What is still to be read. */
typedef struct usher_bytes_t {
    const unsigned char *at;
    apr_size_t len;
    int bad;
} usher_bytes_t;

static inline usher_bytes_t usher_bytes_take(usher_bytes_t *from, apr_size_t len)
{
    usher_bytes_t taken = { from->at, len, 0 };

    if (len > from->len) {
        from->bad = 1;
        taken.len = 0;
        len = from->len;
    }
    if (len) {
        from->at += len;
        from->len -= len;
    }
    return taken;
}

/** @param bytes  1 to 3; the first one counts most */
static inline unsigned int usher_bytes_number(usher_bytes_t *from, apr_size_t bytes)
{
    usher_bytes_t taken = usher_bytes_take(from, bytes);
    unsigned int number = 0;
    apr_size_t i;

    for (i = 0; i < taken.len; ++i) {
        number = number << 8 | taken.at[i];
    }
    return number;
}

/** @param bytes  of the length */
static inline usher_bytes_t usher_bytes_part(usher_bytes_t *from, apr_size_t bytes)
{
    return usher_bytes_take(from, usher_bytes_number(from, bytes));
}

#endif /* USHER_BYTES_H */
