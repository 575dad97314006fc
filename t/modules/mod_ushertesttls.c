/* mod_ushertesttls: a third party that ends handshakes, for t/tls. It proposes the protocol
 * "refused/1" to clients that offer it, though nobody can speak it: mod_ssl then ends the
 * handshake with the alert no_application_protocol. And it lets mod_ssl end connections from
 * 127.66.0.0/16 before they have begun. */
#include <httpd.h>
#include <http_config.h>
#include <http_protocol.h>
#include <apr_optional_hooks.h>

/* As in mod_ssl_openssl.h, which is not installed */
typedef struct ssl_st SSL;
typedef int ssl_HOOK_pre_handshake_t(conn_rec *c, SSL *ssl, int is_proxy);

static int test_protocol_propose(conn_rec *c, request_rec *r, server_rec *s,
                                 const apr_array_header_t *offers, apr_array_header_t *proposals)
{
    if (r || !offers || !ap_array_str_contains(offers, "refused/1")) {
        return DECLINED;
    }
    APR_ARRAY_PUSH(proposals, const char *) = "refused/1";
    return OK;
}

static int test_pre_handshake(conn_rec *c, SSL *ssl, int is_proxy)
{
    return strncmp(c->client_ip, "127.66.", 7) ? DECLINED : HTTP_FORBIDDEN;
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_protocol_propose(test_protocol_propose, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(ssl, pre_handshake, test_pre_handshake, NULL, NULL, APR_HOOK_LAST);
}

AP_DECLARE_MODULE(ushertesttls) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks
};
