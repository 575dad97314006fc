/* mod_ssl's directives, as mod_ssl reads them. */
#include "tls_server.h"
#include "unit.h"

static apr_pool_t *pool;

static void setup(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
}

static void teardown(void)
{
    apr_pool_destroy(pool);
}

/* 0: refused */
static const struct {
    const char *line;
    int min, max;
} protocols[] = {
    { "all", 0x0301, 0x0304 },
    { "ALL -SSLv3", 0x0301, 0x0304 },
    { "all -SSLv2 -SSLv3 -TLSv1", 0x0302, 0x0304 },
    { "all -TLSv1 -TLSv1.1", 0x0303, 0x0304 },
    { "-all +TLSv1.2 +TLSv1.3", 0x0303, 0x0304 },
    { "+TLSv1.2 +TLSv1.3", 0x0303, 0x0304 },
    { "TLSv1.2", 0x0303, 0x0303 },
    { "tlsv1.2 +tlsv1.3", 0x0303, 0x0304 },
    { "\"TLSv1.2\"", 0x0303, 0x0303 },
    { "TLSv1.2 TLSv1.3", 0x0304, 0x0304 },  /* the second replaces the first */
    { "TLSv1.3 +TLSv1.1 +TLSv1", 0x0304, 0x0304 }, /* no holes */
    { "all -TLSv1.2", 0x0304, 0x0304 },
    { "all -TLSv1.3", 0x0301, 0x0303 },
    { "-all", 0, 0 },
    { "", 0, 0 },
    { "all -all", 0, 0 },
    { "SSLv2", 0, 0 },
    { "+SSLv2", 0, 0 },
    { "TLSv1.4", 0, 0 },
    { "+", 0, 0 },
#ifdef OPENSSL_NO_SSL3
    { "SSLv3", 0, 0 },
    { "all +SSLv3", 0, 0 },
#else
    { "SSLv3", 0x0300, 0x0300 },
#endif
};

START_TEST(protocol)
{
    int min = 0, max = 0;
    const char *error = tls_server_protocol(pool, protocols[_i].line, &min, &max);

    ck_assert_msg(!error == (protocols[_i].min != 0), "%s: %s", protocols[_i].line,
                  error ? error : "taken");
    if (!error) {
        ck_assert_int_eq(min, protocols[_i].min);
        ck_assert_int_eq(max, protocols[_i].max);
    }
}
END_TEST

/* The ciphers that are then there; NULL: refused */
static const struct {
    const char *line, *has, *has_not;
} ciphers[] = {
    { "SSLCipherSuite ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "AES128-SHA" },
    { "sslciphersuite SSL AES128-SHA", "AES128-SHA", "AES256-SHA" },
    { "SSLCipherSuite ALL:eNULL:@SECLEVEL=0", "AES128-SHA", "NULL-SHA256" },
    { "SSLCipherSuite ALL:@SECLEVEL=0", "AES128-SHA", "ADH-AES128-SHA" },
    { "SSLCipherSuite HIGH:!aNULL", "TLS_AES_256_GCM_SHA384", "TLS_AES_128_CCM_SHA256" },
    { "SSLCipherSuite TLSv1.3 TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_SHA256", "TLS_AES_256_GCM_SHA384" },
    { "SSLOpenSSLConfCmd CipherString AES256-SHA", "AES256-SHA", "AES128-SHA" },
    { "SSLHonorCipherOrder on", "AES128-SHA", "ADH-AES128-SHA" },
    { "SSLCipherSuite", NULL, NULL },
    { "SSLCipherSuite NOTHING", NULL, NULL },
    { "SSLCipherSuite TLSv1.2 AES128-SHA", NULL, NULL },
    { "SSLCipherSuite TLSv1.3 AES128-SHA", NULL, NULL },
    { "SSLCipherSuite SSL AES128-SHA AES256-SHA", NULL, NULL },
    { "SSLOpenSSLConfCmd Nothing 1", NULL, NULL },
    { "SSLOpenSSLConfCmd Groups nothing", NULL, NULL },
    { "SSLOpenSSLConfCmd PrivateKey /etc/passwd", NULL, NULL },
    { "SSLEngine on", NULL, NULL },
    { "", NULL, NULL },
};

static int has(SSL_CTX *ctx, const char *name)
{
    STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ctx);
    int i;

    for (i = 0; i < sk_SSL_CIPHER_num(all); ++i) {
        if (!strcmp(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(all, i)), name)) {
            return 1;
        }
    }
    return 0;
}

START_TEST(directive)
{
    tls_server_t *server = tls_server_make(pool);
    int taken = tls_server_directive(server, ciphers[_i].line);

    ck_assert_msg(taken == (ciphers[_i].has != NULL), "%s: %s", ciphers[_i].line,
                  server->error ? server->error : "taken");
    if (taken) {
        ck_assert(has(server->ctx, ciphers[_i].has));
        ck_assert(!has(server->ctx, ciphers[_i].has_not));
        ck_assert_int_eq(server->notes->nelts, strstr(ciphers[_i].line, "Honor") != NULL);
    }
    tls_server_free(server);
}
END_TEST

/* As in httpd it does not matter where SSLOpenSSLConfCmd stands. */
START_TEST(conf_cmd_is_last)
{
    static const char *const lines[] = { "SSLOpenSSLConfCmd MinProtocol TLSv1.2", "sslopensslconfcmd CipherString AES256-SHA",
                                         "SSLProtocol all", "SSLCipherSuite AES128-SHA" };
    tls_server_t *server = tls_server_make(pool);
    apr_array_header_t *all = apr_array_make(pool, 4, sizeof(const char *));
    int i;

    for (i = 0; i < (int)UNIT_COUNT(lines); ++i) {
        APR_ARRAY_PUSH(all, const char *) = lines[i];
    }
    ck_assert_msg(tls_server_directives(server, all), "%s", server->error);
    ck_assert_int_eq(SSL_CTX_get_min_proto_version(server->ctx), TLS1_2_VERSION);
    ck_assert(has(server->ctx, "AES256-SHA"));
    ck_assert(!has(server->ctx, "AES128-SHA"));
    APR_ARRAY_PUSH(all, const char *) = "SSLEngine on";
    ck_assert(!tls_server_directives(server, all));
    ck_assert_ptr_nonnull(server->error);
    tls_server_free(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_server");
    TCase *tests = tcase_create("all");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, protocol, 0, UNIT_COUNT(protocols));
    tcase_add_loop_test(tests, directive, 0, UNIT_COUNT(ciphers));
    tcase_add_test(tests, conf_cmd_is_last);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
