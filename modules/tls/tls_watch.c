/* Sees a client's handshake: what OpenSSL sends and receives, from beside mod_ssl, and how
 * reading from the client ends.
 *
 * mod_ssl frees its session where a handshake fails, and forgets the reasons: all that is
 * told of it is taken within OpenSSL's own calls. */
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <httpd.h>
#include <apr_hooks.h>
#include <apr_optional_hooks.h>
#include <util_filter.h>

#include "tls_private.h"
#include "usher_bytes.h"
#include "usher_clock.h"

#define MESSAGE_HEAD 4
#define ALERT_FATAL  2

/* The first byte of the numbers of TLS 1.3's ciphers */
#define CIPHERS_TLS_1_3 0x13

/* mod_ssl_openssl.h is not among the headers that distributions install. */
typedef int ssl_HOOK_pre_handshake_t(conn_rec *c, SSL *ssl, int is_proxy);

static ap_filter_rec_t *watch_filter;

/* What only the session knows, before it may be gone. */
static void watch_take(tls_record_t *record, SSL *ssl)
{
    server_rec *server = tls_vhost_of(SSL_get_SSL_CTX(ssl));

    if (server) {
        record->facts.server = server;
    }
    record->facts.took = usher_clock_system()->boot_now() - record->begun;
}

/* Both have sent their last message: what they agreed on. */
static void watch_finished(tls_record_t *record, SSL *ssl)
{
    const unsigned char *alpn;
    unsigned int len;

    watch_take(record, ssl);
    record->facts.resumed = SSL_session_reused(ssl) != 0;
    SSL_get0_alpn_selected(ssl, &alpn, &len);
    if (len) {
        record->facts.alpn = apr_pstrmemdup(record->c->pool, (const char *)alpn, len);
    }
}

/* Whether a certificate here can make any of the signatures that the client takes. */
static int watch_can_sign(SSL *ssl)
{
    int more, sign, i, all = SSL_get_shared_sigalgs(ssl, 0, NULL, NULL, NULL, NULL, NULL);

    for (more = (int)SSL_set_current_cert(ssl, SSL_CERT_SET_FIRST); more;
         more = (int)SSL_set_current_cert(ssl, SSL_CERT_SET_NEXT)) {
        int key = EVP_PKEY_get_base_id(X509_get0_pubkey(SSL_get_certificate(ssl)));

        for (i = 0; i < all; ++i) {
            SSL_get_shared_sigalgs(ssl, i, &sign, NULL, NULL, NULL, NULL);
            if (sign == key || (sign == EVP_PKEY_RSA_PSS && key == EVP_PKEY_RSA)) {
                return 1;
            }
        }
    }
    return 0;
}

static int watch_has_cipher(SSL *ssl, apr_uint16_t number)
{
    const STACK_OF(SSL_CIPHER) *ours = SSL_get_ciphers(ssl);
    int i;

    for (i = 0; i < sk_SSL_CIPHER_num(ours); ++i) {
        if (SSL_CIPHER_get_protocol_id(sk_SSL_CIPHER_value(ours, i)) == number) {
            return 1;
        }
    }
    return 0;
}

/* Up to TLS 1.2 OpenSSL says "no shared cipher" also where there are some, but no group or no
 * signature to use them with. The session has failed: that its current certificate changes
 * matters to nobody. */
static void watch_no_cipher(tls_record_t *record, SSL *ssl)
{
    const usher_hello_t *hello = record->facts.hello;
    int i;

    if (!hello || SSL_version(ssl) == TLS1_3_VERSION) {
        return;
    }
    for (i = 0; i < hello->ciphers_all && i < USHER_HELLO_CIPHERS_MAX; ++i) {
        record->ciphers_shared |= hello->ciphers[i] >> 8 != CIPHERS_TLS_1_3
                                  && watch_has_cipher(ssl, hello->ciphers[i]);
    }
    if (record->ciphers_shared) {
        record->groups_differ = hello->groups_all && SSL_get_shared_group(ssl, -1) == 0;
        record->sigalgs_differ = hello->sigalgs_all && !watch_can_sign(ssl);
    }
}

/* The first one that ends it counts; of warnings only those by which a client takes leave. */
static void watch_alert(tls_record_t *record, SSL *ssl, int written, const unsigned char *alert)
{
    int fatal = alert[0] == ALERT_FATAL;

    if (record->fatal
        || (!fatal && (written || (alert[1] != SSL_AD_CLOSE_NOTIFY
                                   && alert[1] != SSL_AD_USER_CANCELLED)))) {
        return;
    }
    record->fatal = fatal;
    record->facts.alert = alert[1];
    record->facts.alert_from = written ? 's' : 'c';
    watch_take(record, ssl);
    if (written) {
        record->error = ERR_peek_last_error();
        record->verify = SSL_get_verify_result(ssl);
        if (ERR_GET_REASON(record->error) == SSL_R_NO_SHARED_CIPHER) {
            watch_no_cipher(record, ssl);
        }
    }
}

/* Whether a Certificate message of the client has one in it (RFC 8446, 4.4.2). */
static int watch_has_cert(const unsigned char *message, apr_size_t len, int version)
{
    usher_bytes_t from = { message, len, 0 };

    if (version == TLS1_3_VERSION) {
        usher_bytes_part(&from, 1); /* its context */
    }
    return usher_bytes_part(&from, 3).len > 0;
}

static void watch_read(tls_record_t *record, SSL *ssl, int type, const unsigned char *message,
                       apr_size_t len)
{
    usher_hello_t hello;

    if (type == SSL3_MT_CLIENT_HELLO) {
        /* After a HelloRetryRequest there is a second one, with another share only. */
        if (!record->facts.hello && usher_hello_read(&hello, message, len) == USHER_PARSE_DONE) {
            tls_record_keep_hello(record, &hello);
        }
    }
    else if (type == SSL3_MT_CERTIFICATE) {
        record->facts.client_cert |= watch_has_cert(message, len, SSL_version(ssl));
    }
    else if (type == SSL3_MT_FINISHED) {
        record->finished_in = 1;
    }
}

static void watch_written(tls_record_t *record, SSL *ssl, int type, const unsigned char *message,
                          apr_size_t len)
{
    const SSL_CIPHER *cipher;

    switch (type) {
    case SSL3_MT_SERVER_HELLO:
        usher_tls_answer_hello(&record->answer, message, len);
        cipher = SSL_get_pending_cipher(ssl);
        if (cipher) {
            record->facts.cipher_name = SSL_CIPHER_get_name(cipher);
        }
        watch_take(record, ssl);
        break;
    case SSL3_MT_SERVER_KEY_EXCHANGE:
        cipher = SSL_get_pending_cipher(ssl);
        if (cipher && SSL_CIPHER_get_kx_nid(cipher) == NID_kx_ecdhe) {
            usher_tls_answer_ecdhe(&record->answer, message, len);
        }
        else if (cipher && SSL_CIPHER_get_kx_nid(cipher) == NID_kx_dhe) {
            usher_tls_answer_dhe(&record->answer, message, len);
        }
        break;
    case SSL3_MT_CERTIFICATE_VERIFY:
        usher_tls_answer_verify(&record->answer, message, len);
        break;
    case SSL3_MT_FINISHED:
        record->finished_out = 1;
        break;
    default:
        break;
    }
}

static void watch_handshake(tls_record_t *record, SSL *ssl, int written,
                            const unsigned char *message, apr_size_t len)
{
    int type = message[0], before = record->finished_in && record->finished_out;

    if (written) {
        watch_written(record, ssl, type, message + MESSAGE_HEAD, len - MESSAGE_HEAD);
    }
    else {
        watch_read(record, ssl, type, message + MESSAGE_HEAD, len - MESSAGE_HEAD);
    }
    if (!before && record->finished_in && record->finished_out) {
        watch_finished(record, ssl);
    }
}

/* OpenSSL's message callback: within its calls, in the thread that has the connection. */
static void watch_message(int written, int version, int type, const void *data, size_t len,
                          SSL *ssl, void *arg)
{
    tls_record_t *record = arg;
    const unsigned char *bytes = data;

    if (type == SSL3_RT_HANDSHAKE && version != SSL2_VERSION && len >= MESSAGE_HEAD) {
        /* Once it is over, a handshake is made anew for a client's certificate only. */
        if (!record->told || (!written && bytes[0] == SSL3_MT_CERTIFICATE)) {
            watch_handshake(record, ssl, written, bytes, len);
        }
    }
    else if (record->told) {
        return;
    }
    else if (type == SSL3_RT_ALERT && len == 2) {
        watch_alert(record, ssl, written, bytes);
    }
    else if (type == SSL3_RT_HEADER && !written && !record->head_len) {
        record->head_len = len < TLS_RECORD_HEAD ? (unsigned int)len : TLS_RECORD_HEAD;
        memcpy(record->head, data, record->head_len);
    }
}

/* Between mod_ssl and the network, until the handshake is over. */
static apr_status_t watch_input(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                                apr_read_type_e block, apr_off_t bytes)
{
    tls_record_t *record = f->ctx;
    apr_status_t rv;

    if (record->told) {
        ap_filter_t *next = f->next;

        ap_remove_input_filter(f);
        return ap_get_brigade(next, bb, mode, block, bytes);
    }
    rv = ap_get_brigade(f->next, bb, mode, block, bytes);
    if (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb)) {
        if (APR_BUCKET_IS_EOS(APR_BRIGADE_FIRST(bb))) {
            record->ended = APR_EOF;
        }
        else {
            record->heard = 1;
        }
    }
    else if (rv != APR_SUCCESS && !APR_STATUS_IS_EAGAIN(rv) && !APR_STATUS_IS_EINTR(rv)) {
        record->ended = rv;
    }
    return rv;
}

static int watch_pre_handshake(conn_rec *c, SSL *ssl, int is_proxy)
{
    tls_record_t *record;

    if (!is_proxy && !c->master && tls_conf_is_on()) {
        record = tls_record_make(c);
        SSL_set_msg_callback(ssl, watch_message);
        SSL_set_msg_callback_arg(ssl, record);
        ap_add_input_filter_handle(watch_filter, record, NULL, c);
    }
    return DECLINED;
}

void tls_watch_register(void)
{
    /* mod_ssl's filter is at AP_FTYPE_CONNECTION + 5, mod_reqtimeout's at + 8. */
    watch_filter = ap_register_input_filter("USHER_TLS_WATCH", watch_input, NULL,
                                            AP_FTYPE_CONNECTION + 6);
    APR_OPTIONAL_HOOK(ssl, pre_handshake, watch_pre_handshake, NULL, NULL, APR_HOOK_MIDDLE);
}
