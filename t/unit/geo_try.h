/* A database as mod_usher_geo takes it: proved, in a memfd, opened by libmaxminddb; and what is
 * promised then: no address can be found for which it is damaged. */
#ifndef GEO_TRY_H
#define GEO_TRY_H

#include <apr_pools.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "geo_check.h"
#include "geo_read.h"

/* @return NULL: it is proved; else what is wrong */
static inline const char *geo_try_prove(const void *bytes, size_t len)
{
    apr_size_t at;

    return geo_check_prove(bytes, len, &at);
}

/* @return 1; 0: libmaxminddb refuses it */
static inline int geo_try_open(MMDB_s *mmdb, const void *bytes, size_t len)
{
    int fd = memfd_create("geo", MFD_CLOEXEC), good;
    char path[40];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    good = write(fd, bytes, len) == (ssize_t)len && MMDB_open(path, MMDB_MODE_MMAP, mmdb) == MMDB_SUCCESS;
    close(fd);
    return good;
}

/* Addresses of which the test databases say something, and others. */
static const usher_cidr_address_t geo_try_addresses[] = {
    { 0, 0 }, { 0, 1 }, { 0, 0xffff7f000001 }, { 0, 0xffff7f000002 }, { 0, 0xffff7f000005 },
    { 0, 0xffff7f000009 }, { 0, 0xffffc0000201 }, { 0, 0xffffffffffff }, { 0, 0xffff00000000 },
    { 0x20010db800010000, 1 }, { 0x20010db800020000, 1 }, { 0x2002c00002010000, 0 },
    { ~(apr_uint64_t)0, ~(apr_uint64_t)0 }, { (apr_uint64_t)1 << 63, 0 },
};
#define GEO_TRY_ADDRESSES (sizeof(geo_try_addresses) / sizeof(geo_try_addresses[0]))

static const geo_path_t geo_try_paths[] = {
    { { NULL } }, { { "country", "iso_code" } }, { { "continent", "code" } }, { { "autonomous_system_number" } },
    { { "subdivisions", "1", "names", "en" } }, { { "subdivisions", "-1" } }, { { "location", "latitude" } },
    { { "is_anonymous" } }, { { "array", "99999999999999999999" } }, { { "" } }, { { "bytes" } },
    { { "uint128" } }, { { "within", "names", "en", "x" } },
};
#define GEO_TRY_PATHS ((int)(sizeof(geo_try_paths) / sizeof(geo_try_paths[0])))

/* @return how many addresses it has; -1: it is damaged after all */
static inline int geo_try_read(const MMDB_s *mmdb, apr_pool_t *p)
{
    geo_value_t values[GEO_TRY_PATHS];
    int found = 0, prefix, i;
    size_t a;

    for (i = 0; i < GEO_TRY_PATHS; ++i) {
        values[i].path = &geo_try_paths[i];
    }
    for (a = 0; a < GEO_TRY_ADDRESSES; ++a) {
        geo_result_e result = geo_read(mmdb, geo_try_addresses[a], values, GEO_TRY_PATHS, &prefix, p);

        if (result == GEO_UNUSABLE || prefix < 0 || prefix > 128) {
            return -1;
        }
        found += result == GEO_FOUND;
    }
    return found;
}

#endif /* GEO_TRY_H */
