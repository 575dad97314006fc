/**
 * @file  usher_token.h
 * @brief Sticky tokens: which member a session belongs to, sealed for a cookie.
 *
 * Who has the token cannot read it, nor change it, nor take it to another cluster.
 */
#ifndef USHER_TOKEN_H
#define USHER_TOKEN_H

#include <apr_errno.h>

#include "usher_base64.h"
#include "usher_keys.h"

#define USHER_TOKEN_MEMBER_SIZE 16
/** Bytes of the sealed part, without the tag. */
#define USHER_TOKEN_BODY_SIZE (USHER_TOKEN_MEMBER_SIZE + 3 * 4)
/** Version, key id, nonce, body and tag. */
#define USHER_TOKEN_BYTES \
    (1 + 4 + USHER_XAES_NONCE_SIZE + USHER_TOKEN_BODY_SIZE + USHER_XAES_TAG_SIZE)
/** Characters of a token: base64url, without NUL. */
#define USHER_TOKEN_SIZE USHER_BASE64_SIZE(USHER_TOKEN_BYTES)
/** Longest aad. */
#define USHER_TOKEN_AAD_MAX 123

/** What a token says. */
typedef struct usher_token_t {
    unsigned char member[USHER_TOKEN_MEMBER_SIZE]; /**< the member's id */
    apr_uint32_t first_seen; /**< UTC seconds: the session's first request */
    apr_uint32_t last_seen;  /**< UTC seconds: when it was sealed last */
    apr_uint32_t session;    /**< random, stays when it is sealed again: tells sessions apart */
} usher_token_t;

/** What became of a text that should be a token. */
typedef enum {
    USHER_TOKEN_OK,
    USHER_TOKEN_MALFORMED,   /**< no token of this version, whatever the keys */
    USHER_TOKEN_UNKNOWN_KEY, /**< sealed under a key that is not, or no longer, there */
    USHER_TOKEN_FORGED       /**< changed, or of another cluster */
} usher_token_e;

/**
 * Seal a token with the first of the keys.
 * @param text     gets USHER_TOKEN_SIZE characters, no NUL
 * @param aad      what it holds for, such as a cluster; the same to open it
 * @param aad_len  at most USHER_TOKEN_AAD_MAX
 * @return APR_SUCCESS; APR_EINVAL: aad too long; APR_EGENERAL: libcrypto failed
 */
apr_status_t usher_token_seal(char *text, const usher_token_t *token, const usher_keys_t *keys,
                              const void *aad, apr_size_t aad_len);

/**
 * Open a token, with whichever key it was sealed. A text of another length or alphabet,
 * or of an unknown key, is refused before any cryptography.
 * @param token  filled in where it is USHER_TOKEN_OK, else unchanged
 * @param text   as it came, need not be NUL-terminated
 */
usher_token_e usher_token_open(usher_token_t *token, const usher_keys_t *keys, const void *aad,
                               apr_size_t aad_len, const char *text, apr_size_t len);

/** Whether a token that was opened is sealed with the key that seals now. */
int usher_token_is_current(const char *text, apr_size_t len, const usher_keys_t *keys);

#endif /* USHER_TOKEN_H */
