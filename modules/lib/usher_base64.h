/**
 * @file  usher_base64.h
 * @brief base64url without padding (RFC 4648, 5), in its one canonical form.
 */
#ifndef USHER_BASE64_H
#define USHER_BASE64_H

#include <apr.h>

/** How long the text of so many bytes is. */
#define USHER_BASE64_SIZE(bytes) (((bytes) * 4 + 2) / 3)

/**
 * Write bytes as text.
 * @param text  gets USHER_BASE64_SIZE(len) characters, no NUL
 */
void usher_base64_encode(char *text, const unsigned char *bytes, apr_size_t len);

/**
 * Read text. No two texts give the same bytes: no padding, no blanks, and bits that mean
 * nothing are zero.
 * @param bytes  gets exactly @a len bytes; undefined where 0 is returned
 * @param text   has USHER_BASE64_SIZE(len) characters
 * @return 1; 0: it is none
 */
int usher_base64_decode(unsigned char *bytes, apr_size_t len, const char *text);

#endif /* USHER_BASE64_H */
