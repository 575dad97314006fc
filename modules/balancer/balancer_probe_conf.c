/* UsherCheck: how the members of a cluster are checked. */
#include <ap_expr.h>

#include "balancer_probe_private.h"
#include "usher_options.h"

APLOG_USE_MODULE(usher_balancer);

#define MS APR_TIME_C(1000)
#define HOUR (3600 * APR_TIME_C(1000000))
#define PATH_MAX_LEN 1024
#define HOST_MAX_LEN 255

/* In the order of usher_check_kind_e. */
static const char *const kinds[] = { "off", "tcp", "cping", "http", "https", "auto", NULL };
#define AUTO (USHER_CHECK_HTTPS + 1)

static const char *const methods[] = { "GET", "HEAD", "OPTIONS", NULL };

/* What all kinds may have begins with interval. */
#define FIELD(f) APR_OFFSETOF(balancer_probe_conf_t, f)
#define INTERVAL 100 * MS, HOUR, "100ms to 1h"
static const usher_option_t keys[] = {
    { "path", USHER_OPTION_TEXT, 0, 1, PATH_MAX_LEN, "a path of up to 1024 bytes", FIELD(path) },
    { "host", USHER_OPTION_TEXT, 0, 1, HOST_MAX_LEN, "a name, with or without a port",
      FIELD(host) },
    { "method", USHER_OPTION_WORD, 0, 0, 0, NULL, FIELD(method), methods },
    { "expect", USHER_OPTION_TEXT, 0, 1, APR_INT32_MAX, "an expression", FIELD(expect) },
    { "interval", USHER_OPTION_DURATION, 0, INTERVAL, FIELD(interval) },
    { "down-interval", USHER_OPTION_DURATION, 0, INTERVAL, FIELD(down_interval) },
    { "timeout", USHER_OPTION_DURATION, 0, 10 * MS, HOUR, "10ms to 1h", FIELD(timeout) },
    { "rise", USHER_OPTION_NUMBER, 0, 1, USHER_CHECK_RUN_MAX, "1 to 1000", FIELD(rise) },
    { "fall", USHER_OPTION_NUMBER, 0, 1, USHER_CHECK_RUN_MAX, "1 to 1000", FIELD(fall) },
    { "slowstart", USHER_OPTION_DURATION, 0, 0, HOUR, "0 to 1h", FIELD(slowstart) },
    { NULL }
};

static const balancer_probe_conf_t defaults = {
    .interval = 5000 * MS, .timeout = 2000 * MS, .rise = 2, .fall = 3, .slowstart = 10000 * MS,
};

static int conf_kind(const char *word)
{
    int i;

    for (i = 0; kinds[i] && ap_cstr_casecmp(kinds[i], word) != 0; ++i) {
    }
    return i;
}

/* Blanks and control characters would be another request's business. */
static int conf_is_plain(const char *text)
{
    for (; *text; ++text) {
        if ((unsigned char)*text <= ' ' || *text == 0x7F) {
            return 0;
        }
    }
    return 1;
}

/* What the keys do not tell by themselves. Returns what is wrong, or NULL. */
static const char *conf_judge(cmd_parms *cmd, balancer_probe_conf_t *conf)
{
    const char *why;

    if ((conf->path || conf->host || conf->expect || conf->method)
        && (conf->kind == USHER_CHECK_TCP || conf->kind == USHER_CHECK_CPING)) {
        return apr_psprintf(cmd->pool, "%s: path=, host=, method= and expect= are for checks "
                            "over HTTP: leave them out, or check with auto, http or https",
                            kinds[conf->kind]);
    }
    if (conf->path && (*conf->path != '/' || !conf_is_plain(conf->path))) {
        return apr_psprintf(cmd->pool, "\"path=%s\": a path begins with a slash, and has neither "
                            "blanks nor control characters in it", conf->path);
    }
    if (conf->host && (!conf_is_plain(conf->host) || strpbrk(conf->host, "/?#@\\\""))) {
        return apr_psprintf(cmd->pool, "\"host=%s\": takes a name, with or without a port",
                            conf->host);
    }
    why = conf->expect ? probe_expect_parse(cmd, conf->expect, &conf->expression) : NULL;
    return why ? apr_psprintf(cmd->pool, "\"expect=%s\": %s", conf->expect, why) : NULL;
}

const char *balancer_probe_set(cmd_parms *cmd, void *dir, const char *line)
{
    balancer_probe_conf_t *conf = &((balancer_conf_t *)dir)->probe, set = defaults;
    const apr_array_header_t *words = usher_conf_words(cmd->pool, line);
    char *const *word = (char *const *)words->elts;
    const char *why = balancer_conf_why_not_here(cmd);

    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    set.set = 1;
    set.kind = words->nelts ? conf_kind(word[0]) : AUTO + 1;
    if (set.kind > AUTO || (set.kind == USHER_CHECK_OFF && words->nelts > 1)) {
        return usher_conf_refuse(cmd, apr_psprintf(
            cmd->pool, "\"%s\": takes off alone; or auto, tcp, cping, http or https, and "
            "key=value after it", line));
    }
    if (words->nelts > 1) {
        why = usher_options_set(cmd->pool, &set, sizeof(set), keys, words->nelts - 1, word + 1);
    }
    why = why ? why : conf_judge(cmd, &set);
    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    set.path = set.path ? set.path : "/";
    set.down_interval = set.down_interval ? set.down_interval : set.interval;
    *conf = set;
    return NULL;
}

void balancer_probe_merge(balancer_probe_conf_t *conf, const balancer_probe_conf_t *base,
                          const balancer_probe_conf_t *add)
{
    *conf = add->set ? *add : *base;
}

void balancer_probe_conf_join(balancer_probe_conf_t *conf, const balancer_probe_conf_t *cluster,
                              const char *check, const char *scheme)
{
    int is_ajp = !ap_cstr_casecmp(scheme, "ajp");
    int is_path = *check == '/' && conf_is_plain(check);

    *conf = cluster->set && cluster->kind != USHER_CHECK_OFF ? *cluster : defaults;
    if (conf->kind == USHER_CHECK_OFF) {
        conf->kind = is_ajp ? AUTO : USHER_CHECK_TCP;
        conf->path = "/";
        conf->down_interval = conf->interval;
    }
    if (is_path && !is_ajp) {
        conf->kind = AUTO;
        conf->path = check;
    }
    else if (is_path || !strcmp(check, "cping")) {
        conf->kind = is_ajp ? AUTO : USHER_CHECK_TCP;
    }
    else if (!strcmp(check, "tcp")) {
        conf->kind = USHER_CHECK_TCP;
    }
}

/* What a member's scheme says. */
static usher_check_kind_e conf_auto(const char *scheme)
{
    return !ap_cstr_casecmp(scheme, "ajp") ? USHER_CHECK_CPING
         : !ap_cstr_casecmp(scheme, "https") || !ap_cstr_casecmp(scheme, "wss")
               ? USHER_CHECK_HTTPS : USHER_CHECK_HTTP;
}

usher_check_kind_e probe_conf_kind(const balancer_probe_conf_t *conf, const proxy_worker *worker)
{
    return conf->kind == USHER_CHECK_OFF || conf->kind == USHER_CHECK_TCP
               ? (usher_check_kind_e)conf->kind : conf_auto(worker->s->scheme);
}

void probe_conf_params(const balancer_probe_conf_t *conf, const balancer_member_t *member,
                       usher_check_params_t *params)
{
    params->kind = probe_conf_kind(conf, member->worker);
    params->server = balancer_probe_server(member);
    params->proves = member->joined && member->rec->generation;
    params->interval = (apr_uint32_t)apr_time_as_msec(conf->interval);
    params->down_interval = (apr_uint32_t)apr_time_as_msec(conf->down_interval);
    params->timeout = (apr_uint32_t)apr_time_as_msec(conf->timeout);
    params->rise = (apr_uint32_t)conf->rise;
    params->fall = (apr_uint32_t)conf->fall;
    params->spread = member->rec->place;
}

const char *probe_conf_word(usher_check_kind_e kind)
{
    return kinds[kind];
}

const char *probe_conf_method(const balancer_probe_conf_t *conf)
{
    return methods[conf->method];
}

const char *balancer_probe_why_not(const proxy_balancer *b, server_rec *s, apr_pool_t *p)
{
    const balancer_probe_conf_t *conf = &balancer_conf_of(b, s, p)->probe;
    int i;

    for (i = 0; i < b->workers->nelts && conf->kind != AUTO; ++i) {
        const proxy_worker *worker = APR_ARRAY_IDX(b->workers, i, proxy_worker *);

        if (probe_conf_kind(conf, worker) != (usher_check_kind_e)conf->kind) {
            return apr_psprintf(p, "\"UsherCheck %s\" does not fit its member %s: take auto, or "
                                "tcp, which fits all", kinds[conf->kind], worker->s->name_ex);
        }
    }
    return NULL;
}
