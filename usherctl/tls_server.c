/* mod_ssl's directives that decide whom a server answers. */
#include <openssl/err.h>
#include <string.h>
#include <strings.h>

#include "tls_server.h"

/* In the order of their numbers, so that a bit's place is a version's */
static const struct {
    const char *name;
    int version;
} versions[] = {
    { "SSLv3", SSL3_VERSION },     { "TLSv1", TLS1_VERSION },     { "TLSv1.1", TLS1_1_VERSION },
    { "TLSv1.2", TLS1_2_VERSION }, { "TLSv1.3", TLS1_3_VERSION },
};
#define VERSIONS ((int)(sizeof(versions) / sizeof(versions[0])))

#ifdef OPENSSL_NO_SSL3
#define VERSIONS_ALL ((1u << VERSIONS) - 2)
#else
#define VERSIONS_ALL ((1u << VERSIONS) - 1)
#endif

static const char *protocol_bits(apr_pool_t *p, const char *word, unsigned int *bits)
{
    int i;

    if (!strcasecmp(word, "all")) {
        *bits = VERSIONS_ALL;
        return NULL;
    }
    for (i = 0; i < VERSIONS; ++i) {
        if (!strcasecmp(word, versions[i].name)) {
            *bits = 1u << i;
            return NULL;
        }
    }
    return apr_psprintf(p, "\"%s\" is no version: all, SSLv3, TLSv1, TLSv1.1, TLSv1.2, TLSv1.3 are",
                        word);
}

/* mod_ssl allows no holes: from the newest one down as far as one follows the other. */
static const char *protocol_range(unsigned int allowed, int *min, int *max)
{
    int i = VERSIONS - 1;

    while (i >= 0 && !(allowed & 1u << i)) {
        --i;
    }
    if (i < 0) {
        return "no version is left";
    }
    *max = *min = versions[i].version;
    while (--i >= 0 && (allowed & 1u << i)) {
        *min = versions[i].version;
    }
    return NULL;
}

const char *tls_server_protocol(apr_pool_t *p, const char *line, int *min, int *max)
{
    unsigned int allowed = 0;

    while (*line) {
        const char *word = ctl_word(p, &line);
        int sign = *word == '+' || *word == '-' ? *word++ : 0;
        unsigned int bits = 0;
        const char *error;

        if (!strcasecmp(word, "SSLv2") && sign == '-') {
            continue;
        }
        error = protocol_bits(p, word, &bits);
        if (!error && sign != '-' && (bits & ~VERSIONS_ALL)) {
            error = "SSLv3 is not in this OpenSSL";
        }
        if (error) {
            return error;
        }
        allowed = sign == '-' ? allowed & ~bits : sign == '+' ? allowed | bits : bits;
    }
    return protocol_range(allowed, min, max);
}

static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    return reason ? reason : "OpenSSL refuses it";
}

static const char *apply_protocol(tls_server_t *server, const char *line)
{
    int min, max;
    const char *error = tls_server_protocol(server->pool, line, &min, &max);

    if (!error && (SSL_CTX_set_max_proto_version(server->ctx, max) != 1
                   || SSL_CTX_set_min_proto_version(server->ctx, min) != 1)) {
        error = openssl_reason();
    }
    return error;
}

static const char *apply_ciphers(tls_server_t *server, const char *line)
{
    const char *first = ctl_word(server->pool, &line);
    const char *second = *line ? ctl_word(server->pool, &line) : NULL;
    const char *list = second ? second : first;

    if (*line) {
        return "takes one or two words";
    }
    if (second && !strcmp(first, "TLSv1.3")) {
        return SSL_CTX_set_ciphersuites(server->ctx, list) == 1 ? NULL : openssl_reason();
    }
    if (second && strcmp(first, "SSL")) {
        return apr_psprintf(server->pool, "\"%s\" is neither SSL nor TLSv1.3", first);
    }
    /* As mod_ssl does it, which does not touch the system's profiles */
    if (strncmp(list, "PROFILE=", 8)) {
        list = apr_pstrcat(server->pool, list, ":!aNULL:!eNULL:!EXP", NULL);
    }
    server->has_ciphers = 1;
    return SSL_CTX_set_cipher_list(server->ctx, list) == 1 ? NULL : openssl_reason();
}

static const char *apply_conf(tls_server_t *server, const char *line)
{
    const char *name = ctl_word(server->pool, &line);
    const char *value = ctl_word(server->pool, &line);

    if (SSL_CONF_cmd_value_type(server->conf, name) == SSL_CONF_TYPE_FILE
        || SSL_CONF_cmd_value_type(server->conf, name) == SSL_CONF_TYPE_DIR) {
        return apr_psprintf(server->pool, "%s names files: certificates go to --cert", name);
    }
    return SSL_CONF_cmd(server->conf, name, value) > 0
               ? NULL : apr_psprintf(server->pool, "%s %s: %s", name, value, openssl_reason());
}

static const char *apply_nothing(tls_server_t *server, const char *line)
{
    return NULL;
}

static const struct {
    const char *name;
    const char *(*apply)(tls_server_t *server, const char *line);
} directives[] = {
    { "SSLProtocol", apply_protocol },
    { "SSLCipherSuite", apply_ciphers },
    { "SSLOpenSSLConfCmd", apply_conf },
    { "SSLHonorCipherOrder", apply_nothing },
};

int tls_server_knows(const char *name)
{
    apr_size_t i;

    for (i = 0; i < sizeof(directives) / sizeof(directives[0]); ++i) {
        if (!strcasecmp(name, directives[i].name)) {
            return 1;
        }
    }
    return 0;
}

int tls_server_directive(tls_server_t *server, const char *line)
{
    const char *rest = line;
    const char *name = ctl_word(server->pool, &rest);
    apr_size_t i;

    for (i = 0; i < sizeof(directives) / sizeof(directives[0]); ++i) {
        if (strcasecmp(name, directives[i].name)) {
            continue;
        }
        if (directives[i].apply == apply_nothing) {
            APR_ARRAY_PUSH(server->notes, const char *)
                = apr_psprintf(server->pool, "%s: decides which cipher it will be, not who is "
                               "answered", directives[i].name);
        }
        ERR_clear_error();
        server->has_protocol |= directives[i].apply == apply_protocol;
        server->error = *rest ? directives[i].apply(server, rest) : "has no value";
        if (server->error) {
            server->error = apr_psprintf(server->pool, "%s: %s", line, server->error);
        }
        return !server->error;
    }
    server->error = apr_psprintf(server->pool, "%s: what-if knows SSLProtocol, SSLCipherSuite "
                                 "and SSLOpenSSLConfCmd", line);
    return 0;
}

static int directive_comes_last(apr_pool_t *p, const char *line)
{
    return !strcasecmp(ctl_word(p, &line), "SSLOpenSSLConfCmd");
}

int tls_server_directives(tls_server_t *server, const apr_array_header_t *lines)
{
    int last, i;

    for (last = 0; last <= 1; ++last) {
        for (i = 0; i < lines->nelts; ++i) {
            const char *line = APR_ARRAY_IDX(lines, i, const char *);

            if (directive_comes_last(server->pool, line) == last
                && !tls_server_directive(server, line)) {
                return 0;
            }
        }
    }
    return 1;
}

tls_server_t *tls_server_make(apr_pool_t *p)
{
    tls_server_t *server = apr_pcalloc(p, sizeof(*server));
    const char *rest = "all -SSLv3";
    int made;

    server->pool = p;
    server->notes = apr_array_make(p, 2, sizeof(const char *));
    server->ctx = SSL_CTX_new(TLS_server_method());
    server->conf = SSL_CONF_CTX_new();
    made = server->ctx && server->conf && !apply_protocol(server, rest);
    if (!made) {
        tls_server_free(server);
        return NULL;
    }
    SSL_CTX_set_dh_auto(server->ctx, 1);
    SSL_CONF_CTX_set_flags(server->conf, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_SERVER);
    SSL_CONF_CTX_set_ssl_ctx(server->conf, server->ctx);
    return server;
}

void tls_server_free(tls_server_t *server)
{
    SSL_CONF_CTX_free(server->conf);
    SSL_CTX_free(server->ctx);
}
