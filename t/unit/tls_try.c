/* Would a server answer this offer? The answers are those of real handshakes, of OpenSSL's
 * clients with OpenSSL's servers, whatever each of them is set to. */
#include <openssl/err.h>
#include <stdio.h>

#include "tls_server.h"
#include "tls_try.h"
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

/* What clients offer */
static const struct {
    const char *min, *max, *ciphers, *suites, *groups, *sigalgs;
} clients[] = {
    { "TLSv1", "TLSv1.3", NULL, NULL, NULL, NULL },
    { "TLSv1", "TLSv1", NULL, NULL, NULL, NULL },
    { "TLSv1", "TLSv1.1", "AES128-SHA", NULL, NULL, NULL },
    { "TLSv1", "TLSv1.2", "ECDHE-RSA-AES128-SHA:AES256-SHA", NULL, NULL, NULL },
    { "TLSv1.1", "TLSv1.1", "ECDHE-ECDSA-AES128-SHA", NULL, NULL, NULL },
    { "TLSv1.1", "TLSv1.1", "DHE-RSA-AES128-SHA", NULL, NULL, NULL },
    { "TLSv1.2", "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", NULL, "P-521", NULL },
    { "TLSv1.2", "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, "P-384", NULL },
    { "TLSv1.2", "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, "P-256", "ECDSA+SHA1" },
    { "TLSv1.2", "TLSv1.2", "ECDHE-RSA-CHACHA20-POLY1305", NULL, "X25519", "RSA+SHA1" },
    { "TLSv1.2", "TLSv1.2", "DHE-RSA-AES256-GCM-SHA384", NULL, NULL, "RSA+SHA256" },
    { "TLSv1.2", "TLSv1.2", "AES128-GCM-SHA256", NULL, NULL, "RSA+SHA384" },
    { "TLSv1.2", "TLSv1.2", "ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA256", NULL,
      NULL, "ECDSA+SHA256" },
    { "TLSv1.2", "TLSv1.3", "AES128-SHA", "TLS_CHACHA20_POLY1305_SHA256", "X25519", NULL },
    { "TLSv1.3", "TLSv1.3", NULL, "TLS_AES_128_GCM_SHA256", "P-384:P-521", NULL },
    { "TLSv1.3", "TLSv1.3", NULL, "TLS_AES_256_GCM_SHA384", "X448", NULL },
    { "TLSv1.3", "TLSv1.3", NULL, NULL, "ffdhe2048", NULL },
    { "TLSv1.3", "TLSv1.3", NULL, NULL, "P-256", "ECDSA+SHA384" },
    { "TLSv1.3", "TLSv1.3", NULL, NULL, "X25519", "rsa_pss_rsae_sha256" },
    { "TLSv1.3", "TLSv1.3", NULL, NULL, "X25519", "ed25519" },
    { "TLSv1.3", "TLSv1.3", NULL, "TLS_AES_128_CCM_8_SHA256", NULL, NULL },
};

/* What servers are set to, and the certificates that they have */
static const struct {
    const char *directives[3];
    const char *keys;
} servers[] = {
    { { NULL }, "re" },
    { { "SSLProtocol all" }, "r" },
    { { "SSLProtocol all", "SSLCipherSuite ALL:@SECLEVEL=0" }, "re" },
    { { "SSLProtocol all", "SSLCipherSuite ALL:@SECLEVEL=0" }, "r" },
    { { "SSLProtocol TLSv1.1 +TLSv1", "SSLCipherSuite ALL:@SECLEVEL=0" }, "e" },
    { { "SSLProtocol TLSv1 +TLSv1.3", "SSLCipherSuite ALL:@SECLEVEL=0" }, "re" },
    { { "SSLProtocol -all +TLSv1.2" }, "re" },
    { { "SSLProtocol -all +TLSv1.2", "SSLCipherSuite ECDHE+AESGCM" }, "r" },
    { { "SSLProtocol -all +TLSv1.2", "SSLCipherSuite ECDHE+AESGCM" }, "e" },
    { { "SSLProtocol -all +TLSv1.2 +TLSv1.3", "SSLCipherSuite DHE+AESGCM" }, "re" },
    { { "SSLProtocol -all +TLSv1.2 +TLSv1.3", "SSLCipherSuite CHACHA20" }, "e" },
    { { "SSLProtocol -all +TLSv1.3" }, "r" },
    { { "SSLProtocol -all +TLSv1.3" }, "e" },
    { { "SSLProtocol -all +TLSv1.3", "SSLCipherSuite TLSv1.3 TLS_AES_128_GCM_SHA256" }, "re" },
    { { "SSLProtocol all", "SSLOpenSSLConfCmd Groups P-384", "SSLCipherSuite ALL:@SECLEVEL=0" }, "re" },
    { { "SSLProtocol all", "SSLOpenSSLConfCmd Curves X25519:P-256" }, "re" },
    { { "SSLProtocol all", "SSLOpenSSLConfCmd SignatureAlgorithms RSA+SHA512:ECDSA+SHA512" }, "re" },
    { { "SSLProtocol all", "SSLOpenSSLConfCmd SignatureAlgorithms RSA+SHA1:ECDSA+SHA1",
        "SSLCipherSuite ALL:@SECLEVEL=0" }, "re" },
};

static SSL_CTX *client_make(int i)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CONF_CTX *conf = SSL_CONF_CTX_new();
    const char *ciphers = clients[i].ciphers ? clients[i].ciphers : "ALL";

    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CONF_CTX_set_flags(conf, SSL_CONF_FLAG_FILE | SSL_CONF_FLAG_CLIENT);
    SSL_CONF_CTX_set_ssl_ctx(conf, ctx);
    ck_assert(SSL_CTX_set_cipher_list(ctx, apr_pstrcat(pool, ciphers, ":@SECLEVEL=0", NULL)));
    ck_assert_int_gt(SSL_CONF_cmd(conf, "MinProtocol", clients[i].min), 0);
    ck_assert_int_gt(SSL_CONF_cmd(conf, "MaxProtocol", clients[i].max), 0);
    if (clients[i].suites) {
        ck_assert(SSL_CTX_set_ciphersuites(ctx, clients[i].suites));
    }
    if (clients[i].groups) {
        ck_assert_int_gt(SSL_CONF_cmd(conf, "Groups", clients[i].groups), 0);
    }
    if (clients[i].sigalgs) {
        ck_assert_int_gt(SSL_CONF_cmd(conf, "SignatureAlgorithms", clients[i].sigalgs), 0);
    }
    SSL_CONF_CTX_free(conf);
    return ctx;
}

static tls_server_t *server_make(int i)
{
    tls_server_t *server = tls_server_make(pool);
    EVP_PKEY *key;
    int n;

    ck_assert_ptr_nonnull(server);
    for (n = 0; n < 3 && servers[i].directives[n]; ++n) {
        ck_assert_msg(tls_server_directive(server, servers[i].directives[n]), "%s", server->error);
    }
    if (strchr(servers[i].keys, 'r')) {
        key = EVP_RSA_gen(2048);
        ck_assert(tls_server_certificate(server, key));
        EVP_PKEY_free(key);
    }
    if (strchr(servers[i].keys, 'e')) {
        key = EVP_EC_gen("P-256");
        ck_assert(tls_server_certificate(server, key));
        EVP_PKEY_free(key);
    }
    return server;
}

typedef struct {
    usher_hello_t offer;
    int hellos;
} seen_t;

/* The client's offer, as it is sent */
static void watch(int sent, int version, int type, const void *bytes, size_t len, SSL *ssl,
                  void *arg)
{
    seen_t *seen = arg;
    const unsigned char *message = bytes;

    if (sent && type == SSL3_RT_HANDSHAKE && len > 4 && message[0] == 1 && !seen->hellos++) {
        ck_assert_int_eq(usher_hello_read(&seen->offer, message + 4, len - 4), USHER_PARSE_DONE);
    }
}

static void move(SSL *from, SSL *to)
{
    char *bytes;
    long len = BIO_get_mem_data(SSL_get_wbio(from), &bytes);

    if (len > 0) {
        BIO_write(SSL_get_rbio(to), bytes, (int)len);
        (void)BIO_reset(SSL_get_wbio(from));
    }
}

static SSL *end_make(SSL_CTX *ctx)
{
    SSL *ssl = SSL_new(ctx);

    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    return ssl;
}

/* A real handshake. @return whether it ends well */
static int handshake(SSL_CTX *client_ctx, SSL_CTX *server_ctx, seen_t *seen)
{
    SSL *client = end_make(client_ctx), *server = end_make(server_ctx);
    int i, done = 0;

    SSL_set_msg_callback(client, watch);
    SSL_set_msg_callback_arg(client, seen);
    SSL_set_connect_state(client);
    SSL_set_accept_state(server);
    for (i = 0; i < 8 && !done; ++i) {
        int client_done = SSL_do_handshake(client);

        move(client, server);
        done = SSL_do_handshake(server) == 1 && client_done == 1;
        move(server, client);
    }
    SSL_free(client);
    SSL_free(server);
    ERR_clear_error();
    return done;
}

/* How many were answered, how many refused */
static void compare(int at, int counts[2])
{
    tls_server_t *server = server_make(at);
    int i;

    for (i = 0; i < UNIT_COUNT(clients); ++i) {
        SSL_CTX *client = client_make(i);
        seen_t seen = { 0 };
        int done = handshake(client, server->ctx, &seen);
        tls_try_t tried = tls_try(server->ctx, &seen.offer);

        ck_assert_msg(seen.hellos, "client %d offers nothing", i);
        ck_assert_msg(tried.answers == done, "client %d, server %d: %s, tried: %s%s", i, at,
                      done ? "answered" : "refused", tried.answers ? "answered" : "refused: ",
                      tried.reason);
        ck_assert_int_eq(tried.answers, tried.alert < 0);
        ck_assert_int_eq(tried.answers, *tried.reason == '\0');
        ++counts[done];
        SSL_CTX_free(client);
    }
    tls_server_free(server);
}

START_TEST(as_handshakes)
{
    int counts[2] = { 0, 0 }, i;

    for (i = 0; i < UNIT_COUNT(servers); ++i) {
        compare(i, counts);
    }
    /* Or the comparison has shown little. */
    ck_assert_int_gt(counts[0], 100);
    ck_assert_int_gt(counts[1], 100);
}
END_TEST

static const struct {
    const char *directive;
    usher_hello_t offer;
    int alert;
    const char *reason;
} reasons[] = {
    { "SSLProtocol TLSv1.3", { .legacy_version = 0x0303, .ciphers_all = 1, .ciphers = { 0xc02f } },
      70, "unsupported protocol" },
    { "SSLCipherSuite ECDHE+CHACHA20",
      { .legacy_version = 0x0303, .ciphers_all = 1, .ciphers = { 0xc02f }, .groups_all = 1, .groups = { 29 } },
      40, "no shared cipher" },
    { "SSLOpenSSLConfCmd Groups P-256",
      { .legacy_version = 0x0303, .ciphers_all = 1, .ciphers = { 0x1301 }, .groups_all = 1, .groups = { 29 },
        .versions_all = 1, .versions = { 0x0304 }, .sigalgs_all = 1, .sigalgs = { 0x0804 } },
      40, "no suitable key share" },
    { "SSLProtocol all", { .legacy_version = 0x0300, .ciphers_all = 1, .ciphers = { 0x002f } },
      40, "version too low" },
    { "SSLProtocol all", { .legacy_version = 0x0303 }, 40, NULL },
};

START_TEST(why)
{
    tls_server_t *server = tls_server_make(pool);
    tls_try_t tried;

    ck_assert(tls_server_directive(server, reasons[_i].directive));
    ck_assert(tls_server_certificates(server));
    tried = tls_try(server->ctx, &reasons[_i].offer);
    ck_assert_int_eq(tried.answers, 0);
    if (reasons[_i].reason) {
        ck_assert_int_eq(tried.alert, reasons[_i].alert);
        ck_assert_str_eq(tried.reason, reasons[_i].reason);
    }
    tls_server_free(server);
}
END_TEST

/* All lists full, and counted fuller than they are. */
START_TEST(full)
{
    unsigned char hello[TLS_TRY_HELLO_MAX];
    usher_hello_t offer, read;
    apr_size_t len;

    memset(&offer, 0x11, sizeof(offer));
    offer.versions[3] = 0x0304;
    len = tls_try_hello(hello, &offer);
    ck_assert_uint_le(len, TLS_TRY_HELLO_MAX);
    ck_assert_int_eq(usher_hello_read(&read, hello + 9, len - 9), USHER_PARSE_DONE);
    ck_assert_uint_eq(read.ciphers_all, USHER_HELLO_CIPHERS_MAX);
    ck_assert_uint_eq(read.groups_all, USHER_HELLO_GROUPS_MAX);
    ck_assert_uint_eq(read.sigalgs_all, USHER_HELLO_SIGALGS_MAX);
    ck_assert_uint_eq(read.versions_all, USHER_HELLO_VERSIONS_MAX);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tls_try");
    TCase *tests = tcase_create("all");

    tcase_set_timeout(tests, 60); /* the sanitizers' builds make keys slowly */
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, as_handshakes);
    tcase_add_loop_test(tests, why, 0, UNIT_COUNT(reasons));
    tcase_add_test(tests, full);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
