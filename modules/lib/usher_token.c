#include "usher_token.h"

#include <openssl/rand.h>
#include <string.h>

#define VERSION 1

/* Where the parts lie. */
#define KEY_AT   1
#define NONCE_AT (KEY_AT + 4)
#define BODY_AT  (NONCE_AT + USHER_XAES_NONCE_SIZE)

/* Version and key id are authenticated, too. */
typedef struct {
    unsigned char bytes[NONCE_AT + USHER_TOKEN_AAD_MAX];
    int len;
} token_aad_t;

static void token_put(unsigned char *to, apr_uint32_t value)
{
    to[0] = (unsigned char)(value >> 24);
    to[1] = (unsigned char)(value >> 16);
    to[2] = (unsigned char)(value >> 8);
    to[3] = (unsigned char)value;
}

static apr_uint32_t token_get(const unsigned char *from)
{
    return (apr_uint32_t)from[0] << 24 | (apr_uint32_t)from[1] << 16
           | (apr_uint32_t)from[2] << 8 | from[3];
}

static void token_aad(token_aad_t *all, const unsigned char *bytes, const void *aad,
                      apr_size_t aad_len)
{
    memcpy(all->bytes, bytes, NONCE_AT);
    if (aad_len) {
        memcpy(all->bytes + NONCE_AT, aad, aad_len);
    }
    all->len = (int)(NONCE_AT + aad_len);
}

apr_status_t usher_token_seal(char *text, const usher_token_t *token, const usher_keys_t *keys,
                              const void *aad, apr_size_t aad_len)
{
    unsigned char bytes[USHER_TOKEN_BYTES], body[USHER_TOKEN_BODY_SIZE];
    token_aad_t all;

    if (aad_len > USHER_TOKEN_AAD_MAX) {
        return APR_EINVAL;
    }
    bytes[0] = VERSION;
    token_put(bytes + KEY_AT, keys->ids[0]);
    memcpy(body, token->member, USHER_TOKEN_MEMBER_SIZE);
    token_put(body + USHER_TOKEN_MEMBER_SIZE, token->first_seen);
    token_put(body + USHER_TOKEN_MEMBER_SIZE + 4, token->last_seen);
    token_put(body + USHER_TOKEN_MEMBER_SIZE + 8, token->session);
    token_aad(&all, bytes, aad, aad_len);
    if (RAND_bytes(bytes + NONCE_AT, USHER_XAES_NONCE_SIZE) != 1
        || !usher_xaes_seal(keys->xaes[0], bytes + BODY_AT, bytes + NONCE_AT, all.bytes, all.len,
                            body, sizeof(body))) {
        return APR_EGENERAL;
    }
    usher_base64_encode(text, bytes, sizeof(bytes));
    return APR_SUCCESS;
}

usher_token_e usher_token_open(usher_token_t *token, const usher_keys_t *keys, const void *aad,
                               apr_size_t aad_len, const char *text, apr_size_t len)
{
    unsigned char bytes[USHER_TOKEN_BYTES], body[USHER_TOKEN_BODY_SIZE];
    usher_xaes_t *xaes;
    token_aad_t all;

    if (len != USHER_TOKEN_SIZE || !usher_base64_decode(bytes, sizeof(bytes), text)
        || bytes[0] != VERSION) {
        return USHER_TOKEN_MALFORMED;
    }
    xaes = usher_keys_find(keys, token_get(bytes + KEY_AT));
    if (!xaes) {
        return USHER_TOKEN_UNKNOWN_KEY;
    }
    if (aad_len > USHER_TOKEN_AAD_MAX) {
        return USHER_TOKEN_FORGED;
    }
    token_aad(&all, bytes, aad, aad_len);
    if (!usher_xaes_open(xaes, body, bytes + NONCE_AT, all.bytes, all.len, bytes + BODY_AT,
                         sizeof(body))) {
        return USHER_TOKEN_FORGED;
    }
    memcpy(token->member, body, USHER_TOKEN_MEMBER_SIZE);
    token->first_seen = token_get(body + USHER_TOKEN_MEMBER_SIZE);
    token->last_seen = token_get(body + USHER_TOKEN_MEMBER_SIZE + 4);
    token->session = token_get(body + USHER_TOKEN_MEMBER_SIZE + 8);
    return USHER_TOKEN_OK;
}

int usher_token_is_current(const char *text, apr_size_t len, const usher_keys_t *keys)
{
    unsigned char bytes[6]; /* 8 characters: whole ones need no padding */

    return len >= 8 && usher_base64_decode(bytes, sizeof(bytes), text)
           && token_get(bytes + KEY_AT) == keys->ids[0];
}
