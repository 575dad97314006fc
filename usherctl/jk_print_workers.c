/* The <Proxy> sections: a cluster for each lb worker, and the keys of workers
 * that are mounted themselves. */
#include <string.h>

#include "jk.h"

/* A route that a session's redirect= can name: mod_jk takes the name of the
 * worker where there is none. */
static const char *workers_route(const jk_workers_t *workers, const jk_worker_t *member)
{
    const char *route = jk_text(workers, member, "route");

    return route ? route : member->name;
}

static const char *workers_status(const jk_workers_t *workers, const jk_worker_t *member)
{
    char activation = jk_letter(workers, member, "activation", 0);

    if (!activation && jk_bool(workers, member, "stopped", 0)) {
        activation = 's';
    }
    else if (!activation && jk_bool(workers, member, "disabled", 0)) {
        activation = 'd';
    }
    return activation == 's' ? " status=+S" : activation == 'd' ? " status=+N" : "";
}

/* httpd's load factors go from 1 to 100. */
static const char *workers_loadfactor(const jk_workers_t *workers, const jk_worker_t *member,
                                      int greatest)
{
    int factor = jk_number(workers, member, "lbfactor", 1);
    double scaled = factor;

    if (factor <= 1 && greatest <= 100) {
        return "";
    }
    if (greatest > 100) {
        scaled = factor * 100.0 / greatest;
        scaled = scaled < 1 ? 1 : scaled;
    }
    return apr_psprintf(workers->pool, scaled == (int)scaled ? " loadfactor=%.0f" : " loadfactor=%.2f",
                        scaled);
}

static const char *workers_distance(ctl_conf_t *conf, const jk_workers_t *workers,
                                    const jk_worker_t *member)
{
    int distance = jk_number(workers, member, "distance", 0);

    if (distance > 99) {
        ctl_error(workers->notes, &jk_value(workers, member, "distance")->at,
                  "worker %s: distance=%d: the greatest lbset of httpd is 99", member->name, distance);
    }
    return distance ? apr_psprintf(conf->pool, " lbset=%d", distance) : "";
}

static const char *workers_route_word(const jk_workers_t *workers, const jk_worker_t *member,
                                      const char *key, const char *value)
{
    if (strlen(value) > 63) {
        ctl_error(workers->notes, &member->at, "worker %s: %s=%.80s is longer than httpd takes it",
                  member->name, key, value);
    }
    return apr_pstrcat(workers->pool, " ",
                       ctl_conf_quote(workers->pool,
                                      apr_pstrcat(workers->pool, key, "=", value, NULL)),
                       NULL);
}

/* redirect= has to name the route of another member. */
static const char *workers_redirect(ctl_conf_t *conf, const jk_workers_t *workers,
                                    const jk_worker_t *lb, const jk_worker_t *member)
{
    const jk_property_t *redirect = jk_value(workers, member, "redirect");
    int i;

    if (!redirect) {
        return "";
    }
    for (i = 0; i < lb->members->nelts; ++i) {
        const jk_worker_t *other = APR_ARRAY_IDX(lb->members, i, jk_worker_t *);

        if (!strcmp(workers_route(workers, other), redirect->value)) {
            return workers_route_word(workers, member, "redirect", redirect->value);
        }
    }
    for (i = 0; i < lb->members->nelts; ++i) {
        const jk_worker_t *other = APR_ARRAY_IDX(lb->members, i, jk_worker_t *);

        if (!strcmp(other->name, redirect->value)) {
            return workers_route_word(workers, member, "redirect", workers_route(workers, other));
        }
    }
    jk_remark(conf, workers->notes, &redirect->at, "%s=%s: no member of %s has this route",
              redirect->name, redirect->value, lb->name);
    return "";
}

/* Was this server a member already? httpd would take the two for one. */
static const jk_worker_t *workers_twice(const jk_worker_t *lb, int i)
{
    const jk_worker_t *member = APR_ARRAY_IDX(lb->members, i, jk_worker_t *);
    int k;

    for (k = 0; k < i; ++k) {
        const jk_worker_t *other = APR_ARRAY_IDX(lb->members, k, jk_worker_t *);

        if (other->url && !strcmp(other->url, member->url)) {
            return other;
        }
    }
    return NULL;
}

static void workers_member(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *lb,
                           int i, int greatest, const jk_site_t *site)
{
    const jk_worker_t *member = APR_ARRAY_IDX(lb->members, i, jk_worker_t *);
    const char *secret = jk_text(workers, lb, "secret");

    if (member->unsupported || !member->url) {
        jk_remark(conf, workers->notes, &member->at, "worker %s is left out: %s", member->name,
                  member->unsupported ? member->unsupported : "it has no address");
        return;
    }
    if (workers_twice(lb, i)) {
        jk_remark(conf, workers->notes, &member->at,
                  "worker %s is left out: it is the same server as %s", member->name,
                  workers_twice(lb, i)->name);
        return;
    }
    jk_print_left(conf, workers, member);
    secret = secret && !jk_value(workers, member, "secret")
                 ? apr_pstrcat(conf->pool, " ",
                               ctl_conf_quote(conf->pool,
                                              apr_pstrcat(conf->pool, "secret=", secret, NULL)),
                               NULL)
                 : "";
    ctl_conf_line(conf, "BalancerMember %s%s%s%s%s%s%s%s", member->url,
                  workers_route_word(workers, member, "route", workers_route(workers, member)),
                  workers_loadfactor(workers, member, greatest),
                  workers_distance(conf, workers, member),
                  workers_redirect(conf, workers, lb, member), workers_status(workers, member),
                  jk_print_keys(conf, workers, member, site), secret);
}

/* ";jsessionid" in session_path is the name with what stands before it. */
static const char *workers_sticky(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *lb)
{
    const char *cookie = jk_text(workers, lb, "session_cookie");
    const char *path = jk_text(workers, lb, "session_path");
    const char *names;

    if (!jk_bool(workers, lb, "sticky_session", 1)) {
        return "";
    }
    path = path ? path + strspn(path, ";") : "jsessionid";
    names = apr_pstrcat(conf->pool, "stickysession=", cookie ? cookie : "JSESSIONID", "|", path, NULL);
    if (strlen(names) > 60 || strpbrk(names + 14, "=\"' ,")) {
        ctl_error(workers->notes, &lb->at, "worker %s: no names for sessions: %.80s", lb->name, names);
    }
    return apr_pstrcat(conf->pool, " ", ctl_conf_quote(conf->pool, names), " scolonpathdelim=On",
                       jk_bool(workers, lb, "sticky_session_force", 0) ? " nofailover=On" : "", NULL);
}

static void workers_own_cookie(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *lb)
{
    const char *cookie = jk_text(workers, lb, "session_cookie");
    const char *path = jk_text(workers, lb, "session_cookie_path");

    if (!jk_bool(workers, lb, "set_session_cookie", 0)) {
        return;
    }
    ctl_conf_comment(conf, "Needs mod_headers.");
    if ((path && strpbrk(path, "%;,\"\\ ")) || (cookie && strpbrk(cookie, "%;"))) {
        ctl_error(workers->notes, &lb->at, "worker %s: no path or name for a cookie", lb->name);
        return;
    }
    ctl_conf_line(conf, "Header add Set-Cookie \"%s=.%%{BALANCER_WORKER_ROUTE}e%s%s\" env=BALANCER_ROUTE_CHANGED",
                  cookie ? cookie : "JSESSIONID", path ? "; path=" : "", path ? path : "");
}

/* The statuses that any member fails by. Those with a minus have no counterpart. */
static const char *workers_failonstatus(ctl_conf_t *conf, const jk_workers_t *workers,
                                        const jk_worker_t *lb)
{
    const char *list = NULL;
    apr_hash_t *seen = apr_hash_make(conf->pool);
    int i, k;

    for (i = 0; i < lb->members->nelts; ++i) {
        const jk_worker_t *member = APR_ARRAY_IDX(lb->members, i, jk_worker_t *);
        jk_property_t *property = jk_value(workers, member, "fail_on_status");
        apr_array_header_t *words;

        if (!property) {
            continue;
        }
        words = jk_words(conf->pool, property->value);
        for (k = 0; k < words->nelts; ++k) {
            const char *word = APR_ARRAY_IDX(words, k, const char *);
            const char *digits = word + (*word == '-');

            if (strlen(digits) != 3 || strspn(digits, "0123456789") != 3 || *digits == '0') {
                ctl_error(workers->notes, &property->at, "%s: %.60s is no status", property->name, word);
            }
            else if (*word != '-' && !apr_hash_get(seen, word, APR_HASH_KEY_STRING)) {
                list = list ? apr_pstrcat(conf->pool, list, ",", word, NULL) : word;
            }
            apr_hash_set(seen, word, APR_HASH_KEY_STRING, word);
        }
        if (!property->told) {
            property->told = 1;
            jk_remark(conf, workers->notes, &property->at,
                      "%s=%s: the client gets such an answer as it is, and it counts as a failure; those with a minus count as nothing",
                      property->name, property->value);
        }
    }
    return list ? apr_pstrcat(conf->pool, " failonstatus=", list, NULL) : "";
}

/* The lbmethod. Who has not chosen one has chosen nothing. */
static const char *workers_method(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *lb)
{
    const jk_property_t *method = jk_value(workers, lb, "method");
    char letter = '\0';

    if (method) {
        letter = jk_letter(workers, lb, "method", 'r');
    }
    if (letter && letter != 'r' && letter != 'b') {
        jk_remark(conf, workers->notes, &method->at, "%s=%s: %s", method->name, method->value,
                  letter == 't' ? "lbmethod=usher goes by requests in work and by response times, not by bytes"
                                : "lbmethod=usher goes by all requests, those of sessions too");
    }
    return letter == 'r' ? "usher-requests" : letter == 'b' ? "usher-busyness" : "usher";
}

static void workers_cluster(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *lb,
                            const jk_site_t *site)
{
    const char *method, *failonstatus;
    int i, greatest = 1;

    for (i = 0; i < lb->members->nelts; ++i) {
        int factor = jk_number(workers, APR_ARRAY_IDX(lb->members, i, jk_worker_t *), "lbfactor", 1);

        greatest = factor > greatest ? factor : greatest;
    }
    ctl_conf_line(conf, "%s", "");
    ctl_conf_comment(conf, "lb worker %s (%s:%d)", lb->name, lb->at.file, lb->at.line);
    ctl_conf_line(conf, "<Proxy %s>", lb->url);
    conf->indent = 4;
    jk_print_left(conf, workers, lb);
    method = workers_method(conf, workers, lb);
    if (greatest > 100) {
        jk_remark(conf, workers->notes, &lb->at,
                  "worker %s: load factors go up to 100 only, so all were made smaller", lb->name);
    }
    for (i = 0; i < lb->members->nelts; ++i) {
        workers_member(conf, workers, lb, i, greatest, site);
    }
    failonstatus = workers_failonstatus(conf, workers, lb);
    ctl_conf_line(conf, "ProxySet lbmethod=%s%s%s", method, workers_sticky(conf, workers, lb), failonstatus);
    workers_own_cookie(conf, workers, lb);
    jk_print_failures(conf, workers, lb);
    conf->indent = 0;
    ctl_conf_line(conf, "</Proxy>");
}

void jk_print_clusters(ctl_conf_t *conf, const jk_workers_t *workers, const jk_site_t *site)
{
    int i;

    for (i = 0; i < workers->list->nelts; ++i) {
        const jk_worker_t *worker = APR_ARRAY_IDX(workers->list, i, jk_worker_t *);

        if (worker->type == JK_LB) {
            workers_cluster(conf, workers, worker, site);
        }
    }
}

void jk_print_plain(ctl_conf_t *conf, const jk_workers_t *workers, const jk_worker_t *worker,
                    const jk_site_t *site)
{
    const char *keys;
    int before;

    ctl_conf_comment(conf, "worker %s (%s:%d)", worker->name, worker->at.file, worker->at.line);
    ctl_conf_line(conf, "<Proxy %s>", worker->url);
    before = conf->pieces->nelts;
    conf->indent += 4;
    jk_print_left(conf, workers, worker);
    keys = jk_print_keys(conf, workers, worker, site);
    if (*keys) {
        ctl_conf_line(conf, "ProxySet%s", keys);
    }
    jk_print_failures(conf, workers, worker);
    conf->indent -= 4;
    if (conf->pieces->nelts > before) {
        ctl_conf_line(conf, "</Proxy>");
    }
    else {
        apr_array_pop(conf->pieces);
    }
}
