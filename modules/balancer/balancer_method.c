/* The lbmethods by their names. */
#include "balancer_choose.h"

static const balancer_method_t *const methods[] = {
    &balancer_method_usher, &balancer_method_requests, &balancer_method_busyness,
    &balancer_method_hash
};
_Static_assert(sizeof(methods) / sizeof(methods[0]) == BALANCER_METHODS, "each is registered");

const balancer_method_t *balancer_method_at(int i)
{
    return methods[i];
}
