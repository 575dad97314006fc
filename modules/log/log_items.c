/* %{...}^US: which items there are, and mod_log_config's way to them. */
#include <mod_log_config.h>
#include <stddef.h>

#include "log_private.h"

APLOG_USE_MODULE(usher_log);

/* Longer lines are written twice. */
#define LINE_SIZE 2048

typedef enum {
    ITEM_WRITER,  /* a function of its own */
    ITEM_NOTE,    /* what mod_usher_backend left in the request's notes */
    ITEM_TIME,    /* microseconds */
    ITEM_TIME_MS, /* the same in milliseconds */
    ITEM_TLS      /* a text of mod_usher_tls */
} item_kind_e;

typedef struct {
    const char *name;
    item_kind_e kind;
    log_writer_t *put;
    const char *note;
    apr_size_t field; /* of log_facts_t or of usher_tls_facts_t */
} item_t;

static void item_state(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_put(to, facts->state, sizeof(facts->state));
}

static void item_cluster(usher_logtext_t *to, const log_facts_t *facts)
{
    log_put_text(to, facts->cluster, USHER_LOGTEXT_BARE);
}

static void item_member(usher_logtext_t *to, const log_facts_t *facts)
{
    log_put_text(to, facts->member, USHER_LOGTEXT_BARE);
}

static void item_replays(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_number(to, facts->backend_r ? facts->backend.replays : -1);
}

static void item_queue_len(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_number(to, facts->queue_len);
}

static void item_req(usher_logtext_t *to, const log_facts_t *facts)
{
    if (!log_put_captures(to, facts, 0, USHER_LOGTEXT_BARE)) {
        USHER_LOGTEXT_LITERAL(to, "{}");
    }
}

static void item_res(usher_logtext_t *to, const log_facts_t *facts)
{
    if (!log_put_captures(to, facts, 1, USHER_LOGTEXT_BARE)) {
        USHER_LOGTEXT_LITERAL(to, "{}");
    }
}

/* Of TLS */

static void item_tls_version(usher_logtext_t *to, const log_facts_t *facts)
{
    log_put_text(to, facts->tls_version, USHER_LOGTEXT_BARE);
}

static void item_tls_cipher(usher_logtext_t *to, const log_facts_t *facts)
{
    log_put_text(to, facts->tls_cipher, USHER_LOGTEXT_BARE);
}

static void item_tls_ja4(usher_logtext_t *to, const log_facts_t *facts)
{
    log_put_text(to, log_tls_ja4(facts), USHER_LOGTEXT_BARE);
}

static void item_tls_resumed(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_number(to, facts->tls ? (int)facts->tls->resumed : -1);
}

static void item_tls_early(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_number(to, facts->tls ? (int)facts->tls->early_data : -1);
}

static void item_tls_cert(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_number(to, facts->tls ? (int)facts->tls->client_cert : -1);
}

static void item_tls_took(usher_logtext_t *to, const log_facts_t *facts)
{
    usher_logtext_number(to, facts->tls ? facts->tls->took : -1);
}

static void item_tls_offered_versions(usher_logtext_t *to, const log_facts_t *facts)
{
    log_tls_put_versions(to, facts->tls ? facts->tls->hello : NULL);
}

static void item_tls_offered_ciphers(usher_logtext_t *to, const log_facts_t *facts)
{
    log_tls_put_ciphers(to, facts->tls ? facts->tls->hello : NULL);
}

#define WRITER(name, put) { name, ITEM_WRITER, put, NULL, 0 }
#define NOTE(name, note) { name, ITEM_NOTE, NULL, note, 0 }
#define TIMES(name, field) \
    { name, ITEM_TIME, NULL, NULL, offsetof(log_facts_t, field) }, \
    { name "_ms", ITEM_TIME_MS, NULL, NULL, offsetof(log_facts_t, field) }
#define TLS(field) { "tls_" #field, ITEM_TLS, NULL, NULL, offsetof(usher_tls_facts_t, field) }

static const item_t items[] = {
    WRITER("usher", log_line_put),
    WRITER("json", log_json_put),
    WRITER("httplog", log_httplog_put),
    WRITER("state", item_state),
    WRITER("cluster", item_cluster),
    WRITER("member", item_member),
    WRITER("tries", log_put_tries),
    NOTE("attempts", "USHER_ATTEMPTS"),
    NOTE("times", "USHER_TIMES"),
    WRITER("replays", item_replays),
    TIMES("read", read),
    TIMES("queue", queue),
    TIMES("connect", connect),
    TIMES("first", first_byte),
    TIMES("total", total),
    WRITER("bytes", log_put_bytes),
    WRITER("id", log_put_id),
    WRITER("conns", log_put_conns),
    WRITER("queue_len", item_queue_len),
    WRITER("req", item_req),
    WRITER("res", item_res),
    WRITER("cookie", log_put_cookie),
    WRITER("SSL", log_put_tls),
    WRITER("tls_version", item_tls_version),
    WRITER("tls_cipher", item_tls_cipher),
    TLS(group),
    TLS(sigalg),
    TLS(sni),
    TLS(alpn),
    WRITER("tls_ja4", item_tls_ja4),
    WRITER("tls_resumed", item_tls_resumed),
    WRITER("tls_early", item_tls_early),
    WRITER("tls_cert", item_tls_cert),
    WRITER("tls_took", item_tls_took),
    WRITER("tls_offered_versions", item_tls_offered_versions),
    WRITER("tls_offered_ciphers", item_tls_offered_ciphers),
};

#define ITEMS (sizeof(items) / sizeof(items[0]))

/* The lines come first, and are found at once; the others by their first letters mostly. */
static const item_t *item_find(const char *name)
{
    unsigned int i;

    for (i = 0; i < ITEMS; ++i) {
        if (name[0] == items[i].name[0] && !strcmp(name, items[i].name)) {
            return &items[i];
        }
    }
    return NULL;
}

int log_items_has(const char *name, apr_size_t len)
{
    unsigned int i;

    for (i = 0; i < ITEMS; ++i) {
        if (strlen(items[i].name) == len && !memcmp(items[i].name, name, len)) {
            return 1;
        }
    }
    return 0;
}

static void item_put(usher_logtext_t *to, const item_t *item, const log_facts_t *facts)
{
    const char *at = (const char *)facts + item->field;
    apr_interval_time_t time;

    switch (item->kind) {
    case ITEM_TIME:
    case ITEM_TIME_MS:
        memcpy(&time, at, sizeof(time));
        usher_logtext_number(to, item->kind == ITEM_TIME || time < 0 ? time
                                                                    : apr_time_as_msec(time));
        break;
    case ITEM_TLS:
        at = NULL;
        if (facts->tls) {
            memcpy(&at, (const char *)facts->tls + item->field, sizeof(at));
        }
        log_put_text(to, at, USHER_LOGTEXT_BARE);
        break;
    default:
        item->put(to, facts);
    }
}

/* In one buffer; a second time where it was too small. Names of members lie in shared memory, so
 * that the second time may be another length. */
static const char *item_text(apr_pool_t *p, const item_t *item, const log_facts_t *facts)
{
    char line[LINE_SIZE];
    usher_logtext_t to = { line, sizeof(line), 0 };

    item_put(&to, item, facts);
    if (to.len <= to.size) {
        return apr_pstrmemdup(p, line, to.len);
    }
    to.text = apr_pcalloc(p, to.len + 1);
    to.size = to.len;
    to.len = 0;
    item_put(&to, item, facts);
    return to.text;
}

static const char *item_log(request_rec *r, char *name)
{
    const item_t *item = item_find(name);
    const log_facts_t *facts;

    if (!item || !log_core) {
        return NULL; /* said when the configuration was read */
    }
    facts = log_facts_of(r);
    if (item->kind != ITEM_NOTE) {
        return item_text(facts->first->pool, item, facts);
    }
    return facts->backend_r ? apr_table_get(facts->backend_r->notes, item->note) : NULL;
}

void log_items_pre_config(apr_pool_t *pconf)
{
    APR_OPTIONAL_FN_TYPE(ap_register_log_handler) *add =
        APR_RETRIEVE_OPTIONAL_FN(ap_register_log_handler);

    if (add) {
        add(pconf, apr_pstrdup(pconf, "^US"), item_log, 0);
    }
}
