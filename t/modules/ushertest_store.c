/* A user of the store: numbered cells, k0 to k4095, each with a number. */
#include <unistd.h>

#include "ushertest.h"

#define CELLS 4096

typedef struct {
    _Atomic apr_uint32_t state; /* 0: nobody told of it; 1: there; 2: deleted */
    _Atomic apr_uint32_t len;
    _Atomic apr_uint64_t version;
    _Atomic apr_int64_t value;
    _Atomic apr_int64_t life;
} cell_t;

typedef struct {
    _Atomic apr_uint64_t told;
    _Atomic apr_uint32_t pid; /* who was told last */
    apr_uint32_t pad;
    cell_t cells[CELLS];
} cells_t;

static const usher_memory_spec_t cells_spec = {
    .name = "testcells",
    .layout = 1,
    .size = sizeof(cells_t),
    .size_min = sizeof(cells_t),
    .size_max = sizeof(cells_t),
};

static usher_memory_t *cells_memory;

static cell_t *cell_of(cells_t *cells, const char *key)
{
    apr_int64_t number = *key == 'k' ? apr_atoi64(key + 1) : -1;

    return number >= 0 && number < CELLS ? &cells->cells[number] : NULL;
}

/* The greater version counts. */
static void cells_apply(const usher_store_record_t *record, server_rec *s, apr_pool_t *ptemp)
{
    cells_t *cells = ushertest_core->memory_base(cells_memory, NULL);
    cell_t *cell = cells ? cell_of(cells, record->key) : NULL;

    if (cell && record->version >= atomic_load(&cell->version)) {
        atomic_store(&cell->value, record->value ? apr_atoi64(record->value) : 0);
        atomic_store(&cell->len, record->value ? (apr_uint32_t)strlen(record->value) : 0);
        atomic_store(&cell->life, record->life);
        atomic_store(&cell->version, record->version);
        atomic_store(&cell->state, record->value ? 1 : 2);
        atomic_store(&cells->pid, (apr_uint32_t)getpid());
        atomic_fetch_add(&cells->told, 1);
    }
}

static const usher_store_kind_t cells_kind = { "cell", cells_apply };

int ushertest_store_check(server_rec *s)
{
    cells_memory = ushertest_core->memory_declare(&cells_spec);
    return ushertest_core->store_keep(&cells_kind, s);
}

static const char *result_name(usher_store_result_e result)
{
    static const char *const names[] = { "done", "conflict", "down", "busy", "handed" };

    return names[result];
}

/* KEY,NUMBER[,WAS[,LENGTH[,LIFE]]]: NUMBER "-" deletes; WAS "-" is what the cell has now. */
static int change_of(request_rec *r, cells_t *cells, const char *text, usher_store_change_t *change)
{
    char *rest = apr_pstrdup(r->pool, text), *next = rest;
    const char *part[5] = { "", "-", "-", "0", "0" };
    char *value;
    cell_t *cell;
    int i;

    for (i = 0; i < 5 && next; ++i) {
        part[i] = next;
        next = strchr(next, ',');
        if (next) {
            *next++ = '\0';
        }
    }
    cell = cell_of(cells, part[0]);
    if (!cell) {
        return 0;
    }
    value = apr_pcalloc(r->pool, 8192);
    memset(value, ' ', (apr_size_t)apr_atoi64(part[3]) % 8000);
    memcpy(value, part[1], strlen(part[1]));
    memset(change, 0, sizeof(*change));
    change->kind = &cells_kind;
    change->key = part[0];
    change->value = *part[1] == '-' ? NULL : value;
    change->was = *part[2] == '-' ? atomic_load(&cell->version) : (apr_uint64_t)apr_atoi64(part[2]);
    change->life = apr_atoi64(part[4]);
    if (!change->value && !change->life) {
        change->life = 3600000;
    }
    return 1;
}

/* One change, or two with a ";" between them. */
static void put(request_rec *r, cells_t *cells, const char *text, apr_interval_time_t wait)
{
    usher_store_change_t changes[USHER_STORE_TOGETHER_MAX];
    char *first = apr_pstrdup(r->pool, text), *second = strchr(first, ';');
    usher_store_result_e result;
    int n = 1;

    if (second) {
        *second++ = '\0';
        n = 2;
    }
    if (!change_of(r, cells, first, &changes[0]) || (second && !change_of(r, cells, second, &changes[1]))) {
        ap_rputs("result=bad\n", r);
        return;
    }
    result = ushertest_core->store_put(changes, n, wait);
    ap_rprintf(r, "result=%s version=%" APR_UINT64_T_FMT " was=%" APR_UINT64_T_FMT "\n",
               result_name(result), changes[0].version, changes[0].was);
}

static void list(request_rec *r, cells_t *cells)
{
    int i;

    for (i = 0; i < CELLS; ++i) {
        cell_t *cell = &cells->cells[i];

        if (atomic_load(&cell->state)) {
            ap_rprintf(r, "k%d %u %" APR_INT64_T_FMT " %" APR_UINT64_T_FMT " %u %" APR_INT64_T_FMT "\n",
                       i, atomic_load(&cell->state), atomic_load(&cell->value),
                       atomic_load(&cell->version), atomic_load(&cell->len),
                       atomic_load(&cell->life));
        }
    }
}

static void state(request_rec *r, cells_t *cells)
{
    usher_store_state_t store;

    ushertest_core->store_state(&store);
    ap_rprintf(r, "up=%d since=%" APR_INT64_T_FMT " commits=%" APR_UINT64_T_FMT " changes=%"
               APR_UINT64_T_FMT " refused=%" APR_UINT64_T_FMT " told=%" APR_UINT64_T_FMT
               " holder=%u\nname: %s\n", store.is_up, store.since, store.commits, store.changes,
               store.refused, atomic_load(&cells->told), atomic_load(&cells->pid), store.name);
}

void ushertest_store(request_rec *r, const char *what, const char *arg)
{
    cells_t *cells = ushertest_core->memory_base(cells_memory, NULL);

    if (!cells) {
        ap_rputs("result=none\n", r);
    }
    else if (!strcmp(what, "put")) {
        put(r, cells, arg, 20 * APR_USEC_PER_SEC);
    }
    else if (!strcmp(what, "soon")) {
        put(r, cells, arg, APR_USEC_PER_SEC / 3);
    }
    else if (!strcmp(what, "hand")) {
        put(r, cells, arg, 0);
    }
    else if (!strcmp(what, "cells")) {
        list(r, cells);
    }
    else {
        state(r, cells);
    }
}
