/* To a backend with TLS through the proxy that ProxyRemote names: that one is
 * asked to connect (RFC 9110, 9.3.6), then passes on bytes. */
#include <apr_strings.h>

#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

/* The head of its answer at most. */
#define ANSWER_MAX 8192

/* What the proxy is to know of who asks, as mod_proxy has it: what ProxyRemote gives,
 * else what the client has sent, unless that was for us. */
static const char *proxy_credentials(request_rec *r)
{
    const char *creds = apr_table_get(r->notes, "proxy-basic-creds");

    if (!creds && (!r->user || apr_table_get(r->subprocess_env, "Proxy-Chain-Auth"))) {
        creds = apr_table_get(r->headers_in, "Proxy-Authorization");
    }
    return creds && *creds ? creds : NULL;
}

static const char *proxy_request(backend_exchange_t *x)
{
    const char *host = x->uri.hostname, *creds = proxy_credentials(x->r);

    host = apr_psprintf(x->r->pool, ap_strchr_c(host, ':') ? "[%s]:%d" : "%s:%d", host,
                        x->uri.port);
    return apr_pstrcat(x->r->pool, "CONNECT ", host, " HTTP/1.1" CRLF "Host: ", host, CRLF,
                       creds ? "Proxy-Authorization: " : "", creds ? creds : "",
                       creds ? CRLF : "", "Proxy-Agent: ", ap_get_server_banner(), CRLF CRLF,
                       NULL);
}

/* Until the link is ready. NONE with *error set: it is too late. */
static backend_end_e proxy_wait(backend_exchange_t *x, int want, apr_time_t until, int *error)
{
    backend_end_e end;
    int late;

    end = backend_attempt_wait(x, want, until, &late);
    *error = late ? ETIMEDOUT : 0;
    return end;
}

static backend_end_e proxy_send(backend_exchange_t *x, const char *text, apr_time_t until,
                                int *error)
{
    struct iovec iov = { (void *)text, strlen(text) };
    backend_end_e end = BACKEND_END_NONE;
    apr_size_t n;

    while (iov.iov_len && !*error && end == BACKEND_END_NONE) {
        switch (backend_link_send(x->link, &iov, 1, &n, error)) {
        case BACKEND_IO_DONE:
            iov.iov_base = (char *)iov.iov_base + n;
            iov.iov_len -= n;
            break;
        case BACKEND_IO_AGAIN:
            end = proxy_wait(x, BACKEND_WANT_LINK_OUT, until, error);
            break;
        default:
            break;
        }
    }
    return end;
}

/* What it answers, as far as it came. Behind the head nothing may come: a backend with
 * TLS does not speak first. */
static const char *proxy_judge(backend_exchange_t *x, usher_http1_head_t *head, char *buf,
                               apr_size_t len, int *done)
{
    static const usher_http1_limits_t limits = {
        .line_max = ANSWER_MAX, .head_max = ANSWER_MAX, .fields_max = 200,
    };
    const char *why = "";

    *done = 0;
    switch (usher_http1_head(head, buf, len, &limits, &why)) {
    case USHER_PARSE_BAD:
        return apr_pstrcat(x->r->pool, "gave a malformed answer to CONNECT: ", why, NULL);
    case USHER_PARSE_MORE:
        return len < ANSWER_MAX ? NULL : "answered CONNECT with a head that is too long";
    case USHER_PARSE_DONE:
        break;
    }
    if (head->status / 100 != 2) {
        return apr_psprintf(x->r->pool, "answered %d (%.*s) to CONNECT %s:%d", head->status,
                            (int)head->reason_len, head->reason, x->uri.hostname, x->uri.port);
    }
    *done = 1;
    return head->len == len ? NULL : "sent more than the head of its answer to CONNECT";
}

static backend_end_e proxy_receive(backend_exchange_t *x, apr_time_t until, int *error,
                                   const char **why)
{
    usher_http1_head_t head = { 0 };
    char *buf = apr_palloc(x->r->pool, ANSWER_MAX);
    backend_end_e end = BACKEND_END_NONE;
    apr_size_t len = 0, n;
    int done = 0;

    while (!done && !*error && end == BACKEND_END_NONE) {
        switch (backend_link_recv(x->link, buf + len, ANSWER_MAX - len, &n, error)) {
        case BACKEND_IO_DONE:
            len += n;
            *why = proxy_judge(x, &head, buf, len, &done);
            *error = *why ? EPROTO : 0;
            break;
        case BACKEND_IO_AGAIN:
            end = proxy_wait(x, BACKEND_WANT_LINK_IN, until, error);
            break;
        case BACKEND_IO_EOF:
            *error = ECONNRESET;
            break;
        default:
            break;
        }
    }
    return end;
}

backend_end_e backend_connect_proxy(backend_exchange_t *x, apr_time_t until, int *error,
                                    const char **why)
{
    const char *phrase = NULL;
    backend_end_e end;

    *error = 0;
    end = proxy_send(x, proxy_request(x), until, error);
    if (end == BACKEND_END_NONE && !*error) {
        end = proxy_receive(x, until, error, &phrase);
    }
    if (*error) {
        phrase = phrase ? phrase
                 : *error == ETIMEDOUT ? "did not answer CONNECT in time"
                 : apr_psprintf(x->r->pool, "ended the connection before it answered CONNECT: %s",
                                strerror(*error));
        *why = apr_pstrcat(x->r->pool, "the proxy on the way ", phrase, NULL);
    }
    return end;
}
