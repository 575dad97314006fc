/* lbmethod=usher-hash: requests with one key go to one member, in all children and on all
 * nodes; who comes or goes moves only its own keys (usher_slots.h).
 *
 * No member gets more in flight than a quarter above its share of all: what is more goes
 * where the key would go if the member were not there, and so does what a member that
 * cannot serve would have got. */
#include "balancer_choose.h"
#include "usher_siphash.h"

/* So many owners of a key are asked. After that each member is. */
#define OWNERS 32

/* A key that does not matter: there is none. */
static int hash_of_request(const balancer_choice_t *choice, apr_uint64_t *hash)
{
    const ap_expr_info_t *expr = choice->cluster->conf->hash.key;
    const char *error = NULL;
    const char *key = expr ? ap_expr_str_exec(choice->r, expr, &error)
                           : choice->r->useragent_ip;

    if (error || !key || !*key) {
        return 0;
    }
    *hash = usher_siphash(choice->cluster->seed, key, strlen(key)).word[0];
    return 1;
}

/* Requests in flight at all members; the stock modules count only those of each. */
static apr_uint64_t hash_total(const balancer_view_t *view, const balancer_choice_t *choice)
{
    apr_uint32_t count = balancer_view_count(view), k;
    apr_uint64_t total = 0;

    if (!choice->stock) {
        return atomic_load_explicit(&choice->cluster->rec->in_flight, memory_order_relaxed);
    }
    for (k = 0; k < count; ++k) {
        total += balancer_in_flight(choice, balancer_view_member(view, k));
    }
    return total;
}

/* A quarter above a member's share, this request counted too; one at least. */
static apr_uint64_t hash_bound(const balancer_view_t *view, int i, apr_uint64_t total)
{
    apr_uint64_t sum = atomic_load_explicit(&view->sum, memory_order_relaxed);
    apr_uint64_t share = (total + 1) * 5 * balancer_view_weight(view, i);

    return sum && share ? (share + 4 * sum - 1) / (4 * sum) : 1;
}

/* Others may choose it at the same time: the place is taken within the bound. */
static int hash_has_room(const balancer_view_t *view, const balancer_choice_t *choice, int i,
                         apr_uint64_t total)
{
    apr_uint64_t bound = hash_bound(view, i, total);

    if (choice->bound) {
        *choice->bound = bound < APR_UINT32_MAX ? (apr_uint32_t)bound : 0;
    }
    return balancer_in_flight(choice, i) < bound;
}

static int hash_may_use(const balancer_view_t *view, const balancer_choice_t *choice, int i,
                        apr_uint64_t total)
{
    return balancer_view_weight(view, i) && hash_has_room(view, choice, i, total)
           && balancer_view_may_use(view, choice, i);
}

/* Any of the group, in an order that depends on the key; if need be above its share. */
static int hash_search(const balancer_view_t *view, const balancer_choice_t *choice,
                       apr_uint64_t hash, apr_uint64_t total)
{
    apr_uint32_t count = balancer_view_count(view), k, above;

    for (above = 0; above <= 1; ++above) {
        for (k = 0; k < count; ++k) {
            int i = balancer_view_member(view, (apr_uint32_t)((hash + k) % count));

            if (hash_may_use(view, choice, i, above ? APR_UINT32_MAX : total)) {
                return i;
            }
        }
    }
    return -1;
}

static int hash_choose(const balancer_view_t *view, const balancer_choice_t *choice)
{
    const struct balancer_views_t *views = choice->members->views;
    apr_uint64_t hash, total;
    unsigned int again;

    if (!hash_of_request(choice, &hash)) {
        return balancer_method_usher.choose(view, choice);
    }
    total = hash_total(view, choice);
    for (again = 0; again < OWNERS && atomic_load(&views->slots_of); ++again) {
        apr_uint32_t i = atomic_load_explicit(&views->slots[usher_slots_of(hash, again)],
                                              memory_order_relaxed);

        if (i < view->size && hash_may_use(view, choice, (int)i, total)) {
            return (int)i;
        }
    }
    return hash_search(view, choice, hash, total);
}

static void hash_fill_slots(struct balancer_views_t *views, const balancer_members_t *members,
                            const apr_uint32_t *weights)
{
    apr_uint32_t n = (apr_uint32_t)members->count, i;
    apr_uint32_t *owners = ap_malloc(USHER_SLOTS * sizeof(*owners));
    apr_uint64_t *times = ap_malloc(USHER_SLOTS * sizeof(*times));
    apr_uint64_t *seeds = ap_malloc(n * sizeof(*seeds));

    /* By its URL too: a standby has the route, and so the id, of another member. One that
     * signs in is the same one wherever it runs. */
    for (i = 0; i < n; ++i) {
        const char *url = members->list[i].joined ? "" : members->list[i].worker->s->name_ex;

        seeds[i] = usher_siphash(members->list[i].id, url, strlen(url)).word[0];
    }
    usher_slots_make(owners, times, seeds, weights, n);
    for (i = 0; i < USHER_SLOTS; ++i) {
        atomic_store_explicit(&views->slots[i], owners[i], memory_order_relaxed);
    }
    free(seeds);
    free(times);
    free(owners);
}

/* All members have slots, whoever may serve: those of one that rests are not given away,
 * its keys only go elsewhere meanwhile. */
static void hash_refill(struct balancer_views_t *views, const balancer_choice_t *choice)
{
    apr_uint32_t n = (apr_uint32_t)choice->members->count, i;
    apr_uint32_t *weights = ap_malloc((n + 1) * sizeof(*weights));
    apr_uint64_t of = n;

    for (i = 0; i < n; ++i) {
        weights[i] = balancer_pick_factor(&choice->members->list[i]);
        of = usher_sample_chance(of ^ weights[i]) + of;
    }
    if (n && of != atomic_load(&views->slots_of)) {
        hash_fill_slots(views, choice->members, weights);
        atomic_store(&views->slots_of, of ? of : 1);
    }
    free(weights);
}

const balancer_method_t balancer_method_hash = {
    .name = "usher-hash",
    .has_slots = 1,
    .choose = hash_choose,
    .refill = hash_refill,
};
