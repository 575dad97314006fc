/* The schemes of backends' URLs, and what each means. */
#include <string.h>

#include "backend_private.h"

#define NAME(text) .name = (text), .name_len = sizeof(text) - 1

static const backend_scheme_t schemes[] = { /* the usual ones first */
    { NAME("http"), .port = DEFAULT_HTTP_PORT },
    { NAME("ajp"), .port = 8009, .ajp = 1 },
    { NAME("https"), .port = DEFAULT_HTTPS_PORT, .tls = 1 },
    { NAME("ws"), .port = DEFAULT_HTTP_PORT, .upgrade = "WebSocket" },
    { NAME("wss"), .port = DEFAULT_HTTPS_PORT, .tls = 1, .upgrade = "WebSocket" },
};

const backend_scheme_t *backend_scheme_named(const char *name, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); ++i) {
        if (len == schemes[i].name_len && !ap_cstr_casecmpn(name, schemes[i].name, len)) {
            return &schemes[i];
        }
    }
    return NULL;
}

const backend_scheme_t *backend_scheme_of(const char *url)
{
    const char *colon = ap_strchr_c(url, ':');

    return colon && !strncmp(colon, "://", 3)
               ? backend_scheme_named(url, (apr_size_t)(colon - url)) : NULL;
}
