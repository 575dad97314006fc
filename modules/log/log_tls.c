/* TLS of a request's connection: by mod_usher_tls, or what mod_ssl tells without it. */
#include <mod_ssl.h>

#include "log_private.h"

APLOG_USE_MODULE(usher_log);

static APR_OPTIONAL_FN_TYPE(usher_tls_facts) *tls_facts;
static APR_OPTIONAL_FN_TYPE(usher_tls_ja4) *tls_ja4;
static APR_OPTIONAL_FN_TYPE(ssl_is_https) *tls_is_https;
static APR_OPTIONAL_FN_TYPE(ssl_var_lookup) *tls_lookup;

void log_tls_post_config(void)
{
    tls_facts = APR_RETRIEVE_OPTIONAL_FN(usher_tls_facts);
    tls_ja4 = APR_RETRIEVE_OPTIONAL_FN(usher_tls_ja4);
    tls_is_https = APR_RETRIEVE_OPTIONAL_FN(ssl_is_https);
    tls_lookup = APR_RETRIEVE_OPTIONAL_FN(ssl_var_lookup);
}

static const char *tls_variable(const request_rec *r, const char *name)
{
    const char *value = tls_lookup(r->pool, r->server, r->connection, (request_rec *)r,
                                   (char *)name);

    return value && *value ? value : NULL;
}

void log_tls_fill(log_facts_t *facts)
{
    request_rec *r = facts->first;

    facts->tls = tls_facts ? tls_facts(r->connection) : NULL;
    if (facts->tls) {
        facts->tls_version = *facts->tls->version_name ? facts->tls->version_name : NULL;
        facts->tls_cipher = *facts->tls->cipher_name ? facts->tls->cipher_name : NULL;
    }
    else if (tls_is_https && tls_lookup && tls_is_https(r->connection)) {
        facts->tls_version = tls_variable(r, "SSL_PROTOCOL");
        facts->tls_cipher = tls_variable(r, "SSL_CIPHER");
    }
}

const char *log_tls_ja4(const log_facts_t *facts)
{
    return facts->tls && tls_ja4 ? tls_ja4(facts->first->connection, facts->first->pool) : NULL;
}

static void tls_put_hex(usher_logtext_t *to, apr_uint16_t number)
{
    static const char hex[] = "0123456789abcdef";
    char text[4] = { hex[number >> 12], hex[number >> 8 & 15], hex[number >> 4 & 15],
                     hex[number & 15] };

    usher_logtext_put(to, text, sizeof(text));
}

static void tls_put_version(usher_logtext_t *to, apr_uint16_t version)
{
    static const char *const names[] = { "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3" };

    if (version >= 0x0300 && version <= 0x0304) {
        const char *name = names[version - 0x0300];

        usher_logtext_put(to, name, strlen(name));
    }
    else {
        tls_put_hex(to, version);
    }
}

static int tls_kept(apr_uint16_t all, int most)
{
    return all < most ? all : most;
}

void log_tls_put_versions(usher_logtext_t *to, const usher_hello_t *hello)
{
    int i, len = hello ? tls_kept(hello->versions_all, USHER_HELLO_VERSIONS_MAX) : 0;

    if (!hello) {
        usher_logtext_char(to, '-');
    }
    else if (!len) {
        tls_put_version(to, hello->legacy_version);
    }
    for (i = 0; i < len; ++i) {
        if (i) {
            usher_logtext_char(to, ',');
        }
        tls_put_version(to, hello->versions[i]);
    }
}

void log_tls_put_ciphers(usher_logtext_t *to, const usher_hello_t *hello)
{
    int i, len = hello ? tls_kept(hello->ciphers_all, USHER_HELLO_CIPHERS_MAX) : 0;

    if (!len) {
        usher_logtext_char(to, '-');
    }
    for (i = 0; i < len; ++i) {
        if (i) {
            usher_logtext_char(to, ',');
        }
        tls_put_hex(to, hello->ciphers[i]);
    }
}
