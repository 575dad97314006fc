/* The request's id: mod_unique_id's where that is loaded, else one of our own: random for each
 * child, so that no other child, restart or machine makes it again, and counted up within it. */
#include <stdatomic.h>

#include <apr_general.h>

#include "log_private.h"

APLOG_USE_MODULE(usher_log);

#define ID_RANDOM 12  /* characters of six bits */
#define ID_SIZE (LOG_ID_LEN + 1)

static const char id_characters[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int id_has_unique; /* mod_unique_id is there */
static char id_random[ID_RANDOM];
static _Atomic apr_uint64_t id_counter;

void log_id_child_init(apr_pool_t *pchild)
{
    unsigned char bytes[ID_RANDOM];
    int i;

    id_has_unique = ap_find_linked_module("mod_unique_id.c") != NULL;
    if (apr_generate_random_bytes(bytes, sizeof(bytes)) != APR_SUCCESS) {
        ap_random_insecure_bytes(bytes, sizeof(bytes));
    }
    for (i = 0; i < ID_RANDOM; ++i) {
        id_random[i] = id_characters[bytes[i] % 64];
    }
}

static const char *id_make(apr_pool_t *p)
{
    apr_uint64_t count = atomic_fetch_add_explicit(&id_counter, 1, memory_order_relaxed);
    char *id = apr_palloc(p, ID_SIZE);
    int i;

    memcpy(id, id_random, ID_RANDOM);
    for (i = ID_SIZE - 2; i >= ID_RANDOM; --i, count /= 64) {
        id[i] = id_characters[count % 64];
    }
    id[ID_SIZE - 1] = '\0';
    return id;
}

const char *log_id_of(request_rec *first)
{
    log_record_t *record;
    const char *id = first->log_id; /* as the error log has it */

    if (!id && id_has_unique) {
        id = apr_table_get(first->subprocess_env, "UNIQUE_ID");
    }
    if (id) {
        return id;
    }
    record = log_request_record(first);
    if (!record->id) {
        record->id = id_make(first->pool);
    }
    return record->id;
}

/* httpd asks for the first line of a request in the error log. */
int log_id_generate(const conn_rec *c, const request_rec *r, const char **id)
{
    if (!r) {
        return DECLINED;
    }
    while (r->main) {
        r = r->main;
    }
    *id = log_id_of(log_request_first((request_rec *)r));
    return OK;
}
