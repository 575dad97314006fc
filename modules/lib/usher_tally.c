/* A row's word: changes (upper half), count (lower half). The changes tell a reader
 * that went over all rows twice that nothing happened between, so that the total, read
 * between the two, belongs to what it saw. */
#include "usher_tally.h"

#include <string.h>

#define CHANGE ((apr_uint64_t)1 << 32)
#define COUNT(word) ((apr_uint32_t)(word))

#define OWNER(pid, state) ((apr_uint64_t)(state) << 32 | (apr_uint32_t)(pid))
#define OWNER_PID(who) ((pid_t)(apr_uint32_t)(who))
#define OWNER_STATE(who) ((apr_uint32_t)((who) >> 32))
enum { STATE_EMPTYING = 1, STATE_COUNTS };

/* Of looks at a counter until nothing happened meanwhile. */
#define LOOKS_MAX 1000

#define LINE 64
#define PER_LINE (LINE / sizeof(apr_uint64_t))

static apr_uint64_t tally_head(apr_uint32_t rows)
{
    return APR_ALIGN(LINE + rows * (apr_uint64_t)sizeof(usher_tally_owner_t), LINE);
}

apr_uint64_t usher_tally_size(apr_uint32_t rows, apr_uint32_t counters)
{
    return tally_head(rows) + ((apr_uint64_t)rows + 1) * APR_ALIGN((apr_uint64_t)counters, PER_LINE)
                                  * sizeof(apr_uint64_t);
}

void usher_tally_open(usher_tally_t *tally, void *base, apr_uint64_t size, apr_uint32_t rows,
                      apr_uint32_t epoch)
{
    apr_uint64_t head = tally_head(rows);
    apr_uint64_t counters = size > head ? (size - head) / sizeof(apr_uint64_t) / (rows + 1) : 0;

    memset(tally, 0, sizeof(*tally));
    tally->joins = base;
    tally->owners = (usher_tally_owner_t *)((char *)base + LINE);
    tally->words = (_Atomic apr_uint64_t *)((char *)base + head);
    tally->rows = rows;
    tally->counters = counters < APR_INT32_MAX ? (apr_uint32_t)(counters / PER_LINE * PER_LINE)
                                               : APR_INT32_MAX / PER_LINE * PER_LINE;
    tally->epoch = epoch;
}

static _Atomic apr_uint64_t *tally_row(const usher_tally_t *tally, apr_uint32_t row)
{
    return tally->words + (apr_size_t)row * tally->counters;
}

/* What the last owner left there. */
static void tally_empty(const usher_tally_t *tally, apr_uint32_t row)
{
    _Atomic apr_uint64_t *words = tally_row(tally, row);
    apr_uint32_t i;

    for (i = 0; i < tally->counters; ++i) {
        atomic_store_explicit(&words[i], 0, memory_order_relaxed);
    }
}

int usher_tally_join(usher_tally_t *tally, pid_t pid)
{
    apr_uint32_t i;

    tally->own = NULL;
    usher_tally_left(tally, pid); /* a dead process's pid, given to this one */
    for (i = 0; i < tally->rows; ++i) {
        usher_tally_owner_t *owner = &tally->owners[i];
        apr_uint64_t nobody = 0, emptying = OWNER(pid, STATE_EMPTYING);

        if (!atomic_compare_exchange_strong(&owner->who, &nobody, emptying)) {
            continue;
        }
        tally_empty(tally, i);
        owner->epoch = tally->epoch;
        if (!atomic_compare_exchange_strong(&owner->who, &emptying, OWNER(pid, STATE_COUNTS))) {
            continue; /* somebody wrote there who should not */
        }
        /* After the row counts, and before it counts anything: who reads this and then the
         * owners misses none that has counted when it reads this again. */
        atomic_fetch_add(tally->joins, 1);
        tally->own = tally_row(tally, i);
        return 1;
    }
    return 0;
}

void usher_tally_left(const usher_tally_t *tally, pid_t pid)
{
    apr_uint32_t i;

    for (i = 0; i < tally->rows; ++i) {
        apr_uint64_t who = atomic_load(&tally->owners[i].who);

        if (who && OWNER_PID(who) == pid) {
            atomic_compare_exchange_strong(&tally->owners[i].who, &who, 0);
        }
    }
}

void usher_tally_left_all(const usher_tally_t *tally, int (*is_gone)(pid_t pid))
{
    apr_uint32_t i;

    for (i = 0; i < tally->rows; ++i) {
        apr_uint64_t who = atomic_load(&tally->owners[i].who);

        if (who && (OWNER_PID(who) <= 0 || is_gone(OWNER_PID(who)))) {
            atomic_compare_exchange_strong(&tally->owners[i].who, &who, 0);
        }
    }
}

/* This process's word of a counter; NULL: it is not counted. */
static _Atomic apr_uint64_t *tally_own(usher_tally_t *tally, apr_uint32_t counter)
{
    if (counter < tally->counters) {
        return tally->own ? tally->own + counter : NULL;
    }
    return counter == USHER_TALLY_PRIVATE ? &tally->alone : NULL;
}

/* Never below zero, should somebody have written there. */
static void tally_word_down(_Atomic apr_uint64_t *word)
{
    apr_uint64_t old = atomic_load(word);

    while (COUNT(old) && !atomic_compare_exchange_weak(word, &old, old + CHANGE - 1)) {
    }
}

static apr_uint32_t tally_total_down(_Atomic apr_uint32_t *total, apr_uint32_t by)
{
    apr_uint32_t old = atomic_load(total), less;

    do {
        less = old < by ? old : by;
    } while (less && !atomic_compare_exchange_weak(total, &old, old - less));
    return less;
}

static int tally_total_up(_Atomic apr_uint32_t *total, apr_uint32_t max)
{
    apr_uint32_t old = atomic_load(total);

    if (!max) {
        atomic_fetch_add(total, 1);
        return 1;
    }
    do {
        if (old >= max) {
            return 0;
        }
    } while (!atomic_compare_exchange_weak(total, &old, old + 1));
    return 1;
}

int usher_tally_take(usher_tally_t *tally, apr_uint32_t counter, _Atomic apr_uint32_t *total,
                     apr_uint32_t max, apr_uint32_t own_max)
{
    _Atomic apr_uint64_t *word = tally_own(tally, counter);

    if (max && atomic_load(total) >= max) {
        return 0;
    }
    if (!word) {
        return 1;
    }
    if (own_max && COUNT(atomic_load(word)) >= own_max) {
        return 0;
    }
    if ((COUNT(atomic_fetch_add(word, CHANGE + 1)) < own_max || !own_max)
        && tally_total_up(total, max)) {
        return 1;
    }
    tally_word_down(word);
    return 0;
}

void usher_tally_give(usher_tally_t *tally, apr_uint32_t counter, _Atomic apr_uint32_t *total)
{
    _Atomic apr_uint64_t *word = tally_own(tally, counter);

    if (word) {
        if (total) {
            tally_total_down(total, 1);
        }
        tally_word_down(word);
    }
}

static void tally_list(const usher_tally_t *tally, usher_tally_scan_t *scan)
{
    apr_uint32_t i;

    scan->joins = atomic_load(tally->joins);
    scan->count = 0;
    for (i = 0; i < tally->rows; ++i) {
        if (OWNER_STATE(atomic_load(&tally->owners[i].who)) == STATE_COUNTS
            && tally->owners[i].epoch == tally->epoch) {
            scan->rows[scan->count++] = i;
        }
    }
}

usher_tally_scan_t *usher_tally_scan(const usher_tally_t *tally, apr_pool_t *p)
{
    usher_tally_scan_t *scan = apr_palloc(p, sizeof(*scan));

    scan->rows = apr_palloc(p, (apr_size_t)tally->rows * sizeof(*scan->rows));
    scan->words = apr_palloc(p, (apr_size_t)tally->rows * sizeof(*scan->words));
    tally_list(tally, scan);
    return scan;
}

/* What a total has too much, by rows that did not change while it was read.
 * @return 0: they did change */
static int tally_look(const usher_tally_t *tally, usher_tally_scan_t *scan, apr_uint32_t counter,
                      const _Atomic apr_uint32_t *total, apr_int64_t *excess)
{
    apr_int64_t sum = 0;
    apr_uint32_t i;

    if (atomic_load(tally->joins) != scan->joins) {
        tally_list(tally, scan);
    }
    for (i = 0; i < scan->count; ++i) {
        apr_uint64_t word = atomic_load(tally_row(tally, scan->rows[i]) + counter);

        scan->words[i] = word;
        sum += COUNT(word) < USHER_TALLY_ROW_MAX ? COUNT(word) : USHER_TALLY_ROW_MAX;
    }
    *excess = (apr_int64_t)atomic_load(total) - sum;
    for (i = 0; i < scan->count; ++i) {
        if (atomic_load(tally_row(tally, scan->rows[i]) + counter) != scan->words[i]) {
            return 0;
        }
    }
    return atomic_load(tally->joins) == scan->joins;
}

apr_int64_t usher_tally_mend(const usher_tally_t *tally, usher_tally_scan_t *scan,
                             apr_uint32_t counter, _Atomic apr_uint32_t *total)
{
    _Atomic apr_uint64_t *lacked = tally_row(tally, tally->rows) + counter;
    apr_int64_t excess = 0;
    apr_uint64_t lack, before;
    int looks = 0;

    if (counter >= tally->counters) {
        return 0;
    }
    while (!tally_look(tally, scan, counter, total, &excess)) {
        if (++looks == LOOKS_MAX) {
            return 0;
        }
    }
    lack = excess < 0 ? (apr_uint64_t)-excess : 0;
    before = atomic_load(lacked);
    if (before != lack) {
        atomic_store(lacked, lack);
    }
    if (excess > 0) {
        return -(apr_int64_t)tally_total_down(total, (apr_uint32_t)excess);
    }
    lack = lack < before ? lack : before;
    atomic_fetch_add(total, (apr_uint32_t)lack);
    return (apr_int64_t)lack;
}
