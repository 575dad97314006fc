/* Against forged requests: a page of another site, opened by an administrator, must not
 * be able to switch members.
 *
 * Who changes something sends a token that he got by asking for the status, which
 * browsers let no other site read. It is a MAC over the time, the user and the address,
 * so nothing need be kept of it. Its key is made by the parent at the first start and
 * lies in its memory, which all children have a copy of; a stop ends it. */
#include <apr_escape.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "status_private.h"

APLOG_USE_MODULE(usher_status);

#define KEY_NAME "usher-status-key"
#define KEY_SIZE 32
/* A token holds for one to two of these. */
#define BUCKET (10 * 60 * APR_USEC_PER_SEC)
#define TOKEN_BYTES 16

static const unsigned char *key; /* NULL: nothing may be changed */

int status_token_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                             server_rec *s)
{
    unsigned char made[KEY_SIZE];

    key = ap_retained_data_get(KEY_NAME);
    if (key) {
        return OK;
    }
    if (RAND_bytes(made, sizeof(made)) != 1) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, USHERLOGNO(9003)
                     "usher-status: no random key could be had of OpenSSL, so members cannot be "
                     "switched by it: stop and start httpd");
        return OK;
    }
    key = memcpy(ap_retained_data_create(KEY_NAME, KEY_SIZE), made, KEY_SIZE);
    OPENSSL_cleanse(made, sizeof(made));
    return OK;
}

/* The token of some bucket; NULL: none can be made. */
static const char *token_of(request_rec *r, apr_int64_t bucket)
{
    const char *text = apr_psprintf(r->pool, "%" APR_INT64_T_FMT "\n%s\n%s", bucket,
                                    r->useragent_ip, r->user ? r->user : "");
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len = 0;

    if (!key || !HMAC(EVP_sha256(), key, KEY_SIZE, (const unsigned char *)text, strlen(text), mac,
                      &len) || len < TOKEN_BYTES) {
        return NULL;
    }
    return apr_pescape_hex(r->pool, mac, TOKEN_BYTES, 0);
}

static apr_int64_t token_bucket(void)
{
    return usher_clock_system()->boot_now() / BUCKET;
}

const char *status_token_make(request_rec *r)
{
    return token_of(r, token_bucket());
}

int status_token_fits(request_rec *r, const char *token)
{
    apr_int64_t now = token_bucket();
    int back, fits = 0;

    for (back = 0; back <= 1; ++back) {
        const char *right = token_of(r, now - back);

        fits |= right && token && strlen(token) == strlen(right)
                && !CRYPTO_memcmp(token, right, strlen(right));
    }
    return fits;
}

/* "https://www.example.com:8443" against the Host of the request. "null" is no site. */
static int token_is_own(request_rec *r, const char *origin)
{
    const char *host = apr_table_get(r->headers_in, "Host");
    const char *authority = ap_strstr_c(origin, "://");

    return host && authority && !ap_cstr_casecmp(authority + 3, host);
}

int status_token_is_foreign(request_rec *r)
{
    const char *site = apr_table_get(r->headers_in, "Sec-Fetch-Site");
    const char *origin = apr_table_get(r->headers_in, "Origin");

    return (site && ap_cstr_casecmp(site, "same-origin") != 0 && ap_cstr_casecmp(site, "none") != 0)
           || (origin && !token_is_own(r, origin));
}
