/* What the jail's tests and benchmark share: a core that only has memory, and a clock. */
#ifndef UNIT_BANCORE_H
#define UNIT_BANCORE_H

#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <http_main.h>
#include "ban_private.h"

module AP_MODULE_DECLARE_DATA usher_ban_module;
const usher_core_t *ban_core;
server_rec *ap_server_conf;

static apr_int64_t unit_now = 1000000;
static int unit_logged;

apr_int64_t ban_now(void)
{
    return unit_now;
}

void ap_log_error_(const char *file, int line, int module_index, int level, apr_status_t status,
                   const server_rec *s, const char *fmt, ...)
{
    ++unit_logged;
}

/* Pieces, in the order in which they are declared */
struct usher_memory_t {
    const usher_memory_spec_t *spec;
    void *base;
    apr_uint64_t size;
};

static usher_memory_t unit_pieces[2];
static int unit_declared;
static apr_uint64_t unit_sizes[2]; /* 0: as the module says */

/* In memory that has not one byte more than it says, or shared by processes. */
static void *(*unit_memory)(size_t size);

static usher_memory_t *unit_declare(const usher_memory_spec_t *spec)
{
    usher_memory_t *piece = &unit_pieces[unit_declared];

    piece->spec = spec;
    piece->size = unit_sizes[unit_declared++] ? unit_sizes[unit_declared - 1] : spec->size;
    piece->base = unit_memory(piece->size);
    if (piece->base) {
        spec->init(piece->base, piece->size);
    }
    return piece;
}

static void *unit_base(usher_memory_t *memory, apr_uint64_t *size)
{
    *size = memory->size;
    return memory->base;
}

static inline void *unit_heap(size_t size)
{
    return memset(aligned_alloc(64, size), 0, size);
}

/* The jail (piece 0) and the counts (piece 1), as httpd begins with them. */
static void unit_jail(apr_uint64_t jail_size, apr_uint64_t counts_size)
{
    static const usher_core_t core = { .memory_declare = unit_declare, .memory_base = unit_base };

    ban_core = &core;
    unit_sizes[0] = jail_size;
    unit_sizes[1] = counts_size;
    unit_declared = unit_logged = 0;
    ban_jail_init();
    ban_count_init();
    ban_jail_check_config();
    ban_count_check_config();
    ban_jail_post_config();
}

static inline void unit_jail_free(void)
{
    free(unit_pieces[0].base);
    free(unit_pieces[1].base);
}

#endif /* UNIT_BANCORE_H */
