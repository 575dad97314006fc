/* Whose word mod_remoteip takes for who the client is. Its own configuration is private; but httpd gives a
 * directive to all modules that know its name, so its directives are read here as well. What is wrong in them
 * mod_remoteip says itself.
 *
 * Lists are read as soon as they stand in the configuration, before pre_config: so what was read belongs to the
 * configuration's pool, and is forgotten with it. */
#include <apr_lib.h>
#include <apr_network_io.h>

#include "ban_private.h"
#include "usher_number.h"

APLOG_USE_MODULE(usher_ban);

typedef struct {
    apr_array_header_t *ranges;  /* usher_cidr_range_t */
    apr_array_header_t *headers; /* server_rec *, that have a RemoteIPHeader */
    apr_array_header_t *names;   /* const char *, of these headers */
    apr_array_header_t *lists;   /* server_rec *, that have proxies */
} remoteip_t;

static remoteip_t *remoteip; /* in pconf; NULL: nothing was said */

static apr_status_t remoteip_forget(void *data)
{
    remoteip = NULL;
    return APR_SUCCESS;
}

static remoteip_t *remoteip_of(cmd_parms *cmd)
{
    if (!remoteip) {
        remoteip = apr_palloc(cmd->pool, sizeof(*remoteip));
        remoteip->ranges = apr_array_make(cmd->pool, 16, sizeof(usher_cidr_range_t));
        remoteip->headers = apr_array_make(cmd->pool, 2, sizeof(server_rec *));
        remoteip->names = apr_array_make(cmd->pool, 2, sizeof(const char *));
        remoteip->lists = apr_array_make(cmd->pool, 2, sizeof(server_rec *));
        apr_pool_cleanup_register(cmd->pool, NULL, remoteip_forget, apr_pool_cleanup_null);
    }
    return remoteip;
}

static int remoteip_is_in(const apr_array_header_t *servers, const server_rec *s)
{
    int i;

    for (i = 0; i < servers->nelts; ++i) {
        if (APR_ARRAY_IDX(servers, i, const server_rec *) == s) {
            return 1;
        }
    }
    return 0;
}

static void remoteip_add_server(apr_array_header_t *servers, server_rec *s)
{
    if (!remoteip_is_in(servers, s)) {
        APR_ARRAY_PUSH(servers, server_rec *) = s;
    }
}

/* Without mod_remoteip nobody else knows the directive. */
static const char *remoteip_unknown(cmd_parms *cmd)
{
    return ap_find_linked_module("mod_remoteip.c") ? NULL
         : apr_pstrcat(cmd->pool, cmd->cmd->name, " needs mod_remoteip: add \"LoadModule remoteip_module "
                       "modules/mod_remoteip.so\"", NULL);
}

/* --- a proxy, in all the forms that mod_remoteip takes */

/* "10.1" is 10.1.0.0/16. @return the prefix' bits; 0: it is an address, or nothing */
static unsigned int remoteip_partial(char *text, apr_size_t size)
{
    unsigned int parts = 1, i;
    const char *at;

    for (at = text; *at; ++at) {
        if (*at == '.' && at[1]) {
            ++parts;
        }
        else if (*at != '.' && !apr_isdigit(*at)) {
            return 0;
        }
    }
    if (parts > 3) {
        return 0;
    }
    if (at > text && at[-1] == '.') {
        text[at - text - 1] = '\0';
    }
    for (i = parts; i < 4; ++i) {
        apr_cpystrn(text + strlen(text), ".0", size - strlen(text));
    }
    return 96 + 8 * parts;
}

/* "24", "255.255.255.0". @param all  bits of an address. @return -1: it is none */
static int remoteip_bits(const char *mask, int all)
{
    usher_cidr_range_t range;
    apr_uint64_t bits, inverse;

    if (usher_number_parse(&bits, (apr_uint64_t)all, mask, strlen(mask)) == strlen(mask) && *mask) {
        return (int)bits;
    }
    if (all != 32 || strchr(mask, ':') || !usher_cidr_parse(&range, mask, strlen(mask))) {
        return -1;
    }
    inverse = ~range.first.low & 0xffffffff;
    return inverse & (inverse + 1) ? -1 : 32 - __builtin_popcountll(inverse);
}

static int remoteip_parse(usher_cidr_range_t *range, const char *proxy)
{
    char text[80];
    char *slash;
    int bits, all;
    unsigned int partial;
    ban_prefix_t prefix;

    apr_cpystrn(text, proxy, sizeof(text));
    slash = strchr(text, '/');
    if (slash) {
        *slash++ = '\0';
    }
    partial = slash ? 0 : remoteip_partial(text, sizeof(text));
    if (!usher_cidr_parse(range, text, strlen(text))) {
        return 0;
    }
    all = strchr(text, ':') ? 128 : 32;
    bits = slash ? remoteip_bits(slash, all) : all;
    if (bits < 0) {
        return 0;
    }
    prefix = ban_prefix_of(range->first, partial ? partial : (unsigned int)(128 - all + bits));
    *range = ban_prefix_range(&prefix);
    return 1;
}

/* A host's name has as many addresses as the resolver says now; mod_remoteip asks in the same way. */
static void remoteip_add(cmd_parms *cmd, const char *proxy)
{
    apr_array_header_t *ranges = remoteip_of(cmd)->ranges;
    usher_cidr_range_t range;
    apr_sockaddr_t *address;

    remoteip_add_server(remoteip->lists, cmd->server);
    if (remoteip_parse(&range, proxy)) {
        APR_ARRAY_PUSH(ranges, usher_cidr_range_t) = range;
    }
    else if (!strpbrk(proxy, "/:")
             && !apr_sockaddr_info_get(&address, proxy, APR_UNSPEC, 0, APR_IPV4_ADDR_OK, cmd->temp_pool)) {
        for (; address; address = address->next) {
            range.first = range.last = ban_address(address);
            APR_ARRAY_PUSH(ranges, usher_cidr_range_t) = range;
        }
    }
}

/* --- directives */

const char *ban_remoteip_set_header(cmd_parms *cmd, void *dir, const char *name)
{
    remoteip_add_server(remoteip_of(cmd)->headers, cmd->server);
    APR_ARRAY_PUSH(remoteip->names, const char *) = apr_pstrdup(cmd->pool, name);
    return remoteip_unknown(cmd);
}

const char *ban_remoteip_set_proxy(cmd_parms *cmd, void *dir, const char *proxy)
{
    remoteip_add(cmd, proxy);
    return remoteip_unknown(cmd);
}

const char *ban_remoteip_set_list(cmd_parms *cmd, void *dir, const char *path)
{
    const char *unknown = remoteip_unknown(cmd), *args;
    ap_configfile_t *file;
    char line[MAX_STRING_LEN], *word;

    path = ap_server_root_relative(cmd->temp_pool, path);
    if (unknown || !path || ap_pcfg_openfile(&file, cmd->temp_pool, path)) {
        return unknown;
    }
    while (!ap_cfg_getline(line, sizeof(line), file)) {
        for (args = line; *(word = ap_getword_conf(cmd->temp_pool, &args)) && *word != '#';) {
            remoteip_add(cmd, word);
        }
    }
    ap_cfg_closefile(file);
    return NULL;
}

/* --- what was said */

const apr_array_header_t *ban_remoteip_proxies(void)
{
    return remoteip ? remoteip->ranges : NULL;
}

int ban_remoteip_has_left(const request_rec *r)
{
    int i;

    for (i = 0; remoteip && i < remoteip->names->nelts; ++i) {
        if (apr_table_get(r->headers_in, APR_ARRAY_IDX(remoteip->names, i, const char *))) {
            return 1;
        }
    }
    return 0;
}

/* As mod_remoteip merges: a virtual host has the main server's proxies unless it has some of its own. */
static const server_rec *remoteip_credulous(void)
{
    int i;

    for (i = 0; remoteip && i < remoteip->headers->nelts; ++i) {
        const server_rec *s = APR_ARRAY_IDX(remoteip->headers, i, const server_rec *);

        if (!remoteip_is_in(remoteip->lists, s) && !remoteip_is_in(remoteip->lists, ap_server_conf)) {
            return s;
        }
    }
    return NULL;
}

int ban_remoteip_believes_all(void)
{
    return remoteip_credulous() != NULL;
}

void ban_remoteip_check_config(server_rec *s)
{
    const server_rec *credulous = remoteip_credulous();

    if (credulous) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s, USHERLOGNO(8040)
                     "%s: RemoteIPHeader without RemoteIPInternalProxy or RemoteIPTrustedProxy: any client may claim "
                     "any address, so rules can be made to ban somebody else, and nobody is refused before his "
                     "request is read: name your proxies there",
                     credulous->server_hostname ? credulous->server_hostname : "the main server");
    }
}
