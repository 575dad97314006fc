#include "usher_budget.h"

/* A word: the second it is of (what is left of it above the index), requests,
 * replays. A count that is full stays full. */
#define REPLAY_BITS 20
#define REQUEST_BITS 24
#define REPLAY_MAX (((apr_uint64_t)1 << REPLAY_BITS) - 1)
#define REQUEST_MAX (((apr_uint64_t)1 << REQUEST_BITS) - 1)
#define TAG_BITS (64 - REQUEST_BITS - REPLAY_BITS)
#define TAG_MASK (((apr_uint64_t)1 << TAG_BITS) - 1)

#define REPLAYS(word) ((word) & REPLAY_MAX)
#define REQUESTS(word) ((word) >> REPLAY_BITS & REQUEST_MAX)
#define TAG(word) ((word) >> (REQUEST_BITS + REPLAY_BITS))

/* 2^20 rounds of 64 seconds are two years: until then no old word is taken for
 * one of now. */
static apr_uint64_t budget_tag(apr_uint64_t second)
{
    return second / USHER_BUDGET_SECONDS & TAG_MASK;
}

/* The word of a second as it counts: one of another second is empty. */
static apr_uint64_t budget_word(apr_uint64_t word, apr_uint64_t second)
{
    apr_uint64_t tag = budget_tag(second);

    return TAG(word) == tag ? word : tag << (REQUEST_BITS + REPLAY_BITS);
}

static apr_uint64_t budget_second(apr_int64_t now)
{
    return now > 0 ? (apr_uint64_t)now / 1000 : 0;
}

static unsigned int budget_window(unsigned int window)
{
    return window < 1 ? 1 : window > USHER_BUDGET_WINDOW_MAX ? USHER_BUDGET_WINDOW_MAX : window;
}

void usher_budget_request(usher_budget_t *budget, apr_int64_t now)
{
    apr_uint64_t second = budget_second(now);
    _Atomic apr_uint64_t *at = &budget->seconds[second % USHER_BUDGET_SECONDS];
    apr_uint64_t old = atomic_load(at), word;

    do {
        word = budget_word(old, second);
        if (REQUESTS(word) < REQUEST_MAX) {
            word += (apr_uint64_t)1 << REPLAY_BITS;
        }
    } while (!atomic_compare_exchange_weak(at, &old, word));
}

/* The seconds before this one that are in the window. */
static usher_budget_count_t budget_past(const usher_budget_t *budget, apr_uint64_t second,
                                        unsigned int window)
{
    usher_budget_count_t count = { 0, 0 };
    unsigned int ago;

    for (ago = 1; ago < window && ago <= second; ++ago) {
        apr_uint64_t of = second - ago;
        apr_uint64_t word = budget_word(atomic_load(&budget->seconds[of % USHER_BUDGET_SECONDS]), of);

        count.requests += REQUESTS(word);
        count.replays += REPLAYS(word);
    }
    return count;
}

int usher_budget_take(usher_budget_t *budget, apr_int64_t now, unsigned int percent,
                      unsigned int window, unsigned int least)
{
    apr_uint64_t second = budget_second(now);
    _Atomic apr_uint64_t *at = &budget->seconds[second % USHER_BUDGET_SECONDS];
    apr_uint64_t old = atomic_load(at), word;

    /* All takers of a second meet at its word, so no two take the last one. */
    do {
        usher_budget_count_t count = budget_past(budget, second, budget_window(window));
        apr_uint64_t allowed;

        word = budget_word(old, second);
        allowed = (count.requests + REQUESTS(word)) * percent / 100;
        if (allowed < least) {
            allowed = least;
        }
        if (count.replays + REPLAYS(word) >= allowed || REPLAYS(word) == REPLAY_MAX) {
            return 0;
        }
        ++word;
    } while (!atomic_compare_exchange_weak(at, &old, word));
    return 1;
}

usher_budget_count_t usher_budget_count(const usher_budget_t *budget, apr_int64_t now,
                                        unsigned int window)
{
    apr_uint64_t second = budget_second(now);
    usher_budget_count_t count = budget_past(budget, second, budget_window(window));
    apr_uint64_t word =
        budget_word(atomic_load(&budget->seconds[second % USHER_BUDGET_SECONDS]), second);

    count.requests += REQUESTS(word);
    count.replays += REPLAYS(word);
    return count;
}
