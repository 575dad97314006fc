/**
 * @file  balancer_choose.h
 * @brief What the files know of one another that choose a member.
 *
 * balancer_pick.c             how one member stands
 * balancer_group.c            who may serve at all: looks at all members
 * balancer_view.c             what that gave, prepared for many quick choices
 * balancer_index.c            members by id and by route
 * balancer_choose.c           the choice: quickly, else anew
 * balancer_method.c           the lbmethods; one file for each
 */
#ifndef BALANCER_CHOOSE_H
#define BALANCER_CHOOSE_H

#include "balancer_private.h"
#include "usher_row.h"
#include "usher_sample.h"
#include "usher_slots.h"

/** So many members that cannot serve a quick choice meets before it gives up. */
#define BALANCER_CHOOSE_TRIES 4

/* balancer_group.c */

/** Who may serve a request; those of one lbset. */
typedef struct balancer_group_t {
    apr_uint32_t *index;  /**< of the members; room for all */
    apr_uint32_t *shares; /**< of their requests (slow start), USHER_HEALTH_SHARE is all */
    apr_uint32_t count;
    int worn;           /**< all rest, and are tried all the same */
    apr_int64_t due_at; /**< when one that goes before them should be tried; boot clock, ms */
} balancer_group_t;

/**
 * Who may serve now. Looks at each member once at least.
 * @param claim  this request tries a member whose rest is over, where there is one
 * @return the member that it tries; -1: one of the group is to serve it, if there is any
 */
int balancer_group_find(balancer_group_t *group, const balancer_choice_t *choice, int claim);

/* balancer_index.c */

/** Members by their routes; all cells are valid at any time. */
typedef struct balancer_routes_t {
    apr_uint32_t buckets;        /**< a power of two */
    _Atomic apr_uint32_t *heads; /**< of a bucket: its first member + 1; 0: none */
    _Atomic apr_uint32_t *nexts; /**< of a member: the next one of its bucket + 1 */
} balancer_routes_t;

/** Members by their ids: open addressing, member + 1. Not changed any more. */
typedef struct balancer_ids_t {
    apr_uint32_t cells; /**< a power of two */
    apr_uint32_t at[];
} balancer_ids_t;

/** Room for so many. */
balancer_ids_t *balancer_index_ids(int size, apr_pool_t *p);
/** Enter member i, which is the last one. */
void balancer_index_id_add(balancer_ids_t *ids, const balancer_members_t *members, int i);
void balancer_index_routes_create(balancer_routes_t *routes, apr_uint32_t size, apr_pool_t *p);
void balancer_index_routes_fill(balancer_routes_t *routes, const balancer_members_t *members);

/* balancer_view.c */

/**
 * The group that serves now, prepared: a choice takes the same time however many there
 * are. A child has two for each list of members. One thread at a time fills the one
 * that is not current, then makes it so; a reader that was overtaken may see cells of
 * both, each of which is valid by itself, and looks at the member that it chose as it
 * stands now.
 */
typedef struct balancer_view_t {
    apr_uint32_t size; /**< members: cells of the arrays */
    _Atomic apr_int64_t made_at; /**< boot clock, ms; 0: never */
    _Atomic apr_int64_t due_at;  /**< of the group */
    _Atomic apr_uint32_t changes; /**< of the cluster's record, when it was filled */
    _Atomic int worn;
    _Atomic apr_uint32_t count;       /**< of the group */
    _Atomic apr_uint64_t sum;         /**< of the weights */
    _Atomic apr_uint32_t *index;      /**< of the group's members */
    _Atomic apr_uint32_t *weights;    /**< of all members; 0: not of the group */
    usher_sample_cell_t *cells;       /**< the group by weight */
    balancer_routes_t routes;
    /* usher-requests: */
    _Atomic apr_uint32_t row_len;
    usher_row_cell_t *row; /**< of the group */
    apr_uint32_t row_size;
    apr_uint64_t row_of; /**< which weights it was made of */
    /* For who fills it: */
    apr_uint32_t *scratch_index, *scratch_weights;
    apr_uint64_t *scratch; /**< 2 * size */
    usher_row_group_t *scratch_groups;
} balancer_view_t;

struct balancer_views_t {
    balancer_view_t *views[2];
    _Atomic unsigned int current;
    atomic_flag busy;    /**< a thread fills one */
    _Atomic int is_old;  /**< members were found that cannot serve */
    /* usher-hash: */
    _Atomic apr_uint32_t *slots; /**< members; all of them, whoever may serve */
    _Atomic apr_uint64_t slots_of; /**< which weights they were made of; 0: not made yet */
};

/** Views for a list of members, not filled yet. */
struct balancer_views_t *balancer_views_create(const balancer_method_t *method,
                                               const balancer_members_t *members, apr_pool_t *p);

/** A view for one request alone; filled. @param claimed  as balancer_group_find() returns */
const balancer_view_t *balancer_view_anew(const balancer_choice_t *choice, int *claimed);

/** The current view, filled anew where that is due; NULL: there is none to choose by. */
const balancer_view_t *balancer_view_current(const balancer_choice_t *choice);

/** It holds members that cannot serve: it is filled anew soon. */
static inline void balancer_view_is_old(const balancer_members_t *members)
{
    atomic_store_explicit(&members->views->is_old, 1, memory_order_relaxed);
}

static inline apr_uint32_t balancer_view_count(const balancer_view_t *view)
{
    return atomic_load_explicit(&view->count, memory_order_relaxed);
}

static inline apr_uint32_t balancer_view_weight(const balancer_view_t *view, int i)
{
    return atomic_load_explicit(&view->weights[i], memory_order_relaxed);
}

/** The member at a place of the group. */
static inline int balancer_view_member(const balancer_view_t *view, apr_uint32_t place)
{
    apr_uint32_t i = atomic_load_explicit(&view->index[place < view->size ? place : 0],
                                          memory_order_relaxed);

    return i < view->size ? (int)i : 0;
}

/** The member at a point of all of them by weight. @param count  at least 1 */
static inline int balancer_view_sample(const balancer_view_t *view, apr_uint32_t count,
                                       apr_uint64_t point)
{
    return balancer_view_member(view, usher_sample_at(view->cells, count, point));
}

/** Whether a member can serve now. */
int balancer_view_may_use(const balancer_view_t *view, const balancer_choice_t *choice, int i);

/* balancer_method.c */

struct balancer_method_t {
    const char *name;
    /** Slow members get less. */
    int by_time;
    int has_slots; /**< views have room for them */
    /** @return the member; -1: none was found quickly */
    int (*choose)(const balancer_view_t *view, const balancer_choice_t *choice);
    /** A member serves a request of a session. May be NULL. */
    void (*took)(const balancer_view_t *view, const balancer_choice_t *choice, int taken);
    /** Make room for what it prepares. May be NULL. */
    void (*create)(balancer_view_t *view, apr_pool_t *p);
    /** Prepare: the group has been found, scratch_weights are its weights. May be NULL. */
    void (*fill)(balancer_view_t *view, const balancer_choice_t *choice);
    /** The same for what is not one view's, when one for all requests is filled; one
     * thread at a time. May be NULL. */
    void (*refill)(struct balancer_views_t *views, const balancer_choice_t *choice);
};

extern const balancer_method_t balancer_method_usher, balancer_method_requests,
    balancer_method_busyness, balancer_method_hash;

/**
 * The number of this choice, of all children. Who is tried in place of another one has no
 * turn of his own: else each failure would move the row on, and who fails might always be
 * the first.
 */
static inline apr_uint64_t balancer_turn(const balancer_choice_t *choice)
{
    _Atomic apr_uint64_t *turns = &choice->cluster->rec->turns;

    return choice->again ? atomic_load_explicit(turns, memory_order_relaxed)
                         : atomic_fetch_add_explicit(turns, 1, memory_order_relaxed);
}

/** Requests that a member has at this moment. */
static inline apr_uint32_t balancer_in_flight(const balancer_choice_t *choice, int i)
{
    const balancer_member_t *member = &choice->members->list[i];

    return choice->stock ? (apr_uint32_t)member->worker->s->busy
                         : atomic_load_explicit(&member->rec->in_flight, memory_order_relaxed);
}

/** Whether a member has less in flight than another one, each by its weight. */
static inline int balancer_is_less_busy(const balancer_view_t *view, apr_uint32_t busy, int i,
                                        apr_uint32_t other_busy, int other)
{
    return (apr_uint64_t)busy * balancer_view_weight(view, other)
           < (apr_uint64_t)other_busy * balancer_view_weight(view, i);
}

#endif /* BALANCER_CHOOSE_H */
