/* Nonces that were used: in shared memory (piece "nonces"), which graceful restarts keep, and in the store, where
 * other nodes see them, and this one after a stop. */
#include <apr_general.h>
#include <openssl/evp.h>

#include "register_auth.h"
#include "usher_nonces.h"

APLOG_USE_MODULE(usher_register);

#define LAYOUT 1
/* Of each kind of clock: one that was set back meanwhile. ms */
#define MARGIN 60000

static usher_memory_t *memory;

static void nonce_init(void *base, apr_uint64_t size)
{
    apr_generate_random_bytes(((usher_nonces_t *)base)->secret, USHER_SIPHASH_KEY_SIZE);
}

static apr_status_t nonce_carry(void *to, apr_uint64_t to_size, const void *from, apr_uint64_t from_size,
                                apr_uint32_t from_layout, usher_memory_carried_t *carried)
{
    if (from_layout != LAYOUT || from_size < USHER_NONCES_SIZE_MIN) {
        return APR_ENOTIMPL;
    }
    usher_nonces_carry(to, to_size, from, from_size, register_auth_now(), &carried->kept, &carried->dropped);
    return APR_SUCCESS;
}

static const usher_memory_spec_t nonce_spec = {
    .name = "nonces",
    .layout = LAYOUT,
    .size = (apr_uint64_t)8 * 1024 * 1024, /* a million places */
    .size_min = 64 * 1024,
    .size_max = (apr_uint64_t)1 << 30,
    .init = nonce_init,
    .carry = nonce_carry,
};

void register_nonce_init(void)
{
    memory = NULL;
}

int register_nonce_check_config(server_rec *s)
{
    memory = register_core->memory_declare(&nonce_spec);
    return register_core->store_keep(&register_nonce_kind, s);
}

static usher_nonces_t *nonce_table(apr_uint64_t *size)
{
    return memory ? register_core->memory_base(memory, size) : NULL;
}

/* A record's key: what is random enough of the key's id and the nonce. */
static int nonce_id(unsigned char id[EVP_MAX_MD_SIZE], usher_span_t keyid, usher_span_t nonce)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) && EVP_DigestUpdate(ctx, keyid.text, keyid.len)
             && EVP_DigestUpdate(ctx, "", 1) && EVP_DigestUpdate(ctx, nonce.text, nonce.len)
             && EVP_DigestFinal_ex(ctx, id, NULL);

    EVP_MD_CTX_free(ctx);
    return ok;
}

static int nonce_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int nonce_read(unsigned char id[USHER_NONCES_ID_SIZE], const char *key)
{
    int i, bad = 0;

    for (i = 0; i < USHER_NONCES_ID_SIZE && key[2 * i] && key[2 * i + 1]; ++i) {
        int high = nonce_digit(key[2 * i]), low = nonce_digit(key[2 * i + 1]);

        bad |= high | low;
        id[i] = (unsigned char)((unsigned int)high << 4 | (unsigned int)low);
    }
    return bad >= 0 && i == USHER_NONCES_ID_SIZE && !key[(apr_size_t)2 * i];
}

/* Another node, or this one before it was stopped, has accepted it. */
static void nonce_apply(const usher_store_record_t *record, server_rec *s, apr_pool_t *ptemp)
{
    unsigned char id[USHER_NONCES_ID_SIZE];
    apr_uint64_t size;
    usher_nonces_t *nonces = nonce_table(&size);

    if (nonces && record->value && record->life > 0 && nonce_read(id, record->key)) {
        usher_nonces_use(nonces, size, id, register_auth_now(), record->life);
    }
}

const usher_store_kind_t register_nonce_kind = { "nonce", nonce_apply };

static const char *nonce_key(apr_pool_t *p, const unsigned char id[USHER_NONCES_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    char *key = apr_pcalloc(p, USHER_NONCES_ID_SIZE * 2 + 1);
    int i;

    for (i = 0; i < USHER_NONCES_ID_SIZE; ++i) {
        key[2 * i] = digits[id[i] >> 4];
        key[2 * i + 1] = digits[id[i] & 15];
    }
    return key;
}

int register_nonce_use(request_rec *r, register_who_t *who, usher_span_t keyid, usher_span_t nonce,
                       register_error_t *error)
{
    unsigned char id[EVP_MAX_MD_SIZE];
    apr_uint64_t size;
    usher_nonces_t *nonces = nonce_table(&size);
    usher_nonces_e is = USHER_NONCES_FULL;

    /* A signature is good from a skew before to a skew behind its time. */
    who->nonce_life = 2 * register_core->clock_skew() / 1000 + MARGIN;
    if (nonces && nonce_id(id, keyid, nonce)) {
        is = usher_nonces_use(nonces, size, id, register_auth_now(), who->nonce_life);
        who->nonce_key = nonce_key(r->pool, id);
    }
    if (is == USHER_NONCES_USED) {
        *error = (register_error_t) { HTTP_UNAUTHORIZED, "replayed", "the nonce of this signature was used before" };
    }
    if (is == USHER_NONCES_FULL) {
        *error = (register_error_t) { HTTP_SERVICE_UNAVAILABLE, "table-full",
                                      "too many nonces are in use: \"UsherMemory nonces\" gives more room" };
    }
    return is == USHER_NONCES_NEW;
}

void register_nonce_tell(const register_who_t *who)
{
    usher_store_change_t change = {
        .kind = &register_nonce_kind,
        .key = who->nonce_key,
        .value = "",
        .life = who->nonce_life,
    };

    register_core->store_put(&change, 1, 0);
}
