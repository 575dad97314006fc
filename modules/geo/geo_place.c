/* "DB/country/iso_code": a place in a database, as MaxMindDBEnv and all of Usher's own name it. */
#include "geo_private.h"

static apr_array_header_t *kept; /* const geo_path_t *, while the configuration is read */

void geo_place_pre_config(apr_pool_t *pconf)
{
    kept = apr_array_make(pconf, 8, sizeof(const geo_path_t *));
}

static int place_is_same(const geo_path_t *a, const geo_path_t *b)
{
    int i;

    for (i = 0; a->parts[i] && b->parts[i] && !strcmp(a->parts[i], b->parts[i]); ++i) {
    }
    return !a->parts[i] && !b->parts[i];
}

/* The same path is the same pointer: what is known of a client is found by it. */
static const geo_path_t *place_keep(const geo_path_t *path)
{
    int i;

    for (i = 0; i < kept->nelts; ++i) {
        const geo_path_t *other = APR_ARRAY_IDX(kept, i, const geo_path_t *);

        if (place_is_same(path, other)) {
            return other;
        }
    }
    APR_ARRAY_PUSH(kept, const geo_path_t *) = path;
    return path;
}

const char *geo_place_read(apr_pool_t *p, const char *text, int is_kept, geo_place_t *place)
{
    geo_path_t *path = apr_pcalloc(p, sizeof(*path));
    char *rest, *part;
    int n = 0;

    place->database = apr_strtok(apr_pstrdup(p, text), "/", &rest);
    if (!place->database) {
        return apr_psprintf(p, "\"%s\": takes the name of a database, a '/' and a path in it: "
                            "country/country/iso_code", text);
    }
    while ((part = apr_strtok(NULL, "/", &rest))) {
        if (n == GEO_PATH_MAX) {
            return apr_psprintf(p, "\"%s\": a path has %d parts at most", text, GEO_PATH_MAX);
        }
        path->parts[n++] = part;
    }
    /* Who understands expressions per request may say that they last. */
    place->is_kept = is_kept = is_kept && ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_RUN_MPM;
    place->path = is_kept ? place_keep(path) : path;
    return NULL;
}
