/* usher_geo('DB/path') in expressions: what a database says of the client; "" where it does not know. */
#include <ap_expr.h>

#include "geo_private.h"

APLOG_USE_MODULE(usher_geo);

static apr_array_header_t *names; /* const char *, of databases that expressions of the configuration name */

void geo_expr_pre_config(apr_pool_t *pconf)
{
    names = apr_array_make(pconf, 4, sizeof(const char *));
}

/* Once. Expressions may be of a pool that does not last. */
static void expr_note(const char *name)
{
    int i;

    for (i = 0; i < names->nelts; ++i) {
        if (!strcmp(APR_ARRAY_IDX(names, i, const char *), name)) {
            return;
        }
    }
    APR_ARRAY_PUSH(names, const char *) = apr_pstrdup(names->pool, name);
}

/* Else it would be empty for everybody, and nobody would see it. */
int geo_expr_check_config(apr_pool_t *pconf, server_rec *s)
{
    int may_refuse = usher_conf_may_refuse(), rc = OK, i;
    const geo_db_t *db;

    for (i = 0; i < names->nelts; ++i) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);
        const char *wrong = geo_question_database(pconf, name, &db);

        if (wrong) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(7037) "usher_geo('%s/...') in an expression: %s%s",
                         name, wrong, may_refuse ? "" : "; until then it is empty");
            rc = may_refuse ? !OK : OK;
        }
    }
    return rc;
}

static const char *expr_value(ap_expr_eval_ctx_t *ctx, const geo_place_t *place)
{
    geo_value_t value = { place->path, NULL };
    usher_cidr_address_t address;
    int is_ambiguous, is_kept = place->is_kept, prefix;
    const geo_db_t *db = geo_conf_database(place->database);

    if (!db) {
        db = geo_maxmind_database(place->database, &is_ambiguous);
    }
    if (!db || !geo_core || !ctx->r || !geo_cache_address(ctx->r, &address)) {
        return "";
    }
    geo_cache_lookup(ctx->c, address, db, is_kept, &value, 1, &prefix, ctx->p);
    return value.text ? apr_pstrdup(ctx->p, value.text) : "";
}

static const char *expr_function(ap_expr_eval_ctx_t *ctx, const void *data, const char *arg)
{
    geo_place_t place;

    if (data) {
        return expr_value(ctx, data);
    }
    return geo_place_read(ctx->p, arg, 0, &place) ? "" : expr_value(ctx, &place);
}

/* A place that is written out is understood once. */
static int expr_lookup(ap_expr_lookup_parms *parms)
{
    geo_place_t *place;

    if (parms->type != AP_EXPR_FUNC_STRING || ap_cstr_casecmp(parms->name, "usher_geo")) {
        return DECLINED;
    }
    *parms->func = expr_function;
    *parms->data = NULL;
    if (parms->arg) {
        place = apr_palloc(parms->pool, sizeof(*place));
        *parms->err = geo_place_read(parms->pool, parms->arg, parms->pool != parms->ptemp, place);
        if (*parms->err) {
            return !OK;
        }
        *parms->data = place;
        if (place->is_kept) {
            expr_note(place->database);
        }
    }
    return OK;
}

void geo_expr_hooks(void)
{
    ap_hook_expr_lookup(expr_lookup, NULL, NULL, APR_HOOK_MIDDLE);
}
