/* lbmethod=usher: two members by weight, and of them the one that has less in flight.
 *
 * The first one comes from a row that is spread evenly, so that load factors are kept
 * at few requests as well; the second by chance. Slow members weigh less, see
 * balancer_view.c. */
#include "balancer_choose.h"

/* So often another second member is looked for when it is the first one again. */
#define SECOND_TRIES 3

/* The second one; the first where there is none. */
static int usher_second(const balancer_view_t *view, apr_uint32_t count, int first,
                        apr_uint64_t ticket)
{
    int i, second = first;

    if (count == 2) {
        second = balancer_view_member(view, 0);
        return second != first ? second : balancer_view_member(view, 1);
    }
    for (i = 0; second == first && i < SECOND_TRIES && count > 1; ++i) {
        ticket = usher_sample_chance(ticket + 1);
        second = balancer_view_sample(view, count, ticket);
    }
    return second;
}

static int usher_choose(const balancer_view_t *view, const balancer_choice_t *choice)
{
    apr_uint32_t count = balancer_view_count(view), busy, other_busy;
    apr_uint64_t ticket = balancer_turn(choice);
    apr_uint64_t point = usher_sample_even(ticket);
    int i, tries, other;

    for (tries = 0; count && tries < BALANCER_CHOOSE_TRIES; ++tries) {
        i = balancer_view_sample(view, count, point);
        busy = balancer_in_flight(choice, i);
        if (busy) {
            other = usher_second(view, count, i, ticket + (apr_uint64_t)tries);
            other_busy = balancer_in_flight(choice, other);
            if (other != i && balancer_is_less_busy(view, other_busy, other, busy, i)
                && balancer_view_may_use(view, choice, other)) {
                return other;
            }
        }
        if (balancer_view_may_use(view, choice, i)) {
            return i;
        }
        point = usher_sample_chance(point);
    }
    return -1;
}

const balancer_method_t balancer_method_usher = {
    .name = "usher",
    .by_time = 1,
    .choose = usher_choose,
};
