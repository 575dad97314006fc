/* lbmethod=usher-busyness: the member that has the least in flight, by weight; among
 * equals the row that is spread evenly decides. */
#include "balancer_choose.h"

/* So many members are compared. Where there are more it is a window that moves. */
#define WINDOW 64

static int busyness_choose(const balancer_view_t *view, const balancer_choice_t *choice)
{
    apr_uint32_t count = balancer_view_count(view), n = count < WINDOW ? count : WINDOW, k;
    apr_uint64_t ticket = balancer_turn(choice);
    apr_uint64_t begin = usher_sample_chance(ticket);
    apr_uint32_t busy, best_busy;
    int i, best;

    if (!count) {
        return -1;
    }
    best = balancer_view_sample(view, count, usher_sample_even(ticket));
    best_busy = balancer_in_flight(choice, best);
    if (!balancer_view_may_use(view, choice, best)) {
        best = -1;
    }
    for (k = 0; k < n && (best < 0 || best_busy); ++k) {
        i = balancer_view_member(view, (apr_uint32_t)((begin + k) % count));
        busy = balancer_in_flight(choice, i);
        if ((best < 0 || balancer_is_less_busy(view, busy, i, best_busy, best))
            && balancer_view_may_use(view, choice, i)) {
            best = i;
            best_busy = busy;
        }
    }
    return best;
}

const balancer_method_t balancer_method_busyness = {
    .name = "usher-busyness",
    .choose = busyness_choose,
};
