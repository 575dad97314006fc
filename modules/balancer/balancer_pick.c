/* How one member stands: its status word, its health, what the administrator said. Each
 * request looks at the member that it is to go to, so nothing here looks at others, but for
 * balancer_pick_count(). */
#include "balancer_private.h"

/* Taken out by the administrator, or by a health check. */
static int pick_is_off(const balancer_member_t *member)
{
    return (member->worker->s->status & PROXY_WORKER_NOT_USABLE_BITMAP & ~PROXY_WORKER_IN_ERROR)
           || usher_admin_is_off(&member->rec->admin);
}

/* One that signed in: only mod_usher_backend can serve it, and only when it has proved that it
 * is there, and its secret is known. */
static int pick_is_out(const balancer_choice_t *choice, const balancer_member_t *member)
{
    return member->joined
           && (choice->stock || member->joined->has_no_secret || balancer_probe_is_awaited(member));
}

int balancer_pick_is_draining(const balancer_member_t *member)
{
    return PROXY_WORKER_IS_DRAINING(member->worker) || usher_admin_is_draining(&member->rec->admin);
}

/* AJP cannot carry a WebSocket. */
static int pick_is_unfit(const balancer_choice_t *choice, int i)
{
    return choice->no_ajp && !ap_cstr_casecmp(choice->members->list[i].worker->s->scheme, "ajp");
}

/* Stock modules mark a member so, and look at it again after its retry= time. */
static int pick_is_in_error(const proxy_worker *worker)
{
    return (worker->s->status & PROXY_WORKER_IN_ERROR)
           && apr_time_now() <= worker->s->error_time + worker->s->retry;
}

/* How it stands, full or not. */
static balancer_standing_e pick_standing(const balancer_choice_t *choice, int i,
                                         unsigned int *share)
{
    const balancer_member_t *member = &choice->members->list[i];

    if (share) {
        *share = USHER_HEALTH_SHARE;
    }
    if ((choice->tried && choice->tried[i]) || pick_is_off(member)
        || pick_is_out(choice, member) || pick_is_unfit(choice, i)) {
        return BALANCER_STANDING_OFF;
    }
    if (pick_is_in_error(member->worker)) {
        /* The stock handlers would refuse to use it. */
        return choice->stock ? BALANCER_STANDING_OFF : BALANCER_STANDING_RESTING;
    }
    if (member->worker->s->status & PROXY_WORKER_IGNORE_ERRORS) {
        return BALANCER_STANDING_USABLE;
    }
    if (balancer_probe_is_down(member, choice->now)) {
        return BALANCER_STANDING_RESTING; /* the last resort, as those that rest */
    }
    switch (usher_health_look(&member->rec->health, choice->now, choice->rest, share)) {
    case USHER_HEALTH_USABLE:
        return BALANCER_STANDING_USABLE;
    case USHER_HEALTH_DUE:
        return BALANCER_STANDING_DUE;
    default:
        return BALANCER_STANDING_RESTING;
    }
}

balancer_standing_e balancer_pick_standing(const balancer_choice_t *choice, int i,
                                           unsigned int *share)
{
    balancer_standing_e standing = pick_standing(choice, i, share);

    if (standing == BALANCER_STANDING_OFF || choice->full_too
        || !balancer_load_is_full(&choice->members->list[i], choice->queued)) {
        return standing;
    }
    if (choice->full && standing != BALANCER_STANDING_RESTING
        && !balancer_pick_is_draining(&choice->members->list[i])) {
        *choice->full = 1;
    }
    return BALANCER_STANDING_OFF;
}

int balancer_pick_is_passing(const balancer_choice_t *choice, int i)
{
    balancer_choice_t any = *choice;
    balancer_standing_e standing;

    any.full_too = 1;
    any.no_ajp = 0;
    standing = balancer_pick_standing(&any, i, NULL);
    return standing == BALANCER_STANDING_USABLE || standing == BALANCER_STANDING_DUE;
}

int balancer_pick_try(const balancer_choice_t *choice, int i)
{
    usher_health_t *health = &choice->members->list[i].rec->health;

    if (!usher_health_try(health, choice->now, choice->rest)) {
        return 0;
    }
    if (choice->claimed) {
        *choice->claimed = i;
    }
    if (choice->stock) {
        usher_health_ok(health, choice->now, choice->now, choice->rest);
    }
    return 1;
}

void balancer_pick_count(const balancer_choice_t *choice, int without, apr_uint32_t *on,
                         apr_uint32_t *resting)
{
    int i;

    *on = *resting = 0;
    for (i = 0; i < choice->members->count; ++i) {
        balancer_standing_e standing = balancer_pick_standing(choice, i, NULL);

        *on += standing != BALANCER_STANDING_OFF;
        *resting += i != without && (standing == BALANCER_STANDING_RESTING
                                     || standing == BALANCER_STANDING_DUE);
    }
}

apr_uint32_t balancer_pick_factor(const balancer_member_t *member)
{
    int factor = usher_admin_weight(&member->rec->admin, member->worker->s->lbfactor);

    return factor < 1 ? 1 : factor > BALANCER_FACTOR_MAX ? BALANCER_FACTOR_MAX
                                                          : (apr_uint32_t)factor;
}
