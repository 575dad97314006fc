/* UsherRegisterPolicy: what the holder of a key may sign in. */
#include "register_auth.h"

#include <apr_cstr.h>
#include <apr_hash.h>

#include "usher_number.h"
#include "usher_options.h"

APLOG_USE_MODULE(usher_register);

#define LIST_MAX 4096
#define WEIGHT_MAX 100
#define MEMBERS 100

typedef struct {
    apr_port_t first, last;
} policy_ports_t;

struct register_policy_t {
    int is_admin;
    int may_ban;
    int loopback;
    const char *clusters, *addresses, *ports, *schemes; /* as they were written; NULL: not */
    apr_int64_t weight, members;
    int own; /* the address that the request came from */
    apr_array_header_t *cluster_names; /* const char *; NULL: all */
    apr_array_header_t *scheme_names;  /* the same */
    apr_array_header_t *port_ranges;   /* policy_ports_t; NULL: all */
    usher_cidr_set_t *usual, *special; /* addresses that were written; special ones have to be meant */
};

static apr_hash_t *policies;
static apr_pool_t *policies_pool;

void register_policy_init(apr_pool_t *pconf)
{
    policies = apr_hash_make(pconf);
    policies_pool = pconf;
}

const register_policy_t *register_policy_find(const char *name)
{
    return apr_hash_get(policies, name, APR_HASH_KEY_STRING);
}

/* Parts between commas; NULL: one of them is empty. */
static apr_array_header_t *policy_split(apr_pool_t *p, const char *text)
{
    apr_array_header_t *parts = apr_array_make(p, 4, sizeof(const char *));
    const char *comma;

    do {
        comma = strchr(text, ',');
        if (comma == text || !*text) {
            return NULL;
        }
        APR_ARRAY_PUSH(parts, const char *) = comma ? apr_pstrmemdup(p, text, (apr_size_t)(comma - text)) : text;
        text = comma ? comma + 1 : NULL;
    } while (text);
    return parts;
}

static const char *policy_schemes(register_policy_t *policy, apr_pool_t *p)
{
    static const char *const known[] = { "ajp", "http", "https", "ws", "wss" };
    apr_array_header_t *names = policy_split(p, policy->schemes);
    apr_size_t k;
    int i;

    for (i = 0; names && i < names->nelts; ++i) {
        for (k = 0; k < sizeof(known) / sizeof(known[0]); ++k) {
            if (!strcmp(APR_ARRAY_IDX(names, i, const char *), known[k])) {
                break;
            }
        }
        if (k == sizeof(known) / sizeof(known[0])) {
            names = NULL;
        }
    }
    policy->scheme_names = names;
    return names ? NULL : "schemes takes some of ajp,http,https,ws,wss";
}

static int policy_port(const char *text, apr_size_t len, apr_port_t *port)
{
    apr_uint64_t number;

    if (!len || usher_number_parse(&number, 65535, text, len) != len || !number) {
        return 0;
    }
    *port = (apr_port_t)number;
    return 1;
}

static const char *policy_ports(register_policy_t *policy, apr_pool_t *p)
{
    static const char wrong[] = "ports takes numbers from 1 to 65535, and ranges of them: 8009,8080-8090";
    apr_array_header_t *parts = policy_split(p, policy->ports);
    int i;

    policy->port_ranges = apr_array_make(p, 4, sizeof(policy_ports_t));
    for (i = 0; parts && i < parts->nelts; ++i) {
        const char *part = APR_ARRAY_IDX(parts, i, const char *), *dash = strchr(part, '-');
        policy_ports_t *range = apr_array_push(policy->port_ranges);

        if (!policy_port(part, dash ? (apr_size_t)(dash - part) : strlen(part), &range->first)
            || !policy_port(dash ? dash + 1 : part, strlen(dash ? dash + 1 : part), &range->last)
            || range->last < range->first) {
            return wrong;
        }
    }
    return parts ? NULL : wrong;
}

static usher_cidr_set_t *policy_set(apr_pool_t *p, apr_array_header_t *ranges)
{
    usher_cidr_set_t *set = apr_palloc(p, usher_cidr_set_size((apr_size_t)ranges->nelts));

    usher_cidr_set_make(set, (usher_cidr_range_t *)(void *)ranges->elts, (apr_size_t)ranges->nelts);
    return set;
}

static const char *policy_addresses(register_policy_t *policy, apr_pool_t *p)
{
    apr_array_header_t *parts = policy_split(p, policy->addresses);
    apr_array_header_t *usual = apr_array_make(p, 4, sizeof(usher_cidr_range_t));
    apr_array_header_t *special = apr_array_make(p, 4, sizeof(usher_cidr_range_t));
    usher_cidr_range_t range;
    int i;

    policy->own = 0;
    for (i = 0; parts && i < parts->nelts; ++i) {
        const char *part = APR_ARRAY_IDX(parts, i, const char *);

        if (!strcmp(part, "own")) {
            policy->own = 1;
        }
        else if (!usher_cidr_parse(&range, part, strlen(part))) {
            return apr_psprintf(p, "addresses takes \"own\", addresses and prefixes such as 10.0.0.0/24 and "
                                "2001:db8::/64, whose bits behind the prefix are zero, not \"%s\"", part);
        }
        else {
            APR_ARRAY_PUSH(register_address_is_special_range(&range) ? special : usual, usher_cidr_range_t) = range;
        }
    }
    policy->usual = policy_set(p, usual);
    policy->special = policy_set(p, special);
    return parts ? NULL : "addresses has an empty part";
}

/* What was written, once more as it is used. */
static const char *policy_lists(register_policy_t *policy, apr_pool_t *p)
{
    const char *why = policy_addresses(policy, p);

    if (!policy->clusters && !(policy->may_ban && !policy->is_admin)) {
        policy->clusters = "*";
    }
    if (!why && policy->schemes) {
        why = policy_schemes(policy, p);
    }
    if (!why && policy->ports) {
        why = policy_ports(policy, p);
    }
    if (!policy->clusters) {
        policy->cluster_names = apr_array_make(p, 1, sizeof(const char *)); /* it is for bans */
    }
    else if (!why && strcmp(policy->clusters, "*") != 0) {
        policy->cluster_names = policy_split(p, policy->clusters);
        why = policy->cluster_names ? NULL : "clusters takes * or names with commas between them";
    }
    return why;
}

#define TEXT(key, field, allowed) \
    { key, USHER_OPTION_TEXT, 0, 1, LIST_MAX, allowed, APR_OFFSETOF(register_policy_t, field), NULL }
#define FLAG(key, field) { key, USHER_OPTION_FLAG, 0, 0, 0, NULL, APR_OFFSETOF(register_policy_t, field), NULL }

const char *register_policy_set(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    static const usher_option_t options[] = {
        FLAG("admin", is_admin),
        FLAG("bans", may_ban),
        FLAG("loopback", loopback),
        TEXT("clusters", clusters, "names with commas between them, or *"),
        TEXT("addresses", addresses, "\"own\" and prefixes, with commas between them"),
        TEXT("ports", ports, "numbers and ranges, with commas between them"),
        TEXT("schemes", schemes, "some of ajp,http,https,ws,wss"),
        { "weight", USHER_OPTION_NUMBER, 0, 0, WEIGHT_MAX, "a number from 0 to 100",
          APR_OFFSETOF(register_policy_t, weight), NULL },
        { "members", USHER_OPTION_NUMBER, 0, 0, 1000000, "a number from 0 to 1000000; 0: any number",
          APR_OFFSETOF(register_policy_t, members), NULL },
        { NULL }
    };
    register_policy_t *policy = apr_pcalloc(policies_pool, sizeof(*policy));
    const char *why = register_auth_why_not(cmd, argc, 1, 20, "a name, and what it may: key=value");

    *policy = (register_policy_t) { .addresses = "own", .weight = WEIGHT_MAX, .members = MEMBERS };
    if (!why && !usher_regkeys_is_name(argv[0], strlen(argv[0]))) {
        why = apr_psprintf(cmd->pool, "\"%s\": a name is 1 to 63 of A-Z a-z 0-9 . _ -", argv[0]);
    }
    if (!why && register_policy_find(argv[0])) {
        why = apr_psprintf(cmd->pool, "%s: there is a policy of this name already", argv[0]);
    }
    if (!why && argc > 1) {
        why = usher_options_set(cmd->pool, policy, sizeof(*policy), options, argc - 1, argv + 1);
    }
    if (!why) {
        why = policy_lists(policy, policies_pool);
    }
    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    apr_hash_set(policies, apr_pstrdup(policies_pool, argv[0]), APR_HASH_KEY_STRING, policy);
    return NULL;
}

int register_policy_is_admin(const register_policy_t *policy)
{
    return policy->is_admin;
}

int register_policy_may_ban(const register_policy_t *policy)
{
    return policy->may_ban;
}

unsigned int register_policy_members_max(const register_policy_t *policy)
{
    return (unsigned int)policy->members;
}

unsigned int register_policy_weight_max(const register_policy_t *policy)
{
    return (unsigned int)policy->weight;
}

/* "app" is "app@www.example.com" as well. */
int register_policy_has_cluster(const register_policy_t *policy, const char *cluster)
{
    int i;

    for (i = 0; policy->cluster_names && i < policy->cluster_names->nelts; ++i) {
        const char *name = APR_ARRAY_IDX(policy->cluster_names, i, const char *);
        apr_size_t len = strlen(name);

        if (!apr_cstr_casecmpn(cluster, name, len) && (!cluster[len] || (cluster[len] == '@' && !strchr(name, '@')))) {
            return 1;
        }
    }
    return !policy->cluster_names;
}

static int policy_has_scheme(const register_policy_t *policy, const char *scheme)
{
    int i;

    for (i = 0; policy->scheme_names && i < policy->scheme_names->nelts; ++i) {
        if (!apr_cstr_casecmp(APR_ARRAY_IDX(policy->scheme_names, i, const char *), scheme)) {
            return 1;
        }
    }
    return !policy->scheme_names;
}

static int policy_has_port(const register_policy_t *policy, apr_port_t port)
{
    int i;

    for (i = 0; policy->port_ranges && i < policy->port_ranges->nelts; ++i) {
        const policy_ports_t *range = &APR_ARRAY_IDX(policy->port_ranges, i, policy_ports_t);

        if (port >= range->first && port <= range->last) {
            return 1;
        }
    }
    return !policy->port_ranges;
}

/* Why a member may not have this address; NULL: it may. */
static const char *policy_why_not(const register_policy_t *policy, request_rec *r, usher_cidr_address_t address,
                                  apr_port_t port)
{
    usher_cidr_address_t own = register_auth_address(r->useragent_addr);
    int is_own = policy->own && address.high == own.high && address.low == own.low;
    const char *why = register_address_why_never(address, port);
    const char *special = register_address_special(address);

    if (why || usher_cidr_set_has(policy->special, address)) {
        return why;
    }
    if (special) {
        return policy->loopback && register_address_is_loopback(address)
                       && (is_own || register_address_is_loopback(own))
                   ? NULL
                   : apr_psprintf(r->pool, "it is %s (loopback, or its own prefix in addresses=, would allow it)",
                                  special);
    }
    if (is_own || usher_cidr_set_has(policy->usual, address)) {
        return NULL;
    }
    return policy->own ? apr_psprintf(r->pool, "it is not %s, where the request came from (addresses=)",
                                      r->useragent_ip)
                       : "it is not among those of the policy (addresses=)";
}

static int policy_refuse(register_error_t *error, const char *code, const char *message)
{
    *error = (register_error_t) { HTTP_FORBIDDEN, code, message };
    return HTTP_FORBIDDEN;
}

/* @param text  the address, for people */
static int policy_check_address(const register_policy_t *policy, request_rec *r, usher_cidr_address_t address,
                                apr_port_t port, const char *text, register_error_t *error)
{
    const char *why = policy_why_not(policy, r, address, port);

    return why ? policy_refuse(error, "forbidden-address",
                               apr_psprintf(r->pool, "%s may not be a member's address: %s", text, why))
               : OK;
}

/* A name: all of its addresses have to do. */
static int policy_check_name(const register_policy_t *policy, request_rec *r, const char *host, apr_port_t port,
                             register_error_t *error)
{
    apr_sockaddr_t *address;
    int rc = OK;

    if (strchr(host, '%') || apr_sockaddr_info_get(&address, host, APR_UNSPEC, port, 0, r->pool) != APR_SUCCESS) {
        return policy_refuse(error, "forbidden-address", "the host of the URL has no address that is known here");
    }
    for (; address && rc == OK; address = address->next) {
        char text[64] = "";

        apr_sockaddr_ip_getbuf(text, sizeof(text), address);
        rc = policy_check_address(policy, r, register_auth_address(address), port, text, error);
    }
    return rc;
}

int register_policy_check_server(const register_policy_t *policy, request_rec *r, const char *scheme,
                                 const char *host, apr_port_t port, register_error_t *error)
{
    usher_cidr_range_t range;

    if (!policy_has_scheme(policy, scheme)) {
        return policy_refuse(error, "forbidden-scheme", "the policy of your key does not have this scheme (schemes=)");
    }
    if (!policy_has_port(policy, port)) {
        return policy_refuse(error, "forbidden-port", "the policy of your key does not have this port (ports=)");
    }
    /* To look an address up would ask the kernel for all of this machine's. */
    if (!strchr(host, '/') && usher_cidr_parse(&range, host, strlen(host))) {
        return policy_check_address(policy, r, range.first, port, host, error);
    }
    return policy_check_name(policy, r, host, port, error);
}
