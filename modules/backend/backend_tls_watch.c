/* What OpenSSL does on a link, seen from beside mod_ssl: alerts, the ends of
 * handshakes, the backend's certificate; and in plain words why a handshake failed.
 *
 * mod_ssl has an optional hook for each new session. It may free the session at
 * any failure, so all that is told here is taken within OpenSSL's own calls. */
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <apr_hooks.h>
#include <apr_optional_hooks.h>
#include <apr_strings.h>

#include "backend_tls.h"

APLOG_USE_MODULE(usher_backend);

/* So much is told of the names in a certificate, which others chose. */
#define NAMES_MAX 200

#define ALERT_FATAL 2

/* mod_ssl_openssl.h is not among the headers that distributions install. */
typedef int ssl_HOOK_pre_handshake_t(conn_rec *c, SSL *ssl, int is_proxy);

static void watch_alert(backend_tls_watch_t *watch, SSL *ssl, int written,
                        const unsigned char *alert)
{
    int number = alert[0] << 8 | alert[1];

    if (!written && alert[1] == SSL_AD_CLOSE_NOTIFY) {
        watch->close_notify = 1;
    }
    else if (alert[0] == ALERT_FATAL && !written) {
        watch->alert_in = number;
    }
    else if (alert[0] == ALERT_FATAL && !watch->alert_out) {
        watch->alert_out = number;
        watch->reason = ERR_peek_last_error();
        watch->verify = SSL_get_verify_result(ssl);
    }
}

static void watch_handshake(backend_tls_watch_t *watch, SSL *ssl, int written, int type)
{
    if (type == SSL3_MT_HELLO_REQUEST && !written) {
        watch->again = 1;
        watch->finished_in = watch->finished_out = 0;
    }
    else if (type == SSL3_MT_FINISHED && written) {
        watch->finished_out = 1;
        if (!watch->again && !watch->cert) {
            watch->cert = SSL_get1_peer_certificate(ssl);
        }
    }
    else if (type == SSL3_MT_FINISHED) {
        watch->finished_in = 1;
    }
    if (watch->finished_in && watch->finished_out) {
        watch->again = 0;
    }
}

/* OpenSSL's message callback: within its calls, in the thread that has the
 * link. */
static void watch_message(int written, int version, int type, const void *data, size_t len,
                          SSL *ssl, void *arg)
{
    backend_tls_watch_t *watch = arg;
    const unsigned char *bytes = data;

    if (type == SSL3_RT_ALERT && len == 2) {
        watch_alert(watch, ssl, written, bytes);
    }
    else if (type == SSL3_RT_HANDSHAKE && len) {
        watch_handshake(watch, ssl, written, bytes[0]);
    }
}

/* mod_ssl's hook, for each connection with TLS. The links' own have their
 * backend_tls_t in their configuration; no other connection has one. */
static int watch_pre_handshake(conn_rec *c, SSL *ssl, int is_proxy)
{
    backend_tls_t *tls = is_proxy ? ap_get_module_config(c->conn_config, &usher_backend_module)
                                  : NULL;

    if (tls) {
        tls->watch.on = 1;
        tls->ssl = ssl;
        SSL_set_msg_callback(ssl, watch_message);
        SSL_set_msg_callback_arg(ssl, &tls->watch);
    }
    return DECLINED;
}

void backend_tls_watch_register(void)
{
    APR_OPTIONAL_HOOK(ssl, pre_handshake, watch_pre_handshake, NULL, NULL, APR_HOOK_MIDDLE);
}

void backend_tls_watch_done(backend_tls_watch_t *watch)
{
    X509_free(watch->cert);
    watch->cert = NULL;
}

/* Reasons */

/* Of alerts that OpenSSL 3.0 has no words for, and one that calls for action. */
static const char *watch_alert_text(int alert)
{
    switch (alert & 0xFF) {
    case 116: /* RFC 8446, 6.2 */
        return "certificate required; httpd's own is in SSLProxyMachineCertificateFile";
    case 120:
        return "no application protocol";
    default:
        return SSL_alert_desc_string_long(alert);
    }
}

/* The names of one subjectAltName, or what there is of them. */
static const char *watch_alt_names(apr_pool_t *p, const GENERAL_NAMES *names)
{
    const char *all = "";
    int i;

    for (i = 0; i < sk_GENERAL_NAME_num(names) && strlen(all) < NAMES_MAX; ++i) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const unsigned char *data;
        const char *one = NULL;
        int len;

        if (name->type == GEN_DNS) {
            len = ASN1_STRING_length(name->d.dNSName);
            one = apr_pstrmemdup(p, (const char *)ASN1_STRING_get0_data(name->d.dNSName),
                                 len < NAMES_MAX ? (apr_size_t)len : NAMES_MAX);
        }
        else if (name->type == GEN_IPADD && ASN1_STRING_length(name->d.iPAddress) == 4) {
            data = ASN1_STRING_get0_data(name->d.iPAddress);
            one = apr_psprintf(p, "%d.%d.%d.%d", data[0], data[1], data[2], data[3]);
        }
        else if (name->type == GEN_IPADD) {
            one = "an IPv6 address";
        }
        if (one) {
            all = apr_pstrcat(p, all, *all ? ", " : "", one, NULL);
        }
    }
    return all;
}

/* What the certificate says it is for. */
static const char *watch_names(apr_pool_t *p, X509 *cert)
{
    GENERAL_NAMES *alt = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    char common[NAMES_MAX];
    const char *names = "";

    if (alt) {
        names = watch_alt_names(p, alt);
        GENERAL_NAMES_free(alt);
    }
    if (!*names && X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, common,
                                             sizeof(common)) > 0) {
        names = apr_pstrdup(p, common);
    }
    return *names ? apr_pstrcat(p, "for ", names, NULL) : "for no name";
}

static const char *watch_time(apr_pool_t *p, const ASN1_TIME *at)
{
    char text[APR_RFC822_DATE_LEN];
    struct tm tm;

    if (!ASN1_TIME_to_tm(at, &tm)
        || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) == 0) {
        return "an unknown time";
    }
    return apr_pstrdup(p, text);
}

/* The handshake went well, but mod_ssl was not content: what is wrong with the
 * certificate? It looks at its time and its name. */
static const char *watch_cert_why(const backend_tls_t *tls, apr_pool_t *p)
{
    X509 *cert = tls->watch.cert;
    const char *time = "", *name = "";

    if (!cert) {
        return "it has no certificate";
    }
    if (X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0) {
        time = apr_psprintf(p, "its certificate is not valid before %s",
                            watch_time(p, X509_get0_notBefore(cert)));
    }
    else if (X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0) {
        time = apr_psprintf(p, "its certificate has expired on %s",
                            watch_time(p, X509_get0_notAfter(cert)));
    }
    if (X509_check_host(cert, tls->name, 0, 0, NULL) != 1
        && X509_check_ip_asc(cert, tls->name, 0) != 1) {
        name = apr_psprintf(p, "its certificate is %s, not for %s", watch_names(p, cert),
                            tls->name);
    }
    if (!*time && !*name && X509_check_ip_asc(cert, tls->name, 0) == 1) {
        return apr_psprintf(p, "its certificate has the address %s among its alternative names only, "
                            "where mod_ssl does not look: use a host name in the URL", tls->name);
    }
    if (!*time && !*name) {
        return "mod_ssl did not accept its certificate (LogLevel ssl:info tells more)";
    }
    return apr_pstrcat(p, time, *time && *name ? ", and " : "", name, NULL);
}

static int watch_is_in_time(X509 *cert)
{
    return X509_cmp_current_time(X509_get0_notBefore(cert)) < 0
           && X509_cmp_current_time(X509_get0_notAfter(cert)) > 0;
}

int backend_tls_watch_is_name(const backend_tls_t *tls)
{
    const backend_tls_watch_t *watch = &tls->watch;

    if (watch->alert_in) {
        return (watch->alert_in & 0xFF) == SSL_AD_UNRECOGNIZED_NAME;
    }
    return watch->finished_in && watch->finished_out && watch->cert
           && watch_is_in_time(watch->cert)
           && X509_check_host(watch->cert, tls->name, 0, 0, NULL) != 1;
}

static const char *watch_alert_why(const backend_tls_watch_t *watch, apr_pool_t *p)
{
    const char *reason;

    if (ERR_GET_LIB(watch->reason) == ERR_LIB_SSL
        && ERR_GET_REASON(watch->reason) == SSL_R_CERTIFICATE_VERIFY_FAILED
        && watch->verify != X509_V_OK) {
        return apr_psprintf(p, "its certificate is not accepted: %s (SSLProxyVerify)",
                            X509_verify_cert_error_string(watch->verify));
    }
    reason = watch->reason ? ERR_reason_error_string(watch->reason) : NULL;
    return apr_psprintf(p, "httpd ended the TLS handshake with it: %s (alert: %s)",
                        reason ? reason : "no reason is told",
                        watch_alert_text(watch->alert_out));
}

const char *backend_tls_watch_why(const backend_tls_t *tls, apr_pool_t *p)
{
    const backend_tls_watch_t *watch = &tls->watch;

    return tls->late ? "its TLS handshake was not done in time"
           : watch->alert_in
               ? apr_psprintf(p, "it refused the TLS handshake (alert: %s)",
                              watch_alert_text(watch->alert_in))
           : tls->foreign ? "it does not speak TLS there (is it an http:// port?)"
           : watch->finished_in && watch->finished_out ? watch_cert_why(tls, p)
           : watch->alert_out && !tls->eof ? watch_alert_why(watch, p)
           : tls->error ? apr_psprintf(p, "the connection broke within the TLS handshake: %s",
                                       strerror(tls->error))
           : tls->eof ? "it closed the connection within the TLS handshake"
                      : "TLS could not be begun (LogLevel ssl:info tells more)";
}

const char *backend_tls_strerror(const backend_link_t *link, int error, apr_pool_t *p)
{
    const backend_tls_t *tls = link ? link->tls : NULL;

    return !tls ? strerror(error)
           : tls->watch.alert_in ? apr_psprintf(p, "it ended TLS with an alert: %s",
                                                watch_alert_text(tls->watch.alert_in))
           : tls->eof && !tls->error ? "TLS was not ended in order, its close_notify is missing"
           : tls->watch.alert_out ? apr_psprintf(p, "TLS was disturbed: %s",
                                                 watch_alert_text(tls->watch.alert_out))
                                  : strerror(error);
}
