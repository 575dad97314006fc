/* The choice of a member: which ones may have the request (status word, health,
 * lbset, spares and standbys), and whose turn it is among those.
 *
 * Turns are smooth weighted round robin: each candidate's turn grows by its
 * weight, who is furthest gets the request and goes back by the sum of the
 * weights. The turns lie in the registry, so that all children share one row;
 * each step is one atomic addition. Two threads in the middle of it may choose
 * the same member, which the next turns make good; what a killed child leaves
 * is one member's small head start. */
#include "balancer_private.h"

/* No turn gets further than this many sums of the weights, even when that many
 * threads choose at once: what is beyond is garbage, or from when there were
 * other members. */
#define TURN_LIMIT 256

/* Sessions do not push their member further back than this many sums, so that a
 * busy one only delays the next free request for it. */
#define SESSION_LIMIT 4

/* Taken out by the administrator, or by a health check. */
static int pick_is_off(const proxy_worker *worker)
{
    return (worker->s->status & PROXY_WORKER_NOT_USABLE_BITMAP & ~PROXY_WORKER_IN_ERROR) != 0;
}

/* Stock modules mark a member so, and look at it again after its retry= time. */
static int pick_is_in_error(const proxy_worker *worker)
{
    return (worker->s->status & PROXY_WORKER_IN_ERROR)
           && apr_time_now() <= worker->s->error_time + worker->s->retry;
}

balancer_standing_e balancer_pick_standing(const balancer_choice_t *choice, int i,
                                           unsigned int *share)
{
    const balancer_member_t *member = &choice->members->list[i];

    if (share) {
        *share = USHER_HEALTH_SHARE;
    }
    if ((choice->tried && choice->tried[i]) || pick_is_off(member->worker)) {
        return BALANCER_STANDING_OFF;
    }
    if (pick_is_in_error(member->worker)) {
        /* The stock handlers would refuse to use it. */
        return choice->stock ? BALANCER_STANDING_OFF : BALANCER_STANDING_RESTING;
    }
    if (member->worker->s->status & PROXY_WORKER_IGNORE_ERRORS) {
        return BALANCER_STANDING_USABLE;
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

#define SPARES_UNKNOWN (-1)

/* Who may have the request, of one lbset. */
typedef struct {
    int set;
    int worn; /* resting members count as usable: there is no other one */
    int spares;   /* how many spares stand in for members that cannot: pick_missing(),
                   * or SPARES_UNKNOWN, as there seldom are any */
    int standbys; /* whether it is the standbys' turn */
} pick_group_t;

static apr_int64_t pick_weight(const proxy_worker *worker, unsigned int share)
{
    apr_int64_t factor = worker->s->lbfactor > 0 ? worker->s->lbfactor : 1;

    return factor * share / 10 > 0 ? factor * share / 10 : 1;
}

/* For each member of the set that cannot serve, and is neither spare nor
 * standby, one spare may. */
static int pick_missing(const balancer_choice_t *choice, const pick_group_t *group)
{
    int i, missing = 0;

    for (i = 0; i < choice->members->count; ++i) {
        const proxy_worker *worker = choice->members->list[i].worker;
        balancer_standing_e standing = balancer_pick_standing(choice, i, NULL);

        if (worker->s->lbset == group->set && !PROXY_WORKER_IS_SPARE(worker)
            && !PROXY_WORKER_IS_STANDBY(worker)) {
            missing += PROXY_WORKER_IS_DRAINING(worker) || standing == BALANCER_STANDING_OFF
                       || (standing == BALANCER_STANDING_RESTING && !group->worn);
        }
    }
    return missing;
}

/* Whether a spare's turn has come; *spares counts down. */
static int pick_needs_spare(const balancer_choice_t *choice, const pick_group_t *group, int *spares)
{
    if (*spares == SPARES_UNKNOWN) {
        *spares = pick_missing(choice, group);
    }
    return *spares > 0 && (*spares)--;
}

/* How member i stands in this group. @param spares  begins with the group's, and goes on with
 * what the member before left */
static balancer_standing_e pick_in_group(const balancer_choice_t *choice, const pick_group_t *group,
                                         int i, int *spares, unsigned int *share)
{
    const proxy_worker *worker = choice->members->list[i].worker;
    balancer_standing_e standing = balancer_pick_standing(choice, i, share);

    if (worker->s->lbset != group->set || PROXY_WORKER_IS_DRAINING(worker)
        || !PROXY_WORKER_IS_STANDBY(worker) != !group->standbys) {
        return BALANCER_STANDING_OFF;
    }
    if (group->worn && standing != BALANCER_STANDING_OFF) {
        *share = USHER_HEALTH_SHARE;
        standing = BALANCER_STANDING_USABLE;
    }
    if (PROXY_WORKER_IS_SPARE(worker) && standing != BALANCER_STANDING_OFF
        && standing != BALANCER_STANDING_RESTING && !pick_needs_spare(choice, group, spares)) {
        return BALANCER_STANDING_OFF;
    }
    return standing;
}

/* All candidates. */
typedef struct {
    apr_int64_t sum; /* of their weights */
    int taken;       /* whether the member asked for is one of them */
    int due;         /* there are others whose rest is over */
} pick_survey_t;

static void pick_survey(const balancer_choice_t *choice, const pick_group_t *group, int taken,
                        pick_survey_t *survey)
{
    int spares = group->spares, i;
    unsigned int share;

    memset(survey, 0, sizeof(*survey));
    for (i = 0; i < choice->members->count; ++i) {
        switch (pick_in_group(choice, group, i, &spares, &share)) {
        case BALANCER_STANDING_USABLE:
            survey->sum += pick_weight(choice->members->list[i].worker, share);
            survey->taken |= i == taken;
            break;
        case BALANCER_STANDING_DUE:
            survey->due = 1;
            break;
        default:
            break;
        }
    }
}

/* All turns grow. @return who is furthest; *wild: one of them was further than
 * can be */
static int pick_grow(const balancer_choice_t *choice, const pick_group_t *group, apr_int64_t sum,
                     int *wild)
{
    apr_int64_t furthest = 0;
    int spares = group->spares;
    int i, best = -1;

    *wild = 0;
    for (i = 0; i < choice->members->count; ++i) {
        const balancer_member_t *member = &choice->members->list[i];
        apr_int64_t weight, turn;
        unsigned int share;

        if (pick_in_group(choice, group, i, &spares, &share) != BALANCER_STANDING_USABLE) {
            continue;
        }
        weight = pick_weight(member->worker, share);
        turn = atomic_fetch_add(&member->rec->turn, weight);
        if (turn > TURN_LIMIT * sum || turn < -TURN_LIMIT * sum) {
            *wild = 1;
            continue;
        }
        turn += weight;
        if (best < 0 || turn > furthest) {
            furthest = turn;
            best = i;
        }
    }
    return best;
}

/* Garbage of one member would keep it, or all others, from its turns for ever:
 * the row begins anew for all. */
static void pick_begin(const balancer_choice_t *choice, const pick_group_t *group)
{
    int spares = group->spares;
    unsigned int share;
    int i;

    for (i = 0; i < choice->members->count; ++i) {
        if (pick_in_group(choice, group, i, &spares, &share) == BALANCER_STANDING_USABLE) {
            atomic_store(&choice->members->list[i].rec->turn, 0);
        }
    }
}

static int pick_turn(const balancer_choice_t *choice, const pick_group_t *group, apr_int64_t sum)
{
    int wild, best = pick_grow(choice, group, sum, &wild);

    if (wild) {
        pick_begin(choice, group);
        best = pick_grow(choice, group, sum, &wild);
    }
    if (best >= 0) {
        atomic_fetch_sub(&choice->members->list[best].rec->turn, sum);
    }
    return best;
}

/* A member whose rest is over goes before all turns, for one request. */
static int pick_due(const balancer_choice_t *choice, const pick_group_t *group)
{
    int spares = group->spares;
    unsigned int share;
    int i;

    for (i = 0; i < choice->members->count; ++i) {
        if (pick_in_group(choice, group, i, &spares, &share) == BALANCER_STANDING_DUE
            && balancer_pick_try(choice, i)) {
            return i;
        }
    }
    return -1;
}

void balancer_pick_took(const balancer_choice_t *choice, int taken)
{
    const balancer_member_t *member = &choice->members->list[taken];
    pick_group_t group = { .set = member->worker->s->lbset, .spares = SPARES_UNKNOWN,
                           .standbys = PROXY_WORKER_IS_STANDBY(member->worker) != 0 };
    pick_survey_t survey;
    int wild;

    pick_survey(choice, &group, taken, &survey);
    /* Whose turn it never is (draining, resting) does not count. */
    if (survey.taken && atomic_load(&member->rec->turn) > -SESSION_LIMIT * survey.sum) {
        pick_grow(choice, &group, survey.sum, &wild);
        atomic_fetch_sub(&member->rec->turn, survey.sum);
    }
}

static int pick_in_set(const balancer_choice_t *choice, int set, int worn)
{
    pick_group_t group = { .set = set, .worn = worn, .spares = SPARES_UNKNOWN };
    pick_survey_t survey;
    int i;

    for (group.standbys = 0; group.standbys <= 1; ++group.standbys) {
        pick_survey(choice, &group, -1, &survey);
        i = survey.due ? pick_due(choice, &group) : -1;
        if (i < 0 && survey.sum) {
            i = pick_turn(choice, &group, survey.sum);
        }
        if (i >= 0) {
            return i;
        }
    }
    return -1;
}

/* The smallest lbset above the last one; -1: there is none. */
static int pick_next_set(const balancer_members_t *members, int last)
{
    int i, next = -1;

    for (i = 0; i < members->count; ++i) {
        int set = members->list[i].worker->s->lbset;

        if (set > last && (next < 0 || set < next)) {
            next = set;
        }
    }
    return next;
}

int balancer_pick_next(const balancer_choice_t *choice)
{
    int worn, set, i;

    for (worn = 0; worn <= 1; ++worn) {
        for (set = pick_next_set(choice->members, -1); set >= 0;
             set = pick_next_set(choice->members, set)) {
            i = pick_in_set(choice, set, worn);
            if (i >= 0) {
                return i;
            }
        }
    }
    return -1;
}
