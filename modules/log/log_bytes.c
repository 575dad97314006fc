/* Bytes of a request on the wire. mod_logio counts them for %I and %O, in a record of the
 * connection which no header declares, and takes them away again when the request is logged.
 * Where in that record they are is found out by asking mod_logio to count for a connection that
 * is none: where it does that in another way, its counts are not used. */
#include "log_private.h"

APLOG_USE_MODULE(usher_log);

APR_DECLARE_OPTIONAL_FN(void, ap_logio_add_bytes_in, (conn_rec *c, apr_off_t bytes));
APR_DECLARE_OPTIONAL_FN(void, ap_logio_add_bytes_out, (conn_rec *c, apr_off_t bytes));

#define WORDS 32

static const module *logio; /* NULL: not there, or not understood */
static int logio_in, logio_out;

/* The only word that has a value. @return -1: there are none, or several */
static int bytes_word(const apr_off_t words[], apr_off_t value)
{
    int i, found = -1;

    for (i = 0; i < WORDS; ++i) {
        if (words[i]) {
            if (words[i] != value || found >= 0) {
                return -1;
            }
            found = i;
        }
    }
    return found;
}

void log_bytes_post_config(apr_pool_t *p)
{
    APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_in) *add_in =
        APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_in);
    APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_out) *add_out =
        APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_out);
    const module *found = ap_find_linked_module("mod_logio.c");
    apr_off_t words[WORDS];
    conn_rec *c;

    logio = NULL;
    if (!found || !add_in || !add_out) {
        return;
    }
    c = apr_pcalloc(p, sizeof(*c));
    c->pool = p;
    c->conn_config = ap_create_conn_config(p);
    ap_set_module_config(c->conn_config, found, words);
    memset(words, 0, sizeof(words));
    add_in(c, 5);
    logio_in = bytes_word(words, 5);
    memset(words, 0, sizeof(words));
    add_out(c, 7);
    logio_out = bytes_word(words, 7);
    if (logio_in >= 0 && logio_out >= 0) {
        logio = found;
    }
}

void log_bytes_fill(log_facts_t *facts)
{
    const apr_off_t *words = logio ? ap_get_module_config(facts->first->connection->conn_config,
                                                          logio) : NULL;

    facts->bytes_in = words ? words[logio_in] : -1;
    facts->bytes_out = words ? words[logio_out] : facts->last->bytes_sent;
}
