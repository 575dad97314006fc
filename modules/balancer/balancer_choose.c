/* The choice of a member: quickly, from the view of the last second; where that finds
 * nobody, or somebody is to be tried after his rest, from all members as they stand now. */
#include "balancer_choose.h"

void balancer_pick_begin(const balancer_choice_t *choice)
{
    balancer_view_current(choice);
}

void balancer_pick_changed(const balancer_cluster_t *cluster)
{
    atomic_fetch_add(&cluster->rec->changes, 1);
}

int balancer_pick_next(const balancer_choice_t *choice)
{
    const balancer_method_t *method = choice->cluster->method;
    const balancer_view_t *view = balancer_view_current(choice);
    int i = -1;

    if (view) {
        i = method->choose(view, choice);
        if (i >= 0) {
            return i;
        }
        balancer_view_is_old(choice->members);
    }
    view = balancer_view_anew(choice, &i);
    return i >= 0 || !balancer_view_count(view) ? i : method->choose(view, choice);
}

void balancer_pick_took(const balancer_choice_t *choice, int taken)
{
    const balancer_method_t *method = choice->cluster->method;
    const balancer_view_t *view = method->took ? balancer_view_current(choice) : NULL;

    if (view) {
        method->took(view, choice, taken);
    }
}
