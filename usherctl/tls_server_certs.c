/* Certificates for a server that nobody will ever trust: their kind alone counts. */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "tls_server.h"

#define CERTIFICATE_SECONDS 3600

static EVP_PKEY *key_like(EVP_PKEY *like)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, like, NULL);
    EVP_PKEY *key = NULL;

    if (ctx && EVP_PKEY_keygen_init(ctx) > 0
        && ((!EVP_PKEY_is_a(like, "RSA") && !EVP_PKEY_is_a(like, "RSA-PSS"))
            || EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, EVP_PKEY_get_bits(like)) > 0)) {
        EVP_PKEY_generate(ctx, &key);
    }
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static X509 *certificate_of(EVP_PKEY *key)
{
    const int digests = !EVP_PKEY_is_a(key, "ED25519") && !EVP_PKEY_is_a(key, "ED448");
    X509 *cert = X509_new();
    X509_NAME *name = cert ? X509_get_subject_name(cert) : NULL;

    if (name && X509_set_version(cert, X509_VERSION_3) == 1
        && X509_gmtime_adj(X509_getm_notBefore(cert), -CERTIFICATE_SECONDS)
        && X509_gmtime_adj(X509_getm_notAfter(cert), CERTIFICATE_SECONDS)
        && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"what-if",
                                      -1, -1, 0) == 1
        && X509_set_issuer_name(cert, name) == 1 && X509_set_pubkey(cert, key) == 1
        && X509_sign(cert, key, digests ? EVP_sha256() : NULL) > 0) {
        return cert;
    }
    X509_free(cert);
    return NULL;
}

int tls_server_certificate(tls_server_t *server, EVP_PKEY *like)
{
    EVP_PKEY *key = key_like(like);
    X509 *cert = key ? certificate_of(key) : NULL;
    int done = cert && SSL_CTX_use_certificate(server->ctx, cert) == 1
               && SSL_CTX_use_PrivateKey(server->ctx, key) == 1;

    if (!done) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());

        server->error = apr_psprintf(server->pool, "no certificate of this kind (%s) can be made: "
                                     "%s", EVP_PKEY_get0_type_name(like),
                                     reason ? reason : "OpenSSL does not say why");
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return done;
}

int tls_server_certificates(tls_server_t *server)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048), *ec = EVP_EC_gen("P-256");
    int done = 0;

    if (!rsa || !ec) {
        server->error = "OpenSSL makes no keys";
    }
    else {
        done = tls_server_certificate(server, rsa) && tls_server_certificate(server, ec);
    }
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    return done;
}

int tls_server_certificate_file(tls_server_t *server, const char *file)
{
    BIO *in = BIO_new_file(file, "r");
    X509 *cert = in ? PEM_read_bio_X509(in, NULL, NULL, NULL) : NULL;
    EVP_PKEY *like = cert ? X509_get0_pubkey(cert) : NULL;
    int done = 0;

    if (like) {
        done = tls_server_certificate(server, like);
    }
    else {
        server->error = in ? "there is no certificate (PEM) in it" : "cannot be opened";
    }
    if (!done) {
        server->error = apr_psprintf(server->pool, "%s: %s", file, server->error);
    }
    X509_free(cert);
    BIO_free(in);
    ERR_clear_error();
    return done;
}
