/**
 * @file  usher_siphash.h
 * @brief SipHash-1-3 with 128 bits: who does not know the key can neither tell what a
 *        text's hash is nor find two texts with one hash.
 *
 * For tables whose keys come from strangers, which is what the variant with fewer rounds is
 * for; no proof of anything to anybody else.
 */
#ifndef USHER_SIPHASH_H
#define USHER_SIPHASH_H

#include <apr.h>

#define USHER_SIPHASH_KEY_SIZE 16

/** 128 bits; the words' bytes, the least first, are the hash as it is published. */
typedef struct usher_siphash_t {
    apr_uint64_t word[2];
} usher_siphash_t;

/**
 * Hash bytes.
 * @param key    USHER_SIPHASH_KEY_SIZE bytes
 * @param bytes  of any length; NULL where @a len is 0
 */
usher_siphash_t usher_siphash(const unsigned char *key, const void *bytes, apr_size_t len);

#endif /* USHER_SIPHASH_H */
