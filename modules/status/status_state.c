/* How a member stands, and why: a table of conditions. The first one that holds is its
 * state; what all that hold say is the reason. */
#include "status_private.h"

/* Fills in why and since, and says whether it holds. */
typedef int (*state_test_t)(const status_member_t *member, apr_pool_t *p, status_state_t *state);

static unsigned int state_word(const status_member_t *member)
{
    return member->worker ? member->worker->s->status : 0;
}

/* "7 s", rounded up: never "0 s more". */
static const char *state_seconds(apr_pool_t *p, apr_int64_t ms)
{
    return apr_psprintf(p, "%" APR_INT64_T_FMT " s", (ms + 999) / 1000);
}

/* By whom, for what was said of it. */
static void state_by(const status_member_t *member, apr_pool_t *p, status_state_t *state,
                     const char *what)
{
    char who[USHER_ADMIN_WHO_SIZE];

    usher_admin_who(&member->rec->admin, who);
    state->why = apr_psprintf(p, "%s by %s", what, status_view_text(p, who, sizeof(who)));
    state->since = status_view_utc(member->view, atomic_load(&member->rec->admin.changed_at));
}

static int state_is_off(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    if (!member->cluster->may_switch || member->admin.state != USHER_ADMIN_OFF) {
        return 0;
    }
    state_by(member, p, state, "switched off");
    return 1;
}

static int state_is_disabled(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    state->why = "by status=+D or balancer-manager";
    return (state_word(member) & PROXY_WORKER_DISABLED) != 0;
}

static int state_is_stopped(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    state->why = "by status=+S or balancer-manager";
    return (state_word(member) & PROXY_WORKER_STOPPED) != 0;
}

static int state_has_failed_hcheck(const status_member_t *member, apr_pool_t *p,
                                   status_state_t *state)
{
    state->why = "its last checks by mod_proxy_hcheck failed";
    return (state_word(member) & PROXY_WORKER_HC_FAIL) != 0;
}

int status_state_is_awaited(const status_member_t *member)
{
    return member->entry
           && !usher_check_is_proven(&member->rec->check,
                                     USHER_CHECK_SERVER(member->entry->generation));
}

usher_check_state_e status_state_check(const status_member_t *member)
{
    const usher_check_t *check = &member->rec->check;

    if (usher_check_is_down(check, member->view->boot)) {
        return USHER_CHECK_DOWN;
    }
    if (status_state_is_awaited(member)) {
        return USHER_CHECK_UNKNOWN;
    }
    return USHER_CHECK_WHAT(atomic_load(&check->result)) == USHER_CHECK_PASSED
               ? USHER_CHECK_UP : USHER_CHECK_UNKNOWN;
}

apr_uint32_t status_state_max(const status_member_t *member)
{
    return member->cluster->may_switch ? atomic_load(&member->rec->max) : 0;
}

static int state_has_failed_check(const status_member_t *member, apr_pool_t *p,
                                  status_state_t *state)
{
    const usher_check_t *check = &member->rec->check;
    char reason[USHER_CHECK_REASON_SIZE];

    if (status_state_check(member) != USHER_CHECK_DOWN) {
        return 0;
    }
    if (USHER_CHECK_WHAT(atomic_load(&check->result)) == USHER_CHECK_PASSED) {
        state->why = apr_psprintf(p, "%u of %u good checks that make it up again",
                                  usher_check_good(check), atomic_load(&member->rec->rise));
    }
    else {
        usher_check_reason(reason, atomic_load(&check->result), atomic_load(&check->took));
        state->why = status_view_text(p, reason, sizeof(reason));
    }
    state->since = status_view_time(atomic_load(&check->changed_at));
    return 1;
}

static int state_is_awaited(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    state->why = "has signed in, its first check has not passed yet";
    state->since = member->entry ? status_view_time(member->entry->registered_at) : 0;
    return status_state_is_awaited(member);
}

static int state_is_in_error(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    apr_time_t until;

    if (!(state_word(member) & PROXY_WORKER_IN_ERROR)) {
        return 0;
    }
    until = member->worker->s->error_time + member->worker->s->retry;
    state->since = member->worker->s->error_time;
    state->why = apr_psprintf(p, "marked by the stock modules, for another %s",
                              state_seconds(p, (until - member->view->utc) / 1000));
    return until >= member->view->utc;
}

/* Said by its owner, by an administrator at the endpoint, or as its lease was over. */
static int state_is_leaving(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    apr_int64_t left = member->entry ? member->entry->drain_until - member->view->boot : 0;

    if (!member->entry || (!member->entry->drain_until && member->entry->weight)) {
        return 0;
    }
    state->why = !member->entry->drain_until ? "weight 0"
        : left <= 0 ? "signs out now"
        : apr_psprintf(p, member->entry->expires_at <= member->view->boot
                              ? "no heartbeat for its whole lease; signs out in another %s"
                              : "signs out, in another %s", state_seconds(p, left));
    return 1;
}

static int state_is_draining(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    if (member->cluster->may_switch && usher_admin_is_draining(&member->rec->admin)) {
        state_by(member, p, state, member->admin.state == USHER_ADMIN_DRAIN ? "drained"
                                                                            : "weight 0");
        return 1;
    }
    state->why = "by status=+N or balancer-manager";
    return (state_word(member) & PROXY_WORKER_DRAIN) != 0;
}

/* What it did last that was wrong, "" where it did nothing so far. */
static const char *state_blame(const status_member_t *member, apr_pool_t *p)
{
    static const char *const what[] = {
        [USHER_OUTCOME_OK] = "an answer with a status of failonstatus=",
        [USHER_OUTCOME_REFUSED] = "no connection could be made",
        [USHER_OUTCOME_UNREACHABLE] = "no answer to a connect",
        [USHER_OUTCOME_STALE] = "a kept connection was closed",
        [USHER_OUTCOME_CUT] = "a connection was cut",
        [USHER_OUTCOME_TIMEOUT] = "too slow",
        [USHER_OUTCOME_MALFORMED] = "a malformed answer",
    };
    apr_int64_t at;
    unsigned int last = usher_blame_last(&member->rec->blame, &at);

    if (!last || last > sizeof(what) / sizeof(what[0]) || at > member->view->boot) {
        return "";
    }
    return apr_psprintf(p, "; last failure %s ago: %s",
                        state_seconds(p, member->view->boot - at), what[last - 1]);
}

/* status=+I: its failures are not looked at. */
static int state_health(const status_member_t *member, usher_health_is_e is, status_state_t *state)
{
    state->since = status_view_utc(member->view, member->health.since);
    return member->health.is == is && !(state_word(member) & PROXY_WORKER_IGNORE_ERRORS);
}

static int state_is_resting(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    state->why = apr_psprintf(p, "after failures, for another %s%s",
                              state_seconds(p, member->health.left), state_blame(member, p));
    return state_health(member, USHER_HEALTH_IS_RESTING, state);
}

static int state_is_due(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    state->why = apr_psprintf(p, "its rest is over, the next request tries it%s",
                              state_blame(member, p));
    return state_health(member, USHER_HEALTH_IS_DUE, state);
}

static int state_is_tried(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    state->why = apr_psprintf(p, "a request tries it after its rest%s", state_blame(member, p));
    return state_health(member, USHER_HEALTH_IS_TRIED, state);
}

static int state_is_full(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    apr_uint32_t max = status_state_max(member);
    apr_uint32_t in_flight = atomic_load(&member->rec->in_flight);

    state->why = apr_psprintf(p, "%u of %u requests in flight (UsherMemberMax)", in_flight, max);
    return max && in_flight >= max;
}

static int state_is_starting(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    state->why = apr_psprintf(p, "answers again: %u %% of its share, the whole in %s",
                              member->health.share * 100 / USHER_HEALTH_SHARE,
                              state_seconds(p, member->health.left));
    return state_health(member, USHER_HEALTH_IS_SLOW, state);
}

static int state_is_standby(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    state->why = "serves when no other member of its lbset can";
    return (state_word(member) & PROXY_WORKER_HOT_STANDBY) != 0;
}

static int state_is_spare(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    state->why = "stands in for a member of its lbset that cannot serve";
    return (state_word(member) & PROXY_WORKER_HOT_SPARE) != 0;
}

static int state_is_failing(const status_member_t *member, apr_pool_t *p, status_state_t *state)
{
    state->why = apr_psprintf(p, "failures of late: %" APR_UINT64_T_FMT "%s",
                              member->health.failures, state_blame(member, p));
    return member->health.failures && state_health(member, USHER_HEALTH_IS_UP, state);
}

static const struct {
    const char *state;
    state_test_t holds;
} conditions[] = {
    { "off", state_is_off },
    { "disabled", state_is_disabled },
    { "stopped", state_is_stopped },
    { "check failed", state_has_failed_check },
    { "check failed", state_has_failed_hcheck },
    { "checking", state_is_awaited },
    { "draining", state_is_draining },
    { "draining", state_is_leaving },
    { "in error", state_is_in_error },
    { "resting", state_is_resting },
    { "due", state_is_due },
    { "tried", state_is_tried },
    { "full", state_is_full },
    { "starting", state_is_starting },
    { "standby", state_is_standby },
    { "spare", state_is_spare },
    { "up", state_is_failing },
};

status_state_t status_state_of(const status_member_t *member)
{
    apr_pool_t *p = member->view->pool;
    status_state_t state = { NULL, "", status_view_utc(member->view, member->health.since) };
    apr_size_t i;

    for (i = 0; i < sizeof(conditions) / sizeof(conditions[0]); ++i) {
        status_state_t one = { conditions[i].state, "", 0 };

        if (!conditions[i].holds(member, p, &one)) {
            continue;
        }
        if (!state.state) {
            state = one;
        }
        else if (*one.why) {
            state.why = apr_pstrcat(p, state.why, *state.why ? "; " : "", one.state, ": ",
                                    one.why, NULL);
        }
    }
    if (!state.state) {
        state.state = "up";
    }
    return state;
}

const char *status_state_setting(apr_pool_t *p, usher_admin_setting_t setting)
{
    static const char *const names[] = {
        [USHER_ADMIN_ENABLED] = "enabled",
        [USHER_ADMIN_DRAIN] = "drain",
        [USHER_ADMIN_OFF] = "off",
    };

    return setting.weight == USHER_ADMIN_WEIGHT_NONE
        ? names[setting.state]
        : apr_psprintf(p, "%s, weight %d", names[setting.state], setting.weight);
}
