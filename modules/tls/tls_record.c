/* What is known of a connection's handshake: made when it begins, told once it is over to all
 * who count or log it, and kept for the access log. */
#include "tls_private.h"
#include "usher_clock.h"

/* Of ja4_state. Streams of HTTP/2 may ask for it at the same time. */
enum { JA4_NONE, JA4_BEGUN, JA4_DONE };

/* A host's name in DNS is not longer, and OpenSSL refuses what is. */
#define SNI_MAX 255

static usher_hello_bytes_t record_copy(apr_pool_t *p, const usher_hello_bytes_t *bytes)
{
    usher_hello_bytes_t copy = { apr_pmemdup(p, bytes->at, bytes->len), bytes->len };

    return copy;
}

void tls_record_keep_hello(tls_record_t *record, const usher_hello_t *hello)
{
    apr_pool_t *p = record->c->pool;
    usher_hello_t *kept = apr_pmemdup(p, hello, sizeof(*hello));
    char *sni;
    unsigned int i;

    for (i = 0; i < kept->alpn_all && i < USHER_HELLO_ALPN_MAX; ++i) {
        kept->alpn[i] = record_copy(p, &hello->alpn[i]);
    }
    if (kept->has_sni) {
        sni = apr_pstrmemdup(p, (const char *)hello->sni.at,
                             hello->sni.len < SNI_MAX ? hello->sni.len : SNI_MAX);
        kept->sni.at = (const unsigned char *)sni;
        kept->sni.len = strlen(sni); /* a NUL is refused by OpenSSL */
        ap_str_tolower(sni);
        record->facts.sni = sni;
    }
    record->facts.hello = kept;
    record->facts.early_data = kept->has_early_data;
}

/* What was chosen, in words. */
static void record_name(tls_record_t *record)
{
    const usher_tls_answer_t *answer = &record->answer;
    usher_tls_facts_t *facts = &record->facts;
    apr_pool_t *p = record->c->pool;
    const char *name;

    facts->version = answer->version;
    facts->cipher = answer->cipher;
    facts->retried = answer->retry;
    if (answer->version) {
        name = usher_tls_version_name(answer->version);
        facts->version_name = name ? name : apr_psprintf(p, "%04x", answer->version);
    }
    if (answer->group) {
        name = usher_tls_group_name(answer->group);
        facts->group = name ? name : apr_psprintf(p, "%04x", answer->group);
    }
    else if (answer->dh_bits) {
        facts->group = apr_psprintf(p, "dh%d", answer->dh_bits);
    }
    if (answer->sigalg) {
        name = usher_tls_sigalg_name(answer->sigalg);
        facts->sigalg = name ? name : apr_psprintf(p, "%04x", answer->sigalg);
    }
}

/* It is over, and nobody changes the facts from here on. */
static void record_tell(tls_record_t *record)
{
    usher_tls_facts_t *facts = &record->facts;
    const tls_conf_t *conf = tls_conf_of(facts->server);

    record->told = 1;
    record_name(record);
    facts->outcome = tls_reason_outcome(record);
    if (facts->outcome != USHER_TLS_DONE && !record->fatal) {
        facts->took = usher_clock_system()->boot_now() - record->begun;
    }
    else if (facts->outcome == USHER_TLS_DONE) {
        facts->alert_from = 0;
        facts->alert = 0;
    }
    if (conf->on) {
        tls_stats_handshake(record->c, facts);
        tls_log_put(conf->log, record);
        tls_ban_tell(record);
    }
}

/* The connection ends: if nothing else did, this ends its handshake. */
static apr_status_t record_end(void *data)
{
    tls_record_t *record = data;

    if (!record->told) {
        record_tell(record);
    }
    return APR_SUCCESS;
}

tls_record_t *tls_record_make(conn_rec *c)
{
    tls_record_t *record = apr_pcalloc(c->pool, sizeof(*record));
    usher_tls_facts_t *facts = &record->facts;

    record->c = c;
    record->begun = usher_clock_system()->boot_now();
    facts->server = c->base_server;
    facts->sni = facts->version_name = facts->cipher_name = facts->group = facts->sigalg = "";
    facts->alpn = "";
    facts->connection = c->id;
    ap_set_module_config(c->conn_config, &usher_tls_module, record);
    apr_pool_cleanup_register(c->pool, record, record_end, apr_pool_cleanup_null);
    return record;
}

void tls_record_check(tls_record_t *record)
{
    if (!record->told
        && (record->fatal || record->ended || (record->finished_in && record->finished_out)
            || tls_reason_is_foreign(record))) {
        record_tell(record);
    }
}

static tls_record_t *record_of(const conn_rec *c)
{
    return ap_get_module_config(c->conn_config, &usher_tls_module);
}

/* For a connection that is kept it comes here more than once. */
int tls_record_process_connection(conn_rec *c)
{
    tls_record_t *record = record_of(c);

    if (record) {
        tls_record_check(record);
    }
    return DECLINED;
}

/* Of a stream of HTTP/2: that of its connection, which was told before there were streams. */
static tls_record_t *record_find(conn_rec *c)
{
    tls_record_t *record = record_of(c->master ? c->master : c);

    if (record && !c->master) {
        tls_record_check(record);
    }
    return record && tls_conf_of(record->facts.server)->on ? record : NULL;
}

const usher_tls_facts_t *tls_record_facts(conn_rec *c)
{
    tls_record_t *record = record_find(c);

    return record ? &record->facts : NULL;
}

const char *tls_record_ja4(tls_record_t *record, apr_pool_t *p)
{
    int none = JA4_NONE;

    if (!record->facts.hello) {
        return "";
    }
    if (atomic_load(&record->ja4_state) == JA4_DONE) {
        return record->ja4;
    }
    if (atomic_compare_exchange_strong(&record->ja4_state, &none, JA4_BEGUN)) {
        usher_ja4(record->ja4, record->facts.hello);
        atomic_store(&record->ja4_state, JA4_DONE);
        return record->ja4;
    }
    /* Another thread makes it just now. */
    return usher_ja4(apr_palloc(p, USHER_JA4_SIZE), record->facts.hello);
}

const char *tls_record_ja4_of(conn_rec *c, apr_pool_t *p)
{
    tls_record_t *record = record_find(c);

    return record ? tls_record_ja4(record, p) : "";
}

int tls_record_log_transaction(request_rec *r)
{
    tls_record_t *record = record_find(r->connection);

    if (record) {
        while (r->prev) {
            r = r->prev;
        }
        tls_stats_request(r, &record->facts);
    }
    return DECLINED;
}
