/* The schemes of backends' URLs, and what each means. */
#include <string.h>

#include "backend_private.h"

static const backend_scheme_t schemes[] = {
    { .name = "http", .port = DEFAULT_HTTP_PORT },
    { .name = "https", .port = DEFAULT_HTTPS_PORT, .tls = 1 },
    { .name = "ws", .port = DEFAULT_HTTP_PORT, .upgrade = "WebSocket" },
    { .name = "wss", .port = DEFAULT_HTTPS_PORT, .tls = 1, .upgrade = "WebSocket" },
    { .name = "ajp", .port = 8009, .ajp = 1 },
};

const backend_scheme_t *backend_scheme_named(const char *name, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); ++i) {
        if (!ap_cstr_casecmpn(name, schemes[i].name, len) && !schemes[i].name[len]) {
            return &schemes[i];
        }
    }
    return NULL;
}

const backend_scheme_t *backend_scheme_of(const char *url)
{
    apr_size_t len = strcspn(url, ":");

    return strncmp(url + len, "://", 3) ? NULL : backend_scheme_named(url, len);
}
