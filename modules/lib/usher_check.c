#include "usher_check.h"

#include <apr_errno.h>
#include <apr_strings.h>

/* The state is one word, changed by compare-and-set: which server it is of (24 bits), of
 * which kind the checks are (8 bits), up or down (8 bits), whether any check of this server
 * was good (1 bit), whether the last one was (1 bit), and how many in a row before it ended
 * so, too (16 bits). */
#define WORD(server, kind, state, proven, good, run)                                   \
    ((apr_uint64_t)(server) << 40 | (apr_uint64_t)(kind) << 32 | (apr_uint64_t)(state) << 24 \
     | (apr_uint64_t)(proven) << 17 | (apr_uint64_t)(good) << 16 | (apr_uint64_t)(run))
#define SERVER(word) ((apr_uint32_t)((word) >> 40))
#define KIND(word)   ((unsigned int)((word) >> 32 & 0xFF))
#define STATE(word)  ((unsigned int)((word) >> 24 & 0xFF))
#define PROVEN(word) ((unsigned int)((word) >> 17 & 1))
#define GOOD(word)   ((unsigned int)((word) >> 16 & 1))
#define RUN(word)    ((unsigned int)((word) & 0xFFFF))

/* How long after its next check was due a member is still believed to be down. */
#define STALE 60000

/* Who has just signed in is waited for: it is asked at least so often, ms. */
#define UNPROVEN 1000

/* What its check tells is believed of nobody else. Of others any check makes good what stands
 * there. */
static int check_is_of(apr_uint64_t word, const usher_check_params_t *params)
{
    return !params->proves || SERVER(word) == params->server;
}

static int check_is_awaited(apr_uint64_t word, const usher_check_params_t *params)
{
    return params->proves && !PROVEN(word);
}

static apr_uint32_t check_interval(const usher_check_params_t *params, usher_check_state_e state)
{
    return state == USHER_CHECK_DOWN ? params->down_interval : params->interval;
}

/* Whatever the settings were, no check is further away than twice the longest of them:
 * what is, was written with others, or is garbage. */
static apr_int64_t check_furthest(const usher_check_params_t *params)
{
    apr_uint32_t longest = params->interval > params->down_interval ? params->interval
                                                                    : params->down_interval;

    return 2 * (apr_int64_t)(longest > params->timeout ? longest : params->timeout);
}

usher_check_state_e usher_check_state(const usher_check_t *check, usher_check_kind_e kind)
{
    apr_uint64_t word = atomic_load(&check->state);

    return KIND(word) != (unsigned int)kind || STATE(word) > USHER_CHECK_DOWN
               ? USHER_CHECK_UNKNOWN : (usher_check_state_e)STATE(word);
}

int usher_check_claim(usher_check_t *check, apr_int64_t now, const usher_check_params_t *params,
                      usher_check_turn_t *turn)
{
    apr_int64_t next_at = atomic_load(&check->next_at);
    usher_check_state_e state;
    apr_uint32_t step;

    turn->held_until = next_at;
    if (next_at > now && next_at - now <= check_furthest(params)) {
        return 0;
    }
    state = usher_check_state(check, params->kind);
    step = check_interval(params, state);
    if (check_is_awaited(atomic_load(&check->state), params)) {
        step = step < UNPROVEN ? step : UNPROVEN;
    }
    else if (state == USHER_CHECK_UNKNOWN) {
        /* The first ones are all at once, the second ones from half an interval after
         * that to one and a half. */
        step = step / 2 + params->spread * 2654435761u % (step + 1);
    }
    turn->next_at = now + step;
    turn->held_until = now + (step > params->timeout ? step : params->timeout);
    return atomic_compare_exchange_strong(&check->next_at, &next_at, turn->held_until);
}

/* The word after a check. */
static apr_uint64_t check_next(apr_uint64_t word, const usher_check_params_t *params,
                               unsigned int good)
{
    unsigned int state = STATE(word), run = RUN(word);
    unsigned int rise = check_is_awaited(word, params) ? 1 : params->rise;

    if (KIND(word) != (unsigned int)params->kind || state > USHER_CHECK_DOWN) {
        state = USHER_CHECK_UNKNOWN;
    }
    run = state != USHER_CHECK_UNKNOWN && GOOD(word) == good ? run + 1 : 1;
    run = run < USHER_CHECK_RUN_MAX ? run : USHER_CHECK_RUN_MAX;
    if (state == USHER_CHECK_UNKNOWN || run >= (good ? rise : params->fall)) {
        state = good ? USHER_CHECK_UP : USHER_CHECK_DOWN;
    }
    return WORD(params->server, params->kind, state, PROVEN(word) | good, good, run);
}

usher_check_state_e usher_check_ended(usher_check_t *check, const usher_check_params_t *params,
                                      const usher_check_turn_t *turn, apr_uint32_t result,
                                      apr_uint32_t took, apr_int64_t utc)
{
    apr_int64_t held_until = turn->held_until;
    unsigned int good = USHER_CHECK_WHAT(result) == USHER_CHECK_PASSED;
    usher_check_state_e before;
    apr_uint64_t word = atomic_load(&check->state), next;

    if (!check_is_of(word, params)) {
        return USHER_CHECK_UNKNOWN; /* it was the server before this one */
    }
    atomic_store(&check->result, result);
    atomic_store(&check->took, took);
    atomic_store(&check->last_at, utc);
    atomic_compare_exchange_strong(&check->next_at, &held_until, turn->next_at);
    if (USHER_CHECK_WHAT(result) == USHER_CHECK_OURS) {
        return USHER_CHECK_UNKNOWN;
    }
    atomic_fetch_add(good ? &check->passed : &check->failed, 1);
    do {
        if (!check_is_of(word, params)) {
            return USHER_CHECK_UNKNOWN;
        }
        next = check_next(word, params, good);
    } while (!atomic_compare_exchange_weak(&check->state, &word, next));
    before = KIND(word) == (unsigned int)params->kind ? STATE(word) : USHER_CHECK_UNKNOWN;
    if (before == STATE(next)) {
        return USHER_CHECK_UNKNOWN;
    }
    atomic_store(&check->changed_at, utc);
    return before != USHER_CHECK_DOWN && good && !check_is_awaited(word, params)
               ? USHER_CHECK_UNKNOWN : STATE(next);
}

apr_uint32_t usher_check_good(const usher_check_t *check)
{
    apr_uint64_t word = atomic_load(&check->state);

    return GOOD(word) ? RUN(word) : 0;
}

int usher_check_is_down(const usher_check_t *check, apr_int64_t now)
{
    apr_int64_t next_at;

    if (STATE(atomic_load(&check->state)) != USHER_CHECK_DOWN) {
        return 0;
    }
    next_at = atomic_load(&check->next_at);
    return next_at > now - STALE && next_at <= now + 2 * (apr_int64_t)USHER_CHECK_TIME_MAX;
}

void usher_check_forget(usher_check_t *check, usher_check_kind_e kind)
{
    if (kind == USHER_CHECK_OFF || KIND(atomic_load(&check->state)) != (unsigned int)kind) {
        atomic_store(&check->state, 0);
        atomic_store(&check->next_at, 0);
        atomic_store(&check->result, 0);
        atomic_store(&check->changed_at, 0);
    }
}

int usher_check_meet(usher_check_t *check, apr_uint32_t server)
{
    apr_uint64_t word = atomic_load(&check->state);

    if (SERVER(word) == server) {
        return 0;
    }
    /* Who is killed here leaves the check due, and what follows to the next one. */
    atomic_store(&check->next_at, 0);
    atomic_store(&check->result, 0);
    atomic_store(&check->changed_at, 0);
    return atomic_compare_exchange_strong(&check->state, &word, WORD(server, 0, 0, 0, 0, 0));
}

int usher_check_is_proven(const usher_check_t *check, apr_uint32_t server)
{
    apr_uint64_t word = atomic_load_explicit(&check->state, memory_order_relaxed);

    return SERVER(word) == server && PROVEN(word);
}

/* "12.3ms", and from "100ms" on without tenths */
static const char *check_time(char text[24], apr_uint32_t took)
{
    apr_uint32_t tenths = took / 100 + (took % 100 >= 50);

    if (tenths < 1000) {
        apr_snprintf(text, 24, "%u.%ums", tenths / 10, tenths % 10);
    }
    else {
        apr_snprintf(text, 24, "%ums", took / 1000 + (took % 1000 >= 500));
    }
    return text;
}

char *usher_check_reason(char text[USHER_CHECK_REASON_SIZE], apr_uint32_t result,
                         apr_uint32_t took)
{
    static const struct {
        const char *text;
        enum { PLAIN, ERRNO, NUMBER } detail; /* what it is, where it is not 0 */
    } reasons[USHER_CHECK_RESULTS] = {
        [USHER_CHECK_NONE] = { "not checked yet", PLAIN },
        [USHER_CHECK_PASSED] = { "passed", PLAIN },
        [USHER_CHECK_NO_NAME] = { "its name has no address", PLAIN },
        [USHER_CHECK_NAME_LATE] = { "its name was not looked up in time", PLAIN },
        [USHER_CHECK_REFUSED] = { "no connection", ERRNO },
        [USHER_CHECK_UNREACHABLE] = { "no answer to the connect", PLAIN },
        [USHER_CHECK_SILENT] = { "no whole answer", PLAIN },
        [USHER_CHECK_CLOSED] = { "closed without a whole answer", ERRNO },
        [USHER_CHECK_MALFORMED] = { "malformed answer", PLAIN },
        [USHER_CHECK_STATUS] = { "status", NUMBER },
        [USHER_CHECK_UNEXPECTED] = { "not as expect= says: status", NUMBER },
        [USHER_CHECK_NO_CPONG] = { "no CPONG, but another packet", PLAIN },
        [USHER_CHECK_TLS] = { "TLS handshake failed", PLAIN },
        [USHER_CHECK_OURS] = { "the check could not be made", ERRNO },
    };
    apr_uint32_t what = USHER_CHECK_WHAT(result) < USHER_CHECK_RESULTS ? USHER_CHECK_WHAT(result)
                                                                       : USHER_CHECK_NONE;
    char detail[80] = "", error[64], time[24];

    if (reasons[what].detail == ERRNO && USHER_CHECK_DETAIL(result)) {
        apr_snprintf(detail, sizeof(detail), ": %s",
                     apr_strerror(USHER_CHECK_DETAIL(result), error, sizeof(error)));
    }
    else if (reasons[what].detail == NUMBER) {
        apr_snprintf(detail, sizeof(detail), " %d", USHER_CHECK_DETAIL(result));
    }
    apr_snprintf(text, USHER_CHECK_REASON_SIZE, "%s%s%s%s", reasons[what].text, detail,
                 what == USHER_CHECK_NONE ? "" : " after ",
                 what == USHER_CHECK_NONE ? "" : check_time(time, took));
    return text;
}
