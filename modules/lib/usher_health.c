#include "usher_health.h"

/* The state is one word, changed by compare-and-set: what (2 bits), for how
 * long (22 bits, ms: 69 minutes) and since when (40 bits, ms: 34 years). UP
 * keeps its since: failures from before it are forgotten. */
enum { UP, RESTING, TRYING, SLOW };

#define AT_BITS 40
#define LENGTH_BITS 22
#define AT_MASK (((apr_uint64_t)1 << AT_BITS) - 1)
#define LENGTH_MASK (((apr_uint64_t)1 << LENGTH_BITS) - 1)
_Static_assert(USHER_HEALTH_TIME_MAX <= LENGTH_MASK, "a length fits");

#define WHAT(word) ((int)((word) >> (AT_BITS + LENGTH_BITS)))
#define LENGTH(word) ((apr_int64_t)((word) >> AT_BITS & LENGTH_MASK))
#define AT(word) ((apr_int64_t)((word) & AT_MASK))

/* Threads that read the clock and then waited for a processor see times that
 * are ahead of theirs; what is further ahead than this nobody wrote. */
#define AHEAD_MAX 10000

/* A failure's word: since when (40 bits), how many (24 bits). */
#define COUNT_MAX (((apr_uint64_t)1 << 24) - 1)
#define COUNT(word) ((word) & COUNT_MAX)
#define SINCE(word) ((apr_int64_t)((word) >> 24))
#define FAILURES(since, count) ((apr_uint64_t)((since) & AT_MASK) << 24 | (count))

#define LEAST_SHARE 50

static apr_uint64_t health_word(int what, apr_int64_t at, apr_uint32_t length)
{
    if (length > USHER_HEALTH_TIME_MAX) {
        length = USHER_HEALTH_TIME_MAX;
    }
    return (apr_uint64_t)what << (AT_BITS + LENGTH_BITS) | (apr_uint64_t)length << AT_BITS
           | ((apr_uint64_t)at & AT_MASK);
}

/* How much of its time is over, ms; never less than 0. */
static apr_int64_t health_elapsed(apr_uint64_t word, apr_int64_t now)
{
    apr_int64_t ahead = AT(word) - now;

    return ahead > AHEAD_MAX ? USHER_HEALTH_TIME_MAX : ahead > 0 ? 0 : -ahead;
}

/* No length is believed that is over the longest there is. */
static int health_is_over(apr_uint64_t word, apr_int64_t now)
{
    apr_int64_t elapsed = health_elapsed(word, now);

    return elapsed >= LENGTH(word) || elapsed >= USHER_HEALTH_TIME_MAX;
}

usher_health_e usher_health_look(const usher_health_t *health, apr_int64_t now,
                                 const usher_health_params_t *params, unsigned int *share)
{
    apr_uint64_t word = atomic_load(&health->state);
    unsigned int part = USHER_HEALTH_SHARE;

    if (params->failures && WHAT(word) == SLOW && !health_is_over(word, now)) {
        part = (unsigned int)(health_elapsed(word, now) * USHER_HEALTH_SHARE / LENGTH(word));
        part = part < LEAST_SHARE ? LEAST_SHARE : part;
    }
    if (share) {
        *share = part;
    }
    if (!params->failures || WHAT(word) == UP || WHAT(word) == SLOW) {
        return USHER_HEALTH_USABLE;
    }
    return health_is_over(word, now) ? USHER_HEALTH_DUE : USHER_HEALTH_RESTING;
}

apr_int64_t usher_health_due_at(const usher_health_t *health, apr_int64_t now)
{
    apr_uint64_t word = atomic_load(&health->state);

    if (WHAT(word) != RESTING && WHAT(word) != TRYING) {
        return APR_INT64_MAX;
    }
    return health_is_over(word, now) ? now : now + LENGTH(word) - health_elapsed(word, now);
}

int usher_health_try(usher_health_t *health, apr_int64_t now, const usher_health_params_t *params)
{
    apr_uint64_t word = atomic_load(&health->state);
    apr_uint32_t length = params->rest;

    /* Whoever had the claim may just be waiting for an answer that takes longer
     * than a rest: the next claims last longer, until one is long enough. */
    if (WHAT(word) == TRYING && LENGTH(word) > length / 2) {
        length = (apr_uint32_t)LENGTH(word) * 2;
    }
    if ((WHAT(word) != RESTING && WHAT(word) != TRYING) || !health_is_over(word, now)
        || !atomic_compare_exchange_strong(&health->state, &word,
                                           health_word(TRYING, now, length))) {
        return 0;
    }
    atomic_fetch_add(&health->probes, 1);
    return 1;
}

usher_health_verdict_e usher_health_verdict(usher_health_t *health, apr_int64_t now,
                                            const usher_health_params_t *params,
                                            unsigned int *share)
{
    switch (usher_health_look(health, now, params, share)) {
    case USHER_HEALTH_USABLE:
        return USHER_HEALTH_VERDICT_USABLE;
    case USHER_HEALTH_DUE:
        return usher_health_try(health, now, params) ? USHER_HEALTH_VERDICT_PROBE
                                                     : USHER_HEALTH_VERDICT_RESTING;
    default:
        return USHER_HEALTH_VERDICT_RESTING;
    }
}

/* Whether an attempt is younger than the state: of a resting member it was made
 * because all rest, of one that is tried it is the one that tries. What began
 * earlier says nothing of the member as it is now. */
static int health_is_of(apr_uint64_t word, apr_int64_t began)
{
    return began >= AT(word) || AT(word) - began > AHEAD_MAX + USHER_HEALTH_TIME_MAX;
}

int usher_health_ok(usher_health_t *health, apr_int64_t began, apr_int64_t now,
                    const usher_health_params_t *params)
{
    apr_uint64_t word = atomic_load(&health->state);

    while (WHAT(word) == RESTING || WHAT(word) == TRYING) {
        if (!health_is_of(word, began)) {
            return 0;
        }
        if (atomic_compare_exchange_weak(&health->state, &word,
                                         health_word(params->slowstart ? SLOW : UP, now,
                                                     params->slowstart))) {
            return 1;
        }
    }
    return 0;
}

void usher_health_returned(usher_health_t *health, apr_int64_t now, apr_uint32_t slowstart)
{
    /* What another thread says at this moment is older than the checks. */
    atomic_store(&health->state, health_word(slowstart ? SLOW : UP, now, slowstart));
}

/* In which time failures count, ms. */
static apr_int64_t health_within(const usher_health_params_t *params)
{
    return params->within < USHER_HEALTH_TIME_MAX ? params->within : USHER_HEALTH_TIME_MAX;
}

/* Since when they count: when the member came back. */
static apr_int64_t health_since(apr_uint64_t word, apr_int64_t now)
{
    return health_elapsed(word, now) < USHER_HEALTH_TIME_MAX ? AT(word) : 0;
}

static apr_uint64_t health_sum(const usher_health_t *health, apr_int64_t now, apr_int64_t within,
                               apr_int64_t since)
{
    apr_int64_t oldest = now - within > since ? now - within : since;
    apr_uint64_t word, sum = 0;
    int i;

    for (i = 0; i < USHER_HEALTH_PARTS; ++i) {
        word = atomic_load(&health->failures[i]);
        if (COUNT(word) && SINCE(word) >= oldest && SINCE(word) <= now + AHEAD_MAX) {
            sum += COUNT(word);
        }
    }
    return sum;
}

/* Counts one failure, and tells how many there were. */
static apr_uint64_t health_count(usher_health_t *health, apr_int64_t now, apr_int64_t within,
                                 apr_int64_t since)
{
    apr_int64_t part = within / USHER_HEALTH_PARTS > 0 ? within / USHER_HEALTH_PARTS : 1;
    _Atomic apr_uint64_t *at =
        &health->failures[(apr_uint64_t)(now > 0 ? now / part : 0) % USHER_HEALTH_PARTS];
    apr_uint64_t old = atomic_load(at), word;

    do {
        int current = SINCE(old) >= since && SINCE(old) > now - part - 1
                      && SINCE(old) <= now + AHEAD_MAX;

        word = !current ? FAILURES(now, 1) : COUNT(old) < COUNT_MAX ? old + 1 : old;
    } while (!atomic_compare_exchange_weak(at, &old, word));
    return health_sum(health, now, within, since);
}

int usher_health_is_failing(const usher_health_t *health, apr_int64_t now,
                            const usher_health_params_t *params)
{
    apr_uint64_t word = atomic_load(&health->state);

    return WHAT(word) == RESTING || WHAT(word) == TRYING
           || health_sum(health, now, health_within(params), health_since(word, now)) > 0;
}

int usher_health_failed(usher_health_t *health, apr_int64_t began, apr_int64_t now,
                        const usher_health_params_t *params, int hard, int may_rest)
{
    apr_uint64_t word = atomic_load(&health->state);

    if (WHAT(word) == RESTING || !health_is_of(word, began)) {
        return 0;
    }
    if (WHAT(word) != TRYING) {
        int enough = health_count(health, now, health_within(params), health_since(word, now))
                     >= params->failures;

        if ((!enough && !hard) || !may_rest) {
            return 0;
        }
    }
    if (!params->failures) {
        return 0;
    }
    if (!atomic_compare_exchange_strong(&health->state, &word,
                                        health_word(RESTING, now, params->rest))) {
        return 0; /* who was faster has said the newest */
    }
    atomic_fetch_add(&health->rests, 1);
    return 1;
}

void usher_health_unknown(usher_health_t *health, apr_int64_t began, apr_int64_t now,
                          const usher_health_params_t *params)
{
    apr_uint64_t word = atomic_load(&health->state);

    if (WHAT(word) == TRYING && health_is_of(word, began)) {
        /* A rest that is over: due. */
        atomic_compare_exchange_strong(&health->state, &word, health_word(RESTING, now, 0));
    }
}

static usher_health_is_e health_is(apr_uint64_t word, apr_int64_t now)
{
    int over = health_is_over(word, now);

    switch (WHAT(word)) {
    case RESTING:
        return over ? USHER_HEALTH_IS_DUE : USHER_HEALTH_IS_RESTING;
    case TRYING:
        return over ? USHER_HEALTH_IS_DUE : USHER_HEALTH_IS_TRIED;
    case SLOW:
        return over ? USHER_HEALTH_IS_UP : USHER_HEALTH_IS_SLOW;
    default:
        return USHER_HEALTH_IS_UP;
    }
}

void usher_health_tell(const usher_health_t *health, apr_int64_t now, apr_int64_t within,
                       usher_health_told_t *told)
{
    static const usher_health_params_t any = { .failures = 1 };
    apr_uint64_t word = atomic_load(&health->state);
    usher_health_t same = { .state = word };

    told->is = health_is(word, now);
    told->since = AT(word) > now + AHEAD_MAX ? 0 : AT(word);
    told->left = health_is_over(word, now) ? 0 : LENGTH(word) - health_elapsed(word, now);
    usher_health_look(&same, now, &any, &told->share);
    told->failures = health_sum(health, now, within, health_since(word, now));
}
