/* expect=: an expression that is asked whether the answer of a check is good. httpd's
 * expressions know requests only, so one is made up, with what is known of the answer. */
#include <ap_expr.h>
#include <http_protocol.h>

#include "balancer_probe_private.h"

APLOG_USE_MODULE(usher_balancer);

/* Subrequests would need a client's request. */
static int expect_lookup(ap_expr_lookup_parms *parms)
{
    if (parms->type == AP_EXPR_FUNC_OP_UNARY && *parms->name && strchr("UFA", *parms->name)
        && !parms->name[1]) {
        *parms->err = "-U, -F and -A ask for another request, and a check has none";
        return !OK;
    }
    return ap_expr_lookup_default(parms);
}

const char *probe_expect_parse(cmd_parms *cmd, const char *text, ap_expr_info_t **expression)
{
    const char *why = NULL;

    *expression = ap_expr_parse_cmd(cmd, text, 0, &why, expect_lookup);
    return why;
}

static conn_rec *expect_connection(apr_pool_t *p, server_rec *s)
{
    conn_rec *c = apr_pcalloc(p, sizeof(*c));

    c->pool = p;
    c->base_server = s;
    c->notes = apr_table_make(p, 1);
    c->conn_config = ap_create_conn_config(p);
    c->bucket_alloc = apr_bucket_alloc_create(p);
    c->client_ip = c->local_ip = apr_pstrdup(p, "127.0.0.1");
    apr_sockaddr_info_get(&c->client_addr, c->client_ip, APR_INET, 0, 0, p);
    c->local_addr = c->client_addr;
    return c;
}

static request_rec *expect_request(apr_pool_t *p, const probe_t *probe)
{
    request_rec *r = apr_pcalloc(p, sizeof(*r));

    r->pool = p;
    r->server = probe->cluster->home;
    r->connection = expect_connection(p, r->server);
    r->per_dir_config = r->server->lookup_defaults;
    r->request_config = ap_create_request_config(p);
    /* Some variables are looked up there. */
    ap_set_core_module_config(r->request_config, apr_pcalloc(p, sizeof(core_request_config)));
    r->useragent_addr = r->connection->client_addr;
    r->useragent_ip = r->connection->client_ip;
    r->allowed_methods = ap_make_method_list(p, 2);
    r->headers_in = apr_table_make(p, 4);
    r->headers_out = apr_table_make(p, 16);
    r->err_headers_out = apr_table_make(p, 1);
    r->trailers_in = apr_table_make(p, 1);
    r->trailers_out = apr_table_make(p, 1);
    r->subprocess_env = apr_table_make(p, 1);
    r->notes = apr_table_make(p, 1);
    r->request_time = apr_time_now();
    r->protocol = apr_pstrdup(p, "HTTP/1.1");
    r->proto_num = HTTP_VERSION(1, 1);
    r->method = probe_conf_method(probe->conf);
    r->method_number = ap_method_number_of(r->method);
    r->uri = r->unparsed_uri = r->filename = apr_pstrdup(p, probe->conf->path);
    r->the_request = apr_pstrcat(p, r->method, " ", r->uri, " HTTP/1.1", NULL);
    r->status = probe->head.status;
    return r;
}

static void expect_fields(request_rec *r, const probe_t *probe)
{
    apr_size_t at = probe->head.fields_at;
    usher_http1_field_t field;

    while (usher_http1_next_field(probe->buf, probe->head.len, &at, &field)) {
        const char *name = apr_pstrmemdup(r->pool, field.name, field.name_len);
        char *value = apr_pstrmemdup(r->pool, field.value, field.value_len);

        apr_table_mergen(r->headers_out, name, value);
        if (!ap_cstr_casecmp(name, "Content-Type")) {
            r->content_type = value;
        }
    }
}

int probe_expect_is_met(const probe_t *probe, const char **why)
{
    const char *error = NULL; /* of p */
    apr_pool_t *p;
    request_rec *r;
    int met;

    if (!probe->conf->expression) {
        return probe->head.status >= 200 && probe->head.status < 400;
    }
    apr_pool_create_unmanaged_ex(&p, NULL, NULL);
    r = expect_request(p, probe);
    expect_fields(r, probe);
    met = ap_expr_exec(r, probe->conf->expression, &error);
    if (met < 0 || error) {
        *why = "it could not be evaluated";
    }
    apr_pool_destroy(p);
    return met > 0;
}
