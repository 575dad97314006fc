/* What the log, the environment and other modules are told of a request:
 * attempts, times, bytes, and who ended it when, with HAProxy's letters. */
#include <mod_log_config.h>

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
    if (end == BACKEND_END_NO_LINK || x->connected_at == 0 || x->sending == BACKEND_SEND_HEAD) {
        return 'C';
    }
    if (end == BACKEND_END_ANSWERED || end == BACKEND_END_OVERRIDE || end == BACKEND_END_UPGRADED) {
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
    return uds_path ? apr_pstrcat(x->r->pool, "unix:", uds_path, "|", url, NULL) : url;
}

void backend_note_attempt(backend_exchange_t *x, backend_end_e end)
{
    backend_trace_t *trace;
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

static const char *note_time(apr_pool_t *p, apr_interval_time_t time)
{
    return time < 0 ? "-" : apr_psprintf(p, "%" APR_TIME_T_FMT, time);
}

static const char *note_trace_times(apr_pool_t *p, const backend_trace_t *trace)
{
    return apr_pstrcat(p, note_time(p, trace->connect), "/", note_time(p, trace->send), "/",
                       note_time(p, trace->first), "/", note_time(p, trace->body), NULL);
}

static const char *note_attempts(apr_pool_t *p, const backend_exchange_t *x)
{
    const char *all = NULL;
    int i;

    for (i = 0; i < x->traces_len; ++i) {
        const backend_trace_t *trace = &x->traces[i];

        all = apr_pstrcat(p, all ? all : "", all ? "," : "", trace->member, "=",
                          note_outcome(trace->outcome), "/", note_trace_times(p, trace), NULL);
    }
    return all;
}

static void note_set(request_rec *r, const char *name, const char *value)
{
    apr_table_setn(r->subprocess_env, name, value);
    apr_table_setn(r->notes, name, value);
}

void backend_note_finish(backend_exchange_t *x)
{
    request_rec *r = x->r;
    apr_pool_t *p = r->pool;
    const backend_trace_t *last = x->traces_len ? &x->traces[x->traces_len - 1] : NULL;

    note_set(r, "USHER_STATE", apr_psprintf(p, "%c%c", x->state.who, x->state.phase));
    if (!last) {
        return;
    }
    note_set(r, "USHER_ATTEMPTS", note_attempts(p, x));
    note_set(r, "USHER_TIMES", apr_psprintf(p, "%s/%" APR_TIME_T_FMT, note_trace_times(p, last),
                                            backend_now() - x->arrived_at));
    note_set(r, "USHER_REPLAYS", x->replays ? "1" : "0");
    note_set(r, "USHER_BYTES", apr_psprintf(p, "%" APR_OFF_T_FMT "/%" APR_OFF_T_FMT,
                                            x->bytes_out, x->bytes_in));
    if (last->outcome == USHER_OUTCOME_OK) {
        note_set(r, "USHER_MEMBER", last->member);
    }
}

/* Log items: %{state}^US and the like. A request that was redirected within
 * httpd (an ErrorDocument) is logged with what its first part left. */

static const char *note_log_item(request_rec *r, char *field)
{
    static const struct {
        const char *field, *note;
    } items[] = {
        { "state", "USHER_STATE" }, { "attempts", "USHER_ATTEMPTS" }, { "times", "USHER_TIMES" },
        { "replays", "USHER_REPLAYS" }, { "bytes", "USHER_BYTES" }, { "member", "USHER_MEMBER" },
        { NULL }
    };
    const char *value = NULL;
    int i;

    for (i = 0; items[i].field; ++i) {
        if (!ap_cstr_casecmp(field, items[i].field)) {
            value = apr_table_get(r->notes, items[i].note);
        }
    }
    return value;
}

void backend_note_pre_config(apr_pool_t *pconf)
{
    APR_OPTIONAL_FN_TYPE(ap_register_log_handler) *add =
        APR_RETRIEVE_OPTIONAL_FN(ap_register_log_handler);

    if (add) {
        add(pconf, apr_pstrdup(pconf, "^US"), note_log_item, 0);
    }
}
