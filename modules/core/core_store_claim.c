/* The claim: which child's thread works for the store. One word of shared memory, with pid and
 * generation. It stays with a child as long as that lives, or until there is a newer generation.
 *
 * An orphan, whose parent was killed, gives it up: it must not write while another httpd does. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core_store.h"
#include "usher_futex.h"

#define CLAIM(pid, gen) ((apr_uint64_t)(apr_uint32_t)(gen) << 32 | (apr_uint32_t)(pid))
#define CLAIM_PID(claim) ((pid_t)(apr_uint32_t)(claim))

static apr_uint64_t self;
static apr_uint32_t generation;
static pid_t parent;

/* a is newer than b */
static int claim_is_newer(apr_uint32_t a, apr_uint32_t b)
{
    return (apr_int32_t)(a - b) > 0;
}

static apr_uint32_t claim_generation(void)
{
    int now = 0;

    ap_mpm_query(AP_MPMQ_GENERATION, &now);
    return (apr_uint32_t)now;
}

void core_store_claim_child_init(core_store_shm_t *shm)
{
    apr_uint32_t newest = atomic_load(&shm->generation);

    generation = claim_generation();
    self = CLAIM(getpid(), generation);
    parent = getppid();
    core_store_claim_disown(shm, getpid()); /* a dead child's pid, given to this one */
    while (claim_is_newer(generation, newest)
           && !atomic_compare_exchange_weak(&shm->generation, &newest, generation)) {
    }
    usher_futex_ring(&shm->work); /* an older one gives the claim up */
}

int core_store_claim_holds(const core_store_shm_t *shm)
{
    return atomic_load(&shm->claim) == self && getppid() == parent
           && !claim_is_newer(atomic_load(&shm->generation), generation);
}

int core_store_claim_take(core_store_shm_t *shm)
{
    apr_uint64_t claim = atomic_load(&shm->claim);
    pid_t pid = CLAIM_PID(claim);

    if (getppid() != parent || claim_is_newer(atomic_load(&shm->generation), generation)) {
        return 0;
    }
    /* Another user's process of that pid (EPERM) is no child of ours: the parent knows. */
    if (claim && claim != self && pid > 0 && (!kill(pid, 0) || errno != ESRCH)) {
        return 0;
    }
    return atomic_compare_exchange_strong(&shm->claim, &claim, self);
}

void core_store_claim_leave(core_store_shm_t *shm)
{
    apr_uint64_t claim = self;

    atomic_compare_exchange_strong(&shm->claim, &claim, 0);
    usher_futex_ring(&shm->claimed);
}

void core_store_claim_disown(core_store_shm_t *shm, pid_t pid)
{
    apr_uint64_t claim = atomic_load(&shm->claim);

    if (claim && CLAIM_PID(claim) == pid && atomic_compare_exchange_strong(&shm->claim, &claim, 0)) {
        atomic_store(&shm->began, 0);
        usher_futex_ring(&shm->claimed);
    }
}

/* The last resort, as the tick's: an owner who is no child of ours, and a generation that
 * there is not yet. */
void core_store_claim_monitor(core_store_shm_t *shm)
{
    apr_uint64_t claim = atomic_load(&shm->claim);
    siginfo_t info;

    if (claim && CLAIM_PID(claim) != getpid()
        && waitid(P_PID, (id_t)CLAIM_PID(claim), &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
        core_store_claim_disown(shm, CLAIM_PID(claim));
    }
    if (claim_is_newer(atomic_load(&shm->generation), claim_generation())) {
        atomic_store(&shm->generation, claim_generation());
        usher_futex_ring(&shm->claimed);
    }
}
