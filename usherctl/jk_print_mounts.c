/* ProxyPass lines in the order in which mod_jk would have compared, for the
 * main server and each virtual host. */
#include <string.h>

#include "jk.h"

/* Several parts of a server are printed from the same rules. */
typedef struct {
    ctl_conf_t *conf;
    const jk_workers_t *workers;
    const jk_site_t *site;
    apr_array_header_t *rules; /**< jk_rule_t *, sorted */
} mounts_t;

static jk_rule_t *mounts_rule(const mounts_t *mounts, int i)
{
    return APR_ARRAY_IDX(mounts->rules, i, jk_rule_t *);
}

/* Do all mounts go to one worker? Then an unmount of it is one for all. Status
 * pages do not count: they are not proxied anyway. */
static int mounts_one_worker(const mounts_t *mounts)
{
    const char *worker = NULL;
    int i;

    for (i = 0; i < mounts->rules->nelts; ++i) {
        const jk_rule_t *rule = mounts_rule(mounts, i);
        const jk_worker_t *known = jk_worker_get(mounts->workers, rule->worker);

        if (rule->excludes || (known && known->type == JK_STATUS)) {
            continue;
        }
        if (worker && strcmp(worker, rule->worker)) {
            return 0;
        }
        worker = rule->worker;
    }
    return 1;
}

static void mounts_print_exclusions(const mounts_t *mounts)
{
    apr_pool_t *p = mounts->conf->pool;
    int one = mounts_one_worker(mounts), i;

    for (i = 0; i < mounts->rules->nelts; ++i) {
        const jk_rule_t *rule = mounts_rule(mounts, i);

        if (rule->excludes && (one || !strcmp(rule->worker, "*"))) {
            ctl_conf_line(mounts->conf, "ProxyPassMatch %s !",
                          ctl_conf_quote(p, jk_rule_regex(p, rule->pattern)));
        }
    }
}

/* What stands before the first wildcard of a pattern */
static apr_size_t mounts_literal(const jk_rule_t *rule)
{
    return strcspn(rule->pattern, "*?");
}

/* No path fits both patterns, as far as their beginnings show. */
static int mounts_apart(const jk_rule_t *one, const jk_rule_t *two)
{
    apr_size_t a = mounts_literal(one), b = mounts_literal(two);

    if ((!one->pattern[a] && a < b) || (!two->pattern[b] && b < a)) {
        return 1;
    }
    return strncmp(one->pattern, two->pattern, a < b ? a : b) != 0;
}

/* What is taken out of one mount only, because its worker says so, must not be
 * taken out of the others: a path has to fit both. */
static void mounts_print_exclusions_of(const mounts_t *mounts, const jk_rule_t *mount)
{
    apr_pool_t *p = mounts->conf->pool;
    const char *prefix = jk_rule_prefix(p, mount->pattern);
    int i;

    for (i = 0; i < mounts->rules->nelts && !mounts_one_worker(mounts); ++i) {
        const jk_rule_t *rule = mounts_rule(mounts, i);
        const char *regex;

        if (!rule->excludes || strcmp(rule->worker, mount->worker) || mounts_apart(rule, mount)) {
            continue;
        }
        regex = jk_rule_regex(p, rule->pattern);
        if (!prefix || strncmp(rule->pattern, prefix, strlen(prefix))) {
            regex = apr_pstrcat(p, "^(?=", regex + 1, ")", jk_rule_regex(p, mount->pattern) + 1, NULL);
        }
        ctl_conf_line(mounts->conf, "ProxyPassMatch %s !", ctl_conf_quote(p, regex));
    }
}

static void mounts_print_one(const mounts_t *mounts, jk_rule_t *rule)
{
    apr_pool_t *p = mounts->conf->pool;
    const jk_worker_t *worker = jk_worker_get(mounts->workers, rule->worker);
    const char *prefix = jk_rule_prefix(p, rule->pattern);

    if (!worker || (!worker->url && worker->type != JK_STATUS)) {
        if (!rule->told) {
            jk_remark(mounts->conf, mounts->workers->notes, &rule->at, "%s %s is left out: %s",
                      rule->pattern, rule->worker,
                      worker && worker->unsupported ? worker->unsupported : worker ? "there is no such server"
                      : "there is no worker of this name");
        }
        rule->told = 1;
        return;
    }
    mounts_print_exclusions_of(mounts, rule);
    if (worker->type == JK_STATUS) {
        /* httpd answers itself, see below. */
        ctl_conf_line(mounts->conf, "ProxyPassMatch %s !",
                      ctl_conf_quote(p, jk_rule_regex(p, rule->pattern)));
    }
    else if (prefix) {
        ctl_conf_line(mounts->conf, "ProxyPass %s %s%s", ctl_conf_quote(p, prefix), worker->url, prefix);
    }
    else {
        ctl_conf_line(mounts->conf, "ProxyPassMatch %s %s",
                      ctl_conf_quote(p, jk_rule_regex(p, rule->pattern)), worker->url);
    }
}

/* The keys of workers that are mounted without an lb */
static void mounts_print_workers(const mounts_t *mounts)
{
    apr_hash_t *seen = apr_hash_make(mounts->conf->pool);
    int i;

    for (i = 0; i < mounts->rules->nelts; ++i) {
        const jk_rule_t *rule = mounts_rule(mounts, i);
        const jk_worker_t *worker
            = rule->excludes ? NULL : jk_worker_get(mounts->workers, rule->worker);
        const jk_worker_t *other;

        if (!worker || worker->type != JK_AJP || !worker->url) {
            continue;
        }
        other = apr_hash_get(seen, worker->url, APR_HASH_KEY_STRING);
        if (other && other != worker) {
            jk_remark(mounts->conf, mounts->workers->notes, &worker->at,
                      "worker %s is the same server as %s, whose keys hold for both", worker->name,
                      other->name);
        }
        else if (!other) {
            apr_hash_set(seen, worker->url, APR_HASH_KEY_STRING, worker);
            jk_print_plain(mounts->conf, mounts->workers, worker, mounts->site);
        }
    }
}

/* The pages of status workers */
static void mounts_print_status(const mounts_t *mounts)
{
    apr_pool_t *p = mounts->conf->pool;
    int i;

    for (i = 0; i < mounts->rules->nelts; ++i) {
        const jk_rule_t *rule = mounts_rule(mounts, i);
        jk_worker_t *worker = rule->excludes ? NULL : jk_worker_get(mounts->workers, rule->worker);

        if (!worker || worker->type != JK_STATUS) {
            continue;
        }
        ctl_conf_comment(mounts->conf, "status worker %s (%s:%d); needs mod_proxy_balancer. Only this host sees",
                         worker->name, worker->at.file, worker->at.line);
        ctl_conf_comment(mounts->conf, "the page: say who else may with Require.");
        if (!worker->told) {
            ctl_note(mounts->workers->notes, &worker->at,
                     "status worker %s became balancer-manager, for requests from this host only",
                     worker->name);
        }
        worker->told = 1;
        ctl_conf_line(mounts->conf, "<LocationMatch %s>",
                      ctl_conf_quote(p, jk_rule_regex(p, rule->pattern)));
        mounts->conf->indent += 4;
        jk_print_left(mounts->conf, mounts->workers, worker);
        ctl_conf_line(mounts->conf, "SetHandler balancer-manager");
        ctl_conf_line(mounts->conf, "Require local");
        mounts->conf->indent -= 4;
        ctl_conf_line(mounts->conf, "</LocationMatch>");
    }
}

/* What single mounts have behind their worker's name. The strongest section is
 * the last one, so the order is turned round. */
static void mounts_print_extensions(const mounts_t *mounts)
{
    ctl_conf_t *conf = mounts->conf;
    int i;

    for (i = mounts->rules->nelts - 1; i >= 0; --i) {
        const jk_rule_t *rule = mounts_rule(mounts, i);

        if (rule->excludes || (rule->reply_timeout < 0 && !rule->server_errors)) {
            continue;
        }
        ctl_conf_line(conf, "<LocationMatch %s>",
                      ctl_conf_quote(conf->pool, jk_rule_regex(conf->pool, rule->pattern)));
        conf->indent += 4;
        if (rule->reply_timeout > 0) {
            int ms = rule->reply_timeout > 86400000 ? 86400000 : rule->reply_timeout;

            ctl_conf_line(conf, ms % 1000 ? "UsherBackendTimeout first=%dms between=%dms"
                                          : "UsherBackendTimeout first=%ds between=%ds",
                          ms % 1000 ? ms : ms / 1000, ms % 1000 ? ms : ms / 1000);
        }
        else if (!rule->reply_timeout) {
            ctl_conf_line(conf, "UsherBackendTimeout first=1d between=1d");
        }
        if (rule->server_errors > 0 && rule->server_errors <= 400) {
            ctl_conf_line(conf, "ProxyErrorOverride On");
        }
        else if (rule->server_errors) {
            ctl_conf_line(conf, "ProxyErrorOverride On 500 501 502 503 504 505");
        }
        conf->indent -= 4;
        ctl_conf_line(conf, "</LocationMatch>");
    }
}

/* Mounts of workers that are not there are left out, see mounts_print_one():
 * mod_jk starts with them, too, and files that come with it have some. */
static void mounts_check(const mounts_t *mounts)
{
    int i;

    for (i = 0; i < mounts->rules->nelts; ++i) {
        jk_rule_t *rule = mounts_rule(mounts, i);
        const jk_worker_t *worker = jk_worker_get(mounts->workers, rule->worker);

        if (!worker || rule->told || (rule->excludes && !strcmp(rule->worker, "*"))) {
            continue;
        }
        if (!jk_worker_listed(mounts->workers, worker)) {
            ctl_note(mounts->workers->notes, &rule->at,
                     "%s: worker %s is not in worker.list, where mod_jk wants it to be",
                     rule->pattern, rule->worker);
            rule->told = 1;
        }
    }
}

static void mounts_print(const mounts_t *mounts)
{
    int i, any = 0;

    for (i = 0; i < mounts->rules->nelts; ++i) {
        any |= !mounts_rule(mounts, i)->excludes;
    }
    if (!any) {
        return;
    }
    mounts_check(mounts);
    mounts_print_workers(mounts);
    ctl_conf_comment(mounts->conf, "Tomcat takes \"/..;x/\" for \"/../\", httpd does not: no such path goes there.");
    ctl_conf_line(mounts->conf, "ProxyPassMatch \"/\\.\\.?;\" !");
    mounts_print_exclusions(mounts);
    for (i = 0; i < mounts->rules->nelts; ++i) {
        jk_rule_t *rule = mounts_rule(mounts, i);

        if (!rule->excludes) {
            mounts_print_one(mounts, rule);
        }
    }
    mounts_print_status(mounts);
    mounts_print_extensions(mounts);
}

static void mounts_remarks(ctl_conf_t *conf, const jk_server_t *server)
{
    int i;

    for (i = 0; i < server->remarks->nelts; ++i) {
        ctl_conf_comment(conf, "%s", APR_ARRAY_IDX(server->remarks, i, const char *));
    }
}

static void mounts_print_aliases(ctl_conf_t *conf, const jk_server_t *server)
{
    const char *rest = server->aliases, *words = "";

    while (rest && *rest) {
        words = apr_pstrcat(conf->pool, words, " ",
                            ctl_conf_quote(conf->pool, ctl_word(conf->pool, &rest)), NULL);
    }
    if (*words) {
        ctl_conf_line(conf, "ServerAlias%s", words);
    }
}

static void mounts_print_host(ctl_conf_t *conf, const jk_server_t *server, const mounts_t *mounts)
{
    ctl_conf_line(conf, "%s", "");
    ctl_conf_comment(conf, "These lines belong into the <VirtualHost> at %s:%d. What it had of the",
                     server->at.file, server->at.line);
    ctl_conf_comment(conf, "main server's mounts, by JkMountCopy, is among them.");
    ctl_conf_line(conf, "<VirtualHost %s>", server->addresses);
    conf->indent = 4;
    if (server->name) {
        ctl_conf_line(conf, "ServerName %s", ctl_conf_quote(conf->pool, server->name));
    }
    mounts_print_aliases(conf, server);
    mounts_remarks(conf, server);
    mounts_print(mounts);
    conf->indent = 0;
    ctl_conf_line(conf, "</VirtualHost>");
}

/* ProxyPass lines of the main server hold in all virtual hosts, before theirs,
 * and ProxyPassInherit changes nothing of that. So where there are hosts the main
 * server becomes one, for the addresses that none of the others has. */
static void mounts_print_main(ctl_conf_t *conf, const jk_server_t *server, const mounts_t *mounts,
                              int alone)
{
    ctl_conf_line(conf, "%s", "");
    if (alone || (!mounts->rules->nelts && !server->remarks->nelts)) {
        mounts_remarks(conf, server);
        mounts_print(mounts);
        return;
    }
    ctl_conf_comment(conf, "The main server's own mounts, for addresses without a virtual host. In the");
    ctl_conf_comment(conf, "main server itself they would hold in all virtual hosts. Leave this section out");
    ctl_conf_comment(conf, "if there is a virtual host for each address.");
    ctl_conf_line(conf, "<VirtualHost _default_:*>");
    conf->indent = 4;
    if (server->name) {
        ctl_conf_line(conf, "ServerName %s", ctl_conf_quote(conf->pool, server->name));
    }
    mounts_remarks(conf, server);
    mounts_print(mounts);
    conf->indent = 0;
    ctl_conf_line(conf, "</VirtualHost>");
}

void jk_print_servers(ctl_conf_t *conf, const jk_workers_t *workers, const jk_site_t *site)
{
    mounts_t mounts = { conf, workers, site, NULL };
    int i;

    for (i = 0; i < site->servers->nelts; ++i) {
        const jk_server_t *server = APR_ARRAY_IDX(site->servers, i, jk_server_t *);

        mounts.rules = jk_site_rules(site, server, workers);
        if (!server->addresses) {
            mounts_print_main(conf, server, &mounts, site->servers->nelts == 1);
        }
        else if (mounts.rules->nelts || server->remarks->nelts) {
            mounts_print_host(conf, server, &mounts);
        }
    }
}
