#include "usher_holds.h"

#include <apr_general.h>

#define OWNER(pid, state) ((apr_uint64_t)(state) << 32 | (apr_uint32_t)(pid))
#define OWNER_PID(who) ((pid_t)(apr_uint32_t)(who))
#define OWNER_STATE(who) ((apr_uint32_t)((who) >> 32))
enum { STATE_EMPTYING = 1, STATE_HOLDS };

#define LINE 64
#define PER_LINE (LINE / sizeof(apr_uint64_t))

static apr_uint64_t holds_row_words(apr_uint32_t places)
{
    return APR_ALIGN(((apr_uint64_t)places + 63) / 64, PER_LINE);
}

static apr_uint64_t holds_head(apr_uint32_t rows)
{
    return APR_ALIGN(rows * (apr_uint64_t)sizeof(apr_uint64_t), LINE);
}

apr_uint64_t usher_holds_size(apr_uint32_t rows, apr_uint32_t places)
{
    return holds_head(rows) + rows * holds_row_words(places) * sizeof(apr_uint64_t);
}

void usher_holds_open(usher_holds_t *holds, void *base, apr_uint64_t size, apr_uint32_t rows)
{
    apr_uint64_t head = holds_head(rows);
    apr_uint64_t lines = size > head ? (size - head) / LINE / rows : 0;

    holds->owners = base;
    holds->words = (_Atomic apr_uint64_t *)((char *)base + head);
    holds->own = NULL;
    holds->rows = rows;
    holds->places = lines < APR_INT32_MAX / (LINE * 8) ? (apr_uint32_t)lines * LINE * 8
                                                       : APR_INT32_MAX / (LINE * 8) * (LINE * 8);
}

static _Atomic apr_uint64_t *holds_row(const usher_holds_t *holds, apr_uint32_t row)
{
    return holds->words + row * holds_row_words(holds->places);
}

int usher_holds_join(usher_holds_t *holds, pid_t pid)
{
    apr_uint64_t n = holds_row_words(holds->places), at;
    apr_uint32_t i;

    holds->own = NULL;
    usher_holds_left(holds, pid); /* a dead process's pid, given to this one */
    for (i = 0; i < holds->rows; ++i) {
        apr_uint64_t nobody = 0, emptying = OWNER(pid, STATE_EMPTYING);
        _Atomic apr_uint64_t *row = holds_row(holds, i);

        if (!atomic_compare_exchange_strong(&holds->owners[i], &nobody, emptying)) {
            continue;
        }
        for (at = 0; at < n; ++at) {
            atomic_store_explicit(&row[at], 0, memory_order_relaxed);
        }
        if (atomic_compare_exchange_strong(&holds->owners[i], &emptying,
                                           OWNER(pid, STATE_HOLDS))) {
            holds->own = row;
            return 1;
        } /* else somebody wrote there who should not */
    }
    return 0;
}

void usher_holds_left(const usher_holds_t *holds, pid_t pid)
{
    apr_uint32_t i;

    for (i = 0; i < holds->rows; ++i) {
        apr_uint64_t who = atomic_load(&holds->owners[i]);

        if (who && OWNER_PID(who) == pid) {
            atomic_compare_exchange_strong(&holds->owners[i], &who, 0);
        }
    }
}

void usher_holds_left_all(const usher_holds_t *holds, int (*is_gone)(pid_t pid))
{
    apr_uint32_t i;

    for (i = 0; i < holds->rows; ++i) {
        apr_uint64_t who = atomic_load(&holds->owners[i]);

        if (who && (OWNER_PID(who) <= 0 || is_gone(OWNER_PID(who)))) {
            atomic_compare_exchange_strong(&holds->owners[i], &who, 0);
        }
    }
}

int usher_holds_take(const usher_holds_t *holds, apr_uint32_t place)
{
    if (!holds->own || place >= holds->places) {
        return 0;
    }
    atomic_fetch_or(&holds->own[place / 64], (apr_uint64_t)1 << place % 64);
    return 1;
}

void usher_holds_give(const usher_holds_t *holds, apr_uint32_t place)
{
    if (holds->own && place < holds->places) {
        atomic_fetch_and(&holds->own[place / 64], ~((apr_uint64_t)1 << place % 64));
    }
}

int usher_holds_has(const usher_holds_t *holds, apr_uint32_t place)
{
    apr_uint32_t i;

    for (i = 0; i < holds->rows && place < holds->places; ++i) {
        if (OWNER_STATE(atomic_load(&holds->owners[i])) == STATE_HOLDS
            && atomic_load(&holds_row(holds, i)[place / 64]) >> place % 64 & 1) {
            return 1;
        }
    }
    return 0;
}
