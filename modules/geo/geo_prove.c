/* All of the proof, in memory of its own. */
#include "geo_check.h"

#include <stdlib.h>

const char *geo_check_prove(const void *bytes, apr_size_t len, apr_size_t *wrong_at)
{
    geo_check_t check;
    const char *wrong = geo_check_meta(&check, bytes, len);

    if (!wrong) {
        unsigned char *room = calloc(1, geo_check_room(&check));

        wrong = room ? geo_check_all(&check, room) : "there is no memory to prove it in";
        free(room);
    }
    *wrong_at = check.wrong_at;
    return wrong;
}
