/* Sets of keys. */
#include "usher_keys.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

int usher_keyring_make(usher_keyring_t *ring)
{
    usher_key_t *key = &ring->keys[0];

    memset(ring, 0, sizeof(*ring));
    if (RAND_bytes((unsigned char *)&key->id, sizeof(key->id)) != 1
        || RAND_priv_bytes(key->bytes, sizeof(key->bytes)) != 1) {
        return 0;
    }
    ring->count = 1;
    return 1;
}

int usher_keyring_is_same(const usher_keyring_t *a, const usher_keyring_t *b)
{
    return a->count == b->count
           && !CRYPTO_memcmp(a->keys, b->keys, (size_t)a->count * sizeof(a->keys[0]));
}

void usher_keyring_wipe(usher_keyring_t *ring)
{
    OPENSSL_cleanse(ring, sizeof(*ring));
}

usher_keys_t *usher_keys_make(apr_pool_t *p, const usher_keyring_t *ring)
{
    usher_keys_t *keys = apr_pcalloc(p, sizeof(*keys));

    for (keys->count = 0; keys->count < ring->count; ++keys->count) {
        const usher_key_t *key = &ring->keys[keys->count];

        keys->ids[keys->count] = key->id;
        keys->xaes[keys->count] = usher_xaes_make(p, key->bytes);
        if (!keys->xaes[keys->count]) {
            return NULL;
        }
    }
    return keys->count ? keys : NULL;
}
