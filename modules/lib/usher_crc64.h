/**
 * @file  usher_crc64.h
 * @brief A checksum of 64 bits that also tells which byte is wrong, if only one is.
 *
 * CRC-64/XZ (ECMA-182, reflected). Two wrong bytes pass for one, or for none, with a chance
 * of less than the length times 2^-56.
 */
#ifndef USHER_CRC64_H
#define USHER_CRC64_H

#include <apr.h>

/** Bytes of a checksum. */
#define USHER_CRC64_SIZE 8
/** Longest block, with its checksum, in which one wrong byte is mended without doubt. */
#define USHER_CRC64_MEND_MAX ((apr_size_t)4 << 20)

apr_uint64_t usher_crc64(const unsigned char *bytes, apr_size_t len);

/** Write the checksum of the first @a len bytes behind them. */
void usher_crc64_seal(unsigned char *bytes, apr_size_t len);

/**
 * Check a block that ends in its checksum.
 * @param len    with the checksum
 * @param wrong  gets where the wrong byte is, and may be one of the checksum's; @a len where none
 *               is
 * @param value  gets what that byte should be
 * @return 1: it is right, but for that byte; 0: more than one byte is wrong, or the block is
 *         shorter than a checksum or longer than USHER_CRC64_MEND_MAX
 */
int usher_crc64_check(const unsigned char *bytes, apr_size_t len, apr_size_t *wrong,
                      unsigned char *value);

#endif /* USHER_CRC64_H */
