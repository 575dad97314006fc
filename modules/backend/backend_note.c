/* What the log, the environment and other modules are told of a request:
 * attempts, times, bytes, and who ended it when, with HAProxy's letters. */
#include "backend_private.h"

APLOG_USE_MODULE(usher_backend);

static const char *note_outcome(usher_outcome_e outcome)
{
    static const char *const names[] = {
        [USHER_OUTCOME_OK] = "ok",
        [USHER_OUTCOME_REFUSED] = "refused",
        [USHER_OUTCOME_UNREACHABLE] = "unreachable",
        [USHER_OUTCOME_STALE] = "stale",
        [USHER_OUTCOME_CUT] = "cut",
        [USHER_OUTCOME_TIMEOUT] = "timeout",
        [USHER_OUTCOME_MALFORMED] = "malformed",
        [USHER_OUTCOME_CLIENT] = "client",
        [USHER_OUTCOME_LIMIT] = "limit",
    };

    return names[outcome];
}

/* In which phase the attempt ended. */
static char note_phase(const backend_exchange_t *x, backend_end_e end)
{
    if (end == BACKEND_END_CLIENT && x->state.who == 'P') {
        return 'R'; /* the rest of the request */
    }
    if (end == BACKEND_END_NO_LINK || x->connected_at == 0 || x->sending == BACKEND_SEND_HEAD) {
        return 'C';
    }
    if (end == BACKEND_END_UPGRADED) {
        return x->state.who == '-' ? '-' : 'D';
    }
    if (end == BACKEND_END_ANSWERED || end == BACKEND_END_OVERRIDE) {
        return '-';
    }
    return x->receiving == BACKEND_RECV_HEAD ? 'H' : 'D';
}

static apr_interval_time_t note_span(apr_time_t from, apr_time_t to)
{
    return from && to >= from ? to - from : -1;
}

/* Without the path: that is in the request line. */
const char *backend_note_member(const backend_exchange_t *x)
{
    const char *url = x->member.url, *end = ap_strstr_c(url, "://");
    const char *uds_path = x->target ? x->target->uds_path : NULL;

    end = end ? ap_strchr_c(end + 3, '/') : NULL;
    url = end ? apr_pstrmemdup(x->r->pool, url, end - url) : url;
    if (x->remote_host) {
        return apr_psprintf(x->r->pool, "%s(by the proxy %s:%d)", url, x->remote_host,
                            x->remote_port);
    }
    return uds_path ? apr_pstrcat(x->r->pool, "unix:", uds_path, "|", url, NULL) : url;
}

void backend_note_attempt(backend_exchange_t *x, backend_end_e end)
{
    usher_attempt_facts_t *trace;
    apr_time_t now = backend_now();
    int linked = end != BACKEND_END_NO_LINK;

    x->state.phase = note_phase(x, end);
    if (x->traces_len == BACKEND_ATTEMPTS_MAX) {
        return;
    }
    trace = &x->traces[x->traces_len++];
    trace->member = backend_note_member(x);
    trace->outcome = x->outcome;
    trace->connect = linked ? x->reused ? 0 : note_span(x->began_at, x->connected_at) : -1;
    trace->send = linked ? note_span(x->connected_at, x->sent_at) : -1;
    trace->first = linked ? note_span(x->sent_at ? x->sent_at : x->connected_at, x->first_at) : -1;
    trace->body = x->first_at ? note_span(x->first_at, now) : -1;
}

/* Texts are put together in one buffer: these are made for each request. */

#define NUMBER_SIZE 20

static char *note_put(char *at, const char *text)
{
    while (*text) {
        *at++ = *text++;
    }
    return at;
}

/* "-" for a negative one. */
static char *note_put_number(char *at, apr_int64_t number)
{
    apr_int64_t rest;
    char *end;

    if (number < 0) {
        *at = '-';
        return at + 1;
    }
    for (end = at + 1, rest = number; rest >= 10; rest /= 10) {
        ++end;
    }
    at = end;
    do {
        *--at = (char)('0' + (apr_uint64_t)number % 10);
        number /= 10;
    } while (number);
    return end;
}

#define TIMES_SIZE (4 * (NUMBER_SIZE + 1))

static char *note_put_times(char *at, const usher_attempt_facts_t *trace)
{
    at = note_put_number(at, trace->connect);
    *at++ = '/';
    at = note_put_number(at, trace->send);
    *at++ = '/';
    at = note_put_number(at, trace->first);
    *at++ = '/';
    return note_put_number(at, trace->body);
}

static const char *note_attempts(apr_pool_t *p, const backend_exchange_t *x)
{
    apr_size_t size = 1;
    char *all, *at;
    int i;

    for (i = 0; i < x->traces_len; ++i) {
        size += strlen(x->traces[i].member) + sizeof("=unreachable/,") + TIMES_SIZE;
    }
    all = at = apr_palloc(p, size);
    for (i = 0; i < x->traces_len; ++i) {
        if (i) {
            *at++ = ',';
        }
        at = note_put(at, x->traces[i].member);
        *at++ = '=';
        at = note_put(at, note_outcome(x->traces[i].outcome));
        *at++ = '/';
        at = note_put_times(at, &x->traces[i]);
    }
    *at = '\0';
    return all;
}

static const char *note_times(apr_pool_t *p, const backend_exchange_t *x,
                              const usher_attempt_facts_t *trace)
{
    char *times = apr_palloc(p, TIMES_SIZE + NUMBER_SIZE + 2);
    char *at = note_put_times(times, trace);

    *at++ = '/';
    at = note_put_number(at, x->ended_at - x->arrived_at);
    *at = '\0';
    return times;
}

static const char *note_bytes(apr_pool_t *p, const backend_exchange_t *x)
{
    char *bytes = apr_palloc(p, 2 * NUMBER_SIZE + 2);
    char *at = note_put_number(bytes, x->bytes_out);

    *at++ = '/';
    at = note_put_number(at, x->bytes_in);
    *at = '\0';
    return bytes;
}

/* Called once for a request, so nothing of these names is there yet. */
static void note_add(request_rec *r, const char *name, const char *value)
{
    apr_table_addn(r->subprocess_env, name, value);
    apr_table_addn(r->notes, name, value);
}

void backend_note_finish(backend_exchange_t *x)
{
    request_rec *r = x->r;
    const usher_attempt_facts_t *last = x->traces_len ? &x->traces[x->traces_len - 1] : NULL;
    char *state = apr_palloc(r->pool, 3);

    x->ended_at = backend_now();
    state[0] = x->state.who;
    state[1] = x->state.phase;
    state[2] = '\0';
    note_add(r, "USHER_STATE", state);
    if (!last) {
        return;
    }
    note_add(r, "USHER_ATTEMPTS", note_attempts(r->pool, x));
    note_add(r, "USHER_TIMES", note_times(r->pool, x, last));
    note_add(r, "USHER_REPLAYS", x->replays ? "1" : "0");
    note_add(r, "USHER_BYTES", note_bytes(r->pool, x));
    if (last->outcome == USHER_OUTCOME_OK) {
        note_add(r, "USHER_MEMBER", last->member);
    }
}

/* For the access log. */
int usher_backend_facts(request_rec *r, usher_backend_facts_t *facts)
{
    const backend_exchange_t *x = backend_handler_exchange(r);

    if (!x || !x->ended_at) {
        return 0;
    }
    facts->who = x->state.who;
    facts->phase = x->state.phase;
    facts->arrived_at = x->arrived_at;
    facts->connected_at = x->connected_at;
    facts->first_at = x->first_at;
    facts->ended_at = x->ended_at;
    facts->bytes_out = x->bytes_out;
    facts->bytes_in = x->bytes_in;
    facts->replays = (int)x->replays;
    facts->attempts_len = x->traces_len;
    facts->attempts = x->traces;
    return 1;
}
