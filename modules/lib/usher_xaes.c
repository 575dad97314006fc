#include "usher_xaes.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdatomic.h>
#include <string.h>

#define BLOCK 16
/* Half of a nonce: one goes into the message's key, the other into GCM. */
#define HALF (USHER_XAES_NONCE_SIZE / 2)

/* What one operation needs; used by one thread at a time. */
typedef struct {
    EVP_CIPHER_CTX *kdf; /* AES-256 with the key, block by block */
    EVP_CIPHER_CTX *gcm;
} xaes_work_t;

/* Those that wait for a thread. More at once than there are places for are freed again. */
#define IDLE_BITS 4
#define IDLE (1 << IDLE_BITS)

struct usher_xaes_t {
    unsigned char key[USHER_XAES_KEY_SIZE];
    unsigned char k1[BLOCK]; /* the subkey of CMAC for whole blocks */
    EVP_CIPHER *ecb;
    EVP_CIPHER *aead;
    _Atomic(xaes_work_t *) idle[IDLE];
};

static void xaes_work_free(xaes_work_t *work)
{
    EVP_CIPHER_CTX_free(work->kdf); /* wiped; NULL is fine */
    EVP_CIPHER_CTX_free(work->gcm);
    OPENSSL_free(work);
}

static xaes_work_t *xaes_work_make(const usher_xaes_t *xaes)
{
    xaes_work_t *work = OPENSSL_zalloc(sizeof(*work));

    if (!work) {
        return NULL;
    }
    work->kdf = EVP_CIPHER_CTX_new();
    work->gcm = EVP_CIPHER_CTX_new();
    if (!work->kdf || !work->gcm
        || !EVP_EncryptInit_ex2(work->kdf, xaes->ecb, xaes->key, NULL, NULL)
        || !EVP_CIPHER_CTX_set_padding(work->kdf, 0)
        || !EVP_CipherInit_ex2(work->gcm, xaes->aead, NULL, NULL, 0, NULL)) {
        xaes_work_free(work);
        return NULL;
    }
    return work;
}

/* Where a thread looks first: its own place, mostly. */
static unsigned int xaes_place(void)
{
    char here = 0;

    return ((apr_uint32_t)((apr_uintptr_t)&here >> 12) * 0x9e3779b1u) >> (32 - IDLE_BITS);
}

static xaes_work_t *xaes_take(usher_xaes_t *xaes, unsigned int place)
{
    xaes_work_t *work;
    unsigned int i;

    for (i = 0; i < IDLE; ++i) {
        work = atomic_exchange_explicit(&xaes->idle[(place + i) % IDLE], NULL,
                                        memory_order_acquire);
        if (work) {
            return work;
        }
    }
    return xaes_work_make(xaes);
}

static void xaes_give(usher_xaes_t *xaes, unsigned int place, xaes_work_t *work)
{
    unsigned int i;

    for (i = 0; i < IDLE; ++i) {
        xaes_work_t *none = NULL;

        if (atomic_compare_exchange_strong_explicit(&xaes->idle[(place + i) % IDLE], &none, work,
                                                    memory_order_release,
                                                    memory_order_relaxed)) {
            return;
        }
    }
    xaes_work_free(work);
}

static apr_status_t xaes_cleanup(void *data)
{
    usher_xaes_t *xaes = data;
    unsigned int i;

    for (i = 0; i < IDLE; ++i) {
        xaes_work_t *work = atomic_exchange(&xaes->idle[i], NULL);

        if (work) {
            xaes_work_free(work);
        }
    }
    EVP_CIPHER_free(xaes->ecb);
    EVP_CIPHER_free(xaes->aead);
    OPENSSL_cleanse(xaes->key, sizeof(xaes->key));
    OPENSSL_cleanse(xaes->k1, sizeof(xaes->k1));
    return APR_SUCCESS;
}

/* NIST SP 800-38B, 6.1. */
static int xaes_make_k1(usher_xaes_t *xaes)
{
    static const unsigned char zeros[BLOCK];
    unsigned int place = xaes_place();
    xaes_work_t *work = xaes_take(xaes, place);
    unsigned char carry;
    int ok, n, i;

    ok = work && EVP_EncryptUpdate(work->kdf, xaes->k1, &n, zeros, BLOCK);
    carry = xaes->k1[0] >> 7;
    for (i = 0; i < BLOCK - 1; ++i) {
        xaes->k1[i] = (unsigned char)(xaes->k1[i] << 1 | xaes->k1[i + 1] >> 7);
    }
    xaes->k1[BLOCK - 1] = (unsigned char)(xaes->k1[BLOCK - 1] << 1 ^ (0x87 & -carry));
    if (work) {
        xaes_give(xaes, place, work);
    }
    return ok;
}

usher_xaes_t *usher_xaes_make(apr_pool_t *p, const unsigned char key[USHER_XAES_KEY_SIZE])
{
    usher_xaes_t *xaes = apr_pcalloc(p, sizeof(*xaes));

    memcpy(xaes->key, key, USHER_XAES_KEY_SIZE);
    xaes->ecb = EVP_CIPHER_fetch(NULL, "AES-256-ECB", NULL);
    xaes->aead = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    if (!xaes->ecb || !xaes->aead || !xaes_make_k1(xaes)) {
        xaes_cleanup(xaes);
        ERR_clear_error();
        return NULL;
    }
    apr_pool_cleanup_register(p, xaes, xaes_cleanup, apr_pool_cleanup_null);
    return xaes;
}

/* The message's own key: CMAC of its number and the nonce's first half, twice. */
static int xaes_derive(const usher_xaes_t *xaes, xaes_work_t *work, unsigned char key[2 * BLOCK],
                       const unsigned char *nonce)
{
    unsigned char blocks[2 * BLOCK] = { 0, 1, 'X', 0 };
    int n, i;

    memcpy(blocks + 4, nonce, HALF);
    memcpy(blocks + BLOCK, blocks, BLOCK);
    blocks[BLOCK + 1] = 2;
    for (i = 0; i < BLOCK; ++i) {
        blocks[i] ^= xaes->k1[i];
        blocks[BLOCK + i] ^= xaes->k1[i];
    }
    return EVP_EncryptUpdate(work->kdf, key, &n, blocks, sizeof(blocks));
}

/* The message's key and nonce into GCM; with the tag where one has to fit. */
static int xaes_begin(const usher_xaes_t *xaes, xaes_work_t *work, const unsigned char *nonce,
                      const unsigned char *tag)
{
    OSSL_PARAM params[] = { OSSL_PARAM_END, OSSL_PARAM_END };
    unsigned char key[2 * BLOCK];
    int ok;

    if (tag) {
        params[0] = OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, (void *)tag,
                                                      USHER_XAES_TAG_SIZE);
    }
    ok = xaes_derive(xaes, work, key, nonce)
         && EVP_CipherInit_ex2(work->gcm, NULL, key, nonce + HALF, !tag, params);
    OPENSSL_cleanse(key, sizeof(key));
    return ok;
}

/* Other users of this thread's error queue, as mod_ssl, must not find ours there. */
static int xaes_end(usher_xaes_t *xaes, unsigned int place, xaes_work_t *work, int ok)
{
    if (work) {
        xaes_give(xaes, place, work);
    }
    if (!ok) {
        ERR_clear_error();
    }
    return ok;
}

int usher_xaes_seal(usher_xaes_t *xaes, unsigned char *to,
                    const unsigned char nonce[USHER_XAES_NONCE_SIZE], const void *aad,
                    int aad_len, const unsigned char *from, int len)
{
    OSSL_PARAM tag[] = { OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, to + len,
                                                 USHER_XAES_TAG_SIZE),
                         OSSL_PARAM_END };
    unsigned int place = xaes_place();
    xaes_work_t *work = xaes_take(xaes, place);
    int n;

    return xaes_end(xaes, place, work,
                    work && xaes_begin(xaes, work, nonce, NULL)
                    && EVP_EncryptUpdate(work->gcm, NULL, &n, aad, aad_len)
                    && EVP_EncryptUpdate(work->gcm, to, &n, from, len)
                    && EVP_EncryptFinal_ex(work->gcm, to + len, &n)
                    && EVP_CIPHER_CTX_get_params(work->gcm, tag));
}

int usher_xaes_open(usher_xaes_t *xaes, unsigned char *to,
                    const unsigned char nonce[USHER_XAES_NONCE_SIZE], const void *aad,
                    int aad_len, const unsigned char *from, int len)
{
    unsigned int place = xaes_place();
    xaes_work_t *work = xaes_take(xaes, place);
    int n;

    if (xaes_end(xaes, place, work,
                 work && xaes_begin(xaes, work, nonce, from + len)
                 && EVP_DecryptUpdate(work->gcm, NULL, &n, aad, aad_len)
                 && EVP_DecryptUpdate(work->gcm, to, &n, from, len)
                 && EVP_DecryptFinal_ex(work->gcm, to + len, &n))) {
        return 1;
    }
    OPENSSL_cleanse(to, (size_t)len);
    return 0;
}
