/* Which virtual host a connection's settings are of. mod_ssl tells each host's context when
 * it makes it, and gives a connection the one of the host that the client has named. */
#include <openssl/ssl.h>

#include <apr_hash.h>
#include <apr_hooks.h>
#include <apr_optional_hooks.h>

#include "tls_private.h"

/* mod_ssl_openssl.h is not among the headers that distributions install. */
typedef int ssl_HOOK_init_server_t(server_rec *s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx);

/* By their contexts; not changed once httpd has children. */
static apr_hash_t *vhost_servers;

static int vhost_init_server(server_rec *s, apr_pool_t *p, int is_proxy, SSL_CTX *ctx)
{
    const void *address = ctx;

    if (!is_proxy && vhost_servers) {
        apr_hash_set(vhost_servers, apr_pmemdup(p, &address, sizeof(address)), sizeof(address), s);
    }
    return DECLINED;
}

void tls_vhost_register(void)
{
    APR_OPTIONAL_HOOK(ssl, init_server, vhost_init_server, NULL, NULL, APR_HOOK_MIDDLE);
}

void tls_vhost_pre_config(apr_pool_t *pconf)
{
    vhost_servers = apr_hash_make(pconf);
}

server_rec *tls_vhost_of(const void *ctx)
{
    return apr_hash_get(vhost_servers, &ctx, sizeof(ctx));
}
