/* Members by their ids and by their routes, found in the same time however many there
 * are. */
#include "balancer_choose.h"

static apr_uint32_t index_cells(apr_uint32_t count)
{
    apr_uint32_t cells = 4;

    while (cells < 2 * count) {
        cells *= 2;
    }
    return cells;
}

/* An id is a hash already. */
static apr_uint32_t index_of_id(const unsigned char *id, apr_uint32_t cells)
{
    apr_uint32_t hash;

    memcpy(&hash, id, sizeof(hash));
    return hash & (cells - 1);
}

balancer_ids_t *balancer_index_ids(int size, apr_pool_t *p)
{
    apr_uint32_t cells = index_cells((apr_uint32_t)size);
    balancer_ids_t *ids = apr_pcalloc(p, sizeof(*ids) + cells * sizeof(ids->at[0]));

    ids->cells = cells;
    return ids;
}

void balancer_index_id_add(balancer_ids_t *ids, const balancer_members_t *members, int i)
{
    apr_uint32_t cell = index_of_id(members->list[i].id, ids->cells);

    while (ids->at[cell]) {
        cell = (cell + 1) & (ids->cells - 1);
    }
    ids->at[cell] = (apr_uint32_t)i + 1;
}

int balancer_clusters_by_id(const balancer_members_t *members, const unsigned char *id)
{
    const balancer_ids_t *ids = members->ids;
    apr_uint32_t cell;

    /* At most half of the cells are used. */
    for (cell = index_of_id(id, ids->cells); ids->at[cell]; cell = (cell + 1) & (ids->cells - 1)) {
        int i = (int)ids->at[cell] - 1;

        if (!memcmp(members->list[i].id, id, USHER_ID_SIZE)) {
            return i;
        }
    }
    return -1;
}

static apr_uint32_t index_of_route(const char *route, apr_uint32_t buckets)
{
    apr_uint32_t hash = 0;

    while (*route) {
        hash = (hash ^ (unsigned char)*route++) * 0x01000193u;
    }
    return (hash ^ hash >> 16) & (buckets - 1);
}

void balancer_index_routes_create(balancer_routes_t *routes, apr_uint32_t size, apr_pool_t *p)
{
    routes->buckets = index_cells(size);
    routes->heads = apr_pcalloc(p, routes->buckets * sizeof(*routes->heads));
    routes->nexts = apr_pcalloc(p, (size + 1) * sizeof(*routes->nexts));
}

/* From the last one to the first, so that each bucket's members stand in their order. */
void balancer_index_routes_fill(balancer_routes_t *routes, const balancer_members_t *members)
{
    apr_uint32_t i;

    for (i = 0; i < routes->buckets; ++i) {
        atomic_store_explicit(&routes->heads[i], 0, memory_order_relaxed);
    }
    for (i = (apr_uint32_t)members->count; i-- > 0;) {
        const char *route = members->list[i].worker->s->route;
        _Atomic apr_uint32_t *head = &routes->heads[index_of_route(route, routes->buckets)];

        if (*route) {
            atomic_store_explicit(&routes->nexts[i], atomic_load(head), memory_order_relaxed);
            atomic_store_explicit(head, i + 1, memory_order_relaxed);
        }
    }
}

/* Each bucket goes upwards; where it does not it was changed meanwhile, and ends. */
int balancer_clusters_by_route(const balancer_members_t *members, const char *route, int from)
{
    const struct balancer_views_t *views = members->views;
    const balancer_routes_t *routes =
        &views->views[atomic_load(&views->current) & 1]->routes;
    apr_uint32_t at = atomic_load_explicit(&routes->heads[index_of_route(route, routes->buckets)],
                                           memory_order_relaxed);
    apr_uint32_t last = 0;

    while (at > last && at <= (apr_uint32_t)members->count) {
        int i = (int)at - 1;

        if (i >= from && !strcmp(members->list[i].worker->s->route, route)) {
            return i;
        }
        last = at;
        at = atomic_load_explicit(&routes->nexts[i], memory_order_relaxed);
    }
    return -1;
}
