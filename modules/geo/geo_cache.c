/* What is known of a connection's client: looked up once, however many requests, variables and
 * Require lines ask for it. A connection's own: a stream of HTTP/2 has its own too. One thread at a
 * time uses it. Its memory is fixed, as the clients behind a proxy's connection change without end. */
#include "geo_private.h"

#define SLOTS    32
#define TEXT_MAX 39

typedef struct {
    const geo_db_t *db;
    const geo_path_t *path;
    apr_uint32_t number; /* of the image that said so */
    apr_int16_t prefix;
    apr_byte_t result;   /* geo_result_e */
    apr_byte_t has_text;
    char text[TEXT_MAX + 1];
} slot_t;

typedef struct {
    usher_cidr_address_t address;
    int count;
    slot_t slots[SLOTS];
} cache_t;

int geo_cache_address(const request_rec *r, usher_cidr_address_t *address)
{
    const apr_sockaddr_t *of = r->useragent_addr;

    if (!of || (of->ipaddr_len != 4 && of->ipaddr_len != 16)) {
        return 0;
    }
    *address = usher_cidr_address(of->ipaddr_ptr, (apr_size_t)of->ipaddr_len);
    return 1;
}

static cache_t *cache_of(conn_rec *c, usher_cidr_address_t address)
{
    cache_t *cache = ap_get_module_config(c->conn_config, &usher_geo_module);

    if (!cache) {
        cache = apr_palloc(c->pool, sizeof(*cache));
        cache->count = 0;
        ap_set_module_config(c->conn_config, &usher_geo_module, cache);
    }
    else if (cache->address.high != address.high || cache->address.low != address.low) {
        cache->count = 0;
    }
    cache->address = address;
    return cache;
}

/* They are asked for in the order in which they were kept: @a from is where the last one was. */
static slot_t *cache_find(cache_t *cache, const geo_db_t *db, const geo_path_t *path, int *from)
{
    int i;

    for (i = 0; i < cache->count; ++i) {
        int at = *from + i < cache->count ? *from + i : *from + i - cache->count;
        slot_t *slot = &cache->slots[at];

        if (slot->path == path && slot->db == db) {
            *from = at + 1 < cache->count ? at + 1 : 0;
            return slot;
        }
    }
    return NULL;
}

static int cache_has(cache_t *cache, const geo_db_t *db, apr_uint32_t number, geo_value_t *values, int n,
                     geo_result_e *result, int *prefix)
{
    int i, from = 0;

    for (i = 0; i < n; ++i) {
        const slot_t *slot = cache_find(cache, db, values[i].path, &from);

        if (!slot || slot->number != number) {
            return 0;
        }
        values[i].text = slot->has_text ? slot->text : NULL;
        *result = (geo_result_e)slot->result;
        *prefix = slot->prefix;
    }
    return n > 0;
}

static void cache_keep(cache_t *cache, const geo_db_t *db, apr_uint32_t number, const geo_value_t *values,
                       int n, geo_result_e result, int prefix)
{
    int i, from = 0;

    for (i = 0; i < n; ++i) {
        apr_size_t len = values[i].text ? strlen(values[i].text) : 0;
        slot_t *slot = cache_find(cache, db, values[i].path, &from);

        if (!slot && cache->count < SLOTS && len <= TEXT_MAX) {
            slot = &cache->slots[cache->count++];
        }
        if (!slot) {
            continue;
        }
        if (len > TEXT_MAX) {
            slot->path = NULL; /* what an older image said was short enough */
            continue;
        }
        *slot = (slot_t) { .db = db, .path = values[i].path, .number = number,
                           .prefix = (apr_int16_t)prefix, .result = (apr_byte_t)result,
                           .has_text = values[i].text != NULL };
        if (values[i].text) {
            memcpy(slot->text, values[i].text, len + 1);
        }
    }
}

geo_result_e geo_cache_lookup(conn_rec *c, usher_cidr_address_t address, const geo_db_t *db, int is_kept,
                              geo_value_t *values, int n, int *prefix, apr_pool_t *p)
{
    geo_result_e result;
    apr_uint32_t number;
    cache_t *cache;

    if (!is_kept || !db->image) {
        return geo_lookup(db, address, values, n, prefix, p);
    }
    cache = cache_of(c, address);
    /* Before the lookup: what a newer image says is then looked up once too often, never kept too long. */
    number = geo_core->image_number(db->image);
    if (cache_has(cache, db, number, values, n, &result, prefix)) {
        return result;
    }
    result = geo_lookup(db, address, values, n, prefix, p);
    if (result != GEO_UNUSABLE) {
        cache_keep(cache, db, number, values, n, result, *prefix);
    }
    return result;
}
