/* Values of an address from a database, as its image is at the moment. */
#include "geo_private.h"

geo_result_e geo_lookup(const geo_db_t *db, usher_cidr_address_t address, geo_value_t *values, int n,
                        int *prefix, apr_pool_t *p)
{
    usher_image_hold_t hold;
    const MMDB_s *mmdb = geo_db_begin(db, &hold);
    geo_result_e result;
    int i;

    if (!mmdb) {
        for (i = 0; i < n; ++i) {
            values[i].text = NULL;
        }
        return GEO_UNUSABLE;
    }
    result = geo_read(mmdb, address, values, n, prefix, p);
    geo_db_end(db, &hold);
    return result;
}
