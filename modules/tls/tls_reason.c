/* Why a handshake failed: from OpenSSL's reason for its alert, the client's alert, the first
 * bytes that came, and how reading ended; in this order, as each is the next one's cause. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <apr_portable.h>
#include <ap_mpm.h>

#include "tls_private.h"

/* HTTP's requests as far as five bytes show them; the preface of HTTP/2 is one, too. */
static const char *const reason_methods[] = {
    "GET ", "HEAD ", "POST ", "PUT ", "DELET", "OPTIO", "TRACE", "PATCH", "CONNE", "PRI ",
    "PROPF", "PROPP", "MKCOL", "COPY ", "MOVE ", "LOCK ", "UNLOC", "REPOR", NULL
};

static int reason_is_http(const tls_record_t *record)
{
    const char *const *method;

    for (method = reason_methods; *method; ++method) {
        apr_size_t len = strlen(*method);

        if (record->head_len >= len && !memcmp(record->head, *method, len)) {
            return 1;
        }
    }
    return 0;
}

int tls_reason_is_foreign(const tls_record_t *record)
{
    /* RFC 8446, 5.1: the record's type and its version; TLS 1.3 has 3.x there, too. */
    return record->head_len == TLS_RECORD_HEAD
           && (record->head[0] < SSL3_RT_CHANGE_CIPHER_SPEC
               || record->head[0] > SSL3_RT_APPLICATION_DATA || record->head[1] != SSL3_VERSION_MAJOR);
}

/* @return USHER_TLS_UNDER_WAY: the alert must tell */
static usher_tls_outcome_e reason_of_error(unsigned long error)
{
    if (ERR_GET_LIB(error) != ERR_LIB_SSL) {
        return USHER_TLS_UNDER_WAY;
    }
    switch (ERR_GET_REASON(error)) {
    case SSL_R_NO_SHARED_CIPHER:
        return USHER_TLS_NO_SHARED_CIPHER;
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SHARED_GROUPS:
        return USHER_TLS_NO_SHARED_GROUP;
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
        return USHER_TLS_NO_SHARED_SIGALG;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
        return USHER_TLS_UNSUPPORTED_VERSION;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return USHER_TLS_CERT_MISSING;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return USHER_TLS_CERT_REFUSED;
    default:
        return USHER_TLS_UNDER_WAY;
    }
}

/* Those by which a server says that the client breaks the rules: RFC 8446, 6.2 */
static int reason_is_broken_rule(int alert)
{
    switch (alert) {
    case SSL_AD_UNEXPECTED_MESSAGE:
    case SSL_AD_BAD_RECORD_MAC:
    case SSL_AD_DECRYPTION_FAILED:
    case SSL_AD_RECORD_OVERFLOW:
    case SSL_AD_DECOMPRESSION_FAILURE:
    case SSL_AD_ILLEGAL_PARAMETER:
    case SSL_AD_DECODE_ERROR:
    case SSL_AD_DECRYPT_ERROR:
    case SSL_AD_MISSING_EXTENSION:
    case SSL_AD_UNSUPPORTED_EXTENSION:
        return 1;
    default:
        return 0;
    }
}

static usher_tls_outcome_e reason_of_sent(const tls_record_t *record)
{
    usher_tls_outcome_e outcome = reason_of_error(record->error);

    if (outcome == USHER_TLS_NO_SHARED_CIPHER) {
        return record->groups_differ    ? USHER_TLS_NO_SHARED_GROUP
               : record->sigalgs_differ ? USHER_TLS_NO_SHARED_SIGALG
                                        : outcome;
    }
    if (outcome != USHER_TLS_UNDER_WAY) {
        return outcome;
    }
    switch (record->facts.alert) {
    case SSL_AD_UNRECOGNIZED_NAME:
        return USHER_TLS_BAD_SNI;
    case SSL_AD_NO_APPLICATION_PROTOCOL:
        return USHER_TLS_NO_SHARED_ALPN;
    default:
        return reason_is_broken_rule(record->facts.alert) ? USHER_TLS_MALFORMED
                                                          : USHER_TLS_SERVER_ALERT;
    }
}

static usher_tls_outcome_e reason_of_received(int alert)
{
    switch (alert) {
    case SSL_AD_CLOSE_NOTIFY:
        return USHER_TLS_CLIENT_GONE;
    case SSL_AD_UNKNOWN_CA:
        return USHER_TLS_CERT_UNKNOWN_CA;
    case SSL_AD_CERTIFICATE_EXPIRED:
        return USHER_TLS_CERT_EXPIRED;
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE:
        return USHER_TLS_CERT_UNFIT;
    default:
        return USHER_TLS_CLIENT_ALERT;
    }
}

/* Whether httpd has closed the client's socket because it stops. */
static int reason_is_stop(conn_rec *c)
{
    apr_socket_t *socket = ap_get_conn_socket(c);
    apr_os_sock_t fd = -1;
    int mpm = AP_MPMQ_RUNNING;

    return ap_mpm_query(AP_MPMQ_MPM_STATE, &mpm) == APR_SUCCESS && mpm == AP_MPMQ_STOPPING
           && (!socket || apr_os_sock_get(&fd, socket) != APR_SUCCESS || fd < 0);
}

usher_tls_outcome_e tls_reason_outcome(const tls_record_t *record)
{
    if (tls_reason_is_foreign(record)) {
        return reason_is_http(record) ? USHER_TLS_PLAIN_HTTP : USHER_TLS_GARBAGE;
    }
    if (record->fatal && record->facts.alert_from == 's') {
        return reason_of_sent(record);
    }
    if (!record->fatal && record->finished_in && record->finished_out) {
        return USHER_TLS_DONE;
    }
    if (record->facts.alert_from) {
        return reason_of_received(record->facts.alert);
    }
    if (reason_is_stop(record->c)) {
        return USHER_TLS_STOPPED;
    }
    if (APR_STATUS_IS_TIMEUP(record->ended)) {
        return USHER_TLS_TIMEOUT;
    }
    if (record->ended) {
        return record->heard ? USHER_TLS_CLIENT_GONE : USHER_TLS_NOTHING;
    }
    /* Without an alert and an end: what was to be sent could not be. */
    return record->heard && record->c->aborted ? USHER_TLS_CLIENT_GONE : USHER_TLS_STOPPED;
}

int tls_reason_is_misconduct(usher_tls_outcome_e outcome)
{
    switch (outcome) {
    case USHER_TLS_NO_SHARED_CIPHER:
    case USHER_TLS_UNSUPPORTED_VERSION:
    case USHER_TLS_NO_SHARED_GROUP:
    case USHER_TLS_NO_SHARED_SIGALG:
    case USHER_TLS_NO_SHARED_ALPN:
    case USHER_TLS_BAD_SNI:
    case USHER_TLS_CERT_MISSING:
    case USHER_TLS_CERT_REFUSED:
    case USHER_TLS_PLAIN_HTTP:
    case USHER_TLS_GARBAGE:
    case USHER_TLS_MALFORMED:
        return 1;
    default:
        return 0;
    }
}

static const char *const reason_texts[USHER_TLS_OUTCOMES] = {
    [USHER_TLS_NO_SHARED_CIPHER] = "none of the client's ciphers is in SSLCipherSuite",
    [USHER_TLS_UNSUPPORTED_VERSION] = "none of the client's versions is in SSLProtocol",
    [USHER_TLS_NO_SHARED_GROUP] = "none of the client's groups is allowed here "
                                  "(SSLOpenSSLConfCmd Groups)",
    [USHER_TLS_NO_SHARED_SIGALG] = "none of the client's signature algorithms fits the "
                                   "certificate here (SSLCertificateFile)",
    [USHER_TLS_NO_SHARED_ALPN] = "none of the client's application protocols is spoken here "
                                 "(Protocols)",
    [USHER_TLS_BAD_SNI] = "the name that the client asked for is refused",
    [USHER_TLS_CERT_MISSING] = "the client sent no certificate (SSLVerifyClient require)",
    [USHER_TLS_CERT_REFUSED] = "the client's certificate is not accepted",
    [USHER_TLS_CERT_UNKNOWN_CA] = "the client does not know the CA of the certificate here: is "
                                  "an intermediate certificate missing in SSLCertificateFile?",
    [USHER_TLS_CERT_EXPIRED] = "to the client the certificate here has expired: it, or the "
                               "client's clock, is wrong",
    [USHER_TLS_CERT_UNFIT] = "the client does not accept the certificate here",
    [USHER_TLS_CLIENT_ALERT] = "the client ended it",
    [USHER_TLS_SERVER_ALERT] = "httpd ended it",
    [USHER_TLS_PLAIN_HTTP] = "HTTP without TLS came to a port for TLS",
    [USHER_TLS_GARBAGE] = "what came is no TLS",
    [USHER_TLS_MALFORMED] = "what came breaks the rules of TLS",
    [USHER_TLS_CLIENT_GONE] = "the client closed the connection before the handshake was done",
    [USHER_TLS_NOTHING] = "the client closed the connection before it had sent a byte",
    [USHER_TLS_TIMEOUT] = "the client did not go on in time (RequestReadTimeout, Timeout)",
    [USHER_TLS_STOPPED] = "httpd ended the connection before the handshake was done",
};

/* What goes with a text in brackets; NULL: nothing. */
static const char *reason_detail(const tls_record_t *record)
{
    switch (record->facts.outcome) {
    case USHER_TLS_CERT_REFUSED:
        return record->verify != X509_V_OK ? X509_verify_cert_error_string(record->verify) : NULL;
    case USHER_TLS_NO_SHARED_CIPHER:
        return record->ciphers_shared
                   ? "there are some, but not for the client's versions or the certificate here"
                   : NULL;
    case USHER_TLS_SERVER_ALERT:
    case USHER_TLS_MALFORMED:
        return record->error ? ERR_reason_error_string(record->error) : NULL;
    default:
        return NULL;
    }
}

const char *tls_reason_text(const tls_record_t *record, apr_pool_t *p)
{
    const char *text = reason_texts[record->facts.outcome];
    const char *detail = reason_detail(record);

    return !text ? "" : detail ? apr_pstrcat(p, text, " (", detail, ")", NULL) : text;
}
