/* lbmethod=usher-requests: all take turns by weight, in one row for all children (smooth
 * weighted round robin).
 *
 * A request of a session is a turn of its member: the row skips it once for that. */
#include "balancer_choose.h"

/* Sessions do not hold more than so many rounds against their member, so that a busy
 * one only delays the next free request for it. */
#define SESSION_ROUNDS 4

/* One request skips so many turns at most. */
#define SKIPS 16

/* A row's cells: enough for any usual load factors, and some for each member. */
#define ROW_SIZE 4096
#define ROW_SIZE_EACH 16

/* Whether the turn is one that a session has had already. What is more than can be is
 * garbage, and forgotten. */
static int requests_is_paid(const balancer_view_t *view, usher_member_rec_t *rec)
{
    apr_int64_t debt = atomic_load_explicit(&rec->debt, memory_order_relaxed);

    while (debt) {
        apr_int64_t limit = (apr_int64_t)SESSION_ROUNDS * view->row_size;
        apr_int64_t next = debt > 0 && debt <= limit ? debt - 1 : 0;

        if (atomic_compare_exchange_weak(&rec->debt, &debt, next)) {
            return debt == next + 1;
        }
    }
    return 0;
}

static int requests_choose(const balancer_view_t *view, const balancer_choice_t *choice)
{
    apr_uint32_t len = atomic_load_explicit(&view->row_len, memory_order_relaxed);
    int skips = 0, tries = 0;

    while (len && tries < BALANCER_CHOOSE_TRIES) {
        apr_uint64_t turn = balancer_turn(choice) + (choice->again ? (apr_uint64_t)tries : 0);
        int i = balancer_view_member(
            view, atomic_load_explicit(&view->row[turn % len], memory_order_relaxed));

        if (!balancer_view_may_use(view, choice, i)) {
            ++tries;
        }
        else if (choice->again || ++skips > SKIPS
                 || !requests_is_paid(view, choice->members->list[i].rec)) {
            return i;
        }
    }
    return -1;
}

static void requests_took(const balancer_view_t *view, const balancer_choice_t *choice, int taken)
{
    usher_member_rec_t *rec = choice->members->list[taken].rec;
    apr_uint64_t sum = atomic_load_explicit(&view->sum, memory_order_relaxed);
    apr_uint64_t weight = balancer_view_weight(view, taken);
    apr_int64_t turns = sum ? (apr_int64_t)(weight * atomic_load(&view->row_len) / sum) : 0;

    /* Whose turn it never is (draining, resting) does not count. */
    if (weight && atomic_load(&rec->debt) < SESSION_ROUNDS * (turns ? turns : 1)) {
        atomic_fetch_add(&rec->debt, 1);
    }
}

static void requests_create(balancer_view_t *view, apr_pool_t *p)
{
    apr_uint32_t n = view->size ? view->size : 1;

    view->row_size = ROW_SIZE + ROW_SIZE_EACH * n;
    view->row = apr_pcalloc(p, view->row_size * sizeof(*view->row));
    view->scratch_groups = apr_palloc(p, n * sizeof(*view->scratch_groups));
}

/* The row of the same weights is not made again. */
static void requests_fill(balancer_view_t *view, const balancer_choice_t *choice)
{
    apr_uint32_t count = balancer_view_count(view), k;
    apr_uint64_t of = count + 1;

    for (k = 0; k < count; ++k) {
        of = usher_sample_chance(of ^ view->scratch_weights[k]) + of;
    }
    if (of != view->row_of) {
        view->row_of = of;
        atomic_store(&view->row_len, usher_row_make(view->row, view->row_size,
                                                    view->scratch_weights, count, view->scratch,
                                                    view->scratch_groups));
    }
}

const balancer_method_t balancer_method_requests = {
    .name = "usher-requests",
    .choose = requests_choose,
    .took = requests_took,
    .create = requests_create,
    .fill = requests_fill,
};
