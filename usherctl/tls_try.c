/* A server's answer to a ClientHello. */
#include <openssl/err.h>

#include "tls_try.h"

#define RECORD_HEAD  5
#define RECORD_ALERT 21

/* @return whether the handshake goes on: also where the server asks for a key of another group,
 * as it has by then found all else in order */
static int flight(SSL *ssl, const usher_hello_t *offer)
{
    unsigned char hello[TLS_TRY_HELLO_MAX];
    int len = (int)tls_try_hello(hello, offer);
    int rv;

    if (BIO_write(SSL_get_rbio(ssl), hello, len) != len) {
        return 0;
    }
    ERR_clear_error();
    rv = SSL_do_handshake(ssl);
    return rv > 0 || SSL_get_error(ssl, rv) == SSL_ERROR_WANT_READ;
}

static apr_size_t sent_by(SSL *ssl, const unsigned char **sent)
{
    char *bytes;
    long len = BIO_get_mem_data(SSL_get_wbio(ssl), &bytes);

    *sent = (const unsigned char *)bytes;
    return len > 0 ? (apr_size_t)len : 0;
}

/* What it said instead */
static void refusal(SSL *ssl, tls_try_t *result)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    const unsigned char *sent;
    apr_size_t len = sent_by(ssl, &sent), at = 0;

    result->reason = reason ? reason : "refused";
    while (at + RECORD_HEAD + 2 <= len) {
        if (sent[at] == RECORD_ALERT) {
            result->alert = sent[at + RECORD_HEAD + 1];
        }
        at += RECORD_HEAD + (apr_size_t)(sent[at + 3] << 8 | sent[at + 4]);
    }
}

tls_try_t tls_try(SSL_CTX *ctx, const usher_hello_t *offer)
{
    tls_try_t result = { 0, -1, "out of memory" };
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());

    if (!ssl || !in || !out) {
        SSL_free(ssl);
        BIO_free(in);
        BIO_free(out);
        return result;
    }
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);
    result.answers = flight(ssl, offer);
    if (result.answers) {
        result.reason = "";
    }
    else {
        refusal(ssl, &result);
    }
    SSL_free(ssl);
    ERR_clear_error();
    return result;
}
