/* Requests that wait until a member has room (UsherQueue).
 *
 * Each waits in its own thread, on a word of shared memory: the cluster's if any member
 * will do, its member's if it is of a session. Who gives back a place changes the word and
 * wakes one of them, the longest waiting first: a bit of the futex's mask tells when each
 * came. A waiting request looks again every 50 ms, so that nothing hangs on a process that
 * is killed; that alone would put it behind the others in the futex's own row.
 *
 * A request that comes while others wait does not go before them. */
#include <time.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "balancer_private.h"

APLOG_USE_MODULE(usher_balancer);

#define LOOK_INTERVAL 50000 /* us */
#define AGES 32
#define TELL_INTERVAL 60000 /* ms */

static APR_OPTIONAL_FN_TYPE(usher_backend_is_client_gone) *queue_is_client_gone;

void balancer_queue_post_config(void)
{
    queue_is_client_gone = APR_RETRIEVE_OPTIONAL_FN(usher_backend_is_client_gone);
}

/* Which of the last AGES spans of time, which cover more than a request waits. */
static apr_uint64_t queue_age(const balancer_request_t *request, apr_time_t at)
{
    return (apr_uint64_t)at
           / ((apr_uint64_t)(request->cluster->conf->load.wait + LOOK_INTERVAL) / (AGES - 2) + 1);
}

#ifdef __linux__
static void queue_sleep(_Atomic apr_uint32_t *word, apr_uint32_t seen, apr_uint32_t mask,
                        apr_interval_time_t time)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += time * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, &until, NULL, mask);
}

static int queue_wake_one(_Atomic apr_uint32_t *word, apr_uint32_t mask)
{
    return syscall(SYS_futex, word, FUTEX_WAKE_BITSET, 1, NULL, NULL, mask) > 0;
}
#else
static void queue_sleep(_Atomic apr_uint32_t *word, apr_uint32_t seen, apr_uint32_t mask,
                        apr_interval_time_t time)
{
    apr_sleep(time < 5000 ? time : 5000);
}

static int queue_wake_one(_Atomic apr_uint32_t *word, apr_uint32_t mask)
{
    return 1;
}
#endif

static _Atomic apr_uint32_t *queue_word(const balancer_request_t *request, int i)
{
    return i < 0 ? &request->cluster->rec->released : &request->members->list[i].rec->released;
}

void balancer_queue_wake(balancer_request_t *request, int i)
{
    int any = atomic_load(&request->cluster->rec->waiting) != 0;
    int here = atomic_load(&request->members->list[i].rec->waiting) != 0;
    apr_uint64_t now = queue_age(request, usher_clock_system()->boot_now());
    int age;

    atomic_fetch_add(queue_word(request, -1), 1);
    atomic_fetch_add(queue_word(request, i), 1);
    for (age = AGES - 1; age >= 0; --age) {
        apr_uint32_t mask = (apr_uint32_t)1 << (now - (apr_uint64_t)age) % AGES;

        if ((here && queue_wake_one(queue_word(request, i), mask))
            || (any && queue_wake_one(queue_word(request, -1), mask))) {
            return;
        }
    }
}

int balancer_queue_is_before(const balancer_request_t *request)
{
    return request->queue.step != BALANCER_QUEUE_WAITED && request->cluster->conf->load.wait > 0
           && atomic_load(&request->cluster->rec->waiting) > (apr_uint32_t)request->queue.step;
}

/* Nothing of the request has been read but its head. */
static int queue_is_gone(request_rec *r)
{
    return r->connection->aborted || (queue_is_client_gone && queue_is_client_gone(r));
}

static void queue_begin(balancer_request_t *request, int i)
{
    balancer_queue_place_t *place = &request->queue;

    place->waits = 1;
    place->member = i;
    place->seen = atomic_load(queue_word(request, i));
}

/* Its session's member cannot serve any more, or can again. */
static int queue_move(balancer_request_t *request, int i)
{
    balancer_load_wait_end(request, request->queue.member);
    request->queue.waits = 0;
    if (!balancer_load_wait_begin(request, i)) {
        return 0;
    }
    queue_begin(request, i);
    return 1;
}

balancer_queue_e balancer_queue_wait(balancer_request_t *request, request_rec *r, int i)
{
    balancer_queue_place_t *place = &request->queue;
    apr_interval_time_t left = request->cluster->conf->load.wait;
    apr_time_t now;

    if (!left || request->attempts) {
        return BALANCER_QUEUE_OVER;
    }
    now = usher_clock_system()->boot_now();
    if (!place->since) {
        place->before = atomic_load(i < 0 ? &request->cluster->rec->waiting
                                          : &request->members->list[i].rec->waiting);
        if (!balancer_load_wait_begin(request, i)) {
            return BALANCER_QUEUE_OVER;
        }
        place->since = now;
        place->step = BALANCER_QUEUE_BEGUN;
        queue_begin(request, i);
        return BALANCER_QUEUE_AGAIN; /* it may have become free just before */
    }
    left -= now - place->since;
    if (!place->waits || left <= 0 || (i != place->member && !queue_move(request, i))) {
        return BALANCER_QUEUE_OVER;
    }
    queue_sleep(queue_word(request, i), place->seen,
                (apr_uint32_t)1 << queue_age(request, place->since) % AGES,
                left < LOOK_INTERVAL ? left : LOOK_INTERVAL);
    place->seen = atomic_load(queue_word(request, i));
    place->step = BALANCER_QUEUE_WAITED;
    return queue_is_gone(r) ? BALANCER_QUEUE_GONE : BALANCER_QUEUE_AGAIN;
}

void balancer_queue_leave(balancer_request_t *request, request_rec *r)
{
    balancer_queue_place_t *place = &request->queue;

    if (place->waits) {
        balancer_load_wait_end(request, place->member);
        place->waits = 0;
        place->waited = usher_clock_system()->boot_now() - place->since;
        apr_table_setn(r->subprocess_env, "USHER_QUEUE",
                       apr_psprintf(r->pool, "%" APR_TIME_T_FMT, apr_time_as_msec(place->waited)));
    }
}

/* One of all children in a minute. */
static int queue_may_tell(usher_cluster_rec_t *rec)
{
    apr_int64_t now = balancer_now(), told_at = atomic_load(&rec->full_told_at);

    return (told_at <= 0 || told_at > now || now - told_at >= TELL_INTERVAL)
           && atomic_compare_exchange_strong(&rec->full_told_at, &told_at, now);
}

void balancer_queue_refuse(balancer_request_t *request, request_rec *r)
{
    usher_cluster_rec_t *rec = request->cluster->rec;
    apr_interval_time_t wait = request->cluster->conf->load.wait;
    apr_uint64_t count = atomic_fetch_add(&rec->refused_full, 1) + 1;

    apr_table_setn(r->err_headers_out, "Retry-After",
                   apr_psprintf(r->pool, "%d", wait > APR_USEC_PER_SEC
                                    ? (int)((wait + APR_USEC_PER_SEC - 1) / APR_USEC_PER_SEC) : 1));
    if (queue_may_tell(rec)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, USHERLOGNO(3022)
                      "%s: all members that may have this request have as many as "
                      "UsherMemberMax lets them have; the client got 503 with Retry-After, as "
                      "%" APR_UINT64_T_FMT " did up to now. %s, raise UsherMemberMax, or add "
                      "members. This line comes once a minute", request->cluster->name, count,
                      wait ? "Let requests wait longer, or more of them (UsherQueue, most=)"
                           : "Let requests wait a while (UsherQueue)");
    }
}
