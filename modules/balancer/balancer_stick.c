/* The stick table: a value of a request (a cookie, say) tells which member it belongs to,
 * as an answer of that member has told before.
 *
 * One table in the piece "sticks" for all clusters. An entry's key is the hash of cluster,
 * rule and value, its value the member's id. A request looks nothing up for which a cookie
 * or route has decided already. */
#include <apr_general.h>

#include "balancer_private.h"
#include "usher_cookie.h"
#include "usher_setcookie.h"

APLOG_USE_MODULE(usher_balancer);

#define LAYOUT 1
#define BUCKET_SIZE USHER_TABLE_BUCKET_SIZE(USHER_ID_SIZE)

/* STAYS: found, and another member may serve this one request, but not be remembered. */
enum { NOT_ASKED, NO_VALUE, HAS_VALUE, FOUND, STAYS };

/* A request's value of each rule, as far as it was asked for. */
struct balancer_stick_request_t {
    unsigned char state[BALANCER_STICK_RULES];
    usher_table_key_t keys[BALANCER_STICK_RULES];
    unsigned char members[BALANCER_STICK_RULES][USHER_ID_SIZE]; /* where FOUND or STAYS */
};

static usher_memory_t *memory;
static usher_table_t table; /* its header is NULL: there is none */

static void stick_init(void *base, apr_uint64_t size)
{
    unsigned char secret[USHER_TABLE_SECRET_SIZE] = { 0 };
    usher_table_t fresh;

    apr_generate_random_bytes(secret, sizeof(secret));
    usher_table_open(&fresh, base, size, USHER_ID_SIZE, BALANCER_STICK_LIFE_MAX);
    usher_table_init(&fresh, secret);
}

static apr_status_t stick_carry(void *to, apr_uint64_t to_size, const void *from,
                                apr_uint64_t from_size, apr_uint32_t from_layout,
                                usher_memory_carried_t *carried)
{
    usher_table_t fresh, old;

    if (from_layout != LAYOUT) {
        return APR_ENOTIMPL;
    }
    usher_table_open(&fresh, to, to_size, USHER_ID_SIZE, BALANCER_STICK_LIFE_MAX);
    usher_table_open(&old, (void *)from, from_size, USHER_ID_SIZE, BALANCER_STICK_LIFE_MAX);
    usher_table_carry(&fresh, &old, balancer_now(), &carried->kept, &carried->dropped);
    return APR_SUCCESS;
}

static const usher_memory_spec_t stick_spec = {
    .name = "sticks",
    .layout = LAYOUT,
    .size = (apr_uint64_t)6 * 1024 * 1024, /* 100,000 entries, and a quarter more */
    .size_min = 64 * 1024,
    .size_max = (apr_uint64_t)1 << 36,
    .init = stick_init,
    .carry = stick_carry,
};

void balancer_stick_check_config(void)
{
    memory = balancer_core ? balancer_core->memory_declare(&stick_spec) : NULL;
}

void balancer_stick_post_config(void)
{
    apr_uint64_t size = 0;
    void *base = memory && balancer_core ? balancer_core->memory_base(memory, &size) : NULL;

    memset(&table, 0, sizeof(table));
    if (base) {
        usher_table_open(&table, base, size, USHER_ID_SIZE, BALANCER_STICK_LIFE_MAX);
    }
}

const balancer_stick_t *balancer_stick_of(const balancer_stick_conf_t *conf, const char *name,
                                          const char *server, apr_pool_t *p)
{
    balancer_stick_t *stick;
    int i;

    if (!conf || !table.header) {
        return NULL;
    }
    stick = apr_pcalloc(p, sizeof(*stick));
    stick->conf = conf;
    for (i = 0; i < conf->count; ++i) {
        /* What they are of one after the other, with a NUL between: no two are the same. */
        apr_size_t len = strlen(name) + strlen(server) + strlen(conf->rules[i].text) + 2;
        const char *text = apr_psprintf(p, "%s%c%s%c%s", name, 0, server, 0, conf->rules[i].text);

        stick->spaces[i] = usher_table_space(&table, text, len);
    }
    return stick;
}

static const char *stick_expr(const balancer_stick_rule_t *rule, request_rec *r)
{
    const char *why = NULL, *value = ap_expr_str_exec(r, rule->expr, &why);

    if (why) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(3040)
                      "UsherStick %s: it cannot be evaluated: %s. Look at the functions and "
                      "variables in it", rule->text, why);
        return NULL;
    }
    return value;
}

/* A rule's value in a request; without one its len is 0. */
static usher_span_t stick_value(const balancer_stick_rule_t *rule, request_rec *r)
{
    usher_span_t value = { NULL, 0 };
    const char *field;
    apr_size_t at = 0, len;

    switch (rule->kind) {
    case BALANCER_STICK_COOKIE:
        value.text = apr_table_get(r->headers_in, "Cookie");
        len = value.text ? strlen(value.text) : 0;
        for (field = value.text; len && !value.len;) {
            if (!usher_cookie_next(&value, &at, field, len, rule->name, strlen(rule->name))) {
                break;
            }
        }
        return value;
    case BALANCER_STICK_HEADER:
        value.text = apr_table_get(r->headers_in, rule->name);
        break;
    default:
        value.text = stick_expr(rule, r);
    }
    value.len = value.text ? strlen(value.text) : 0;
    return value;
}

static int stick_is_key(const usher_span_t *value)
{
    return value->len && value->len <= BALANCER_STICK_VALUE_MAX;
}

/* Of a rule, in a request. NULL: there is no value */
static const usher_table_key_t *stick_key(balancer_request_t *request, request_rec *r, int i)
{
    const balancer_stick_t *stick = request->cluster->stick;
    balancer_stick_request_t *known = request->stick;

    if (!known) {
        known = request->stick = apr_palloc(r->pool, sizeof(*known));
        memset(known->state, NOT_ASKED, sizeof(known->state));
    }
    if (known->state[i] == NOT_ASKED) {
        usher_span_t value = stick_value(&stick->conf->rules[i], r);

        known->state[i] = stick_is_key(&value) ? HAS_VALUE : NO_VALUE;
        if (known->state[i] == HAS_VALUE) {
            known->keys[i] = usher_table_key(&stick->spaces[i], value.text, value.len);
        }
    }
    return known->state[i] == NO_VALUE ? NULL : &known->keys[i];
}

/* With nofailover= a member that rests is better than none, and none better than another. */
static int stick_use(const balancer_request_t *request, const balancer_choice_t *choice, int i)
{
    balancer_standing_e standing = balancer_pick_standing(choice, i, NULL);

    if (standing == BALANCER_STANDING_USABLE
        || (standing == BALANCER_STANDING_DUE && balancer_pick_try(choice, i))) {
        return i;
    }
    if (!request->balancer->s->sticky_force) {
        return -1;
    }
    return standing == BALANCER_STANDING_OFF ? BALANCER_SESSION_NOBODY : i;
}

/* One that is asked for again, after a first attempt, counts once. */
static void stick_count(const balancer_request_t *request, _Atomic apr_uint64_t *count)
{
    if (!request->attempts) {
        atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
    }
}

int balancer_stick_find(balancer_request_t *request, request_rec *r,
                        const balancer_choice_t *choice)
{
    const balancer_stick_t *stick = request->cluster->stick;
    int i, asked = 0;

    for (i = 0; stick && i < stick->conf->count; ++i) {
        const usher_table_key_t *key = stick_key(request, r, i);

        if (key && usher_table_get(&table, key, choice->now, stick->conf->rules[i].life,
                                   request->stick->members[i])) {
            int member = balancer_clusters_by_id(choice->members, request->stick->members[i]);
            int use = member < 0 ? -1 : stick_use(request, choice, member);

            request->stick->state[i] =
                member >= 0 && use != member && balancer_pick_is_passing(choice, member) ? STAYS
                                                                                         : FOUND;
            if (use < 0 && member >= 0 && request->resting < 0) {
                request->resting = member;
            }
            stick_count(request, &request->cluster->rec->stick.found);
            return use;
        }
        asked |= key != NULL;
    }
    if (asked) {
        stick_count(request, &request->cluster->rec->stick.missed);
    }
    return -1;
}

int balancer_stick_was_found(const balancer_request_t *request)
{
    const balancer_stick_t *stick = request->cluster->stick;
    int i;

    for (i = 0; stick && request->stick && i < stick->conf->count; ++i) {
        if (request->stick->state[i] == FOUND || request->stick->state[i] == STAYS) {
            return 1;
        }
    }
    return 0;
}

/* Of one rule, when an answer has come. */
typedef struct {
    balancer_request_t *request;
    request_rec *r;
    int rule;
    int member;
    int cleared; /* the cookie was cleared, and not set again */
} stick_learning_t;

static void stick_put(const stick_learning_t *learning, const usher_table_key_t *key)
{
    const balancer_request_t *request = learning->request;
    usher_stick_t *counts = &request->cluster->rec->stick;

    switch (usher_table_put(&table, key, balancer_now(),
                            request->cluster->stick->conf->rules[learning->rule].life,
                            request->members->list[learning->member].id)) {
    case USHER_TABLE_EVICTED:
        atomic_fetch_add_explicit(&counts->evicted, 1, memory_order_relaxed);
        /* fall through */
    case USHER_TABLE_NEW:
        atomic_fetch_add_explicit(&counts->learned, 1, memory_order_relaxed);
        break;
    case USHER_TABLE_CHANGED:
        atomic_fetch_add_explicit(&counts->moved, 1, memory_order_relaxed);
        break;
    default:
        break;
    }
}

static void stick_put_value(const stick_learning_t *learning, const usher_span_t *value)
{
    if (stick_is_key(value)) {
        const balancer_stick_t *stick = learning->request->cluster->stick;
        usher_table_key_t key = usher_table_key(&stick->spaces[learning->rule], value->text,
                                                value->len);

        stick_put(learning, &key);
    }
}

static void stick_remove(const stick_learning_t *learning, const usher_table_key_t *key)
{
    if (key && usher_table_remove(&table, key, balancer_now())) {
        atomic_fetch_add_explicit(&learning->request->cluster->rec->stick.removed, 1,
                                  memory_order_relaxed);
    }
}

/* A field Set-Cookie of the answer */
static int stick_see_cookie(void *baton, const char *name, const char *text)
{
    stick_learning_t *learning = baton;
    const balancer_stick_t *stick = learning->request->cluster->stick;
    const balancer_stick_rule_t *rule = &stick->conf->rules[learning->rule];
    usher_span_t value;
    usher_table_key_t key;

    switch (usher_setcookie(&value, text, strlen(text), rule->learn_name,
                            strlen(rule->learn_name), apr_time_sec(learning->r->request_time))) {
    case USHER_SETCOOKIE_SETS:
        stick_put_value(learning, &value);
        learning->cleared = 0;
        break;
    case USHER_SETCOOKIE_CLEARS:
        stick_remove(learning, stick_key(learning->request, learning->r, learning->rule));
        if (stick_is_key(&value)) {
            key = usher_table_key(&stick->spaces[learning->rule], value.text, value.len);
            stick_remove(learning, &key);
        }
        learning->cleared = 1;
        break;
    default:
        break;
    }
    return 1;
}

static void stick_learn_cookie(stick_learning_t *learning)
{
    const apr_table_t *fields = learning->r->headers_out;

    /* Most answers set none, which this finds out sooner. */
    if (apr_table_get(fields, "Set-Cookie")) {
        apr_table_do(stick_see_cookie, learning, fields, "Set-Cookie", NULL);
    }
}

static void stick_learn(stick_learning_t *learning)
{
    balancer_request_t *request = learning->request;
    const balancer_stick_rule_t *rule = &request->cluster->stick->conf->rules[learning->rule];
    usher_span_t value = { NULL, 0 };

    switch (rule->learn) {
    case BALANCER_STICK_COOKIE:
        stick_learn_cookie(learning);
        break;
    case BALANCER_STICK_HEADER:
        value.text = apr_table_get(learning->r->headers_out, rule->learn_name);
        value.len = value.text ? strlen(value.text) : 0;
        stick_put_value(learning, &value);
        break;
    case BALANCER_STICK_REQUEST: {
        const usher_table_key_t *key = stick_key(request, learning->r, learning->rule);

        if (key && request->stick->state[learning->rule] != STAYS) {
            stick_put(learning, key);
        }
        break;
    }
    default:
        break;
    }
}

/* Its member could not serve, and another one has. */
static void stick_move(const stick_learning_t *learning)
{
    const balancer_request_t *request = learning->request;
    const balancer_stick_request_t *known = request->stick;

    if (known && known->state[learning->rule] == FOUND && !learning->cleared
        && memcmp(known->members[learning->rule], request->members->list[learning->member].id,
                  USHER_ID_SIZE) != 0) {
        stick_put(learning, &known->keys[learning->rule]);
    }
}

void balancer_stick_answered(balancer_request_t *request, request_rec *r, int i)
{
    const balancer_stick_t *stick = request->cluster->stick;
    stick_learning_t learning = { request, r, 0, i, 0 };

    for (; stick && learning.rule < stick->conf->count; ++learning.rule) {
        learning.cleared = 0;
        stick_learn(&learning);
        stick_move(&learning);
    }
}
