/* Changes on their way to the store: places in shared memory.
 *
 * A place is free, being filled, ready, taken by the store's thread, or answered. Its state is
 * one word, with the pid of who asks: he alone fills and frees it, the thread takes and answers
 * it. Who does not wait any longer sets GONE, and the thread frees the place. A place of a
 * process that was killed is freed when its end is seen; one that a killed thread had taken
 * is taken again by the next one.
 *
 * Any child can write anything here. What is in a place is copied before it is looked at, and
 * only then believed if it is sound; a wrong state loses that change, nothing else. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "core_store.h"
#include "usher_clock.h"
#include "usher_duration.h"
#include "usher_futex.h"

#define PLACES 256
/* Who waits looks by himself so often. */
#define LOOK_INTERVAL 100000
/* A last version that is further ahead of UTC (ms) is none of ours. */
#define VERSION_AHEAD ((apr_uint64_t)86400000)
#define VERSION_MAX ((apr_uint64_t)APR_INT64_MAX - 1)

enum { PLACE_FREE, PLACE_FILLING, PLACE_READY, PLACE_TAKEN, PLACE_ANSWERED };
#define STATE(word) ((int)((word) & 7))
#define GONE 8
#define OWNER(pid) ((apr_uint64_t)(apr_uint32_t)(pid) << 32)
#define OWNER_OF(word) ((pid_t)((word) >> 32))

typedef struct {
    apr_uint64_t was, version;
    apr_int64_t life;
    apr_uint32_t deletes;
    apr_uint32_t pad;
    char kind[USHER_STORE_KIND_MAX + 1];
    char key[USHER_STORE_KEY_MAX + 1];
    char value[USHER_STORE_VALUE_MAX + 8];
} queue_change_t;
_Static_assert(sizeof(queue_change_t) == 4344, "part of the segment's layout");

typedef struct {
    _Atomic apr_uint32_t bell; /* changes with the answer */
    apr_uint32_t n;
    apr_uint32_t result;
    apr_uint32_t pad;
    queue_change_t changes[USHER_STORE_TOGETHER_MAX];
} queue_place_t;

typedef struct {
    core_store_shm_t store;
    _Atomic apr_uint64_t states[PLACES];
    queue_place_t places[PLACES];
} queue_shm_t;
_Static_assert(sizeof(core_store_shm_t) == 72, "part of the segment's layout");
_Static_assert(sizeof(queue_shm_t) == 72 + PLACES * (8 + 16 + 2 * sizeof(queue_change_t)),
               "part of the segment's layout");

struct core_store_taken_t {
    int n;
    int from; /* the place to begin with: each has its turn */
    int places[CORE_STORE_TAKE_MAX];
    core_store_batch_t batches[CORE_STORE_TAKE_MAX];
    usher_store_change_t changes[CORE_STORE_TAKE_MAX][USHER_STORE_TOGETHER_MAX];
    queue_change_t copies[CORE_STORE_TAKE_MAX][USHER_STORE_TOGETHER_MAX];
};

static const usher_memory_spec_t queue_spec = {
    .name = "store",
    .layout = 1,
    .size = sizeof(queue_shm_t),
    .size_min = sizeof(queue_shm_t),
    .size_max = sizeof(queue_shm_t),
};

static usher_memory_t *memory;
static queue_shm_t *queue;

void core_store_queue_declare(void)
{
    queue = NULL;
    memory = core_memory_declare(&queue_spec);
}

core_store_shm_t *core_store_queue_open(void)
{
    queue = core_memory_base(memory, NULL);
    return queue ? &queue->store : NULL;
}

/* Who asks */

static int queue_find_place(void)
{
    int i;

    for (i = 0; i < PLACES; ++i) {
        apr_uint64_t state = PLACE_FREE;

        if (atomic_load_explicit(&queue->states[i], memory_order_relaxed) == PLACE_FREE
            && atomic_compare_exchange_strong(&queue->states[i], &state,
                                              OWNER(getpid()) | PLACE_FILLING)) {
            return i;
        }
    }
    return -1;
}

static void queue_fill(queue_place_t *place, const usher_store_change_t *changes, int n)
{
    int i;

    place->n = (apr_uint32_t)n;
    for (i = 0; i < n; ++i) {
        queue_change_t *to = &place->changes[i];

        to->was = changes[i].was;
        to->version = 0; /* the thread gives it */
        to->life = changes[i].life;
        to->deletes = changes[i].value == NULL;
        apr_cpystrn(to->kind, changes[i].kind->name, sizeof(to->kind));
        apr_cpystrn(to->key, changes[i].key, sizeof(to->key));
        apr_cpystrn(to->value, changes[i].value ? changes[i].value : "", sizeof(to->value));
    }
}

static usher_store_result_e queue_result(const queue_place_t *place,
                                         usher_store_change_t *changes, int n)
{
    apr_uint32_t result = place->result;
    int i;

    for (i = 0; i < n; ++i) {
        changes[i].version = result == USHER_STORE_DONE || result == USHER_STORE_CONFLICT
                             ? place->changes[i].version : 0;
    }
    return result <= USHER_STORE_BUSY ? (usher_store_result_e)result : USHER_STORE_DOWN;
}

/* The time is over: what nobody has taken yet is taken back. @return 0: look again */
static int queue_give_up(_Atomic apr_uint64_t *state, apr_uint64_t seen)
{
    return atomic_compare_exchange_strong(state, &seen,
                                          STATE(seen) == PLACE_READY ? PLACE_FREE : seen | GONE);
}

static usher_store_result_e queue_wait(int i, usher_store_change_t *changes, int n,
                                       apr_time_t until)
{
    queue_place_t *place = &queue->places[i];
    const usher_clock_t *clock = usher_clock_system();

    for (;;) {
        apr_uint32_t bell = atomic_load(&place->bell);
        apr_uint64_t state = atomic_load(&queue->states[i]);
        apr_interval_time_t left = until - clock->boot_now();

        if (state == (OWNER(getpid()) | PLACE_ANSWERED)) {
            usher_store_result_e result = queue_result(place, changes, n);

            atomic_store(&queue->states[i], PLACE_FREE);
            return result;
        }
        if (state != (OWNER(getpid()) | PLACE_READY) && state != (OWNER(getpid()) | PLACE_TAKEN)) {
            return USHER_STORE_DOWN; /* somebody wrote there: it is not ours any more */
        }
        if (left > 0) {
            usher_futex_wait(&place->bell, bell, left < LOOK_INTERVAL ? left : LOOK_INTERVAL);
        }
        else if (queue_give_up(&queue->states[i], state)) {
            return USHER_STORE_DOWN;
        }
    }
}

usher_store_result_e core_store_queue_put(usher_store_change_t *changes, int n,
                                          apr_interval_time_t wait)
{
    apr_time_t until = usher_clock_system()->boot_now() + wait;
    int i = queue_find_place();

    if (i < 0) {
        return USHER_STORE_BUSY;
    }
    queue_fill(&queue->places[i], changes, n);
    atomic_store(&queue->states[i],
                 OWNER(getpid()) | PLACE_READY | (apr_uint64_t)(wait > 0 ? 0 : GONE));
    usher_futex_ring(&queue->store.work);
    return wait > 0 ? queue_wait(i, changes, n, until) : USHER_STORE_HANDED;
}

/* The thread that has the claim */

core_store_taken_t *core_store_taken_make(void)
{
    return calloc(1, sizeof(core_store_taken_t));
}

void core_store_taken_free(core_store_taken_t *taken)
{
    free(taken);
}

/* Greater than all that were given before, on this node. */
static apr_uint64_t queue_next_version(apr_uint64_t was)
{
    apr_uint64_t utc = (apr_uint64_t)(usher_clock_system()->utc_now() / 1000);
    apr_uint64_t last = atomic_load(&queue->store.version);
    apr_uint64_t next = utc > was ? utc : was + 1;

    if (last >= next && (last < utc + VERSION_AHEAD || last == was)) {
        next = last + 1;
    }
    atomic_store(&queue->store.version, next);
    return next;
}

/* A copy, in memory that nobody else writes to. @return 0: it is garbage */
static int queue_copy(queue_change_t *copy, usher_store_change_t *change, queue_change_t *from)
{
    *copy = *from;
    copy->kind[USHER_STORE_KIND_MAX] = copy->key[USHER_STORE_KEY_MAX] = '\0';
    copy->value[USHER_STORE_VALUE_MAX] = '\0';
    change->kind = core_store_kind(copy->kind);
    change->key = copy->key;
    change->value = copy->deletes ? NULL : copy->value;
    change->was = copy->was;
    change->life = copy->life;
    if (!change->kind || !core_store_is_sound(copy->kind, copy->key, change->value)
        || copy->was >= VERSION_MAX || copy->life < 0 || copy->life > USHER_DURATION_MAX / 1000
        || (copy->deletes && !copy->life)) {
        return 0;
    }
    /* One that is there was given to a thread that ended: it may have done the change. */
    if (copy->version <= copy->was || copy->version > VERSION_MAX) {
        from->version = copy->version = queue_next_version(copy->was);
    }
    change->version = copy->version;
    return 1;
}

static void queue_answer(int i, const core_store_batch_t *batch)
{
    queue_place_t *place = &queue->places[i];
    apr_uint64_t state = atomic_load(&queue->states[i]);
    int c, done = 0;

    place->result = batch->result;
    for (c = 0; c < batch->n; ++c) {
        place->changes[c].version = batch->changes[c].version;
    }
    while (STATE(state) == PLACE_TAKEN && !done) {
        done = atomic_compare_exchange_weak(&queue->states[i], &state,
                                            state & GONE ? PLACE_FREE
                                            : (state & ~(apr_uint64_t)7) | PLACE_ANSWERED);
    }
    usher_futex_ring(&place->bell);
}

/* A place that is ready, into the next batch. */
static void queue_take_place(core_store_taken_t *taken, int i)
{
    apr_uint64_t state = atomic_load(&queue->states[i]);
    queue_place_t *place = &queue->places[i];
    core_store_batch_t *batch = &taken->batches[taken->n];
    int n, sound = 1, c;
    apr_uint32_t said;

    if (STATE(state) != PLACE_READY
        || !atomic_compare_exchange_strong(&queue->states[i], &state,
                                           (state & ~(apr_uint64_t)7) | PLACE_TAKEN)) {
        return;
    }
    said = *(volatile apr_uint32_t *)&place->n; /* once: another child may change it just now */
    n = said >= 1 && said <= USHER_STORE_TOGETHER_MAX ? (int)said : 0;
    batch->changes = taken->changes[taken->n];
    batch->result = USHER_STORE_DOWN;
    for (c = 0; sound && c < n; ++c) {
        sound = queue_copy(&taken->copies[taken->n][c], &batch->changes[c], &place->changes[c]);
    }
    batch->n = sound ? n : 0;
    if (batch->n) {
        taken->places[taken->n++] = i;
    }
    else {
        queue_answer(i, batch);
    }
}

int core_store_queue_take(core_store_taken_t *taken, core_store_batch_t **batches)
{
    int tries;

    taken->n = 0;
    for (tries = 0; tries < PLACES && taken->n < CORE_STORE_TAKE_MAX; ++tries) {
        queue_take_place(taken, taken->from);
        taken->from = (taken->from + 1) % PLACES;
    }
    *batches = taken->batches;
    return taken->n;
}

void core_store_queue_answer(core_store_taken_t *taken)
{
    int i;

    for (i = 0; i < taken->n; ++i) {
        const core_store_batch_t *batch = &taken->batches[i];

        atomic_fetch_add(batch->result == USHER_STORE_DONE ? &queue->store.changes
                         : &queue->store.refused, (apr_uint64_t)batch->n);
        queue_answer(taken->places[i], batch);
    }
    taken->n = 0;
}

void core_store_queue_recover(void)
{
    int i;

    for (i = 0; i < PLACES; ++i) {
        apr_uint64_t state = atomic_load(&queue->states[i]);

        while (STATE(state) == PLACE_TAKEN
               && !atomic_compare_exchange_weak(&queue->states[i], &state,
                                                (state & ~(apr_uint64_t)7) | PLACE_READY)) {
        }
    }
}

static void queue_forget_place(_Atomic apr_uint64_t *place, apr_uint64_t state)
{
    int step = STATE(state);

    atomic_compare_exchange_strong(place, &state,
                                   step == PLACE_READY || step == PLACE_TAKEN ? state | GONE
                                                                             : PLACE_FREE);
}

void core_store_queue_forget(pid_t pid)
{
    int i;

    for (i = 0; queue && i < PLACES; ++i) {
        apr_uint64_t state = atomic_load(&queue->states[i]);

        if (state != PLACE_FREE && OWNER_OF(state) == pid) {
            queue_forget_place(&queue->states[i], state);
        }
    }
}

void core_store_queue_sweep(void)
{
    int i;

    for (i = 0; i < PLACES; ++i) {
        apr_uint64_t state = atomic_load(&queue->states[i]);
        int step = STATE(state);

        if (state == PLACE_FREE || (state & GONE && (step == PLACE_READY || step == PLACE_TAKEN))) {
            continue;
        }
        if (step == PLACE_FREE || step > PLACE_ANSWERED || state & GONE || OWNER_OF(state) <= 0
            || (kill(OWNER_OF(state), 0) && errno == ESRCH)) {
            queue_forget_place(&queue->states[i], state);
        }
    }
}
