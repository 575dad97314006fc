/**
 * @file  usher_xaes.h
 * @brief XAES-256-GCM: authenticated encryption whose 192-bit nonces may be drawn at
 *        random, any number of times under one key (https://c2sp.org/XAES-256-GCM).
 *
 * It is AES-256-GCM with a key of its own for each message, which two AES-256 blocks make
 * of the key and the first half of the nonce.
 */
#ifndef USHER_XAES_H
#define USHER_XAES_H

#include <apr_pools.h>

#define USHER_XAES_KEY_SIZE   32
#define USHER_XAES_NONCE_SIZE 24
#define USHER_XAES_TAG_SIZE   16

/** A key, ready for use by any number of threads. */
typedef struct usher_xaes_t usher_xaes_t;

/**
 * Make a key ready.
 * @param p  it belongs to this pool, and is wiped with it
 * @return NULL: libcrypto has no AES-256-GCM, or no memory
 */
usher_xaes_t *usher_xaes_make(apr_pool_t *p, const unsigned char key[USHER_XAES_KEY_SIZE]);

/**
 * Encrypt and authenticate.
 * @param to     gets @a len + USHER_XAES_TAG_SIZE bytes
 * @param nonce  never the same twice under one key
 * @param aad    authenticated as well, not encrypted; NULL where @a aad_len is 0
 * @param from   must not overlap @a to
 * @return 1; 0: libcrypto failed
 */
int usher_xaes_seal(usher_xaes_t *xaes, unsigned char *to,
                    const unsigned char nonce[USHER_XAES_NONCE_SIZE], const void *aad,
                    int aad_len, const unsigned char *from, int len);

/**
 * Decrypt what usher_xaes_seal() made.
 * @param to    gets @a len bytes; zeros where 0 is returned
 * @param from  @a len + USHER_XAES_TAG_SIZE bytes
 * @return 1; 0: not sealed with this key, nonce and aad
 */
int usher_xaes_open(usher_xaes_t *xaes, unsigned char *to,
                    const unsigned char nonce[USHER_XAES_NONCE_SIZE], const void *aad,
                    int aad_len, const unsigned char *from, int len);

#endif /* USHER_XAES_H */
