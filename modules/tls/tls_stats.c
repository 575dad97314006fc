/* The statistics: counting, and what is done regularly.
 *
 * They lie in retained memory, which restarts leave alone; a file keeps them over a stop. Nothing here
 * is locked: usher_tlsstats.h tells how that goes. */
#include <apr_general.h>
#include <unistd.h>

#include "tls_stats.h"
#include "usher_clock.h"

APLOG_USE_MODULE(usher_tls);

static void stats_init(void *base, apr_uint64_t size)
{
    unsigned char secret[USHER_TLSSTATS_SECRET_SIZE];
    usher_tlsstats_t fresh;

    usher_tlsstats_open(&fresh, base, size);
    apr_generate_random_bytes(secret, sizeof(secret));
    usher_tlsstats_init(&fresh, secret, tls_stats_now());
}

/* The parent has time for it, and old children count on in the old piece for a moment. */
static apr_status_t stats_carry(void *to, apr_uint64_t to_size, const void *from,
                                apr_uint64_t from_size, apr_uint32_t from_layout,
                                usher_memory_carried_t *carried)
{
    usher_tlsstats_t fresh, old;

    if (from_layout != USHER_TLSSTATS_LAYOUT) {
        return APR_ENOTIMPL;
    }
    usher_tlsstats_open(&fresh, to, to_size);
    usher_tlsstats_open(&old, (void *)from, from_size);
    carried->kept = 1;
    if (!tls_snapshot_carry(&fresh, &old, &carried->dropped)) {
        return APR_ENOTIMPL;
    }
    atomic_store(&fresh.header->loaded, 1);
    return APR_SUCCESS;
}

static const usher_memory_spec_t stats_spec = {
    .name = "tls",
    .layout = USHER_TLSSTATS_LAYOUT,
    .size = USHER_TLSSTATS_SIZE,
    .size_min = USHER_TLSSTATS_SIZE_MIN,
    .size_max = USHER_TLSSTATS_SIZE_MAX,
    .init = stats_init,
    .carry = stats_carry,
};

_Static_assert((int)USHER_TLS_DONE == USHER_TLSSTATS_DONE
               && (int)USHER_TLS_OUTCOMES <= USHER_TLSSTATS_OUTCOMES, "libusher knows these");

/* Groups that have names. */
typedef struct {
    const char *name;
    apr_uint16_t number;
} stats_group_t;

static usher_memory_t *memory;
static usher_tlsstats_t stats; /* header is NULL: there are none */
static const char *stats_dir;  /* NULL: they are not kept */
static apr_array_header_t *groups;
static pid_t parent;

const usher_tlsstats_t *tls_stats(void)
{
    return stats.header ? &stats : NULL;
}

apr_int64_t tls_stats_now(void)
{
    return apr_time_sec(apr_time_now());
}

apr_time_t tls_stats_utc(apr_int64_t time)
{
    /* Up to the year 9999. */
    return time > 0 && time < APR_INT64_C(253402300800) ? apr_time_from_sec(time) : 0;
}

int tls_stats_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    memory = NULL;
    memset(&stats, 0, sizeof(stats));
    stats_dir = NULL;
    tls_stats_conf_pre_config();
    return OK;
}

int tls_stats_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    const usher_core_t *core = tls_conf_core();

    if (!core) {
        return OK;
    }
    if (tls_conf_is_on() && tls_stats_conf()->on) {
        memory = core->memory_declare(&stats_spec);
        core->state_dir();
    }
    return tls_handler_check_config(s);
}

/* Names are compared at each handshake: here are only those that there are. */
static void stats_learn_groups(apr_pool_t *p)
{
    unsigned int number;

    groups = apr_array_make(p, 64, sizeof(stats_group_t));
    for (number = 1; number <= APR_UINT16_MAX; ++number) {
        const char *name = usher_tls_group_name((apr_uint16_t)number);

        if (name) {
            APR_ARRAY_PUSH(groups, stats_group_t) = (stats_group_t) { name, (apr_uint16_t)number };
        }
    }
}

/* Mostly it is the same one as before: that is looked at first. */
apr_uint16_t tls_stats_group(const char *name)
{
    static _Atomic int last;
    const stats_group_t *all = (const stats_group_t *)groups->elts;
    int i = atomic_load_explicit(&last, memory_order_relaxed);

    if (i < groups->nelts && !strcmp(all[i].name, name)) {
        return all[i].number;
    }
    for (i = 0; *name && i < groups->nelts; ++i) {
        if (!strcmp(all[i].name, name)) {
            atomic_store_explicit(&last, i, memory_order_relaxed);
            return all[i].number;
        }
    }
    return 0;
}

static void stats_number_vhosts(server_rec *s)
{
    int unnumbered = 0;
    server_rec *main_server = s;

    for (; s; s = s->next) {
        tls_conf_t *conf = ap_get_module_config(s->module_config, &usher_tls_module);
        apr_port_t port = s->addrs && s->addrs->host_port ? s->addrs->host_port : s->port;
        const char *name = s->server_hostname ? s->server_hostname : "";
        char text[USHER_TLSSTATS_VHOST_SIZE];

        apr_snprintf(text, sizeof(text), port ? "%.*s:%d" : "%.*s",
                     USHER_TLSSTATS_VHOST_SIZE - 8, name, (int)port);
        conf->vhost = usher_tlsstats_vhost(&stats, text);
        unnumbered += !conf->vhost;
    }
    if (unnumbered) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server, USHERLOGNO(4030)
                     "TLS statistics: %d virtual hosts are counted together, as there is room for "
                     "%d names, those of earlier configurations among them", unnumbered,
                     USHER_TLSSTATS_VHOSTS - 1);
    }
}

/* What changes with each connection and request. */
static apr_uint64_t stats_sum(void)
{
    apr_uint64_t sum = 0;
    apr_uint32_t i;

    for (i = 0; i < stats.series_len; ++i) {
        sum += stats.series[i].connections + stats.series[i].requests;
    }
    return sum;
}

/* Each second, in one child. When the last save was is shared: children may come and go. */
static void stats_tick(void *baton, server_rec *s, apr_pool_t *ptemp)
{
    static apr_uint64_t saved_sum = APR_UINT64_MAX; /* by this process; only the tick is here */
    const tls_stats_conf_t *conf = tls_stats_conf();
    apr_int64_t boot = usher_clock_system()->boot_now();
    apr_int64_t saved = (apr_int64_t)atomic_load(&stats.header->saved_at);
    apr_uint64_t sum;

    if (saved <= boot && boot - saved < conf->save - APR_USEC_PER_SEC / 2) {
        return;
    }
    sum = stats_sum();
    if (usher_tlsstats_forget(&stats, conf->keep, apr_time_sec(conf->keep_for), tls_stats_now())) {
        saved_sum = APR_UINT64_MAX;
    }
    atomic_store(&stats.header->saved_at, (apr_uint64_t)boot);
    if (stats_dir && sum != saved_sum) {
        saved_sum = tls_snapshot_save(&stats, stats_dir, s) ? sum : APR_UINT64_MAX;
    }
}

static const usher_tick_work_t stats_work = { "tls-stats", USHER_TICK_CHILD, stats_tick, NULL };

/* Before the memory goes with the process pool; in the parent alone, which has the pool as well. */
static apr_status_t stats_stop(void *s)
{
    if (getpid() == parent && stats.header && stats_dir) {
        tls_snapshot_save(&stats, stats_dir, s);
    }
    return APR_SUCCESS;
}

/* This module's code goes with the configuration: the process pool must not call it any more. */
static apr_status_t stats_restart(void *data)
{
    server_rec *s = data;

    apr_pool_cleanup_kill(s->process->pool, s, stats_stop);
    return APR_SUCCESS;
}

int tls_stats_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    const usher_core_t *core = tls_conf_core();
    apr_uint64_t size = 0;
    void *base = memory && core ? core->memory_base(memory, &size) : NULL;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG || !base) {
        return OK;
    }
    parent = getpid();
    usher_tlsstats_open(&stats, base, size);
    stats_dir = core->state_dir();
    stats_learn_groups(pconf);
    if (!atomic_load(&stats.header->loaded)) {
        if (stats_dir) {
            tls_snapshot_load(&stats, stats_dir, ptemp, s);
        }
        atomic_store(&stats.header->loaded, 1);
    }
    usher_tlsstats_forget(&stats, tls_stats_conf()->keep, apr_time_sec(tls_stats_conf()->keep_for),
                          tls_stats_now());
    stats_number_vhosts(s);
    core->tick_add(&stats_work);
    apr_pool_pre_cleanup_register(s->process->pool, s, stats_stop);
    apr_pool_cleanup_register(pconf, s, stats_restart, apr_pool_cleanup_null);
    return OK;
}

/* As 16 bytes. @return 0: it has none, as with a unix socket */
static int stats_address(const conn_rec *c, unsigned char *address)
{
    const apr_sockaddr_t *addr = c->client_addr;

    if (addr && addr->family == APR_INET) {
        memset(address, 0, 10);
        memset(address + 10, 0xff, 2);
        memcpy(address + 12, &addr->sa.sin.sin_addr, 4);
        return 1;
    }
#if APR_HAVE_IPV6
    if (addr && addr->family == APR_INET6) {
        memcpy(address, &addr->sa.sin6.sin6_addr, 16);
        return 1;
    }
#endif
    return 0;
}

void tls_stats_handshake(conn_rec *c, const usher_tls_facts_t *facts)
{
    unsigned char address[16];
    usher_tlsstats_handshake_t handshake = {
        .now = tls_stats_now(),
        .outcome = facts->outcome,
        .version = facts->version,
        .cipher = facts->cipher,
        .hello = facts->hello,
        .keep = tls_stats_conf()->keep,
    };

    if (stats.header) {
        handshake.vhost = tls_conf_of(facts->server ? facts->server : c->base_server)->vhost;
        handshake.group = tls_stats_group(facts->group);
        handshake.address = stats_address(c, address) ? address : NULL;
        usher_tlsstats_add(&stats, &handshake);
    }
}

/* A client's first request tells its name. */
static void stats_agent(const request_rec *r, const usher_tlsstats_row_t *row)
{
    const conn_rec *c = r->connection->master ? r->connection->master : r->connection;
    const char *agent = apr_table_get(r->headers_in, "User-Agent");
    unsigned char address[16];

    if (agent && c->keepalives <= 1 && stats_address(c, address)) {
        usher_tlsstats_add_agent(&stats, row, address, tls_stats_conf()->keep, agent);
    }
}

void tls_stats_request(request_rec *r, const usher_tls_facts_t *facts)
{
    usher_tlsstats_row_t row = { 0 };

    if (!stats.header || facts->outcome != USHER_TLS_DONE) {
        return;
    }
    row.vhost = tls_conf_of(r->server)->vhost;
    row.outcome = USHER_TLSSTATS_DONE;
    row.version = facts->version;
    row.cipher = facts->cipher;
    row.group = tls_stats_group(facts->group);
    usher_tlsstats_add_request(&stats, &row, apr_time_sec(r->request_time));
    if (usher_tlsstats_is_listed(row.version, row.cipher)
        && tls_stats_conf()->keep != USHER_TLSSTATS_OFF) {
        stats_agent(r, &row);
    }
}
