/* Who is let in to handlers that show addresses. Nothing of them is to be had without a Require, and what is
 * meant for a whole site, as "Require all granted" of its files, does not count: a
 * SetHandler stands in a <Location> that has a Require of its own. configtest refuses
 * anything else; after a restart with such a line nobody is let in. That Require is asked
 * for each request, whatever other sections make of it.
 *
 * The other ways to a handler (.htaccess, AddHandler, RewriteRule [H=], <If>) cannot be
 * judged, so they lead nowhere: what a SetHandler was read as is handed on by the core as it
 * is, and only those of <Location> sections are known here.
 *
 * A page whose name was made to mean this machine after the browser had loaded it (DNS
 * rebinding) is of the same site as what is shown here for that browser, which is local. But its
 * name is none of ours. */
#include <ap_expr.h>
#include <arpa/inet.h>
#include <http_request.h>
#include <http_vhost.h>

#include "core_private.h"

APLOG_USE_MODULE(usher);

struct usher_guard_t {
    const usher_guard_spec_t *spec;
    int unguarded;
};

/* A section <Location> with a SetHandler, of whatever handler. */
typedef struct {
    const ap_expr_info_t *handler;
    ap_conf_vector_t *section;
} guard_known_t;

static apr_array_header_t *known; /* guard_known_t; in pconf */

void core_guard_pre_config(apr_pool_t *pconf)
{
    known = apr_array_make(pconf, 2, sizeof(guard_known_t));
}

static int guard_is(const ap_directive_t *directive, const char *name)
{
    return !ap_cstr_casecmp(directive->directive, name);
}

/* Require, or a section of several; not one that holds for some methods only. */
static int guard_requires(const ap_directive_t *section)
{
    const ap_directive_t *directive;

    for (directive = section->first_child; directive; directive = directive->next) {
        if (guard_is(directive, "Require")) {
            return 1;
        }
        if ((guard_is(directive, "<RequireAny") || guard_is(directive, "<RequireAll"))
            && guard_requires(directive)) {
            return 1;
        }
    }
    return 0;
}

/* Also where it is a part of an expression. */
static int guard_names(const ap_directive_t *directive, const char *handler)
{
    return guard_is(directive, "SetHandler") && directive->args
           && ap_strcasestr(directive->args, handler);
}

static int guard_is_guarded(const ap_directive_t *directive)
{
    const ap_directive_t *section = directive->parent;

    return section && (guard_is(section, "<Location") || guard_is(section, "<LocationMatch"))
           && guard_requires(section);
}

/* All that is wrong is said. */
static int guard_walk(const ap_directive_t *directive, const usher_guard_spec_t *spec, server_rec *s)
{
    int wrong = 0;

    for (; directive; directive = directive->next) {
        if (guard_names(directive, spec->handler) && !guard_is_guarded(directive)) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, USHERLOGNO(1053)
                         "%s:%d: SetHandler %s has to stand in a <Location> section "
                         "with a Require of its own, such as \"Require local\", as it %s; "
                         "as it is, it lets nobody in",
                         directive->filename, directive->line_num, spec->handler, spec->reason);
            wrong = 1;
        }
        if (directive->first_child) {
            wrong |= guard_walk(directive->first_child, spec, s);
        }
    }
    return wrong;
}

static void guard_learn(server_rec *s)
{
    for (; s; s = s->next) {
        const core_server_config *conf = ap_get_core_module_config(s->module_config);
        ap_conf_vector_t **sections = (ap_conf_vector_t **)conf->sec_url->elts;
        int i;

        for (i = 0; i < conf->sec_url->nelts; ++i) {
            const core_dir_config *section = ap_get_core_module_config(sections[i]);

            if (section->expr_handler) {
                APR_ARRAY_PUSH(known, guard_known_t) =
                    (guard_known_t) { section->expr_handler, sections[i] };
            }
        }
    }
}

int core_guard_check(usher_guard_t **guard, const usher_guard_spec_t *spec, server_rec *s)
{
    if (!known->nelts) {
        guard_learn(s);
    }
    *guard = apr_palloc(known->pool, sizeof(**guard));
    (*guard)->spec = spec;
    (*guard)->unguarded = guard_walk(ap_conftree, spec, s);
    return (*guard)->unguarded && usher_conf_may_refuse() ? !OK : OK;
}

/* The section that gave the request its handler; NULL: it came in another way. */
static ap_conf_vector_t *guard_section(request_rec *r, const char *handler)
{
    const core_dir_config *merged = ap_get_core_module_config(r->per_dir_config);
    const char *wrong = NULL;
    int i;

    for (i = 0; i < known->nelts; ++i) {
        const guard_known_t *one = &APR_ARRAY_IDX(known, i, guard_known_t);

        if (one->handler == merged->expr_handler) {
            const char *named = ap_expr_str_exec(r, one->handler, &wrong);

            return !wrong && !ap_cstr_casecmp(named, handler) ? one->section : NULL;
        }
    }
    return NULL;
}

/* Whether the section's own Require lets the request in. httpd has asked for what holds
 * after all sections were merged: one behind it (<Location "/">, <If>) may have replaced that
 * Require, and Satisfy Any have made it one of two ways. */
static int guard_section_admits(request_rec *r, ap_conf_vector_t *section, const char *what)
{
    ap_conf_vector_t *merged = r->per_dir_config;
    int rc;

    r->per_dir_config = ap_merge_per_dir_configs(r->pool, r->server->lookup_defaults, section);
    rc = ap_run_auth_checker(r);
    r->per_dir_config = merged;
    if (rc != OK) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(1054)
                      "%s: %s not shown, as the Require beside its SetHandler does "
                      "not allow it: what other sections, or Satisfy Any, allow does not count "
                      "here. Where it asks for a user, let this section be the last one that "
                      "fits, so that httpd asks for the password", r->uri, what);
    }
    return rc == OK;
}

int core_guard_admits(const usher_guard_t *guard, request_rec *r)
{
    const usher_guard_spec_t *spec = guard->spec;
    ap_conf_vector_t *section = guard->unguarded ? NULL : guard_section(r, spec->handler);

    if (section) {
        return guard_section_admits(r, section, spec->what);
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(1055)
                  "%s: %s not shown, as it is not known who may see it: SetHandler "
                  "%s has to stand in a <Location> section of httpd's configuration, "
                  "with a Require beside it", r->uri, spec->what, spec->handler);
    return 0;
}

/* What is an address is looked up nowhere. */
static int guard_is_address(apr_pool_t *p, const char *host)
{
    apr_size_t len = strlen(host);
    struct in6_addr address;

    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host = apr_pstrmemdup(p, host + 1, len - 2);
    }
    return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

int core_guard_knows_host(const usher_guard_t *guard, request_rec *r)
{
    /* No browser leaves it out. */
    if (!r->hostname || !ap_cstr_casecmp(r->hostname, "localhost")
        || guard_is_address(r->pool, r->hostname)
        || ap_matches_request_vhost(r, r->hostname, r->server->port)) {
        return 1;
    }
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, USHERLOGNO(1056)
                  "%s: %s not shown, as the host %.100s is neither an address, nor "
                  "localhost, nor a name of the virtual host %s: a page of another site may have "
                  "led a browser here (DNS rebinding). If the name is yours, make it the ServerName, or "
                  "a ServerAlias of a <VirtualHost>",
                  r->uri, guard->spec->what, r->hostname, r->server->server_hostname);
    return 0;
}
