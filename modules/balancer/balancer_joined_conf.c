/* UsherMembers: the keys of a BalancerMember line for members that sign themselves in. What
 * each of these says of itself comes from the roster (weight, and maybe its secret). */
#include <ap_mpm.h>
#include <stddef.h>

#include "balancer_private.h"
#include "usher_options.h"

APLOG_USE_MODULE(usher_balancer);

#define MS APR_TIME_C(1000)
#define HOUR (3600 * APR_USEC_PER_SEC)
#define BUFFER_LEAST 512 /* as mod_proxy */
#define BUFFER_MOST (16 * 1024 * 1024)
#define LBSET_MOST 99
#define FLUSH_WAIT_MOST 1000

static const char *const switches[] = { "off", "on", NULL };
/* In the order of mod_proxy's enum. */
static const char *const flushes[] = { "off", "on", "auto", NULL };

#define FIELD(f) offsetof(balancer_joined_conf_t, f)
#define TIME(key, f) { key, USHER_OPTION_DURATION, 0, MS, 24 * HOUR, "1ms to 24h", FIELD(f), NULL }
#define BYTES(key, f) { key, USHER_OPTION_SIZE, 0, BUFFER_LEAST, BUFFER_MOST, "512 to 16M", FIELD(f), NULL }
#define COUNT(key, f, min, most, allowed) { key, USHER_OPTION_NUMBER, 0, min, most, allowed, FIELD(f), NULL }

static const usher_option_t keys[] = {
    TIME("timeout", timeout),
    TIME("connectiontimeout", connectiontimeout),
    TIME("ping", ping),
    TIME("ttl", ttl),
    { "addressttl", USHER_OPTION_DURATION, 0, 0, 24 * HOUR, "0 to 24h", FIELD(addressttl), NULL },
    COUNT("smax", smax, 1, APR_INT16_MAX, "1 to 32767"),
    COUNT("min", min, 0, APR_INT16_MAX, "0 to 32767"),
    COUNT("lbset", lbset, 0, LBSET_MOST, "0 to 99"),
    COUNT("flushwait", flushwait, 0, FLUSH_WAIT_MOST, "0 to 1000 (milliseconds)"),
    BYTES("iobuffersize", iobuffersize),
    BYTES("receivebuffersize", receivebuffersize),
    BYTES("responsefieldsize", responsefieldsize),
    { "keepalive", USHER_OPTION_WORD, 0, 0, 0, NULL, FIELD(keepalive), switches },
    { "disablereuse", USHER_OPTION_WORD, 0, 0, 0, NULL, FIELD(disablereuse), switches },
    { "flushpackets", USHER_OPTION_WORD, 0, 0, 0, NULL, FIELD(flushpackets), flushes },
    { "upgrade", USHER_OPTION_TEXT, 0, 1, PROXY_WORKER_MAX_SCHEME_SIZE - 1,
      "a protocol of up to 15 characters", FIELD(upgrade), NULL },
    { "secret", USHER_OPTION_TEXT, 0, 1, PROXY_WORKER_MAX_SECRET_SIZE - 1,
      "a text of up to 63 bytes", FIELD(secret), NULL },
    { NULL, USHER_OPTION_TEXT, 0, 0, 0, NULL, 0, NULL },
};

#define UNSET USHER_UNSET
const balancer_joined_conf_t balancer_joined_conf_none = {
    UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, UNSET, UNSET,
    UNSET, UNSET, UNSET, NULL, NULL
};

const char *balancer_joined_set(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    balancer_joined_conf_t *conf = &((balancer_conf_t *)dir)->joined;
    const char *why = balancer_conf_why_not_here(cmd);

    why = why ? why : usher_options_set(cmd->pool, conf, sizeof(*conf), keys, argc, argv);
    return why ? usher_conf_refuse(cmd, why) : NULL;
}

void balancer_joined_conf_merge(balancer_joined_conf_t *conf, const balancer_joined_conf_t *base,
                                const balancer_joined_conf_t *add)
{
    conf->timeout = USHER_MERGE(timeout, base, add);
    conf->connectiontimeout = USHER_MERGE(connectiontimeout, base, add);
    conf->ping = USHER_MERGE(ping, base, add);
    conf->addressttl = USHER_MERGE(addressttl, base, add);
    conf->ttl = USHER_MERGE(ttl, base, add);
    conf->flushwait = USHER_MERGE(flushwait, base, add);
    conf->smax = USHER_MERGE(smax, base, add);
    conf->min = USHER_MERGE(min, base, add);
    conf->lbset = USHER_MERGE(lbset, base, add);
    conf->iobuffersize = USHER_MERGE(iobuffersize, base, add);
    conf->receivebuffersize = USHER_MERGE(receivebuffersize, base, add);
    conf->responsefieldsize = USHER_MERGE(responsefieldsize, base, add);
    conf->keepalive = USHER_MERGE(keepalive, base, add);
    conf->disablereuse = USHER_MERGE(disablereuse, base, add);
    conf->flushpackets = USHER_MERGE(flushpackets, base, add);
    conf->upgrade = add->upgrade ? add->upgrade : base->upgrade;
    conf->secret = add->secret ? add->secret : base->secret;
}

/* As ap_proxy_initialize_worker() has them for a static member. */
static void conf_links(const balancer_joined_conf_t *conf, proxy_worker_shared *s)
{
    int threads = 0;

    if (ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS || threads < 1) {
        threads = 1;
    }
    s->hmax = threads;
    s->smax = conf->smax != USHER_UNSET && conf->smax < threads ? (int)conf->smax : threads;
    s->min = conf->min == USHER_UNSET ? 0 : conf->min < s->smax ? (int)conf->min : s->smax;
    s->ttl = conf->ttl == USHER_UNSET ? 0 : conf->ttl;
    s->keepalive = conf->keepalive == 1;
    s->keepalive_set = conf->keepalive != USHER_UNSET;
    s->disablereuse = conf->disablereuse == 1;
    s->disablereuse_set = conf->disablereuse != USHER_UNSET;
    s->is_address_reusable = !s->disablereuse;
#if AP_MODULE_MAGIC_AT_LEAST(20120211, 130)
    s->address_ttl_set = conf->addressttl != USHER_UNSET;
    s->address_ttl = s->address_ttl_set ? (apr_int32_t)apr_time_sec(conf->addressttl) : 0;
#endif
}

#define SET(s, field, conf, key)                    \
    do {                                            \
        if ((conf)->key != USHER_UNSET) {           \
            (s)->field = (conf)->key;               \
            (s)->field##_set = 1;                   \
        }                                           \
    } while (0)

void balancer_joined_conf_apply(const balancer_joined_conf_t *conf, proxy_worker_shared *s)
{
    conf_links(conf, s);
    SET(s, timeout, conf, timeout);
    SET(s, conn_timeout, conf, connectiontimeout);
    SET(s, ping_timeout, conf, ping);
    SET(s, io_buffer_size, conf, iobuffersize);
    SET(s, recv_buffer_size, conf, receivebuffersize);
    SET(s, response_field_size, conf, responsefieldsize);
    s->lbset = conf->lbset == USHER_UNSET ? 0 : (int)conf->lbset;
    s->flush_packets = conf->flushpackets == USHER_UNSET ? flush_off : conf->flushpackets;
    s->flush_wait = conf->flushwait > 0 ? (int)(conf->flushwait * MS) : PROXY_FLUSH_WAIT;
    if (conf->upgrade) {
        PROXY_STRNCPY(s->upgrade, conf->upgrade);
    }
    if (conf->secret) {
        PROXY_STRNCPY(s->secret, conf->secret);
    }
}
