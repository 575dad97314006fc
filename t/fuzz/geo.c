#include "fuzz.h"

#include "../unit/geo_try.h"

/* What is proved to be good is so for libmaxminddb, and for each address. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static apr_pool_t *pool;
    MMDB_s mmdb;

    if (!pool) {
        apr_initialize();
        apr_pool_create(&pool, NULL);
    }
    if (!geo_try_prove(data, size)) {
        FUZZ_ASSERT(geo_try_open(&mmdb, data, size));
        FUZZ_ASSERT(geo_try_read(&mmdb, pool) >= 0);
        MMDB_close(&mmdb);
        apr_pool_clear(pool);
    }
    return 0;
}
