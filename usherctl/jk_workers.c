/* What workers.properties means: the workers, their types and members, and the
 * values that each has of its own or by reference=. */
#include <apr_lib.h>
#include <string.h>

#include "jk.h"

/* As in mod_jk */
#define JK_REFERENCES_MAX 20

/* A value under this prefix, also by one of its older names. */
static jk_property_t *workers_own(const jk_properties_t *props, const char *prefix, const char *key)
{
    jk_property_t *found
        = jk_properties_get(props, apr_pstrcat(props->pool, prefix, ".", key, NULL));
    const jk_key_t *old;
    int i;

    for (i = 0; !found && (old = jk_key_at(i)) != NULL; ++i) {
        /* disabled= and stopped= are no values of activation= */
        if (old->newer && !strcmp(old->newer, key) && old->kind != JK_BOOL) {
            found = jk_properties_get(props, apr_pstrcat(props->pool, prefix, ".", old->name, NULL));
        }
    }
    return found;
}

jk_property_t *jk_value(const jk_workers_t *workers, const jk_worker_t *worker, const char *key)
{
    const char *prefix = worker->prefix;
    jk_property_t *found = NULL;
    int steps;

    for (steps = 0; prefix && !found && steps <= JK_REFERENCES_MAX; ++steps) {
        const jk_property_t *reference;

        found = workers_own(workers->props, prefix, key);
        reference = jk_properties_get(workers->props,
                                      apr_pstrcat(workers->pool, prefix, ".reference", NULL));
        prefix = reference ? reference->value : NULL;
    }
    return found;
}

const char *jk_text(const jk_workers_t *workers, const jk_worker_t *worker, const char *key)
{
    const jk_property_t *property = jk_value(workers, worker, key);

    return property ? property->value : NULL;
}

/* Whole numbers from 0 on, K and M behind them as mod_jk takes them; -1: none. */
static int workers_number(const char *text)
{
    char *end = NULL;
    apr_int64_t number = apr_strtoi64(text, &end, 10);
    int unit = 1;

    if (*end && strchr("kKmM", *end)) {
        unit = apr_tolower(*end++) == 'k' ? 1024 : 1024 * 1024;
    }
    return end == text || *end || number < 0 || number > APR_INT32_MAX / unit ? -1
                                                                              : (int)number * unit;
}

/* mod_jk looks at the first letter, but for "on" and "off"; -1: neither. */
static int workers_bool(const char *text)
{
    int letter = apr_tolower(*text);

    if (!apr_strnatcasecmp(text, "on") || !strcmp(text, "1") || letter == 't' || letter == 'y') {
        return 1;
    }
    if (!apr_strnatcasecmp(text, "off") || !strcmp(text, "0") || letter == 'f' || letter == 'n') {
        return 0;
    }
    return -1;
}

int jk_number(const jk_workers_t *workers, const jk_worker_t *worker, const char *key, int otherwise)
{
    const jk_property_t *property = jk_value(workers, worker, key);
    int number = property ? workers_number(property->value) : -1;

    return number < 0 ? otherwise : number;
}

int jk_bool(const jk_workers_t *workers, const jk_worker_t *worker, const char *key, int otherwise)
{
    const jk_property_t *property = jk_value(workers, worker, key);
    int truth = property ? workers_bool(property->value) : -1;

    return truth < 0 ? otherwise : truth;
}

/* Numbers that are none, also of templates and of what is not used after all */
static void workers_check(const jk_properties_t *props)
{
    int i;

    for (i = 0; i < props->list->nelts; ++i) {
        const jk_property_t *property = APR_ARRAY_IDX(props->list, i, jk_property_t *);
        const char *last = strrchr(property->name, '.');
        const jk_key_t *key = last ? jk_key_find(last + 1) : NULL;

        if (!key || last == property->name + 6) {
            continue;
        }
        if (key->kind == JK_NUMBER && workers_number(property->value) < 0) {
            ctl_error(props->notes, &property->at, "%s=%.60s is not a whole number from 0 on",
                      property->name, property->value);
        }
        if (key->kind == JK_BOOL && workers_bool(property->value) < 0) {
            ctl_error(props->notes, &property->at, "%s=%.60s is neither true nor false",
                      property->name, property->value);
        }
    }
}

char jk_letter(const jk_workers_t *workers, const jk_worker_t *worker, const char *key, char otherwise)
{
    const char *text = jk_text(workers, worker, key);

    return (char)(text ? apr_tolower(*text) : otherwise);
}

apr_array_header_t *jk_words(apr_pool_t *p, const char *list)
{
    apr_array_header_t *words = apr_array_make(p, 4, sizeof(const char *));
    char *copy = apr_pstrdup(p, list ? list : ""), *last, *word;

    for (word = apr_strtok(copy, " \t,", &last); word; word = apr_strtok(NULL, " \t,", &last)) {
        APR_ARRAY_PUSH(words, const char *) = word;
    }
    return words;
}

jk_worker_t *jk_worker_get(const jk_workers_t *workers, const char *name)
{
    return apr_hash_get(workers->by_name, name, APR_HASH_KEY_STRING);
}

int jk_worker_listed(const jk_workers_t *workers, const jk_worker_t *worker)
{
    int i;

    for (i = 0; i < workers->list->nelts; ++i) {
        if (APR_ARRAY_IDX(workers->list, i, jk_worker_t *) == worker) {
            return 1;
        }
    }
    return 0;
}

static void workers_references(jk_workers_t *workers, const jk_worker_t *worker)
{
    const char *prefix = worker->prefix;
    int steps;

    for (steps = 0; steps <= JK_REFERENCES_MAX; ++steps) {
        const jk_property_t *reference = jk_properties_get(
            workers->props, apr_pstrcat(workers->pool, prefix, ".reference", NULL));
        const char *from = reference ? apr_pstrcat(workers->pool, reference->value, ".", NULL) : NULL;
        int i, known = 0;

        if (!from) {
            return;
        }
        for (i = 0; !known && i < workers->props->list->nelts; ++i) {
            known = !strncmp(APR_ARRAY_IDX(workers->props->list, i, jk_property_t *)->name, from,
                             strlen(from));
        }
        if (!known) {
            ctl_error(workers->notes, &reference->at, "%s=%s: there is nothing of that name%s",
                      reference->name, reference->value,
                      strncmp(from, "worker.", 7) ? " (\"worker.\" belongs to it)" : "");
            return;
        }
        prefix = reference->value;
    }
    ctl_error(workers->notes, &worker->at, "the references of worker %s go round in a ring",
              worker->name);
}

static void workers_type(jk_workers_t *workers, jk_worker_t *worker)
{
    const char *type = jk_text(workers, worker, "type");

    worker->type = JK_AJP;
    if (!type || !strcmp(type, "ajp13")) {
        return;
    }
    if (!strcmp(type, "lb")) {
        worker->type = JK_LB;
    }
    else if (!strcmp(type, "status")) {
        worker->type = JK_STATUS;
    }
    else if (!strcmp(type, "ajp12") || !strcmp(type, "ajp14") || !strcmp(type, "jni")) {
        worker->type = JK_OTHER;
        worker->unsupported = apr_psprintf(
            workers->pool, "type=%s: no Tomcat of today speaks it; give it an AJP connector and make it ajp13",
            type);
    }
    else {
        ctl_error(workers->notes, &jk_value(workers, worker, "type")->at,
                  "worker %s: type=%.60s is none of mod_jk's", worker->name, type);
    }
}

/* Takes "host:port", "[v6]:port", "[v6]", "v6" or "host" apart: the host, and in
 * *port what stood behind it, -1 where that is no port. NULL: no such thing. */
static const char *workers_host(apr_pool_t *p, const char *text, int *port)
{
    char *host = apr_pstrdup(p, text), *colon = strrchr(host, ':'), *end;
    apr_int64_t number;

    if (*host == '[') {
        end = strchr(++host, ']');
        if (!end || (end[1] && end[1] != ':')) {
            return NULL;
        }
        *end = '\0';
        colon = end[1] ? end + 1 : NULL;
    }
    else if (strchr(host, ':') != colon) {
        colon = NULL;
    }
    if (colon) {
        *colon = '\0';
        number = apr_strtoi64(colon + 1, &end, 10);
        *port = end == colon + 1 || *end || number < 0 || number > 65535 ? -1 : (int)number;
    }
    return host;
}

static void workers_address(jk_workers_t *workers, jk_worker_t *worker)
{
    const jk_property_t *property = jk_value(workers, worker, "host");
    const char *text = property ? property->value : "localhost";
    int port = jk_number(workers, worker, "port", 8009);
    const char *host = workers_host(workers->pool, text, &port);
    const char *good = host && strchr(host, ':')
        ? "0123456789abcdefABCDEF:."
        : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (!host || !*host || strspn(host, good) != strlen(host) || strlen(host) > 200 || port < 0
        || port > 65535) {
        ctl_error(workers->notes, property ? &property->at : &worker->at,
                  "worker %s: \"%.100s\" with port %d is no address of a server", worker->name,
                  text, port);
    }
    else if (!port) {
        worker->unsupported = "port=0: it has no address yet";
    }
    else {
        worker->url = apr_psprintf(workers->pool,
                                   strchr(host, ':') ? "ajp://[%s]:%d" : "ajp://%s:%d", host, port);
    }
}

static jk_worker_t *workers_make(jk_workers_t *workers, const char *name, const ctl_place_t *at);

static void workers_members(jk_workers_t *workers, jk_worker_t *worker)
{
    const jk_property_t *property = jk_value(workers, worker, "balance_workers");
    apr_array_header_t *names = jk_words(workers->pool, property ? property->value : NULL);
    int i;

    worker->members = apr_array_make(workers->pool, 4, sizeof(jk_worker_t *));
    if (!names->nelts) {
        ctl_error(workers->notes, &worker->at, "worker %s: an lb without balance_workers",
                  worker->name);
    }
    for (i = 0; i < names->nelts; ++i) {
        jk_worker_t *member = workers_make(workers, APR_ARRAY_IDX(names, i, const char *),
                                           &property->at);

        if (member && member->type & (JK_LB | JK_STATUS)) {
            ctl_error(workers->notes, &property->at,
                      "worker %s: its member %s is no server but of type %s", worker->name,
                      member->name, member->type == JK_LB ? "lb" : "status");
        }
        else if (member) {
            APR_ARRAY_PUSH(worker->members, jk_worker_t *) = member;
        }
    }
}

static int workers_taken(const jk_workers_t *workers, const jk_worker_t *worker, const char *url)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(workers->pool, workers->by_name); hi; hi = apr_hash_next(hi)) {
        const jk_worker_t *other = apr_hash_this_val(hi);

        if (other != worker && other->url && !strcmp(other->url, url)) {
            return 1;
        }
    }
    return 0;
}

/* httpd knows balancers by their names in small letters. */
static void workers_balancer(jk_workers_t *workers, jk_worker_t *worker)
{
    char *url = apr_pstrcat(workers->pool, "balancer://", worker->name, NULL);
    char *c;

    for (c = url; *c; ++c) {
        *c = (char)apr_tolower(*c);
    }
    while (strlen(url) <= 60 && workers_taken(workers, worker, url)) {
        url = apr_pstrcat(workers->pool, url, "-2", NULL);
    }
    if (strlen(url) > 60) {
        ctl_error(workers->notes, &worker->at, "worker %s: a balancer cannot have so long a name",
                  worker->name);
    }
    worker->url = url;
}

/* The first line that tells of a worker. */
static const ctl_place_t *workers_place(const jk_workers_t *workers, const char *prefix)
{
    const char *from = apr_pstrcat(workers->pool, prefix, ".", NULL);
    int i;

    for (i = 0; i < workers->props->list->nelts; ++i) {
        const jk_property_t *property = APR_ARRAY_IDX(workers->props->list, i, jk_property_t *);

        if (!strncmp(property->name, from, strlen(from))) {
            return &property->at;
        }
    }
    return NULL;
}

static jk_worker_t *workers_make(jk_workers_t *workers, const char *name, const ctl_place_t *at)
{
    jk_worker_t *worker = jk_worker_get(workers, name);
    const char *prefix = apr_pstrcat(workers->pool, "worker.", name, NULL);
    const ctl_place_t *place;

    if (worker) {
        return worker;
    }
    place = workers_place(workers, prefix);
    if (!place) {
        ctl_error(workers->notes, at, "there is no worker %.100s: no line begins with %.100s.", name,
                  prefix);
        return NULL;
    }
    worker = apr_pcalloc(workers->pool, sizeof(*worker));
    worker->name = apr_pstrdup(workers->pool, name);
    worker->prefix = prefix;
    worker->at = *place;
    apr_hash_set(workers->by_name, worker->name, APR_HASH_KEY_STRING, worker);
    workers_references(workers, worker);
    workers_type(workers, worker);
    if (worker->type == JK_AJP) {
        workers_address(workers, worker);
    }
    else if (worker->type == JK_LB) {
        workers_balancer(workers, worker);
        workers_members(workers, worker);
    }
    return worker;
}

jk_workers_t *jk_workers_make(jk_properties_t *props)
{
    jk_workers_t *workers = apr_palloc(props->pool, sizeof(*workers));
    const jk_property_t *list = jk_properties_get(props, "worker.list");
    apr_array_header_t *names = jk_words(props->pool, list ? list->value : "ajp13");
    ctl_place_t nowhere = { props->list->nelts
                                ? APR_ARRAY_IDX(props->list, 0, jk_property_t *)->at.file
                                : "workers.properties",
                            0 };
    int i;

    workers_check(props);
    workers->pool = props->pool;
    workers->notes = props->notes;
    workers->props = props;
    workers->by_name = apr_hash_make(props->pool);
    workers->list = apr_array_make(props->pool, names->nelts, sizeof(jk_worker_t *));
    if (!list) {
        ctl_note(props->notes, &nowhere, "no worker.list: mod_jk takes the worker ajp13 then");
    }
    for (i = 0; i < names->nelts; ++i) {
        jk_worker_t *worker = workers_make(workers, APR_ARRAY_IDX(names, i, const char *),
                                           list ? &list->at : &nowhere);

        if (worker && !jk_worker_listed(workers, worker)) {
            APR_ARRAY_PUSH(workers->list, jk_worker_t *) = worker;
        }
    }
    return workers;
}
