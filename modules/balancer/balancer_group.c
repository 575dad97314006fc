/* Who may have a request: status words, health, lbset, spares and standbys of all
 * members. What this takes grows with their number, so it is not done for each request
 * (balancer_view.c). */
#include "balancer_choose.h"

#define SPARES_UNKNOWN (-1)

/* Members that are looked for at a time, of one lbset. */
typedef struct {
    int set;
    int worn; /* resting members count as usable: there is no other one */
    int standbys; /* whether it is the standbys' turn */
    int spares;   /* how many spares stand in for members that cannot: group_missing(),
                   * or SPARES_UNKNOWN, as there seldom are any */
} group_part_t;

/* For each member of the set that cannot serve, and is neither spare nor
 * standby, one spare may. */
static int group_missing(const balancer_choice_t *choice, const group_part_t *part)
{
    int i, missing = 0;

    for (i = 0; i < choice->members->count; ++i) {
        const proxy_worker *worker = choice->members->list[i].worker;
        balancer_standing_e standing = balancer_pick_standing(choice, i, NULL);

        if (worker->s->lbset == part->set && !PROXY_WORKER_IS_SPARE(worker)
            && !PROXY_WORKER_IS_STANDBY(worker)) {
            missing += balancer_pick_is_draining(&choice->members->list[i])
                       || standing == BALANCER_STANDING_OFF
                       || (standing == BALANCER_STANDING_RESTING && !part->worn);
        }
    }
    return missing;
}

/* Whether a spare's turn has come. */
static int group_needs_spare(const balancer_choice_t *choice, group_part_t *part)
{
    if (part->spares == SPARES_UNKNOWN) {
        part->spares = group_missing(choice, part);
    }
    return part->spares > 0 && part->spares--;
}

/* How member i stands in this part. */
static balancer_standing_e group_standing(const balancer_choice_t *choice, group_part_t *part,
                                          int i, unsigned int *share)
{
    const balancer_member_t *member = &choice->members->list[i];
    balancer_standing_e standing;

    if (member->worker->s->lbset != part->set
        || !PROXY_WORKER_IS_STANDBY(member->worker) != !part->standbys
        || balancer_pick_is_draining(member)) {
        return BALANCER_STANDING_OFF;
    }
    standing = balancer_pick_standing(choice, i, share);
    if (part->worn && standing != BALANCER_STANDING_OFF) {
        *share = USHER_HEALTH_SHARE;
        standing = BALANCER_STANDING_USABLE;
    }
    if (PROXY_WORKER_IS_SPARE(member->worker) && standing != BALANCER_STANDING_OFF
        && standing != BALANCER_STANDING_RESTING && !group_needs_spare(choice, part)) {
        return BALANCER_STANDING_OFF;
    }
    return standing;
}

/* When somebody shall look for a member that rests. Where its rest is over, and its checks
 * or the stock modules say that it is down, or it has no room, that is no time that comes:
 * else each request would look at all. */
static apr_int64_t group_due_at(const balancer_choice_t *choice, int i,
                                balancer_standing_e standing)
{
    const balancer_member_t *member = &choice->members->list[i];
    apr_int64_t due_at = usher_health_due_at(&member->rec->health, choice->now);

    return due_at > choice->now || (standing == BALANCER_STANDING_DUE
                                    && !balancer_load_is_full(member, choice->queued))
               ? due_at : APR_INT64_MAX;
}

/* Adds the members of a part; with a claim, @return the one that this request tries. */
static int group_add(balancer_group_t *group, const balancer_choice_t *choice, group_part_t part,
                     int claim)
{
    int i;

    for (i = 0; i < choice->members->count; ++i) {
        unsigned int share = USHER_HEALTH_SHARE;
        balancer_standing_e standing = group_standing(choice, &part, i, &share);
        apr_int64_t due_at;

        if (standing == BALANCER_STANDING_USABLE) {
            group->index[group->count] = (apr_uint32_t)i;
            group->shares[group->count++] = share;
        }
        else if (standing == BALANCER_STANDING_DUE && claim && balancer_pick_try(choice, i)) {
            return i;
        }
        else if (standing != BALANCER_STANDING_OFF) {
            due_at = group_due_at(choice, i, standing);
            group->due_at = due_at < group->due_at ? due_at : group->due_at;
        }
    }
    return -1;
}

/* The smallest lbset above the last one; -1: there is none. */
static int group_next_set(const balancer_members_t *members, int last)
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

int balancer_group_find(balancer_group_t *group, const balancer_choice_t *choice, int claim)
{
    group_part_t part = { .spares = SPARES_UNKNOWN };
    int i = -1;

    group->count = 0;
    group->due_at = APR_INT64_MAX;
    /* Where sound members are full, those that rest are no way out. */
    for (part.worn = 0; part.worn == 0 || (part.worn == 1 && !(choice->full && *choice->full));
         ++part.worn) {
        for (part.set = group_next_set(choice->members, -1); part.set >= 0;
             part.set = group_next_set(choice->members, part.set)) {
            for (part.standbys = 0; part.standbys <= 1; ++part.standbys) {
                i = group_add(group, choice, part, claim);
                if (i >= 0 || group->count) {
                    group->worn = part.worn;
                    return i;
                }
            }
        }
    }
    return -1;
}
