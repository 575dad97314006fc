/* A check over TLS, by OpenSSL itself: mod_ssl works for requests only. The certificate
 * is not looked at; no secret is sent. One context for all checks of this child, used
 * by its checker's thread alone. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>

#include "balancer_probe_private.h"

static SSL_CTX *context;

static SSL_CTX *tls_context(void)
{
    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        if (context) {
            SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
            /* Whatever SSLProxyProtocol and its sisters may allow requests. */
            SSL_CTX_set_security_level(context, 0);
            SSL_CTX_set_min_proto_version(context, 0);
            SSL_CTX_set_options(context, SSL_OP_LEGACY_SERVER_CONNECT);
            SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
            /* Else one read takes session tickets for as long as a server sends them. */
            SSL_CTX_clear_mode(context, SSL_MODE_AUTO_RETRY);
        }
    }
    return context;
}

static int tls_is_address(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

/* The name for the hello: that of Host, without its port. Addresses are no names there. */
static int tls_name(const probe_t *probe, char name[256])
{
    const char *host = probe->conf->host ? probe->conf->host
                                         : probe->member->worker->s->hostname_ex;

    if (strchr(host, '[') || tls_is_address(host)) {
        return 0;
    }
    apr_cpystrn(name, host, 256);
    name[strcspn(name, ":")] = '\0';
    return *name && !tls_is_address(name);
}

int probe_tls_begin(probe_t *probe)
{
    char name[256];

    ERR_clear_error();
    probe->ssl = tls_context() ? SSL_new(context) : NULL;
    if (!probe->ssl || !SSL_set_fd(probe->ssl, probe->fd)) {
        return 0;
    }
    SSL_set_connect_state(probe->ssl);
    if (tls_name(probe, name)) {
        SSL_set_tlsext_host_name(probe->ssl, name);
    }
    return 1;
}

/* After a call that did not go well. @return 1: it is to be repeated when poll() tells */
static int tls_waits(probe_t *probe, int rc)
{
    switch (SSL_get_error(probe->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        probe->events = POLLIN;
        return 1;
    case SSL_ERROR_WANT_WRITE:
        probe->events = POLLOUT;
        return 1;
    default:
        return 0;
    }
}

probe_go_e probe_tls_handshake(probe_t *probe)
{
    unsigned long error;
    int rc;

    ERR_clear_error();
    errno = 0;
    rc = SSL_do_handshake(probe->ssl);
    if (rc == 1) {
        probe->step = PROBE_SEND;
        return PROBE_NEXT;
    }
    if (tls_waits(probe, rc)) {
        return PROBE_WAIT;
    }
    error = ERR_peek_error();
    return probe_run_end(probe, USHER_CHECK_TLS, 0,
                         error ? ERR_reason_error_string(error) : "the connection was closed");
}

/* As of send() and recv(). */
static apr_ssize_t tls_result(probe_t *probe, int rc)
{
    if (rc > 0) {
        return rc;
    }
    if (tls_waits(probe, rc)) {
        errno = EAGAIN;
        return -1;
    }
    if (SSL_get_error(probe->ssl, rc) == SSL_ERROR_SYSCALL && errno) {
        return -1;
    }
    return 0;
}

apr_ssize_t probe_tls_send(probe_t *probe, const char *bytes, apr_size_t len)
{
    apr_ssize_t n;

    ERR_clear_error();
    errno = 0;
    n = tls_result(probe, SSL_write(probe->ssl, bytes, (int)len));
    if (n == 0) {
        errno = EPIPE;
        return -1;
    }
    return n;
}

apr_ssize_t probe_tls_recv(probe_t *probe, char *bytes, apr_size_t len)
{
    ERR_clear_error();
    errno = 0;
    return tls_result(probe, SSL_read(probe->ssl, bytes, (int)len));
}

void probe_tls_close(probe_t *probe)
{
    SSL_free(probe->ssl);
    probe->ssl = NULL;
}

void probe_tls_stop(void)
{
    SSL_CTX_free(context);
    context = NULL;
    ERR_clear_error();
}
