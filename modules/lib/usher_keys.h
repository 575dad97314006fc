/**
 * @file  usher_keys.h
 * @brief The keys of tokens: what a key file says, and a set that is ready for use.
 *
 * A key file has one key on a line: its id, 8 hex digits, blanks, and its 32 bytes in
 * base64, base64url or hex. The first one seals, all open. Empty lines, and those that
 * begin with '#', mean nothing.
 */
#ifndef USHER_KEYS_H
#define USHER_KEYS_H

#include <apr_pools.h>

#include "usher_xaes.h"

/** Most keys of a file. */
#define USHER_KEYS_MAX 64
/** Largest file. */
#define USHER_KEYS_FILE_MAX 16384

/** A key as it stands in a file. */
typedef struct usher_key_t {
    apr_uint32_t id;
    unsigned char bytes[USHER_XAES_KEY_SIZE];
} usher_key_t;

/** Plain data, with secrets: usher_keyring_wipe() what is not needed any more. */
typedef struct usher_keyring_t {
    int count;
    usher_key_t keys[USHER_KEYS_MAX];
} usher_keyring_t;

/** What is wrong with a key file. */
typedef struct usher_keys_error_t {
    int line;           /**< from 1; 0: of the whole file */
    const char *reason; /**< static; never holds anything of the file */
} usher_keys_error_t;

/**
 * Read a key file.
 * @param ring   filled in; without keys where it is refused
 * @param error  filled in where it is refused
 * @param text   not NUL-terminated
 * @return 1; 0: refused
 */
int usher_keys_parse(usher_keyring_t *ring, usher_keys_error_t *error, const char *text,
                     apr_size_t len);

/** A ring of one key drawn at random. @return 1; 0: there is no randomness */
int usher_keyring_make(usher_keyring_t *ring);

/** Whether two rings have the same keys in the same order. */
int usher_keyring_is_same(const usher_keyring_t *a, const usher_keyring_t *b);

void usher_keyring_wipe(usher_keyring_t *ring);

/** Keys ready for use, by any number of threads. */
typedef struct usher_keys_t {
    int count;
    apr_uint32_t ids[USHER_KEYS_MAX]; /**< the first one seals */
    usher_xaes_t *xaes[USHER_KEYS_MAX];
} usher_keys_t;

/**
 * Make the keys of a ring ready.
 * @param p  they belong to this pool, and are wiped with it
 * @return NULL: libcrypto failed, or there is no key
 */
usher_keys_t *usher_keys_make(apr_pool_t *p, const usher_keyring_t *ring);

/** The key of an id. @return NULL: there is none */
static inline usher_xaes_t *usher_keys_find(const usher_keys_t *keys, apr_uint32_t id)
{
    int i;

    for (i = 0; i < keys->count; ++i) {
        if (keys->ids[i] == id) {
            return keys->xaes[i];
        }
    }
    return NULL;
}

#endif /* USHER_KEYS_H */
