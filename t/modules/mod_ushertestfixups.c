/* mod_ushertestfixups: a third party's hook on mod_proxy's fixups, for
 * t/backend/heads.t. Environment variables tell what it does with the head that
 * goes to the backend:
 *   fixups-set, fixups-add   "Name: value"
 *   fixups-unset             a name
 *   fixups-copy              the fields are another table from then on
 *   fixups-tell              a field X-Told with all that it finds there */
#include <apr_hooks.h>
#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <mod_proxy.h>

typedef void test_change_t(apr_table_t *fields, const char *name, const char *value);

static void test_change(request_rec *r, const char *variable, test_change_t *change)
{
    const char *line = apr_table_get(r->subprocess_env, variable);
    const char *colon = line ? strstr(line, ": ") : NULL;

    if (colon) {
        change(r->headers_in, apr_pstrmemdup(r->pool, line, (apr_size_t)(colon - line)),
               colon + 2);
    }
}

static int test_told(void *to, const char *name, const char *value)
{
    apr_array_header_t *told = to;

    APR_ARRAY_PUSH(told, const char *) = apr_pstrcat(told->pool, name, "=", value, NULL);
    return 1;
}

static int test_fixups(request_rec *r)
{
    const char *unset = apr_table_get(r->subprocess_env, "fixups-unset");
    apr_array_header_t *told = apr_array_make(r->pool, 16, sizeof(const char *));

    apr_table_do(test_told, told, r->headers_in, NULL);
    if (apr_table_get(r->subprocess_env, "fixups-copy")) {
        r->headers_in = apr_table_copy(r->pool, r->headers_in);
    }
    if (apr_table_get(r->subprocess_env, "fixups-tell")) {
        apr_table_setn(r->headers_in, "X-Told", apr_array_pstrcat(r->pool, told, '|'));
    }
    if (unset) {
        apr_table_unset(r->headers_in, unset);
    }
    test_change(r, "fixups-set", apr_table_set);
    test_change(r, "fixups-add", apr_table_add);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    APR_OPTIONAL_HOOK(proxy, fixups, test_fixups, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(ushertestfixups) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks
};
