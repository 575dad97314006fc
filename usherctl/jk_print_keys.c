/* The keys of one server, as words for BalancerMember or ProxySet. */
#include <stdarg.h>
#include <string.h>

#include "jk.h"

#define JK_PACKET_MIN 8192
#define JK_PACKET_MAX 65536
#define JK_SECRET_MAX 63

void jk_remark(ctl_conf_t *conf, ctl_notes_t *notes, const ctl_place_t *at, const char *format, ...)
{
    const char *text;
    va_list args;

    va_start(args, format);
    text = apr_pvsprintf(conf->pool, format, args);
    va_end(args);
    ctl_conf_comment(conf, "%s:%d: %s", at->file, at->line, text);
    ctl_note(notes, at, "%s", text);
}

/* The same, once for a property that several workers have by reference=. */
static void keys_remark(ctl_conf_t *conf, ctl_notes_t *notes, jk_property_t *property,
                        const char *reason)
{
    const char *text = apr_psprintf(conf->pool, "%s=%s: %s", property->name,
                                    strstr(property->name, "secret") ? "..." : property->value,
                                    reason);

    ctl_conf_comment(conf, "%s:%d: %s", property->at.file, property->at.line, text);
    if (!property->told) {
        ctl_note(notes, &property->at, "%s", text);
    }
    property->told = 1;
}

/* Milliseconds as whole seconds, as some keys of httpd want them. */
static int keys_seconds(int ms)
{
    return ms / 1000 + (ms % 1000 != 0);
}

static const char *keys_times(apr_pool_t *p, const jk_workers_t *workers, const jk_worker_t *worker)
{
    int socket = jk_number(workers, worker, "socket_timeout", 0);
    int reply = jk_number(workers, worker, "reply_timeout", 0);
    int connect = jk_number(workers, worker, "socket_connect_timeout", 0);
    const char *words = "";

    if (connect || socket) {
        words = connect ? apr_psprintf(p, " connectiontimeout=%dms", connect)
                        : apr_psprintf(p, " connectiontimeout=%d", socket);
    }
    if (reply || socket) {
        words = apr_psprintf(p, "%s timeout=%d", words, reply ? keys_seconds(reply) : socket);
    }
    return words;
}

/* CPing before each request is what ping= does. */
static const char *keys_ping(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *worker)
{
    jk_property_t *property = jk_value(workers, worker, "ping_mode");
    const char *mode = property ? property->value : "";
    int prepost = jk_number(workers, worker, "prepost_timeout", 0);
    int connect = jk_number(workers, worker, "connect_timeout", 0);
    int ping = jk_number(workers, worker, "ping_timeout", 10000);
    int always = prepost || strpbrk(mode, "PpAa");

    if (!always && !connect && !strpbrk(mode, "Cc")) {
        return "";
    }
    if (!always && connect) {
        property = jk_value(workers, worker, "connect_timeout");
    }
    if (!always && property) {
        keys_remark(conf, workers->notes, property,
                    "ping= asks the server before each request, not only on a new connection");
    }
    ping = prepost ? prepost : connect && !always ? connect : ping;
    return ping ? apr_psprintf(conf->pool, " ping=%dms", ping) : "";
}

static const char *keys_pool(apr_pool_t *p, const jk_workers_t *workers, const jk_worker_t *worker)
{
    int max = jk_number(workers, worker, "connection_pool_size", 0);
    int min = jk_number(workers, worker, "connection_pool_minsize", -1);
    int ttl = jk_number(workers, worker, "connection_pool_timeout", 0);
    int acquire = jk_number(workers, worker, "connection_acquire_timeout", 0);
    const char *words = "";

    if (max) {
        words = apr_psprintf(p, " max=%d", max);
        min = min > max ? max : min;
    }
    if (min >= 0) {
        words = apr_psprintf(p, "%s smax=%d", words, min);
    }
    if (ttl) {
        words = apr_psprintf(p, "%s ttl=%d", words, ttl);
    }
    return acquire ? apr_psprintf(p, "%s acquire=%dms", words, acquire) : words;
}

static const char *keys_buffers(apr_pool_t *p, const jk_workers_t *workers,
                                const jk_worker_t *worker)
{
    int packet = jk_number(workers, worker, "max_packet_size", JK_PACKET_MIN);
    int buffer = jk_number(workers, worker, "socket_buffer", 0);
    const char *words = "";

    /* Rounded up to whole KB, and kept within bounds, as mod_jk does it. */
    packet = packet >= JK_PACKET_MAX ? JK_PACKET_MAX : (packet + 1023) / 1024 * 1024;
    if (packet > JK_PACKET_MIN) {
        words = apr_psprintf(p, " iobuffersize=%d", packet);
    }
    return buffer >= 512 ? apr_psprintf(p, "%s receivebuffersize=%d", words, buffer) : words;
}

/* JkOptions of any server: there is one set of connections for all of them. */
static const char *keys_options(apr_pool_t *p, const jk_site_t *site)
{
    const char *words = "";
    int i, flush = 0, close = 0;

    for (i = 0; i < site->servers->nelts; ++i) {
        flush |= APR_ARRAY_IDX(site->servers, i, jk_server_t *)->flush;
        close |= APR_ARRAY_IDX(site->servers, i, jk_server_t *)->close;
    }
    words = flush ? " flushpackets=On" : words;
    return close ? apr_pstrcat(p, words, " disablereuse=On", NULL) : words;
}

static const char *keys_secret(ctl_conf_t *conf, const jk_workers_t *workers,
                               const jk_worker_t *worker)
{
    jk_property_t *property = jk_value(workers, worker, "secret");

    if (!property) {
        return "";
    }
    if (strlen(property->value) > JK_SECRET_MAX) {
        ctl_error(workers->notes, &property->at, "%s: httpd takes secrets of up to %d bytes",
                  property->name, JK_SECRET_MAX);
    }
    return apr_pstrcat(conf->pool, " ",
                       ctl_conf_quote(conf->pool, apr_pstrcat(conf->pool, "secret=",
                                                              property->value, NULL)),
                       NULL);
}

const char *jk_print_keys(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *worker,
                          const jk_site_t *site)
{
    return apr_pstrcat(conf->pool, keys_times(conf->pool, workers, worker),
                       keys_ping(conf, workers, worker), keys_pool(conf->pool, workers, worker),
                       keys_buffers(conf->pool, workers, worker),
                       jk_bool(workers, worker, "socket_keepalive", 0) ? " keepalive=On" : "",
                       keys_options(conf->pool, site), keys_secret(conf, workers, worker), NULL);
}

/* What is wrong with one property of a worker, or nothing. */
static const char *keys_reason(const jk_worker_t *worker, const char *name)
{
    const jk_key_t *key = jk_key_find(name);

    if (!key) {
        return "no key that is known";
    }
    if (!(key->types & worker->type) && worker->type != JK_OTHER) {
        return "means nothing for a worker of this type";
    }
    if (!strcmp(name, "lb_factor") || !strcmp(name, "loadfactor")) {
        return "no key of mod_jk; taken for lbfactor";
    }
    return key->fate == JK_TAKEN ? NULL : key->reason;
}

/* Of the worker itself and all that it refers to */
void jk_print_left(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *worker)
{
    const jk_properties_t *props = workers->props;
    const char *prefix = worker->prefix;
    int steps, i;

    for (steps = 0; prefix && steps <= 20; ++steps) {
        apr_size_t len = strlen(prefix);
        const jk_property_t *reference;

        for (i = 0; i < props->list->nelts; ++i) {
            jk_property_t *property = APR_ARRAY_IDX(props->list, i, jk_property_t *);
            const char *reason = NULL;

            if (!strncmp(property->name, prefix, len) && property->name[len] == '.'
                && !strchr(property->name + len + 1, '.')) {
                reason = keys_reason(worker, property->name + len + 1);
            }
            if (reason) {
                keys_remark(conf, workers->notes, property, reason);
            }
        }
        reference = jk_properties_get(props, apr_pstrcat(conf->pool, prefix, ".reference", NULL));
        prefix = reference ? reference->value : NULL;
    }
}
