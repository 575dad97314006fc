/* What is counted, and when leases were looked at: the piece "register". Atomics only, so it needs no
 * lock and no repair. */
#include "register_member.h"

static usher_memory_t *memory;

static const usher_memory_spec_t count_spec = {
    .name = "register",
    .layout = 1,
    .size = sizeof(register_shm_t),
    .size_min = sizeof(register_shm_t),
    .size_max = 65536,
};

static const char *const names[REGISTER_COUNTS] = {
    [REGISTER_COUNT_REGISTERED] = "registered",
    [REGISTER_COUNT_CHANGED] = "changed",
    [REGISTER_COUNT_HEARTBEATS] = "heartbeats",
    [REGISTER_COUNT_DRAINED] = "drained",
    [REGISTER_COUNT_DEREGISTERED] = "deregistered",
    [REGISTER_COUNT_EXPIRED] = "expired",
    [REGISTER_COUNT_REMOVED] = "removed",
    [REGISTER_COUNT_REFUSED] = "refused",
};

void register_count_check_config(void)
{
    memory = register_core->memory_declare(&count_spec);
}

register_shm_t *register_count_shm(void)
{
    apr_uint64_t size;
    void *base = memory ? register_core->memory_base(memory, &size) : NULL;

    return base && size >= sizeof(register_shm_t) ? base : NULL;
}

void register_count(register_count_e what)
{
    register_shm_t *shm = register_count_shm();

    if (shm) {
        atomic_fetch_add_explicit(&shm->counts[what], 1, memory_order_relaxed);
    }
}

const char *register_count_name(register_count_e what)
{
    return names[what];
}
