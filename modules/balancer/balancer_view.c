/* The group that serves a cluster now, prepared: found once a second by one request of
 * each child, and when a member has begun or ended to rest, or shall be tried. Who cannot
 * serve any more gets no request from that moment on, as each member is looked at when it
 * is chosen; what else changes (balancer-manager, checks) counts from the next filling. */
#include "balancer_choose.h"

/* ms between two fillings: usually, and when members were found that cannot serve. */
#define VIEW_AGE 1000
#define VIEW_AGE_LEAST 50

/* A weight is a load factor (hundredths) in parts: of the slow start, and of the time. */
#define SHARE_PARTS 16

static balancer_view_t *view_create(const balancer_method_t *method, apr_uint32_t size,
                                    apr_pool_t *p)
{
    balancer_view_t *view = apr_pcalloc(p, sizeof(*view));
    apr_uint32_t n = size ? size : 1;

    view->size = size;
    view->index = apr_pcalloc(p, n * sizeof(*view->index));
    view->weights = apr_pcalloc(p, n * sizeof(*view->weights));
    view->cells = apr_pcalloc(p, n * sizeof(*view->cells));
    view->scratch_index = apr_palloc(p, n * sizeof(*view->scratch_index));
    view->scratch_weights = apr_palloc(p, n * sizeof(*view->scratch_weights));
    view->scratch = apr_palloc(p, 2 * n * sizeof(*view->scratch));
    if (method->create) {
        method->create(view, p);
    }
    return view;
}

struct balancer_views_t *balancer_views_create(const balancer_method_t *method,
                                               const balancer_members_t *members, apr_pool_t *p)
{
    apr_uint32_t size = (apr_uint32_t)members->count;
    struct balancer_views_t *views = apr_pcalloc(p, sizeof(*views));
    int i;

    for (i = 0; i < 2; ++i) {
        views->views[i] = view_create(method, size, p);
        /* Routes are asked for before, and while, the first view is filled. */
        balancer_index_routes_create(&views->views[i]->routes, size, p);
        balancer_index_routes_fill(&views->views[i]->routes, members);
    }
    if (method->has_slots) {
        views->slots = apr_pcalloc(p, USHER_SLOTS * sizeof(*views->slots));
    }
    atomic_flag_clear(&views->busy);
    return views;
}

/* The shortest time in which one of the group answers. */
static apr_uint32_t view_best_time(const balancer_group_t *group, const balancer_choice_t *choice)
{
    apr_uint32_t best = 0, k;

    for (k = 0; k < group->count; ++k) {
        apr_uint32_t time = usher_load_time(&choice->members->list[group->index[k]].rec->response);

        best = time && (!best || time < best) ? time : best;
    }
    return best;
}

/* In place of the shares. */
static void view_weigh(balancer_group_t *group, const balancer_choice_t *choice)
{
    int by_time = choice->cluster->method->by_time;
    apr_uint32_t best = by_time ? view_best_time(group, choice) : 0, k;

    for (k = 0; k < group->count; ++k) {
        const balancer_member_t *member = &choice->members->list[group->index[k]];
        apr_uint32_t share = (group->shares[k] * SHARE_PARTS + USHER_HEALTH_SHARE - 1)
                             / USHER_HEALTH_SHARE;
        apr_uint32_t part = by_time ? usher_load_share(&member->rec->response, best, choice->now)
                                    : USHER_LOAD_SHARE;

        group->shares[k] = balancer_pick_factor(member) * share * part;
    }
}

static void view_store(balancer_view_t *view, const balancer_group_t *group)
{
    apr_uint64_t sum = 0;
    apr_uint32_t k;

    for (k = 0; k < view->size; ++k) {
        atomic_store_explicit(&view->weights[k], 0, memory_order_relaxed);
    }
    for (k = 0; k < group->count; ++k) {
        atomic_store_explicit(&view->index[k], group->index[k], memory_order_relaxed);
        atomic_store_explicit(&view->weights[group->index[k]], group->shares[k],
                              memory_order_relaxed);
        sum += group->shares[k];
    }
    usher_sample_make(view->cells, group->shares, group->count, view->scratch);
    atomic_store_explicit(&view->count, group->count, memory_order_relaxed);
    atomic_store_explicit(&view->sum, sum, memory_order_relaxed);
    atomic_store_explicit(&view->worn, group->worn, memory_order_relaxed);
    atomic_store_explicit(&view->due_at, group->due_at, memory_order_relaxed);
}

static int view_fill(balancer_view_t *view, const balancer_choice_t *choice, int claim)
{
    balancer_group_t group = { .index = view->scratch_index, .shares = view->scratch_weights };
    int claimed = balancer_group_find(&group, choice, claim);

    if (claimed >= 0) {
        return claimed;
    }
    view_weigh(&group, choice);
    view_store(view, &group);
    if (choice->cluster->method->fill) {
        choice->cluster->method->fill(view, choice);
    }
    return -1;
}

const balancer_view_t *balancer_view_anew(const balancer_choice_t *choice, int *claimed)
{
    balancer_view_t *view = view_create(choice->cluster->method,
                                        (apr_uint32_t)choice->members->count, choice->r->pool);

    *claimed = view_fill(view, choice, 1);
    return view;
}

/* For all requests, not for this one. The thread that got the flag is the only one that
 * writes, and no reader waits for it. */
static void view_refill(struct balancer_views_t *views, const balancer_choice_t *choice)
{
    unsigned int next = !(atomic_load(&views->current) & 1);
    balancer_view_t *view = views->views[next];
    balancer_choice_t all = *choice;

    all.tried = NULL;
    all.no_ajp = 0;
    all.full_too = 1;
    atomic_store(&views->is_old, 0);
    atomic_store_explicit(&view->changes, atomic_load(&choice->cluster->rec->changes),
                          memory_order_relaxed);
    view_fill(view, &all, 0);
    balancer_index_routes_fill(&view->routes, choice->members);
    if (choice->cluster->method->refill) {
        choice->cluster->method->refill(views, choice);
    }
    atomic_store_explicit(&view->made_at, choice->now, memory_order_relaxed);
    atomic_store(&views->current, next);
}

static int view_is_old(const struct balancer_views_t *views, const balancer_view_t *view,
                       const balancer_choice_t *choice)
{
    apr_int64_t now = choice->now;
    apr_int64_t made_at = atomic_load_explicit(&view->made_at, memory_order_relaxed);

    return now >= made_at + VIEW_AGE || !made_at
           || now >= atomic_load_explicit(&view->due_at, memory_order_relaxed)
           || atomic_load_explicit(&choice->cluster->rec->changes, memory_order_relaxed)
                  != atomic_load_explicit(&view->changes, memory_order_relaxed)
           || (atomic_load_explicit(&views->is_old, memory_order_relaxed)
               && now >= made_at + VIEW_AGE_LEAST);
}

const balancer_view_t *balancer_view_current(const balancer_choice_t *choice)
{
    struct balancer_views_t *views = choice->members->views;
    const balancer_view_t *view = views->views[atomic_load(&views->current) & 1];

    if (view_is_old(views, view, choice) && !atomic_flag_test_and_set(&views->busy)) {
        view_refill(views, choice);
        atomic_flag_clear(&views->busy);
        view = views->views[atomic_load(&views->current) & 1];
    }
    /* With none to choose from, or one whose rest is over, this request looks itself. */
    return balancer_view_count(view) && !atomic_load_explicit(&view->worn, memory_order_relaxed)
                   && choice->now < atomic_load_explicit(&view->due_at, memory_order_relaxed)
               ? view : NULL;
}

int balancer_view_may_use(const balancer_view_t *view, const balancer_choice_t *choice, int i)
{
    balancer_standing_e standing = balancer_pick_standing(choice, i, NULL);

    return (standing == BALANCER_STANDING_USABLE
            || (standing != BALANCER_STANDING_OFF
                && atomic_load_explicit(&view->worn, memory_order_relaxed)))
           && !balancer_pick_is_draining(&choice->members->list[i]);
}
