/* UsherMemberMax and UsherQueue. */
#include "balancer_private.h"
#include "usher_duration.h"
#include "usher_number.h"

#define MAX_MOST 1000000
#define WAIT_MOST apr_time_from_sec(60)
#define MOST_DEFAULT 25

/* A line of UsherMemberMax; a line with names is one for each. */
typedef struct {
    const char *name; /* route or URL; NULL: all others */
    apr_uint32_t max; /* 0: off */
} load_maximum_t;

void balancer_load_conf_init(balancer_load_conf_t *conf)
{
    conf->maxima = NULL;
    conf->wait = USHER_UNSET;
    conf->most = USHER_UNSET;
}

void balancer_load_conf_merge(apr_pool_t *p, balancer_load_conf_t *conf,
                              const balancer_load_conf_t *base, const balancer_load_conf_t *add)
{
    conf->maxima = !base->maxima ? add->maxima
                   : !add->maxima ? base->maxima : apr_array_append(p, base->maxima, add->maxima);
    conf->wait = USHER_MERGE(wait, base, add);
    conf->most = USHER_MERGE(most, base, add);
}

static void load_add_maximum(cmd_parms *cmd, balancer_load_conf_t *conf, const char *name,
                             apr_uint32_t max)
{
    load_maximum_t maximum = { name, max };

    if (!conf->maxima) {
        conf->maxima = apr_array_make(cmd->pool, 4, sizeof(maximum));
    }
    APR_ARRAY_PUSH(conf->maxima, load_maximum_t) = maximum;
}

const char *balancer_load_conf_set_max(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    balancer_load_conf_t *conf = &((balancer_conf_t *)dir)->load;
    const char *why = balancer_conf_why_not_here(cmd);
    apr_uint64_t max = 0;
    int i;

    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    if (!argc || (ap_cstr_casecmp(argv[0], "off") != 0
                  && (!*argv[0] || argv[0][usher_number_parse(&max, MAX_MOST, argv[0], strlen(argv[0]))]
                      || !max))) {
        return usher_conf_refuse(cmd, apr_psprintf(
            cmd->pool, "\"%s\": takes a number from 1 to %d, or Off, and then the routes or "
            "URLs of members; to take a member out, disable it (status=+D)",
            argc ? argv[0] : "", MAX_MOST));
    }
    for (i = 1; i < argc; ++i) {
        load_add_maximum(cmd, conf, apr_pstrdup(cmd->pool, argv[i]), (apr_uint32_t)max);
    }
    if (argc == 1) {
        load_add_maximum(cmd, conf, NULL, (apr_uint32_t)max);
    }
    return NULL;
}

/* "most=25%" */
static int load_parse_most(int *most, const char *text)
{
    apr_uint64_t number;
    apr_size_t len;

    if (ap_cstr_casecmpn(text, "most=", 5) != 0) {
        return 0;
    }
    text += 5;
    len = strlen(text);
    if (len && text[len - 1] == '%') {
        --len;
    }
    if (!len || usher_number_parse(&number, MOST_DEFAULT, text, len) != len || !number) {
        return 0;
    }
    *most = (int)number;
    return 1;
}

const char *balancer_load_conf_set_queue(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    balancer_load_conf_t *conf = &((balancer_conf_t *)dir)->load;
    const char *why = balancer_conf_why_not_here(cmd);
    apr_interval_time_t wait = 0;
    int most = MOST_DEFAULT;

    if (why) {
        return usher_conf_refuse(cmd, why);
    }
    if (argc < 1 || argc > 2) {
        return usher_conf_refuse(cmd, "takes a time, and most=percent if need be");
    }
    if (ap_cstr_casecmp(argv[0], "off") != 0
        && (usher_duration_parse(&wait, argv[0], strlen(argv[0])) != APR_SUCCESS
            || wait > WAIT_MOST)) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes a time up to 60s; "
                                                   "0 or Off: no request waits", argv[0]));
    }
    if (argc == 2 && !load_parse_most(&most, argv[1])) {
        return usher_conf_refuse(cmd, apr_psprintf(cmd->pool, "\"%s\": takes most=1%% to most=25%%",
                                                   argv[1]));
    }
    conf->wait = wait;
    conf->most = most;
    return NULL;
}

static int load_names(const load_maximum_t *maximum, const proxy_worker *worker)
{
    return maximum->name && (!strcmp(maximum->name, worker->s->route)
                             || !ap_cstr_casecmp(maximum->name, worker->s->name_ex));
}

/* Lines that name it go before others, later ones before earlier ones. */
apr_uint32_t balancer_load_conf_max(const balancer_load_conf_t *conf, const proxy_worker *worker)
{
    const load_maximum_t *maxima = conf->maxima ? (const load_maximum_t *)conf->maxima->elts : NULL;
    int i, count = conf->maxima ? conf->maxima->nelts : 0;
    apr_uint32_t max = 0;

    for (i = 0; i < count; ++i) {
        if (!maxima[i].name) {
            max = maxima[i].max;
        }
    }
    for (i = 0; i < count; ++i) {
        if (load_names(&maxima[i], worker)) {
            max = maxima[i].max;
        }
    }
    return max;
}

static const char *load_stranger(const balancer_load_conf_t *conf, const proxy_balancer *b)
{
    int i, j, found;

    for (i = 0; conf->maxima && i < conf->maxima->nelts; ++i) {
        const load_maximum_t *maximum = &APR_ARRAY_IDX(conf->maxima, i, load_maximum_t);

        found = !maximum->name;
        for (j = 0; j < b->workers->nelts && !found; ++j) {
            found = load_names(maximum, APR_ARRAY_IDX(b->workers, j, const proxy_worker *));
        }
        if (!found) {
            return maximum->name;
        }
    }
    return NULL;
}

const char *balancer_load_conf_why_not(const balancer_load_conf_t *conf, const proxy_balancer *b,
                                       apr_pool_t *p)
{
    const char *stranger = load_stranger(conf, b);

    if (conf->maxima && !ap_find_linked_module(BALANCER_BACKEND)) {
        return "UsherMemberMax does nothing without mod_usher_backend, as the stock modules do not "
               "tell when a request is over: load that, or remove the line";
    }
    if (stranger) {
        return apr_psprintf(p, "UsherMemberMax names \"%s\", and no member has this route or URL: "
                            "write it as in its BalancerMember line", stranger);
    }
    if (conf->wait > 0 && !conf->maxima) {
        return "UsherQueue does nothing without UsherMemberMax: say how many requests a member "
               "may have at a time, or remove the line";
    }
    return NULL;
}
