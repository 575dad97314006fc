/* Members that signed themselves in: each gets a worker of its own, which is in no list of
 * mod_proxy's, and a record of the registry, which nobody else gets as long as a process
 * holds it.
 *
 * What the roster says lies in memory that any child can write to. */
#include <openssl/crypto.h>

#include "balancer_private.h"
#include "usher_join.h"

APLOG_USE_MODULE(usher_balancer);

/* At most one message in this time, ms, of entries that cannot be members. */
#define LOG_MS 60000
#define WEIGHT_MOST 100
#define WEIGHT_UNIT 100 /* of a load factor */

/* Under the mutex of the lists. */
static apr_int64_t refused_at;

/* No blanks, no control characters: it is written into requests and logs. */
static int joined_is_plain(const char *text)
{
    for (; *text; ++text) {
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7F || *text == '"') {
            return 0;
        }
    }
    return 1;
}

static int joined_is_tls(const char *scheme)
{
    return !ap_cstr_casecmp(scheme, "https") || !ap_cstr_casecmp(scheme, "wss");
}

/* @return why it cannot be a member, or NULL: worker is it */
static const char *joined_worker(proxy_worker **worker, const balancer_cluster_t *cluster,
                                 const usher_roster_entry_t *entry, apr_pool_t *ptemp)
{
    unsigned char id[USHER_ID_SIZE];
    const char *why;

    usher_roster_id(id, cluster->joined_name, entry->route);
    if (memcmp(id, entry->id, sizeof(id)) != 0) {
        return "its id is another one's";
    }
    if (!*entry->route || !joined_is_plain(entry->route) || !joined_is_plain(entry->url)
        || !ap_strstr_c(entry->url, "://") || strpbrk(entry->url, "|$?#")) {
        return "its route or its URL is none";
    }
    why = ap_proxy_define_worker(ptemp, worker, NULL, NULL, entry->url, 0);
    if (why) {
        return why;
    }
    if (!balancer_check_is_served((*worker)->s->scheme)) {
        return "mod_usher_backend does not serve its scheme";
    }
    return joined_is_tls((*worker)->s->scheme) && !ap_ssl_has_outgoing_handlers()
               ? "no module speaks TLS: load mod_ssl" : NULL;
}

static void joined_refuse(const balancer_cluster_t *cluster, const usher_roster_entry_t *entry,
                          const char *why)
{
    apr_int64_t now = balancer_now();

    if (!refused_at || now - refused_at >= LOG_MS) {
        refused_at = now;
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, cluster->home, USHERLOGNO(3061)
                     "%s: a registered member (route \"%s\") gets no requests, as %s. Let it sign "
                     "in anew, or take it out (usherctl members)", cluster->name,
                     joined_is_plain(entry->route) ? entry->route : "?", why);
    }
}

/* @return 0: it is not known, and the member cannot serve */
static int joined_open_secret(balancer_joined_t *joined, const usher_roster_entry_t *entry)
{
    APR_OPTIONAL_FN_TYPE(usher_register_open_secret) *open_secret =
        APR_RETRIEVE_OPTIONAL_FN(usher_register_open_secret);

    return !*entry->secret
           || (open_secret && open_secret(entry->id, entry->secret, joined->shared.secret,
                                          sizeof(joined->shared.secret)));
}

static void joined_secret(balancer_joined_t *joined, const balancer_cluster_t *cluster,
                          const usher_roster_entry_t *entry, const balancer_joined_t *before)
{
    joined->has_no_secret = !joined_open_secret(joined, entry);
    if (joined->has_no_secret
        && !(before && before->has_no_secret && before->generation == entry->generation)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, cluster->home, USHERLOGNO(3062)
                     "%s: registered member %s (route \"%s\") gets no requests, as its AJP secret "
                     "is not known here: mod_usher_register does not know its name "
                     "(UsherRegisterSecret), or has no key for it (UsherRegisterSealKeys). Mend "
                     "that and restart gracefully, or let it sign in anew", cluster->name,
                     joined->shared.name_ex, joined->shared.route);
    }
}

static usher_member_rec_t *joined_find_record(const balancer_joined_t *joined,
                                              const balancer_cluster_t *cluster)
{
    return cluster->generation
        ? balancer_core->registry_member(cluster->rec, joined->shared.route, NULL) : NULL;
}

/* A member that the registry has no room for is known to this process alone. */
static void joined_record(balancer_joined_t *joined, const balancer_cluster_t *cluster)
{
    usher_member_rec_t *rec = joined_find_record(joined, cluster);

    joined->is_held = rec && balancer_core->registry_hold(rec, rec->generation);
    /* Until then it could become another member's. */
    if (joined->is_held && joined_find_record(joined, cluster) != rec) {
        balancer_core->registry_release(rec);
        joined->is_held = 0;
    }
    if (!joined->is_held) {
        rec = calloc(1, sizeof(*rec));
        if (!rec) {
            ap_abort_on_oom();
        }
    }
    joined->rec = rec;
}

static void joined_define(balancer_joined_t *joined, const balancer_cluster_t *cluster,
                          const proxy_worker *worker, const char *route)
{
    const proxy_server_conf *server = ap_get_module_config(cluster->home->module_config,
                                                           &proxy_module);

    joined->worker = *worker;
    joined->shared = *worker->s;
    joined->worker.s = &joined->shared;
    joined->worker.local_status |= PROXY_WORKER_INITIALIZED;
    joined->worker.section_config = cluster->balancer->section_config;
    /* Of a worker without a balancer mod_proxy says that its errors do not count. */
    joined->shared.status = PROXY_WORKER_INITIALIZED;
    joined->shared.retry_set = 1;
    PROXY_STRNCPY(joined->shared.route, route);
    PROXY_COPY_CONF_PARAMS(&joined->worker, server);
    balancer_joined_conf_apply(&cluster->conf->joined, &joined->shared);
}

balancer_joined_t *balancer_joined_make(const balancer_cluster_t *cluster,
                                        const usher_roster_entry_t *entry,
                                        const balancer_joined_t *before, apr_pool_t *ptemp)
{
    proxy_worker *worker = NULL;
    const char *why = joined_worker(&worker, cluster, entry, ptemp);
    balancer_joined_t *joined;

    if (why) {
        joined_refuse(cluster, entry, why);
        return NULL;
    }
    joined = calloc(1, sizeof(*joined));
    if (!joined) {
        ap_abort_on_oom();
    }
    joined_define(joined, cluster, worker, entry->route);
    memcpy(joined->id, entry->id, sizeof(joined->id));
    joined->generation = entry->generation;
    memcpy(joined->check, entry->check, sizeof(joined->check));
    balancer_probe_conf_join(&joined->probe, &cluster->conf->probe, joined->check,
                             joined->shared.scheme);
    joined_secret(joined, cluster, entry, before);
    joined_record(joined, cluster);
    balancer_joined_change(joined, entry);
    return joined;
}

int balancer_joined_is(const balancer_joined_t *joined, const usher_roster_entry_t *entry)
{
    return joined->generation == entry->generation && !joined->has_no_secret;
}

void balancer_joined_change(balancer_joined_t *joined, const usher_roster_entry_t *entry)
{
    apr_uint32_t weight = entry->weight < WEIGHT_MOST ? entry->weight : WEIGHT_MOST;
    unsigned int status = joined->shared.status & ~PROXY_WORKER_DRAIN;

    if (entry->drain_until || !weight) {
        status |= PROXY_WORKER_DRAIN;
    }
    __atomic_store_n(&joined->shared.status, status, __ATOMIC_RELAXED);
    __atomic_store_n(&joined->shared.lbfactor, (int)(weight ? weight : 1) * WEIGHT_UNIT,
                     __ATOMIC_RELAXED);
}

void balancer_joined_free(balancer_joined_t *joined)
{
    APR_OPTIONAL_FN_TYPE(usher_backend_forget) *forget =
        APR_RETRIEVE_OPTIONAL_FN(usher_backend_forget);
    usher_roster_entry_t entry;

    if (forget) {
        forget(atomic_load(&joined->kept));
    }
    if (joined->is_held) {
        if (!balancer_core->roster_get(joined->id, &entry)) {
            balancer_core->registry_leave(joined->rec);
        }
        balancer_core->registry_release(joined->rec);
    }
    else {
        free(joined->rec);
    }
    OPENSSL_cleanse(joined->shared.secret, sizeof(joined->shared.secret));
    free(joined);
}
