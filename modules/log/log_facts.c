/* All that is known of a request, put together when its first line is written. */
#include "log_private.h"

APLOG_USE_MODULE(usher_log);

static APR_OPTIONAL_FN_TYPE(usher_backend_facts) *facts_of_backend;
static APR_OPTIONAL_FN_TYPE(usher_balancer_facts) *facts_of_balancer;

void log_facts_post_config(void)
{
    facts_of_backend = APR_RETRIEVE_OPTIONAL_FN(usher_backend_facts);
    facts_of_balancer = APR_RETRIEVE_OPTIONAL_FN(usher_balancer_facts);
}

/* A request that was redirected within httpd is logged with what its first part left that was
 * sent to a backend: with an ErrorDocument that is the one that failed. */
static void facts_ask(log_facts_t *facts)
{
    request_rec *r;

    for (r = facts->first; r; r = r->next) {
        if (r->proxyreq) {
            facts->proxied = 1;
        }
        if (!facts->backend_r && facts_of_backend && facts_of_backend(r, &facts->backend)) {
            facts->backend_r = r;
        }
        if (!facts->balanced && facts_of_balancer) {
            facts->balanced = facts_of_balancer(r, &facts->balancer);
        }
        if (facts->backend_r || r == facts->last) {
            break;
        }
    }
}

/* "http://host:port" of a URL. */
static const char *facts_server(apr_pool_t *p, const char *url)
{
    const char *end = ap_strstr_c(url, "://");

    end = end ? ap_strchr_c(end + 3, '/') : NULL;
    return end ? apr_pstrmemdup(p, url, (apr_size_t)(end - url)) : url;
}

/* The member that a stock balancer has chosen; NULL: none. */
static const char *facts_stock_member(const request_rec *r)
{
    const char *route = apr_table_get(r->subprocess_env, "BALANCER_WORKER_ROUTE");

    return route && *route ? route : apr_table_get(r->subprocess_env, "BALANCER_WORKER_NAME");
}

/* By what mod_proxy and a stock balancer say of it. Where a request would have gone is no member
 * that got it: it may have been refused before, or the backend handler knows better. */
static void facts_of_stock(log_facts_t *facts)
{
    request_rec *r = facts->last;
    const char *cluster = apr_table_get(r->subprocess_env, "BALANCER_NAME");

    if (cluster) {
        facts->cluster = strncmp(cluster, "balancer://", 11) ? cluster : cluster + 11;
    }
    facts->member = facts_stock_member(r);
    if (!facts->member && !cluster && !facts->backend_r && facts->state[0] != 'P' && r->filename
        && !strncmp(r->filename, "proxy:", 6) && strncmp(r->filename + 6, "balancer:", 9)) {
        facts->member = facts_server(r->pool, r->filename + 6);
    }
}

static void facts_name(log_facts_t *facts)
{
    if (facts->balanced) {
        facts->cluster = facts->balancer.cluster;
        facts->member = facts->balancer.member ? facts->balancer.member
                                               : facts_stock_member(facts->last);
        facts->queue_len = facts->balancer.queue_len;
        if (facts->balancer.member) {
            facts->cluster_conns = facts->balancer.cluster_in_flight;
            facts->member_conns = facts->balancer.member_in_flight;
        }
    }
    else if (facts->proxied) {
        facts_of_stock(facts);
        if (!facts->member && facts->backend_r && facts->backend.attempts_len) {
            facts->member = facts->backend.attempts[facts->backend.attempts_len - 1].member;
        }
    }
}

static const log_facts_t *facts_make(request_rec *first, const log_record_t *record)
{
    log_facts_t *facts = apr_pcalloc(first->pool, sizeof(*facts));

    facts->first = first;
    for (facts->last = first; facts->last->next; facts->last = facts->last->next) {
    }
    facts->record = record;
    facts->conf = log_conf_of(first->server);
    facts->cluster_conns = facts->member_conns = facts->queue_len = -1;
    facts_ask(facts);
    log_state_fill(facts);
    facts_name(facts);
    facts->id = log_id_of(first);
    log_times_fill(facts);
    log_bytes_fill(facts);
    log_conns_get(record, facts->conf->number, &facts->conns, &facts->vhost_conns);
    log_tls_fill(facts);
    return facts;
}

const log_facts_t *log_facts_of(request_rec *r)
{
    request_rec *first = log_request_first(r);
    log_record_t *record = log_request_record(first);

    if (!record->facts) {
        record->facts = facts_make(first, record);
    }
    return record->facts;
}
